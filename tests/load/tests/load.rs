//! The load client with real servers on the loopback: good, slow and failing ones.
#![expect(clippy::unwrap_used, reason = "a test ends if it cannot get what it needs")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use modelward_load::{
    LoadArgs, execute,
    figures::Report,
    replay::{self, ReplayArgs},
};
use tokio::{net::TcpListener, time::Instant};

/// The server's behavior for the request with this number, counted from 0 over all connections.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Answer(&'static str),
    AnswerAndClose,
    AnswerAfter(Duration),
    Status(u16),
    Nonsense,
    Reset,
    Silence,
}

struct Server {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

const ROW: &str = r#"{"age": 63}"#;

// === impl Server ===

impl Server {
    async fn start(deed: impl Fn(u64) -> Deed + Copy + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let connections = Arc::new(AtomicU64::new(0));
        let headers = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            address,
            requests: Arc::clone(&requests),
            connections: Arc::clone(&connections),
            headers: Arc::clone(&headers),
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (requests, headers) = (Arc::clone(&requests), Arc::clone(&headers));
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        let requests = Arc::clone(&requests);
                        headers.lock().unwrap().push(request.headers().clone());
                        async move {
                            assert_eq!(
                                (request.method().as_str(), request.uri().path()),
                                ("POST", "/predict")
                            );
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            assert_eq!(json(&body), json(ROW.as_bytes()));
                            act(deed(requests.fetch_add(1, Ordering::SeqCst))).await
                        }
                    });
                    // The server itself causes this error when it resets a connection.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    fn args(&self) -> LoadArgs {
        LoadArgs {
            url: format!("http://{}/predict", self.address),
            rate: 100,
            seconds: 2,
            stop_file: "/does/not/exist".into(),
            rows: None,
            row: vec![ROW.to_owned()],
            synthetic_key: None,
            new_connections: 25,
            connections: 16,
            // More than a busy machine needs for a response.
            timeout_ms: 10_000,
            retries: 0,
            retry_after_ms: 50,
            await_seconds: 5,
        }
    }
}

/// An error from a service ends the connection without a response.
async fn act(deed: Deed) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let answer = |status: StatusCode, body: String| {
        Ok(Response::builder().status(status).body(Full::from(body)).unwrap())
    };
    let good = |version: &str| {
        let body =
            format!(r#"{{"class": 1, "probability": 0.75, "threshold": 0.5, "version": "{version}"}}"#);
        answer(StatusCode::OK, body)
    };
    match deed {
        Deed::Answer(version) => good(version),
        Deed::AnswerAndClose => {
            let mut response = good("heart-1")?;
            response
                .headers_mut()
                .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
            Ok(response)
        }
        Deed::AnswerAfter(pause) => {
            tokio::time::sleep(pause).await;
            good("heart-1")
        }
        Deed::Status(status) => answer(StatusCode::from_u16(status).unwrap(), "out of order".to_owned()),
        Deed::Nonsense => answer(StatusCode::OK, r#"{"version": "heart-1"}"#.to_owned()),
        Deed::Reset => Err(std::io::Error::other("reset")),
        Deed::Silence => std::future::pending::<Result<_, Infallible>>()
            .await
            .map_err(|never| match never {}),
    }
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).unwrap()
}

async fn load(args: LoadArgs) -> (Report, bool) {
    let figures = execute(args).await.unwrap();
    (figures.report(), figures.is_clean())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scheduled_request_is_sent_once_and_answered() {
    let server = Server::start(|number| Deed::Answer(if number < 100 { "heart-1" } else { "heart-2" })).await;
    let (report, clean) = load(server.args()).await;
    assert!(clean, "{report:?}");
    assert!(
        (195..=201).contains(&(report.scheduled + report.in_flight)),
        "{report:?}"
    );
    // One more, for the first response before the schedule.
    assert_eq!(server.requests.load(Ordering::SeqCst), report.scheduled + 1);
    assert_eq!(
        (
            report.answered,
            report.failed,
            report.lost,
            report.first_try_failed
        ),
        (report.scheduled, 0, 0, 0)
    );
    assert_eq!(report.versions["heart-1"].answers, 99);
    assert_eq!(report.versions["heart-2"].answers, report.scheduled - 99);
    assert_eq!(
        server.connections.load(Ordering::SeqCst),
        report.connections_opened
    );
    // A quarter of the requests use a new connection. The others share a few, or more if responses are slow on a busy machine.
    let own = report.scheduled / 4;
    let others = report.scheduled - own;
    assert!(
        (own + 2..=own + others / 2).contains(&report.connections_opened),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_is_counted_by_its_kind() {
    let server = Server::start(|number| match number % 10 {
        3 => Deed::Status(503),
        5 => Deed::Nonsense,
        7 => Deed::Reset,
        9 => Deed::Silence,
        _ => Deed::Answer("heart-1"),
    })
    .await;
    let args = LoadArgs {
        timeout_ms: 500,
        ..server.args()
    };
    let (report, clean) = load(args).await;
    assert!(!clean);
    assert_eq!(report.scheduled, report.answered + report.failed);
    assert_eq!(report.lost, 0);
    // One in ten of each kind, if the response arrived before the end.
    let each = report.scheduled / 10;
    for kind in ["Status", "Answer", "Broken", "Timeout"] {
        // On a busy machine, some more are too late, but those have no other failure.
        let count = report.first_try_failures[kind];
        let late = report.first_try_failures["Timeout"].saturating_sub(each);
        assert!(
            count + late + 2 >= each && (kind == "Timeout" || count <= each + 2),
            "{kind}: {report:?}"
        );
    }
    let status = report
        .failures
        .iter()
        .find(|failure| failure.kind == "Status")
        .unwrap();
    assert_eq!(status.detail, "status 503: out of order");
    let timeout = report
        .failures
        .iter()
        .find(|failure| failure.kind == "Timeout")
        .unwrap();
    assert!(timeout.elapsed_ms >= 500.0, "{timeout:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_holds_nothing_up_and_latency_counts_from_when_a_request_was_due() {
    // The server does not respond for the time of 40 requests, then responds to all of them at once.
    let start = Instant::now();
    let server = Server::start(move |_| {
        let at = start.elapsed();
        let stall = Duration::from_millis(800)..Duration::from_millis(1200);
        if stall.contains(&at) {
            Deed::AnswerAfter(stall.end.saturating_sub(at))
        } else {
            Deed::Answer("heart-1")
        }
    })
    .await;
    let (report, clean) = load(server.args()).await;
    assert!(clean, "{report:?}");
    assert!(
        (195..=201).contains(&(report.scheduled + report.in_flight)),
        "the schedule waited for answers: {report:?}"
    );
    assert!(report.latency_ms.max >= 350.0, "{report:?}");
    // 40 of 200 requests waited 200 ms on average, which includes the 90th percentile. A closed-loop client would not see this.
    assert!(report.latency_ms.p90 >= 150.0, "{report:?}");
    assert!(report.latency_ms.p50 < report.latency_ms.p90, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_recovers_and_the_first_failure_still_shows() {
    let server = Server::start(|number| {
        if number % 10 == 7 {
            Deed::Reset
        } else {
            Deed::Answer("heart-1")
        }
    })
    .await;
    let (report, clean) = load(LoadArgs {
        // A retry may also be a tenth request.
        retries: 8,
        ..server.args()
    })
    .await;
    assert!(clean, "{report:?}");
    // One in ten of all requests, including retries.
    let broken = server.requests.load(Ordering::SeqCst) / 10;
    assert!(
        (broken / 2..=broken + 1).contains(&report.first_try_failed),
        "{report:?}"
    );
    assert_eq!(report.first_try_failures["Broken"], report.first_try_failed);
    assert!(report.failures.iter().all(|failure| failure.recovered));
    let requests = server.requests.load(Ordering::SeqCst);
    assert!(
        requests > report.scheduled + report.first_try_failed,
        "{report:?}"
    );
    assert!(report.latency_ms.max >= 50.0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_close_is_obeyed() {
    let server = Server::start(|_| Deed::AnswerAndClose).await;
    let (report, clean) = load(LoadArgs {
        new_connections: 0,
        ..server.args()
    })
    .await;
    assert!(clean, "{report:?}");
    assert_eq!(report.connections_opened, report.scheduled + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_server_is_reported_before_the_schedule_begins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/predict", listener.local_addr().unwrap());
    drop(listener);
    let server = Server::start(|_| Deed::Answer("heart-1")).await;
    let error = execute(LoadArgs {
        url,
        await_seconds: 1,
        ..server.args()
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("failed to connect"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_ends_the_schedule_and_what_is_under_way_still_counts() {
    let directory = tempfile::tempdir().unwrap();
    let stop_file: PathBuf = directory.path().join("stop");
    let server = Server::start(|_| Deed::AnswerAfter(Duration::from_millis(400))).await;
    let args = LoadArgs {
        seconds: 60,
        stop_file: stop_file.clone(),
        ..server.args()
    };
    let running = tokio::spawn(load(args));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    std::fs::write(&stop_file, "").unwrap();
    let (report, clean) = tokio::time::timeout(Duration::from_secs(30), running)
        .await
        .unwrap()
        .unwrap();
    assert!(clean, "{report:?}");
    // Of the 6,000 requests in 60 s.
    assert!((50..=1500).contains(&report.scheduled), "{report:?}");
    let again = execute(LoadArgs {
        stop_file,
        ..server.args()
    })
    .await
    .unwrap_err();
    assert!(again.to_string().contains("already exists"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_json_is_refused_with_its_number() {
    let server = Server::start(|_| Deed::Answer("heart-1")).await;
    let row = vec![ROW.to_owned(), "{age: 63}".to_owned()];
    let error = execute(LoadArgs { row, ..server.args() }).await.unwrap_err();
    assert!(error.to_string().starts_with("row 2 is not JSON"), "{error}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_that_no_person_made_says_so_with_the_key_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("traffic.key");
    let server = Server::start(|_| Deed::Answer("heart-1")).await;
    let args = LoadArgs {
        seconds: 1,
        synthetic_key: Some(key.clone()),
        ..server.args()
    };
    let error = execute(args.clone()).await.unwrap_err();
    assert!(error.to_string().contains("traffic.key"), "{error}");
    std::fs::write(&key, "0123abcd\n").unwrap();
    let (report, clean) = load(args).await;
    assert!(clean, "{report:?}");
    assert_eq!((report.before.answered, report.in_flight), (1, 0));
    let headers = server.headers.lock().unwrap();
    assert_eq!(headers.len() as u64, report.scheduled + report.before.answered);
    for headers in headers.iter() {
        assert_eq!(headers["modelward-traffic"], "synthetic");
        assert_eq!(headers["modelward-traffic-key"], "0123abcd");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_each_row_once_under_a_name_of_its_own_and_inside_one_window() {
    let directory = tempfile::tempdir().unwrap();
    let csv = directory.path().join("rows.csv");
    std::fs::write(&csv, "63,1\n".repeat(40)).unwrap();
    let server = Server::start(|_| Deed::Answer("heart-1")).await;
    let half = |from| ReplayArgs {
        url: format!("http://{}/predict", server.address),
        csv: csv.clone(),
        columns: ["age", "num"].map(str::to_owned).to_vec(),
        leave_out: vec!["num".to_owned()],
        missing: vec!["?".to_owned()],
        seed: 7,
        from,
        count: Some(20),
        rate: 200,
        entity_prefix: Some("row".to_owned()),
        synthetic_key: None,
        window_seconds: Some(2),
        timeout_ms: 10_000,
    };
    for from in [0, 20] {
        let (report, clean) = replay::execute(half(from)).await.unwrap();
        assert!(clean, "{report:?}");
        assert_eq!((report.figures.scheduled, report.figures.answered), (20, 20));
        let window = report.window.unwrap();
        assert_eq!((window.start.as_second() % 2, window.end.as_second() % 2), (0, 0));
        assert!(report.figures.started >= window.start && report.figures.started < window.end);
    }
    let headers = server.headers.lock().unwrap().clone();
    let mut entities: Vec<_> = headers
        .iter()
        .map(|headers| headers["modelward-entity"].to_str().unwrap().to_owned())
        .collect();
    entities.sort_unstable();
    entities.dedup();
    assert_eq!((headers.len(), entities.len()), (40, 40));
    let error = replay::execute(half(30)).await.unwrap_err();
    assert!(error.to_string().contains("choose no rows of 40"), "{error}");
}
