//! `RemediationAction`: one proposed change to what runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model_version::{ArtifactStatus, AttemptStatus, Champion, Gate, SourceStatus},
    reference::{ActionReference, EvidenceReference, PlannedReference, VersionReference},
};

/// The proposed change.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modelward.io",
    version = "v1alpha1",
    kind = "RemediationAction",
    plural = "remediationactions",
    singular = "remediationaction",
    shortname = "ra",
    category = "modelward",
    namespaced,
    status = "RemediationActionStatus",
    derive = "PartialEq",
    selectable = ".spec.model",
    doc = "One proposed change to what runs, with its evidence, its plan and its decisions.",
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".spec.model",
        description = "The model that would change"
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "Type of the action"
    ),
    printcolumn(
        name = "Risk",
        type_ = "string",
        json_path = ".status.plan.risk",
        description = "The risk, by the operator's configuration"
    ),
    printcolumn(
        name = "Approvals",
        type_ = "string",
        json_path = ".status.approvals",
        description = "Users who approved this plan, and the number required"
    ),
    printcolumn(
        name = "Approved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Approved\")].status",
        description = "Whether enough users approved"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "Whether it succeeded"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason",
        description = "The state of the action"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.summary",
        description = "What would be done, as text",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].message",
        description = "The state of the action, as text",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable; create a new RemediationAction instead"))]
#[x_kube(validation = Rule::new("self.type != 'PromoteModel' || has(self.candidate)").message("candidate must be set for PromoteModel: the version that is to serve"))]
#[x_kube(validation = Rule::new("self.type in ['PromoteModel', 'RollbackModel'] || !has(self.candidate)").message("candidate may be set for PromoteModel and RollbackModel only"))]
#[x_kube(validation = Rule::new("self.type == 'RetrainModel' || !has(self.acceptWindow)").message("acceptWindow may be set for RetrainModel only"))]
#[x_kube(validation = Rule::new("self.type in ['PromoteModel', 'RollbackModel'] || !has(self.parentRef)").message("parentRef may be set for PromoteModel and RollbackModel only"))]
#[x_kube(validation = Rule::new("self.type != 'SendAlert' || has(self.message)").message("message must be set for SendAlert: it is the text of the alert"))]
pub struct RemediationActionSpec {
    /// Name of the model.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub model: String,

    /// Type of the action.
    #[serde(rename = "type")]
    pub action: ActionType,

    /// The version that the action is about: the one whose traffic drifted, or that is retrained or replaced. If absent, the
    /// version that serves when the plan is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<VersionReference>,

    /// The version that should serve afterwards. Required for PromoteModel; a RollbackModel without one returns to the
    /// version that served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<VersionReference>,

    /// For RetrainModel: the DriftReport whose window becomes the reference for later traffic of the new version. If absent,
    /// the training data is the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.kind == 'DriftReport'").message("acceptWindow must name a DriftReport"))]
    pub accept_window: Option<EvidenceReference>,

    /// The problem that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,

    /// Objects that support the proposal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub evidence: Vec<EvidenceReference>,

    /// Why the action is proposed. For a SendAlert: the text of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub message: Option<String>,

    /// Whether the action only makes and shows its plan. Nothing is carried out, even if it is approved.
    #[serde(default)]
    pub dry_run: bool,

    /// The action whose approval covers this one, such as the RetrainModel of a promotion. Only the operator may set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<ActionReference>,
}

words! {
    /// A type of action. Each is a resource name of the virtual resource `actions` in roles.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ActionType {
        /// Send an alert.
        SendAlert,
        /// Train a new version on new data.
        RetrainModel,
        /// Let a version that passed its gates serve.
        PromoteModel,
        /// Return to a version that served before.
        RollbackModel,
    }

    /// A problem found with a model.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Diagnosis {
        /// Its input differs from the reference.
        DataDrift,
        /// Its quality has decreased.
        PerformanceDegradation,
        /// Its predictions differ from the reference.
        PredictionAnomaly,
        /// The confidence of its predictions has decreased.
        LowConfidence,
        /// Its input violates the declared schema.
        DataQuality,
    }
}

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

/// Exactly what would be done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActionPlan {
    /// The sha256 of `content`. A decision names it and does not apply to any other plan.
    #[schemars(schema_with = "crate::schema::digest")]
    pub digest: Digest,
    /// Format of `content`.
    #[schemars(range(min = 1, max = 1000))]
    pub plan_format: i32,
    /// Increases with each plan of the model, so that returning to earlier routes does not restore earlier approvals.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub plan_sequence: i64,
    /// The risk, by the operator's configuration.
    pub risk: Risk,
    /// Number of different users who have to approve it.
    #[schemars(range(min = 0, max = 8))]
    pub approvals_required: i32,
    /// Users whose approval does not count: those who created or changed the version that would be promoted or retrained. They
    /// may reject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub excluded_approvers: Vec<String>,
    /// When the plan expires.
    pub not_after: Time,
    /// What would be done, as text.
    #[schemars(length(min = 1, max = 16384))]
    pub summary: String,
    /// The content that the digest is computed over: canonical JSON.
    #[schemars(length(min = 2, max = 65536))]
    pub content: String,
    /// The routes that serve now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub present_routes: Vec<PlannedRoute>,
    /// The routes that would serve afterwards. A version that has not been trained yet is not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub planned_routes: Vec<PlannedRoute>,
    /// The snapshot that a RetrainModel would train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,
    /// The files that its rows were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,
    /// The reference that later traffic would be compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<PlannedReference>,
    /// The training of a RetrainModel, and the gates that its result must pass before it may serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PlannedTraining>,
    /// Users who changed the spec of the version that would be promoted or retrained after it was created, in the order of
    /// their first change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub changed_by: Vec<String>,
    /// The version that would be promoted, returned to or retrained, as of the plan. Any change of its spec causes a new plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<PlannedVersion>,
    /// The fields of the spec, and the files, in which the planned version differs from the version that serves. If no version
    /// serves, every field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub differences: Vec<PlannedDifference>,
}

/// A field in which the planned version differs from the version that serves.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDifference {
    /// Path of the field within the spec, or the file whose bytes differ.
    #[schemars(length(min = 1, max = 512))]
    pub field: String,
    /// The current value as JSON; a long value is cut and followed by its sha256. Absent if the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub before: Option<String>,
    /// The planned value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub after: Option<String>,
}

/// A ModelVersion at one generation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVersion {
    /// Its name.
    #[schemars(length(min = 1, max = 45))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its `metadata.generation`, which the API server increments with each change of its spec.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub generation: i64,
}

/// A training, as a plan lists it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTraining {
    /// The version that is retrained.
    pub target: VersionReference,
    /// The datasets, in the order in which they are read.
    #[schemars(length(max = 17))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub datasets: Vec<PlannedDataset>,
    /// Bounds that the result must meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,
    /// The version that the result must not be worse than, with its bundle and the margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse_than: Option<Champion>,
    /// Whether the approval of this plan also covers the promotion of the result once its gates pass.
    pub serve_when_gates_pass: bool,
}

/// A dataset, as a plan lists it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDataset {
    /// Its name in the spec. The version's first dataset has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub name: Option<String>,
    /// Its location: `ConfigMap heart-disease, key hungarian.csv`, or an address. An address of more than 1024 characters is
    /// truncated; `locationSha256` covers all of it.
    #[schemars(length(min = 1, max = 1600))]
    pub location: String,
    /// The sha256 of the full location.
    #[schemars(schema_with = "crate::schema::digest")]
    pub location_sha256: Digest,
    /// The host of an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 260))]
    pub host: Option<String>,
    /// The sha256 that the spec requires of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_digest")]
    pub sha256: Option<Digest>,
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

    /// The risk of an action.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Risk {
        /// No approval is needed.
        Low,
        /// One approval, unless the operator's configuration requires more.
        Medium,
        /// Two approvals, unless the operator's configuration requires more.
        High,
    }
}

/// One version that takes part in serving, before or after.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRoute {
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its bundle.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Weight: its share of requests relative to the sum of all weights.
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
    /// The class is 1 at or above this probability, a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub threshold: Decimal,
}

/// One user's decision, as the operator read it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Number of the decision; its annotation is `approval.modelward.io/<number>`.
    #[schemars(range(min = 1, max = 16))]
    pub number: i32,
    /// Whether it approves or rejects.
    pub decision: DecisionKind,
    /// The user who decided, as authenticated by the API server.
    #[schemars(length(min = 1, max = 512))]
    pub user: String,
    /// Digest of the plan that the decision applies to.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// When the operator first read it.
    pub seen_at: Time,
    /// The user's comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub comment: Option<String>,
    /// Why it does not count, such as another plan or a second approval by the same user. Absent if it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub void_because: Option<String>,
}

words! {
    /// A kind of decision.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum DecisionKind {
        /// The plan may be carried out.
        Approve,
        /// The plan may not be carried out. This is final.
        Reject,
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
