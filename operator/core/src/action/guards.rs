//! Conditions that end an action or make it wait, independent of its kind and of other actions.

use modelward_crds::ConditionType;

use crate::{
    action::{
        case::{Case, LOOK_AGAIN_SECONDS},
        draft::{Draft, Outcome},
    },
    conditions::Verdict,
    reason::Reason,
};

pub(super) fn shown_only(case: &Case<'_>, draft: &mut Draft) -> Result<(), Outcome> {
    if !case.action.spec.dry_run {
        return Ok(());
    }
    let message = "the plan is made and shown; nothing is carried out".to_owned();
    draft.approved = Verdict::fails(ConditionType::Approved, Reason::DryRun, message.clone());
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::DryRun, message.clone());
    Err(Outcome::succeeds(Reason::DryRun, message))
}

pub(super) fn not_expired(case: &Case<'_>, draft: &mut Draft) -> Result<(), Outcome> {
    match &draft.status.plan {
        Some(plan) if plan.not_after.0 <= case.now => {
            let message = format!("the plan expired at {} and was not carried out", plan.not_after.0);
            draft.approved = Verdict::fails(ConditionType::Approved, Reason::Expired, message.clone());
            Err(Outcome::fails(Reason::Expired, message))
        }
        _ => Ok(()),
    }
}

/// A retraining because of drift waits during a storm.
pub(super) fn no_storm(case: &Case<'_>) -> Result<(), Outcome> {
    let many = case.world.policy.storm_models();
    if case.world.drifting.is_none_or(|drifting| drifting < many) {
        return Ok(());
    }
    let words = format!(
        "at least {many} models drifted within an hour: check their input data. Resumes when fewer drift"
    );
    Err(Outcome::waits(Reason::StormBreaker, words).again(case.after(LOOK_AGAIN_SECONDS)))
}
