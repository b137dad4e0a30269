//! The conditions of a version about its serving.

use modelward_crds::{ConditionType, Role};

use crate::{
    attempt::Stage,
    conditions::Verdict,
    reason::{Reason, StuckReason, WorkingReason},
    version::{
        context::fails,
        world::{ServingSeen, Settling},
    },
};

/// Role and the last four conditions of a version that has not passed its gates, with the reason.
pub(super) fn before_serving(stage: &Stage) -> (Role, Vec<Verdict>) {
    let serving = Verdict::fails(
        ConditionType::Serving,
        Reason::Waiting,
        "it has not passed its gates yet",
    );
    match stage {
        Stage::Terminal(why) => (Role::Rejected, rejected(why)),
        Stage::Blocked(why) => (Role::Pending, summary(serving, &Rest::Stalled(why))),
        Stage::Waiting(why) => (Role::Pending, summary(serving, &Rest::Working(why))),
        Stage::Recorded => (Role::Pending, summary(serving.clone(), &Rest::Working(&serving))),
    }
}

pub(super) fn rejected(why: &Verdict) -> Vec<Verdict> {
    summary(
        Verdict::fails(ConditionType::Serving, why.reason, "it will not serve"),
        &Rest::Stalled(why),
    )
}

/// Role, and the conditions Serving, Ready, Reconciling and Stalled, of a version that passed its gates.
pub(super) fn serving_verdicts(serving: &ServingSeen, before: Option<Role>) -> (Role, Vec<Verdict>) {
    match serving {
        ServingSeen::NotYet => {
            let verdict = fails(Reason::Waiting, "the status of the Model does not list it yet");
            // A deleted record is recreated from the statuses of the versions.
            let role = before.filter(|role| matches!(role, Role::Live | Role::Retired));
            (
                role.unwrap_or(Role::Candidate),
                summary(verdict.clone(), &Rest::Working(&verdict)),
            )
        }
        ServingSeen::RollingOut(reason, message) => {
            let verdict = fails(*reason, message);
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Working(&verdict)),
            )
        }
        ServingSeen::Stuck(reason, message) => {
            let verdict = fails(*reason, message);
            (
                Role::Candidate,
                summary(verdict.clone(), &Rest::Stalled(&verdict)),
            )
        }
        ServingSeen::Live { enough, pods, rest } => {
            let words = format!("{pods} answer");
            let verdict = if *enough {
                Verdict::holds(ConditionType::Serving, Reason::Serving, words)
            } else {
                match rest {
                    Settling::Working(
                        reason @ (WorkingReason::NoAnswer | WorkingReason::WrongAnswer),
                        message,
                    ) => fails(*reason, message),
                    Settling::Stuck(reason @ (StuckReason::NoAnswer | StuckReason::WrongAnswer), message) => {
                        fails(*reason, message)
                    }
                    // The model's own message has the cause.
                    Settling::Working(_, why) | Settling::Stuck(_, why) => fails(Reason::TooFewPods, why),
                    Settling::Done => fails(Reason::TooFewPods, &words),
                }
            };
            let summary = match rest {
                Settling::Stuck(reason, message) => {
                    summary(verdict, &Rest::Stalled(&fails(*reason, message)))
                }
                Settling::Working(reason, message) if *enough => {
                    summary(verdict, &Rest::Working(&fails(*reason, message)))
                }
                Settling::Done if *enough => summary(verdict.clone(), &Rest::Done(&verdict)),
                Settling::Working(..) | Settling::Done => summary(verdict.clone(), &Rest::Working(&verdict)),
            };
            (Role::Live, summary)
        }
        ServingSeen::BeingReplaced(message) => {
            let verdict = Verdict::holds(ConditionType::Serving, Reason::Serving, message);
            (Role::Live, summary(verdict.clone(), &Rest::Done(&verdict)))
        }
        ServingSeen::Retired(message) => at_rest(Role::Retired, &fails(Reason::Retired, message)),
        ServingSeen::Paused => {
            let words = "it passed its gates and waits: the model is paused";
            at_rest(Role::Candidate, &fails(Reason::Paused, words))
        }
        ServingSeen::AwaitingPromotion(message) => {
            at_rest(Role::Candidate, &fails(Reason::AwaitingPromotion, message))
        }
        ServingSeen::Held(message) => at_rest(Role::Retired, &fails(Reason::Held, message)),
        ServingSeen::NotPromoted(reason, message) => at_rest(Role::Candidate, &fails(*reason, message)),
    }
}

/// A version that does not serve and needs no work.
fn at_rest(role: Role, why: &Verdict) -> (Role, Vec<Verdict>) {
    let all = summary(why.clone(), &Rest::Done(why));
    (role, all)
}

enum Rest<'a> {
    Done(&'a Verdict),
    Working(&'a Verdict),
    Stalled(&'a Verdict),
}

/// Serving and the three conditions that kstatus reads: without work neither Reconciling nor Stalled is True.
fn summary(serving: Verdict, rest: &Rest<'_>) -> Vec<Verdict> {
    let (ready, reconciling, stalled) = match rest {
        Rest::Done(why) => (
            Verdict::holds(ConditionType::Ready, why.reason, why.message.clone()),
            Verdict::fails(ConditionType::Reconciling, why.reason, ""),
            Verdict::fails(ConditionType::Stalled, why.reason, ""),
        ),
        Rest::Working(why) => (
            Verdict::fails(ConditionType::Ready, why.reason, why.message.clone()),
            Verdict::holds(ConditionType::Reconciling, why.reason, why.message.clone()),
            Verdict::fails(ConditionType::Stalled, why.reason, ""),
        ),
        Rest::Stalled(why) => (
            Verdict::fails(ConditionType::Ready, why.reason, why.message.clone()),
            Verdict::fails(ConditionType::Reconciling, why.reason, ""),
            Verdict::holds(ConditionType::Stalled, why.reason, why.message.clone()),
        ),
    };
    vec![serving, ready, reconciling, stalled]
}
