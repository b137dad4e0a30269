//! Settings from the environment and the command line, and what is derived from them once at the start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use modelward_service::LogFormat;
use modelward_wire::Digest;

use crate::{
    bounds::Bounds,
    memory,
    prediction_id::{KEY_LENGTH, Signer},
};

/// Values of a request: rows times features.
const MAX_VALUES: usize = 2_000_000;

/// Serves the versions of one model from verified bundles.
#[derive(Clone, Debug, Parser)]
#[command(version, about)]
pub struct Args {
    /// Namespace of the model and its artifacts.
    #[arg(long, env = "MODELWARD_NAMESPACE")]
    pub namespace: String,
    /// Name of the model, which the routes must be for.
    #[arg(long, env = "MODELWARD_MODEL")]
    pub model: Option<String>,
    /// Routes file, with the versions that serve.
    #[arg(
        long,
        env = "MODELWARD_ROUTES_FILE",
        default_value = "/etc/modelward/routes/routes.json"
    )]
    pub routes_file: PathBuf,
    /// Digest that the routes file must have, `sha256:` and 64 hexadecimal digits. If absent, every file is accepted.
    #[arg(long, env = "MODELWARD_ROUTES_DIGEST")]
    pub routes_digest: Option<Digest>,
    /// Address of the ledger, which stores the bundles.
    #[arg(long, env = "MODELWARD_LEDGER_URL")]
    pub ledger_url: String,
    /// File with the token for the ledger, read for each call. If absent, calls have no token.
    #[arg(long, env = "MODELWARD_LEDGER_TOKEN_FILE")]
    pub ledger_token_file: Option<PathBuf>,
    /// Directory that caches bundles by digest, so that a restart does not need the ledger.
    #[arg(long, env = "MODELWARD_CACHE_DIR", default_value = "/var/cache/modelward")]
    pub cache_dir: PathBuf,
    /// File with the 32-byte key that signs prediction ids.
    #[arg(
        long,
        env = "MODELWARD_KEY_FILE",
        default_value = "/etc/modelward/key/prediction-id.key"
    )]
    pub key_file: PathBuf,
    /// Address to listen on.
    #[arg(long, env = "MODELWARD_ADDR", default_value = "0.0.0.0:8080")]
    pub addr: SocketAddr,
    /// Address of a separate port for probes and metrics, which is independent of the load on the first one.
    #[arg(long, env = "MODELWARD_PROBE_ADDR")]
    pub probe_addr: Option<SocketAddr>,
    /// Memory limit of the container in bytes.
    #[arg(long, env = "MODELWARD_MEMORY_BYTES", default_value_t = 512 << 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_bytes: u64,
    /// Seconds after SIGTERM for which the unready process still accepts requests, until clients have stopped sending them.
    #[arg(long, env = "MODELWARD_DRAIN_SECONDS", default_value_t = 5)]
    pub drain_seconds: u64,
    /// Interval in seconds at which counts are sent to the ledger.
    #[arg(long, env = "MODELWARD_FLUSH_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub flush_seconds: u64,
    /// File with the key that marks load as synthetic. If absent, synthetic load is rejected.
    #[arg(
        long,
        env = "MODELWARD_TRAFFIC_KEY_FILE",
        default_value = "/etc/modelward/key/traffic.key"
    )]
    pub traffic_key_file: PathBuf,
    /// Name of the Pod, for logs.
    #[arg(long, env = "POD_NAME", default_value = "")]
    pub pod_name: String,
    /// Maximum size of a request body in bytes, as sent and after decompression.
    #[arg(long, env = "MODELWARD_MAX_BODY_BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub max_body_bytes: u64,
    /// Maximum number of rows in a request.
    #[arg(long, env = "MODELWARD_MAX_ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_rows: u32,
    /// Maximum number of connections; further ones wait to be accepted.
    #[arg(long, env = "MODELWARD_MAX_CONNECTIONS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Seconds after which an idle connection is closed; longer than the usual timeouts of clients and proxies.
    #[arg(long, env = "MODELWARD_IDLE_SECONDS", default_value_t = 620)]
    pub idle_seconds: u64,
    /// Time limit in seconds for a request header, from its first byte.
    #[arg(long, env = "MODELWARD_HEAD_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub head_seconds: u64,
    /// File of the termination message for the kubelet; written if it exists.
    #[arg(
        long,
        env = "MODELWARD_TERMINATION_LOG",
        default_value = "/dev/termination-log"
    )]
    pub termination_log: PathBuf,
    /// `json` or `text`.
    #[arg(long, env = "MODELWARD_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// Limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body, as sent and after decompression.
    pub max_body: usize,
    /// Rows of a request.
    pub max_rows: usize,
    /// Time limit for a body.
    pub body_timeout: Duration,
    /// Connections at the same time.
    pub max_connections: usize,
    /// An idle connection is closed after this time.
    pub idle: Duration,
    /// Time limit for a request header, from its first byte.
    pub head: Duration,
    /// Time limit for a client to read an answer.
    pub write: Duration,
    /// Memory limit of the container in bytes.
    pub memory: usize,
    /// How long requests are still accepted after SIGTERM.
    pub drain: Duration,
    /// How long requests in flight may take after that.
    pub grace: Duration,
}

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error(
        "failed to read the key of prediction ids {path}; set MODELWARD_KEY_FILE to the mounted Secret's file"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file has the wrong length.
    #[error("key of prediction ids {path} has {found} bytes, it must be {KEY_LENGTH} raw bytes")]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: usize,
    },
}

// === impl Args ===

impl Args {
    /// Bounds of requests.
    pub fn limits(&self) -> Limits {
        let memory = usize::try_from(self.memory_bytes).unwrap_or(usize::MAX);
        Limits {
            max_body: usize::try_from(self.max_body_bytes).unwrap_or(usize::MAX),
            max_rows: self.max_rows as usize,
            body_timeout: Duration::from_secs(30),
            // The headers alone must not fill the memory of a small container.
            max_connections: (self.max_connections as usize).min((memory / 4 / memory::CONNECTION).max(16)),
            idle: Duration::from_secs(self.idle_seconds.max(1)),
            head: Duration::from_secs(self.head_seconds.max(1)),
            write: Duration::from_mins(1),
            memory,
            drain: Duration::from_secs(self.drain_seconds),
            grace: Duration::from_secs(20),
        }
    }

    /// Reads the key that seals prediction ids.
    pub fn signer(&self) -> Result<Signer, KeyError> {
        let path = &self.key_file;
        let bytes = std::fs::read(path).map_err(|source| KeyError::Read {
            path: path.clone(),
            source,
        })?;
        let key = <&[u8; KEY_LENGTH]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length {
            path: path.clone(),
            found: bytes.len(),
        })?;
        Ok(Signer::new(key))
    }
}

// === impl Limits ===

impl Limits {
    /// Bounds of a body for a model with this many features. More than twice as many names are not a typing error.
    pub fn bounds(&self, features: usize) -> Bounds {
        Bounds {
            max_rows: self.max_rows.min(MAX_VALUES / features.max(1)).max(1),
            max_fields: 2 * features + 64,
            max_values: MAX_VALUES,
        }
    }
}
