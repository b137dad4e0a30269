//! The client with a server that misbehaves: redirects, answers that are too large, too late, absent, or have wrong bytes.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod server;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use axum::{
    http::{StatusCode, header::LOCATION},
    response::IntoResponse as _,
};
use modelward_ledger_client::{
    Client, Corruption, Error, MANIFEST, Optional as _, Retry, Settings, Timeouts, Token, Unanswered,
};
use modelward_service::chain;
use modelward_wire::{
    Digest, DriftVerdict, FeedbackOutcome, FeedbackRecord, FileEntry, JobResult, JobStage, Manifest,
    ManifestKind, Progress, REPORT_FORMAT, ReportRequest, Verdict,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::server::{Server, broken, endless, patient, refusal, settings};

const NAMESPACE: &str = "hospital";
const JOB: &str = "11111111-2222";

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn result() -> JobResult {
    JobResult::new(JobStage::Fit, Verdict::Succeeded, "fine")
}

fn result_json() -> String {
    serde_json::to_string(&result()).unwrap()
}

/// The bytes and the digest of the manifest of a bundle with one file.
fn bundle(content: &[u8]) -> (Vec<u8>, Digest) {
    let file = FileEntry {
        path: "model.json".to_owned(),
        sha256: digest_of(content),
        size: content.len() as u64,
    };
    let manifest = Manifest::new(ManifestKind::Bundle, vec![file]).unwrap();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let digest = digest_of(&bytes);
    (bytes, digest)
}

fn with_token(url: &str, directory: &tempfile::TempDir) -> Settings {
    let file = directory.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    Settings {
        token: Token::File(file),
        ..settings(url)
    }
}

// === what is sent ===

#[tokio::test]
async fn a_file_is_sent_whole_at_each_attempt_and_may_take_longer_than_an_answer() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let ledger = Server::start(|_, before| {
        if before == 0 {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        // Longer than the time limit for other answers.
        std::thread::sleep(Duration::from_millis(700));
        StatusCode::CREATED.into_response()
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data.parquet");
    std::fs::write(&file, &content).unwrap();
    let mut settings = settings(&ledger.url);
    settings.retry = patient(Duration::from_secs(30));
    settings.timeouts.read = Duration::from_millis(300);
    let client = Client::new(settings).unwrap();
    let digest = digest_of(&content);
    client.put_file(NAMESPACE, &digest, &file).await.unwrap();
    let seen = ledger.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.body == content), "not the file");

    let absent = client
        .put_file(NAMESPACE, &digest, &directory.path().join("other"))
        .await;
    assert!(matches!(absent, Err(Error::Read { .. })), "{absent:?}");
    assert_eq!(
        ledger.seen().len(),
        2,
        "a file that is not there is not tried again"
    );
}

// === where a token goes ===

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_, _| result_json().into_response()).await;
    let target = elsewhere.url.clone();
    let ledger =
        Server::start(move |_, _| (StatusCode::FOUND, [(LOCATION, target.clone())]).into_response()).await;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(with_token(&ledger.url, &directory)).unwrap();
    let answer = client.job_result(NAMESPACE, JOB).await;
    assert!(
        matches!(
            answer,
            Err(Error::Refused {
                status: StatusCode::FOUND,
                ..
            })
        ),
        "{answer:?}"
    );
    let sent = client.put_job_result(NAMESPACE, JOB, &result()).await;
    assert!(
        matches!(
            sent,
            Err(Error::Refused {
                status: StatusCode::FOUND,
                ..
            })
        ),
        "{sent:?}"
    );
    assert_eq!(ledger.seen().len(), 2);
    assert_eq!(elsewhere.seen(), []);
}

/// Names the ledger to the child process.
const LEDGER: &str = "MODELWARD_TEST_LEDGER";

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    if let Ok(url) = std::env::var(LEDGER) {
        let client = Client::new(settings(&url)).unwrap();
        assert_eq!(client.job_result(NAMESPACE, JOB).await.unwrap(), result());
        return;
    }
    let proxy = Server::start(|_, _| refusal(502, "this is the proxy")).await;
    let ledger = Server::start(|_, _| result_json().into_response()).await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "a_proxy_of_the_environment_is_not_used", "--nocapture"])
        .env(LEDGER, &ledger.url)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, &proxy.url);
    }
    let output = tokio::task::spawn_blocking(move || child.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(ledger.seen().len(), 1, "the child ran the test");
    assert_eq!(proxy.seen(), []);
}

#[tokio::test]
async fn a_proxy_of_the_settings_is_used() {
    let proxy = Server::start(|_, _| result_json().into_response()).await;
    let configured = Settings {
        proxy: Some(proxy.url.clone()),
        ..settings("http://ledger.invalid:8090")
    };
    let client = Client::new(configured).unwrap();
    assert_eq!(client.job_result(NAMESPACE, JOB).await.unwrap(), result());
    assert_eq!(
        proxy.seen()[0].line,
        format!("GET http://ledger.invalid:8090/v1/jobs/{NAMESPACE}/{JOB}/result")
    );
    let unusable = Settings {
        proxy: Some("http://user:secret@[".to_owned()),
        ..settings("http://ledger.invalid:8090")
    };
    let error = Client::new(unusable).unwrap_err();
    assert!(matches!(error, Error::Setup(_)), "{error:?}");
    assert!(!chain(&error).contains("secret"), "{}", chain(&error));
}

#[tokio::test]
async fn the_token_is_read_at_each_call() {
    let ledger = Server::start(|_, _| result_json().into_response()).await;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(with_token(&ledger.url, &directory)).unwrap();
    let token = directory.path().join("token");
    client.job_result(NAMESPACE, JOB).await.unwrap();
    std::fs::write(&token, "second").unwrap();
    client.job_result(NAMESPACE, JOB).await.unwrap();
    ledger.client().job_result(NAMESPACE, JOB).await.unwrap();
    let seen = ledger.seen();
    let shown: Vec<_> = seen.iter().map(|seen| seen.authorization.as_deref()).collect();
    assert_eq!(shown, [Some("Bearer first"), Some("Bearer second"), None]);
    assert_eq!(seen[0].user_agent.as_deref(), Some("modelward-tests/1"));

    std::fs::write(&token, "two\nlines").unwrap();
    let error = client.job_result(NAMESPACE, JOB).await.unwrap_err();
    assert!(
        chain(&error).ends_with("it must have one token on one line"),
        "{}",
        chain(&error)
    );
    std::fs::remove_file(&token).unwrap();
    let error = client
        .retrying(patient(Duration::from_mins(1)))
        .job_result(NAMESPACE, JOB)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Token { .. }), "not asked again: {error:?}");
    assert_eq!(ledger.seen().len(), 3, "nothing is sent without a token");
}

// === limits on answers ===

#[tokio::test]
async fn a_long_refusal_is_cut() {
    let ledger = Server::start(|seen, _| {
        if seen.line.contains("jobs") {
            return refusal(500, &"x".repeat(10 << 20));
        }
        let mut response = endless();
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    })
    .await;
    let refused = |error: Error| match error {
        Error::Refused { status, message, .. } => (status.as_u16(), message),
        other => unreachable!("{other:?}"),
    };
    let client = ledger.client();
    let (status, message) = refused(client.job_result(NAMESPACE, JOB).await.unwrap_err());
    // It would parse if it was read to its end.
    assert!(
        status == 500 && message.starts_with("{\"error\":\"xxx"),
        "{status}: {message}"
    );
    assert_eq!(message.chars().count(), 300);
    let digest = digest_of(b"x");
    let answer = client.statement(NAMESPACE, &digest);
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
    let (status, message) = refused(answer.expect("it is not read without end").unwrap_err());
    assert_eq!((status, message), (403, format!("{}…", "x".repeat(299))));
}

#[tokio::test]
async fn no_answer_is_read_beyond_its_bound() {
    let ledger = Server::start(|_, _| endless()).await;
    let client = ledger.client();
    let digest = digest_of(b"x");
    let all = async {
        let limit_of = |error: Error| match error {
            Error::Corrupt {
                problem: Corruption::TooLarge { limit, found },
                ..
            } if found > limit => limit,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(
            limit_of(client.manifest(NAMESPACE, &digest).await.unwrap_err()),
            1 << 20
        );
        assert_eq!(
            limit_of(client.statement(NAMESPACE, &digest).await.unwrap_err()),
            4 << 20
        );
        assert_eq!(
            limit_of(client.blob(NAMESPACE, &digest, 10).await.unwrap_err()),
            10
        );
        // The status says that the ledger accepted it.
        client.put_job_result(NAMESPACE, JOB, &result()).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(30), all)
        .await
        .expect("nothing is read without end");
}

// === retries ===

#[tokio::test]
async fn a_ledger_that_swallows_packets_is_waited_for_once_and_not_by_every_call() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let second = Duration::from_secs(1);
    let client = Client::new(Settings {
        timeouts: Timeouts {
            connect: second,
            read: 5 * second,
            call: Some(second),
        },
        retry: Retry::Breaker {
            pause: Duration::from_mins(1),
        },
        ..settings(&url)
    })
    .unwrap();
    let begun = Instant::now();
    let first = client.job_result(NAMESPACE, "of-one-object").await.unwrap_err();
    assert!(
        matches!(
            first,
            Error::Unanswered {
                kind: Unanswered::Timeout,
                ..
            }
        ),
        "{first:?}"
    );
    let waited = begun.elapsed();
    // All clones share this knowledge.
    let longer = client.within(5 * second);
    for _ in 0..200 {
        let next = longer.job_result(NAMESPACE, "of-another").await.unwrap_err();
        assert!(matches!(next, Error::Away { .. }), "{next:?}");
        let words = chain(&next);
        assert!(
            words.starts_with("the ledger did not answer: ") && !words.contains("of-one-object"),
            "{words}"
        );
    }
    let all = begun.elapsed();
    assert!(
        all < waited + Duration::from_secs(2),
        "{all:?} for 201 calls, {waited:?} for the first"
    );
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    let ledger = Server::start(|_, before| match before {
        0..3 => refusal(503, "busy"),
        _ => result_json().into_response(),
    })
    .await;
    let retry = Retry::Breaker {
        pause: Duration::from_mins(1),
    };
    let client = ledger.client().retrying(retry);
    for _ in 0..3 {
        let error = client.job_result(NAMESPACE, JOB).await.unwrap_err();
        assert_eq!(error.to_string(), "the ledger answered 503: busy");
        assert_eq!(error.refusal(), None);
    }
    client.job_result(NAMESPACE, JOB).await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_is_away_for_a_moment_is_asked_again() {
    let ledger = Server::start(|_, before| match before {
        0 => refusal(503, "busy"),
        1 => refusal(403, "who is that"),
        2 => refusal(429, "not now"),
        3 => broken(b"{\"for"),
        _ => result_json().into_response(),
    })
    .await;
    let client = ledger.client().retrying(patient(Duration::from_mins(1)));
    assert_eq!(client.job_result(NAMESPACE, JOB).await.unwrap(), result());
    assert_eq!(ledger.seen().len(), 5);
}

#[tokio::test]
async fn patience_ends_with_the_last_error_and_a_final_refusal_ends_it_at_once() {
    let ledger = Server::start(|seen, _| {
        if seen.line.contains(NAMESPACE) {
            refusal(503, "busy")
        } else {
            refusal(422, "no")
        }
    })
    .await;
    let patience = Duration::from_millis(200);
    let client = ledger.client().retrying(patient(patience));
    let begun = Instant::now();
    let error = client
        .put_job_result(NAMESPACE, JOB, &result())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the ledger answered 503: busy");
    let (waited, calls) = (begun.elapsed(), ledger.seen());
    assert!(waited >= patience && waited < 20 * patience, "{waited:?}");
    assert!(calls.len() > 3, "{}", calls.len());
    assert!(
        calls.iter().all(|seen| seen.body == result_json()),
        "each attempt sends it whole"
    );
    let error = client.put_job_result("other", JOB, &result()).await.unwrap_err();
    assert_eq!(error.refusal(), Some((422, "no")));
    assert_eq!(ledger.seen().len(), calls.len() + 1);
    // For a policy in which only the next call matters.
    let once = client.retrying(Retry::Never);
    let progress = Progress {
        step: "fit".to_owned(),
        percent: 50,
        remaining_seconds: None,
    };
    once.put_progress(NAMESPACE, JOB, &progress).await.unwrap_err();
    assert_eq!(ledger.seen().len(), calls.len() + 2);
}

// === error messages ===

#[tokio::test]
async fn no_error_names_an_address() {
    let ledger = Server::start(|seen, _| match &seen.line {
        line if line.contains("results-are-broken") => broken(b"{"),
        line if line.contains("results-are-no-json") => "hello".into_response(),
        _ => refusal(404, "there is none"),
    })
    .await;
    let refusing = Client::new(settings("http://127.0.0.1:1")).unwrap();
    let nowhere = Client::new(settings("http://ledger.invalid")).unwrap();
    let (client, digest) = (ledger.client(), digest_of(b"x"));
    let missing = client.statement(NAMESPACE, &digest).await;
    assert!(matches!(missing.optional(), Ok(None)));
    let errors = [
        refusing.job_result(NAMESPACE, JOB).await.unwrap_err(),
        nowhere.job_result(NAMESPACE, JOB).await.unwrap_err(),
        client.job_result(NAMESPACE, JOB).await.unwrap_err(),
        client
            .job_result(NAMESPACE, "results-are-broken")
            .await
            .unwrap_err(),
        client
            .job_result(NAMESPACE, "results-are-no-json")
            .await
            .unwrap_err(),
        client.blob(NAMESPACE, &digest, 10).await.unwrap_err(),
    ];
    for error in &errors {
        let words = chain(error);
        for secret in [
            "http:",
            "/v1/",
            "127.0.0.1",
            "ledger.invalid",
            NAMESPACE,
            JOB,
            "results-are",
            &digest.hex(),
        ] {
            assert!(!words.contains(secret), "{secret} in {words}");
        }
    }
    let words = errors.map(|error| error.to_string());
    assert_eq!(words[0], "the ledger did not answer");
    assert_eq!(words[2], "the ledger answered 404: there is none");
    assert_eq!(words[3], "the ledger did not complete its answer");
    assert!(
        words[4].starts_with("job result from the ledger does not parse"),
        "{}",
        words[4]
    );
}

#[tokio::test]
async fn a_success_without_what_was_asked_for_is_none() {
    let ledger = Server::start(|_, _| StatusCode::NO_CONTENT.into_response()).await;
    let client = ledger.client();
    let answer = client.manifest(NAMESPACE, &digest_of(b"")).await;
    assert!(
        matches!(
            answer,
            Err(Error::Refused {
                status: StatusCode::NO_CONTENT,
                ..
            })
        ),
        "{answer:?}"
    );
    client.put_job_result(NAMESPACE, JOB, &result()).await.unwrap();
}

// === artifacts ===

#[tokio::test]
async fn an_artifact_is_fetched_whole_and_a_file_that_broke_off_is_begun_anew() {
    let (manifest, digest) = bundle(b"content");
    let sent = manifest.clone();
    let ledger = Server::start(
        move |seen, before| match (seen.line.contains("/manifests/"), before) {
            (true, _) => sent.clone().into_response(),
            (false, 1) => broken(b"cont"),
            _ => "content".into_response(),
        },
    )
    .await;
    let client = ledger.client().retrying(patient(Duration::from_mins(1)));
    let dir = tempfile::tempdir().unwrap();
    client
        .fetch_into(NAMESPACE, &digest, Some(ManifestKind::Bundle), dir.path())
        .await
        .unwrap();
    assert_eq!(std::fs::read(dir.path().join("model.json")).unwrap(), b"content");
    assert_eq!(std::fs::read(dir.path().join(MANIFEST)).unwrap(), manifest);
    assert_eq!(ledger.seen().len(), 3);
    let kind = Some(ManifestKind::Snapshot);
    let error = client
        .fetch_into(NAMESPACE, &digest, kind, dir.path())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "manifest.json from the ledger is of a Bundle, expected a Snapshot"
    );
    let gone = dir.path().join("gone");
    let error = client
        .fetch_into(NAMESPACE, &digest, None, &gone)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Write { path, .. } if *path == gone.join("model.json")),
        "{error:?}"
    );
}

#[tokio::test]
async fn other_bytes_than_the_digest_names_are_refused() {
    let (manifest, digest) = bundle(b"content");
    let outside = json!({"format": 1, "kind": "Bundle", "files": [{"path": "../x", "sha256": digest_of(b"x"), "size": 1}]});
    let outside = outside.to_string().into_bytes();
    let of_outside = digest_of(&outside);
    let ledger = Server::start(move |seen, _| match &seen.line {
        line if line.contains(&of_outside.to_string()) => outside.clone().into_response(),
        line if line.contains("/manifests/") => manifest.clone().into_response(),
        line if line.contains("flipped") => "contenT".into_response(),
        line if line.contains("longer") => "content and more".into_response(),
        _ => "cont".into_response(),
    })
    .await;
    let client = ledger.client().retrying(patient(Duration::from_mins(1)));
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("bundle");
    std::fs::create_dir(&dir).unwrap();
    let fetch = async |namespace: &str, digest: &Digest| {
        let fetched = client.fetch_into(namespace, digest, None, &dir).await;
        fetched.unwrap_err().to_string()
    };
    let found = fetch("flipped", &digest).await;
    let expected = (digest_of(b"contenT"), digest_of(b"content"));
    assert_eq!(
        found,
        format!(
            "model.json from the ledger has digest {}, expected {}",
            expected.0, expected.1
        )
    );
    let found = fetch("longer", &digest).await;
    assert_eq!(
        found,
        "model.json from the ledger has more bytes than the 7 that the manifest states"
    );
    assert_eq!(
        fetch("shorter", &digest).await,
        "model.json from the ledger has 4 bytes, expected 7"
    );
    let other = digest_of(b"other");
    assert_eq!(
        fetch("any", &other).await,
        format!("manifest.json from the ledger has digest {digest}, expected {other}")
    );
    let found = fetch("any", &of_outside).await;
    assert!(
        found.contains("is not valid") && found.contains("../x"),
        "{found}"
    );
    assert!(!dir.join(MANIFEST).exists(), "it comes last");
    assert!(!around.path().join("x").exists());
    let blob = client.blob("shorter", &digest_of(b"content"), 100).await;
    assert!(
        matches!(
            blob,
            Err(Error::Corrupt {
                problem: Corruption::Digest { .. },
                ..
            })
        ),
        "{blob:?}"
    );
    assert_eq!(
        client
            .blob("shorter", &digest_of(b"cont"), 4)
            .await
            .unwrap()
            .as_ref(),
        b"cont"
    );
}

// === records and traffic ===

#[tokio::test]
async fn a_verdict_that_was_given_is_given_again() {
    let given = json!({
        "format": REPORT_FORMAT, "verdict": "NoDrift", "rows": 192, "synthetic": 0, "repeated": 0, "overLimit": 0,
        "incarnations": 1, "unclosed": [], "drifted": [],
        "reference": {"digest": digest_of(b"r"), "acceptedWindow": false, "rows": 303},
    });
    let ledger = Server::start(move |seen, _| {
        if seen.line.starts_with("PUT") {
            refusal(409, "it was judged with other tolerances")
        } else {
            json!({"request": {}, "result": given})
                .to_string()
                .into_response()
        }
    })
    .await;
    let request = ReportRequest {
        format: REPORT_FORMAT,
        model: "heart".to_owned(),
        version: "heart-1".to_owned(),
        bundle: digest_of(b"b"),
        start: 0,
        end: 3600,
        since: 0,
        evidence_from: 0,
        minimum_rows: 100,
        window_seconds: None,
        season_seconds: None,
        serving_since: None,
        tolerance: "0.1".parse().unwrap(),
        rate_tolerance: modelward_wire::default_rate_tolerance(),
        tolerances: Vec::new(),
    };
    let result = ledger
        .client()
        .drift_report(NAMESPACE, "u", &request)
        .await
        .unwrap();
    assert_eq!((result.verdict, result.rows), (DriftVerdict::NoDrift, 192));
}

#[tokio::test]
async fn a_label_is_answered_with_what_became_of_it() {
    let ledger = Server::start(|_, _| json!({"outcome": "Repeated"}).to_string().into_response()).await;
    let record = FeedbackRecord {
        prediction_id: "id".to_owned(),
        route: "00".to_owned(),
        predicted_at_ms: 0,
        score: 0.5,
        class: 1,
        actual: 1,
    };
    let outcome = ledger
        .client()
        .post_feedback(NAMESPACE, "heart", &record)
        .await
        .unwrap();
    assert_eq!(outcome, FeedbackOutcome::Repeated);
    assert_eq!(
        ledger.seen()[0].line,
        format!("POST /v1/feedback/{NAMESPACE}/heart")
    );
}
