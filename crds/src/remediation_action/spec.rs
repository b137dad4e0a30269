//! The proposed change.

use kube::{CustomResource, KubeSchema};
use modelward_wire::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    reference::{ActionReference, EvidenceReference, VersionReference},
    remediation_action::status::RemediationActionStatus,
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
    doc = "A proposed change to what runs, with its evidence, its plan and its decisions.",
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
        description = "Risk of the action, by the operator's configuration"
    ),
    printcolumn(
        name = "Approvals",
        type_ = "string",
        json_path = ".status.approvals",
        description = "Number of users who approved this plan, and the number required"
    ),
    printcolumn(
        name = "Approved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Approved\")].status",
        description = "Status of the Approved condition"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "Status of the Succeeded condition"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason",
        description = "Reason of the Succeeded condition"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Plan",
        type_ = "string",
        json_path = ".status.plan.summary",
        description = "Summary of the plan",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].message",
        description = "Message of the Succeeded condition",
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

    /// Version that the action is about: the one whose traffic drifted, or that is retrained or replaced. If absent, the version that
    /// serves when the plan is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<VersionReference>,

    /// Version that should serve after the action. Required for PromoteModel. A RollbackModel without a candidate returns to the
    /// version that served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<VersionReference>,

    /// For RetrainModel: the DriftReport whose window becomes the reference for later traffic of the new version. If absent, the
    /// training data is the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.kind == 'DriftReport'").message("acceptWindow must name a DriftReport"))]
    pub accept_window: Option<EvidenceReference>,

    /// Problem that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,

    /// Objects that support the proposal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub evidence: Vec<EvidenceReference>,

    /// Why the action is proposed. For SendAlert, the text of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub message: Option<String>,

    /// Whether the action only makes and shows its plan. Nothing is carried out, even if the plan is approved.
    #[serde(default)]
    pub dry_run: bool,

    /// Action whose approval covers this one, such as the RetrainModel of a promotion. Only the operator may set this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<ActionReference>,
}

words! {
    /// A type of action. In roles, each is a resource name of the virtual resource `actions`.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ActionType {
        /// Send an alert.
        SendAlert,
        /// Train a new version on new data.
        RetrainModel,
        /// Let a version that has passed its gates serve.
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
