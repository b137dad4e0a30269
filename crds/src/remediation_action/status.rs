//! Observed state of an action.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use modelward_wire::{Digest, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model_version::{ArtifactStatus, AttemptStatus, SourceStatus},
    reference::{ActionReference, VersionReference},
    remediation_action::{decision::Decision, plan::ActionPlan},
};

/// Observed state of the action.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RemediationActionStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// Exactly what would be done. An approval covers this plan and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ActionPlan>,

    /// Number of different users who approved this plan, and the number required, such as "1/2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub approvals: Option<String>,

    /// Decisions as the operator read them, in the order in which the API server accepted them. The annotations, which the admission
    /// policies protect, are authoritative.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub decisions: Vec<Decision>,

    /// Job that reads and checks the data of a RetrainModel before the plan is made. Cleared when it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,

    /// Snapshot that the Job published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,

    /// Files that the rows of the snapshot were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,

    /// Number of new rows in the snapshot, which is compared with retraining.minimumNewRows. Absent if the rows that the version was
    /// trained on cannot be distinguished; then all rows of new files count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_rows: Option<NewRowsStatus>,

    /// Progress of the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,

    /// Why the next step could not be taken. The step is retried with increasing delays. Absent once it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<StepObstacle>,

    /// Conditions of the action: Approved, ApprovalEnforced, Executed, Verified, Succeeded, Reconciling and Stalled. Succeeded is True
    /// or False once the action has ended; the action then accepts no decisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Rows of a snapshot that the version to retrain was not trained on. If a file has more equal rows than the version was trained on,
/// the difference is new.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRowsStatus {
    /// Number of new rows.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Number of new rows of class 1.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub positive_rows: i64,
    /// Number of other rows in the files that have new rows: the version was trained on equal rows, or an earlier file has them.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub repeated_rows: i64,
}

/// Why a step could not be taken.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepObstacle {
    /// Step that failed.
    pub step: BlockedStep,
    /// Kind of obstacle: NameTaken or Refused.
    pub reason: ObstacleReason,
    /// Object that the step is about, such as `ModelVersion heart-1a2b3c4d`.
    #[schemars(length(min = 1, max = 400))]
    pub object: String,
    /// Message of the API server.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Time at which the step first failed.
    pub since: Time,
}

words! {
    /// A step that can meet an obstacle.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum BlockedStep {
        /// Creating the Job that reads the data of a RetrainModel.
        StartSnapshot,
        /// Creating the version that a RetrainModel trains.
        CreateVersion,
        /// Creating the action that promotes the new version.
        CreatePromotion,
        /// Writing the Event of a SendAlert.
        SendAlert,
    }

    /// A kind of obstacle.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ObstacleReason {
        /// An object with the required name exists and was not created by this action.
        NameTaken,
        /// The API server did not accept the object.
        Refused,
    }
}

/// Progress of an execution.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Digest of the plan that is carried out.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Number of the attempt, starting at 1. There are at most two.
    #[schemars(range(min = 1, max = 2))]
    pub attempt: i32,
    /// Time at which the action claimed the model.
    pub claimed_at: Time,
    /// Version that a RetrainModel created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReference>,
    /// Action that promotes this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<ActionReference>,
    /// Time from which all Pods served the planned routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed_at: Option<Time>,
    /// Time at which the verification ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_until: Option<Time>,
    /// Time at which the action ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}
