//! SendAlert: an Event. It does not change the model, so it makes no claim.

use modelward_crds::{ActionPlan, ActionType, BlockedStep, ConditionType, Model, RemediationAction, Risk};

use super::{
    facts::{Claims, Facts, Shelf},
    kind::Kind,
};
use crate::{
    action::{
        case::Case,
        draft::{Draft, Outcome, Step},
        plan::{parts::present, proposal::Proposal, text::plain},
        world::World,
    },
    conditions::Verdict,
    reason::Reason,
};

/// An Event for users.
pub(super) struct Alert;

const FACTS: Facts = Facts {
    action: ActionType::SendAlert,
    verb: "alert",
    default_risk: Risk::Low,
    claims: Claims::Nothing,
    runs_while_paused: true,
    superseded_by_rollback: false,
    held_in_a_storm: false,
    reads_data: false,
    serves_candidate: false,
    answers_drift: false,
    budgeted: false,
    shelf: Shelf::Alert,
};

impl Kind for Alert {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn propose(&self, case: &Case<'_>, _: &mut Draft) -> Result<Proposal, Outcome> {
        Ok(proposal(case.action, case.world, case.model))
    }

    fn without_claim(&self, case: &Case<'_>, draft: &mut Draft) -> Option<Outcome> {
        Some(sent(case, draft))
    }

    fn holds_claim(&self, _: &Case<'_>) -> bool {
        false
    }

    fn has_begun(&self, _: &Case<'_>, _: &Draft, _: &ActionPlan) -> bool {
        false
    }

    /// Never reached: an alert has no claim.
    fn carry_out(&self, _: &Case<'_>, _: &mut Draft, _: &ActionPlan) -> Result<Outcome, Outcome> {
        Ok(Outcome::succeeds(Reason::Alerted, "the alert was delivered"))
    }

    fn proposal_name(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

fn proposal(action: &RemediationAction, world: &World, model: &Model) -> Proposal {
    let risk = FACTS.risk(&world.policy);
    Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: Vec::new(),
        changed_by: Vec::new(),
        version: None,
        differences: Vec::new(),
        present: present(model),
        planned: Vec::new(),
        training: None,
        summary: format!(
            "send an alert about {}: {}",
            action.spec.model,
            plain(action.spec.message.as_deref().unwrap_or_default())
        ),
    }
}

/// It has succeeded once the API server has accepted its Event.
fn sent(case: &Case<'_>, draft: &mut Draft) -> Outcome {
    let message = case.action.spec.message.clone().unwrap_or_default();
    if case.world.delivered {
        draft.executed = Verdict::holds(
            ConditionType::Executed,
            Reason::Alerted,
            "the alert was delivered",
        );
        return Outcome::succeeds(Reason::Alerted, message);
    }
    let outcome = Outcome::works(Reason::Alerted, "the alert is being sent").with(Step::Alert(message));
    draft.attempt(case, BlockedStep::SendAlert, outcome)
}
