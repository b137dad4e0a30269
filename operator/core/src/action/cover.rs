//! Promotions that the approval of a retraining covers.

use modelward_crds::{ActionPlan, ModelVersion, RemediationAction, annotations};

use crate::{
    action::{
        case::Case,
        decisions,
        draft::Outcome,
        plan::{
            self,
            content::{self, Content, TrainingPart},
            parts,
        },
        world::World,
    },
    objects::{has_ended, is_by_operator, name_of, parent_uid, uid_of},
    reason::Reason,
};

/// A promotion that is covered by the approval of an earlier action ends with that action. It is covered if the operator
/// created it for the version that the earlier action created, from a plan for this model.
pub(super) fn covered(case: &Case<'_>, candidate: &ModelVersion) -> Result<(), Outcome> {
    let gone = |words: &str| Outcome::fails(Reason::Superseded, words.to_owned());
    if !is_by_operator(case.action, annotations::PROPOSED_BY, &case.world.operator) {
        return Err(gone(
            "spec.parentRef is set, but the operator did not create this action: propose it without parentRef",
        ));
    }
    let parent = case
        .parent()
        .ok_or_else(|| gone("the action whose approval covers this one no longer exists"))?;
    let name = name_of(parent);
    if has_ended(parent) {
        return Err(gone(&format!(
            "{name}, whose approval covers this action, has ended"
        )));
    }
    let status = parent.status.clone().unwrap_or_default();
    let carried_out = status.execution.as_ref().map(|execution| execution.digest);
    let plan = status.plan.as_ref().filter(|plan| {
        content::is_whole(plan) && carried_out == Some(plan.digest) && plan::is_for(plan, parent, case.model)
    });
    if plan.is_none() {
        return Err(gone(&format!("the plan of {name} is not one for this model")));
    }
    if let Some(execution) = status.execution.as_ref().filter(|_| !case.is_claimed_now()) {
        let end = case.deadline(&execution.claimed_at);
        if end <= case.now {
            return Err(Outcome::fails(
                Reason::DeadlineExceeded,
                format!(
                    "{name} claimed the model at {}, and this action had not begun by {end}",
                    execution.claimed_at.0
                ),
            ));
        }
    }
    let decided = decisions::read(parent, status.plan.as_ref(), &status.decisions, case.now);
    if let Some(rejection) = decisions::rejection(&decided) {
        return Err(Outcome::fails(
            Reason::Rejected,
            format!(
                "{} rejected {name}, whose approval covers this action",
                rejection.user
            ),
        ));
    }
    let made = status
        .execution
        .as_ref()
        .and_then(|execution| execution.version.as_ref());
    let is_made = made.is_some_and(|made| made.uid.as_deref() == Some(uid_of(candidate)));
    if !is_made || !serves_when_passed(parent) {
        return Err(gone(&format!(
            "the approval of {name} does not cover this version"
        )));
    }
    // The approval was for the spec that the action created.
    if !parts::is_as_created(candidate) {
        return Err(gone(&format!(
            "spec of {} was changed since {name} created it, and the approval of {name} does not cover that",
            name_of(candidate)
        )));
    }
    Ok(())
}

/// The operator's action that promotes the version that this one created.
pub(super) fn promotion_of<'a>(case: &Case<'a>) -> Option<&'a RemediationAction> {
    let mut actions = case.world.actions.iter();
    actions.find(|other| is_covered_by(other, case.uid(), case.world))
}

/// Whether the operator proposed this action; otherwise its `parentRef` is ignored.
fn is_covered_by(action: &RemediationAction, parent: &str, world: &World) -> bool {
    parent_uid(action) == Some(parent) && is_by_operator(action, annotations::PROPOSED_BY, &world.operator)
}

/// Whether the plan of an action covers the promotion of the version that it trains.
pub(super) fn serves_when_passed(action: &RemediationAction) -> bool {
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    plan.and_then(planned_training)
        .is_some_and(|training| training.serve_when_gates_pass)
}

/// The training in the plan.
pub(super) fn planned_training(plan: &ActionPlan) -> Option<TrainingPart> {
    Content::of(plan)?.training
}
