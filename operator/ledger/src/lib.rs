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
//! Two stores with two fates. An artifact is one object under its own sha256 and needs nothing but the object store, so
//! that serving does not stop with PostgreSQL. Everything else is a row, and is rejected with 503 while PostgreSQL is unavailable.

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
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are served besides, out of reach of a flood of the other port.
    pub probe_addr: Option<SocketAddr>,
    /// Bytes of request bodies that are in memory at the same time; one namespace has at most half of them.
    pub body_memory_bytes: u32,
    /// What one namespace may keep.
    pub quotas: Quotas,
    /// A file that holds a `postgres://` URL. It is read at each attempt to connect: a changed password needs no restart.
    pub database_url_file: PathBuf,
    /// Where artifacts are: `file:///absolute/path`, or `s3://bucket/prefix` with the `AWS_*` environment variables.
    pub store: String,
    /// The audience that a caller's token must have been made for.
    pub audience: String,
    /// User name of the operator's service account: `system:serviceaccount:<namespace>:<name>`.
    pub operator_service_account: String,
    /// The largest blob that is taken, in bytes.
    pub max_blob_bytes: u64,
    /// The largest manifest that is taken, in bytes.
    pub max_manifest_bytes: u64,
    /// How long a sender may send nothing in the middle of a request, or a receiver take nothing of a response.
    pub idle_timeout: Duration,
    /// How long a proof of a caller is believed without asking the API server again.
    pub proof_lifetime: Duration,
    /// The MLflow server that versions are published to, if there is one.
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
