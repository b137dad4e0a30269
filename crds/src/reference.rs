//! References from one object to another.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_wire::{Digest, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A ModelVersion in the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VersionReference {
    /// Name of the ModelVersion.
    #[schemars(length(min = 1, max = 45))]
    pub name: String,
    /// Uid of the ModelVersion. A version that was deleted and recreated has a different uid. If absent, the plan records the uid of
    /// the version that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub uid: Option<String>,
}

/// A RemediationAction in the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionReference {
    /// Name of the RemediationAction.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Uid of the RemediationAction.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// An object in the same namespace that supports a proposal.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceReference {
    /// Kind of the object.
    pub kind: EvidenceKind,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Uid of the object.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

words! {
    /// A kind of evidence.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum EvidenceKind {
        /// A verdict on a window of traffic.
        DriftReport,
        /// A version, its metrics and gates.
        ModelVersion,
        /// An earlier action.
        RemediationAction,
    }
}

/// Counts that traffic is compared with.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedReference {
    /// Kind of reference: TrainingData or AcceptedWindow.
    pub kind: ReferenceKind,
    /// Digest of the counts.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Number of rows in the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// Start of the accepted window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// End of the accepted window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
}

words! {
    /// A kind of reference.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ReferenceKind {
        /// The data that the version was trained on.
        TrainingData,
        /// A window of traffic that was accepted as the new normal.
        AcceptedWindow,
    }
}
