//! No body makes a path answer with 5xx, or with anything other than JSON with a message.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::LazyLock;

use axum::body::Body;
use common::{Ready, ready_with};
use http::Request;
use http_body_util::BodyExt as _;
use modelward_inference::http::router;
use modelward_wire::RouteMode;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Server {
    runtime: tokio::runtime::Runtime,
    ready: Ready,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let versions = [("heart-1", 100, RouteMode::Live, 0.0)];
    let ready = runtime.block_on(ready_with(
        &versions,
        &["--max-rows", "50", "--max-body-bytes", "200000"],
    ));
    Server { runtime, ready }
});

const PATHS: [&str; 3] = [
    "/predict",
    "/v2/models/heart/infer",
    "/v2/models/heart/versions/heart-1/infer",
];

fn check(path: &str, headers: &[(&str, &str)], body: Vec<u8>) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    let (status, bytes) = SERVER.runtime.block_on(async {
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = router(SERVER.ready.app.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    });
    assert!(status.as_u16() < 500, "{status} {path} {shown}");
    if status != 200 {
        assert!(status.is_client_error(), "{status} {path} {shown}");
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(
            answer["error"].as_str().is_some_and(|error| !error.is_empty()),
            "{path} {shown}"
        );
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("age".to_owned()),
        Just("inputs".to_owned()),
        Just("name".to_owned()),
        Just("data".to_owned()),
        Just("FP32".to_owned()),
        Just("BYTES".to_owned()),
        ".*",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Nearly valid requests: tensors with one part replaced by anything.
fn nearly_infer() -> impl Strategy<Value = Value> {
    let datatypes = &[
        "BOOL", "INT8", "INT64", "UINT64", "FP32", "FP64", "BYTES", "FP16", "x",
    ];
    let names = &["age", "chol", "sex", "thal", "age2"];
    let element = prop_oneof![
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        ".{0,5}".prop_map(Value::from),
    ];
    let input = (
        prop::sample::select(&names[..]),
        prop::sample::select(&datatypes[..]),
        prop_oneof![
            prop::collection::vec(0_u64..60, 0..3),
            prop::collection::vec(any::<u64>(), 0..3),
            Just(vec![2]),
            Just(vec![2, 1])
        ],
        prop::collection::vec(element, 0..4),
        prop::option::of(any::<u64>()),
    )
        .prop_map(|(name, datatype, shape, data, size)| {
            let mut input = json!({"name": name, "datatype": datatype, "shape": shape, "data": data});
            if let Some(size) = size {
                input["parameters"] = json!({"binary_data_size": size});
                input.as_object_mut().unwrap().remove("data");
            }
            input
        });
    (
        prop::collection::vec(input, 0..5),
        any_json(),
        prop::option::of(any_json()),
    )
        .prop_map(|(inputs, id, outputs)| {
            let mut request = json!({"inputs": inputs});
            if id.is_string() || id.is_number() {
                request["id"] = id;
            }
            if let Some(outputs) = outputs {
                request["outputs"] = outputs;
            }
            request
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn labels_of_any_kind(body in any_json(), bytes in prop::collection::vec(any::<u8>(), 0..200), id: String, many: bool) {
        check("/feedback", &[], body.to_string().into_bytes());
        check("/feedback", &[], bytes);
        let label = json!({"predictionId": id, "actual": body});
        let labels = if many { json!([label, body]) } else { label };
        check("/feedback", &[], labels.to_string().into_bytes());
    }

    #[test]
    fn rows_of_any_origin(
        traffic in "[ -~]{0,20}", key in "[ -~]{0,70}", entities in "[ -~]{0,40}", path in prop::sample::select(&PATHS[..]),
    ) {
        let origin = [("modelward-traffic", traffic.as_str()), ("modelward-traffic-key", &key), ("modelward-entity", &entities)];
        for headers in [&origin[..], &origin[..1], &origin[1..], &origin[2..]] {
            check(path, headers, json!([{"age": 63}, {"age": 41}]).to_string().into_bytes());
        }
    }

    #[test]
    fn arbitrary_bytes(body in prop::collection::vec(any::<u8>(), 0..400), path in prop::sample::select(&PATHS[..])) {
        check(path, &[], body);
    }

    #[test]
    fn arbitrary_bytes_that_claim_to_be_packed_or_binary(
        body in prop::collection::vec(any::<u8>(), 0..400),
        path in prop::sample::select(&PATHS[..]),
        coding in prop::sample::select(&["gzip", "deflate", "identity", "br", ""][..]),
        length in 0_usize..500,
    ) {
        check(path, &[("content-encoding", coding), ("inference-header-content-length", &length.to_string())], body);
    }

    #[test]
    fn arbitrary_json(body in any_json(), path in prop::sample::select(&PATHS[..])) {
        check(path, &[], body.to_string().into_bytes());
    }

    #[test]
    fn arbitrary_json_cut_anywhere_and_with_tokens_of_python(
        body in any_json(), path in prop::sample::select(&PATHS[..]), at in any::<prop::sample::Index>(),
        token in prop::sample::select(&["NaN", "Infinity", "-Infinity", "-NaN", "\\", "\"", "{", "nul"][..]),
    ) {
        let mut bytes = body.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..at, token.bytes());
        check(path, &[], bytes);
    }

    #[test]
    fn rows_of_any_values(values in prop::collection::vec(
        (prop::sample::select(&["age", "chol", "sex", "thal", "x"][..]), any_json()), 0..6), many: bool,
    ) {
        let row = Value::Object(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let body = if many { json!([row, row]) } else { row };
        check("/predict", &[("modelward-key", "k")], body.to_string().into_bytes());
    }

    #[test]
    fn tensors_that_are_nearly_right(request in nearly_infer(), tail in prop::collection::vec(any::<u8>(), 0..32)) {
        let json = request.to_string();
        let length = json.len().to_string();
        check(PATHS[1], &[], json.clone().into_bytes());
        let body = [json.as_bytes(), &tail].concat();
        check(PATHS[2], &[("inference-header-content-length", &length)], body);
    }
}

#[test]
fn bodies_that_are_deep_wide_or_large() {
    let wide = format!(
        "{{{}}}",
        (0..10_000)
            .map(|i| format!("\"f{i}\":1"))
            .collect::<Vec<_>>()
            .join(",")
    );
    let bodies = [
        "[".repeat(100_000),
        "{\"a\":".repeat(30_000),
        wide,
        format!("[{}]", vec!["{}"; 40_000].join(",")),
        format!("{{\"inputs\":[{}]}}", vec!["{}"; 40_000].join(",")),
        format!(
            r#"{{"inputs":[{{"name":"age","shape":[1],"datatype":"FP32","data":[{}]}}]}}"#,
            vec!["0"; 80_000].join(",")
        ),
        format!(
            r#"{{"inputs":[{{"name":"age","shape":[{}],"datatype":"FP32","data":[1]}}]}}"#,
            vec!["1"; 80_000].join(",")
        ),
        " ".repeat(300_000),
        format!("\"{}\"", "N".repeat(190_000)),
    ];
    for body in bodies {
        for path in PATHS {
            check(path, &[], body.clone().into_bytes());
        }
    }
}
