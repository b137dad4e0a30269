//! The ledger's record of a version.

use serde::{Deserialize, Serialize};

use crate::{Digest, MetricValue, words};

words! {
    /// The role of a version in its model.
    pub enum Role {
        /// It is not yet ready to serve.
        Pending,
        /// It passed its gates and is being rolled out.
        Candidate,
        /// It serves.
        Live,
        /// It served before, or a newer version replaced it. A rollback can return to it.
        Retired,
        /// Its data or its gates failed: it will not serve.
        Rejected,
    }
}

/// One row of `model_versions`: written by the operator whenever a version's state changes, keyed by its uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionRecord {
    /// Name of the `ModelVersion`.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Its role in its model.
    pub role: Role,
    /// The generation of the object that this record describes. A lower generation never replaces a higher one.
    pub generation: i64,
    /// The snapshot that it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
    /// Its bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// Uid of the Job that trained it; none for a given bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Family of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Out-of-fold metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricValue>,
    /// When the operator saw this state, RFC 3339, UTC.
    pub observed_at: String,
}
