//! Equal rows are scored, counted and measured equally for every protocol.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Answer, Client, FileServer, KEY, Program, route, routes, start_with, write_bundle, write_counted_bundle,
    write_settings,
};
use modelward_inference::prediction_id::Signer;
use modelward_profile::Counts;
use modelward_wire::RouteMode;
use serde_json::{Value, json};

/// The results of a protocol for its rows.
#[derive(Debug, PartialEq)]
struct Observed {
    /// Probability bits and class of each row of each answered request.
    answers: Vec<(u64, u64)>,
    /// Score bits and class in the id of each row.
    sealed: Vec<(u64, u8)>,
    /// Described warnings.
    warnings: Vec<String>,
    /// The counts that were sent to the ledger.
    counts: Counts,
    /// The lines of `/metrics` about rows.
    metrics: Vec<String>,
}

#[derive(Clone, Copy)]
enum Protocol {
    Rows,
    Tensors,
}

// === impl Protocol ===

impl Protocol {
    async fn send(self, client: &mut Client, rows: &[Value], headers: &[(&str, &str)]) -> Answer {
        let (path, body) = match self {
            Self::Rows => ("/predict", json!(rows)),
            Self::Tensors => ("/v2/models/heart/infer", tensors(rows)),
        };
        let body = body.to_string().into_bytes();
        client.send("POST", path, headers, &body).await.unwrap()
    }

    /// Probability, class and id of each row.
    fn outputs(self, answer: &Answer) -> Vec<(f64, u64, String)> {
        let answer = answer.json();
        let output = |probability: &Value, class: &Value, id: &Value| {
            let id = id.as_str().unwrap().to_owned();
            (probability.as_f64().unwrap(), class.as_u64().unwrap(), id)
        };
        match self {
            Self::Rows => {
                let rows = answer["predictions"].as_array().unwrap().iter();
                rows.map(|row| output(&row["probability"], &row["class"], &row["predictionId"]))
                    .collect()
            }
            Self::Tensors => {
                let data = |place: usize| answer["outputs"][place]["data"].as_array().unwrap();
                let rows = data(0).iter().zip(data(1)).zip(data(2));
                rows.map(|((probability, class), id)| output(probability, class, id))
                    .collect()
            }
        }
    }

    fn warnings(self, answer: &Answer) -> Vec<String> {
        let answer = answer.json();
        match self {
            Self::Rows => {
                let rows = answer["predictions"].as_array().unwrap().iter().enumerate();
                let of_row = |(row, prediction): (usize, &Value)| {
                    let warnings = prediction["warnings"].as_array().unwrap().iter();
                    let words = warnings
                        .map(|warning| format!("row {row}: {}", warning["message"].as_str().unwrap()));
                    words.collect::<Vec<_>>()
                };
                rows.flat_map(of_row).collect()
            }
            Self::Tensors => {
                let words = answer["parameters"]["warnings"].as_str().unwrap_or_default();
                let words = words.split("; ").filter(|text| !text.is_empty());
                words.map(str::to_owned).collect()
            }
        }
    }
}

/// The rows as one tensor for each feature.
fn tensors(rows: &[Value]) -> Value {
    let inputs = [
        ("age", "FP64"),
        ("chol", "FP64"),
        ("sex", "FP64"),
        ("thal", "BYTES"),
    ]
    .map(|(feature, datatype)| {
        let data: Vec<_> = rows.iter().map(|row| row[feature].clone()).collect();
        let is_text = data.iter().any(Value::is_string);
        let datatype = if is_text { "BYTES" } else { datatype };
        json!({"name": feature, "shape": [rows.len()], "datatype": datatype, "data": data})
    });
    json!({"inputs": inputs})
}

fn requests() -> Vec<(Vec<Value>, &'static str)> {
    let good = |age: u32| json!({"age": age, "chol": 200 + age, "sex": age % 2, "thal": "6"});
    let odd = json!({"age": 50.5, "chol": 1000, "sex": null, "thal": "9"});
    vec![
        (vec![good(63)], "a"),
        (
            vec![good(41), odd.clone(), good(77), json!({"age": 29})],
            "b,c,,b",
        ),
        (vec![odd; 4], "d,e,f,a"),
        ((30..70).map(good).collect(), ""),
    ]
}

async fn observe(protocol: Protocol) -> Observed {
    let files = FileServer::start().await;
    let source = tempfile::tempdir().unwrap();
    let (live, shadow) = (source.path().join("live"), source.path().join("shadow"));
    write_counted_bundle(&live, 0.0);
    write_bundle(&shadow, 1.0);
    let routes = routes(vec![
        route("heart-1", files.state.offer(&live), 100, RouteMode::Live),
        route("heart-2", files.state.offer(&shadow), 0, RouteMode::Shadow),
    ]);
    let dir = tempfile::tempdir().unwrap();
    write_settings(dir.path(), &routes);
    let mut program = start_with(dir, &files.url, 0, &[("MODELWARD_FLUSH_SECONDS", "1")]);
    program.wait_ready(200).await;
    until_shadow_is_ready(&program).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let signer = Signer::new(&KEY);
    let (mut answers, mut sealed, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows_in_all = 0;
    for (rows, entities) in requests() {
        let headers = [("modelward-entity", entities)];
        let headers = if entities.is_empty() { &[][..] } else { &headers };
        let answer = protocol.send(&mut client, &rows, headers).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        for (probability, class, id) in protocol.outputs(&answer) {
            let id = signer.open(&id).unwrap();
            answers.push((probability.to_bits(), class));
            sealed.push((id.score.to_bits(), id.class));
        }
        warnings.extend(protocol.warnings(&answer));
        rows_in_all += rows.len();
    }
    // A wrong type, and entities that do not match the rows: neither is answered, and the first one is counted.
    let wrong = [json!({"age": 63}), json!({"age": "old"})];
    let refused = protocol.send(&mut client, &wrong, &[]).await;
    assert!(matches!(refused.status, 400 | 422), "{}", refused.json());
    let other = [("modelward-entity", "a,b,c")];
    let refused = protocol.send(&mut client, &wrong[..1], &other).await;
    assert!(matches!(refused.status, 400 | 422), "{}", refused.json());
    let metrics = metrics_of_rows(&mut client, rows_in_all).await;
    drop(client);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    let totals = files.state.totals();
    Observed {
        answers,
        sealed,
        warnings,
        counts: modelward_profile::totals::sum(&totals).unwrap().unwrap().counts,
        metrics,
    }
}

async fn until_shadow_is_ready(program: &Program) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut client = Client::connect(&program.addr).await.unwrap();
    loop {
        let report = client.send("GET", "/health", &[], b"").await.unwrap().json();
        if report["versions"][1]["state"] == "Ready" {
            return;
        }
        assert!(Instant::now() < end, "{report}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The lines about rows, once the shadow has scored all of them.
async fn metrics_of_rows(client: &mut Client, rows: usize) -> Vec<String> {
    const ABOUT_ROWS: [&str; 7] = [
        "predictions_total",
        "batch_rows_",
        "warnings_total",
        "warnings_omitted_total",
        "rows_uncounted_total",
        "entities_full_total",
        "shadow_dropped_total",
    ];
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let text = client.send("GET", "/metrics", &[], b"").await.unwrap().body;
        let text = String::from_utf8(text).unwrap();
        let about_rows = |line: &&str| {
            let name = line.strip_prefix("modelward_inference_");
            name.is_some_and(|name| ABOUT_ROWS.iter().any(|start| name.starts_with(start)))
        };
        let mut lines: Vec<String> = text.lines().filter(about_rows).map(str::to_owned).collect();
        lines.sort();
        let shadow: usize = lines
            .iter()
            .filter(|line| line.contains("predictions_total{version=\"heart-2\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        if shadow == rows {
            return lines;
        }
        assert!(Instant::now() < end, "{lines:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_are_scored_counted_and_measured_equally_by_both_protocols() {
    let (rows, tensors) = (observe(Protocol::Rows).await, observe(Protocol::Tensors).await);
    assert_eq!(rows, tensors);
    assert_eq!(rows.answers.len(), 49);
    let sealed = rows
        .sealed
        .iter()
        .map(|(score, class)| (*score, u64::from(*class)));
    assert_eq!(rows.answers, sealed.collect::<Vec<_>>());
    assert_eq!(rows.warnings.len(), 10, "{:?}", rows.warnings);
    assert_eq!(rows.counts.answered(), Some(49));
    // Two entities were counted before.
    assert_eq!(rows.counts.aside.repeated, 2);
    assert_eq!(rows.counts.features.features[0].type_errors, 1);
    for line in [
        "modelward_inference_batch_rows_count 4",
        "modelward_inference_batch_rows_sum 49.0",
        // A shadow describes no warnings, so none counts as omitted.
        "modelward_inference_warnings_omitted_total 0",
        r#"modelward_inference_warnings_total{version="heart-2",feature="thal",kind="UnknownCategory"} 5"#,
    ] {
        assert!(
            rows.metrics.iter().any(|found| found == line),
            "{line}\n{:#?}",
            rows.metrics
        );
    }
}
