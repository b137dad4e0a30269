//! Properties of a kind of action that the rest of the operator uses.

use modelward_crds::{ActionType, Risk};

use crate::policy::Policy;

/// The properties of a kind of action. There are no defaults: a new kind does not compile until it states each of them.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one question")]
pub struct Facts {
    /// The kind.
    pub action: ActionType,
    /// The prefix of names of its actions.
    pub verb: &'static str,
    /// The risk, unless the operator's configuration overrides it.
    pub default_risk: Risk,
    /// How it claims its model.
    pub claims: Claims,
    /// Whether it continues while its model is paused.
    pub runs_while_paused: bool,
    /// Whether a rollback after its creation supersedes it.
    pub superseded_by_rollback: bool,
    /// Whether it waits during a storm if it is based on a drift report.
    pub held_in_a_storm: bool,
    /// Whether it reads data before it has a plan.
    pub reads_data: bool,
    /// Whether it promotes its candidate.
    pub serves_candidate: bool,
    /// Whether an open action of this kind covers any drift of its model.
    pub answers_drift: bool,
    /// Whether its proposals count towards the daily budget.
    pub budgeted: bool,
    /// The kind of record among which its ended actions are kept.
    pub shelf: Shelf,
}

/// How a kind of action claims its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// It does not change the model, and makes no claim.
    Nothing,
    /// It waits for other actions of the model, and for the limit on models that are being changed.
    Bounded,
    /// It takes over the claim from an action that is not urgent, and does not wait for other models.
    Urgent,
}

/// Records of ended actions, each kind with its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// Alerts.
    Alert,
    /// Changes of a model.
    Change,
}

// === impl Facts ===

impl Facts {
    /// The risk, by the operator's configuration.
    pub fn risk(&self, policy: &Policy) -> Risk {
        policy.risk(self.action, self.default_risk)
    }
}
