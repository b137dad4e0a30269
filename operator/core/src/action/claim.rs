//! The claim on a model: only one action changes it at a time, and the number of models that are changed at once is limited.

use jiff::Timestamp;
use modelward_crds::{ActionPlan, Execution};

use crate::{
    action::{
        case::Case,
        draft::{Draft, Outcome},
        plan::{self, content},
    },
    objects::name_of,
    reason::Reason,
};

/// Records the claim. It is for the plan at that time, which does not change any more.
pub(super) fn claimed(case: &Case<'_>, draft: &mut Draft) -> Result<ActionPlan, Outcome> {
    let Some(plan) = draft.status.plan.clone() else {
        return Err(Outcome::fails(
            Reason::Superseded,
            "the action holds the claim but its plan no longer exists",
        ));
    };
    let own = case.holder().filter(|holder| holder.uid == case.uid());
    let digest = match (&draft.status.execution, own) {
        (Some(execution), _) => execution.digest,
        (None, Some(holder)) => {
            draft.status.execution = Some(Execution {
                digest: holder.digest,
                attempt: holder.attempt,
                claimed_at: holder.claimed_at.clone(),
                version: None,
                promotion: None,
                routed_at: None,
                verify_until: None,
                ended_at: None,
            });
            holder.digest
        }
        (None, None) => return Err(lost(case)),
    };
    if digest != plan.digest || !content::is_whole(&plan) {
        return Err(Outcome::fails(
            Reason::PlanChanged,
            "the plan is not the one for which the action claimed the model",
        ));
    }
    if !plan::is_for(&plan, case.action, case.model) {
        return Err(Outcome::fails(
            Reason::Superseded,
            format!(
                "the plan is not for this {}: it was deleted and recreated",
                name_of(case.model)
            ),
        ));
    }
    Ok(plan)
}

/// Another action holds the claim, or none does.
pub(super) fn lost(case: &Case<'_>) -> Outcome {
    let message = match case.holder() {
        Some(holder) => format!("{} has taken over the claim on the model", holder.name),
        None => "the action no longer holds the claim on the model".to_owned(),
    };
    Outcome::fails(Reason::Superseded, message)
}

/// When the claim expires.
pub(super) fn due(case: &Case<'_>, draft: &Draft) -> Timestamp {
    let execution = draft.status.execution.as_ref();
    execution.map_or(Timestamp::MAX, |execution| case.deadline(&execution.claimed_at))
}
