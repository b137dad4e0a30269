//! The operator's side of the ledger's API.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use modelward_service::chain;
use modelward_wire::{
    ArtifactStatement, Digest, JobResult, Manifest, ReportRequest, ReportResult, VersionRecord,
};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Calls that take longer are aborted, so that a reconcile does not hang on the ledger.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Connection attempts that take longer are aborted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After a call without an answer, all calls get the same error for this long, so that only one of them waits.
const AWAY: Duration = Duration::from_secs(10);
/// Time limit of a verdict: the counts of many Pods are added up first.
const JUDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The client of the ledger.
#[derive(Clone, Debug)]
pub struct LedgerClient {
    http: reqwest::Client,
    base: String,
    token_file: PathBuf,
    away: Arc<Mutex<Option<Away>>>,
}

/// The state of a ledger that did not answer.
#[derive(Clone, Debug)]
struct Away {
    /// When the next call is allowed.
    until: Instant,
    /// The error.
    why: String,
}

/// Why a call to the ledger failed.
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
    /// The ledger just failed to answer, and was not called again.
    #[error("the ledger did not answer: {0}")]
    Away(String),
    /// The ledger answered with an unexpected status.
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

/// The body of the ledger's errors.
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
            .connect_timeout(CONNECT_TIMEOUT)
            // The ledger is in the cluster, which an egress proxy cannot reach.
            .no_proxy()
            .build()
            .map_err(LedgerError::Unreachable)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token_file,
            away: Arc::default(),
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

    /// The manifest of this digest, if the store has it and its bytes match the digest.
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

    /// What the artifact of this digest states about itself, if the store has it.
    pub async fn statement(
        &self,
        namespace: &str,
        digest: &Digest,
    ) -> Result<Option<ArtifactStatement>, LedgerError> {
        let path = format!("/v1/artifacts/{namespace}/statements/{digest}");
        match self.send(self.request(Method::GET, &path).await?).await? {
            Some(answer) => Ok(Some(answer.json().await.map_err(LedgerError::Unreachable)?)),
            None => Ok(None),
        }
    }

    /// Records a version in the ledger. Recording it twice does no harm.
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

    /// The verdict on one window. Later calls with the same uid return the first verdict.
    pub async fn judge(
        &self,
        namespace: &str,
        uid: &str,
        request: &ReportRequest,
    ) -> Result<ReportResult, LedgerError> {
        let path = format!("/v1/drift-reports/{namespace}/{uid}");
        let request = self.request(Method::PUT, &path).await?.json(request);
        let answer = match self.answer(request.timeout(JUDGE_TIMEOUT)).await {
            // It was judged before the version's tolerances were changed: the first verdict is kept.
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

    /// Returns the last error instead of calling while the ledger is unavailable. After that time one caller calls, and the others get
    /// the error until that call has ended.
    fn ask_one_at_a_time(&self) -> Result<(), LedgerError> {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = away.as_mut() else {
            return Ok(());
        };
        let now = Instant::now();
        if now < last.until {
            return Err(LedgerError::Away(last.why.clone()));
        }
        last.until = now + TIMEOUT;
        Ok(())
    }

    /// Records that the ledger answered, or why it did not.
    fn note(&self, error: Option<String>) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        *away = error.map(|why| Away {
            until: Instant::now() + AWAY,
            why,
        });
    }

    async fn answer(&self, request: RequestBuilder) -> Result<reqwest::Response, LedgerError> {
        self.ask_one_at_a_time()?;
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                // The URL of one object is of no use to other callers, and must not be disclosed to them.
                let error = error.without_url();
                self.note(Some(chain(&error)));
                return Err(LedgerError::Unreachable(error));
            }
        };
        self.note(None);
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
    /// Status and message of a final rejection by the ledger. A ledger that is unavailable, busy or does not know the operator yet may
    /// answer later.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Self::Refused { status, message } if matches!(status, 400 | 404 | 409 | 413 | 422) => {
                Some((*status, message))
            }
            _ => None,
        }
    }

    /// The error with its causes, for a condition.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger that takes connections and never answers.
    async fn silent() -> (tokio::net::TcpListener, LedgerClient, tempfile::TempDir) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "t").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        (listener, LedgerClient::new(&address, token).unwrap(), directory)
    }

    #[tokio::test]
    async fn a_ledger_that_swallows_packets_is_waited_for_once_and_not_by_every_call() {
        let (_listener, client, _directory) = silent().await;
        let begun = Instant::now();
        let first = client.job_result("hospital", "u").await;
        assert!(matches!(first, Err(LedgerError::Unreachable(_))));
        let waited = begun.elapsed();
        for _ in 0..200 {
            let next = client.job_result("hospital", "u").await;
            assert!(matches!(next, Err(LedgerError::Away(_))));
        }
        let all = begun.elapsed();
        assert!(
            all < waited + Duration::from_secs(2),
            "{all:?} for 201 calls, {waited:?} for the first"
        );
    }

    #[tokio::test]
    async fn one_call_asks_again_when_the_time_is_over_and_an_answer_ends_it() {
        let (_listener, client, _directory) = silent().await;
        client.note(Some("refused".to_owned()));
        assert!(client.ask_one_at_a_time().is_err());
        if let Some(away) = client.away.lock().unwrap().as_mut() {
            away.until = Instant::now();
        }
        assert!(client.ask_one_at_a_time().is_ok(), "one asks");
        assert!(
            client.ask_one_at_a_time().is_err(),
            "and the others wait for what it finds"
        );
        client.note(None);
        assert!(client.ask_one_at_a_time().is_ok());
    }
}
