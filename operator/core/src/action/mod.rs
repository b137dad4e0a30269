//! What becomes of a `RemediationAction`: its plan, the decisions on it, and its effects.
//!
//! ```text
//! proposed ─► plan ─► decisions ─► gate seen at work ─► claim ─► effects ─► watched ─► ended
//!              ▲ │                                        │
//!              └─┘ what it rests on changed:              └ nothing is planned anew from here on
//!                  a new plan, approvals are void
//! ```
//!
//! [`decide`] is one ordered chain. Each link either settles how the action stands or hands over to the next. It names
//! one step at most, and that is one write: after it the chain is gone through again from what is there then, so that
//! a crash between any two writes ends in the same state as none.
//!
//! What changes a model is guarded twice. The claim is `Model.status.activeAction`, written with the resourceVersion of
//! the very record that the plan was compared with; it comes before the action's own note of it, and that before any
//! effect. And each effect is decided from a record in which the claim is still this action's own.

mod carry_out;
mod decisions;
pub mod plan;
mod prepare;
mod projection;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use modelward_crds::{
    ActionType, ActiveAction, DriftReport, Model, ModelStatus, ModelVersion, RemediationAction,
    RemediationActionStatus, conditions::types,
};

use crate::{
    attempt::{DatasetSeen, JobSeen, Obstacle, StageJob},
    conditions::{self, Status, Verdict},
    name_hash,
    policy::Policy,
    reasons::{self, action as why},
};

/// A waiting action is looked at again after so many seconds: that the admission policies are at work has to be seen anew.
const LOOK_AGAIN_SECONDS: i64 = 60;

/// What the controller saw around an action.
#[derive(Clone, Debug)]
pub struct World {
    /// The operator's own configuration.
    pub policy: Policy,
    /// The model's record.
    pub model: Option<Model>,
    /// The model's versions.
    pub versions: Vec<ModelVersion>,
    /// All actions of the model, this one too.
    pub actions: Vec<RemediationAction>,
    /// The report whose window would become the reference.
    pub window: Option<DriftReport>,
    /// Reports of the version that was put to work.
    pub reports: Vec<DriftReport>,
    /// The data that a `RetrainModel` reads.
    pub dataset: DatasetSeen,
    /// Whether every change of that data wakes us.
    pub watched: bool,
    /// The Job that reads it.
    pub job: JobSeen,
    /// What kept a Job or a version from being made.
    pub obstacle: Option<Obstacle>,
    /// The admission policies.
    pub gate: GateSeen,
    /// Other models that are being changed by an action now.
    pub in_flight: i32,
    /// A number that was taken for a plan a moment ago.
    pub number: Option<i64>,
    /// Whether people were told a moment ago.
    pub alerted: bool,
}

/// The admission policies, as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateSeen {
    /// Which they are; none where one is missing.
    pub ids: Option<GateIds>,
    /// What came of a forged decision on this very action.
    pub probe: Probe,
}

/// What came of a forged decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// None was tried.
    #[default]
    NotTried,
    /// It was refused by the admission policy that has to.
    Refused,
    /// It was not, or not by that one; in words.
    NotRefused(String),
}

/// Which admission policies are at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateIds {
    /// Each of them with its binding.
    pub policies: Vec<PolicyId>,
    /// Hash of the parameters that hold for the action's namespace.
    pub parameters: String,
}

/// One admission policy and its binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyId {
    /// Name of both.
    pub name: String,
    /// Uid of the policy: one that was deleted and made again is another one.
    pub uid: String,
    /// Its generation: it changes with its content.
    pub generation: i64,
    /// Uid of the binding.
    pub binding_uid: String,
    /// Its generation.
    pub binding_generation: i64,
}

/// What to do about an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: RemediationActionStatus,
    /// The one thing to do, once the status is written where [`Step::is_recorded_first`] says so.
    pub step: Option<Step>,
    /// When to look again though nothing has happened.
    pub again: Option<Timestamp>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Take the next number for a plan from the model's record.
    TakeNumber(Box<ModelStatus>),
    /// Make the Job that reads the data.
    StartSnapshot(StageJob),
    /// Claim the model.
    Claim(Box<ModelStatus>),
    /// Change what the model serves. The text says how, for people.
    Route(Box<ModelStatus>, String),
    /// Make the version that is to be trained.
    CreateVersion(Box<ModelVersion>),
    /// Make the action that puts it to work.
    CreatePromotion(Box<RemediationAction>),
    /// Tell people.
    Alert(String),
    /// Give the model free for others.
    Release(Box<ModelStatus>),
}

/// Decides what becomes of an action. Pure: the same arguments give the same decision.
pub fn decide(action: &RemediationAction, world: &World, now: Timestamp) -> Decision {
    if has_ended(action) {
        return ended(action, world);
    }
    let mut draft = Draft::of(action);
    let standing = match &world.model {
        Some(model) => {
            let case = Case {
                action,
                world,
                model,
                now,
            };
            case.stand(&mut draft)
        }
        None => Standing::waits(
            reasons::WAITING,
            format!("there is no model {}", action.spec.model),
        ),
    };
    draft.close(action, standing, now)
}

/// Whether an action has come to its end.
pub fn has_ended(action: &RemediationAction) -> bool {
    let conditions = action.status.as_ref().map(|status| status.conditions.as_slice());
    conditions::find(conditions.unwrap_or_default(), types::SUCCEEDED)
        .is_some_and(|succeeded| succeeded.status != Status::Unknown.as_str())
}

/// The ended actions of a model beyond those that are kept, oldest first. An open one is never among them, nor one whose
/// claim is still on the model.
pub fn surplus<'a>(
    actions: &'a [RemediationAction],
    model: Option<&Model>,
    kept: i32,
) -> Vec<&'a RemediationAction> {
    let claimed = model.and_then(active).map(|active| active.uid.as_str());
    let parent_of_open = |uid: &str| {
        actions
            .iter()
            .any(|action| !has_ended(action) && parent_uid(action) == Some(uid))
    };
    let mut ended: Vec<&RemediationAction> = actions
        .iter()
        .filter(|action| has_ended(action) && action.metadata.deletion_timestamp.is_none())
        .filter(|action| claimed != Some(uid_of(*action)) && !parent_of_open(uid_of(*action)))
        .collect();
    let created = |action: &&RemediationAction| {
        let created = action.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, uid_of(*action).to_owned())
    };
    ended.sort_by_key(created);
    let surplus = ended.len().saturating_sub(usize::try_from(kept).unwrap_or(0));
    ended.truncate(surplus);
    ended
}

/// Name of the action that promotes this version: whoever proposes it gives it the same name, so that there is one.
pub fn promotion_name(version: &str, uid: &str) -> String {
    format!("promote-{version}-{}", name_hash([uid.as_bytes()]))
}

/// Name of the action that proposes a return to what this version names: its bundle served or was held before.
pub fn rollback_name(version: &str, uid: &str) -> String {
    format!("rollback-{version}-{}", name_hash([uid.as_bytes()]))
}

/// Name of the version that an action trains: a second attempt of the same action finds what the first one made.
pub fn retrained_version_name(model: &str, action_uid: &str) -> String {
    // Names of versions have at most 45 letters.
    let model: String = model.chars().take(36).collect();
    format!(
        "{}-{}",
        model.trim_end_matches('-'),
        name_hash([action_uid.as_bytes()])
    )
}

/// The version as the Job reads it that freezes an action's data: nothing in it depends on when it is read.
pub fn snapshot_version(action: &RemediationAction, target: &ModelVersion) -> Option<ModelVersion> {
    let mut spec = target.spec.clone();
    spec.source.training = Some(plan::source(target, None, None, None)?);
    spec.provenance = None;
    spec.retraining = None;
    let mut version = ModelVersion::new(&retrained_version_name(&action.spec.model, uid_of(action)), spec);
    version.metadata.namespace.clone_from(&action.metadata.namespace);
    Some(version)
}

/// The version that a `RetrainModel` is about: the one that it names, else what serves.
pub fn target<'a>(
    action: &RemediationAction,
    model: &Model,
    versions: &'a [ModelVersion],
) -> Option<&'a ModelVersion> {
    match &action.spec.target {
        Some(reference) => plan::find(versions, reference),
        None => plan::by_uid(versions, &plan::heaviest(model.status.as_ref()?)?.uid),
    }
}

// === small ===

fn uid_of<K: kube::Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

fn name_of<K: kube::Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

fn active(model: &Model) -> Option<&ActiveAction> {
    model.status.as_ref()?.active_action.as_ref()
}

fn parent_uid(action: &RemediationAction) -> Option<&str> {
    action.spec.parent_ref.as_ref().map(|parent| parent.uid.as_str())
}

/// An action that has ended says the same for ever; what is left is its claim.
fn ended(action: &RemediationAction, world: &World) -> Decision {
    let own = |model: &&Model| active(model).is_some_and(|active| active.uid == uid_of(action));
    let release = world.model.as_ref().filter(own).map(|model| {
        let mut status = model.status.clone().unwrap_or_default();
        status.active_action = None;
        Step::Release(Box::new(status))
    });
    Decision {
        status: action.status.clone().unwrap_or_default(),
        step: release,
        again: None,
    }
}

// === a case ===

/// An action with what was seen.
#[derive(Clone, Copy)]
struct Case<'a> {
    action: &'a RemediationAction,
    world: &'a World,
    model: &'a Model,
    now: Timestamp,
}

/// How an action stands: what settles the chain.
struct Standing {
    at: At,
    reason: &'static str,
    message: String,
    step: Option<Box<Step>>,
    again: Option<Timestamp>,
}

enum At {
    /// For somebody or something else.
    Waiting,
    /// Something is being done.
    Working,
    /// It cannot go on by itself.
    Stalled,
    /// It has come to its end, well or not.
    Ended(bool),
}

/// The status as it is being written.
struct Draft {
    status: RemediationActionStatus,
    before: Vec<Condition>,
    approved: Verdict,
    enforced: Verdict,
    executed: Verdict,
    verified: Verdict,
}

// === impl Case ===

impl<'a> Case<'a> {
    fn stand(&self, draft: &mut Draft) -> Standing {
        draft.read_decisions(self);
        let chain = if self.is_claimed(draft) {
            carry_out::chain(self, draft)
        } else {
            prepare::chain(self, draft)
        };
        match chain {
            Ok(standing) | Err(standing) => standing,
        }
    }

    fn uid(&self) -> &'a str {
        uid_of(self.action)
    }

    fn kind(&self) -> ActionType {
        self.action.spec.action
    }

    fn holder(&self) -> Option<&'a ActiveAction> {
        active(self.model)
    }

    /// Whether the model was claimed for this action, now or before.
    fn is_claimed(&self, draft: &Draft) -> bool {
        draft.status.execution.is_some() || self.holder().is_some_and(|holder| holder.uid == self.uid())
    }

    fn record(&self) -> ModelStatus {
        self.model.status.clone().unwrap_or_default()
    }

    /// The action whose approval covers this one.
    fn parent(&self) -> Option<&'a RemediationAction> {
        let uid = parent_uid(self.action)?;
        self.world.actions.iter().find(|other| uid_of(*other) == uid)
    }

    fn after(&self, seconds: i64) -> Option<Timestamp> {
        Timestamp::from_second(self.now.as_second() + seconds).ok()
    }
}

// === impl Standing ===

impl Standing {
    fn new(at: At, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            at,
            reason,
            message: message.into(),
            step: None,
            again: None,
        }
    }

    fn waits(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(At::Waiting, reason, message)
    }

    fn works(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(At::Working, reason, message)
    }

    fn stalls(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(At::Stalled, reason, message)
    }

    fn succeeds(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(At::Ended(true), reason, message)
    }

    fn fails(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(At::Ended(false), reason, message)
    }

    fn with(mut self, step: Step) -> Self {
        self.step = Some(Box::new(step));
        self
    }

    fn again(mut self, again: Option<Timestamp>) -> Self {
        self.again = [self.again, again].into_iter().flatten().min();
        self
    }
}

// === impl Draft ===

impl Draft {
    fn of(action: &RemediationAction) -> Self {
        let status = action.status.clone().unwrap_or_default();
        let (reason, words) = match &status.plan {
            Some(_) => (reasons::WAITING, "it was not gone into"),
            None => (why::PLANNING, "there is no plan yet"),
        };
        Self {
            before: status.conditions.clone(),
            status,
            approved: Verdict::unknown(types::APPROVED, reason, words),
            enforced: Verdict::unknown(types::APPROVAL_ENFORCED, reason, words),
            executed: Verdict::fails(types::EXECUTED, reasons::WAITING, "nothing was done yet"),
            verified: Verdict::unknown(types::VERIFIED, reasons::WAITING, "nothing was done yet"),
        }
    }

    fn read_decisions(&mut self, case: &Case<'_>) {
        let plan = self.status.plan.as_ref();
        self.status.decisions = decisions::read(case.action, plan, &self.status.decisions, case.now);
        self.status.approvals = self.status.plan.as_ref().map(|plan| {
            let approvers = decisions::approvers(&self.status.decisions);
            format!("{}/{}", approvers.len(), plan.approvals_required)
        });
    }

    /// Who approved, in words.
    fn story(&self, case: &Case<'_>) -> String {
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

    fn close(mut self, action: &RemediationAction, standing: Standing, now: Timestamp) -> Decision {
        let Standing {
            at,
            reason,
            message,
            step,
            again,
        } = standing;
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
            verdict(types::SUCCEEDED, succeeded, &message),
            verdict(types::RECONCILING, whether(working), of(working)),
            verdict(types::STALLED, whether(stalled), of(stalled)),
        ];
        if let (At::Ended(_), Some(execution)) = (&at, &mut self.status.execution) {
            execution.ended_at = Some(Time(conditions::whole_seconds(now)));
        }
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

// === impl Step ===

impl Step {
    /// Whether the status that goes with the step is written before it. A number is taken first: until there is a plan,
    /// there is nothing to note. A Job is made first: an attempt that is noted and whose Job is not there is a lost one.
    pub fn is_recorded_first(&self) -> bool {
        !matches!(self, Self::TakeNumber(_) | Self::StartSnapshot(_))
    }
}

#[cfg(test)]
mod tests;
