//! The fake ledger, and the program that calls it.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path as UrlPath, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use modelward_model::{files::parse_manifest, sha256};
use modelward_wire::{Digest, JobResult, TERMINATION_MESSAGE_LIMIT};

pub const TRAINER: &str = env!("CARGO_BIN_EXE_modelward-trainer");

#[derive(Default)]
pub struct FakeLedger {
    pub objects: BTreeMap<String, Bytes>,
    pub posted: BTreeMap<String, Bytes>,
    /// Statuses that the next calls get, whatever they ask.
    pub failures: VecDeque<StatusCode>,
    /// A bundle's blobs are returned with one bit flipped.
    pub flip: bool,
    /// Searches are refused, as by a ledger that is full or older.
    pub refuses_rounds: bool,
    /// Results get 503, as from a ledger without its database.
    pub has_no_database: bool,
    pub calls: Vec<String>,
}

pub type Shared = Arc<Mutex<FakeLedger>>;

pub struct Ledger {
    pub url: String,
    pub state: Shared,
    pub dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Ledger {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = Shared::default();
        let router = Router::new()
            .route("/v1/{*path}", any(answer))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&state));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "secret\n").unwrap();
        Self {
            url,
            state,
            dir,
            _runtime: runtime,
        }
    }

    pub fn run(&self, arguments: &[&str]) -> (Output, JobResult) {
        let output = self.command(arguments).output().unwrap();
        let message = std::fs::read(self.termination_log()).unwrap_or_default();
        assert!(message.len() < TERMINATION_MESSAGE_LIMIT);
        let result = serde_json::from_slice(&message).unwrap_or_else(|error| {
            unreachable!(
                "no termination message ({error}): {}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        (output, result)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let _ = std::fs::remove_file(self.termination_log());
        let mut command = Command::new(TRAINER);
        command
            .args(arguments)
            .arg("--publish")
            .env("MODELWARD_LEDGER_URL", &self.url)
            .env("MODELWARD_LEDGER_TOKEN_FILE", self.dir.path().join("token"))
            .env("MODELWARD_NAMESPACE", "hospital")
            .env("MODELWARD_JOB_UID", "11111111-2222")
            .env("MODELWARD_TERMINATION_LOG", self.termination_log())
            .env("TMPDIR", self.dir.path())
            // A Pod's image has no root certificates.
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent");
        command
    }

    pub fn termination_log(&self) -> PathBuf {
        self.dir.path().join("termination-log")
    }

    /// A bundle that the ledger keeps, in a directory.
    pub fn kept(&self, bundle: &Digest) -> PathBuf {
        let state = self.state.lock().unwrap();
        let manifest = &state.objects[&format!("artifacts/hospital/manifests/{bundle}")];
        let dir = self.dir.path().join("kept").join(bundle.short());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("manifest.json"), manifest).unwrap();
        for file in parse_manifest(manifest).unwrap().files {
            let blob = &state.objects[&format!("artifacts/hospital/blobs/{}", file.sha256)];
            std::fs::write(dir.join(file.path), blob).unwrap();
        }
        dir
    }

    pub fn recorded(&self) -> JobResult {
        let state = self.state.lock().unwrap();
        serde_json::from_slice(&state.posted["jobs/hospital/11111111-2222/result"]).unwrap()
    }
}

async fn answer(
    State(state): State<Shared>,
    UrlPath(path): UrlPath<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = state.lock().unwrap();
    state.calls.push(format!("{method} {path}"));
    if headers
        .get("authorization")
        .is_none_or(|token| token != "Bearer secret")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if !path.ends_with("/progress")
        && method != Method::HEAD
        && let Some(status) = state.failures.pop_front()
    {
        return (status, r#"{"error": "made to fail"}"#).into_response();
    }
    if path.ends_with("/result") && state.has_no_database {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if path.contains("/searches") && state.refuses_rounds {
        return (
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"error": "the searches are full"}"#,
        )
            .into_response();
    }
    if method == Method::DELETE && path.ends_with("/searches") {
        state.posted.retain(|kept, _| !kept.contains("/searches/"));
        return StatusCode::NO_CONTENT.into_response();
    }
    if method == Method::GET && path.contains("/searches/") {
        return match state.posted.get(&path) {
            Some(round) => round.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    if method == Method::PUT && path.starts_with("jobs/") {
        state.posted.insert(path, body);
        return StatusCode::NO_CONTENT.into_response();
    }
    let Some(digest) = path
        .rsplit('/')
        .next()
        .and_then(|text| text.parse::<Digest>().ok())
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match method {
        Method::PUT => {
            if sha256(&body) != digest {
                return StatusCode::UNPROCESSABLE_ENTITY.into_response();
            }
            if path.contains("/manifests/") {
                let manifest = parse_manifest(&body).unwrap();
                let blob = |digest: &Digest| format!("artifacts/hospital/blobs/{digest}");
                if manifest
                    .files
                    .iter()
                    .any(|file| !state.objects.contains_key(&blob(&file.sha256)))
                {
                    return StatusCode::CONFLICT.into_response();
                }
            }
            state.objects.insert(path, body);
            StatusCode::CREATED.into_response()
        }
        _ => match state.objects.get(&path) {
            Some(bytes) if state.flip && path.contains("/blobs/") => {
                let mut bytes = bytes.to_vec();
                bytes[0] ^= 1;
                bytes.into_response()
            }
            Some(bytes) => bytes.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
    }
}
