//! Whether users approved, and whether their decisions can be relied on.

use modelward_crds::ConditionType;

use crate::{
    action::{
        case::Case,
        decisions,
        draft::{Draft, Outcome},
        world::Probe,
    },
    conditions::{self, Status, Verdict},
    objects::{name_of, parent_uid},
    reason::Reason,
};

/// A rejection is final, and takes precedence over a concurrent approval.
pub(super) fn not_rejected(draft: &mut Draft) -> Result<(), Outcome> {
    let Some(rejection) = decisions::rejection(&draft.status.decisions) else {
        return Ok(());
    };
    let mut message = format!("rejected by {}", rejection.user);
    if let Some(comment) = &rejection.comment {
        message = format!("{message}: {comment}");
    }
    draft.approved = Verdict::fails(ConditionType::Approved, Reason::Rejected, message.clone());
    Err(Outcome::fails(Reason::Rejected, message))
}

/// Names the users who approved. The error says how many more approvals are needed.
pub(super) fn approved(case: &Case<'_>, draft: &mut Draft) -> Result<(), Outcome> {
    let Some(plan) = &draft.status.plan else {
        return Err(Outcome::works(Reason::Planning, "there is no plan yet"));
    };
    let approvers = decisions::approvers(&draft.status.decisions).len();
    let needed = usize::try_from(plan.approvals_required).unwrap_or(0);
    if approvers >= needed {
        let (reason, message) = match (needed, parent_uid(case.action)) {
            (0, Some(_)) => (Reason::Covered, draft.approval_summary(case)),
            (0, None) => (Reason::NotNeeded, draft.approval_summary(case)),
            _ => (Reason::Approved, draft.approval_summary(case)),
        };
        draft.approved = Verdict::holds(ConditionType::Approved, reason, message);
        return Ok(());
    }
    let namespace = case.action.metadata.namespace.as_deref().unwrap_or_default();
    let how = format!(
        "kubectl annotate --namespace {namespace} ra/{} modelward.io/approve=true",
        name_of(case.action)
    );
    let missing = needed - approvers;
    let approvals = if missing == 1 { "approval" } else { "approvals" };
    // The command comes first: a long summary is truncated in a condition, and complete in status.plan.summary.
    let words = format!("waits for {missing} {approvals} until {}", plan.not_after.0);
    // The condition says that the plan changed until a user decides on the new one.
    let changed = conditions::find(&draft.before, ConditionType::Approved)
        .filter(|before| conditions::reason(before) == Some(Reason::PlanChanged) && approvers == 0);
    if draft.approved.reason == Reason::PlanChanged {
        draft.approved.message = format!("{}. Approve with: {how}", draft.approved.message);
    } else {
        draft.approved = match changed {
            Some(before) => Verdict::fails(
                ConditionType::Approved,
                Reason::PlanChanged,
                before.message.clone(),
            ),
            None => Verdict::fails(
                ConditionType::Approved,
                Reason::AwaitingApproval,
                format!("{words}. Approve with: {how}. The plan: {}", plan.summary),
            ),
        };
    }
    Err(Outcome::waits(draft.approved.reason, words))
}

/// Whether decisions on this action are proven by the admission policies.
pub(super) fn enforced(case: &Case<'_>, draft: &mut Draft) {
    let needed = draft
        .status
        .plan
        .as_ref()
        .is_none_or(|plan| plan.approvals_required > 0)
        || parent_uid(case.action).is_some();
    let kind = ConditionType::ApprovalEnforced;
    draft.enforced = match &case.world.gate.probe {
        _ if !needed => Verdict::holds(kind, Reason::NotNeeded, "it needs no approval"),
        Probe::Refused => Verdict::holds(
            kind,
            Reason::ApprovalEnforced,
            "the admission policies refused a forged decision on this action",
        ),
        Probe::NotTried => Verdict::unknown(kind, Reason::Waiting, "a forged decision is being tried"),
        Probe::NotRefused(problem) => Verdict::fails(kind, Reason::ApprovalNotEnforced, problem.clone()),
        Probe::Hindered(found) => {
            // The same obstacle keeps its text: a message that differs between attempts would be written each time.
            let known = conditions::find(&draft.before, kind).filter(|known| {
                conditions::reason(known) == Some(Reason::ApprovalNotTried)
                    && known.message.starts_with(&found.head())
            });
            let words = known.map_or_else(|| found.words(), |known| known.message.clone());
            Verdict::unknown(kind, Reason::ApprovalNotTried, words)
        }
    };
}

pub(super) fn relied_on(draft: &Draft) -> Result<(), Outcome> {
    let enforced = &draft.enforced;
    match enforced.status {
        Status::True => Ok(()),
        Status::Unknown if enforced.reason != Reason::ApprovalNotTried => {
            Err(Outcome::works(Reason::Waiting, enforced.message.clone()))
        }
        Status::Unknown | Status::False => Err(Outcome::stalls(
            enforced.reason,
            format!("suspended: {}", enforced.message),
        )),
    }
}

/// A rejection after the change stays on record and has no effect.
pub(super) fn void_late_rejections(draft: &mut Draft) {
    while let Some(number) = decisions::rejection(&draft.status.decisions).map(|late| late.number) {
        for decision in &mut draft.status.decisions {
            if decision.number == number {
                decision.void_because = Some("it came after the plan had begun".to_owned());
            }
        }
    }
}
