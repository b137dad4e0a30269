//! The ledger: artifacts, what Jobs and servers report, the record of model versions, and verdicts on their traffic.
//!
//! ```text
//! trainer ──blobs, manifests, results, progress──►┐                    ┌──► object store (disk or S3)
//! inference ◄────────────blobs, manifests─────────┤ prove · authorise ─┤
//!           ───────────────counts, labels────────►┤        │           └──► PostgreSQL
//! operator ──versions, questions──►◄──results─────┘        │
//!          ◄──────────verdicts─────────────       TokenReview, live Pod, owners
//! ```
//!
//! An artifact is an object under its own sha256 and needs only the object store, so serving does not depend on PostgreSQL.
//! Everything else is a row, and is rejected with 503 while PostgreSQL is unavailable.

mod amount;
mod api;
mod auth;
mod body;
mod budget;
mod connection;
mod database;
mod error;
mod health;
mod index;
pub mod listen;
mod metrics;
mod migrate;
mod publisher;
mod quota;
mod server;
mod store;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use migrate::{MigrateConfig, MigrateError, migrate};
pub use publisher::{MlflowConfig, RegisteredModelNames};
pub use quota::Quotas;
pub use server::{Error, Ledger, client, serve};
pub use store::StoreError;

/// The ledger's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on. Port 0 chooses a free port.
    pub addr: SocketAddr,
    /// Separate address for `/healthz`, `/readyz` and `/metrics`, which does not depend on the load of the other port.
    pub probe_addr: Option<SocketAddr>,
    /// Maximum bytes of request bodies in memory. One namespace has at most half of them.
    pub body_memory_bytes: u32,
    /// Quota of a namespace.
    pub quotas: Quotas,
    /// A file with a `postgres://` URL. It is read for each connection, so a new password needs no restart.
    pub database_url_file: PathBuf,
    /// The artifact store: `file:///absolute/path`, or `s3://bucket/prefix` with the `AWS_*` environment variables.
    pub store: String,
    /// The audience that tokens of callers must have.
    pub audience: String,
    /// User name of the operator's service account: `system:serviceaccount:<namespace>:<name>`.
    pub operator_service_account: String,
    /// Maximum size of a blob in bytes.
    pub max_blob_bytes: u64,
    /// Maximum size of a manifest in bytes.
    pub max_manifest_bytes: u64,
    /// Time limit for a sender or receiver to make progress in the middle of a request or response.
    pub idle_timeout: Duration,
    /// How long the authentication of a caller is cached.
    pub proof_lifetime: Duration,
    /// The MLflow server to which versions are published, if there is one.
    pub mlflow: Option<MlflowConfig>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8090)),
            probe_addr: None,
            body_memory_bytes: 32 * 1024 * 1024,
            quotas: Quotas::default(),
            database_url_file: "/etc/modelward/database/url".into(),
            store: "file:///var/lib/modelward/artifacts".into(),
            audience: modelward_wire::LEDGER_AUDIENCE.into(),
            operator_service_account: "system:serviceaccount:modelward-system:modelward-operator".into(),
            max_blob_bytes: modelward_wire::MAX_BLOB_BYTES,
            max_manifest_bytes: 1024 * 1024,
            idle_timeout: Duration::from_mins(1),
            proof_lifetime: Duration::from_mins(1),
            mlflow: None,
        }
    }
}
