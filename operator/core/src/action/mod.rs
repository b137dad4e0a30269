//! The decisions about a `RemediationAction`: its plan, the users' decisions on it, and its effects.
//!
//! ```text
//! proposed ─► plan ─► decisions ─► gate tested ─► claim ─► effects ─► watched ─► ended
//!              ▲ │                                        │
//!              └─┘ an input changed:                      └ the plan does not change any more
//!                  a new plan, approvals are void
//! ```
//!
//! [`decide`] is one ordered chain. Each link either determines the outcome of the action or passes on to the next. It names
//! at most one step, which is one write. After it the chain is evaluated again from the new state, so that a crash
//! between any two writes leads to the same final state. [`round`] is the loop around it.
//!
//! What prevents a step is in the status (`status.obstacle`) and thus an input of the decision: a second round over the same
//! world writes nothing.
//!
//! Every action ends eventually: without a plan after `planningSeconds`, without enough approvals when its plan expires, and
//! with a claim after `claimSeconds` unless the planned routes serve by then.
//!
//! Changes of a model are guarded twice. The claim is `Model.status.activeAction`, written with the resourceVersion of
//! the record that the plan was compared with; it precedes the record in the action's own status, which precedes any
//! effect. And each effect is decided from a record in which this action still holds the claim.

mod approval;
pub mod build;
mod candidate;
mod canonical;
mod case;
mod claim;
mod cover;
mod decisions;
mod draft;
mod effects;
mod guards;
pub mod hands;
pub mod kinds;
mod plan;
mod planning;
mod precedence;
mod records;
pub mod round;
mod training_spec;
mod validate;
mod world;

use jiff::Timestamp;
use modelward_crds::{ConditionType, Model, RemediationAction};

use self::{
    case::{Case, LOOK_AGAIN_SECONDS},
    draft::{At, Draft, Outcome},
};
pub use self::{
    draft::{Decision, Step},
    kinds::{snapshot_version, target},
    precedence::{asks_for_drift, counts_others, in_flight},
    records::surplus,
    validate::{Invalid, Validated, validate},
    world::{GateIds, GateSeen, Hindered, InFlight, Obstacle, PolicyId, Probe, World},
};
use crate::{
    conditions::Verdict,
    objects::{active, has_ended, parent_uid},
    reason::Reason,
};

/// Decides about an action. Pure: the same arguments give the same decision.
pub fn decide(valid: &Validated, world: &World, now: Timestamp) -> Decision {
    let action = valid.action();
    if has_ended(action) {
        return ended(valid, world);
    }
    let mut draft = Draft::of(action);
    let outcome = match &world.model {
        Some(model) => {
            let case = Case {
                action,
                uid: valid.uid(),
                world,
                model,
                now,
            };
            evaluate(&case, &mut draft)
        }
        None => Outcome::stalls(
            Reason::ModelNotFound,
            format!(
                "there is no Model {} in this namespace; kubectl get models lists those there are",
                action.spec.model
            ),
        ),
    };
    let outcome = planned_in_time(action, world, &draft, outcome, now);
    draft.close(action, outcome, now)
}

fn evaluate(case: &Case<'_>, draft: &mut Draft) -> Outcome {
    draft.read_decisions(case);
    let outcome = if case.is_claimed(&draft.status) {
        carry_out(case, draft)
    } else {
        prepare(case, draft)
    };
    match outcome {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

/// The chain up to the claim.
fn prepare(case: &Case<'_>, draft: &mut Draft) -> Result<Outcome, Outcome> {
    let kind = kinds::of(case.kind());
    approval::not_rejected(draft)?;
    precedence::not_superseded(case)?;
    let proposal = kind.propose(case, draft)?;
    planning::planned(case, draft, proposal)?;
    draft.read_decisions(case);
    precedence::superseded_by_newer(case, draft)?;
    approval::enforced(case, draft);
    guards::shown_only(case, draft)?;
    guards::not_expired(case, draft)?;
    let expiry = draft.status.plan.as_ref().map(|plan| plan.not_after.0);
    let look = case.after(LOOK_AGAIN_SECONDS);
    let wait = |outcome: Outcome| outcome.again(expiry).again(look);
    approval::approved(case, draft).map_err(wait)?;
    approval::relied_on(draft).map_err(wait)?;
    if let Some(outcome) = kind.without_claim(case, draft) {
        return Err(outcome.again(expiry));
    }
    precedence::not_held(case, draft).map_err(wait)?;
    guards::no_storm(case).map_err(wait)?;
    precedence::can_claim(case).map_err(wait)?;
    Ok(precedence::claim(case, draft))
}

/// The chain from the claim on: effects, each decided from a record in which this action still holds the claim.
fn carry_out(case: &Case<'_>, draft: &mut Draft) -> Result<Outcome, Outcome> {
    let plan = claim::claimed(case, draft)?;
    // The condition was written before the model was claimed, and nothing more can be approved.
    let _ = approval::approved(case, draft);
    let proved = plan.approvals_required > 0 || parent_uid(case.action).is_some();
    draft.enforced = if proved {
        Verdict::holds(
            ConditionType::ApprovalEnforced,
            Reason::ApprovalEnforced,
            "the admission policies were tried and worked before the model was claimed",
        )
    } else {
        Verdict::holds(
            ConditionType::ApprovalEnforced,
            Reason::NotNeeded,
            "it needs no approval",
        )
    };
    let kind = kinds::of(case.kind());
    if !kind.holds_claim(case) {
        return Err(claim::lost(case));
    }
    if kind.has_begun(case, draft, &plan) {
        approval::void_late_rejections(draft);
    } else {
        approval::not_rejected(draft)?;
    }
    kind.carry_out(case, draft, &plan)
}

/// Users cannot decide on an action without a plan, so it ends after a time limit.
fn planned_in_time(
    action: &RemediationAction,
    world: &World,
    draft: &Draft,
    outcome: Outcome,
    now: Timestamp,
) -> Outcome {
    let created = action.metadata.creation_timestamp.as_ref();
    let idle = match outcome.at {
        At::Waiting | At::Stalled => true,
        At::Working => outcome.step.is_none(),
        At::Ended(_) => false,
    };
    let (Some(created), None, true) = (created, &draft.status.plan, idle) else {
        return outcome;
    };
    let seconds = world.policy.planning_seconds.max(60);
    let end = created.0.as_second().saturating_add(seconds);
    if now.as_second() < end {
        return outcome.again(Timestamp::from_second(end).ok());
    }
    Outcome::fails(
        Reason::Expired,
        format!("no plan could be made within {seconds} s: {}", outcome.message),
    )
}

/// The status of an ended action does not change; only its claim has to be released.
fn ended(valid: &Validated, world: &World) -> Decision {
    let own = |model: &&Model| active(model).is_some_and(|active| active.uid == valid.uid());
    let release = world.model.as_ref().filter(own).map(|model| {
        let mut status = model.status.clone().unwrap_or_default();
        status.active_action = None;
        Step::Release(Box::new(status))
    });
    Decision {
        status: valid.action().status.clone().unwrap_or_default(),
        step: release,
        again: None,
    }
}

#[cfg(test)]
mod tests;
