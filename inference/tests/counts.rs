//! Answered rows are counted, and counts arrive at the ledger: with the real program, killed, terminated and without its ledger.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    Client, FileServer, KEY, Program, TRAFFIC_KEY, route, routes, row, start_with, write_counted_bundle,
    write_settings,
};
use modelward_inference::prediction_id::Signer;
use modelward_profile::Envelope;
use modelward_wire::{Digest, RouteMode};
use serde_json::{Value, json};

/// A ledger with a bundle that has a reference, and settings of a program that serves it.
struct Setting {
    files: FileServer,
    dir: tempfile::TempDir,
    digest: Digest,
}

async fn setting(window_seconds: u32) -> Setting {
    let files = FileServer::start().await;
    let source = tempfile::tempdir().unwrap();
    let bundle = source.path().join("bundle");
    write_counted_bundle(&bundle, 0.0);
    let digest = files.state.offer(&bundle);
    let dir = tempfile::tempdir().unwrap();
    let mut routes = routes(vec![route("heart-1", digest, 100, RouteMode::Live)]);
    routes.window_seconds = window_seconds;
    write_settings(dir.path(), &routes);
    Setting { files, dir, digest }
}

impl Setting {
    /// Starts the program, which flushes every second, and waits until it is ready.
    async fn start(self, drain_seconds: u64) -> (FileServer, Program) {
        let program = start_with(
            self.dir,
            &self.files.url,
            drain_seconds,
            &[("MODELWARD_FLUSH_SECONDS", "1")],
        );
        program.wait_ready(200).await;
        (self.files, program)
    }
}

/// Sends requests over one connection until `stop` or until the server ends. Returns how many were answered.
async fn ask(addr: String, body: Vec<u8>, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> bool {
    let mut client = Client::connect(&addr).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        match client.send("POST", "/predict", &[], &body).await {
            Ok(answer) => {
                assert_eq!(answer.status, 200);
                answered.fetch_add(1, Ordering::SeqCst);
                if answer.closes() {
                    match Client::connect(&addr).await {
                        Ok(fresh) => client = fresh,
                        Err(_) => return false,
                    }
                }
            }
            Err(_) => return false,
        }
    }
    true
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn metric(program: &Program, name: &str) -> f64 {
    let mut client = Client::connect(&program.addr).await.unwrap();
    let text = client.send("GET", "/metrics", &[], b"").await.unwrap().body;
    let text = String::from_utf8(text).unwrap();
    let name = format!("modelward_inference_{name}");
    let values = text
        .lines()
        .filter(|line| !line.starts_with('#') && line.split([' ', '{']).next() == Some(&name))
        .filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

fn answered(envelope: &Envelope) -> u64 {
    envelope.counts.answered().unwrap()
}

fn counts_files(program: &Program) -> usize {
    let entries = fs::read_dir(program.dir.path().join("cache/counts")).unwrap();
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".counts"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_equals_what_is_answered_and_sigterm_closes_it() {
    let (files, mut program) = setting(3600).await.start(0).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let three = json!([row(), {"age": 41}, {"age": 50, "thal": "9", "chol": 1000}]);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let body = three.to_string().into_bytes();
            tokio::spawn(ask(
                program.addr.clone(),
                body,
                Arc::clone(&stop),
                Arc::clone(&count),
            ))
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(client.await.unwrap());
    }
    let mut client = Client::connect(&program.addr).await.unwrap();
    let body = json!({"inputs": [
        {"name": "age", "shape": [2], "datatype": "FP32", "data": [63, 41]},
        {"name": "sex", "shape": [2], "datatype": "BYTES", "data": ["1", "0"]},
    ], "outputs": [{"name": "probability", "parameters": {"binary_data": true}}]});
    let answer = client
        .send("POST", "/v2/models/heart/infer", &[], body.to_string().as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    // A refused request: none of its rows is answered, and its wrong type is counted.
    let bad = json!([{"age": 63}, {"age": "old"}]).to_string();
    assert_eq!(
        client
            .send("POST", "/predict", &[], bad.as_bytes())
            .await
            .unwrap()
            .status,
        422
    );
    // Two rows with other errors, one of them also with a wrong type, and five bodies from which no row can be read.
    let unknown = json!([{"age": 63}, {"age": 63, "agee": 1}, {"age": "old", "agee": 1}]).to_string();
    for body in [unknown.as_str(), "{\"age\": 63", "[]", "7"] {
        let refused = client
            .send("POST", "/predict", &[], body.as_bytes())
            .await
            .unwrap();
        assert!((400..500).contains(&refused.status), "{refused:?}");
    }
    for (path, headers) in [
        ("/v2/models/heart/infer", &[][..]),
        ("/predict", &[("content-encoding", "br")]),
    ] {
        let refused = client.send("POST", path, headers, b"{}").await.unwrap();
        assert!((400..500).contains(&refused.status), "{path}: {refused:?}");
    }
    drop(client);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    let totals = files.state.totals();
    assert!(totals.iter().all(|envelope| envelope.closed), "{totals:?}");
    let requests = count.load(Ordering::SeqCst) as u64;
    assert!(requests > 100, "{requests}");
    let (rows, third) = (requests * 3 + 2, requests);
    assert_eq!(totals.iter().map(answered).sum::<u64>(), rows);
    let sum = modelward_profile::totals::sum(&totals).unwrap().unwrap();
    assert_eq!((sum.incarnations, sum.unclosed.len()), (1, 0));
    let [age, chol, _, thal] = sum.counts.features.features.as_slice() else {
        panic!("{:?}", sum.counts);
    };
    assert_eq!((age.present(), age.type_errors), (Some(rows), 2));
    assert_eq!(sum.counts.refused, 2 + 5);
    assert_eq!((chol.present(), chol.missing), (Some(2 * third), third + 2));
    // A category that is not in the training data, and a value above its maximum.
    assert_eq!(
        (thal.values.last(), chol.values.last()),
        (Some(&third), Some(&third))
    );
    let scores: u64 = sum.counts.score.by_slot().sum();
    assert_eq!(scores, rows);
    assert_eq!(counts_files(&program), 0);
    assert!(program.log().contains("all counts are with the ledger"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing_that_was_answered() {
    let setting = setting(3600).await;
    let (files, mut program) = setting.start(0).await;
    let mut answered_in_all = 0;
    let mut in_flight = 0;
    for round in 0..3 {
        // The last run checks that a whole run without the ledger does no harm.
        files.state.away_for_counts.store(round == 1, Ordering::SeqCst);
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let body = row().to_string().into_bytes();
                tokio::spawn(ask(
                    program.addr.clone(),
                    body,
                    Arc::clone(&stop),
                    Arc::clone(&count),
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        // SIGKILL while it answers.
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        for client in clients {
            in_flight += u64::from(!client.await.unwrap());
        }
        answered_in_all += count.load(Ordering::SeqCst) as u64;
        program = program.start_again(&files.url, 0, &[("MODELWARD_FLUSH_SECONDS", "1")]);
        program.wait_ready(200).await;
    }
    files.state.away_for_counts.store(false, Ordering::SeqCst);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0), "{}", program.log());
    let totals = files.state.totals();
    let counted: u64 = totals.iter().map(answered).sum();
    assert!(answered_in_all > 300, "{answered_in_all}");
    assert!(
        (answered_in_all..=answered_in_all + in_flight).contains(&counted),
        "answered {answered_in_all}, in flight {in_flight}, counted {counted}"
    );
    assert!(in_flight <= 12, "{in_flight}");
    assert!(totals.iter().all(|envelope| envelope.closed), "{totals:?}");
    assert_eq!(counts_files(&program), 0, "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_end_are_closed_and_hold_every_row_once() {
    let (files, mut program) = setting(2).await.start(0).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let client = tokio::spawn(ask(
        program.addr.clone(),
        row().to_string().into_bytes(),
        Arc::clone(&stop),
        Arc::clone(&count),
    ));
    tokio::time::sleep(Duration::from_secs(7)).await;
    let windows = files.state.totals();
    let closed = windows
        .iter()
        .filter(|envelope| envelope.closed && answered(envelope) > 0)
        .count();
    assert!(closed >= 1, "{windows:?}");
    stop.store(true, Ordering::SeqCst);
    assert!(client.await.unwrap());
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    let windows = files.state.totals();
    assert!(windows.len() >= 4, "{windows:?}");
    assert!(
        windows
            .iter()
            .all(|envelope| envelope.closed && envelope.key.window_start % 2 == 0)
    );
    let counted: u64 = windows.iter().map(answered).sum();
    assert_eq!(counted, count.load(Ordering::SeqCst) as u64);
    assert_eq!(counts_files(&program), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_requests_go_on_state_is_bounded_and_all_of_it_comes_later() {
    let (files, program) = setting(3600).await.start(0).await;
    files.state.away_for_counts.store(true, Ordering::SeqCst);
    let mut client = Client::connect(&program.addr).await.unwrap();
    for _ in 0..50 {
        let answer = client
            .send("POST", "/predict", &[], row().to_string().as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
    }
    let end = Instant::now() + Duration::from_secs(20);
    while metric(&program, "counts_flush_failures_total").await < 2.0 {
        assert!(Instant::now() < end, "{}", program.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(metric(&program, "counts_unsent_windows").await, 1.0);
    assert_eq!(metric(&program, "counts_durable").await, 1.0);
    // Waits for the files of this window and of the next one.
    assert_eq!(counts_files(&program), 2);
    files.state.away_for_counts.store(false, Ordering::SeqCst);
    until("counts", || {
        (files.state.totals().iter().map(answered).sum::<u64>() == 50).then_some(())
    })
    .await;
    let end = Instant::now() + Duration::from_secs(20);
    while metric(&program, "counts_unsent_windows").await > 0.0 {
        assert!(Instant::now() < end, "{}", program.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(metric(&program, "counts_last_flush_timestamp_seconds").await > 1.0e9);
    assert_eq!(metric(&program, "counting").await, 1.0);
    // One line for each change, not one per second.
    assert_eq!(
        program.log().matches("counts wait for the ledger").count(),
        1,
        "{}",
        program.log()
    );
    assert_eq!(
        program.log().matches("the ledger accepts counts again").count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_the_ledger_refuses_are_not_sent_for_ever() {
    let (files, mut program) = setting(3600).await.start(0).await;
    files.state.refuse_counts.store(true, Ordering::SeqCst);
    let mut client = Client::connect(&program.addr).await.unwrap();
    for _ in 0..6 {
        let answer = client
            .send("POST", "/predict", &[], row().to_string().as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(metric(&program, "counts_flush_failures_total").await, 3.0);
    assert_eq!(
        program
            .log()
            .matches("the ledger refuses the counts of heart-1")
            .count(),
        1
    );
    let terminated = Instant::now();
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    assert!(terminated.elapsed() < Duration::from_secs(5));
    assert!(program.log().contains("6 rows are lost"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_refused_takes_no_other_with_it() {
    let (files, mut program) = setting(2).await.start(0).await;
    files.state.away_for_counts.store(true, Ordering::SeqCst);
    let mut client = Client::connect(&program.addr).await.unwrap();
    let mut windows = BTreeMap::<i64, u64>::new();
    for _ in 0..10 {
        let answer = client
            .send("POST", "/predict", &[], row().to_string().as_bytes())
            .await
            .unwrap();
        // The window is that of the time at which the request was received, which is in its id.
        let id = answer.json()["predictionId"].as_str().unwrap().to_owned();
        let at = Signer::new(&KEY).open(&id).unwrap().time_ms.cast_signed() / 1000;
        *windows.entry(at - at % 2).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(windows.len() >= 2, "{windows:?}");
    let (bad, lost) = windows.pop_first().unwrap();
    files.state.refused_window.store(bad, Ordering::SeqCst);
    files.state.away_for_counts.store(false, Ordering::SeqCst);
    let end = Instant::now() + Duration::from_secs(20);
    while metric(&program, "counts_dropped_windows_total").await < 1.0 {
        assert!(Instant::now() < end, "{}", program.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(metric(&program, "counts_dropped_rows_total").await, lost as f64);
    drop(client);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    let mut counted = BTreeMap::new();
    for envelope in files
        .state
        .totals()
        .iter()
        .filter(|envelope| answered(envelope) > 0)
    {
        assert!(envelope.closed);
        counted.insert(envelope.key.window_start, answered(envelope));
    }
    assert_eq!(counted, windows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_files_leaves_counts_in_memory_and_says_so() {
    let setting = setting(3600).await;
    // A file instead of the directory.
    fs::write(setting.dir.path().join("cache/counts"), "").unwrap();
    let (files, mut program) = setting.start(0).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let answer = client
        .send("POST", "/predict", &[], row().to_string().as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(metric(&program, "counts_durable").await, 0.0);
    assert!(program.log().contains("counts are kept in memory"));
    drop(client);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    assert_eq!(files.state.totals().iter().map(answered).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_without_a_reference_answers_and_says_that_it_is_not_counted() {
    let files = FileServer::start().await;
    let source = tempfile::tempdir().unwrap();
    common::write_bundle(&source.path().join("bundle"), 0.0);
    let digest = files.state.offer(&source.path().join("bundle"));
    let dir = tempfile::tempdir().unwrap();
    write_settings(
        dir.path(),
        &routes(vec![route("heart-1", digest, 100, RouteMode::Live)]),
    );
    let program = start_with(dir, &files.url, 0, &[]);
    program.wait_ready(200).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let answer = client
        .send("POST", "/predict", &[], row().to_string().as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(metric(&program, "counting").await, 0.0);
    assert_eq!(metric(&program, "rows_uncounted_total").await, 1.0);
    assert!(
        program.log().contains("the bundle has no reference.json"),
        "{}",
        program.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn synthetic_load_and_repeated_entities_are_counted_aside() {
    let setting = setting(3600).await;
    fs::write(setting.dir.path().join("traffic.key"), format!("{TRAFFIC_KEY}\n")).unwrap();
    let digest = setting.digest;
    let (files, mut program) = setting.start(0).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let rows = json!([row(), {"age": 41}, {"age": 50}]).to_string();
    let tensors =
        json!({"inputs": [{"name": "age", "shape": [2], "datatype": "FP32", "data": [63, 41]}]}).to_string();
    let infer = "/v2/models/heart/infer";
    let synthetic = [
        ("modelward-traffic", "synthetic"),
        ("modelward-traffic-key", TRAFFIC_KEY),
    ];
    let wrong = "0".repeat(64);
    for (path, body, headers, status) in [
        ("/predict", &rows, &synthetic[..], 200),
        (infer, &tensors, &synthetic[..], 200),
        ("/predict", &rows, &[("modelward-entity", "anna, bob,")], 200),
        // Bob was counted before, and a row without an entity is always new.
        (infer, &tensors, &[("modelward-entity", "bob,")], 200),
        (
            "/predict",
            &rows,
            &[("modelward-entity", "carl,carl"), ("modelward-entity", "anna")],
            200,
        ),
        ("/predict", &rows, &synthetic[..1], 403),
        (
            infer,
            &tensors,
            &[
                ("modelward-traffic", "synthetic"),
                ("modelward-traffic-key", &wrong),
            ],
            403,
        ),
        (
            "/predict",
            &rows,
            &[
                ("modelward-traffic", "real"),
                ("modelward-traffic-key", TRAFFIC_KEY),
            ],
            400,
        ),
        (infer, &tensors, &synthetic[1..], 400),
        ("/predict", &rows, &[("modelward-entity", "anna")], 422),
        (infer, &tensors, &[("modelward-entity", "a,b,c")], 400),
    ] {
        let answer = client.send("POST", path, headers, body.as_bytes()).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{headers:?}: {text}");
        if status != 200 {
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(
                error.contains("modelward-") && !error.contains(TRAFFIC_KEY),
                "{error}"
            );
        }
    }
    drop(client);
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    let totals = files.state.totals();
    let sum = modelward_profile::totals::sum(&totals).unwrap().unwrap().counts;
    assert_eq!((sum.aside.synthetic, sum.aside.repeated), (5, 3));
    assert_eq!(sum.features.rows, 3 + 1 + 1);
    assert_eq!(sum.answered(), Some(13));
    let batches = files.state.batches.lock().unwrap();
    assert!(
        batches
            .iter()
            .all(|batch| batch.routes[0].digest == digest && batch.window_seconds == 3600)
    );
}

#[tokio::test]
async fn synthetic_load_is_refused_in_words_where_the_server_has_no_key() {
    let (_files, program) = setting(3600).await.start(0).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let headers = [
        ("modelward-traffic", "synthetic"),
        ("modelward-traffic-key", TRAFFIC_KEY),
    ];
    let answer = client
        .send("POST", "/predict", &headers, b"{\"age\": 1}")
        .await
        .unwrap();
    assert_eq!(answer.status, 403);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("has no key of synthetic load")
    );
    // The key was added to the Secret later.
    fs::write(program.dir.path().join("traffic.key"), TRAFFIC_KEY).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while client
        .send("POST", "/predict", &headers, b"{\"age\": 1}")
        .await
        .unwrap()
        .status
        != 200
    {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_kept_by_the_ledger_before_they_are_acknowledged() {
    let (files, program) = setting(3600).await.start(0).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let mut post = async |body: Value| {
        let answer = client
            .send("POST", "/feedback", &[], body.to_string().as_bytes())
            .await
            .unwrap();
        (answer.status, answer.json(), answer.headers)
    };
    let mut predictions = Client::connect(&program.addr).await.unwrap();
    let rows = json!([row(), {"age": 41}]).to_string();
    let answer = predictions
        .send("POST", "/predict", &[], rows.as_bytes())
        .await
        .unwrap()
        .json();
    let [first, second] = [0, 1].map(|index| answer["predictions"][index].clone());
    let (id, other) = (&first["predictionId"], &second["predictionId"]);

    let (status, body, _) = post(json!({"predictionId": id, "actual": 1})).await;
    assert_eq!((status, body), (202, json!({"status": "accepted"})));
    {
        let kept = files.state.labels.lock().unwrap();
        let record = kept.get(id.as_str().unwrap()).unwrap();
        assert_eq!(
            record.score.to_bits(),
            first["probability"].as_f64().unwrap().to_bits()
        );
        assert_eq!(
            (u64::from(record.class), record.actual),
            (first["class"].as_u64().unwrap(), 1)
        );
        assert_eq!(record.route.len(), 16);
    }
    let (status, body, _) = post(json!({"predictionId": id, "actual": 1.0})).await;
    assert_eq!((status, body), (202, json!({"status": "repeated"})));
    let (status, body, _) = post(json!({"predictionId": id, "actual": 0})).await;
    assert_eq!(status, 409, "{body}");
    let (status, body, _) =
        post(json!([{"predictionId": other, "actual": 0}, {"predictionId": id, "actual": 0}])).await;
    assert_eq!(
        (status, body),
        (
            202,
            json!({"results": [{"status": "accepted"}, {"status": "contradicted"}]})
        )
    );

    let forged = {
        let id = id.as_str().unwrap();
        let flipped = if &id[20..21] == "A" { "B" } else { "A" };
        format!("{}{flipped}{}", &id[..20], &id[21..])
    };
    for (body, word) in [
        (
            json!({"predictionId": forged, "actual": 1}),
            "not created by this model",
        ),
        (
            json!({"predictionId": "abc", "actual": 1}),
            "64 base64url characters",
        ),
        (
            json!({"predictionId": 7, "actual": 1}),
            "\"predictionId\" must be the string",
        ),
        (json!({"predictionId": id, "actual": 2}), "\"actual\" is 2"),
        (
            json!({"predictionId": id, "actual": "1"}),
            "\"actual\" must be 0 or 1, found a text",
        ),
        (json!({"predictionId": id}), "\"actual\" is missing"),
        (
            json!({"predictionId": id, "actual": 1, "label": 1}),
            "unknown field \"label\"",
        ),
        (json!([]), "no labels"),
        (
            json!([{"predictionId": id, "actual": 1}, 7]),
            "label 1: found a number",
        ),
        (json!("x"), "found a text"),
    ] {
        let (status, answer, _) = post(body).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(word), "{answer}");
    }
    let many: Vec<Value> = vec![json!({"predictionId": id, "actual": 1}); 1001];
    assert_eq!(post(Value::from(many)).await.0, 413);

    files.state.away_for_counts.store(true, Ordering::SeqCst);
    let (status, body, headers) = post(json!({"predictionId": other, "actual": 0})).await;
    assert_eq!(
        (status, headers.contains_key("retry-after")),
        (503, true),
        "{body}"
    );
    files.state.away_for_counts.store(false, Ordering::SeqCst);
    files.state.slow.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    let (status, body, _) = post(json!({"predictionId": other, "actual": 0})).await;
    assert_eq!(status, 503, "{body}");
    assert!(
        (2..5).contains(&asked.elapsed().as_secs()),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(metric(&program, "feedback_total").await, 5.0 + 10.0 + 1.0 + 2.0);
}
