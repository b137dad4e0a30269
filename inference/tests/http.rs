//! Requests to the paths, as from a client, with a real bundle.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod common;

use axum::body::Body;
use common::{KEY, Ready, ready, ready_with, row};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use modelward_inference::{http::router, metrics, prediction_id::Signer};
use modelward_profile::route_digest;
use modelward_wire::RouteMode;
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

async fn ask(
    server: &Ready,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(server.app.clone())
        .oneshot(request.body(body.into()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().into(),
    }
}

async fn post(server: &Ready, path: &str, body: impl Into<Body>) -> Answer {
    ask(server, "POST", path, &[], body).await
}

async fn get(server: &Ready, path: &str) -> Answer {
    ask(server, "GET", path, &[], "").await
}

fn score(server: &Ready, row: &Value) -> f64 {
    let bundle = &server.bundles[0];
    let (row, _) = bundle.schema().read_json(row.as_object().unwrap()).unwrap();
    bundle.score(&row)
}

// === /predict ===

#[tokio::test]
async fn one_object_is_answered_with_the_score_of_the_bundle_bit_for_bit() {
    let server = ready().await;
    let answer = post(&server, "/predict", row().to_string()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["x-model-version"], "heart-1");
    let body = answer.json();
    let expected = score(&server, &row());
    assert_eq!(
        body["probability"].as_f64().unwrap().to_bits(),
        expected.to_bits()
    );
    assert_eq!(body["class"], u8::from(expected >= 0.5));
    assert_eq!(body["threshold"], 0.5);
    assert_eq!(
        (&body["model"], &body["version"]),
        (&json!("heart"), &json!("heart-1"))
    );
    assert_eq!(body["warnings"], json!([]));
    let id = Signer::new(&KEY)
        .open(body["predictionId"].as_str().unwrap())
        .unwrap();
    assert_eq!(
        (id.score.to_bits(), id.class),
        (expected.to_bits(), u8::from(expected >= 0.5))
    );
    assert_eq!(
        id.route,
        route_digest(&server.app.entries[0].route).as_bytes()[..8]
    );
}

#[tokio::test]
async fn an_array_is_answered_in_its_order() {
    let server = ready().await;
    let rows = json!([row(), {"age": 41, "sex": 0}, {"age": "NaN"}]);
    let refused = post(&server, "/predict/", rows.to_string()).await;
    assert_eq!(refused.status, 422);
    let rows = json!([row(), {"age": 41, "sex": 0}]);
    let body = post(&server, "/predict/", rows.to_string()).await.json();
    assert_eq!(
        (&body["model"], &body["version"]),
        (&json!("heart"), &json!("heart-1"))
    );
    for (index, row) in rows.as_array().unwrap().iter().enumerate() {
        let probability = body["predictions"][index]["probability"].as_f64().unwrap();
        assert_eq!(probability.to_bits(), score(&server, row).to_bits());
    }
    assert_ne!(
        body["predictions"][0]["predictionId"],
        body["predictions"][1]["predictionId"]
    );
}

#[tokio::test]
async fn missing_out_of_range_and_unknown_categories_are_scored_with_warnings_that_name_them() {
    let server = ready().await;
    let body = post(&server, "/predict", r#"{"age": NaN, "thal": 2}"#).await;
    assert_eq!(
        (body.status.as_u16(), body.error()),
        (422, r#""age" is required and has no value"#.into())
    );
    let body = post(
        &server,
        "/predict",
        r#"{"age": 63, "chol": 1000, "sex": NaN, "thal": 2}"#,
    )
    .await
    .json();
    let warnings = body["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2);
    assert_eq!(
        (&warnings[0]["feature"], &warnings[0]["kind"]),
        (&json!("chol"), &json!("OutOfRange"))
    );
    assert_eq!(
        (&warnings[1]["feature"], &warnings[1]["kind"]),
        (&json!("thal"), &json!("UnknownCategory"))
    );
    let message = warnings[1]["message"].as_str().unwrap();
    assert!(
        message.contains("\"thal\" is \"2\"") && message.contains("3, 6, 7"),
        "{message}"
    );
}

#[tokio::test]
async fn every_error_of_every_row_is_reported_with_its_row_and_feature() {
    let server = ready().await;
    let rows = json!([row(), {"age": "old", "tahl": 3}, 7, {"age": 1, "chol": [1]}]);
    let answer = post(&server, "/predict", rows.to_string()).await;
    assert_eq!(answer.status, 422);
    let body = answer.json();
    assert_eq!(
        body["error"],
        r#"row 1: "age" must be a number, found the text "old" (and 3 more)"#
    );
    assert_eq!(body["errorsTotal"], 4);
    let errors: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["row"].clone(), e["feature"].clone()))
        .collect();
    assert_eq!(
        errors,
        [
            (json!(1), json!("age")),
            (json!(1), json!("tahl")),
            (json!(2), Value::Null),
            (json!(3), json!("chol"))
        ]
    );
    let answer = post(&server, "/predict", r#"{"age": 1, "tahl": 3}"#).await;
    assert_eq!(
        answer.error(),
        r#"unknown feature "tahl"; expected one of age, chol, sex, thal"#
    );
    assert_eq!(answer.json()["errors"][0].get("row"), None);
}

#[tokio::test]
async fn what_is_no_row_is_refused_with_a_sentence() {
    let server = ready_with(&[("heart-1", 100, RouteMode::Live, 0.0)], &["--max-rows", "2"]).await;
    for (body, status, error) in [
        ("", 400, "the body is empty; send JSON"),
        (
            "{\"age\": 1,\n \"chol\" 2}",
            400,
            "the body cannot be read as JSON: expected `:` at line 2 column 9",
        ),
        (
            "{\"age\": Infinity}",
            400,
            "Infinity at line 1 column 9 cannot be scored; write null for a missing value",
        ),
        ("[]", 422, "the array has no rows; send at least one"),
        (
            "7",
            422,
            "the body is a number; send one object of named features, or an array of them",
        ),
        (
            "[{},{},{}]",
            413,
            "the array has 3 rows; send at most 2 in one request",
        ),
        (
            "{\"age\":1,\"age\":2}",
            422,
            "\"age\" is there twice; send each feature once",
        ),
        (
            "{\"age\":1e39}",
            422,
            "\"age\" is 1000000000000000000000000000000000000000, beyond the range of a 32-bit float (about ±3.4e38)",
        ),
    ] {
        let answer = post(&server, "/predict", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error().as_str()),
            (status, error),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_large_batch_is_answered_and_a_larger_body_than_allowed_is_not() {
    let server = ready_with(
        &[("heart-1", 100, RouteMode::Live, 0.0)],
        &["--max-body-bytes", "600000"],
    )
    .await;
    let rows = vec![row(); 10_000];
    let body = serde_json::to_vec(&rows).unwrap();
    let answer = post(&server, "/predict", body.clone()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["predictions"].as_array().unwrap().len(), 10_000);
    let answer = post(
        &server,
        "/predict",
        [body.as_slice(), &vec![b' '; 300_000]].concat(),
    )
    .await;
    assert_eq!(answer.status, 413);
    assert!(answer.error().contains("600000 bytes"), "{}", answer.error());
}

#[tokio::test]
async fn a_packed_body_is_read() {
    let server = ready().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, row().to_string().as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let answer = ask(&server, "POST", "/predict", &[("content-encoding", "gzip")], body).await;
    assert_eq!(answer.status, 200);
}

// === champion and challenger ===

#[tokio::test]
async fn a_key_stays_with_its_version_and_weights_are_kept() {
    let versions = [
        ("heart-1", 80, RouteMode::Live, 0.0),
        ("heart-2", 20, RouteMode::Live, 1.0),
    ];
    let server = ready_with(&versions, &[]).await;
    let mut to_second = 0;
    for key in 0..200 {
        let key = format!("patient-{key}");
        let mut seen = Vec::new();
        for _ in 0..2 {
            let answer = ask(
                &server,
                "POST",
                "/predict",
                &[("modelward-key", &key)],
                row().to_string(),
            )
            .await;
            seen.push(answer.json()["version"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen[0], seen[1]);
        to_second += usize::from(seen[0] == "heart-2");
    }
    assert!((20..=60).contains(&to_second), "{to_second}");
    let mut without_key = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = post(&server, "/predict", row().to_string()).await;
        without_key.insert(answer.headers["x-model-version"].to_str().unwrap().to_owned());
    }
    assert_eq!(without_key.len(), 2);
}

#[tokio::test]
async fn a_shadow_is_scored_and_never_answers() {
    let versions = [
        ("heart-1", 100, RouteMode::Live, 0.0),
        ("heart-2", 0, RouteMode::Shadow, 1.0),
    ];
    let server = ready_with(&versions, &[]).await;
    for _ in 0..3 {
        assert_eq!(
            post(&server, "/predict", row().to_string()).await.json()["version"],
            "heart-1"
        );
    }
    post(&server, "/v2/models/heart/infer", infer_request().to_string()).await;
    let mut text = String::new();
    for _ in 0..100 {
        text = server.app.metrics.encode().unwrap();
        if text.contains("predictions_total{version=\"heart-2\"") && shadow_rows(&text) == 5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(shadow_rows(&text), 5, "{text}");
    let answer = post(&server, "/v2/models/heart/versions/heart-2/infer", "{}").await;
    assert_eq!(answer.status, 404);
}

fn shadow_rows(text: &str) -> u64 {
    text.lines()
        .filter(|line| line.contains("predictions_total{") && line.contains("mode=\"Shadow\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

// === /v2 ===

fn infer_request() -> Value {
    json!({
        "id": "r1",
        "model_name": "heart",
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "FP64", "data": [63, 41]},
            {"name": "chol", "shape": [2, 1], "datatype": "INT32", "data": [[233], [204]]},
            {"name": "sex", "shape": [2], "datatype": "BOOL", "data": [true, false]},
            {"name": "thal", "shape": [2], "datatype": "BYTES", "data": ["6", null]},
        ],
    })
}

#[tokio::test]
async fn tensors_are_answered_with_the_scores_of_their_rows() {
    let server = ready().await;
    let answer = post(&server, "/v2/models/heart/infer", infer_request().to_string()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers["x-model-version"], "heart-1");
    let body = answer.json();
    assert_eq!(
        (&body["model_name"], &body["model_version"]),
        (&json!("heart"), &json!("heart-1"))
    );
    assert_eq!(body["id"], "r1");
    let names: Vec<_> = body["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["probability", "class", "predictionId"]);
    let rows = [row(), json!({"age": 41, "chol": 204, "sex": 0})];
    for (index, row) in rows.iter().enumerate() {
        let found = body["outputs"][0]["data"][index].as_f64().unwrap();
        assert_eq!(found.to_bits(), score(&server, row).to_bits());
    }
    assert_eq!(body["outputs"][0]["shape"], json!([2]));
    assert_eq!(body["outputs"][1]["datatype"], "INT64");
    let id = body["outputs"][2]["data"][0].as_str().unwrap();
    assert!(Signer::new(&KEY).open(id).is_ok());
}

#[tokio::test]
async fn outputs_come_as_asked_for_and_no_id_is_made_up() {
    let server = ready().await;
    let mut request = infer_request();
    request.as_object_mut().unwrap().remove("id");
    request["outputs"] = json!([{"name": "class"}, {"name": "probability", "parameters": {"other": 1}}]);
    let answer = post(
        &server,
        "/v2/models/heart/versions/heart-1/infer",
        request.to_string(),
    )
    .await;
    let body = answer.json();
    let names: Vec<_> = body["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["class", "probability"]);
    assert_eq!(body.get("id"), None);
}

#[tokio::test]
async fn nan_and_null_are_missing_and_absent_inputs_are_missing_in_every_row() {
    let server = ready().await;
    let body = r#"{"inputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[63.0]},
        {"name":"chol","shape":[1,1],"datatype":"FP32","data":[NaN]}]}"#;
    let answer = post(&server, "/v2/models/heart/infer", body).await.json();
    let expected = score(&server, &json!({"age": 63}));
    assert_eq!(
        answer["outputs"][0]["data"][0].as_f64().unwrap().to_bits(),
        expected.to_bits()
    );
}

#[tokio::test]
async fn warnings_are_described_up_to_a_number_and_counted_beyond_it() {
    let server = ready().await;
    let row = json!({"age": 63, "chol": 9_000, "thal": "x".repeat(10_000)});
    let body = serde_json::to_vec(&vec![row; 500]).unwrap();
    let answer = post(&server, "/predict", body).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    let predictions = body["predictions"].as_array().unwrap();
    let described = |row: &Value| row["warnings"].as_array().unwrap().len() as u64;
    let omitted = |row: &Value| row["warningsOmitted"].as_u64().unwrap_or(0);
    assert_eq!(predictions.iter().map(described).sum::<u64>(), 100);
    assert_eq!(predictions.iter().map(omitted).sum::<u64>(), 900);
    assert!(predictions.iter().all(|row| described(row) + omitted(row) == 2));
    let message = predictions[0]["warnings"][1]["message"].as_str().unwrap();
    assert!(message.len() < 250, "{message}");
    let text = String::from_utf8(get(&server, "/metrics").await.body.clone()).unwrap();
    assert!(
        text.contains("modelward_inference_warnings_omitted_total 900"),
        "{text}"
    );
    let counted = r#"warnings_total{version="heart-1",feature="thal",kind="UnknownCategory"} 500"#;
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn warnings_of_tensors_are_in_the_parameters() {
    let server = ready().await;
    let mut request = infer_request();
    request["inputs"][3]["data"] = json!(["6", "2"]);
    let answer = post(&server, "/v2/models/heart/infer", request.to_string())
        .await
        .json();
    let warnings = answer["parameters"]["warnings"].as_str().unwrap();
    assert!(warnings.starts_with("row 1: \"thal\" is \"2\""), "{warnings}");
}

#[tokio::test]
async fn binary_tensors_come_and_go() {
    let server = ready().await;
    let request = json!({
        "id": "b",
        "parameters": {"binary_data_output": true},
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "chol", "shape": [2], "datatype": "INT16", "parameters": {"binary_data_size": 4}},
            {"name": "sex", "shape": [2], "datatype": "UINT8", "data": [1, 0]},
            {"name": "thal", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
        ],
        "outputs": [{"name": "class", "parameters": {"binary_data": false}}, {"name": "probability"}, {"name": "predictionId"}],
    });
    let json_part = request.to_string();
    let mut body = json_part.clone().into_bytes();
    body.extend(63_f32.to_le_bytes());
    body.extend(f32::NAN.to_le_bytes());
    body.extend(233_i16.to_le_bytes());
    body.extend(204_i16.to_le_bytes());
    for text in ["6", "7"] {
        body.extend((text.len() as u32).to_le_bytes());
        body.extend(text.as_bytes());
    }
    let length = json_part.len().to_string();
    let headers = [("inference-header-content-length", length.as_str())];
    let refused = ask(&server, "POST", "/v2/models/heart/infer", &headers, body.clone()).await;
    assert_eq!(refused.error(), "row 1: \"age\" is required and has no value");
    body[json_part.len() + 4..json_part.len() + 8].copy_from_slice(&41_f32.to_le_bytes());
    let answer = ask(&server, "POST", "/v2/models/heart/infer", &headers, body.clone()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let json_length: usize = answer.headers["inference-header-content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let (head, tail) = answer.body.split_at(json_length);
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(head["outputs"][0]["data"].as_array().unwrap().len(), 2);
    assert_eq!(head["outputs"][1]["parameters"]["binary_data_size"], 16);
    assert_eq!(head["outputs"][1].get("data"), None);
    let first = f64::from_le_bytes(tail[..8].try_into().unwrap());
    assert_eq!(first.to_bits(), score(&server, &row()).to_bits());
    assert_eq!(head["outputs"][2]["parameters"]["binary_data_size"], 2 * 68);
    assert_eq!(tail.len(), 16 + 2 * 68);
    for (headers, body, error) in [
        (
            [("inference-header-content-length", "99999")],
            body.clone(),
            "99999",
        ),
        (
            [("inference-header-content-length", "x")],
            body.clone(),
            "not a number of bytes",
        ),
        (
            [("inference-header-content-length", "0")],
            body.clone(),
            "raw tensor",
        ),
        (
            [headers[0]],
            [body.as_slice(), b"!"].concat(),
            "1 bytes after the JSON",
        ),
        ([headers[0]], body[..body.len() - 1].to_vec(), "9 bytes are left"),
    ] {
        let answer = ask(&server, "POST", "/v2/models/heart/infer", &headers, body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.error().contains(error), "{}", answer.error());
    }
}

#[tokio::test]
async fn tensors_that_cannot_be_read_are_refused_with_400_and_a_sentence() {
    let server = ready().await;
    let with = |place: &str, value: Value| {
        let mut request = infer_request();
        *request.pointer_mut(place).unwrap() = value;
        request.to_string()
    };
    let mut without_inputs = infer_request();
    without_inputs.as_object_mut().unwrap().remove("inputs");
    let mut twice = infer_request();
    let again = twice["inputs"][0].clone();
    twice["inputs"].as_array_mut().unwrap().push(again);
    for (body, error) in [
        (
            "{".to_owned(),
            "the body cannot be read as JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "[]".to_owned(),
            "invalid type: sequence, expected an object with \"inputs\" at line 1 column 0",
        ),
        (without_inputs.to_string(), "the request has no \"inputs\""),
        (
            with("/inputs", json!([])),
            "\"inputs\" is empty; send one tensor for each feature",
        ),
        (
            with("/inputs/0/name", json!("aeg")),
            "unknown input \"aeg\"; the model takes age, chol, sex, thal",
        ),
        (
            with("/inputs/0/datatype", json!("FP99")),
            "input \"age\": unknown datatype \"FP99\"; expected BOOL, INT8 to INT64, UINT8 to UINT64, FP32, FP64 or BYTES",
        ),
        (
            with("/inputs/0/datatype", json!("FP16")),
            "input \"age\": datatype FP16 is not supported; send FP32",
        ),
        (
            with("/inputs/0/data", json!([1])),
            "input \"age\" has 1 value, but its shape is [2]",
        ),
        (
            with("/inputs/0/data", json!([1, 2, 3])),
            "input \"age\" has 3 values, but its shape is [2]",
        ),
        (
            with("/inputs/0/data", json!([1, "x"])),
            "input \"age\": element 1 is the text \"x\", expected FP64",
        ),
        (
            with("/inputs/1/data", json!([1, 2.5])),
            "input \"chol\": element 1 is 2.5, expected INT32",
        ),
        (
            with("/inputs/1/data", json!([1, 3_000_000_000_u32])),
            "input \"chol\": element 1 is 3000000000, expected INT32",
        ),
        (
            with("/inputs/0/shape", json!([1, 2])),
            "input \"age\" has shape [1, 2], expected [rows] or [rows, 1]",
        ),
        (
            with("/inputs/0/shape", json!([0])),
            "input \"age\" has 2 values, but its shape is [0]",
        ),
        (
            with("/inputs/0", json!({"name": "age"})),
            "input \"age\" has no \"datatype\"",
        ),
        (
            with(
                "/inputs/0",
                json!({"name": "age", "datatype": "FP64", "shape": [1], "data": [1]}),
            ),
            "input \"chol\" has 2 rows, an earlier input has another number of rows",
        ),
        (twice.to_string(), "input \"age\" is there twice"),
        (
            with("/inputs/3/data", json!(["6", {}])),
            "invalid type: map, expected a number, text, boolean or null at line",
        ),
        (
            with("/inputs/2/data", json!([true, 2])),
            "input \"sex\": element 1 is 2, expected BOOL",
        ),
    ] {
        let answer = post(&server, "/v2/models/heart/infer", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.error().starts_with(error), "{}", answer.error());
    }
    let mut outputs = infer_request();
    outputs["outputs"] = json!([{"name": "label"}]);
    let answer = post(&server, "/v2/models/heart/infer", outputs.to_string()).await;
    assert_eq!(
        answer.error(),
        "unknown output \"label\"; expected probability, class, predictionId"
    );
}

#[tokio::test]
async fn metadata_and_readiness_follow_the_protocol() {
    let server = ready().await;
    for path in ["/v2", "/v2/"] {
        let body = get(&server, path).await.json();
        assert_eq!(body["name"], "modelward");
        assert!(body["version"].is_string() && body["extensions"].is_array());
    }
    assert_eq!(
        get(&server, "/v2/health/live").await.json(),
        json!({"live": true})
    );
    assert_eq!(
        get(&server, "/v2/health/ready").await.json(),
        json!({"live": true, "ready": true})
    );
    for path in ["/v2/models/heart", "/v2/models/heart/versions/heart-1"] {
        let body = get(&server, path).await.json();
        assert_eq!(body["name"], "heart");
        assert_eq!(body["versions"], json!(["heart-1"]));
        assert_eq!(
            body["inputs"][0],
            json!({"name": "age", "datatype": "FP32", "shape": [-1]})
        );
        assert_eq!(
            body["inputs"][3],
            json!({"name": "thal", "datatype": "BYTES", "shape": [-1]})
        );
        assert_eq!(
            body["outputs"][1],
            json!({"name": "class", "datatype": "INT64", "shape": [-1]})
        );
        assert_eq!(body["properties"]["family"], "LogisticRegression");
    }
    for path in [
        "/v2/models/heart/ready",
        "/v2/models/heart/versions/heart-1/ready",
    ] {
        assert_eq!(
            get(&server, path).await.json(),
            json!({"name": "heart", "ready": true})
        );
    }
    for path in [
        "/v2/models/lung",
        "/v2/models/lung/ready",
        "/v2/models/heart/versions/9",
        "/v2/models/heart/versions/9/ready",
    ] {
        let answer = get(&server, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.error().is_empty());
    }
    assert_eq!(post(&server, "/v2/models/lung/infer", "{}").await.status, 404);
    assert_eq!(
        post(&server, "/v2/models/heart/versions/9/infer", "{}")
            .await
            .status,
        404
    );
}

// === the rest ===

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let server = ready().await;
    let answer = get(&server, "/nothing/here").await;
    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("/nothing/here"));
    let answer = get(&server, "/predict").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.headers["allow"], "POST");
    assert!(
        answer
            .error()
            .contains("GET is not allowed for \"/predict\"; see the header Allow")
    );
    assert_eq!(post(&server, "/metrics", "").await.status, 405);
    assert_eq!(get(&server, "/v2/models/%FF").await.status, 400);
}

#[tokio::test]
async fn health_names_every_version_with_its_digest() {
    let versions = [
        ("heart-1", 100, RouteMode::Live, 0.0),
        ("heart-2", 0, RouteMode::Shadow, 1.0),
    ];
    let server = ready_with(&versions, &[]).await;
    let body = get(&server, "/health").await.json();
    assert_eq!(
        (&body["status"], &body["ready"], &body["model"]),
        (&json!("ready"), &json!(true), &json!("heart"))
    );
    assert_eq!(
        body["versions"][0]["digest"],
        server.bundles[0].digest().to_string()
    );
    assert_eq!(body["versions"][1]["mode"], "Shadow");
    assert_eq!(body["versions"][1]["state"], "Ready");
    assert_eq!(get(&server, "/healthz").await.status, 200);
    assert_eq!(get(&server, "/readyz").await.json(), json!({"ready": true}));
}

#[tokio::test]
async fn metrics_are_openmetrics_with_bounded_labels() {
    let server = ready().await;
    post(&server, "/predict", row().to_string()).await;
    post(&server, "/predict", r#"{"age": 63, "thal": 2}"#).await;
    get(&server, "/wp-admin").await;
    let answer = get(&server, "/metrics").await;
    assert_eq!(answer.headers["content-type"], metrics::CONTENT_TYPE);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with("# EOF\n"));
    for line in [
        r#"modelward_inference_requests_total{route="/predict",code="200"} 2"#,
        r#"modelward_inference_requests_total{route="unmatched",code="404"} 1"#,
        r#"modelward_inference_warnings_total{version="heart-1",feature="thal",kind="UnknownCategory"} 1"#,
        r#"modelward_inference_request_duration_seconds_count{route="/predict"} 2"#,
        "modelward_inference_ready 1",
        "modelward_inference_batch_rows_count 2",
        "modelward_inference_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let predictions: u64 = text
        .lines()
        .filter(|line| line.starts_with("modelward_inference_predictions_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(predictions, 2);
    let verified = format!(
        r#"modelward_inference_bundle_verified{{version="heart-1",digest="{}"}} 1"#,
        server.bundles[0].digest()
    );
    assert!(text.contains(&verified));
}

#[tokio::test]
async fn a_draining_server_is_unready_and_still_answers_and_closes() {
    let server = ready().await;
    server.app.drain();
    let answer = get(&server, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["connection"], "close");
    let answer = post(&server, "/predict", row().to_string()).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.headers["connection"].to_str().unwrap()
        ),
        (200, "close")
    );
    assert_eq!(get(&server, "/healthz").await.status, 200);
    assert_eq!(get(&server, "/health").await.json()["status"], "draining");
}
