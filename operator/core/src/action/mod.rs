//! What becomes of a `RemediationAction`: its plan, the decisions on it, and its effects.
//!
//! ```text
//! proposed ─► plan ─► decisions ─► gate seen at work ─► claim ─► effects ─► watched ─► ended
//!              ▲ │                                        │
//!              └─┘ what it rests on changed:              └ the plan stays as it is from here on
//!                  a new plan, approvals are void
//! ```
//!
//! [`decide`] is one ordered chain. Each link either settles how the action stands or hands over to the next. It names
//! one step at most, and that is one write: after it the chain is gone through again from what is there then, so that
//! a crash between any two writes ends in the same state as none. [`round`] is the loop around it.
//!
//! What keeps a step from being taken is in the status (`status.obstacle`), and so in what is decided from: two rounds over
//! the same world write the same, which is nothing.
//!
//! Every action ends by itself: without a plan after `planningSeconds`, without enough approvals when its plan expires, and
//! with a claim after `claimSeconds` unless what was planned serves by then.
//!
//! What changes a model is guarded twice. The claim is `Model.status.activeAction`, written with the resourceVersion of
//! the very record that the plan was compared with; it comes before the action's own note of it, and that before any
//! effect. And each effect is decided from a record in which the claim is still this action's own.

mod canonical;
mod carry_out;
mod content;
mod decisions;
mod differences;
pub mod plan;
mod prepare;
mod records;
pub mod round;
mod training_spec;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource as _, ResourceExt as _};
use modelward_crds::{
    ActionType, ActiveAction, BlockedStep, ConditionType, DriftReport, Model, ModelStatus, ModelVersion,
    ObstacleReason, RemediationAction, RemediationActionStatus, StepObstacle, annotations,
};

pub use records::surplus;

use crate::{
    attempt::{DatasetSeen, JobSeen, StageJob},
    conditions::{self, Status, Verdict},
    name_hash,
    policy::Policy,
    reason::Reason,
};

/// A waiting action is looked at again after so many seconds, to see whether the admission policies are still at work.
const LOOK_AGAIN_SECONDS: i64 = 60;
/// A step that failed is tried again after as many seconds as it has failed for, within these bounds.
const RETRY_SECONDS: (i64, i64) = (15, 300);
/// A step that has failed for so many seconds is given up where the action holds a claim or nothing else can end it.
const OBSTACLE_SECONDS: i64 = 1800;
/// Letters of an answer of the API server that are kept.
const ANSWER: usize = 512;

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
    /// The step that failed in this round.
    pub obstacle: Option<Obstacle>,
    /// The admission policies.
    pub gate: GateSeen,
    /// Models that other actions are changing now, where [`counts_others`] asks for them.
    pub in_flight: Option<InFlight>,
    /// Models that drift at present, as they count for the namespace, where [`asks_for_drift`] asks for them.
    pub drifting: Option<usize>,
    /// The user name of the operator.
    pub operator: String,
    /// A number that was taken for a plan a moment ago.
    pub number: Option<i64>,
    /// Whether the alert was delivered a moment ago.
    pub delivered: bool,
}

/// Why a step could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The step.
    pub step: BlockedStep,
    /// The kind of obstacle.
    pub reason: ObstacleReason,
    /// The object that the step is about: `ModelVersion heart-1a2b3c4d`.
    pub object: String,
    /// What the API server answered.
    pub message: String,
}

/// Models that other actions are changing now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// In the action's namespace.
    pub namespace: usize,
    /// In all namespaces; each counts for its own bound at most.
    pub cluster: usize,
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
    /// It was not: that policy is not at work, in words.
    NotRefused(String),
    /// Something else refused it first.
    Hindered(Hindered),
}

/// Why the admission policies could not be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hindered {
    /// Which policy, what refused the trial, and how to put it right: the same as long as the obstacle is.
    pub what: String,
    /// What the API server answered. It may differ from try to try.
    pub message: String,
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
    /// Send the alert.
    Alert(String),
    /// Release the claim on the model.
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
        None => Standing::stalls(
            Reason::ModelNotFound,
            format!(
                "there is no Model {} in this namespace; kubectl get models lists those there are",
                action.spec.model
            ),
        ),
    };
    let standing = planned_in_time(action, world, &draft, standing, now);
    draft.close(action, standing, now)
}

/// An action without a plan cannot be decided on by people, so it ends by itself.
fn planned_in_time(
    action: &RemediationAction,
    world: &World,
    draft: &Draft,
    standing: Standing,
    now: Timestamp,
) -> Standing {
    let created = action.metadata.creation_timestamp.as_ref();
    let idle = match standing.at {
        At::Waiting | At::Stalled => true,
        At::Working => standing.step.is_none(),
        At::Ended(_) => false,
    };
    let (Some(created), None, true) = (created, &draft.status.plan, idle) else {
        return standing;
    };
    let seconds = world.policy.planning_seconds.max(60);
    let end = created.0.as_second().saturating_add(seconds);
    if now.as_second() < end {
        return standing.again(Timestamp::from_second(end).ok());
    }
    Standing::fails(
        Reason::Expired,
        format!("there was no plan within {seconds} s: {}", standing.message),
    )
}

/// Whether other actions have to be counted before this one may claim its model: enough people approved, and it is subject to
/// the bounds.
pub fn counts_others(action: &RemediationAction, now: Timestamp) -> bool {
    let status = action.status.clone().unwrap_or_default();
    let bounded = matches!(
        action.spec.action,
        ActionType::RetrainModel | ActionType::PromoteModel
    ) && parent_uid(action).is_none();
    let Some(plan) = status.plan.as_ref().filter(|_| bounded && !has_ended(action)) else {
        return false;
    };
    let decisions = decisions::read(action, Some(plan), &status.decisions, now);
    let approvers = decisions::approvers(&decisions).len();
    status.execution.is_none() && approvers >= usize::try_from(plan.approvals_required).unwrap_or(0)
}

/// Whether the models that drift have to be counted: a retraining because of drift does not go on in a storm.
pub fn asks_for_drift(action: &RemediationAction) -> bool {
    let begun = action
        .status
        .as_ref()
        .is_some_and(|status| status.execution.is_some());
    let spec = &action.spec;
    let rests_on_drift = spec.accept_window.is_some()
        || spec
            .evidence
            .iter()
            .any(|evidence| evidence.kind == modelward_crds::EvidenceKind::DriftReport);
    spec.action == ActionType::RetrainModel && rests_on_drift && !begun && !has_ended(action)
}

/// Models that actions are changing now, beside the one of this action.
///
/// A rollback waits for no other model and no other model waits for it. A paused model does nothing, so it takes no place.
/// A claim that is far past its deadline is one of an action that cannot be read; others do not wait for it.
pub fn in_flight<'a>(
    models: impl IntoIterator<Item = &'a Model>,
    action: &RemediationAction,
    policy: &Policy,
    now: Timestamp,
) -> InFlight {
    let own = (
        action.metadata.namespace.as_deref().unwrap_or_default(),
        action.spec.model.as_str(),
    );
    let most = usize::try_from(policy.in_flight_per_namespace)
        .unwrap_or(0)
        .max(1);
    let longest = policy
        .claim_seconds
        .max(0)
        .saturating_mul(2)
        .saturating_add(policy.verification_seconds.max(0));
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for model in models {
        let namespace = model.metadata.namespace.as_deref().unwrap_or_default();
        let Some(claim) = active(model).filter(|_| (namespace, name_of(model)) != own) else {
            continue;
        };
        let age = now.as_second() - claim.claimed_at.0.as_second();
        if claim.action != ActionType::RollbackModel && !model.spec.paused && age <= longest {
            *counts.entry(namespace).or_default() += 1;
        }
    }
    InFlight {
        namespace: counts.get(own.0).copied().unwrap_or(0),
        cluster: counts.values().map(|count| (*count).min(most)).sum(),
    }
}

/// Whether an action has come to its end.
pub fn has_ended(action: &RemediationAction) -> bool {
    let conditions = action.status.as_ref().map(|status| status.conditions.as_slice());
    conditions::find(conditions.unwrap_or_default(), ConditionType::Succeeded)
        .is_some_and(|succeeded| conditions::status(succeeded) != Status::Unknown)
}

/// Whether an action belongs to a Model that was deleted, where `uid` is the Model of that name now. Garbage collection deletes
/// such an action, so it decides nothing any more, and its name becomes free.
pub fn is_of_deleted_model(action: &RemediationAction, uid: Option<&str>) -> bool {
    let mut owners = action.owner_references().iter();
    owners.any(|owner| {
        owner.kind == Model::kind(&())
            && owner.api_version == Model::api_version(&())
            && owner.name == action.spec.model
            && Some(owner.uid.as_str()) != uid
    })
}

/// Whether an action waits for another object before it has a plan, such as for a dataset. It may end without one, so nothing
/// waits for it.
pub fn is_waiting_for_a_plan(action: &RemediationAction) -> bool {
    let Some(status) = &action.status else {
        return false;
    };
    let reconciling = conditions::find(&status.conditions, ConditionType::Reconciling);
    status.plan.is_none()
        && status.execution.is_none()
        && reconciling.is_some_and(|reconciling| conditions::status(reconciling) == Status::False)
}

/// Name of the action that promotes this version. It is fixed by the version, so that there is one.
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

/// The version as the Job that freezes an action's data reads it. Nothing in it depends on when it is read.
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

/// The status of an action that has ended does not change; what is left is its claim.
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
    reason: Reason,
    message: String,
    step: Option<Box<Step>>,
    again: Option<Timestamp>,
}

enum At {
    /// For a person or for another object.
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
    blocked_before: Option<StepObstacle>,
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
        draft.status.execution.is_some() || self.is_claimed_now()
    }

    /// Whether the claim is this action's at present.
    fn is_claimed_now(&self) -> bool {
        self.holder().is_some_and(|holder| holder.uid == self.uid())
    }

    /// When a claim of that time ends where what was planned does not serve by then.
    fn deadline(&self, claimed_at: &Time) -> Timestamp {
        let seconds = self.world.policy.claim_seconds.max(60);
        Timestamp::from_second(claimed_at.0.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
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
    fn new(at: At, reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            at,
            reason: reason.into(),
            message: message.into(),
            step: None,
            again: None,
        }
    }

    fn waits(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Waiting, reason, message)
    }

    fn works(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Working, reason, message)
    }

    fn stalls(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Stalled, reason, message)
    }

    fn succeeds(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self::new(At::Ended(true), reason, message)
    }

    fn fails(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
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
        let mut status = action.status.clone().unwrap_or_default();
        let (reason, words) = match &status.plan {
            Some(_) => (Reason::Waiting, "not evaluated yet"),
            None => (Reason::Planning, "there is no plan yet"),
        };
        Self {
            before: status.conditions.clone(),
            blocked_before: status.obstacle.take(),
            status,
            approved: Verdict::unknown(ConditionType::Approved, reason, words),
            enforced: Verdict::unknown(ConditionType::ApprovalEnforced, reason, words),
            executed: Verdict::fails(
                ConditionType::Executed,
                Reason::Waiting,
                "nothing has been done yet",
            ),
            verified: Verdict::unknown(
                ConditionType::Verified,
                Reason::Waiting,
                "nothing has been done yet",
            ),
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

    /// The standing of a step that can fail. A step that failed before is tried again, once a round; as long as it fails the
    /// status says so and stays the same.
    fn attempt(&mut self, case: &Case<'_>, kind: BlockedStep, standing: Standing) -> Standing {
        let known = self.blocked_before.take().filter(|known| known.step == kind);
        let found = case.world.obstacle.as_ref().filter(|found| found.step == kind);
        let obstacle = match (found, known) {
            (None, None) => return standing,
            (None, Some(known)) => known,
            (Some(found), known) => remember(found, known, case.now),
        };
        let mut blocked = self.blocked(case, obstacle, found.is_some());
        if found.is_none() {
            blocked.step = standing.step;
        }
        blocked
    }

    /// The standing of an action that something seen is in the way of.
    fn block(&mut self, case: &Case<'_>, found: &Obstacle) -> Standing {
        let known = self
            .blocked_before
            .take()
            .filter(|known| known.step == found.step);
        let obstacle = remember(found, known, case.now);
        self.blocked(case, obstacle, true)
    }

    /// The standing of an action with an obstacle, which the status remembers. It is given up only where the obstacle was met
    /// just now.
    fn blocked(&mut self, case: &Case<'_>, obstacle: StepObstacle, met: bool) -> Standing {
        let failing = case.now.as_second() - obstacle.since.0.as_second();
        let (reason, words) = obstacle_words(&obstacle);
        let gives_up = met && failing >= OBSTACLE_SECONDS && obstacle.step != BlockedStep::StartSnapshot;
        self.status.obstacle = Some(obstacle);
        if gives_up {
            return Standing::fails(reason, format!("given up after {OBSTACLE_SECONDS} s: {words}"));
        }
        let (least, most) = RETRY_SECONDS;
        Standing::stalls(reason, words).again(case.after(failing.clamp(least, most)))
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
            verdict(ConditionType::Succeeded, succeeded, &message),
            verdict(ConditionType::Reconciling, whether(working), of(working)),
            verdict(ConditionType::Stalled, whether(stalled), of(stalled)),
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

/// What is remembered of an obstacle. The same one keeps its text: numbers in answers of the API server, such as the use of a
/// quota, differ from try to try.
fn remember(found: &Obstacle, known: Option<StepObstacle>, now: Timestamp) -> StepObstacle {
    let same = |known: &StepObstacle| {
        known.reason == found.reason
            && known.object == found.object
            && without_numbers(&known.message) == without_numbers(&cut(&found.message, ANSWER))
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
        message: cut(&found.message, ANSWER),
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

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Whether the operator made this object, by the name that the API server recorded.
fn is_by_operator<K: kube::Resource>(object: &K, annotation: &str, world: &World) -> bool {
    let annotations = object.meta().annotations.as_ref();
    let maker = annotations.and_then(|all| all.get(annotation));
    !world.operator.is_empty() && maker == Some(&world.operator)
}

/// Whether this is an action that the operator proposed: only then its `parentRef` means anything.
fn is_covered_by(action: &RemediationAction, parent: &str, world: &World) -> bool {
    parent_uid(action) == Some(parent) && is_by_operator(action, annotations::PROPOSED_BY, world)
}

// === impl Hindered ===

impl Hindered {
    /// All of it.
    pub fn words(&self) -> String {
        format!("{}{}", self.head(), self.message)
    }

    /// What stays the same as long as the obstacle does.
    fn head(&self) -> String {
        format!("{}. Kubernetes: ", self.what)
    }
}

// === impl Step ===

impl Step {
    /// Whether the status that goes with the step is written before it. A number is taken first: until there is a plan,
    /// there is nothing to record. A Job is made first: an attempt that is recorded and has no Job is a lost one.
    pub fn is_recorded_first(&self) -> bool {
        !matches!(self, Self::TakeNumber(_) | Self::StartSnapshot(_))
    }
}

#[cfg(test)]
mod tests;
