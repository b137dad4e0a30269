//! The ledger as this program needs it: reading one bundle by its digest, reporting counts and labels.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::StreamExt as _;
use http::StatusCode;
use modelward_profile::CountsBatch;
use modelward_service::chain;
use modelward_wire::{Digest, FeedbackOutcome, FeedbackRecord, FileEntry, Manifest, ManifestKind, words};
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

/// No manifest is larger: 256 entries of the longest names fit many times.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

const MANIFEST: &str = "manifest.json";

/// A client of the ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    base: String,
    token_file: Option<PathBuf>,
}

words! {
    /// Kinds of failures of a call to the ledger.
    pub enum Failure {
        /// The token cannot be read.
        Token,
        /// No answer came in time.
        Timeout,
        /// No connection, or it broke before an answer.
        Unreachable,
        /// The ledger does not have it.
        NotFound,
        /// The ledger refuses what was sent, or this caller a file.
        Refused,
        /// The ledger takes nothing from this caller.
        Forbidden,
        /// The ledger failed, or its answer does not parse.
        LedgerError,
        /// Another status than the protocol has.
        UnexpectedStatus,
        /// The connection broke while a file was sent.
        BrokenOff,
        /// The file cannot be written here.
        Disk,
    }
}

/// Why a bundle was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Something that may pass; asked again.
    #[error("{message}")]
    Transient {
        /// The kind of failure.
        reason: Failure,
        /// What was asked for and what came of it.
        message: String,
    },
    /// The ledger has other bytes than the digest says; asking again gives the same.
    #[error("{file} of bundle {digest} as the ledger sent it {problem}")]
    Corrupt {
        /// The bundle.
        digest: Digest,
        /// The file of it.
        file: String,
        /// What is wrong with its bytes.
        problem: String,
    },
}

/// Why the ledger did not take what it was sent.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Something that may pass; send it again.
    #[error("{message}")]
    Away {
        /// The kind of failure.
        reason: Failure,
        /// What was asked and what came of it.
        message: String,
    },
    /// It will never take this.
    #[error("{message}")]
    Refused {
        /// What was asked and what came of it.
        message: String,
    },
}

// === impl Ledger ===

impl Ledger {
    /// A client of the ledger at this address.
    pub fn new(base: &str, token_file: Option<&Path>) -> Result<Self, reqwest::Error> {
        let mut builder = Client::builder()
            // A token must never follow a redirect, nor pass a proxy that happens to be in the environment.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30));
        if !base.starts_with("https:") {
            // An image from scratch has no certificates, and loading none of them would be an error.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            client: builder.build()?,
            base: base.trim_end_matches('/').to_owned(),
            token_file: token_file.map(Path::to_owned),
        })
    }

    /// Writes the bundle of this digest into `dir`, which exists and is empty: each file verified while it comes, the
    /// manifest last.
    pub async fn fetch(&self, namespace: &str, digest: &Digest, dir: &Path) -> Result<(), FetchError> {
        let corrupt = |file: &str, problem: String| FetchError::Corrupt {
            digest: *digest,
            file: file.into(),
            problem,
        };
        let response = self
            .get(&format!("/v1/artifacts/{namespace}/manifests/{digest}"))
            .await?;
        let mut bytes = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| broken_off(MANIFEST, error))?;
            if bytes.len() + chunk.len() > MAX_MANIFEST_BYTES as usize {
                return Err(corrupt(
                    MANIFEST,
                    format!("has more than {MAX_MANIFEST_BYTES} bytes"),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        let found = Digest::from_bytes(Sha256::digest(&bytes).into());
        if found != *digest {
            return Err(corrupt(
                MANIFEST,
                format!("has digest {found}, expected {digest}"),
            ));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| corrupt(MANIFEST, format!("does not parse: {error}")))?;
        // Before any path of it is used: a manifest could name files outside of the directory.
        manifest
            .check()
            .map_err(|error| corrupt(MANIFEST, format!("is not valid: {error}")))?;
        if manifest.kind != ManifestKind::Bundle {
            return Err(corrupt(
                MANIFEST,
                "is of a Snapshot, expected a Bundle".to_owned(),
            ));
        }
        for file in &manifest.files {
            self.fetch_file(namespace, digest, file, &dir.join(&file.path))
                .await?;
        }
        tokio::fs::write(dir.join(MANIFEST), &bytes)
            .await
            .map_err(|error| disk(&dir.join(MANIFEST), &error))
    }

    async fn fetch_file(
        &self,
        namespace: &str,
        digest: &Digest,
        file: &FileEntry,
        path: &Path,
    ) -> Result<(), FetchError> {
        let corrupt = |problem: String| FetchError::Corrupt {
            digest: *digest,
            file: file.path.clone(),
            problem,
        };
        let response = self
            .get(&format!("/v1/artifacts/{namespace}/blobs/{}", file.sha256))
            .await?;
        let mut out = tokio::fs::File::create_new(path)
            .await
            .map_err(|error| disk(path, &error))?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| broken_off(&file.path, error))?;
            size += chunk.len() as u64;
            if size > file.size {
                return Err(corrupt(format!(
                    "has more bytes than the {} that the manifest states",
                    file.size
                )));
            }
            hash.update(&chunk);
            out.write_all(&chunk).await.map_err(|error| disk(path, &error))?;
        }
        // Without it a write that failed in the background would be found only when the bundle is opened.
        out.flush().await.map_err(|error| disk(path, &error))?;
        let found = Digest::from_bytes(hash.finalize().into());
        if size != file.size {
            return Err(corrupt(format!("has {size} bytes, expected {}", file.size)));
        }
        if found != file.sha256 {
            return Err(corrupt(format!("has digest {found}, expected {}", file.sha256)));
        }
        Ok(())
    }

    /// Reports what was counted by now.
    pub async fn send_counts(
        &self,
        namespace: &str,
        model: &str,
        batch: &CountsBatch,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let path = format!("/v1/counts/{namespace}/{model}");
        self.send(Method::PUT, &path, batch, timeout).await.map(drop)
    }

    /// Reports a label.
    pub async fn send_feedback(
        &self,
        namespace: &str,
        model: &str,
        record: &FeedbackRecord,
        timeout: Duration,
    ) -> Result<FeedbackOutcome, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            outcome: FeedbackOutcome,
        }
        let path = format!("/v1/feedback/{namespace}/{model}");
        let bytes = self.send(Method::POST, &path, record, timeout).await?;
        match serde_json::from_slice(&bytes) {
            Ok(Answer { outcome }) => Ok(outcome),
            Err(error) => Err(CallError::Away {
                reason: Failure::LedgerError,
                message: format!("the ledger answered POST {path} with what does not parse: {error}"),
            }),
        }
    }

    /// Sends JSON within this time; the body of the answer.
    async fn send<T: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &T,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let away = |reason, message| CallError::Away { reason, message };
        let request = self
            .client
            .request(method.clone(), format!("{}{path}", self.base))
            .json(body)
            .timeout(timeout);
        let request = self
            .with_token(request)
            .await
            .map_err(|message| away(Failure::Token, message))?;
        let unanswered = |error: reqwest::Error| {
            let reason = if error.is_timeout() {
                Failure::Timeout
            } else {
                Failure::Unreachable
            };
            let message = format!(
                "the ledger did not answer {method} {path}: {}",
                chain(&error.without_url())
            );
            away(reason, message)
        };
        let response = request.send().await.map_err(unanswered)?;
        let status = response.status();
        if status.is_success() {
            // What was sent is with the ledger; its answer is a few bytes.
            return response.bytes().await.map(Into::into).map_err(unanswered);
        }
        let message = format!(
            "the ledger answered {method} {path} with {status}{}",
            said(response).await
        );
        match status {
            StatusCode::BAD_REQUEST
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(CallError::Refused { message }),
            // A token that the ledger cannot check yet, a Pod that it does not know yet, a route that it does not have yet.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(away(Failure::Forbidden, message)),
            StatusCode::NOT_FOUND => Err(away(Failure::NotFound, message)),
            _ if status.is_server_error() => Err(away(Failure::LedgerError, message)),
            _ => Err(away(Failure::UnexpectedStatus, message)),
        }
    }

    /// Adds the token; the text says why there is none.
    async fn with_token(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let Some(file) = &self.token_file else {
            return Ok(request);
        };
        // At each call: the kubelet replaces the token long before it expires.
        match tokio::fs::read_to_string(file).await {
            Ok(token) => Ok(request.bearer_auth(token.trim())),
            Err(error) => Err(format!(
                "the ledger token {} cannot be read: {error}",
                file.display()
            )),
        }
    }

    async fn get(&self, path: &str) -> Result<Response, FetchError> {
        let url = format!("{}{path}", self.base);
        let request =
            self.with_token(self.client.get(&url))
                .await
                .map_err(|message| FetchError::Transient {
                    reason: Failure::Token,
                    message,
                })?;
        let response = request.send().await.map_err(|error| {
            let reason = if error.is_timeout() {
                Failure::Timeout
            } else {
                Failure::Unreachable
            };
            let message = format!(
                "the ledger did not answer GET {url}: {}",
                chain(&error.without_url())
            );
            FetchError::Transient { reason, message }
        })?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let reason = match status {
            StatusCode::NOT_FOUND => Failure::NotFound,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused,
            _ if status.is_server_error() => Failure::LedgerError,
            _ => Failure::UnexpectedStatus,
        };
        let message = format!(
            "the ledger answered GET {url} with {status}{}",
            said(response).await
        );
        Err(FetchError::Transient { reason, message })
    }
}

// === impl CallError ===

impl CallError {
    /// The kind of failure.
    pub fn reason(&self) -> Failure {
        match self {
            Self::Away { reason, .. } => *reason,
            Self::Refused { .. } => Failure::Refused,
        }
    }

    /// Whether the ledger is there.
    pub fn was_answered(&self) -> bool {
        !matches!(
            self.reason(),
            Failure::Timeout | Failure::Unreachable | Failure::Token
        )
    }
}

/// The `error` of a refusal's body, cut; nothing where there is none.
async fn said(response: Response) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > 16 << 10 {
            break;
        }
    }
    match serde_json::from_slice::<Body>(&bytes) {
        Ok(body) => format!(": {}", body.error.chars().take(300).collect::<String>()),
        Err(_) => String::new(),
    }
}

fn broken_off(file: &str, error: reqwest::Error) -> FetchError {
    FetchError::Transient {
        reason: Failure::BrokenOff,
        message: format!(
            "the ledger broke off while it sent {file}: {}",
            chain(&error.without_url())
        ),
    }
}

fn disk(path: &Path, error: &io::Error) -> FetchError {
    FetchError::Transient {
        reason: Failure::Disk,
        message: format!("{} cannot be written: {error}", path.display()),
    }
}
