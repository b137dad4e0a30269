//! The world of an action.

use modelward_crds::{BlockedStep, DriftReport, Model, ModelVersion, ObstacleReason, RemediationAction};

use crate::{
    attempt::{DatasetSeen, JobSeen},
    custom_trainer::AllowedTrainers,
    policy::Policy,
};

/// Everything that a decision about an action depends on, as read by the controller.
#[derive(Clone, Debug)]
pub struct World {
    /// The operator's configuration.
    pub policy: Policy,
    /// Which images may train.
    pub allowed_trainers: AllowedTrainers,
    /// The model's record.
    pub model: Option<Model>,
    /// The model's versions.
    pub versions: Vec<ModelVersion>,
    /// All actions of the model, including this one.
    pub actions: Vec<RemediationAction>,
    /// The report whose window would become the reference.
    pub window: Option<DriftReport>,
    /// Reports of the version that was promoted or returned to.
    pub reports: Vec<DriftReport>,
    /// The data that a `RetrainModel` reads.
    pub dataset: DatasetSeen,
    /// Whether every change of that data triggers a reconcile.
    pub watched: bool,
    /// The Job that reads it.
    pub job: JobSeen,
    /// The step that failed in this round.
    pub obstacle: Option<Obstacle>,
    /// The admission policies.
    pub gate: GateSeen,
    /// Models that other actions are changing now, if [`super::counts_others`] requests them.
    pub in_flight: Option<InFlight>,
    /// Models that drift now, as they count for the namespace, if [`super::asks_for_drift`] requests them.
    pub drifting: Option<usize>,
    /// The user name of the operator.
    pub operator: String,
    /// A plan number that was just taken.
    pub number: Option<i64>,
    /// Whether the alert was just delivered.
    pub delivered: bool,
}

/// Why a step could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The step.
    pub step: BlockedStep,
    /// The kind of obstacle.
    pub reason: ObstacleReason,
    /// The object that the step is about: `ModelVersion heart-1a2b3c4d`.
    pub object: String,
    /// The message of the API server.
    pub message: String,
}

/// Models that other actions are changing now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// In the action's namespace.
    pub namespace: usize,
    /// In all namespaces; each counts at most up to its own limit.
    pub cluster: usize,
}

/// The admission policies and the result of their test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSeen {
    /// Their versions; none if one is missing.
    pub ids: Option<GateIds>,
    /// The result of a forged decision on this action.
    pub probe: Probe,
}

/// The result of a forged decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// It was not tested.
    #[default]
    NotTried,
    /// The expected admission policy rejected it.
    Refused,
    /// That policy is not enforced; the text says why.
    NotRefused(String),
    /// Something else rejected it first.
    Hindered(Hindered),
}

/// Why the admission policies could not be tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hindered {
    /// The policy, what rejected the test, and how to fix it. It does not change while the obstacle exists.
    pub what: String,
    /// The message of the API server. It may differ between tests.
    pub message: String,
}

/// The versions of the admission policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateIds {
    /// Each of them with its binding.
    pub policies: Vec<PolicyId>,
    /// Hash of the parameters that hold for the action's namespace.
    pub parameters: String,
}

/// One admission policy and its binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyId {
    /// Name of both.
    pub name: String,
    /// Uid of the policy. A policy that was deleted and recreated is a different one.
    pub uid: String,
    /// Its generation: it changes with its content.
    pub generation: i64,
    /// Uid of the binding.
    pub binding_uid: String,
    /// Its generation.
    pub binding_generation: i64,
}

// === impl Hindered ===

impl Hindered {
    /// All of it.
    pub fn words(&self) -> String {
        format!("{}{}", self.head(), self.message)
    }

    /// The part that does not change while the obstacle exists.
    pub(super) fn head(&self) -> String {
        format!("{}. Kubernetes: ", self.what)
    }
}
