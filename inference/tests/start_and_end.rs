//! Startup and shutdown: the real program as a process, and the loader over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    Client, FileServer, Program, cached_bundle, loader, route, routes, row, start, start_with, write_bundle,
    write_settings,
};
use modelward_inference::{app::App, metrics::Metrics, prediction_id::Signer};
use modelward_wire::RouteMode;
use serde_json::json;

/// A program with a ledger that has one bundle. The last part is the directory of the bundle.
async fn offered() -> (FileServer, tempfile::TempDir, tempfile::TempDir) {
    let files = FileServer::start().await;
    let source = tempfile::tempdir().unwrap();
    let bundle = source.path().join("bundle");
    write_bundle(&bundle, 0.0);
    let digest = files.state.offer(&bundle);
    let settings = tempfile::tempdir().unwrap();
    write_settings(
        settings.path(),
        &routes(vec![route("heart-1", digest, 100, RouteMode::Live)]),
    );
    (files, settings, source)
}

/// A program with a cached bundle, which needs no ledger.
async fn cached(drain_seconds: u64) -> Program {
    let settings = tempfile::tempdir().unwrap();
    let (digest, _) = cached_bundle(settings.path(), 0.0);
    write_settings(
        settings.path(),
        &routes(vec![route("heart-1", digest, 100, RouteMode::Live)]),
    );
    fs::rename(
        settings.path().join(digest.hex()),
        settings.path().join("cache").join(digest.hex()),
    )
    .unwrap();
    let program = start(settings, "http://127.0.0.1:9", drain_seconds);
    program.wait_ready(200).await;
    program
}

#[tokio::test]
async fn routes_of_another_digest_than_the_configured_one_are_never_served() {
    let (files, settings, _source) = offered().await;
    let routes = fs::read(settings.path().join("routes.json")).unwrap();
    let digest = modelward_model::sha256(&routes).to_string();
    let given = [("MODELWARD_ROUTES_DIGEST", digest.as_str())];
    let mut program = start_with(settings, &files.url, 0, &given);
    program.wait_ready(200).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let body = row().to_string();
    // Every answer states the digest of the routes.
    for (method, path, body, status) in [
        ("POST", "/predict", body.as_str(), 200),
        ("POST", "/predict", "{", 400),
        ("GET", "/readyz", "", 200),
        ("GET", "/v2/models/heart", "", 200),
        ("GET", "/nowhere", "", 404),
    ] {
        let answer = client.send(method, path, &[], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers["modelward-routes-digest"], digest, "{path}");
    }
    let metadata = client.send("GET", "/v2/models/heart", &[], b"").await.unwrap();
    assert_eq!(metadata.json()["properties"]["routesDigest"], digest);

    // One more byte with the same configuration.
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    let path = program.dir.path().join("routes.json");
    fs::write(&path, [routes, b"\n".to_vec()].concat()).unwrap();
    let mut program = program.start_again(&files.url, 0, &given);
    assert_eq!(program.exit_code().await, Some(3));
    let message = program.termination();
    assert!(message.contains(&digest), "{message}");
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(Client::connect(&program.addr).await.is_err());
}

#[tokio::test]
async fn the_digest_is_stated_before_it_is_ready_too() {
    let (files, settings, _source) = offered().await;
    files.state.away.store(true, Ordering::SeqCst);
    let digest = modelward_model::sha256(&fs::read(settings.path().join("routes.json")).unwrap());
    let program = start(settings, &files.url, 0);
    program.wait_ready(503).await;
    let mut client = Client::connect(&program.addr).await.unwrap();
    let answer = client.send("GET", "/v2/models/heart", &[], b"").await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["modelward-routes-digest"], digest.to_string());
}

#[tokio::test]
async fn a_bundle_is_fetched_verified_and_answers() {
    let (files, settings, _source) = offered().await;
    let program = start(settings, &files.url, 0);
    program.wait_ready(200).await;
    assert_eq!(
        files.state.token.lock().unwrap().as_deref(),
        Some("Bearer first-token")
    );
    let mut client = Client::connect(&program.addr).await.unwrap();
    let answer = client
        .send("POST", "/predict", &[], row().to_string().as_bytes())
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.json()["version"].clone()),
        (200, json!("heart-1"))
    );
}

#[tokio::test]
async fn a_ledger_that_is_away_is_waited_for_and_the_reason_is_reported() {
    let (files, settings, _source) = offered().await;
    files.state.away.store(true, Ordering::SeqCst);
    let program = start(settings, &files.url, 0);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let body = program.wait_ready(503).await;
        let reason = body["reason"].as_str().unwrap().to_owned();
        if reason.contains("503") && reason.contains("the store is away") {
            break;
        }
        assert!(Instant::now() < until, "{reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut client = Client::connect(&program.addr).await.unwrap();
    assert_eq!(
        client.send("GET", "/healthz", &[], b"").await.unwrap().status,
        200
    );
    let answer = client.send("POST", "/predict", &[], b"{}").await.unwrap();
    assert_eq!(
        (answer.status, answer.headers["retry-after"].as_str()),
        (503, "1")
    );
    // The kubelet has replaced the token meanwhile.
    fs::write(program.dir.path().join("token"), "second-token").unwrap();
    files.state.away.store(false, Ordering::SeqCst);
    program.wait_ready(200).await;
    assert_eq!(
        files.state.token.lock().unwrap().as_deref(),
        Some("Bearer second-token")
    );
    let metrics = Client::connect(&program.addr)
        .await
        .unwrap()
        .send("GET", "/metrics", &[], b"")
        .await
        .unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(
        metrics.contains("modelward_inference_bundle_fetch_failures_total{reason=\"LedgerError\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("modelward_inference_ledger_reachable 1"));
}

#[tokio::test]
async fn a_bundle_that_the_ledger_does_not_have_yet_is_waited_for() {
    let files = FileServer::start().await;
    let source = tempfile::tempdir().unwrap();
    let bundle = source.path().join("bundle");
    let digest = write_bundle(&bundle, 0.0);
    let settings = tempfile::tempdir().unwrap();
    write_settings(
        settings.path(),
        &routes(vec![route("heart-1", digest, 100, RouteMode::Live)]),
    );
    let program = start(settings, &files.url, 0);
    loop {
        let reason = program.wait_ready(503).await["reason"]
            .as_str()
            .unwrap()
            .to_owned();
        if reason.contains("404") && reason.contains("no such artifact") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    files.state.offer(&bundle);
    program.wait_ready(200).await;
}

#[tokio::test]
async fn a_flipped_byte_ends_the_process_with_code_3_and_the_name_of_the_file() {
    for name in ["model.json", "model-card.html"] {
        let (files, settings, source) = offered().await;
        files.state.damage(&source.path().join("bundle"), name);
        let mut program = start(settings, &files.url, 5);
        assert_eq!(program.exit_code().await, Some(3), "{}", program.log());
        let termination = program.termination();
        assert!(
            termination.contains(&format!("failed verification at {name}: ")),
            "{termination}"
        );
        assert!(termination.contains("expected sha256:"), "{termination}");
        // Nothing of it is kept in the cache.
        let kept = fs::read_dir(program.dir.path().join("cache")).unwrap();
        let kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(kept, ["counts"]);
    }
}

#[tokio::test]
async fn a_damaged_copy_in_the_cache_is_fetched_again() {
    let (files, settings, source) = offered().await;
    let digest = files.state.offer(&source.path().join("bundle"));
    let kept = settings.path().join("cache").join(digest.hex());
    fs::create_dir_all(&kept).unwrap();
    for entry in fs::read_dir(source.path().join("bundle")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), kept.join(entry.file_name())).unwrap();
    }
    let model = kept.join("model.json");
    let mut bytes = fs::read(&model).unwrap();
    bytes[10] ^= 1;
    fs::write(&model, &bytes).unwrap();
    let left = settings.path().join("cache/.partial-00ff");
    fs::create_dir_all(&left).unwrap();
    let program = start(settings, &files.url, 0);
    program.wait_ready(200).await;
    assert!(program.log().contains("model.json"), "{}", program.log());
    assert!(!left.exists());
    assert_ne!(fs::read(&model).unwrap(), bytes);
}

#[tokio::test]
async fn a_restart_with_an_intact_cache_needs_no_ledger() {
    let program = cached(0).await;
    assert!(
        program.log().contains("serving the cached bundle"),
        "{}",
        program.log()
    );
}

#[tokio::test]
async fn a_damaged_shadow_leaves_the_live_version_serving() {
    let files = FileServer::start().await;
    let source = tempfile::tempdir().unwrap();
    let (good, bad) = (source.path().join("good"), source.path().join("bad"));
    let live = write_bundle(&good, 0.0);
    let shadow = write_bundle(&bad, 1.0);
    files.state.offer(&good);
    files.state.offer(&bad);
    files.state.damage(&bad, "warm-up.json");
    let all = vec![
        route("heart-1", live, 100, RouteMode::Live),
        route("heart-2", shadow, 0, RouteMode::Shadow),
    ];
    let app = App::new(
        "hospital".into(),
        routes(all),
        Signer::new(&common::KEY),
        common::limits(&[]),
    );
    app.load(&loader(&files.url, &source.path().join("cache")))
        .await
        .unwrap();
    assert_eq!(app.unready(), None);
    let state = app.entries[1].state.load();
    assert!(format!("{state:?}").contains("warm-up.json"), "{state:?}");
}

#[tokio::test]
async fn what_is_under_a_digest_and_is_not_it_is_refused() {
    let (files, settings, source) = offered().await;
    let bundle = source.path().join("bundle");
    let other = write_bundle(&source.path().join("other"), 1.0);
    let digest = files.state.offer(&bundle);
    // The cache has another bundle under this digest: it is dropped, and the bundle is fetched from the ledger.
    let cache = settings.path().join("cache");
    fs::rename(source.path().join("other"), cache.join(digest.hex())).unwrap();
    let metrics = Metrics::new();
    let loaded = loader(&files.url, &cache)
        .load(&digest, &metrics, &|_| {})
        .await
        .unwrap();
    assert_eq!(loaded.bundle.digest(), digest);
    assert_ne!(other, digest);
    assert_eq!(metrics.cache_dropped.get(), 1);
}

#[tokio::test]
async fn wrong_settings_end_the_process_with_code_1_and_a_sentence() {
    for (file, content, sentence) in [
        (
            "prediction-id.key",
            b"short".to_vec(),
            "has 5 bytes, it must be 32 raw bytes",
        ),
        ("routes.json", b"{}".to_vec(), "missing field"),
    ] {
        let settings = tempfile::tempdir().unwrap();
        let digest = modelward_wire::Digest::from_bytes([1; 32]);
        write_settings(
            settings.path(),
            &routes(vec![route("heart-1", digest, 100, RouteMode::Live)]),
        );
        fs::write(settings.path().join(file), content).unwrap();
        let mut program = start(settings, "http://127.0.0.1:9", 0);
        assert_eq!(program.exit_code().await, Some(1), "{}", program.log());
        assert!(
            program.termination().contains(sentence),
            "{}",
            program.termination()
        );
    }
}

/// Sends requests over one connection until it has to close it, then over a new one. Counts failures.
async fn keep_asking(
    addr: String,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    pause: Duration,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut client = Client::connect(&addr).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        match client
            .send("POST", "/predict", &[], row().to_string().as_bytes())
            .await
        {
            Ok(answer) if answer.status == 200 => {
                answered.fetch_add(1, Ordering::SeqCst);
                if answer.closes() {
                    match Client::connect(&addr).await {
                        Ok(fresh) => client = fresh,
                        Err(error) => {
                            failures.push(format!("connect: {error}"));
                            break;
                        }
                    }
                }
            }
            Ok(answer) => failures.push(format!("{}", answer.status)),
            Err(error) => {
                failures.push(error.to_string());
                break;
            }
        }
        tokio::time::sleep(pause).await;
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn not_one_request_fails_in_the_drain_window() {
    let mut program = cached(2).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    // Busy clients, and clients that are idle at the time of the signal and later send requests over their open connection.
    let clients: Vec<_> = [0, 1, 3, 7, 200, 400]
        .map(|pause| {
            let (addr, stop, answered) = (program.addr.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(keep_asking(addr, stop, answered, Duration::from_millis(pause)))
        })
        .into_iter()
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = answered.load(Ordering::SeqCst);
    program.terminate();
    let signalled = Instant::now();
    program.wait_ready(503).await;
    assert!(signalled.elapsed() < Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1_500).saturating_sub(signalled.elapsed())).await;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        assert_eq!(client.await.unwrap(), Vec::<String>::new(), "{}", program.log());
    }
    let during = answered.load(Ordering::SeqCst) - before;
    assert!(before > 50 && during > 50, "{before} before, {during} during");
    assert_eq!(program.exit_code().await, Some(0));
    assert!(
        signalled.elapsed() < Duration::from_secs(5),
        "{:?}",
        signalled.elapsed()
    );
}

#[tokio::test]
async fn a_request_in_flight_at_the_end_is_answered() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut program = cached(1).await;
    let mut stream = tokio::net::TcpStream::connect(&program.addr).await.unwrap();
    let body = row().to_string();
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The header has arrived, the body comes only after the drain time.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let idle = Client::connect(&program.addr).await.unwrap();
    program.terminate();
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    drop(idle);
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_and_not_cut_off() {
    let program = cached(0).await;
    let body = vec![b' '; 20 << 20];
    for _ in 0..3 {
        let mut client = Client::connect(&program.addr).await.unwrap();
        let answer = client.send("POST", "/predict", &[], &body).await.unwrap();
        assert_eq!(answer.status, 413);
        // The whole body was read, so the connection can be used again.
        assert_eq!(
            client.send("GET", "/healthz", &[], b"").await.unwrap().status,
            200
        );
    }
    let mut client = Client::connect(&program.addr).await.unwrap();
    let headers = [("expect", "100-continue"), ("content-length", "20971520")];
    // A client with `Expect: 100-continue` is refused before it sends the body.
    let answer = client.ask_before_sending("/predict", &headers).await.unwrap();
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn sigterm_before_it_was_ready_ends_at_once() {
    let (files, settings, _source) = offered().await;
    files.state.away.store(true, Ordering::SeqCst);
    let mut program = start(settings, &files.url, 30);
    program.wait_ready(503).await;
    let signalled = Instant::now();
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(5));
}
