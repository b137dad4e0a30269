//! What an artifact states about itself.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Digest, GateResult, ImportRecord, ManifestKind, MetricValue, SourceRecord};

/// File of a bundle that holds its statement.
pub const BUNDLE_STATEMENT: &str = "bundle.json";
/// File of a snapshot that holds its statement.
pub const SNAPSHOT_STATEMENT: &str = "snapshot.json";

/// What an artifact states about itself, read by the ledger from bytes that the artifact's digest covers. The operator
/// compares it with its request before it accepts the result of a Job.
///
/// It is the part of `bundle.json` or `snapshot.json` that the operator needs; it omits the other fields of those files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStatement {
    /// The kind of artifact, from its manifest.
    pub kind: ManifestKind,
    /// The statement in its file.
    #[serde(flatten)]
    pub stated: Stated,
}

/// The statement in the file. Fields that a kind of artifact does not state are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stated {
    /// Number of rows in the snapshot, or that the bundle was trained on.
    #[serde(default)]
    pub rows: u64,
    /// Where the rows came from (snapshot).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRecord>,
    /// Name of the model (bundle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Family of the selected candidate (bundle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Decision threshold (bundle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Decimal>,
    /// The snapshot that it was trained on (bundle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Digest>,
    /// The sha256 of the JSON of the training in the spec (bundle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Digest>,
    /// The origin of the model, if it was imported (bundle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportRecord>,
    /// Out-of-fold metrics of the selected candidate (bundle).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricValue>,
    /// Every gate with its outcome (bundle).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
}
