//! Why a call of the ledger failed.

use std::{fmt, io, path::PathBuf};

use modelward_wire::{Digest, ManifestError, ManifestKind};
use reqwest::{Method, StatusCode};

/// A call without its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// What the call is about: `statement`, `counts`, or the name of a file of an artifact.
    pub what: String,
}

/// Why a call of the ledger failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client cannot be created from the settings.
    #[error("cannot create an http client")]
    Setup(#[source] reqwest::Error),
    /// The token cannot be read.
    #[error("failed to read the token in {}", path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A message cannot be written as JSON.
    #[error("cannot write a message as JSON")]
    Json(#[source] serde_json::Error),
    /// The ledger did not answer, or not completely.
    #[error("the ledger {kind}")]
    Unanswered {
        /// The call.
        call: Call,
        /// How it failed.
        kind: Unanswered,
        /// Why.
        source: reqwest::Error,
    },
    /// The ledger did not answer a moment ago and was not called again.
    #[error("the ledger did not answer: {why}")]
    Away {
        /// The error of the last call.
        why: String,
    },
    /// The ledger answered with an error status.
    #[error("the ledger answered {}: {message}", status.as_u16())]
    Refused {
        /// The call.
        call: Call,
        /// Its status.
        status: StatusCode,
        /// Its message, or the start of the body if it has no message. At most 300 characters, and may be empty.
        message: String,
    },
    /// The answer is not valid.
    #[error("{what} from the ledger {problem}")]
    Corrupt {
        /// The subject of the call, as in [`Call::what`].
        what: String,
        /// What is wrong with it.
        problem: Corruption,
    },
    /// A file to store cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A fetched file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a call without a complete answer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The connection failed, or ended before an answer.
    Connect,
    /// No answer started in time.
    Timeout,
    /// The answer ended, or paused for too long, in the middle.
    BrokenOff,
}

/// What is wrong with an answer. Artifacts never change, so another call gives the same answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// It is longer than the maximum of its kind.
    #[error("has more than {limit} bytes")]
    TooLarge {
        /// Bytes received before the client gave up.
        found: u64,
        /// The maximum.
        limit: u64,
    },
    /// A file is longer than the manifest states.
    #[error("has more bytes than the {expected} that the manifest states")]
    Longer {
        /// Bytes received before the client gave up.
        found: u64,
        /// Bytes that the manifest states.
        expected: u64,
    },
    /// A file is shorter than the manifest states.
    #[error("has {found} bytes, expected {expected}")]
    Shorter {
        /// Number of bytes received.
        found: u64,
        /// Bytes that the manifest states.
        expected: u64,
    },
    /// Its bytes do not match the digest.
    #[error("has digest {found}, expected {expected}")]
    Digest {
        /// The digest of the received bytes.
        found: Digest,
        /// The expected digest.
        expected: Digest,
    },
    /// It is not JSON of this form.
    #[error("does not parse: {0}")]
    Parse(serde_json::Error),
    /// It is an invalid manifest.
    #[error("is not valid: {0}")]
    Invalid(ManifestError),
    /// It is a bundle instead of a snapshot, or vice versa.
    #[error("is of a {found:?}, expected a {expected:?}")]
    Kind {
        /// The kind in the manifest.
        found: ManifestKind,
        /// The expected kind.
        expected: ManifestKind,
    },
}

/// For answers that may be absent.
pub trait Optional {
    /// The type of the answer.
    type Answer;

    /// The answer, or `None` if the ledger has none (404).
    fn optional(self) -> Result<Option<Self::Answer>, Error>;
}

// === impl Call ===

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.what)
    }
}

// === impl Unanswered ===

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect | Self::Timeout => "did not answer",
            Self::BrokenOff => "did not complete its answer",
        })
    }
}

// === impl Error ===

impl Error {
    /// Whether the ledger answered that it does not have this.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// The status and the message, if the ledger understood the request and will answer the same again. A ledger that is
    /// unavailable or busy, or does not know the caller yet, may answer differently later.
    pub fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Self::Refused { status, message, .. } => match status.as_u16() {
                status @ (400 | 404 | 409 | 413 | 422) => Some((status, message)),
                _ => None,
            },
            _ => None,
        }
    }
}

// === impl Optional ===

impl<T> Optional for Result<T, Error> {
    type Answer = T;

    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
