//! The text that a plan's digest is computed over: what users approve, as canonical JSON of a separate structure.
//!
//! Format 2 adds to format 1 what plans also show: the sources of a retraining's data, the users who changed the version, its
//! generation, and later guard rails. A plan of format 1 that is being carried out continues; one that still waits is made again.
//!
//! None of these types is a type of the API: a new field or a changed default of the API would otherwise change every digest and
//! void approvals. Numbers are integers; decimals are text. Each function over all fields destructures the type, so that a new field
//! does not compile until all of them handle it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use modelward_crds::{
    ActionPlan, ActionType, Champion, Gate, MetricName, Model, PlannedDataset, PlannedReference,
    PlannedRoute, PlannedVersion, ReferenceKind, RemediationAction, Risk, SourceStatus, wire::words,
};
use modelward_wire::{Decimal, Digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::proposal::{Proposal, ProposedTraining};
use crate::{
    action::{
        canonical,
        world::{GateIds, PolicyId, World},
    },
    objects::uid_of,
    policy::Policy,
};

/// The format that is written.
pub const PLAN_FORMAT: i32 = 2;

/// Formats that a plan that is being carried out may have.
const KNOWN_FORMATS: [i32; 2] = [1, PLAN_FORMAT];

/// The content of a plan. Fields that a format does not have are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    pub plan_format: i32,
    pub action: ActionPart,
    pub model: ModelPart,
    pub plan_sequence: i64,
    pub present_routes: Vec<RoutePart>,
    pub planned_routes: Vec<RoutePart>,
    pub risk: Risk,
    pub approvals_required: i32,
    pub excluded_approvers: Vec<String>,
    pub changed_by: Option<Vec<String>>,
    pub version: Option<VersionPart>,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The operator's configuration, which is only compared.
    pub policy: Value,
    pub gate: Option<AdmissionPart>,
    pub training: Option<TrainingPart>,
}

words! {
    /// An input of a plan. A change of any input voids the plan.
    #[derive(PartialOrd, Ord)]
    pub enum Input {
        Action = "its action",
        Risk = "its risk",
        Changers = "who changed the version",
        Approvers = "who may approve",
        Admission = "the admission policies",
        Model = "its model",
        Format = "the format of plans",
        Planned = "what would serve",
        Policy = "the operator's configuration",
        Present = "what serves",
        Training = "what would be trained",
        Version = "the spec of the version",
        /// The plan does not match its content.
        Text = "its own text",
    }
}

// === impl Content ===

impl Content {
    /// The content of the plan of a proposal with this number.
    pub fn new(
        action: &RemediationAction,
        model: &Model,
        proposal: &Proposal,
        world: &World,
        risks: &BTreeMap<ActionType, Risk>,
        sequence: i64,
        not_after: Timestamp,
    ) -> Self {
        Self {
            plan_format: PLAN_FORMAT,
            action: action.into(),
            model: ModelPart {
                name: action.spec.model.clone(),
                uid: model.metadata.uid.clone(),
            },
            plan_sequence: sequence,
            present_routes: parts(&proposal.present),
            planned_routes: parts(&proposal.planned),
            risk: proposal.risk,
            approvals_required: proposal.approvals,
            excluded_approvers: proposal.excluded.clone(),
            changed_by: Some(proposal.changed_by.clone()),
            version: proposal.version.as_ref().map(Into::into),
            not_after: not_after.as_second(),
            policy: policy_part(&world.policy, risks),
            gate: world.gate.ids.as_ref().map(Into::into),
            training: proposal.training.as_ref().map(Into::into),
        }
    }

    /// Parses the content of a plan. None if it cannot be read.
    pub fn of(plan: &ActionPlan) -> Option<Self> {
        serde_json::from_str(&plan.content).ok()
    }

    /// The text that the digest is computed over.
    pub fn text(&self) -> String {
        canonical::text(&serde_json::to_value(self).unwrap_or_default())
    }

    /// Whether it is about this action and this model, and not about earlier objects with the same names.
    pub fn is_for(&self, action: &RemediationAction, model: &Model) -> bool {
        self.action.uid.as_deref() == Some(uid_of(action))
            && self.model.uid.as_deref() == Some(uid_of(model))
            && self.model.name == action.spec.model
    }

    /// The inputs in which two contents differ. Number and expiry are not inputs.
    pub fn differences(&self, other: &Self) -> BTreeSet<Input> {
        let Self {
            plan_format,
            action,
            model,
            plan_sequence: _,
            present_routes,
            planned_routes,
            risk,
            approvals_required,
            excluded_approvers,
            changed_by,
            version,
            not_after: _,
            policy,
            gate,
            training,
        } = self;
        let changed = [
            (Input::Format, *plan_format != other.plan_format),
            (Input::Action, *action != other.action),
            (Input::Model, *model != other.model),
            (Input::Present, *present_routes != other.present_routes),
            (Input::Planned, *planned_routes != other.planned_routes),
            (Input::Risk, *risk != other.risk),
            (Input::Risk, *approvals_required != other.approvals_required),
            (Input::Approvers, *excluded_approvers != other.excluded_approvers),
            (Input::Changers, *changed_by != other.changed_by),
            (Input::Version, *version != other.version),
            (Input::Policy, *policy != other.policy),
            (Input::Admission, *gate != other.gate),
            (Input::Training, *training != other.training),
        ];
        let changed = changed.into_iter().filter(|(_, differs)| *differs);
        changed.map(|(input, _)| input).collect()
    }

    /// Whether a plan matches this content. [`Content::differences`] compares the parts that a plan does not show.
    fn is_shown(&self, plan: &ActionPlan) -> bool {
        let Self {
            plan_format,
            action: _,
            model: _,
            plan_sequence,
            present_routes,
            planned_routes,
            risk,
            approvals_required,
            excluded_approvers,
            changed_by,
            version,
            not_after,
            policy: _,
            gate: _,
            training,
        } = self;
        let of_format_2 = || {
            changed_by.as_ref() == Some(&plan.changed_by)
                && *version == plan.version.as_ref().map(Into::into)
                && training.is_some() == plan.training.is_some()
                && (training.is_some() || plan.sources.is_empty())
        };
        *plan_format == plan.plan_format
            && *plan_sequence == plan.plan_sequence
            && *present_routes == parts(&plan.present_routes)
            && *planned_routes == parts(&plan.planned_routes)
            && *risk == plan.risk
            && *approvals_required == plan.approvals_required
            && *excluded_approvers == plan.excluded_approvers
            && *not_after == plan.not_after.0.as_second()
            && (plan.plan_format == 1 || of_format_2())
            && training.as_ref().map_or_else(
                || plan.snapshot.is_none() && plan.reference.is_none(),
                |training| training.is_shown(plan),
            )
    }
}

/// Whether a plan's parts match its content, and its digest is that of the content: an approval of the digest is then one of these
/// parts.
pub fn is_whole(plan: &ActionPlan) -> bool {
    KNOWN_FORMATS.contains(&plan.plan_format)
        && canonical::digest(&plan.content) == plan.digest
        && Content::of(plan).is_some_and(|content| content.is_shown(plan))
}

// === parts ===

/// The action that the plan is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionPart {
    pub uid: Option<String>,
    pub r#type: ActionType,
    pub dry_run: bool,
    /// Uid of the action whose approval covers this one.
    pub parent: Option<String>,
    /// The sha256 of `spec.message`. The rest of the spec cannot change, and the uid stands for it.
    pub message: Option<Digest>,
}

/// The model that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelPart {
    pub name: String,
    pub uid: Option<String>,
}

/// A route that serves or would serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutePart {
    pub version: String,
    pub uid: String,
    pub digest: Digest,
    pub weight: i32,
    pub threshold: String,
}

/// The version whose spec determines what would run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionPart {
    pub name: String,
    pub uid: String,
    pub generation: i64,
}

/// The admission policies that prove approvals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdmissionPart {
    pub policies: Vec<PolicyPart>,
    pub parameters: String,
}

/// An admission policy and its binding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPart {
    pub name: String,
    pub uid: String,
    pub generation: i64,
    pub binding_uid: String,
    pub binding_generation: i64,
}

/// The training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingPart {
    pub target: Option<String>,
    pub target_uid: Option<String>,
    pub datasets: Option<Vec<DatasetPart>>,
    /// Hash of everything that the training depends on.
    pub spec: Digest,
    pub snapshot: Digest,
    pub rows: Option<i64>,
    pub sources: Vec<SourcePart>,
    pub gates: Vec<GatePart>,
    pub not_worse_than: Option<ChampionPart>,
    pub serve_when_gates_pass: bool,
    pub reference: Option<ReferencePart>,
}

/// A dataset of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetPart {
    pub name: Option<String>,
    pub location: String,
    pub location_sha256: Digest,
    pub host: Option<String>,
    pub sha256: Option<Digest>,
}

/// A file that rows were read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePart {
    pub name: String,
    pub sha256: Digest,
    pub rows: i64,
    pub positive_rows: Option<i64>,
}

/// A bound that the result must meet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatePart {
    pub metric: MetricName,
    pub at_least: Option<String>,
    pub at_most: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors: Option<String>,
}

/// The champion that the result must not be worse than.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChampionPart {
    pub version: String,
    pub bundle: Digest,
    pub margin: String,
}

/// The reference that traffic would be compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferencePart {
    pub kind: ReferenceKind,
    pub digest: Digest,
    pub rows: Option<i64>,
    pub start: Option<i64>,
    pub end: Option<i64>,
}

// === impl TrainingPart ===

impl TrainingPart {
    fn is_shown(&self, plan: &ActionPlan) -> bool {
        let Self {
            target,
            target_uid,
            datasets,
            // Hash of the part that is not shown.
            spec: _,
            snapshot,
            rows,
            sources,
            gates,
            not_worse_than,
            serve_when_gates_pass,
            reference,
        } = self;
        let of_format_2 = || {
            *reference == plan.reference.as_ref().map(Into::into)
                && *rows == plan.snapshot.as_ref().and_then(|snapshot| snapshot.rows)
                && *sources == parts(&plan.sources)
                && plan.training.as_ref().is_some_and(|training| {
                    target.as_ref() == Some(&training.target.name)
                        && *target_uid == training.target.uid
                        && *datasets == Some(parts(&training.datasets))
                        && *gates == parts(&training.gates)
                        && *not_worse_than == training.not_worse_than.as_ref().map(Into::into)
                        && *serve_when_gates_pass == training.serve_when_gates_pass
                })
        };
        let digest_of = |reference: &PlannedReference| reference.digest;
        Some(*snapshot) == plan.snapshot.as_ref().map(|snapshot| snapshot.digest)
            && reference.as_ref().map(|reference| reference.digest) == plan.reference.as_ref().map(digest_of)
            && (plan.plan_format == 1 || of_format_2())
    }
}

// === what parts are made of ===

fn parts<'a, T, P: From<&'a T>>(all: &'a [T]) -> Vec<P> {
    all.iter().map(P::from).collect()
}

fn text_of(number: &Decimal) -> String {
    number.as_str().to_owned()
}

/// The types whose risk the content of format 2 contains. Do not add a later type: its plans contain its own risk, and one more entry
/// here would change the digest of every plan that waits for an approval.
const RISKS: [ActionType; 4] = [
    ActionType::SendAlert,
    ActionType::RetrainModel,
    ActionType::PromoteModel,
    ActionType::RollbackModel,
];

fn policy_part(policy: &Policy, risks: &BTreeMap<ActionType, Risk>) -> Value {
    let risks: BTreeMap<_, _> = risks
        .iter()
        .filter(|(action, _)| RISKS.contains(action))
        .collect();
    json!({
        "risks": risks,
        "mediumApprovals": policy.medium_approvals,
        "highApprovals": policy.high_approvals,
        "planSeconds": policy.plan_seconds,
        "verificationSeconds": policy.verification_seconds,
        "coolDownSeconds": policy.cool_down_seconds,
        "retrainsADay": policy.retrains_a_day,
        "retrainsADayPerNamespace": policy.retrains_a_day_per_namespace,
        "inFlight": policy.in_flight,
        "inFlightPerNamespace": policy.in_flight_per_namespace,
        "claimSeconds": policy.claim_seconds,
        "stormModels": policy.storm_models,
    })
}

impl From<&RemediationAction> for ActionPart {
    fn from(action: &RemediationAction) -> Self {
        let spec = &action.spec;
        Self {
            uid: action.metadata.uid.clone(),
            r#type: spec.action,
            dry_run: spec.dry_run,
            parent: spec.parent_ref.as_ref().map(|parent| parent.uid.clone()),
            message: spec.message.as_deref().map(canonical::digest),
        }
    }
}

impl From<&PlannedRoute> for RoutePart {
    fn from(route: &PlannedRoute) -> Self {
        Self {
            version: route.version.clone(),
            uid: route.uid.clone(),
            digest: route.digest,
            weight: route.weight,
            threshold: text_of(&route.threshold),
        }
    }
}

impl From<&PlannedVersion> for VersionPart {
    fn from(version: &PlannedVersion) -> Self {
        Self {
            name: version.name.clone(),
            uid: version.uid.clone(),
            generation: version.generation,
        }
    }
}

impl From<&GateIds> for AdmissionPart {
    fn from(gate: &GateIds) -> Self {
        Self {
            policies: parts(&gate.policies),
            parameters: gate.parameters.clone(),
        }
    }
}

impl From<&PolicyId> for PolicyPart {
    fn from(policy: &PolicyId) -> Self {
        Self {
            name: policy.name.clone(),
            uid: policy.uid.clone(),
            generation: policy.generation,
            binding_uid: policy.binding_uid.clone(),
            binding_generation: policy.binding_generation,
        }
    }
}

impl From<&ProposedTraining> for TrainingPart {
    fn from(training: &ProposedTraining) -> Self {
        Self {
            target: Some(training.target.name.clone()),
            target_uid: training.target.uid.clone(),
            datasets: Some(parts(&training.datasets)),
            spec: training.spec,
            snapshot: training.snapshot.digest,
            rows: training.snapshot.rows,
            sources: parts(&training.sources),
            gates: parts(&training.gates),
            not_worse_than: training.not_worse_than.as_ref().map(Into::into),
            serve_when_gates_pass: training.serve_when_gates_pass,
            reference: training.reference.as_ref().map(Into::into),
        }
    }
}

impl From<&PlannedDataset> for DatasetPart {
    fn from(dataset: &PlannedDataset) -> Self {
        Self {
            name: dataset.name.clone(),
            location: dataset.location.clone(),
            location_sha256: dataset.location_sha256,
            host: dataset.host.clone(),
            sha256: dataset.sha256,
        }
    }
}

impl From<&SourceStatus> for SourcePart {
    fn from(source: &SourceStatus) -> Self {
        Self {
            name: source.name.clone(),
            sha256: source.sha256,
            rows: source.rows,
            positive_rows: source.positive_rows,
        }
    }
}

impl From<&Gate> for GatePart {
    fn from(gate: &Gate) -> Self {
        Self {
            metric: gate.metric,
            at_least: gate.at_least.as_ref().map(text_of),
            at_most: gate.at_most.as_ref().map(text_of),
            standard_errors: gate.standard_errors.as_ref().map(text_of),
        }
    }
}

impl From<&Champion> for ChampionPart {
    fn from(champion: &Champion) -> Self {
        Self {
            version: champion.version.clone(),
            bundle: champion.bundle,
            margin: text_of(&champion.margin),
        }
    }
}

impl From<&PlannedReference> for ReferencePart {
    fn from(reference: &PlannedReference) -> Self {
        let second = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| time.0.as_second();
        Self {
            kind: reference.kind,
            digest: reference.digest,
            rows: reference.rows,
            start: reference.start_time.as_ref().map(second),
            end: reference.end_time.as_ref().map(second),
        }
    }
}
