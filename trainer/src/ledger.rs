//! A client of the ledger: artifacts, results, progress.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use modelward_model::{FilesError, VerifiedDir, files::MANIFEST, files::parse_manifest, sha256};
use modelward_wire::{Digest, JobResult, ManifestKind, Progress};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};

/// How long a call is repeated before it is given up.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a refusal is repeated: a token may be a moment too new or too old.
const PATIENCE_REFUSED: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where the ledger is and who calls it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `http://modelward-ledger.modelward-system.svc:8090`.
    pub url: String,
    /// The namespace of this Job.
    pub namespace: String,
    /// The uid of this Job.
    pub job_uid: String,
    /// The projected token; read at each call, for the kubelet renews it.
    pub token_file: PathBuf,
}

/// The ledger as one Job sees it.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    config: Config,
    patience: Duration,
}

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// No client could be made.
    #[error("cannot make an http client")]
    Client(#[source] reqwest::Error),
    /// The token cannot be read.
    #[error("cannot read the token {}", path.display())]
    Token {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ledger refused the call.
    #[error("the ledger refused {what}: {status}, {message}")]
    Refused {
        /// The call.
        what: String,
        /// The status.
        status: StatusCode,
        /// What it said.
        message: String,
    },
    /// The ledger did not answer usefully until patience ended.
    #[error("the ledger failed {what} for {} s: {reason}", waited.as_secs())]
    Unreachable {
        /// The call.
        what: String,
        /// For how long it was tried.
        waited: Duration,
        /// The last failure.
        reason: String,
    },
    /// What was fetched is not what was asked for, or cannot be kept.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A fetched file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A message cannot be written as JSON.
    #[error("cannot write a message as JSON")]
    Json(#[from] serde_json::Error),
}

// === impl LedgerError ===

impl LedgerError {
    /// Whether the ledger has nothing under that digest.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

// === impl Ledger ===

impl Ledger {
    /// A client of this ledger.
    pub fn new(config: Config) -> Result<Self, LedgerError> {
        let mut builder = Client::builder()
            .user_agent(concat!("modelward-trainer/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_mins(1))
            .redirect(reqwest::redirect::Policy::none());
        if config.url.starts_with("http://") {
            // Needs no root certificates, and an image may have none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(LedgerError::Client)?;
        Ok(Self {
            client,
            config,
            patience: PATIENCE,
        })
    }

    /// The same ledger, given up earlier.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Uploads every file of a directory, then its manifest. What is there already is sent again: a copy that has
    /// rotted in the store is healed by it, and bundles are small.
    pub async fn publish(&self, dir: &Path, kind: ManifestKind) -> Result<Digest, LedgerError> {
        let verified = VerifiedDir::open(dir, None, kind)?;
        for entry in &verified.manifest().files {
            let url = self.artifact("blobs", &entry.sha256);
            let what = format!("uploading {}", entry.path);
            let body = read(dir, &entry.path)?;
            self.call(&what, Method::PUT, &url, Some(body), "application/octet-stream")
                .await?;
        }
        let digest = verified.digest();
        let url = self.artifact("manifests", &digest);
        let body = read(dir, MANIFEST)?;
        self.call(
            "uploading the manifest",
            Method::PUT,
            &url,
            Some(body),
            "application/json",
        )
        .await?;
        Ok(digest)
    }

    /// Downloads a bundle or snapshot into `dir`, which must not exist, and verifies every byte.
    pub async fn fetch(&self, digest: &Digest, dir: &Path) -> Result<(), LedgerError> {
        let write = |path: PathBuf, source| LedgerError::Write { path, source };
        fs::create_dir_all(dir).map_err(|error| write(dir.to_owned(), error))?;
        let bytes = self
            .download(
                "fetching the manifest",
                &self.artifact("manifests", digest),
                1 << 20,
            )
            .await?;
        check(MANIFEST, &bytes, digest)?;
        let manifest = parse_manifest(&bytes)?;
        for entry in &manifest.files {
            let what = format!("fetching {}", entry.path);
            let content = self
                .download(&what, &self.artifact("blobs", &entry.sha256), entry.size)
                .await?;
            check(&entry.path, &content, &entry.sha256)?;
            let path = dir.join(&entry.path);
            fs::write(&path, content).map_err(|error| write(path, error))?;
        }
        let path = dir.join(MANIFEST);
        fs::write(&path, bytes).map_err(|error| write(path, error))
    }

    /// The bytes of one blob, at most so many, verified.
    pub async fn fetch_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, LedgerError> {
        let url = self.artifact("blobs", digest);
        let bytes = self.download("fetching a blob", &url, limit).await?;
        check("the blob", &bytes, digest)?;
        Ok(bytes)
    }

    /// Records the end of this Job, whole.
    pub async fn put_result(&self, result: &JobResult) -> Result<(), LedgerError> {
        let body = Bytes::from(serde_json::to_vec(result)?);
        let url = self.job("result");
        self.call(
            "recording the result",
            Method::PUT,
            &url,
            Some(body),
            "application/json",
        )
        .await?;
        Ok(())
    }

    /// Records how far this Job is. One attempt: the next one says more.
    pub async fn put_progress(&self, progress: &Progress) -> Result<(), LedgerError> {
        let body = Bytes::from(serde_json::to_vec(progress)?);
        let url = self.job("progress");
        let once = self.clone().with_patience(Duration::ZERO);
        let call = once.call(
            "recording progress",
            Method::PUT,
            &url,
            Some(body),
            "application/json",
        );
        match tokio::time::timeout(Duration::from_secs(5), call).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(LedgerError::Unreachable {
                what: "recording progress".to_owned(),
                waited: Duration::from_secs(5),
                reason: "no answer".to_owned(),
            }),
        }
    }

    fn artifact(&self, part: &str, digest: &Digest) -> String {
        let base = self.config.url.trim_end_matches('/');
        format!("{base}/v1/artifacts/{}/{part}/{digest}", self.config.namespace)
    }

    fn job(&self, part: &str) -> String {
        let base = self.config.url.trim_end_matches('/');
        format!(
            "{base}/v1/jobs/{}/{}/{part}",
            self.config.namespace, self.config.job_uid
        )
    }

    /// The body of a GET, of at most `limit` bytes; begun anew where it breaks off.
    async fn download(&self, what: &str, url: &str, limit: u64) -> Result<Vec<u8>, LedgerError> {
        let started = Instant::now();
        loop {
            let mut response = self.call(what, Method::GET, url, None, "").await?;
            let mut bytes = Vec::new();
            let broken = loop {
                match response.chunk().await {
                    Ok(None) => return Ok(bytes),
                    Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > limit => {
                        let found = (bytes.len() + chunk.len()) as u64;
                        return Err(FilesError::TooLarge {
                            file: what.to_owned(),
                            found,
                            limit,
                        }
                        .into());
                    }
                    Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                    Err(error) => break error,
                }
            };
            let waited = started.elapsed();
            if waited >= self.patience {
                let reason = broken.to_string();
                return Err(LedgerError::Unreachable {
                    what: what.to_owned(),
                    waited,
                    reason,
                });
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    }

    /// One call, repeated with growing pauses while the ledger is unavailable.
    async fn call(
        &self,
        what: &str,
        method: Method,
        url: &str,
        body: Option<Bytes>,
        content_type: &str,
    ) -> Result<Response, LedgerError> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let mut request = self.client.request(method.clone(), url);
            if let Some(body) = &body {
                request = request.header("content-type", content_type).body(body.clone());
            }
            let (reason, patience) = match self.send(request).await? {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let status = response.status();
                    let message = message(response).await;
                    let patience = match status {
                        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                            PATIENCE_REFUSED.min(self.patience)
                        }
                        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => self.patience,
                        status if status.is_server_error() => self.patience,
                        _ => Duration::ZERO,
                    };
                    if started.elapsed() >= patience {
                        return Err(LedgerError::Refused {
                            what: what.to_owned(),
                            status,
                            message,
                        });
                    }
                    (format!("{status}, {message}"), patience)
                }
                Err(error) => (chain(&error), self.patience),
            };
            let waited = started.elapsed();
            if waited >= patience {
                return Err(LedgerError::Unreachable {
                    what: what.to_owned(),
                    waited,
                    reason,
                });
            }
            tracing::warn!(reason, "the ledger failed {what}, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Result<Response, reqwest::Error>, LedgerError> {
        let path = &self.config.token_file;
        let token = fs::read_to_string(path).map_err(|source| LedgerError::Token {
            path: path.clone(),
            source,
        })?;
        Ok(request.bearer_auth(token.trim()).send().await)
    }
}

fn read(dir: &Path, name: &str) -> Result<Bytes, LedgerError> {
    fs::read(dir.join(name)).map(Bytes::from).map_err(|source| {
        FilesError::Read {
            file: name.to_owned(),
            source,
        }
        .into()
    })
}

fn check(file: &str, bytes: &[u8], expected: &Digest) -> Result<(), FilesError> {
    let found = sha256(bytes);
    if found == *expected {
        Ok(())
    } else {
        Err(FilesError::Digest {
            file: file.to_owned(),
            found,
            expected: *expected,
        })
    }
}

/// The `error` of a refusal, or the start of whatever it says.
async fn message(response: Response) -> String {
    let text = response.text().await.unwrap_or_default();
    let parsed: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let error = parsed
        .as_ref()
        .and_then(|value| value.get("error"))
        .and_then(|error| error.as_str());
    error.unwrap_or(&text).chars().take(240).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
