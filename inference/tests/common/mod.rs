//! A real bundle, a server in this process or as the real program, and a plain HTTP client over TCP.

#![expect(dead_code, reason = "each test file uses its own part of this")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State as AxumState,
    response::IntoResponse,
    routing::{get, post, put},
};
use clap::Parser as _;
use http::{HeaderMap, StatusCode, Uri};
use modelward_inference::{Args, app::App, ledger::Ledger, loader::Loader, prediction_id::Signer};
use modelward_model::{
    Bundle, BundleInfo, DirBuilder, Feature, FeatureKind, FeatureSchema, FeatureTransform, Row, TargetInfo,
    Transforms, Value as ModelValue, WarmUp,
    bundle::file,
    encode::TRANSFORMS_FILE,
    family::{
        columns::MODEL_FILE,
        logistic::{LogisticModel, LogisticScorer},
    },
    files::json,
};
use modelward_profile::{
    Bins, ChosenBy, Counts, CountsBatch, CumulativeTotals, Envelope, FeatureBins, Observed, Reference,
    ScoreBins,
};
use modelward_wire::{Digest, FeedbackRecord, ManifestKind, Route, RouteMode, Routes};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

pub const KEY: [u8; 32] = [7; 32];

pub const TRAFFIC_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The features of the bundles: a required number, a number with a range, a binary code and a code.
pub fn schema() -> FeatureSchema {
    let age = Feature {
        required: true,
        ..Feature::numeric("age")
    };
    let chol = Feature {
        kind: FeatureKind::Numeric {
            min: Some(126.0),
            max: Some(564.0),
        },
        ..Feature::numeric("chol")
    };
    let features = vec![
        age,
        chol,
        Feature::categorical("sex", &["0", "1"]),
        Feature::categorical("thal", &["3", "6", "7"]),
    ];
    FeatureSchema::new(features).unwrap()
}

/// Writes a bundle into `dir`. `tilt` moves its scores, so that bundles can be distinguished.
pub fn write_bundle(dir: &Path, tilt: f64) -> Digest {
    bundle_files(tilt).write(dir).unwrap().1
}

/// The same with a reference, so that answered rows are counted.
pub fn write_counted_bundle(dir: &Path, tilt: f64) -> Digest {
    let builder = bundle_files(tilt).with(file::REFERENCE, json(&reference()).unwrap());
    builder.write(dir).unwrap().1
}

/// Bins of the features, with counts of a few rows.
pub fn reference() -> Reference {
    let rows: Vec<(f32, f32, u32, u32)> = (0..200_u16)
        .map(|i| {
            let (age, chol) = (f32::from(29 + i % 49), f32::from(126 + i * 7 % 439));
            (age, chol, u32::from(i % 2), u32::from(i % 3))
        })
        .collect();
    let scores: Vec<f64> = (0..200_u16).map(|i| f64::from(i) / 200.0).collect();
    let ages: Vec<f32> = rows.iter().map(|row| row.0).collect();
    let chols: Vec<f32> = rows.iter().map(|row| row.1).collect();
    let features = vec![
        FeatureBins::numeric("age", &ages).unwrap(),
        FeatureBins::numeric("chol", &chols).unwrap(),
        FeatureBins::categorical("sex", ["0", "1"]),
        FeatureBins::categorical("thal", ["3", "6", "7"]),
    ];
    let bins = Bins::new(features, ScoreBins::from_out_of_fold(&scores).unwrap()).unwrap();
    let mut counts = Counts::new(&bins);
    for ((age, chol, sex, thal), score) in rows.iter().zip(&scores) {
        let row = [
            Observed::Number(*age),
            Observed::Number(*chol),
            Observed::Category(*sex),
            Observed::Category(*thal),
        ];
        counts
            .add_row(&bins, row, *score, u8::from(*score >= 0.5))
            .unwrap();
    }
    Reference {
        bins,
        counts,
        chosen_by: ChosenBy::All,
        phases: None,
    }
}

fn bundle_files(tilt: f64) -> DirBuilder {
    let schema = schema();
    let number = |feature: &str, impute, mean, scale| FeatureTransform::Standardise {
        feature: feature.into(),
        impute,
        mean,
        scale,
    };
    let code = |feature: &str, impute: &str| FeatureTransform::OneHot {
        feature: feature.into(),
        impute: impute.into(),
    };
    let transforms = Transforms {
        format: 1,
        features: vec![
            number("age", 56.0, 54.438_943, 9.038_662),
            number("chol", 241.0, 246.693_069, 51.776_917),
            code("sex", "1"),
            code("thal", "3"),
        ],
    };
    let coef = vec![0.31, 0.17, -0.62, 0.71, -0.9, 0.05, 0.93];
    let model = LogisticModel::new(&schema, coef, -0.21 + tilt, 1.0);
    let scorer = LogisticScorer::new(&schema, &transforms, &model).unwrap();
    let rows: Vec<Row> = [
        (63.0, ModelValue::Number(233.0), 1, 1),
        (41.0, ModelValue::Missing, 0, 0),
    ]
    .map(|(age, chol, sex, thal)| {
        let code = ModelValue::Category;
        Row::new(vec![ModelValue::Number(age), chol, code(sex), code(thal)])
    })
    .into();
    let warm_up = WarmUp::record(&schema, &scorer, &rows).unwrap();
    let info = BundleInfo {
        format: 1,
        model: "heart".into(),
        family: "LogisticRegression".into(),
        threshold: "0.5".parse().unwrap(),
        snapshot: Some(Digest::from_bytes([9; 32])),
        rows: 303,
        positive_rows: 139,
        target: TargetInfo {
            column: "num".into(),
            positive_when: "num > 0".into(),
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
}

pub fn route(version: &str, digest: Digest, weight: u32, mode: RouteMode) -> Route {
    Route {
        version: version.into(),
        digest,
        weight,
        threshold: "0.5".parse().unwrap(),
        mode,
    }
}

pub fn routes(routes: Vec<Route>) -> Routes {
    Routes {
        format: 1,
        model: "heart".into(),
        routes,
        window_seconds: 3600,
    }
}

/// A valid row.
pub fn row() -> Value {
    json!({"age": 63, "chol": 233, "sex": 1, "thal": 6})
}

// === a server in this process ===

/// The state of a ready server, with its bundles in a cache directory.
pub struct Ready {
    pub app: Arc<App>,
    pub bundles: Vec<Bundle>,
    pub dir: tempfile::TempDir,
}

pub fn limits(extra: &[&str]) -> modelward_inference::args::Limits {
    let base = [
        "modelward-inference",
        "--namespace",
        "hospital",
        "--ledger-url",
        "http://127.0.0.1:9",
    ];
    Args::parse_from(base.iter().chain(extra)).limits()
}

/// A server with these (version, weight, mode, tilt), loaded from its cache, without a ledger.
pub async fn ready_with(versions: &[(&str, u32, RouteMode, f64)], extra: &[&str]) -> Ready {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    let mut bundles = Vec::new();
    for (version, weight, mode, tilt) in versions {
        let (digest, bundle) = cached_bundle(dir.path(), *tilt);
        all.push(route(version, digest, *weight, *mode));
        bundles.push(bundle);
    }
    let app = Arc::new(App::new(
        "hospital".into(),
        routes(all),
        Signer::new(&KEY),
        limits(extra),
    ));
    app.load(&loader("http://127.0.0.1:9", dir.path())).await.unwrap();
    Ready { app, bundles, dir }
}

pub async fn ready() -> Ready {
    ready_with(&[("heart-1", 100, RouteMode::Live, 0.0)], &[]).await
}

pub fn cached_bundle(cache: &Path, tilt: f64) -> (Digest, Bundle) {
    let fresh = cache.join("fresh");
    let digest = write_bundle(&fresh, tilt);
    let kept = cache.join(digest.hex());
    if kept.exists() {
        fs::remove_dir_all(&kept).unwrap();
    }
    fs::rename(&fresh, &kept).unwrap();
    let bundle = Bundle::open(&kept, &digest).unwrap();
    (digest, bundle)
}

pub fn loader(url: &str, cache: &Path) -> Loader {
    // As in `main` of the program.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Loader {
        ledger: Ledger::new(url, None).unwrap(),
        namespace: "hospital".into(),
        cache_dir: cache.to_owned(),
        max_backoff: Duration::from_millis(100),
    }
}

// === an HTTP file server instead of the ledger ===

/// Serves files by digest and accepts counts and labels on the paths of the ledger that this program uses. It is not the
/// ledger: it has no store, does not check tokens with an API server, and answers as configured by the test.
pub struct FileServer {
    pub url: String,
    pub state: Arc<Files>,
}

#[derive(Default)]
pub struct Files {
    manifests: Mutex<HashMap<String, Vec<u8>>>,
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    /// Answers 503 while set.
    pub away: AtomicBool,
    /// Number of answered requests.
    pub requests: AtomicUsize,
    /// The last Authorization header.
    pub token: Mutex<Option<String>>,
    /// Answers counts and labels with 503 while set.
    pub away_for_counts: AtomicBool,
    /// Answers counts with 422 while set.
    pub refuse_counts: AtomicBool,
    /// Answers counts with 422 if one of their windows starts at this time.
    pub refused_window: AtomicI64,
    /// Delays labels by ten seconds while set.
    pub slow: AtomicBool,
    /// The received totals, in order.
    pub batches: Mutex<Vec<CountsBatch>>,
    /// The first label of each prediction.
    pub labels: Mutex<HashMap<String, FeedbackRecord>>,
}

impl FileServer {
    pub async fn start() -> Self {
        let state = Arc::new(Files::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/artifacts/hospital/manifests/{digest}", get(Files::answer))
            .route("/v1/artifacts/hospital/blobs/{digest}", get(Files::answer))
            .route("/v1/counts/hospital/heart", put(Files::counts))
            .route("/v1/feedback/hospital/heart", post(Files::feedback))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, state }
    }
}

impl Files {
    /// Offers the files of a bundle's directory.
    pub fn offer(&self, dir: &Path) -> Digest {
        let manifest_bytes = fs::read(dir.join("manifest.json")).unwrap();
        let manifest: modelward_wire::Manifest = serde_json::from_slice(&manifest_bytes).unwrap();
        let digest = modelward_model::sha256(&manifest_bytes);
        for entry in &manifest.files {
            let bytes = fs::read(dir.join(&entry.path)).unwrap();
            self.blobs.lock().unwrap().insert(entry.sha256.to_string(), bytes);
        }
        self.manifests
            .lock()
            .unwrap()
            .insert(digest.to_string(), manifest_bytes);
        digest
    }

    /// Flips one bit in the middle of a file.
    pub fn damage(&self, dir: &Path, name: &str) {
        let manifest = fs::read(dir.join("manifest.json")).unwrap();
        let manifest: modelward_wire::Manifest = serde_json::from_slice(&manifest).unwrap();
        let key = manifest.file(name).unwrap().sha256.to_string();
        let mut blobs = self.blobs.lock().unwrap();
        let bytes = blobs.get_mut(&key).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }

    /// The latest total of each key.
    pub fn totals(&self) -> Vec<Envelope> {
        let mut totals = CumulativeTotals::default();
        for batch in self.batches.lock().unwrap().iter() {
            for envelope in &batch.envelopes {
                totals.absorb(envelope.clone()).unwrap();
            }
        }
        totals.latest().cloned().collect()
    }

    #[expect(clippy::unused_async, reason = "a handler is async")]
    async fn counts(
        AxumState(files): AxumState<Arc<Self>>,
        Json(batch): Json<CountsBatch>,
    ) -> axum::response::Response {
        let error = |status: StatusCode| (status, Json(json!({"error": "not now"}))).into_response();
        if files.away_for_counts.load(Ordering::SeqCst) {
            return error(StatusCode::SERVICE_UNAVAILABLE);
        }
        let refused = files.refused_window.load(Ordering::SeqCst);
        let refused = |envelope: &Envelope| envelope.key.window_start == refused;
        if files.refuse_counts.load(Ordering::SeqCst) || batch.envelopes.iter().any(refused) {
            return error(StatusCode::UNPROCESSABLE_ENTITY);
        }
        for envelope in &batch.envelopes {
            let known = |route: &Route| modelward_profile::route_digest(route) == envelope.key.route;
            assert!(batch.routes.iter().any(known), "{batch:?}");
        }
        let kept = batch.envelopes.len();
        files.batches.lock().unwrap().push(batch);
        Json(json!({"kept": kept, "repeated": 0, "late": 0})).into_response()
    }

    async fn feedback(
        AxumState(files): AxumState<Arc<Self>>,
        Json(record): Json<FeedbackRecord>,
    ) -> axum::response::Response {
        if files.away_for_counts.load(Ordering::SeqCst) {
            let error = json!({"error": "not now"});
            return (StatusCode::SERVICE_UNAVAILABLE, Json(error)).into_response();
        }
        if files.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let mut labels = files.labels.lock().unwrap();
        let outcome = match labels.get(&record.prediction_id) {
            None => "Accepted",
            Some(first) if first.actual == record.actual => "Repeated",
            Some(_) => "Contradicted",
        };
        labels.entry(record.prediction_id.clone()).or_insert(record);
        Json(json!({"outcome": outcome})).into_response()
    }

    #[expect(clippy::unused_async, reason = "a handler is async")]
    async fn answer(
        AxumState(files): AxumState<Arc<Self>>,
        uri: Uri,
        headers: HeaderMap,
    ) -> axum::response::Response {
        files.requests.fetch_add(1, Ordering::SeqCst);
        let token = headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        *files.token.lock().unwrap() = token;
        let error =
            |status: StatusCode, text: &str| (status, axum::Json(json!({"error": text}))).into_response();
        if files.away.load(Ordering::SeqCst) {
            return error(StatusCode::SERVICE_UNAVAILABLE, "the store is away");
        }
        let digest = uri.path().rsplit('/').next().unwrap_or_default();
        let kept = if uri.path().contains("/manifests/") {
            &files.manifests
        } else {
            &files.blobs
        };
        match kept.lock().unwrap().get(digest) {
            Some(bytes) => bytes.clone().into_response(),
            None => error(StatusCode::NOT_FOUND, "no such artifact"),
        }
    }
}

// === the real program ===

/// The program as a process, with its own directory for files.
pub struct Program {
    pub child: Child,
    pub addr: String,
    pub dir: tempfile::TempDir,
}

pub fn write_settings(dir: &Path, routes: &Routes) {
    fs::write(dir.join("routes.json"), serde_json::to_vec(routes).unwrap()).unwrap();
    fs::write(dir.join("prediction-id.key"), KEY).unwrap();
    fs::write(dir.join("token"), "first-token\n").unwrap();
    fs::write(dir.join("termination-log"), "").unwrap();
    fs::create_dir_all(dir.join("cache")).unwrap();
}

/// Starts the program. `dir` has what [`write_settings`] wrote.
pub fn start(dir: tempfile::TempDir, ledger: &str, drain_seconds: u64) -> Program {
    start_with(dir, ledger, drain_seconds, &[])
}

/// The same with more settings.
pub fn start_with(
    dir: tempfile::TempDir,
    ledger: &str,
    drain_seconds: u64,
    settings: &[(&str, &str)],
) -> Program {
    let addr = format!("127.0.0.1:{}", free_port());
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path("log"))
        .unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_modelward-inference"))
        .env_clear()
        .env("MODELWARD_NAMESPACE", "hospital")
        .env("MODELWARD_MODEL", "heart")
        .env("MODELWARD_ROUTES_FILE", path("routes.json"))
        .env("MODELWARD_LEDGER_URL", ledger)
        .env("MODELWARD_LEDGER_TOKEN_FILE", path("token"))
        .env("MODELWARD_CACHE_DIR", path("cache"))
        .env("MODELWARD_KEY_FILE", path("prediction-id.key"))
        .env("MODELWARD_ADDR", &addr)
        .env("MODELWARD_DRAIN_SECONDS", drain_seconds.to_string())
        .env("MODELWARD_TERMINATION_LOG", path("termination-log"))
        .env("MODELWARD_TRAFFIC_KEY_FILE", path("traffic.key"))
        .envs(settings.iter().copied())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    Program { child, addr, dir }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Program {
    /// Starts it again in the same directory, as the kubelet does with a container that has ended.
    pub fn start_again(mut self, ledger: &str, drain_seconds: u64, settings: &[(&str, &str)]) -> Self {
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        start_with(dir, ledger, drain_seconds, settings)
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end without blocking the thread.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "not ended in time:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn termination(&self) -> String {
        fs::read_to_string(self.dir.path().join("termination-log")).unwrap()
    }

    /// Waits until `/readyz` has this status. Returns the body.
    pub async fn wait_ready(&self, status: u16) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut client) = Client::connect(&self.addr).await
                && let Ok(answer) = client.send("GET", "/readyz", &[], b"").await
                && answer.status == status
            {
                return answer.json();
            }
            assert!(Instant::now() < until, "not {status} in time:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // In most tests it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === a client that sees what happens to its connection ===

/// One keep-alive connection. It never retries or reconnects, so any failure is an error.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn closes(&self) -> bool {
        self.headers
            .get("connection")
            .is_some_and(|value| value == "close")
    }
}

impl Client {
    pub async fn connect(addr: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.extend([*name, ": ", *value, "\r\n"]);
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await?;
        self.read_answer().await
    }

    /// Sends only a header, and reads the answer before any body is sent.
    pub async fn ask_before_sending(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> std::io::Result<Answer> {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            request.extend([*name, ": ", *value, "\r\n"]);
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.read_answer().await
    }

    async fn read_answer(&mut self) -> std::io::Result<Answer> {
        let broken = |text: &str| std::io::Error::other(text.to_owned());
        let head_end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(broken("closed before an answer"));
            }
        };
        let head = String::from_utf8(self.buffer.drain(..head_end).collect()).map_err(|_| broken("head"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| broken("status line"))?;
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers
            .get("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(broken("closed in the middle of an answer"));
            }
        }
        Ok(Answer {
            status,
            headers,
            body: self.buffer.drain(..length).collect(),
        })
    }
}
