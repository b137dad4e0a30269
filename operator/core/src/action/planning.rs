//! The plan of an action: made once, and again when an input changes.

use std::collections::BTreeSet;

use modelward_crds::ConditionType;

use crate::{
    action::{
        case::Case,
        draft::{Draft, Outcome, Step},
        kinds,
        plan::{
            self,
            content::{self, Content, Input},
            proposal::Proposal,
        },
    },
    conditions::Verdict,
    reason::Reason,
};

/// Makes a plan, or a new one if the current one no longer describes what would be done.
pub(super) fn planned(case: &Case<'_>, draft: &mut Draft, proposal: Proposal) -> Result<(), Outcome> {
    let risks = kinds::risks(&case.world.policy);
    let changes = match &draft.status.plan {
        None => None,
        Some(plan) => {
            let (sequence, not_after) = (plan.plan_sequence, plan.not_after.0);
            let world = case.world;
            let present = plan::plan(
                case.action,
                case.model,
                proposal.clone(),
                world,
                &risks,
                sequence,
                not_after,
            );
            let contents = Content::of(plan).zip(Content::of(&present));
            let mut changes = contents.map_or_else(
                || BTreeSet::from(Input::ALL),
                |(former, present)| former.differences(&present),
            );
            if world.gate.ids.is_none() {
                // Actions are suspended without them, and restored policies have other uids.
                changes.remove(&Input::Admission);
            }
            if !content::is_whole(plan) {
                changes.insert(Input::Text);
            }
            if changes.is_empty() {
                return Ok(());
            }
            Some(changes)
        }
    };
    let Some(number) = case.world.number else {
        let mut record = case.record();
        record.plan_sequence = Some(record.plan_sequence.unwrap_or(0) + 1);
        let outcome = Outcome::works(Reason::Planning, "the plan is being made");
        return Err(outcome.with(Step::TakeNumber(Box::new(record))));
    };
    let not_after = plan::not_after(case.world, case.now);
    draft.status.plan = Some(plan::plan(
        case.action,
        case.model,
        proposal,
        case.world,
        &risks,
        number,
        not_after,
    ));
    if let Some(changes) = changes {
        let mut changes: Vec<_> = changes.into_iter().map(Input::as_str).collect();
        let last = changes.pop().unwrap_or_default();
        let changed = match changes.as_slice() {
            [] => last.to_owned(),
            others => format!("{} and {last}", others.join(", ")),
        };
        let message =
            format!("{changed} changed, so this is a new plan; approvals of the previous plan are void");
        draft.approved = Verdict::fails(ConditionType::Approved, Reason::PlanChanged, message);
    }
    Ok(())
}
