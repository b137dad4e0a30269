//! No request within the documented limits ends a Pod with 512 MiB: the real program, its peak resident memory, and which paths
//! still answer under abusive clients.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use common::{Client, Program, route, routes, start_with, write_settings};
use modelward_model::{
    BundleInfo, DirBuilder, Feature, FeatureSchema, FeatureTransform, Row, TargetInfo, Transforms,
    Value as ModelValue, WarmUp,
    bundle::file,
    encode::TRANSFORMS_FILE,
    family::{
        columns::MODEL_FILE,
        logistic::{LogisticModel, LogisticScorer},
    },
    files::json,
};
use modelward_wire::{Digest, ManifestKind, RouteMode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// The default memory of a Pod.
const LIMIT: u64 = 512 << 20;

/// A free text that training accepted as a category: the maximum number of categories with the maximum length.
fn write_text_bundle(dir: &std::path::Path) -> Digest {
    let comments: Vec<String> = (0..256)
        .map(|i| format!("comment {i} {}", "of many words ".repeat(8)))
        .collect();
    let words: Vec<&str> = comments.iter().map(String::as_str).collect();
    let schema = FeatureSchema::new(vec![
        Feature::numeric("age"),
        Feature::numeric("visits"),
        Feature::categorical("comment", &words),
    ])
    .unwrap();
    let number = |feature: &str| FeatureTransform::Standardise {
        feature: feature.into(),
        impute: 1.0,
        mean: 1.0,
        scale: 1.0,
    };
    let impute = match &schema.features[2].kind {
        modelward_model::FeatureKind::Categorical { categories } => categories[0].clone(),
        modelward_model::FeatureKind::Numeric { .. } => unreachable!(),
    };
    let transforms = Transforms {
        format: 1,
        features: vec![
            number("age"),
            number("visits"),
            FeatureTransform::OneHot {
                feature: "comment".into(),
                impute,
            },
        ],
    };
    let model = LogisticModel::new(&schema, vec![0.001; 258], -0.2, 1.0);
    let scorer = LogisticScorer::new(&schema, &transforms, &model).unwrap();
    let rows = [Row::new(vec![
        ModelValue::Number(40.0),
        ModelValue::Number(3.0),
        ModelValue::Category(7),
    ])];
    let warm_up = WarmUp::record(&schema, &scorer, &rows).unwrap();
    let info = BundleInfo {
        format: 1,
        model: "heart".into(),
        family: "LogisticRegression".into(),
        threshold: "0.5".parse().unwrap(),
        snapshot: Some(Digest::from_bytes([9; 32])),
        rows: 1000,
        positive_rows: 500,
        target: TargetInfo {
            column: "y".into(),
            positive_when: "y is 1".into(),
        },
        selected_by: "F1".into(),
        metrics: Vec::new(),
        gates: Vec::new(),
        training: None,
        reproducible: true,
        imported: None,
        custom_trainer: None,
        members: Vec::new(),
    };
    DirBuilder::new(ManifestKind::Bundle)
        .with(file::INFO, json(&info).unwrap())
        .with(file::SCHEMA, json(&schema).unwrap())
        .with(TRANSFORMS_FILE, json(&transforms).unwrap())
        .with(MODEL_FILE, json(&model).unwrap())
        .with(file::WARM_UP, json(&warm_up).unwrap())
        .with(file::CARD, "<!doctype html><title>heart</title>")
        .write(dir)
        .unwrap()
        .1
}

/// A ready program with a probe port. The second part is the address of this port.
async fn ready(settings: &[(&str, &str)]) -> (Program, String) {
    let dir = tempfile::tempdir().unwrap();
    let fresh = dir.path().join("fresh");
    let digest = write_text_bundle(&fresh);
    write_settings(
        dir.path(),
        &routes(vec![route("heart-1", digest, 100, RouteMode::Live)]),
    );
    fs::rename(&fresh, dir.path().join("cache").join(digest.hex())).unwrap();
    let probes = format!("127.0.0.1:{}", common::free_port());
    let mut all = vec![("MODELWARD_PROBE_ADDR", probes.as_str())];
    all.extend_from_slice(settings);
    let program = start_with(dir, "http://127.0.0.1:9", 0, &all);
    program.wait_ready(200).await;
    (program, probes)
}

/// The peak memory of the process in bytes.
fn peak(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn check_peak(program: &mut Program, after: &str) {
    assert_eq!(program.child.try_wait().unwrap(), None, "{after}");
    let peak = peak(program);
    eprintln!("{} MiB at most after {after}", peak >> 20);
    assert!(peak < LIMIT, "{} MiB after {after}", peak >> 20);
}

/// Sends each body on its own connection, all at once. Returns the statuses and the length of the longest answer. A
/// connection that ended without an answer has the status 0.
async fn send_all(program: &Program, requests: Vec<(&'static str, Headers, Vec<u8>)>) -> (Vec<u16>, usize) {
    let sent = requests.into_iter().map(|(path, headers, body)| {
        let addr = program.addr.clone();
        tokio::spawn(async move {
            let mut client = Client::connect(&addr).await.unwrap();
            match client.send("POST", path, headers, &body).await {
                Ok(answer) => (answer.status, answer.body.len()),
                Err(_) => (0, 0),
            }
        })
    });
    let mut statuses = Vec::new();
    let mut longest = 0;
    for sent in sent.collect::<Vec<_>>() {
        let (status, length) = sent.await.unwrap();
        statuses.push(status);
        longest = longest.max(length);
    }
    (statuses, longest)
}

type Headers = &'static [(&'static str, &'static str)];

const NONE: Headers = &[];
const GZIP: Headers = &[("content-encoding", "gzip")];
const MOST: usize = 16 << 20;

fn repeat(start: &str, part: &str, end: &str, length: usize) -> Vec<u8> {
    let mut text = String::with_capacity(length);
    text.push_str(start);
    while text.len() + part.len() + end.len() < length {
        text.push_str(part);
    }
    text.pop();
    text.push_str(end);
    text.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bodies of the maximum size, with the shapes that take the most memory for their size.
fn largest() -> Vec<(&'static str, Headers, Vec<u8>)> {
    let tensor = r#"{"inputs":[{"name":"comment","datatype":"BYTES","shape":[10000],"data":["#;
    let infer = "/v2/models/heart/infer";
    let version = "/v2/models/heart/versions/heart-1/infer";
    let rows = r#"{"comment":"a new comment","age":NaN},"#;
    let mut all = Vec::new();
    for _ in 0..2 {
        all.push(("/predict", NONE, repeat("[", "{},", "]", MOST)));
        all.push(("/predict", NONE, repeat("[", rows, "]", MOST)));
        all.push(("/predict", NONE, repeat("{\"comment\":\"", "\\n", "x\"}", MOST)));
        all.push((infer, NONE, repeat(tensor, "\"\\n\",", "]}]}", MOST)));
        all.push((version, NONE, repeat(tensor, "1,", "]}]}", MOST)));
        all.push(("/predict", GZIP, gzip(&repeat("[", "{},", "]", MOST))));
        all.push((infer, GZIP, gzip(&repeat(tensor, "\"\\n\",", "]}]}", MOST))));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_within_the_limits_takes_more_memory_than_a_pod_has() {
    let (mut program, probes) = ready(&[]).await;

    // A batch with a warning for each of its rows.
    let row = r#"{"age":40,"visits":3,"comment":"never seen before"},"#;
    let unknown = format!("[{}{{}}]", row.repeat(9_999)).into_bytes();
    let asked = unknown.len();
    let (statuses, longest) = send_all(&program, vec![("/predict", NONE, unknown); 6]).await;
    assert_eq!(statuses, [200; 6]);
    assert!(longest < 10_000 * 400, "{asked} bytes were answered by {longest}");
    check_peak(&mut program, "six batches of unknown categories");

    let tensor = {
        let texts = vec!["\"never seen before\""; 10_000].join(",");
        format!(r#"{{"inputs":[{{"name":"comment","datatype":"BYTES","shape":[10000],"data":[{texts}]}}]}}"#)
    };
    for path in [
        "/v2/models/heart/infer",
        "/v2/models/heart/versions/heart-1/infer",
    ] {
        let (statuses, longest) =
            send_all(&program, vec![(path, NONE, tensor.clone().into_bytes()); 4]).await;
        assert_eq!(statuses, [200; 4]);
        assert!(longest < 10_000 * 150, "{longest}");
    }
    check_peak(&mut program, "tensors of unknown categories");

    // Small bodies with large answers that are never read.
    let empty_rows = format!("[{}{{}}]", "{},".repeat(9_999));
    let mut unread = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(&program.addr).await.unwrap();
        let mut request = String::from("POST /predict HTTP/1.1\r\nhost: test\r\n");
        write!(
            request,
            "content-length: {}\r\n\r\n{empty_rows}",
            empty_rows.len()
        )
        .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    sleep(Duration::from_secs(3)).await;
    check_peak(&mut program, "300 answers that are not read");

    // The busy program answers later or not at all, and is still alive.
    let (statuses, _) = send_all(&program, largest()).await;
    eprintln!("{statuses:?}");
    let expected = |status: &u16| matches!(status, 0 | 200 | 400 | 408 | 413 | 422 | 503);
    assert!(statuses.iter().all(expected), "{statuses:?}");
    drop(unread);
    check_peak(&mut program, "fourteen bodies of 16 MiB beside them");

    // Endless headers on every connection.
    let mut heads = Vec::new();
    for _ in 0..2_000 {
        let mut stream = TcpStream::connect(&program.addr).await.unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nx-long: {}", "x".repeat(15 << 10));
        // The server may have ended it already.
        let _ = stream.write_all(head.as_bytes()).await;
        heads.push(stream);
    }
    let mut probe = Client::connect(&probes).await.unwrap();
    let answer = timeout(Duration::from_secs(2), probe.send("GET", "/readyz", &[], b"")).await;
    assert_eq!(answer.unwrap().unwrap().status, 200);
    check_peak(&mut program, "2,000 heads of 15 KiB");
    drop(heads);

    let one = br#"{"age":40,"visits":3}"#.to_vec();
    let (statuses, _) = send_all(&program, vec![("/predict", NONE, one)]).await;
    assert_eq!(statuses, [200]);
}

/// Whether the server closes this connection within this time without sending another byte.
async fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    let mut byte = [0; 1];
    matches!(timeout(within, stream.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn a_slow_head_is_cut_off_within_seconds_and_an_idle_connection_is_not() {
    let (program, probes) = ready(&[("MODELWARD_HEAD_SECONDS", "1")]).await;
    for addr in [&program.addr, &probes] {
        let mut idle = Client::connect(addr).await.unwrap();
        assert_eq!(idle.send("GET", "/healthz", &[], b"").await.unwrap().status, 200);
        let mut silent = TcpStream::connect(addr).await.unwrap();
        let mut slow = TcpStream::connect(addr).await.unwrap();
        let begun = Instant::now();
        // One byte at a time does not help.
        for byte in b"GET /hea" {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(300)).await;
        }
        assert!(is_closed(&mut slow, Duration::from_secs(10)).await);
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        assert_eq!(idle.send("GET", "/healthz", &[], b"").await.unwrap().status, 200);
        assert!(!is_closed(&mut silent, Duration::from_millis(100)).await);
    }
    // A header that is too long is refused immediately.
    let mut client = Client::connect(&program.addr).await.unwrap();
    let long = "x".repeat(20 << 10);
    let answer = client.send("GET", "/healthz", &[("x-long", &long)], b"").await;
    assert!(answer.is_err() || answer.unwrap().status == 431);
}

#[tokio::test]
async fn probes_and_metrics_answer_while_every_connection_of_the_other_port_is_taken() {
    let settings = [
        ("MODELWARD_MAX_CONNECTIONS", "16"),
        ("MODELWARD_HEAD_SECONDS", "60"),
    ];
    let (program, probes) = ready(&settings).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(&program.addr).await.unwrap();
        stream.write_all(b"POST /predict HT").await.unwrap();
        held.push(stream);
    }
    sleep(Duration::from_millis(300)).await;
    let other = async {
        let mut client = Client::connect(&program.addr).await?;
        client.send("GET", "/readyz", &[], b"").await
    };
    assert!(timeout(Duration::from_secs(1), other).await.is_err());
    let mut client = Client::connect(&probes).await.unwrap();
    for path in ["/readyz", "/healthz", "/health", "/metrics"] {
        let answer = timeout(Duration::from_secs(1), client.send("GET", path, &[], b"")).await;
        assert_eq!(answer.unwrap().unwrap().status, 200, "{path}");
    }
    // Predictions have one port.
    let answer = client.send("POST", "/predict", &[], b"{}").await.unwrap();
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn silent_connections_make_room_when_nearly_all_are_taken() {
    let (program, _) = ready(&[("MODELWARD_MAX_CONNECTIONS", "8")]).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(&program.addr).await.unwrap());
    }
    let mut client = Client::connect(&program.addr).await.unwrap();
    let answer = timeout(
        Duration::from_secs(20),
        client.send("POST", "/predict", &[], b"{}"),
    )
    .await;
    assert_eq!(answer.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_small_container_refuses_large_bodies_and_serves_small_ones() {
    let (mut program, _) = ready(&[("MODELWARD_MEMORY_BYTES", "134217728")]).await;
    let (statuses, _) = send_all(&program, largest().into_iter().take(3).collect()).await;
    assert_eq!(statuses, [413; 3]);
    let row = br#"[{"age":40,"visits":3}]"#.to_vec();
    let (statuses, _) = send_all(&program, vec![("/predict", NONE, row); 50]).await;
    assert_eq!(statuses, [200; 50]);
    assert!(peak(&program) < 128 << 20, "{}", peak(&program));
    assert_eq!(program.child.try_wait().unwrap(), None);
}
