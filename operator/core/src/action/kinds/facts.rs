//! What the rest of the operator asks about a kind of action.

use modelward_crds::{ActionType, Risk};

use crate::policy::Policy;

/// A kind of action, to others. It has no defaults: a new kind does not compile until it answers each question.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one question")]
pub struct Facts {
    /// The kind.
    pub action: ActionType,
    /// The first word of names of its actions.
    pub verb: &'static str,
    /// How much can go wrong, where the operator's configuration says nothing else.
    pub default_risk: Risk,
    /// How it claims its model.
    pub claims: Claims,
    /// Whether it goes on while its model is paused.
    pub runs_while_paused: bool,
    /// Whether a rollback after its creation makes it obsolete.
    pub superseded_by_rollback: bool,
    /// Whether it waits while many models drift, where it rests on a report of drift.
    pub held_in_a_storm: bool,
    /// Whether it reads data before it has a plan.
    pub reads_data: bool,
    /// Whether it lets its candidate serve.
    pub serves_candidate: bool,
    /// Whether an open one answers any drift of its model.
    pub answers_drift: bool,
    /// Whether proposals of it are counted against the daily budget.
    pub budgeted: bool,
    /// Which records of ended actions it is kept among.
    pub shelf: Shelf,
}

/// How a kind of action claims its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// It changes nothing, and claims nothing.
    Nothing,
    /// It waits for other actions of the model, and while many models are being changed.
    Bounded,
    /// It takes the model over from an action that is not urgent, and waits for no other model.
    Urgent,
}

/// Records of ended actions, each bounded by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// Alerts.
    Alert,
    /// Changes of a model.
    Change,
}

// === impl Facts ===

impl Facts {
    /// How much can go wrong, as the operator is configured.
    pub fn risk(&self, policy: &Policy) -> Risk {
        policy.risk(self.action, self.default_risk)
    }
}
