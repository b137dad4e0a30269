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

/// What is proposed.
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
        description = "What would be done"
    ),
    printcolumn(
        name = "Risk",
        type_ = "string",
        json_path = ".status.plan.risk",
        description = "How much can go wrong, by the operator's configuration"
    ),
    printcolumn(
        name = "Approvals",
        type_ = "string",
        json_path = ".status.approvals",
        description = "People who approved this plan, and how many it needs"
    ),
    printcolumn(
        name = "Approved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Approved\")].status",
        description = "Whether enough people approved"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "Whether it ended well"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason",
        description = "Where it stands"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.summary",
        description = "What would be done, in words",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].message",
        description = "Where it stands, in words",
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

    /// What would be done.
    #[serde(rename = "type")]
    pub action: ActionType,

    /// The version that the action is about: the one whose traffic drifted, or that is retrained, replaced or left. Where
    /// it is absent, the one that serves when the plan is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<VersionReference>,

    /// The version that is to serve afterwards. A PromoteModel needs one; a RollbackModel without one returns to what
    /// served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<VersionReference>,

    /// A RetrainModel's: the DriftReport whose window becomes what later traffic of the new version is compared with. Where
    /// it is absent, that is the data that the version is trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.kind == 'DriftReport'").message("acceptWindow must name a DriftReport"))]
    pub accept_window: Option<EvidenceReference>,

    /// What was found to be wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,

    /// Objects that the proposal rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub evidence: Vec<EvidenceReference>,

    /// Why, in words. For a SendAlert: the text of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub message: Option<String>,

    /// Whether the plan is only made and shown. Nothing is carried out, even if it is approved.
    #[serde(default)]
    pub dry_run: bool,

    /// The action whose plan and approval cover this one, such as the RetrainModel before a promotion. Only the operator may
    /// set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<ActionReference>,
}

words! {
    /// A kind of change. Each is a name of the virtual resource `actions` in roles.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ActionType {
        /// Tell people.
        SendAlert,
        /// Train a new version on fresh data.
        RetrainModel,
        /// Let a version that passed its gates answer requests.
        PromoteModel,
        /// Return to what served before.
        RollbackModel,
    }

    /// What was found to be wrong with a model.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Diagnosis {
        /// Its input differs from the reference.
        DataDrift,
        /// It is right less often than it was.
        PerformanceDegradation,
        /// What it answers differs from the reference.
        PredictionAnomaly,
        /// It is less sure of its answers than it was.
        LowConfidence,
        /// Its input breaks the declared contract.
        DataQuality,
    }
}

/// Where the action stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RemediationActionStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,

    /// What exactly would be done. Who approves, approves this and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ActionPlan>,

    /// Different people who approved this very plan, and how many it needs: "1/2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub approvals: Option<String>,

    /// What people decided, in the order in which the API server took it, with what the operator made of it. The
    /// annotations that the admission policies keep are what counts; this is how the operator read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub decisions: Vec<Decision>,

    /// The Job that reads and checks the data of a RetrainModel before its plan is made, as long as it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,

    /// What that Job froze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,

    /// The files that its rows were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,

    /// What was done so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,

    /// Why the next step could not be taken. It is tried again, less and less often, and this is absent once it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<StepObstacle>,

    /// Approved, ApprovalEnforced, Executed, Verified, Succeeded, Reconciling and Stalled. Succeeded is True or False only
    /// when the action has ended; it takes no more decisions then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What exactly would be done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActionPlan {
    /// The sha256 of `content`. A decision names it, and is void for any other plan.
    #[schemars(schema_with = "crate::schema::digest")]
    pub digest: Digest,
    /// How `content` is written.
    #[schemars(range(min = 1, max = 1000))]
    pub plan_format: i32,
    /// Grows with each plan of the model: going back to former routes does not bring former approvals back.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub plan_sequence: i64,
    /// How much can go wrong, by the operator's configuration.
    pub risk: Risk,
    /// How many different people have to approve it.
    #[schemars(range(min = 0, max = 8))]
    pub approvals_required: i32,
    /// People whose approval does not count: who made the version that would be promoted or retrained, and who changed it
    /// since. They may reject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub excluded_approvers: Vec<String>,
    /// When the plan expires.
    pub not_after: Time,
    /// What would be done, in words.
    #[schemars(length(min = 1, max = 16384))]
    pub summary: String,
    /// What the digest is over: canonical JSON.
    #[schemars(length(min = 2, max = 65536))]
    pub content: String,
    /// What serves now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub present_routes: Vec<PlannedRoute>,
    /// What would serve afterwards. A version that is yet to be trained is not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub planned_routes: Vec<PlannedRoute>,
    /// The data that a RetrainModel would train on, as it was read and frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,
    /// The files that its rows were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,
    /// What later traffic would be compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<PlannedReference>,
    /// What a RetrainModel would train, and what its result must keep before it may serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PlannedTraining>,
    /// People who changed the spec of the version that would be promoted or retrained since it was created, in the order of
    /// their first change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub changed_by: Vec<String>,
    /// The version that would be promoted, returned to or retrained, as it was when the plan was made: any change of its spec
    /// makes another plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<PlannedVersion>,
    /// In which fields of its spec, and in which files, what would serve differs from the version that serves. Without one
    /// that serves, every field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub differences: Vec<PlannedDifference>,
}

/// A field in which what would serve differs from what serves.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDifference {
    /// Path of the field within the spec, or which file's bytes differ.
    #[schemars(length(min = 1, max = 512))]
    pub field: String,
    /// What it is now, as JSON; the beginning and the sha256 of what is long. Absent where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub before: Option<String>,
    /// What it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub after: Option<String>,
}

/// One state of a ModelVersion.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVersion {
    /// Its name.
    #[schemars(length(min = 1, max = 45))]
    pub name: String,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its `metadata.generation`, which the API server counts up with each change of its spec.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub generation: i64,
}

/// A training, as a plan lists it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTraining {
    /// The version that is retrained.
    pub target: VersionReference,
    /// Where the rows come from, in the order in which they are read.
    #[schemars(length(max = 17))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub datasets: Vec<PlannedDataset>,
    /// Bounds that the result must keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,
    /// The version that the result must not be worse than, its bundle, and by how much it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse_than: Option<Champion>,
    /// Whether the result serves once its gates pass, by the approval of this plan.
    pub serve_when_gates_pass: bool,
}

/// A dataset, as a plan lists it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDataset {
    /// Its name in the spec. The version's own first dataset has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub name: Option<String>,
    /// Where its rows are: `ConfigMap heart-disease, key hungarian.csv`, or an address. An address of more than 1024 letters is
    /// cut; `locationSha256` is over all of it.
    #[schemars(length(min = 1, max = 1600))]
    pub location: String,
    /// The sha256 of the location's full text.
    #[schemars(schema_with = "crate::schema::digest")]
    pub location_sha256: Digest,
    /// The host that an address names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 260))]
    pub host: Option<String>,
    /// The sha256 that the spec asks the file to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_digest")]
    pub sha256: Option<Digest>,
}

/// Why a step could not be taken.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepObstacle {
    /// The step.
    pub step: BlockedStep,
    /// The kind of obstacle.
    pub reason: ObstacleReason,
    /// The object that the step is about: `ModelVersion heart-1a2b3c4d`.
    #[schemars(length(min = 1, max = 400))]
    pub object: String,
    /// What the API server answered.
    #[schemars(length(max = 512))]
    pub message: String,
    /// When the step failed first.
    pub since: Time,
}

words! {
    /// A step that can meet an obstacle.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum BlockedStep {
        /// Making the Job that reads the data of a RetrainModel.
        StartSnapshot,
        /// Making the version that a RetrainModel trains.
        CreateVersion,
        /// Making the action that promotes that version.
        CreatePromotion,
        /// Writing the Event of a SendAlert.
        SendAlert,
    }

    /// A kind of obstacle.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ObstacleReason {
        /// An object of the needed name exists and was not made by this action.
        NameTaken,
        /// The API server did not accept the object.
        Refused,
    }

    /// How much can go wrong.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Risk {
        /// It runs by itself.
        Low,
        /// One approval, unless the operator's configuration asks for more.
        Medium,
        /// Two approvals, unless the operator's configuration asks for more.
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
    /// Share of requests out of the sum of all weights.
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
    /// Probability from which the class is 1, a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub threshold: Decimal,
}

/// One person's decision, as the operator read it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Its place in the order of decisions: the annotation is `approval.modelward.io/<number>`.
    #[schemars(range(min = 1, max = 16))]
    pub number: i32,
    /// What was decided.
    pub decision: DecisionKind,
    /// Who decided, by the name that the API server has proved.
    #[schemars(length(min = 1, max = 512))]
    pub user: String,
    /// The plan that was decided on.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// When the operator saw it.
    pub seen_at: Time,
    /// What the person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub comment: Option<String>,
    /// Why it does not count: another plan's, or a second one of the same person. Absent where it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub void_because: Option<String>,
}

words! {
    /// What a person can decide.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum DecisionKind {
        /// The plan may be carried out.
        Approve,
        /// It may not, for good.
        Reject,
    }
}

/// What was done so far.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// The plan that is carried out.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Which attempt this is, from 1. There are two at most.
    #[schemars(range(min = 1, max = 2))]
    pub attempt: i32,
    /// When the model was claimed for it.
    pub claimed_at: Time,
    /// The version that a RetrainModel made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionReference>,
    /// The action that promotes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<ActionReference>,
    /// Since when every Pod answers with the planned routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed_at: Option<Time>,
    /// When verification ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_until: Option<Time>,
    /// When the action ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
}
