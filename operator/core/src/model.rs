//! What a model serves: which version answers, what is proposed to replace it, and how its rollout stands.
//!
//! The first version of a model that passes its gates serves, unless the operator's configuration asks for an approval: there
//! is nothing that it could replace. It is the oldest that passed; one that is older and still being trained is waited for,
//! so that which one is the first does not depend on which one is trained faster. From then on what serves is changed by a
//! `RemediationAction` alone, also after every version was deleted, and the record says so before it is so:
//!
//! ```text
//! never routed?  ── a version passed ──► it serves
//! routed before? ── a newer one passed ──► PromoteModel is proposed (RollbackModel where its bundle served before)
//!                                               └── carried out ──► the action writes the routes, and they are rolled out
//! ```
//!
//! The newest version that passed its gates is the candidate, by creation and then by name: two versions made in the
//! same second have one order, always the same. An older one never replaces a newer one by itself, not even where the
//! newer one was deleted: returning is a rollback, and that is a decision.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, ChildReference, ConditionType, Model, ModelStatus, ModelVersion, Proposal, RemediationAction,
    Role, RolloutStatus, RouteStatus, RoutedVersion, ServedRecord, ServingSpec,
};
use modelward_wire::{Decimal, Digest};

use crate::{
    action::kinds::facts,
    children::in_words,
    conditions::{self, Status, Verdict},
    names::{promotion_name, rollback_name},
    objects::has_ended,
    order::Place,
    reason::{Reason, StuckReason, WorkingReason},
    record::{
        holds::hold,
        proposals::remember,
        rollout::{already_answers, is_record_of, stuck_reason},
    },
    routes::{RoutesFile, routes_file},
    upgrade::Turn,
    version::{ServingSeen, Settling},
};

/// Entries of the history that are kept.
const HISTORY: usize = 32;
/// `progressDeadlineSeconds` of a model's Deployment.
pub const PROGRESS_DEADLINE_SECONDS: i32 = 300;
/// A Service that gave no right answer for so long does not get better by itself.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(300);

/// What the controller saw around a model.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its versions, in no order.
    pub versions: Vec<VersionSeen>,
    /// The actions that are about it, in no order.
    pub actions: Vec<ActionSeen>,
    /// The Deployment, where it is there and ours.
    pub deployment: Option<DeploymentSeen>,
    /// Pods that do not serve, in words.
    pub refusals: Vec<Refusal>,
    /// A child of a needed name that is not ours: `Service heart`.
    pub taken: Option<String>,
    /// A child that the API server refused, in words.
    pub refused: Option<String>,
    /// A failure that kept a child from being written, in words; it is tried again.
    pub failed: Option<String>,
    /// Why the API server refused the action that was proposed, in words.
    pub unproposed: Option<String>,
    /// What was made; none where nothing has been written or compared yet.
    pub made: Option<Made>,
    /// What answered through the Service.
    pub answer: Answer,
    /// Whether also the first version of a model serves only by an approved action.
    pub approve_first: bool,
}

/// What is there after the children were compared and written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The children.
    pub children: Vec<ChildReference>,
    /// The Pod template.
    pub rollout: Option<RolloutStatus>,
    /// Name of the Secret with the model's keys.
    pub key_secret: Option<String>,
    /// Children that stay other than they should be.
    pub altered: Vec<Altered>,
    /// Objects of others that act on the model's Pods as well, in order of their names.
    pub rivals: Vec<Rival>,
    /// Whether the model waits for its turn to take a new Pod template.
    pub turn: Turn,
}

impl Made {
    /// Notes objects of others that act on the model's Pods. What a second autoscaler makes of the number of Pods is its doing
    /// and no other writer's.
    pub fn set_rivals(&mut self, rivals: Vec<Rival>) {
        if rivals.iter().any(|rival| matches!(rival, Rival::Autoscaler(_))) {
            self.altered
                .retain(|altered| altered.by_admission || altered.fields != ["/spec/replicas"]);
        }
        self.rivals = rivals;
    }
}

/// An object of another owner that acts on the model's Pods as one of the operator's own does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rival {
    /// An autoscaler of this name scales the model's Deployment.
    Autoscaler(String),
    /// A disruption budget of this name selects the model's Pods.
    Budget(String),
}

/// A child that stays other than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// Kind and name.
    pub child: String,
    /// JSON pointers of the fields.
    pub fields: Vec<String>,
    /// Whether the API server's answer to the operator's own write has them: a webhook or a policy changes it. Otherwise
    /// another writer does, each time after the child was put back.
    pub by_admission: bool,
}

/// What answered when the model's Service was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked yet.
    #[default]
    NotAsked,
    /// A server whose routes file has this digest.
    Routes(Digest),
    /// Something that is no server with routes, or is not ready; in words.
    Other(String),
    /// The connection was refused: there is no Pod behind the Service, or none that listens.
    Refused(String),
    /// The operator cannot reach the Service; in words.
    Unreachable(String),
}

/// One version of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionSeen {
    /// Name of the `ModelVersion`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Bundle and threshold, once every gate passed.
    pub passed: Option<(Digest, Decimal)>,
    /// How it wants to be served.
    pub serving: ServingSpec,
    /// Length of a window of its traffic, in seconds.
    pub window_seconds: i32,
    /// Uid of the action that made it.
    pub made_by: Option<String>,
    /// What it did for the model, by its own status.
    pub role: Option<Role>,
    /// Whether it is being trained: it has not passed, and nothing but time is needed until it has, or has failed.
    pub pending: bool,
}

impl VersionSeen {
    /// Its place in the order of the model's versions.
    fn place(&self) -> Place {
        Place::new(self.created, &self.name, &self.uid)
    }

    /// What the record remembers of it once it is routed.
    fn routed(&self) -> RoutedVersion {
        RoutedVersion {
            created_at: Time(self.created),
            name: self.name.clone(),
            uid: self.uid.clone(),
        }
    }
}

/// One action that is about the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionSeen {
    /// Name of the `RemediationAction`.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it has not ended.
    pub open: bool,
    /// Uid, or else name, of the version that it would promote.
    pub candidate: Option<String>,
}

/// How the Deployment stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentSeen {
    /// The routes `ConfigMap` that its Pod template names.
    pub routes: Option<String>,
    /// Whether its status describes its present spec.
    pub observed: bool,
    /// Pods that should be there.
    pub wanted: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Pods that are ready for long enough.
    pub available: i32,
    /// Pods of any template.
    pub total: i32,
    /// When its status began to say that the progress deadline passed.
    pub deadline_exceeded: Option<Timestamp>,
    /// Why Pods cannot be made, in Kubernetes' words: a quota, a missing service account.
    pub failure: Option<String>,
}

/// A Pod that does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The routes `ConfigMap` that the Pod names.
    pub routes: String,
    /// Its own words.
    pub message: String,
    /// Whether it refused a bundle, so that starting again cannot help.
    pub verification: bool,
}

/// What to do about a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: ModelStatus,
    /// What should be there to serve; none where nothing serves.
    pub serve: Option<Serve>,
    /// The action to make, if it is not there.
    pub propose: Option<Proposed>,
    /// When to look again though nothing has happened.
    pub again: Option<Timestamp>,
    /// Whether the record may go: no version is left, and it says nothing that has to be kept.
    pub is_empty: bool,
}

/// What should be there to serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The routes and their name.
    pub routes: RoutesFile,
    /// How the version with most weight wants to be served: it shapes the Deployment.
    pub serving: ServingSpec,
}

/// An action that is proposed: another version passed its gates, and something served before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Name of the `RemediationAction`, fixed by the version's uid.
    pub name: String,
    /// `PromoteModel`, or `RollbackModel` where the version's bundle served before.
    pub action: ActionType,
    /// Name of the version that would serve.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Why, in words.
    pub message: String,
}

/// Decides what a model serves. Pure: the same arguments give the same decision.
pub fn decide(model: &Model, world: &World, now: Timestamp) -> Decision {
    let name = model.metadata.name.as_deref().unwrap_or_default();
    let mut status = model.status.clone().unwrap_or_default();
    let generation = model.metadata.generation;

    let gone =
        |claim: &modelward_crds::ActiveAction| !world.actions.iter().any(|action| action.uid == claim.uid);
    // A claim dies with its action. One whose action has ended is released by that action.
    status.active_action = status.active_action.take().filter(|claim| !gone(claim));
    if is_new(&status) {
        status.newest_routed = remembered(&world.versions);
    }
    let first = first(&status, world);
    status.routes = match &first {
        First::Serves(first) if !model.spec.paused => {
            status.newest_routed = Some(first.routed());
            route_to(first).into_iter().collect()
        }
        _ => kept(&status, &world.versions),
    };
    let propose = propose(model, &mut status, world, now);
    if let Some(made) = &world.made {
        status.children.clone_from(&made.children);
        status.rollout.clone_from(&made.rollout);
        if made.key_secret.is_some() {
            status.key_secret.clone_from(&made.key_secret);
        }
    }

    let serve = status
        .routes
        .iter()
        .max_by_key(|route| route.weight)
        .and_then(|heaviest| {
            let version = world
                .versions
                .iter()
                .find(|version| version.uid == heaviest.uid)?;
            let window = u32::try_from(version.window_seconds).unwrap_or(3600);
            Some(Serve {
                routes: routes_file(name, &status.routes, window)?,
                serving: version.serving.clone(),
            })
        });

    let rollout = match &serve {
        None => Rollout::Nothing(match (first, &status.newest_routed) {
            (First::Serves(first), _) => Nothing::Paused(first.name.clone()),
            (First::Waits(passed, older), _) => Nothing::Waits(passed.name.clone(), older.name.clone()),
            (First::None, Some(_)) => {
                Nothing::Deleted(candidate(model, &status, world).map(|next| next.name.clone()))
            }
            (First::None, None) => match candidate(model, &status, world) {
                Some(next) => Nothing::AwaitsApproval(next.name.clone()),
                None => Nothing::NotYet,
            },
        }),
        Some(serve) => rollout(serve, &status, world, now),
    };
    record_serving(&mut status, world, &rollout, serve.as_ref(), now);
    let mut verdicts = verdicts(&status, &rollout, world, serve.as_ref());
    if model.spec.paused && serve.is_some() {
        let ready = verdicts
            .iter_mut()
            .filter(|verdict| verdict.kind == ConditionType::Ready);
        ready.for_each(|ready| ready.message.push_str("; the model is paused"));
    }
    verdicts.extend(notices(world.made.as_ref()));
    let mut merged = conditions::merge(&status.conditions, &verdicts, generation, now);
    if world.made.is_none() {
        let notices = [
            ConditionType::Altered,
            ConditionType::Contested,
            ConditionType::UpgradeHeld,
        ];
        merged.extend(
            notices
                .iter()
                .filter_map(|kind| conditions::find(&status.conditions, *kind).cloned()),
        );
    }
    if let Some(proposed) = &propose {
        let refused = world.unproposed.as_ref().map(|words| {
            let message = format!("{} cannot be made: {words}", proposed.name);
            Verdict::holds(ConditionType::ProposalRefused, Reason::ChildRefused, message)
        });
        // As long as it has not been tried again, it is as it was.
        let known = || conditions::find(&status.conditions, ConditionType::ProposalRefused).cloned();
        merged.extend(match refused {
            Some(refused) => conditions::merge(&status.conditions, &[refused], generation, now),
            None => known().into_iter().collect(),
        });
    }
    status.observed_generation = generation;
    status.conditions = merged;
    if let Some(rollout) = &mut status.rollout {
        rollout.settled |= matches!(conditions::find(&status.conditions, ConditionType::Ready), Some(ready) if conditions::status(ready) != Status::False);
    }
    let again = match rollout {
        Rollout::Unanswered { until, .. } => Some(until),
        _ => None,
    };
    Decision {
        is_empty: is_empty(model, &status, world),
        status,
        serve,
        propose,
        again,
    }
}

/// A name that a version took by mistake is free again once that version is gone. What ever served or was decided on stays.
fn is_empty(model: &Model, status: &ModelStatus, world: &World) -> bool {
    world.versions.is_empty()
        && world.actions.is_empty()
        && status.history.is_empty()
        && status.newest_routed.is_none()
        && status.routes.is_empty()
        && status.children.is_empty()
        && !model.spec.paused
}

/// What the record says about one of the model's versions.
pub fn serving_seen(model: Option<&Model>, version: &ModelVersion) -> ServingSeen {
    let Some((model, status)) = model.and_then(|model| Some((model, model.status.as_ref()?))) else {
        return ServingSeen::NotYet;
    };
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let routed = status.routes.iter().any(|route| route.uid == uid);
    let serves = status.serving.is_some() && status.history.first().is_some_and(|record| record.uid == uid);
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    let (reason, message) = ready
        .map(|ready| (conditions::reason(ready), ready.message.clone()))
        .unwrap_or_default();
    let stalled = conditions::is_true(&status.conditions, ConditionType::Stalled);
    match (routed, serves) {
        (true, true) => ServingSeen::Live {
            enough: status.ready_pods.unwrap_or(0) >= least(&version.spec.serving)
                && !matches!(reason, Some(Reason::NoAnswer | Reason::WrongAnswer)),
            pods: format!("{} Pods", status.pods.as_deref().unwrap_or("0/0")),
            rest: match ready {
                _ if stalled => Settling::Stuck(stuck_reason(reason), message),
                Some(ready) if conditions::status(ready) == Status::True => Settling::Done,
                _ => Settling::Working(working_reason(reason), message),
            },
        },
        (true, false) if stalled => ServingSeen::Stuck(stuck_reason(reason), message),
        (true, false) => ServingSeen::RollingOut(Reason::RolloutInProgress, message),
        (false, true) if status.ready_pods.unwrap_or(0) > 0 => {
            let next = status
                .routes
                .first()
                .map_or("nothing", |route| route.version.as_str());
            ServingSeen::BeingReplaced(format!("it answers until {next} has taken over"))
        }
        (false, true) => ServingSeen::Live {
            enough: false,
            pods: format!("{} Pods", status.pods.as_deref().unwrap_or("0/0")),
            rest: Settling::Working(WorkingReason::RolloutInProgress, message),
        },
        (false, false) => unrouted(model, status, version),
    }
}

/// Whether a version waits for an action that promotes it: then [`promotion_seen`] says which one.
pub fn awaits_promotion(serving: &ServingSeen) -> bool {
    matches!(serving, ServingSeen::AwaitingPromotion(_))
}

/// How the promotion of a version stands that waits for one.
pub fn promotion_seen(
    model: Option<&Model>,
    version: &ModelVersion,
    actions: &[RemediationAction],
    versions: &[ModelVersion],
) -> ServingSeen {
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let made_by = version
        .spec
        .provenance
        .as_ref()
        .map(|provenance| provenance.action.uid.as_str());
    let name = |action: &RemediationAction| action.metadata.name.clone().unwrap_or_default();
    let own: Vec<_> = actions
        .iter()
        .filter(|action| promotes(action, uid, version.metadata.name.as_deref()))
        .collect();
    if let Some(open) = own.iter().find(|action| !has_ended(action)) {
        let message = format!("{} decides whether it takes over", name(open));
        return ServingSeen::AwaitingPromotion(message);
    }
    let maker = actions
        .iter()
        .find(|action| !has_ended(action) && action.metadata.uid.as_deref() == made_by);
    if let (Some(maker), Some(_)) = (maker, made_by) {
        return ServingSeen::AwaitingPromotion(format!("{} goes on with it", name(maker)));
    }
    let newest = own.into_iter().max_by_key(|action| {
        let created = action.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, name(action))
    });
    let Some(ended) = newest else {
        let status = model.and_then(|model| model.status.as_ref());
        if let Some(newer) = newest_passed(version, versions) {
            return ServingSeen::AwaitingPromotion(format!(
                "{newer} is newer and is proposed in its place; a PromoteModel with this version as candidate proposes it"
            ));
        }
        let proposed =
            status.and_then(|status| status.proposals.iter().find(|proposal| proposal.cause == uid));
        if let Some(proposed) = proposed {
            let message = format!(
                "{} was deleted; a PromoteModel with this version as candidate proposes it again",
                proposed.name
            );
            return ServingSeen::NotPromoted(Reason::PromotionEnded, message);
        }
        let refused =
            status.and_then(|status| conditions::find(&status.conditions, ConditionType::ProposalRefused));
        return ServingSeen::AwaitingPromotion(match refused {
            Some(refused) => refused.message.clone(),
            None => "its promotion is being proposed".to_owned(),
        });
    };
    let conditions = ended
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let succeeded = conditions::find(conditions, ConditionType::Succeeded);
    let (why, words) = succeeded
        .map(|condition| (condition.reason.as_str(), condition.message.as_str()))
        .unwrap_or_default();
    let reason = match succeeded.and_then(conditions::reason) {
        Some(Reason::Rejected) => Reason::PromotionRejected,
        Some(Reason::Expired) => Reason::PromotionExpired,
        _ => Reason::PromotionEnded,
    };
    ServingSeen::NotPromoted(reason, format!("{} has ended, {why}: {words}", name(ended)))
}

/// Name of the newest version that passed its gates, where it is newer than this one.
fn newest_passed<'a>(version: &ModelVersion, versions: &'a [ModelVersion]) -> Option<&'a str> {
    let passed = |version: &&ModelVersion| {
        let status = version.status.as_ref();
        status.is_some_and(|status| conditions::is_true(&status.conditions, ConditionType::GatesPassed))
            && version.metadata.deletion_timestamp.is_none()
    };
    let newest = versions
        .iter()
        .filter(passed)
        .max_by_key(|other| Place::of_version(other))?;
    let is_newer = Place::of_version(newest) > Place::of_version(version);
    is_newer.then_some(newest.metadata.name.as_deref()?)
}

// === which version ===

/// Whether the record knows nothing that served.
fn is_new(status: &ModelStatus) -> bool {
    status.newest_routed.is_none() && status.routes.is_empty() && status.history.is_empty()
}

/// Which version serves without having been promoted.
enum First<'a> {
    /// None: something served before, or nothing has passed, or the first one is approved too.
    None,
    /// This one.
    Serves(&'a VersionSeen),
    /// The first has passed, and the second is older and still being trained.
    Waits(&'a VersionSeen, &'a VersionSeen),
}

/// The version that serves without having been promoted: nothing ever did, and it is the oldest of those that have passed. In
/// a record that was deleted and made again it is the one that answered before.
fn first<'a>(status: &ModelStatus, world: &'a World) -> First<'a> {
    if !is_new(status) {
        return First::None;
    }
    let there = || world.versions.iter().filter(|version| !version.deleting);
    let able = || there().filter(|version| version.passed.is_some());
    let live = able().filter(|version| version.role == Some(Role::Live));
    if let Some(live) = live.max_by_key(|version| version.place()) {
        return First::Serves(live);
    }
    let oldest = able().min_by_key(|version| version.place());
    let Some(oldest) = oldest.filter(|_| !world.approve_first) else {
        return First::None;
    };
    let older = there().filter(|version| version.pending && version.place() < oldest.place());
    match older.min_by_key(|version| version.place()) {
        Some(older) => First::Waits(oldest, older),
        None => First::Serves(oldest),
    }
}

/// The newest version that was overtaken, where none answered: a record that was deleted and made again makes no version the
/// first one.
fn remembered(versions: &[VersionSeen]) -> Option<RoutedVersion> {
    let of = |role| move |version: &&VersionSeen| version.role == Some(role);
    if versions.iter().any(|version| of(Role::Live)(&version)) {
        return None;
    }
    versions
        .iter()
        .filter(of(Role::Retired))
        .max_by_key(|version| version.place())
        .map(VersionSeen::routed)
}

/// The newest version that could be promoted: it passed, is not going away, is newer than every one that was routed, is not
/// on hold, and no action that made it goes on with it.
fn candidate<'a>(model: &Model, status: &ModelStatus, world: &'a World) -> Option<&'a VersionSeen> {
    let newest = status.newest_routed.as_ref().map(Place::of);
    if newest.is_none() && !world.approve_first {
        return None;
    }
    let newer = |version: &VersionSeen| newest.as_ref().is_none_or(|newest| version.place() > *newest);
    let routed = |version: &VersionSeen| status.routes.iter().any(|route| route.uid == version.uid);
    let held = |version: &VersionSeen| {
        let digest = version.passed.as_ref().map(|(digest, _)| digest);
        hold(model, &version.uid, digest).is_some()
    };
    let in_hand = |version: &VersionSeen| {
        let made_by = version.made_by.as_ref();
        made_by.is_some_and(|maker| {
            world
                .actions
                .iter()
                .any(|action| action.open && &action.uid == maker)
        })
    };
    world
        .versions
        .iter()
        .filter(|version| version.passed.is_some() && !version.deleting)
        .filter(|version| newer(version) && !routed(version) && !held(version) && !in_hand(version))
        .max_by_key(|version| version.place())
}

/// The action that would let the candidate serve, unless there is or was one.
fn propose(model: &Model, status: &mut ModelStatus, world: &World, now: Timestamp) -> Option<Proposed> {
    if model.spec.paused {
        return None;
    }
    let candidate = candidate(model, status, world)?;
    let (digest, _) = candidate.passed.as_ref()?;
    let (name, uid) = (&candidate.name, &candidate.uid);
    let served = status.routes.iter().any(|route| route.digest == *digest);
    let before = status.history.iter().find(|record| record.digest == *digest);
    let present = status.routes.first();
    let takes_over = match present {
        Some(route) => format!("it would take over from {}", route.version),
        None => "nothing serves".to_owned(),
    };
    let proposed = match before.filter(|_| !served) {
        Some(before) => Proposed {
            name: rollback_name(name, uid),
            action: ActionType::RollbackModel,
            version: name.clone(),
            uid: uid.clone(),
            message: format!(
                "{name} names bundle {}, which served as {} before; {takes_over}",
                digest.short(),
                before.version
            ),
        },
        None => Proposed {
            name: promotion_name(name, uid),
            action: ActionType::PromoteModel,
            version: name.clone(),
            uid: uid.clone(),
            message: format!("{name} passed its gates, bundle {}; {takes_over}", digest.short()),
        },
    };
    // One that is there stays the one, however it ended, and is remembered: what was there and is gone was deleted, and is
    // not made again.
    let remembered = status.proposals.iter().any(|proposal| proposal.cause == *uid);
    if let Some(there) = world.actions.iter().find(|action| action.name == proposed.name) {
        if !remembered {
            let proposal = Proposal {
                name: there.name.clone(),
                action: proposed.action,
                cause: uid.clone(),
                at: Time(conditions::whole_seconds(now)),
            };
            status.proposals = remember(&status.proposals, proposal, now, |action| facts(action).budgeted);
        }
        return None;
    }
    let about = |action: &ActionSeen| {
        action
            .candidate
            .as_ref()
            .is_some_and(|about| about == uid || about == name)
    };
    let in_hand = world.actions.iter().any(|action| action.open && about(action));
    (!remembered && !in_hand).then_some(proposed)
}

/// Whether this action would let this version serve.
fn promotes(action: &RemediationAction, uid: &str, name: Option<&str>) -> bool {
    let spec = &action.spec;
    let about = |candidate: &modelward_crds::VersionReference| match &candidate.uid {
        Some(of) => of == uid,
        None => Some(candidate.name.as_str()) == name,
    };
    !spec.dry_run && facts(spec.action).serves_candidate && spec.candidate.as_ref().is_some_and(about)
}

/// The routes without those whose versions are gone. Where a version goes before it took over, what answers goes on
/// answering: that is no older version taking over by itself, it never stopped.
fn kept(status: &ModelStatus, versions: &[VersionSeen]) -> Vec<RouteStatus> {
    let alive = |uid: &str| {
        versions
            .iter()
            .find(|version| version.uid == uid && !version.deleting)
    };
    let remaining: Vec<_> = status
        .routes
        .iter()
        .filter(|route| alive(&route.uid).is_some())
        .cloned()
        .collect();
    if !remaining.is_empty() || status.routes.is_empty() {
        return remaining;
    }
    let answers = status.history.first().filter(|_| status.serving.is_some());
    answers
        .and_then(|record| alive(&record.uid))
        .and_then(route_to)
        .into_iter()
        .collect()
}

/// The fewest Pods that are enough.
fn least(serving: &ServingSpec) -> i32 {
    serving.replicas.min.max(1)
}

fn route_to(version: &VersionSeen) -> Option<RouteStatus> {
    let (digest, threshold) = version.passed.clone()?;
    Some(RouteStatus {
        version: version.name.clone(),
        uid: version.uid.clone(),
        digest,
        weight: 100,
        threshold,
    })
}

fn unrouted(model: &Model, status: &ModelStatus, version: &ModelVersion) -> ServingSeen {
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let bundle = version.status.as_ref().and_then(|status| status.bundle.as_ref());
    if let Some(hold) = hold(model, uid, bundle.map(|bundle| &bundle.digest)) {
        let message = format!(
            "on hold since {}, left by {}: {}; spec.liftHolds of Model {} lifts it by uid {}",
            hold.since.0, hold.action.name, hold.reason, version.spec.model, hold.uid
        );
        return ServingSeen::Held(message);
    }
    let newest = status.newest_routed.as_ref();
    let overtaken = newest.is_some_and(|newest| Place::of_version(version) <= Place::of(newest));
    let served = status.history.iter().any(|record| record.uid == uid);
    if overtaken || served {
        let now = match (&status.serving, status.routes.first()) {
            (Some(serving), _) => format!("{serving} serves"),
            (None, Some(route)) => format!("{} is being rolled out", route.version),
            (None, None) => "nothing serves".to_owned(),
        };
        let message = if served {
            format!("{now}; this version can be returned to")
        } else {
            format!("{now}; this version never did, and a PromoteModel with it as candidate proposes it")
        };
        ServingSeen::Retired(message)
    } else if model.spec.paused {
        ServingSeen::Paused
    } else if status.newest_routed.is_some() || awaits_approval(status) {
        ServingSeen::AwaitingPromotion("an action decides whether it takes over".to_owned())
    } else {
        ServingSeen::NotYet
    }
}

/// Whether a version has passed, nothing ever served, and the first one is approved too.
fn awaits_approval(status: &ModelStatus) -> bool {
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    ready.is_some_and(|ready| conditions::reason(ready) == Some(Reason::AwaitingPromotion))
}

// === how the rollout stands ===

enum Rollout {
    Nothing(Nothing),
    /// Every Pod is there, and one of them answered through the Service.
    Complete {
        available: i32,
        wanted: i32,
    },
    /// Every Pod is there, and the Service cannot be reached.
    Untried {
        available: i32,
        wanted: i32,
        words: String,
    },
    /// Every Pod is there, and no right answer comes through the Service.
    Unanswered {
        reason: StuckReason,
        words: String,
        until: Timestamp,
    },
    Short {
        available: i32,
        wanted: i32,
        words: Option<String>,
    },
    Underway(String),
    Failing(String),
    Stuck(StuckReason, String),
}

/// Why nothing should serve.
enum Nothing {
    NotYet,
    /// The first has passed, and the second is older and still being trained.
    Waits(String, String),
    /// It passed, and the first version of a model is approved too.
    AwaitsApproval(String),
    /// What served is gone; the version that waits to be promoted, if there is one.
    Deleted(Option<String>),
    Paused(String),
}

fn rollout(serve: &Serve, status: &ModelStatus, world: &World, now: Timestamp) -> Rollout {
    if let Some(taken) = &world.taken {
        let message = format!("{taken} exists and does not belong to this model; delete or rename it");
        return Rollout::Stuck(StuckReason::NameTaken, message);
    }
    if let Some(refused) = &world.refused {
        return Rollout::Stuck(StuckReason::ChildRefused, refused.clone());
    }
    if let Some(failed) = &world.failed {
        return Rollout::Failing(failed.clone());
    }
    let altered = world.made.iter().flat_map(|made| &made.altered);
    if let Some(altered) = altered.into_iter().find(|altered| !altered.by_admission) {
        return Rollout::Stuck(StuckReason::ChangedRepeatedly, repeated(altered));
    }
    let Some(seen) = &world.deployment else {
        return Rollout::Underway("the Deployment is being made".to_owned());
    };
    if seen.routes.as_deref() != Some(&serve.routes.name) || !seen.observed {
        let words = "the Deployment is being changed";
        return Rollout::Underway(match &seen.failure {
            Some(failure) => format!("{words}; {failure}"),
            None => words.to_owned(),
        });
    }
    let (least, available, wanted) = (least(&serve.serving), seen.available, seen.wanted);
    // It takes every Pod to become what serves. After that the autoscaler adds and removes some, and enough are enough.
    let answered = already_answers(status);
    let new_pods_only = seen.updated == seen.total;
    if new_pods_only && available >= least && (answered || available >= wanted) {
        return through_the_service(serve, status, world, (available, wanted), now);
    }
    let mut refusals: Vec<_> = world
        .refusals
        .iter()
        .filter(|refusal| refusal.routes == serve.routes.name)
        .collect();
    refusals.sort_by_key(|refusal| !refusal.verification);
    // Pods of the former template are ready all the while: none goes before what replaces it answers.
    let former = seen.total - seen.updated;
    let words = format!(
        "{} of {} Pods serve {}",
        (available - former).clamp(0, seen.updated.max(0)),
        wanted.max(least),
        serve.routes.name
    );
    let late = seen
        .deadline_exceeded
        .is_some_and(|at| is_of_this_rollout(at, status.rollout.as_ref()));
    let refusal = refusals.first();
    let why: Vec<_> = seen
        .failure
        .iter()
        .chain(refusal.map(|refusal| &refusal.message))
        .cloned()
        .collect();
    let why = (!why.is_empty()).then(|| why.join("; "));
    match refusal {
        Some(refusal) if refusal.verification => {
            Rollout::Stuck(StuckReason::ArtifactInvalid, refusal.message.clone())
        }
        _ if late => Rollout::Stuck(
            StuckReason::RolloutStuck,
            why.unwrap_or_else(|| format!("{words}, and the rollout's deadline passed")),
        ),
        _ if answered && new_pods_only => Rollout::Short {
            available,
            wanted: wanted.max(least),
            words: why,
        },
        _ => Rollout::Underway(match why {
            Some(why) => format!("{words}; {why}"),
            None => words,
        }),
    }
}

/// Every Pod is ready by its own probes: what counts now is who answers through the Service.
fn through_the_service(
    serve: &Serve,
    status: &ModelStatus,
    world: &World,
    (available, wanted): (i32, i32),
    now: Timestamp,
) -> Rollout {
    let expected = serve.routes.digest();
    let (reason, words) = match &world.answer {
        Answer::Routes(digest) if *digest == expected => return Rollout::Complete { available, wanted },
        Answer::Unreachable(words) => {
            return Rollout::Untried {
                available,
                wanted,
                words: words.clone(),
            };
        }
        Answer::NotAsked => {
            // After a start of the operator what was known of these routes holds until the Service was asked.
            let ready = conditions::find(&status.conditions, ConditionType::Ready);
            let same = status.serving_routes == Some(expected);
            return match ready.filter(|_| same && already_answers(status)) {
                Some(ready) if conditions::status(ready) == Status::True => {
                    Rollout::Complete { available, wanted }
                }
                Some(ready) if conditions::status(ready) == Status::Unknown => Rollout::Untried {
                    available,
                    wanted,
                    words: "it was not asked since the operator was started".to_owned(),
                },
                _ => Rollout::Underway(format!(
                    "{available}/{wanted} Pods are ready, and the Service has not been asked yet"
                )),
            };
        }
        Answer::Routes(other) => (
            StuckReason::WrongAnswer,
            format!(
                "what answers through the Service serves routes {}, not {} ({})",
                other.short(),
                serve.routes.name,
                expected.short()
            ),
        ),
        Answer::Other(words) => (StuckReason::WrongAnswer, words.clone()),
        Answer::Refused(words) => (StuckReason::NoAnswer, words.clone()),
    };
    let words = format!("{available}/{wanted} Pods are ready, and {words}");
    // It takes a moment until the cluster's network knows the Pods of a new rollout.
    let unanswered = conditions::find(&status.conditions, ConditionType::Available)
        .filter(|available| conditions::status(available) != Status::True)
        .map_or(now, |available| available.last_transition_time.0);
    let since = status
        .rollout
        .as_ref()
        .map_or(unanswered, |rollout| rollout.since.0);
    let until = since.max(unanswered) + ANSWER_WITHIN;
    if now >= until {
        Rollout::Stuck(reason, words)
    } else {
        Rollout::Unanswered { reason, words, until }
    }
}

/// Whether a progress deadline that passed at `at` is one of the present rollout. The Deployment's condition outlives the
/// rollout that it is about, until its controller has seen the next one; a deadline of the present rollout cannot pass sooner
/// than it lasts. Half of it leaves room for clocks that differ.
fn is_of_this_rollout(at: Timestamp, rollout: Option<&RolloutStatus>) -> bool {
    let half = SignedDuration::from_secs(i64::from(PROGRESS_DEADLINE_SECONDS) / 2);
    rollout.is_none_or(|rollout| at >= rollout.since.0 + half)
}

fn repeated(altered: &Altered) -> String {
    format!(
        "{} was put back three times and changed again each time at {}; it is left alone for an hour: stop what changes it, or \
         name the fields in operator.ignoreDifferences",
        altered.child,
        in_words(&altered.fields)
    )
}

fn rival_words(rival: &Rival) -> String {
    match rival {
        Rival::Autoscaler(name) => format!(
            "HorizontalPodAutoscaler {name} scales the model's Deployment too, which has an autoscaler: Pods are made and \
             ended in turn. Delete it (kubectl delete hpa {name}) and set spec.serving.replicas of the ModelVersion"
        ),
        Rival::Budget(name) => format!(
            "PodDisruptionBudget {name} selects the model's Pods too, which have a budget, and Pods with two budgets cannot be \
             evicted: add {{key: modelward.io/model, operator: DoesNotExist}} to its spec.selector.matchExpressions, or delete \
             it (kubectl delete pdb {name})"
        ),
    }
}

/// What holds beside the four conditions that are always there.
fn notices(made: Option<&Made>) -> Vec<Verdict> {
    let Some(made) = made else {
        return Vec::new();
    };
    let mut notices = Vec::new();
    if let Some(first) = made.altered.iter().min_by_key(|altered| altered.by_admission) {
        let words = made.altered.iter().map(|altered| {
            if altered.by_admission {
                format!(
                    "{}: a webhook or an admission policy sets {} on each write of the operator; it stays so, and is tried again now and then",
                    altered.child,
                    in_words(&altered.fields)
                )
            } else {
                repeated(altered)
            }
        });
        let words: Vec<_> = words.collect();
        let reason = if first.by_admission {
            Reason::ChangedByWebhook
        } else {
            Reason::ChangedRepeatedly
        };
        notices.push(Verdict::holds(ConditionType::Altered, reason, words.join("; ")));
    }
    if let Some(first) = made.rivals.first() {
        let reason = match first {
            Rival::Autoscaler(_) => Reason::SecondAutoscaler,
            Rival::Budget(_) => Reason::SecondDisruptionBudget,
        };
        let words: Vec<_> = made.rivals.iter().map(rival_words).collect();
        notices.push(Verdict::holds(ConditionType::Contested, reason, words.join("; ")));
    }
    let held = match &made.turn {
        Turn::Now => None,
        Turn::Waits(other) => Some((
            Reason::AwaitingTurn,
            format!("the operator's configuration changed; {other} takes the new Pod template first"),
        )),
        Turn::Stopped(other) => Some((
            Reason::UpgradeStopped,
            format!(
                "{other} does not come up with the new Pod template; this model keeps its former one until that is Ready or the \
                 operator's configuration is changed"
            ),
        )),
    };
    notices.extend(held.map(|(reason, words)| Verdict::holds(ConditionType::UpgradeHeld, reason, words)));
    notices
}

fn working_reason(reason: Option<Reason>) -> WorkingReason {
    reason
        .and_then(WorkingReason::part_of)
        .unwrap_or(WorkingReason::RolloutInProgress)
}

/// Notes what answers: a version enters the history when every Pod answers with it.
fn record_serving(
    status: &mut ModelStatus,
    world: &World,
    rollout: &Rollout,
    serve: Option<&Serve>,
    now: Timestamp,
) {
    let complete = matches!(rollout, Rollout::Complete { .. } | Rollout::Untried { .. });
    if complete {
        status.serving_routes = serve.map(|serve| serve.routes.digest());
    }
    if complete
        && let Some(route) = status.routes.first()
        && status
            .history
            .first()
            .is_none_or(|record| !is_record_of(record, route))
    {
        let record = ServedRecord {
            version: route.version.clone(),
            uid: route.uid.clone(),
            digest: route.digest,
            weight: Some(route.weight),
            threshold: Some(route.threshold.clone()),
            since: Time(conditions::whole_seconds(now)),
        };
        status.history.insert(0, record);
        status.history.truncate(HISTORY);
    }
    // What answered stays what answers until something else does, or nothing should. What answered before nothing did
    // does not answer again while the next version is being rolled out.
    let answers = match rollout {
        Rollout::Nothing(_) => false,
        Rollout::Complete { .. } | Rollout::Untried { .. } => true,
        _ => status.serving.is_some(),
    };
    let serving = status.history.first().filter(|_| answers);
    status.serving = serving.map(|record| record.version.clone());
    status.serving_digest = serving.map(|record| record.digest.short());
    let seen = world.deployment.as_ref();
    status.pods = seen.map(|seen| format!("{}/{}", seen.available, seen.wanted));
    status.ready_pods = seen.map(|seen| seen.available);
}

/// Why no answer may have come to the operator.
fn unreached(words: &str) -> String {
    format!(
        "the operator has no answer through the Service: {words}; a network policy may keep it out, or the Pods may have no \
         connection left for it"
    )
}

/// Whether requests are answered: what came through the Service says so, and not what Pods say of themselves.
fn answering(status: &ModelStatus, rollout: &Rollout, world: &World, serve: Option<&Serve>) -> Verdict {
    let kind = ConditionType::Available;
    let expected = serve.map(|serve| serve.routes.digest());
    let answers = |digest: &Digest| Some(digest) == expected.as_ref();
    let Some(version) = &status.serving else {
        let version = status.routes.first().map_or("", |route| route.version.as_str());
        let answered = match &world.answer {
            Answer::Routes(digest) => answers(digest),
            Answer::NotAsked => conditions::is_true(&status.conditions, kind),
            _ => false,
        };
        let rolled_out = |words: &str| {
            let words = format!("{version} is being rolled out, and nothing else serves{words}");
            Verdict::fails(kind, Reason::RolloutInProgress, words)
        };
        return match rollout {
            Rollout::Nothing(_) => Verdict::fails(kind, Reason::NoVersion, "no version serves"),
            Rollout::Unanswered { reason, words, .. } => Verdict::fails(kind, *reason, words.clone()),
            Rollout::Underway(_) | Rollout::Short { .. } if answered => {
                let words =
                    format!("requests are answered with {version}, and not all of its Pods are there");
                Verdict::holds(kind, Reason::Serving, words)
            }
            Rollout::Underway(words) => rolled_out(&format!(": {words}")),
            _ => rolled_out(""),
        };
    };
    let available = world.deployment.as_ref().map_or(0, |seen| seen.available);
    let holds = || {
        let words = match available {
            0 => format!("requests are answered with {version}, by Pods that are ending or not counted yet"),
            _ => format!("{available} Pods answer with {version}"),
        };
        Verdict::holds(kind, Reason::Serving, words)
    };
    match &world.answer {
        // While a rollout is under way the former routes answer too.
        Answer::Routes(digest) if answers(digest) || Some(digest) == status.serving_routes.as_ref() => {
            holds()
        }
        _ if available == 0 => {
            Verdict::fails(kind, Reason::TooFewPods, format!("no Pod answers with {version}"))
        }
        Answer::Routes(other) => Verdict::fails(
            kind,
            Reason::WrongAnswer,
            format!("what answers through the Service serves routes {}", other.short()),
        ),
        Answer::Other(words) => Verdict::fails(kind, Reason::WrongAnswer, words.clone()),
        Answer::Refused(words) => Verdict::fails(kind, Reason::NoAnswer, words.clone()),
        Answer::Unreachable(words) => Verdict::unknown(kind, Reason::NotReachable, unreached(words)),
        Answer::NotAsked => match conditions::find(&status.conditions, kind) {
            Some(before) if conditions::status(before) == Status::True => holds(),
            Some(before) if conditions::reason(before) == Some(Reason::NoAnswer) => {
                Verdict::fails(kind, Reason::NoAnswer, before.message.clone())
            }
            Some(before) if conditions::reason(before) == Some(Reason::WrongAnswer) => {
                Verdict::fails(kind, Reason::WrongAnswer, before.message.clone())
            }
            _ => Verdict::unknown(kind, Reason::NotReachable, "the Service has not been asked yet"),
        },
    }
}

fn verdicts(status: &ModelStatus, rollout: &Rollout, world: &World, serve: Option<&Serve>) -> Vec<Verdict> {
    let answering = answering(status, rollout, world, serve);
    let (reason, message, ready, stalled) = match rollout {
        Rollout::Nothing(Nothing::Deleted(next)) => (
            Reason::ServingVersionDeleted,
            match next {
                Some(next) => format!("the version that served was deleted; {next} waits to be promoted"),
                None => "the version that served was deleted; an older one does not take over by itself"
                    .to_owned(),
            },
            false,
            false,
        ),
        Rollout::Nothing(Nothing::NotYet) => (
            Reason::NoVersion,
            "no version has passed its gates yet".to_owned(),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::Waits(passed, older)) => (
            Reason::Waiting,
            format!("{passed} passed its gates; {older} is older and still being trained, and goes first"),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::AwaitsApproval(version)) => (
            Reason::AwaitingPromotion,
            format!("{version} passed its gates and waits to be promoted: the first version is approved too"),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::Paused(version)) => (
            Reason::Paused,
            format!("{version} passed its gates and waits: the model is paused"),
            false,
            false,
        ),
        Rollout::Complete { available, wanted } => (
            Reason::Serving,
            format!("{available}/{wanted} Pods answer"),
            true,
            false,
        ),
        Rollout::Untried {
            available,
            wanted,
            words,
        } => (
            Reason::NotReachable,
            format!("{available}/{wanted} Pods are ready; {}", unreached(words)),
            false,
            false,
        ),
        Rollout::Unanswered { reason, words, .. } => ((*reason).into(), words.clone(), false, false),
        Rollout::Short {
            available,
            wanted,
            words,
        } => (
            Reason::TooFewPods,
            match words {
                Some(words) => format!("{available}/{wanted} Pods answer; {words}"),
                None => format!("{available}/{wanted} Pods answer"),
            },
            false,
            false,
        ),
        Rollout::Failing(words) => (Reason::ChildFailed, words.clone(), false, false),
        Rollout::Underway(words) => (Reason::RolloutInProgress, words.clone(), false, false),
        Rollout::Stuck(reason, message) => ((*reason).into(), message.clone(), false, true),
    };
    let untried = matches!(rollout, Rollout::Untried { .. });
    let working = !ready && !stalled && !untried && !matches!(rollout, Rollout::Nothing(_));
    let verdict = |kind, holds: bool| {
        let message = if holds || kind == ConditionType::Ready {
            message.clone()
        } else {
            String::new()
        };
        if holds {
            Verdict::holds(kind, reason, message)
        } else if untried && kind == ConditionType::Ready {
            Verdict::unknown(kind, reason, message)
        } else {
            Verdict::fails(kind, reason, message)
        }
    };
    vec![
        answering,
        verdict(ConditionType::Ready, ready),
        verdict(ConditionType::Reconciling, working),
        verdict(ConditionType::Stalled, stalled),
    ]
}

#[cfg(test)]
mod tests;
