//! Calls to the ledger: reading a bundle by its digest, and reporting counts and labels.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::StatusCode;
use modelward_ledger_client::{Client, Corruption, Error, Retry, Settings, Timeouts, Tls, Token, Unanswered};
use modelward_profile::CountsBatch;
use modelward_service::chain;
use modelward_wire::{Digest, FeedbackOutcome, FeedbackRecord, ManifestKind, words};

/// A client of the ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
}

words! {
    /// Kinds of failures of a call to the ledger.
    pub enum Failure {
        /// The token cannot be read.
        Token,
        /// No answer arrived in time.
        Timeout,
        /// The connection failed, or broke before an answer.
        Unreachable,
        /// The ledger does not have it.
        NotFound,
        /// The ledger refuses the content of the call, or does not allow this caller to read a file.
        Refused,
        /// The ledger does not accept this caller.
        Forbidden,
        /// The ledger failed, or its answer does not parse.
        LedgerError,
        /// The status is not one of the protocol.
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
    /// A transient failure. The caller tries again.
    #[error("{message}")]
    Transient {
        /// The kind of failure.
        reason: Failure,
        /// The call and its failure.
        message: String,
    },
    /// The bytes do not match the digest. Another attempt gives the same bytes.
    #[error("{file} of bundle {digest} from the ledger {problem}")]
    Corrupt {
        /// The bundle.
        digest: Digest,
        /// Its file.
        file: String,
        /// What is wrong with its bytes.
        problem: Corruption,
    },
}

/// Why the ledger did not accept counts or a label.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A transient failure. Send it again.
    #[error("{message}")]
    Away {
        /// The kind of failure.
        reason: Failure,
        /// The call and its failure.
        message: String,
    },
    /// The ledger will never accept this.
    #[error("{message}")]
    Refused {
        /// The call and its failure.
        message: String,
    },
}

// === impl Ledger ===

impl Ledger {
    /// A client of the ledger at this address.
    pub fn new(url: &str, token_file: Option<&Path>) -> Result<Self, Error> {
        let client = Client::new(Settings {
            url: url.to_owned(),
            program: concat!("modelward-inference/", env!("CARGO_PKG_VERSION")),
            token: token_file.map_or(Token::Absent, |file| Token::File(PathBuf::from(file))),
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                read: Duration::from_secs(30),
                call: None,
            },
            // The loader retries until it has the bundle, and unsent counts go with the next ones.
            retry: Retry::Never,
            proxy: None,
            tls: Tls::of(url),
        })?;
        Ok(Self { client })
    }

    /// Writes the bundle with this digest into `dir`, an existing empty directory. Each file is verified while it is
    /// received. The manifest comes last.
    pub async fn fetch(&self, namespace: &str, digest: &Digest, dir: &Path) -> Result<(), FetchError> {
        let kind = Some(ManifestKind::Bundle);
        let fetched = self.client.fetch_into(namespace, digest, kind, dir).await;
        fetched.map_err(|error| FetchError::of(error, digest))
    }

    /// Reports the current counts.
    pub async fn send_counts(
        &self,
        namespace: &str,
        model: &str,
        batch: &CountsBatch,
        timeout: Duration,
    ) -> Result<(), CallError> {
        let client = self.client.within(timeout);
        let sent = client.put_counts(namespace, model, batch).await;
        sent.map_err(CallError::of)
    }

    /// Reports a label.
    pub async fn send_feedback(
        &self,
        namespace: &str,
        model: &str,
        record: &FeedbackRecord,
        timeout: Duration,
    ) -> Result<FeedbackOutcome, CallError> {
        let client = self.client.within(timeout);
        let sent = client.post_feedback(namespace, model, record).await;
        sent.map_err(CallError::of)
    }
}

// === impl FetchError ===

impl FetchError {
    fn of(error: Error, digest: &Digest) -> Self {
        let reason = match &error {
            Error::Unanswered {
                kind: Unanswered::BrokenOff,
                ..
            } => Failure::BrokenOff,
            Error::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused,
                status => failure(status),
            },
            _ => begun(&error),
        };
        let message = describe(&error);
        match error {
            Error::Corrupt { what, problem } => Self::Corrupt {
                digest: *digest,
                file: what,
                problem,
            },
            _ => Self::Transient { reason, message },
        }
    }
}

// === impl CallError ===

impl CallError {
    fn of(error: Error) -> Self {
        let message = describe(&error);
        let reason = match error {
            Error::Refused { status, .. } => match status {
                StatusCode::BAD_REQUEST
                | StatusCode::CONFLICT
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY => return Self::Refused { message },
                // The ledger cannot check the token yet, or does not know the Pod yet.
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Forbidden,
                status => failure(status),
            },
            error => begun(&error),
        };
        Self::Away { reason, message }
    }

    /// The kind of failure.
    pub fn reason(&self) -> Failure {
        match self {
            Self::Away { reason, .. } => *reason,
            Self::Refused { .. } => Failure::Refused,
        }
    }

    /// Whether the ledger answered.
    pub fn was_answered(&self) -> bool {
        !matches!(
            self.reason(),
            Failure::Timeout | Failure::Unreachable | Failure::Token
        )
    }
}

/// The kind of failure of any other status.
fn failure(status: StatusCode) -> Failure {
    match status {
        // For counts and labels: the ledger does not know the route yet.
        StatusCode::NOT_FOUND => Failure::NotFound,
        status if status.is_server_error() => Failure::LedgerError,
        _ => Failure::UnexpectedStatus,
    }
}

/// The kind of failure of a call without a status.
fn begun(error: &Error) -> Failure {
    match error {
        Error::Token { .. } => Failure::Token,
        Error::Unanswered {
            kind: Unanswered::Timeout,
            ..
        } => Failure::Timeout,
        Error::Write { .. } => Failure::Disk,
        Error::Corrupt { .. } => Failure::LedgerError,
        _ => Failure::Unreachable,
    }
}

/// The call, and its failure.
fn describe(error: &Error) -> String {
    match error {
        Error::Token { path, source } => {
            format!("the ledger token {} cannot be read: {source}", path.display())
        }
        Error::Unanswered { call, kind, source } => match kind {
            Unanswered::Connect | Unanswered::Timeout => {
                format!("the ledger did not answer {call}: {}", chain(source))
            }
            Unanswered::BrokenOff => {
                format!(
                    "the connection to the ledger broke while it sent {}: {}",
                    call.what,
                    chain(source)
                )
            }
        },
        Error::Refused {
            call,
            status,
            message,
        } => {
            let colon = if message.is_empty() { "" } else { ": " };
            format!("the ledger answered {call} with {status}{colon}{message}")
        }
        Error::Write { path, source } => format!("{} cannot be written: {source}", path.display()),
        error => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use modelward_ledger_client::{Call, Method};

    use super::*;

    fn refused(status: u16) -> Error {
        Error::Refused {
            call: Call {
                method: Method::PUT,
                what: "counts".to_owned(),
            },
            status: StatusCode::from_u16(status).unwrap(),
            message: "it has its reasons".to_owned(),
        }
    }

    #[test]
    fn each_status_has_its_reason_and_what_is_final_is_not_sent_again() {
        let digest = Digest::from_bytes([7; 32]);
        for (status, fetch, call) in [
            (302, Failure::UnexpectedStatus, Failure::UnexpectedStatus),
            (400, Failure::UnexpectedStatus, Failure::Refused),
            (401, Failure::Refused, Failure::Forbidden),
            (403, Failure::Refused, Failure::Forbidden),
            (404, Failure::NotFound, Failure::NotFound),
            (409, Failure::UnexpectedStatus, Failure::Refused),
            (413, Failure::UnexpectedStatus, Failure::Refused),
            (422, Failure::UnexpectedStatus, Failure::Refused),
            (429, Failure::UnexpectedStatus, Failure::UnexpectedStatus),
            (503, Failure::LedgerError, Failure::LedgerError),
        ] {
            match FetchError::of(refused(status), &digest) {
                FetchError::Transient { reason, message } => {
                    assert_eq!(reason, fetch, "{status}");
                    assert!(
                        message.starts_with("the ledger answered PUT counts with"),
                        "{message}"
                    );
                    assert!(message.ends_with(": it has its reasons"), "{message}");
                }
                other @ FetchError::Corrupt { .. } => unreachable!("{other}"),
            }
            let error = CallError::of(refused(status));
            assert_eq!(error.reason(), call, "{status}");
            assert_eq!(
                matches!(error, CallError::Refused { .. }),
                call == Failure::Refused
            );
            assert!(error.was_answered());
        }
    }

    #[test]
    fn a_bundle_with_other_bytes_is_not_asked_for_again() {
        let digest = Digest::from_bytes([7; 32]);
        let error = Error::Corrupt {
            what: "model.json".to_owned(),
            problem: Corruption::Shorter {
                found: 3,
                expected: 5,
            },
        };
        assert_eq!(
            FetchError::of(error, &digest).to_string(),
            format!("model.json of bundle {digest} from the ledger has 3 bytes, expected 5")
        );
    }
}
