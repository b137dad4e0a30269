//! How a program calls the ledger.

use std::{path::PathBuf, time::Duration};

use reqwest::Certificate;

/// Where the ledger is, who calls it, and for how long.
#[derive(Clone)]
pub struct Settings {
    /// Address of the ledger, such as `http://modelward-ledger.modelward-system.svc:8090`.
    pub url: String,
    /// The program and its version, sent with each call.
    pub program: &'static str,
    /// Proves who calls.
    pub token: Token,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// Whether a call that failed is repeated.
    pub retry: Retry,
    /// Address of a proxy to call through. Without one no proxy is used, whatever the environment says.
    pub proxy: Option<String>,
    /// Which certificates the ledger may show.
    pub tls: Tls,
}

/// Proves to the ledger who calls.
#[derive(Clone, Debug)]
pub enum Token {
    /// A file that holds a token. It is read at each call, because the kubelet replaces it long before the token expires.
    File(PathBuf),
    /// No token.
    Absent,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a connection is open.
    pub connect: Duration,
    /// Between two pieces of an answer, and until the first.
    pub read: Duration,
    /// For all of one attempt; none where only the other two bound it.
    pub call: Option<Duration>,
}

/// What happens to a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It is not repeated.
    Never,
    /// It is not repeated, and after one without an answer every call fails at once for this long. Then one call asks, and the
    /// others go on failing until it has its answer.
    Breaker {
        /// How long the ledger is left alone.
        pause: Duration,
    },
    /// It is repeated where the ledger was away or busy, or refused a token that may be a moment too new or too old.
    Within {
        /// No attempt begins later than this after the first.
        patience: Duration,
        /// The same for a refused token, where it is shorter.
        refused: Duration,
        /// Pause after the first attempt; doubled after each.
        first: Duration,
        /// Longest pause.
        longest: Duration,
    },
}

/// Which certificates the ledger may show.
#[derive(Clone)]
#[non_exhaustive]
pub enum Tls {
    /// None: for an address of `http://`. An image may have no root certificates, and loading none would be an error.
    Plain,
    /// Those that the system trusts.
    SystemRoots,
    /// Those of these authorities and no others.
    Roots(Vec<Certificate>),
}

// === impl Tls ===

impl Tls {
    /// What this address needs where nothing else is configured.
    pub fn of(url: &str) -> Self {
        if url.starts_with("https:") {
            Self::SystemRoots
        } else {
            Self::Plain
        }
    }
}
