//! Settings for calls of the ledger.

use std::{path::PathBuf, time::Duration};

use reqwest::Certificate;

/// Settings of a client.
#[derive(Clone)]
pub struct Settings {
    /// Address of the ledger, such as `http://modelward-ledger.modelward-system.svc:8090`.
    pub url: String,
    /// The program and its version, sent with each call.
    pub program: &'static str,
    /// The credentials of the caller.
    pub token: Token,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// Whether a failed call is repeated.
    pub retry: Retry,
    /// Address of a proxy. Without one no proxy is used, not even one of the environment.
    pub proxy: Option<String>,
    /// The certificates that are accepted from the ledger.
    pub tls: Tls,
}

/// The credentials of the caller.
#[derive(Clone, Debug)]
pub enum Token {
    /// A file with a token. It is read for each call, because the kubelet replaces it long before the token expires.
    File(PathBuf),
    /// No token.
    Absent,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For opening a connection.
    pub connect: Duration,
    /// For the start of an answer, and between two chunks of it.
    pub read: Duration,
    /// For a whole attempt. If absent, only the other two apply.
    pub call: Option<Duration>,
}

/// What happens after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It is not repeated.
    Never,
    /// It is not repeated. After a call without an answer, all calls fail at once for some time. Then one call tries again, and the
    /// others still fail until it has an answer.
    Breaker {
        /// How long the ledger is not called.
        pause: Duration,
    },
    /// It is repeated if the ledger was unavailable or busy, or refused a token that may be slightly too new or too old.
    Within {
        /// No attempt starts later than this after the first.
        patience: Duration,
        /// The same for a refused token, if this is shorter.
        refused: Duration,
        /// Pause after the first attempt. It is doubled after each.
        first: Duration,
        /// Maximum pause.
        longest: Duration,
    },
}

/// The certificates that are accepted from the ledger.
#[derive(Clone)]
#[non_exhaustive]
pub enum Tls {
    /// None, for an `http://` address. An image may have no root certificates, and loading none would be an error.
    Plain,
    /// Those of the system.
    SystemRoots,
    /// Only those of these authorities.
    Roots(Vec<Certificate>),
}

// === impl Tls ===

impl Tls {
    /// The default for this address.
    pub fn of(url: &str) -> Self {
        if url.starts_with("https:") {
            Self::SystemRoots
        } else {
            Self::Plain
        }
    }
}
