//! Why a call of the ledger has no result.

use std::{fmt, io, path::PathBuf};

use modelward_wire::{Digest, ManifestError, ManifestKind};
use reqwest::{Method, StatusCode};

/// What was asked, without the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// What the call is about: `statement`, `counts`, or the name of a file of an artifact.
    pub what: String,
}

/// Why a call of the ledger has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings make no client.
    #[error("cannot make an http client")]
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
    /// The ledger did not answer, or not whole.
    #[error("the ledger {kind}")]
    Unanswered {
        /// What was asked.
        call: Call,
        /// How far it came.
        kind: Unanswered,
        /// Why.
        source: reqwest::Error,
    },
    /// The ledger did not answer a moment ago, and was not asked again.
    #[error("the ledger did not answer: {why}")]
    Away {
        /// What the last call met.
        why: String,
    },
    /// The ledger answered something else than was asked for.
    #[error("the ledger answered {}: {message}", status.as_u16())]
    Refused {
        /// What was asked.
        call: Call,
        /// Its status.
        status: StatusCode,
        /// Its words, or the start of the answer where that has no words; at most 300 characters, which may be none.
        message: String,
    },
    /// The answer is not what it must be.
    #[error("{what} as the ledger sent it {problem}")]
    Corrupt {
        /// What was asked for, as in [`Call::what`].
        what: String,
        /// What is wrong with it.
        problem: Corruption,
    },
    /// A file that is to be stored cannot be read.
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

/// How far a call came that has no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// There was no connection, or it ended before an answer.
    Connect,
    /// No answer began in time.
    Timeout,
    /// The answer ended, or paused for too long, in the middle.
    BrokenOff,
}

/// What is wrong with an answer. Artifacts are the same tomorrow, so asking again gives the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// It is longer than anything of its kind may be.
    #[error("has more than {limit} bytes")]
    TooLarge {
        /// Bytes that had come when it was given up.
        found: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A file is longer than the manifest states.
    #[error("has more bytes than the {expected} that the manifest states")]
    Longer {
        /// Bytes that had come when it was given up.
        found: u64,
        /// Bytes that the manifest states.
        expected: u64,
    },
    /// A file is shorter than the manifest states.
    #[error("has {found} bytes, expected {expected}")]
    Shorter {
        /// Bytes that came.
        found: u64,
        /// Bytes that the manifest states.
        expected: u64,
    },
    /// Its bytes are not those that the digest names.
    #[error("has digest {found}, expected {expected}")]
    Digest {
        /// The digest of the bytes that came.
        found: Digest,
        /// The digest that was asked for.
        expected: Digest,
    },
    /// It is no JSON of the right form.
    #[error("does not parse: {0}")]
    Parse(serde_json::Error),
    /// A manifest that must not be trusted.
    #[error("is not valid: {0}")]
    Invalid(ManifestError),
    /// A bundle where a snapshot was asked for, or the other way round.
    #[error("is of a {found:?}, expected a {expected:?}")]
    Kind {
        /// What the manifest says.
        found: ManifestKind,
        /// What was asked for.
        expected: ManifestKind,
    },
}

/// For answers that may be absent.
pub trait Optional {
    /// What is there where something is.
    type Answer;

    /// The answer, or nothing where the ledger has none (404).
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
            Self::BrokenOff => "broke off its answer",
        })
    }
}

// === impl Error ===

impl Error {
    /// Whether the ledger says that it does not have what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// The status and the words of a ledger that understood what was asked and will say the same again. A ledger that is
    /// away, busy or does not know the caller yet may answer later.
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
