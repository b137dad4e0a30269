//! The operator's side of the ledger's API.

use std::{path::PathBuf, time::Duration};

use modelward_wire::{Digest, JobResult, Manifest, ReportRequest, ReportResult, VersionRecord};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A call that takes longer is given up: a reconcile must not hang on the ledger.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A window of many Pods is added up before it is judged.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Asks the ledger and tells it.
#[derive(Clone, Debug)]
pub struct LedgerClient {
    http: reqwest::Client,
    base: String,
    token_file: PathBuf,
}

/// Why the ledger could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The token file cannot be read.
    #[error("failed to read the token in {path}")]
    Token {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger did not answer, or not in time.
    #[error("the ledger did not answer")]
    Unreachable(#[source] reqwest::Error),
    /// The ledger answered something else than was asked for.
    #[error("the ledger answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The answer's text, shortened.
        message: String,
    },
}

/// A verdict that was given before.
#[derive(Deserialize)]
struct Given {
    result: ReportResult,
}

/// How the ledger says no.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

// === impl LedgerClient ===

impl LedgerClient {
    /// A client of the ledger at this address, with the token in this file.
    pub fn new(base: &str, token_file: PathBuf) -> Result<Self, LedgerError> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // The ledger is in the cluster; a proxy for the way out of it knows nothing of that.
            .no_proxy()
            .build()
            .map_err(LedgerError::Unreachable)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token_file,
        })
    }

    /// The result of a Job, if it left one.
    pub async fn job_result(&self, namespace: &str, job_uid: &str) -> Result<Option<JobResult>, LedgerError> {
        let path = format!("/v1/jobs/{namespace}/{job_uid}/result");
        let answer = self.send(self.request(Method::GET, &path).await?).await?;
        match answer {
            Some(answer) => Ok(Some(answer.json().await.map_err(LedgerError::Unreachable)?)),
            None => Ok(None),
        }
    }

    /// The manifest of this digest, if the store has it and its bytes are what the digest says.
    pub async fn manifest(&self, namespace: &str, digest: &Digest) -> Result<Option<Manifest>, LedgerError> {
        let path = format!("/v1/artifacts/{namespace}/manifests/{digest}");
        match self.send(self.request(Method::GET, &path).await?).await? {
            Some(answer) => {
                let bytes = answer.bytes().await.map_err(LedgerError::Unreachable)?;
                let is_it = Digest::from_bytes(Sha256::digest(&bytes).into()) == *digest;
                Ok(serde_json::from_slice(&bytes).ok().filter(|_| is_it))
            }
            None => Ok(None),
        }
    }

    /// Tells the ledger how a version stands. Telling it twice does no harm.
    pub async fn record_version(
        &self,
        namespace: &str,
        uid: &str,
        record: &VersionRecord,
    ) -> Result<(), LedgerError> {
        let path = format!("/v1/model-versions/{namespace}/{uid}");
        self.send(self.request(Method::PUT, &path).await?.json(record))
            .await
            .map(|_| ())
    }

    /// The verdict on one window. The first one that is given for a uid is given again.
    pub async fn judge(
        &self,
        namespace: &str,
        uid: &str,
        request: &ReportRequest,
    ) -> Result<ReportResult, LedgerError> {
        let path = format!("/v1/drift-reports/{namespace}/{uid}");
        let request = self.request(Method::PUT, &path).await?.json(request);
        let answer = match self.answer(request.timeout(JUDGE_TIMEOUT)).await {
            // It was judged before, and its version's tolerances were changed since: the verdict that was given is the one.
            Err(LedgerError::Refused { status: 409, .. }) => {
                let given = self.answer(self.request(Method::GET, &path).await?).await?;
                return match given.json().await {
                    Ok(Given { result }) => Ok(result),
                    Err(error) => Err(LedgerError::Unreachable(error)),
                };
            }
            answer => answer?,
        };
        answer.json().await.map_err(LedgerError::Unreachable)
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, LedgerError> {
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(|source| LedgerError::Token {
                path: self.token_file.display().to_string(),
                source,
            })?;
        Ok(self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(token.trim()))
    }

    /// `None` for 404.
    async fn send(&self, request: RequestBuilder) -> Result<Option<reqwest::Response>, LedgerError> {
        match self.answer(request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(LedgerError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<reqwest::Response, LedgerError> {
        let answer = request.send().await.map_err(LedgerError::Unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let words = serde_json::from_str::<Refusal>(&text).map_or(text, |refusal| refusal.error);
        Err(LedgerError::Refused {
            status: status.as_u16(),
            message: words.chars().take(300).collect(),
        })
    }
}

// === impl LedgerError ===

impl LedgerError {
    /// The status and the words of a ledger that understood what was asked and will say the same again. A ledger that is
    /// away, busy or does not know the operator yet may answer later.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Self::Refused { status, message } if matches!(status, 400 | 404 | 409 | 413 | 422) => {
                Some((*status, message))
            }
            _ => None,
        }
    }

    /// The error and what caused it, for a condition.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error with the errors under it, joined by colons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
