//! Modelward's API: four kinds in the group `modelward.io`.
//!
//! ```text
//! ModelVersion  written by users: one version of a model
//!      │ trained, gated
//!      ▼
//! Model         the record of one model: the versions that serve and served, with their weights
//!      │ monitored                              ▲ changed by
//!      ▼                                        │
//! DriftReport   one verdict on one window ──► RemediationAction   one proposed change, its plan and its decisions
//! ```
//!
//! This crate has only types, and the ranges of addresses that the operator and the trainer take as arguments: no client, no clock, no
//! access to the environment. From these types, the `crdgen` binary generates the schema that the API server enforces. Numbers that
//! users set are decimal strings or integers, never floats.
#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns repeat their keys, a column each"
)]

mod conditions;
mod drift_report;
mod fields;
mod model;
mod model_version;
mod network;
mod reference;
mod remediation_action;
mod schema;

pub use conditions::ConditionType;
pub use drift_report::{
    AsideRows, DriftReport, DriftReportSpec, DriftReportStatus, DriftedFeature, IncarnationCounts,
    ReportProposal, SeasonRows,
};
pub use fields::{Fields, Use};
pub use model::{
    ActiveAction, ChildReference, Hold, Model, ModelSpec, ModelStatus, Proposal, RolloutStatus, RouteStatus,
    RoutedVersion, ServedRecord,
};
pub use model_version::{
    AcceptedWindow, Access, Argument, Arguments, ArtifactSource, ArtifactStatus, AttemptStatus, Binning,
    CalibrationMethod, Champion, ClassWeights, ColumnRename, ConfigMapSource, CostSpec, CredentialsSecret,
    CsvFormat, CustomFormat, CustomTrainer, CustomVariable, Dataset, EnsembleSpec, EnsembleUse, Expectation,
    ExpectationType, Family, FeatureKind, FeatureSpec, FeatureTolerance, Gate, GateStatus, HeldOut,
    Hyperparameters, IgnoreRowIf, ImportedStatus, ImputeStrategy, LightGBMParameters,
    LogisticRegressionParameters, MLFLOW_KEYS, MatchOn, MetricName, MetricStatus, MlflowModel, MlflowStatus,
    ModelSample, ModelVersion, ModelVersionSpec, ModelVersionStatus, MonitoringSpec, Monotone, NamedDataset,
    PartitionShare, PersistentVolumeClaimSource, PositiveWhen, Provenance, QuantileRange,
    RandomForestParameters, ReplicaBounds, ResourceAmounts, ResourceBounds, RetrainingSpec, SearchSpec,
    Season, SelectedFamily, ServingSpec, Severity, Source, SourceStatus, Target, Task, ThresholdMetric,
    ThresholdSpec, TimeSplit, TrainingSource, TransformArgument, TransformArguments, TransformSpec,
    TransformType, ValidationSpec, ValuePair, ValueRange, ValueType, ViolationStatus, WeightSpec,
    XGBoostParameters, credential_keys, credential_variable, describe_folds,
};
pub use modelward_wire::{self as wire, DriftAspect, DriftVerdict, Role};
pub use network::{NetworkError, Networks};
pub use reference::{
    ActionReference, EvidenceKind, EvidenceReference, PlannedReference, ReferenceKind, VersionReference,
};
pub use remediation_action::{
    ActionPlan, ActionType, BlockedStep, Decision, DecisionKind, Diagnosis, Execution, NewRowsStatus,
    ObstacleReason, PlannedDataset, PlannedDifference, PlannedRoute, PlannedTraining, PlannedVersion,
    RemediationAction, RemediationActionSpec, RemediationActionStatus, Risk, StepObstacle,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

/// The API group of all kinds.
pub const GROUP: &str = "modelward.io";
/// The only version of the group.
pub const VERSION: &str = "v1alpha1";
/// Pattern of accepted times. The check of `date-time` in the API server also accepts times that no Rust client can parse: ten digits
/// after the decimal point, an offset of `+01:60`, the end of the year 9999.
pub(crate) const TIME_PATTERN: &str = concat!(
    "^([0-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-[0-9]{2}-[0-9]{2}",
    "T[0-9]{2}:[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
);
/// The field manager of the operator.
pub const FIELD_MANAGER: &str = "modelward-operator";

/// Labels that the operator sets on the objects that it creates.
pub mod labels {
    /// Name of the `Model` that an object belongs to.
    pub const MODEL: &str = "modelward.io/model";
    /// Name of the `ModelVersion` that a Job or a `DriftReport` belongs to.
    pub const VERSION: &str = "modelward.io/version";
    /// Name of the `RemediationAction` that a Job or a `ModelVersion` belongs to.
    pub const ACTION: &str = "modelward.io/action";
    /// `snapshot` or `fit`, on Jobs and their Pods.
    pub const STAGE: &str = "modelward.io/stage";
}

/// Annotations that users and the API server set on objects. The admission policies protect them.
pub mod annotations {
    use std::collections::BTreeMap;

    /// Approves the plan: `true`, or the digest of the plan. The API server turns it into a decision.
    pub const APPROVE: &str = "modelward.io/approve";
    /// Rejects the plan: `true`, or the digest of the plan. The API server turns it into a decision.
    pub const REJECT: &str = "modelward.io/reject";
    /// Comment of the user on an approval or a rejection in the same request.
    pub const COMMENT: &str = "modelward.io/comment";
    /// Prefix of a decision, followed by its number, starting at 1: `approve sha256:… alice # comment`.
    pub const DECISION_PREFIX: &str = "approval.modelward.io/";
    /// On a Job: the sha256 of the training spec, which its bundle must state.
    pub const TRAINING: &str = "modelward.io/training";
    /// On a Job: the hash of the operator's settings when the Job was created.
    pub const SETTINGS: &str = "modelward.io/settings";
    /// The user who created a RemediationAction.
    pub const PROPOSED_BY: &str = "modelward.io/proposed-by";
    /// The user who created a ModelVersion.
    pub const CREATED_BY: &str = "modelward.io/created-by";
    /// Prefix, followed by a number, starting at 1, of a user who changed `spec` of a ModelVersion. The value is the full user name.
    pub const CHANGED_BY_PREFIX: &str = "changed-by.modelward.io/";
    /// Maximum number of users that the admission policies allow to change a ModelVersion.
    pub const MOST_CHANGERS: usize = 16;
    /// Uid of a Live ModelVersion that may be deleted.
    pub const CONFIRM_DELETE: &str = "modelward.io/confirm-delete";

    /// The users who changed the `spec` of a ModelVersion with these annotations, in the order of their first changes.
    pub fn changers(annotations: &BTreeMap<String, String>) -> Vec<&str> {
        (1..=MOST_CHANGERS)
            .filter_map(|number| annotations.get(&format!("{CHANGED_BY_PREFIX}{number}")))
            .map(String::as_str)
            .collect()
    }
}

/// Names of the admission policies that make approvals trustworthy. Each binding has the name of its policy.
pub mod gate {
    /// Restricts who may decide on, propose and delete RemediationActions.
    pub const DECISIONS: &str = "decisions.modelward.io";
    /// Restricts who may write the status of each kind.
    pub const STATUS: &str = "status.modelward.io";
    /// Protects the record of who created and changed a ModelVersion, and restricts the deletion of a Live version.
    pub const VERSIONS: &str = "versions.modelward.io";
    /// Restricts who may create and delete the record of a model.
    pub const MODELS: &str = "models.modelward.io";
    /// Protects provenance, owners and finalizers of ModelVersions and Models.
    pub const ORIGINS: &str = "origins.modelward.io";
    /// Restricts the annotations and labels of each kind.
    pub const RECORDS: &str = "records.modelward.io";
    /// All policies that validate objects of this group.
    pub const ALL: [&str; 6] = [DECISIONS, STATUS, VERSIONS, MODELS, ORIGINS, RECORDS];

    /// Restricts who may write the objects that serve and train.
    pub const CHILDREN: &str = "children.modelward.io";
    /// Rejects imitations of such objects without their label.
    pub const IMITATIONS: &str = "imitations.modelward.io";
    /// Rejects other objects with the name of a Model, and objects that act on its Pods.
    pub const NAMES: &str = "names.modelward.io";
    /// Rejects scaling to zero Pods.
    pub const SCALE: &str = "scale.modelward.io";
    /// Restricts scaling to the bounds of the Live version.
    pub const SCALE_BOUNDS: &str = "scale-bounds.modelward.io";
    /// Restricts tokens for the ledger.
    pub const TOKENS: &str = "tokens.modelward.io";
    /// Restricts commands in Pods of models.
    pub const EXEC: &str = "exec.modelward.io";
    /// All policies that validate objects that serve and train, if the chart installs them.
    pub const ALL_CHILDREN: [&str; 7] = [CHILDREN, IMITATIONS, NAMES, SCALE, SCALE_BOUNDS, TOKENS, EXEC];

    /// Turns the short form of a decision into a decision.
    pub const STAMP_DECISIONS: &str = "stamp-decisions.modelward.io";
    /// Records who proposes a RemediationAction.
    pub const STAMP_PROPOSERS: &str = "stamp-proposers.modelward.io";
    /// Records who creates a ModelVersion.
    pub const STAMP_MAKERS: &str = "stamp-makers.modelward.io";
    /// Records who changes a ModelVersion.
    pub const STAMP_CHANGES: &str = "stamp-changes.modelward.io";
    /// All policies that mutate, on Kubernetes 1.36 and later.
    pub const STAMPS: [&str; 4] = [STAMP_DECISIONS, STAMP_PROPOSERS, STAMP_MAKERS, STAMP_CHANGES];

    /// Prefix of a field manager. If the name of a policy follows, that policy rejects the request.
    pub const PROBE_PREFIX: &str = "probe-of-";
}

/// The four CRDs as they are installed.
///
/// An optional field that is set to `null` is rejected, because `has(self.field)` would be true for it in every validation rule.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        ModelVersion::crd(),
        Model::crd(),
        DriftReport::crd(),
        RemediationAction::crd(),
    ];
    for schema in crds
        .iter_mut()
        .flat_map(|crd| &mut crd.spec.versions)
        .filter_map(|version| version.schema.as_mut())
    {
        if let Some(root) = &mut schema.open_api_v3_schema {
            forbid_null(root);
        }
    }
    crds
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
        .for_each(forbid_null);
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &mut schema.items {
        forbid_null(item);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaProps, JSONSchemaPropsOrArray,
    };

    use super::{
        annotations::{CHANGED_BY_PREFIX, MOST_CHANGERS, changers},
        crds,
    };

    /// kubectl and GitOps tools compare a list as a whole, so a default that the API server adds to an item is a difference.
    #[test]
    fn no_item_of_a_list_of_a_spec_has_a_default() {
        fn find_defaults(path: &str, schema: &JSONSchemaProps, is_in_list: bool, found: &mut Vec<String>) {
            if is_in_list && schema.default.is_some() {
                found.push(path.to_owned());
            }
            for (name, property) in schema.properties.iter().flatten() {
                find_defaults(&format!("{path}.{name}"), property, is_in_list, found);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
                find_defaults(&format!("{path}[]"), item, true, found);
            }
        }
        let mut found = Vec::new();
        for version in crds().into_iter().flat_map(|crd| crd.spec.versions) {
            let root = version.schema.and_then(|schema| schema.open_api_v3_schema);
            let parts = root.unwrap().properties.unwrap_or_default();
            find_defaults("spec", &parts["spec"], false, &mut found);
        }
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn changers_are_read_by_number_and_not_by_the_order_of_their_keys() {
        let annotations = (1..=MOST_CHANGERS)
            .map(|number| (format!("{CHANGED_BY_PREFIX}{number}"), format!("user {number}")))
            .chain([("changed-by.modelward.io/x".to_owned(), "eve".to_owned())])
            .collect();
        let expected: Vec<String> = (1..=MOST_CHANGERS)
            .map(|number| format!("user {number}"))
            .collect();
        assert_eq!(changers(&annotations), expected);
    }
}
