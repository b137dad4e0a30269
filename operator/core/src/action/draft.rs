//! The outcome of an action, and the draft of its status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use modelward_crds::{
    BlockedStep, ConditionType, ModelStatus, ModelVersion, ObstacleReason, RemediationAction,
    RemediationActionStatus, StepObstacle,
};
use modelward_wire::shorten;

use crate::{
    action::{case::Case, decisions, world::Obstacle},
    attempt::StageJob,
    conditions::{self, Status, Verdict},
    objects::name_of,
    reason::Reason,
};

/// A failed step is retried after as many seconds as it has been failing, within these bounds.
const RETRY_SECONDS: (i64, i64) = (15, 300);

/// A step that has failed for this many seconds is aborted if the action holds a claim or nothing else can end it.
const OBSTACLE_SECONDS: i64 = 1800;

/// Messages of the API server are truncated to this many characters.
const ANSWER: usize = 512;

/// What to do about an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: RemediationActionStatus,
    /// The step to take, after the status is written if [`Step::is_recorded_first`] says so.
    pub step: Option<Step>,
    /// When to reconcile again without an event.
    pub again: Option<Timestamp>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Take the next plan number from the model's record.
    TakeNumber(Box<ModelStatus>),
    /// Create the Job that reads the data.
    StartSnapshot(StageJob),
    /// Claim the model.
    Claim(Box<ModelStatus>),
    /// Change the routes of the model. The text describes the change for users.
    Route(Box<ModelStatus>, String),
    /// Create the version to train.
    CreateVersion(Box<ModelVersion>),
    /// Create the action that promotes it.
    CreatePromotion(Box<RemediationAction>),
    /// Send the alert.
    Alert(String),
    /// Release the claim on the model.
    Release(Box<ModelStatus>),
}

/// The outcome of the chain for an action.
pub(super) struct Outcome {
    pub(super) at: At,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) step: Option<Box<Step>>,
    pub(super) again: Option<Timestamp>,
}

pub(super) enum At {
    /// It waits for a user or for another object.
    Waiting,
    /// It is working.
    Working,
    /// It needs intervention.
    Stalled,
    /// It has ended, with success or not.
    Ended(bool),
}

/// The draft of the status.
pub(super) struct Draft {
    pub(super) status: RemediationActionStatus,
    pub(super) before: Vec<Condition>,
    pub(super) blocked_before: Option<StepObstacle>,
    pub(super) approved: Verdict,
    pub(super) enforced: Verdict,
    pub(super) executed: Verdict,
    pub(super) verified: Verdict,
}

// === impl Step ===

impl Step {
    /// Whether the status is written before the step. A plan number is taken first: without a plan there is nothing to record. A
    /// Job is created first: a recorded attempt without a Job would count as lost.
    pub fn is_recorded_first(&self) -> bool {
        !matches!(self, Self::TakeNumber(_) | Self::StartSnapshot(_))
    }
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn new(at: At, reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
            message: message.into(),
            step: None,
            again: None,
        }
    }

    pub(super) fn waits(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Waiting, reason, message)
    }

    pub(super) fn works(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Working, reason, message)
    }

    pub(super) fn stalls(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Stalled, reason, message)
    }

    pub(super) fn succeeds(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Ended(true), reason, message)
    }

    pub(super) fn fails(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Ended(false), reason, message)
    }

    pub(super) fn with(mut self, step: Step) -> Self {
        self.step = Some(Box::new(step));
        self
    }

    pub(super) fn again(mut self, again: Option<Timestamp>) -> Self {
        self.again = [self.again, again].into_iter().flatten().min();
        self
    }
}

// === impl Draft ===

impl Draft {
    pub(super) fn of(action: &RemediationAction) -> Self {
        let mut status = action.status.clone().unwrap_or_default();
        let (reason, words) = match &status.plan {
            Some(_) => (Reason::Waiting, "not evaluated yet"),
            None => (Reason::Planning, "there is no plan yet"),
        };
        let executed = already_executed(&status.conditions).unwrap_or_else(|| {
            Verdict::fails(
                ConditionType::Executed,
                Reason::Waiting,
                "nothing has been done yet",
            )
        });
        Self {
            before: status.conditions.clone(),
            blocked_before: status.obstacle.take(),
            status,
            approved: Verdict::unknown(ConditionType::Approved, reason, words),
            enforced: Verdict::unknown(ConditionType::ApprovalEnforced, reason, words),
            executed,
            verified: Verdict::unknown(
                ConditionType::Verified,
                Reason::Waiting,
                "nothing has been done yet",
            ),
        }
    }

    pub(super) fn read_decisions(&mut self, case: &Case<'_>) {
        let plan = self.status.plan.as_ref();
        self.status.decisions = decisions::read(case.action, plan, &self.status.decisions, case.now);
        self.status.approvals = self.status.plan.as_ref().map(|plan| {
            let approvers = decisions::approvers(&self.status.decisions);
            format!("{}/{}", approvers.len(), plan.approvals_required)
        });
    }

    /// The outcome of a step that can fail. A step that failed before is retried once a round; while it fails, the status says so
    /// and does not change.
    pub(super) fn attempt(&mut self, case: &Case<'_>, kind: BlockedStep, outcome: Outcome) -> Outcome {
        let known = self.blocked_before.take().filter(|known| known.step == kind);
        let found = case.world.obstacle.as_ref().filter(|found| found.step == kind);
        let obstacle = match (found, known) {
            (None, None) => return outcome,
            (None, Some(known)) => known,
            (Some(found), known) => remember(found, known, case.now),
        };
        let mut blocked = self.blocked(case, obstacle, found.is_some());
        if found.is_none() {
            blocked.step = outcome.step;
        }
        blocked
    }

    /// The outcome of an action that an observed obstacle blocks.
    pub(super) fn block(&mut self, case: &Case<'_>, found: &Obstacle) -> Outcome {
        let known = self
            .blocked_before
            .take()
            .filter(|known| known.step == found.step);
        let obstacle = remember(found, known, case.now);
        self.blocked(case, obstacle, true)
    }

    /// The outcome of an action with an obstacle, which is recorded in the status. It is aborted only if the obstacle occurred just
    /// now.
    pub(super) fn blocked(&mut self, case: &Case<'_>, obstacle: StepObstacle, met: bool) -> Outcome {
        let failing = case.now.as_second() - obstacle.since.0.as_second();
        let (reason, words) = obstacle_words(&obstacle);
        let gives_up = met && failing >= OBSTACLE_SECONDS && obstacle.step != BlockedStep::StartSnapshot;
        self.status.obstacle = Some(obstacle);
        if gives_up {
            return Outcome::fails(reason, format!("given up after {OBSTACLE_SECONDS} s: {words}"));
        }
        let (least, most) = RETRY_SECONDS;
        Outcome::stalls(reason, words).again(case.after(failing.clamp(least, most)))
    }

    /// The users who approved, as text.
    pub(super) fn approval_summary(&self, case: &Case<'_>) -> String {
        let approvers = decisions::approvers(&self.status.decisions);
        if !approvers.is_empty() {
            return format!("approved by {}", approvers.join(" and "));
        }
        let Some(parent) = case.parent() else {
            return "no approval was needed".to_owned();
        };
        let decided = parent.status.as_ref().map(|status| status.decisions.as_slice());
        let approvers = decisions::approvers(decided.unwrap_or_default());
        if approvers.is_empty() {
            return format!("covered by {}", name_of(parent));
        }
        format!(
            "covered by {}, approved by {}",
            name_of(parent),
            approvers.join(" and ")
        )
    }

    /// Sets the conditions that this round did not evaluate: to their final state, or until there is more to report.
    fn describe_unevaluated(&mut self, at: &At, reason: Reason, message: &str) {
        let has_ended = matches!(at, At::Ended(_));
        if has_ended && self.status.plan.is_none() {
            for verdict in [&mut self.approved, &mut self.enforced] {
                let words = format!("it ended without a plan: {message}");
                *verdict = Verdict::unknown(verdict.kind, reason, words);
            }
        }
        if has_ended && self.executed.reason == Reason::Waiting {
            let words = format!("nothing was done: {message}");
            self.executed = Verdict::fails(ConditionType::Executed, reason, words);
        }
        if self.verified.reason != Reason::Waiting {
            return;
        }
        let verified =
            |reason, words: &str| Verdict::unknown(ConditionType::Verified, reason, words.to_owned());
        if has_ended {
            self.verified = verified(reason, &format!("it was not verified: {message}"));
        } else if self.executed.status == Status::True {
            self.verified = verified(Reason::Waiting, "the new version does not serve yet");
        }
    }

    pub(super) fn close(mut self, action: &RemediationAction, outcome: Outcome, now: Timestamp) -> Decision {
        let Outcome {
            at,
            reason,
            message,
            step,
            again,
        } = outcome;
        let succeeded = match at {
            At::Ended(true) => Status::True,
            At::Ended(false) => Status::False,
            At::Waiting | At::Working | At::Stalled => Status::Unknown,
        };
        let whether = |holds| if holds { Status::True } else { Status::False };
        let verdict = |kind, status, message: &str| Verdict {
            kind,
            status,
            reason,
            message: message.to_owned(),
        };
        let (working, stalled) = (matches!(at, At::Working), matches!(at, At::Stalled));
        let of = |holds: bool| if holds { message.as_str() } else { "" };
        let last = [
            verdict(ConditionType::Succeeded, succeeded, &message),
            verdict(ConditionType::Reconciling, whether(working), of(working)),
            verdict(ConditionType::Stalled, whether(stalled), of(stalled)),
        ];
        if let (At::Ended(_), Some(execution)) = (&at, &mut self.status.execution) {
            execution.ended_at = Some(Time(conditions::whole_seconds(now)));
        }
        self.describe_unevaluated(&at, reason, &message);
        let verdicts: Vec<Verdict> = [self.approved, self.enforced, self.executed, self.verified]
            .into_iter()
            .chain(last)
            .collect();
        let generation = action.metadata.generation;
        self.status.observed_generation = generation;
        self.status.conditions = conditions::merge(&self.before, &verdicts, generation, now);
        Decision {
            status: self.status,
            step: step.map(|step| *step),
            again,
        }
    }
}

/// What was executed stays so, whatever comes after it.
fn already_executed(before: &[Condition]) -> Option<Verdict> {
    let executed = conditions::find(before, ConditionType::Executed)?;
    (conditions::status(executed) == Status::True).then(|| {
        let reason = conditions::reason(executed).unwrap_or(Reason::Executed);
        Verdict::holds(ConditionType::Executed, reason, executed.message.clone())
    })
}

/// The record of an obstacle. The same obstacle keeps its text, because numbers in messages of the API server, such as the usage of
/// a quota, differ between attempts.
fn remember(found: &Obstacle, known: Option<StepObstacle>, now: Timestamp) -> StepObstacle {
    let same = |known: &StepObstacle| {
        known.reason == found.reason
            && known.object == found.object
            && without_numbers(&known.message) == without_numbers(&shorten(&found.message, ANSWER))
    };
    let since = match known {
        Some(known) if same(&known) => return known,
        Some(known) => known.since,
        None => Time(conditions::whole_seconds(now)),
    };
    StepObstacle {
        step: found.step,
        reason: found.reason,
        object: found.object.clone(),
        message: shorten(&found.message, ANSWER),
        since,
    }
}

fn obstacle_words(obstacle: &StepObstacle) -> (Reason, String) {
    let StepObstacle {
        step,
        reason,
        object,
        message,
        ..
    } = obstacle;
    match (step, reason) {
        (BlockedStep::SendAlert, _) => (
            Reason::NotDelivered,
            format!("the alert was not delivered: the API server did not accept {object}: {message}"),
        ),
        (_, ObstacleReason::NameTaken) => (
            Reason::NameTaken,
            format!("{object} exists and was not made by this action: delete it"),
        ),
        (_, ObstacleReason::Refused) => (
            Reason::ChildRefused,
            format!("the API server refused {object}: {message}"),
        ),
    }
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Whether this is what was recorded of the effects.
pub(super) fn executed_says(draft: &Draft, reason: Reason) -> bool {
    conditions::find(&draft.before, ConditionType::Executed)
        .is_some_and(|executed| conditions::reason(executed) == Some(reason))
}
