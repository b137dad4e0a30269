//! What is seen around an action.

use modelward_crds::{BlockedStep, DriftReport, Model, ModelVersion, ObstacleReason, RemediationAction};

use crate::{
    attempt::{DatasetSeen, JobSeen},
    policy::Policy,
};

/// What the controller saw around an action.
#[derive(Clone, Debug)]
pub struct World {
    /// The operator's own configuration.
    pub policy: Policy,
    /// The model's record.
    pub model: Option<Model>,
    /// The model's versions.
    pub versions: Vec<ModelVersion>,
    /// All actions of the model, this one too.
    pub actions: Vec<RemediationAction>,
    /// The report whose window would become the reference.
    pub window: Option<DriftReport>,
    /// Reports of the version that was put to work.
    pub reports: Vec<DriftReport>,
    /// The data that a `RetrainModel` reads.
    pub dataset: DatasetSeen,
    /// Whether every change of that data wakes us.
    pub watched: bool,
    /// The Job that reads it.
    pub job: JobSeen,
    /// The step that failed in this round.
    pub obstacle: Option<Obstacle>,
    /// The admission policies.
    pub gate: GateSeen,
    /// Models that other actions are changing now, where [`super::counts_others`] asks for them.
    pub in_flight: Option<InFlight>,
    /// Models that drift at present, as they count for the namespace, where [`super::asks_for_drift`] asks for them.
    pub drifting: Option<usize>,
    /// The user name of the operator.
    pub operator: String,
    /// A number that was taken for a plan a moment ago.
    pub number: Option<i64>,
    /// Whether the alert was delivered a moment ago.
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
    /// What the API server answered.
    pub message: String,
}

/// Models that other actions are changing now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// In the action's namespace.
    pub namespace: usize,
    /// In all namespaces; each counts for its own bound at most.
    pub cluster: usize,
}

/// The admission policies, as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSeen {
    /// Which they are; none where one is missing.
    pub ids: Option<GateIds>,
    /// What came of a forged decision on this very action.
    pub probe: Probe,
}

/// What came of a forged decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// None was tried.
    #[default]
    NotTried,
    /// It was refused by the admission policy that has to.
    Refused,
    /// It was not: that policy is not at work, in words.
    NotRefused(String),
    /// Something else refused it first.
    Hindered(Hindered),
}

/// Why the admission policies could not be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hindered {
    /// Which policy, what refused the trial, and how to put it right: the same as long as the obstacle is.
    pub what: String,
    /// What the API server answered. It may differ from try to try.
    pub message: String,
}

/// Which admission policies are at work.
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
    /// Uid of the policy: one that was deleted and made again is another one.
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

    /// What stays the same as long as the obstacle does.
    pub(super) fn head(&self) -> String {
        format!("{}. Kubernetes: ", self.what)
    }
}
