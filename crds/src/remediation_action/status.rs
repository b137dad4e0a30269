//! The observed state of an action.

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

/// The state of the action.
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

    /// Number of different users who approved this plan, and the number required: "1/2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub approvals: Option<String>,

    /// The decisions, in the order in which the API server accepted them, as the operator read them. The annotations, which
    /// the admission policies protect, are authoritative.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub decisions: Vec<Decision>,

    /// The Job that reads and checks the data of a RetrainModel before its plan is made, until it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,

    /// The snapshot that the Job published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,

    /// The files that its rows were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,

    /// How many of its rows are new, which retraining.minimumNewRows is compared with. Absent if the rows that the version was
    /// trained on cannot be distinguished: then all rows of new files count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_rows: Option<NewRowsStatus>,

    /// The progress of the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,

    /// Why the next step could not be taken. The step is retried with increasing delays; absent once it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<StepObstacle>,

    /// Approved, ApprovalEnforced, Executed, Verified, Succeeded, Reconciling and Stalled. Succeeded is True or False once the
    /// action has ended; it accepts no decisions then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The rows of a snapshot that the version to retrain was not trained on. Of equal rows in one file, as many are new as the file has
/// more than the version was trained on.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewRowsStatus {
    /// Number of new rows.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Number of new rows of class 1.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub positive_rows: i64,
    /// Number of other rows in the files that have new ones: the version was trained on equal rows, or a file before has them.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub repeated_rows: i64,
}

/// Why a step could not be taken.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepObstacle {
    /// The step that failed.
    pub step: BlockedStep,
    /// The kind of obstacle.
    pub reason: ObstacleReason,
    /// The object that the step is about: `ModelVersion heart-1a2b3c4d`.
    #[schemars(length(min = 1, max = 400))]
    pub object: String,
    /// The message of the API server.
    #[schemars(length(max = 512))]
    pub message: String,
    /// When the step first failed.
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
        /// Creating the action that promotes that version.
        CreatePromotion,
        /// Writing the Event of a SendAlert.
        SendAlert,
    }

    /// A kind of obstacle.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ObstacleReason {
        /// An object with the needed name exists and was not created by this action.
        NameTaken,
        /// The API server did not accept the object.
        Refused,
    }
}

/// The progress of an execution.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Digest of the plan that is carried out.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Number of the attempt, from 1. There are at most two.
    #[schemars(range(min = 1, max = 2))]
    pub attempt: i32,
    /// When the action claimed the model.
    pub claimed_at: Time,
    /// The version that a RetrainModel created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReference>,
    /// The action that promotes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<ActionReference>,
    /// Since when every Pod serves the planned routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed_at: Option<Time>,
    /// When verification ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_until: Option<Time>,
    /// When the action ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}
