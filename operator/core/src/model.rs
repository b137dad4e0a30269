//! What a model serves: which version answers, what is proposed to replace it, and how its rollout stands.
//!
//! The first version of a model that passes its gates serves: there is nothing that it could replace. From then on what
//! serves is changed by a `RemediationAction` alone, and the record says so before it is so:
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

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, Hold, Model, ModelStatus, ModelVersion, Proposal, RemediationAction, Role, RouteStatus,
    RoutedVersion, ServedRecord, ServingSpec, conditions::types,
};
use modelward_wire::{Decimal, Digest};

use crate::{
    action::{has_ended, promotion_name, rollback_name},
    conditions::{self, Verdict},
    drift::remember,
    order::Place,
    reasons,
    routes::{RoutesFile, routes_file},
    version::{ServingSeen, Settling},
};

/// Entries of the history that are kept.
const HISTORY: usize = 32;

/// What the controller saw around a model.
#[derive(Clone, Debug)]
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
    /// Whether its progress deadline passed.
    pub deadline_exceeded: bool,
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
    /// Whether the record has no version left and should go.
    pub remove: bool,
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

/// How the rollout of certain routes stands, as the record tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutSeen {
    /// Every Pod answers with them and nothing is left to do.
    Answers,
    /// Pods are being started; in words.
    Underway(String),
    /// It cannot come to an end by itself; reason and message.
    Stuck(String, String),
    /// The record names other routes by now.
    OtherRoutes,
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
    let first = first(&status, &world.versions);
    status.routes = match first {
        Some(first) if !model.spec.paused => {
            status.newest_routed = Some(first.routed());
            route_to(first).into_iter().collect()
        }
        _ => kept(&status, &world.versions),
    };
    let propose = propose(model, &mut status, world, now);

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
            (Some(first), _) => Nothing::Paused(first.name.clone()),
            (None, Some(_)) => {
                Nothing::Deleted(candidate(model, &status, world).map(|next| next.name.clone()))
            }
            (None, None) => Nothing::NotYet,
        }),
        Some(serve) => rollout(serve, &status, world),
    };
    record_serving(&mut status, world, &rollout, now);
    let verdicts = verdicts(&status, &rollout, world.deployment.as_ref());
    status.observed_generation = generation;
    status.conditions = conditions::merge(&status.conditions, &verdicts, generation, now);
    Decision {
        status,
        serve,
        propose,
        remove: world.versions.is_empty(),
    }
}

/// What the record says about one of the model's versions.
pub fn serving_seen(model: Option<&Model>, version: &ModelVersion) -> ServingSeen {
    let Some((model, status)) = model.and_then(|model| Some((model, model.status.as_ref()?))) else {
        return ServingSeen::NotYet;
    };
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let routed = status.routes.iter().any(|route| route.uid == uid);
    let serves = status.serving.is_some() && status.history.first().is_some_and(|record| record.uid == uid);
    let ready = conditions::find(&status.conditions, types::READY);
    let (reason, message) = ready
        .map(|ready| (ready.reason.as_str(), ready.message.clone()))
        .unwrap_or_default();
    let stalled = conditions::is_true(&status.conditions, types::STALLED);
    match (routed, serves) {
        (true, true) => ServingSeen::Live {
            enough: status.ready_pods.unwrap_or(0) >= least(&version.spec.serving),
            pods: format!("{} Pods", status.pods.as_deref().unwrap_or("0/0")),
            rest: match ready {
                _ if stalled => Settling::Stuck(stuck_reason(reason), message),
                Some(ready) if ready.status == "True" => Settling::Done,
                _ => Settling::Working(reasons::ROLLOUT_IN_PROGRESS, message),
            },
        },
        (true, false) if stalled => ServingSeen::Stuck(stuck_reason(reason), message),
        (true, false) => ServingSeen::RollingOut(reasons::ROLLOUT_IN_PROGRESS, message),
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
            rest: Settling::Working(reasons::ROLLOUT_IN_PROGRESS, message),
        },
        (false, false) => unrouted(model, status, version),
    }
}

/// Whether a version waits for an action that promotes it: then [`promotion_seen`] says which one.
pub fn awaits_promotion(serving: &ServingSeen) -> bool {
    matches!(serving, ServingSeen::AwaitingPromotion(_))
}

/// How the promotion of a version stands that waits for one.
pub fn promotion_seen(version: &ModelVersion, actions: &[RemediationAction]) -> ServingSeen {
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
        return ServingSeen::AwaitingPromotion("its promotion is being proposed".to_owned());
    };
    let conditions = ended
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let succeeded = conditions::find(conditions, types::SUCCEEDED);
    let (why, words) = succeeded
        .map(|condition| (condition.reason.as_str(), condition.message.as_str()))
        .unwrap_or_default();
    let reason = match why {
        reasons::action::REJECTED => reasons::PROMOTION_REJECTED,
        reasons::action::EXPIRED => reasons::PROMOTION_EXPIRED,
        _ => reasons::PROMOTION_ENDED,
    };
    ServingSeen::NotPromoted(reason, format!("{} has ended, {why}: {words}", name(ended)))
}

/// The hold that keeps a version of this uid or of this bundle from being promoted.
pub fn hold<'a>(model: &'a Model, uid: &str, digest: Option<&Digest>) -> Option<&'a Hold> {
    let lifted = |hold: &Hold| model.spec.lift_holds.contains(&hold.uid);
    let same = |hold: &&Hold| hold.uid == uid || Some(&hold.digest) == digest;
    let mut holds = model.status.iter().flat_map(|status| &status.holds);
    holds.find(|hold| same(hold) && !lifted(hold))
}

/// The record with other routes. What it says of the rollout is said anew: what was true of the former routes is not taken
/// for the truth about these. `newest` is the newest version among them; one that was routed before stays the newest.
#[must_use]
pub fn reroute(
    model: &Model,
    routes: Vec<RouteStatus>,
    newest: Option<RoutedVersion>,
    now: Timestamp,
) -> ModelStatus {
    let mut status = model.status.clone().unwrap_or_default();
    status.routes = routes;
    status.newest_routed = [status.newest_routed.take(), newest]
        .into_iter()
        .flatten()
        .max_by_key(Place::of);
    let generation = model.metadata.generation;
    let rollout = Rollout::Underway("the Deployment is being changed".to_owned());
    let mut verdicts = verdicts(&status, &rollout, None);
    verdicts.retain(|verdict| verdict.kind != types::AVAILABLE);
    let available = conditions::find(&status.conditions, types::AVAILABLE).cloned();
    let others = conditions::merge(&status.conditions, &verdicts, generation, now);
    status.conditions = available.into_iter().chain(others).collect();
    status
}

/// How the rollout of these routes stands, as the record tells it.
pub fn rollout_seen(model: &Model, routes: &[RouteStatus]) -> RolloutSeen {
    let Some(status) = model.status.as_ref().filter(|status| status.routes == routes) else {
        return RolloutSeen::OtherRoutes;
    };
    let ready = conditions::find(&status.conditions, types::READY);
    let (reason, message) = ready
        .map(|ready| (ready.reason.clone(), ready.message.clone()))
        .unwrap_or_default();
    if conditions::is_true(&status.conditions, types::STALLED) {
        RolloutSeen::Stuck(reason, message)
    } else if already_answers(status) && ready.is_some_and(|ready| ready.status == "True") {
        RolloutSeen::Answers
    } else {
        RolloutSeen::Underway(message)
    }
}

// === which version ===

/// Whether the record knows nothing that served.
fn is_new(status: &ModelStatus) -> bool {
    status.newest_routed.is_none() && status.routes.is_empty() && status.history.is_empty()
}

/// The version that serves without having been promoted: nothing ever did, and it is the newest of those that have passed. In
/// a record that was deleted and made again it is the one that answered before.
fn first<'a>(status: &ModelStatus, versions: &'a [VersionSeen]) -> Option<&'a VersionSeen> {
    let able = |version: &&VersionSeen| is_new(status) && version.passed.is_some() && !version.deleting;
    let live = versions.iter().any(|version| version.role == Some(Role::Live));
    versions
        .iter()
        .filter(able)
        .filter(|version| !live || version.role == Some(Role::Live))
        .max_by_key(|version| version.place())
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
    let newest = Place::of(status.newest_routed.as_ref()?);
    let newer = |version: &VersionSeen| version.place() > newest;
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
    // One that is there stays the one, however it ended, and is remembered: what was there and is gone was taken away by
    // somebody, and is not made again.
    let remembered = status.proposals.iter().any(|proposal| proposal.cause == *uid);
    if let Some(there) = world.actions.iter().find(|action| action.name == proposed.name) {
        if !remembered {
            let proposal = Proposal {
                name: there.name.clone(),
                action: proposed.action,
                cause: uid.clone(),
                at: Time(conditions::whole_seconds(now)),
            };
            status.proposals = remember(&status.proposals, proposal, now);
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
    !spec.dry_run
        && matches!(spec.action, ActionType::PromoteModel | ActionType::RollbackModel)
        && spec.candidate.as_ref().is_some_and(about)
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
    let version_name = version.metadata.name.as_deref().unwrap_or_default();
    let created = version.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let overtaken = (status.newest_routed.as_ref()).is_some_and(|newest| {
        created.is_some_and(|created| Place::new(created, version_name, uid) <= Place::of(newest))
    });
    let served = status.history.iter().any(|record| record.uid == uid);
    if overtaken || served {
        let message = match status.routes.first() {
            Some(route) => format!("{} serves; this version can be returned to", route.version),
            None => "it does not serve; this version can be returned to".to_owned(),
        };
        ServingSeen::Retired(message)
    } else if model.spec.paused {
        ServingSeen::Paused
    } else if status.newest_routed.is_some() {
        ServingSeen::AwaitingPromotion("an action decides whether it takes over".to_owned())
    } else {
        ServingSeen::NotYet
    }
}

// === how the rollout stands ===

enum Rollout {
    Nothing(Nothing),
    Complete { available: i32, wanted: i32 },
    Short { available: i32, wanted: i32 },
    Underway(String),
    Stuck(&'static str, String),
}

/// Why nothing should serve.
enum Nothing {
    NotYet,
    /// What served is gone; the version that waits to be promoted, if there is one.
    Deleted(Option<String>),
    Paused(String),
}

fn rollout(serve: &Serve, status: &ModelStatus, world: &World) -> Rollout {
    if let Some(taken) = &world.taken {
        let message = format!("{taken} exists and does not belong to this model; delete or rename it");
        return Rollout::Stuck(reasons::NAME_TAKEN, message);
    }
    if let Some(refused) = &world.refused {
        return Rollout::Stuck(reasons::CHILD_REFUSED, refused.clone());
    }
    let Some(seen) = &world.deployment else {
        return Rollout::Underway("the Deployment is being made".to_owned());
    };
    if seen.routes.as_deref() != Some(&serve.routes.name) || !seen.observed {
        return Rollout::Underway("the Deployment is being changed".to_owned());
    }
    let (least, available, wanted) = (least(&serve.serving), seen.available, seen.wanted);
    // It takes every Pod to become what serves. After that the autoscaler adds and removes some, and enough are enough.
    let answered = already_answers(status);
    let new_pods_only = seen.updated == seen.total;
    if new_pods_only && available >= least && (answered || available >= wanted) {
        return Rollout::Complete { available, wanted };
    }
    let mut refusals: Vec<_> = world
        .refusals
        .iter()
        .filter(|refusal| refusal.routes == serve.routes.name)
        .collect();
    refusals.sort_by_key(|refusal| !refusal.verification);
    let words = format!(
        "{} of {} Pods serve {}",
        available.min(seen.updated),
        wanted.max(least),
        serve.routes.name
    );
    match refusals.first() {
        Some(refusal) if refusal.verification => {
            Rollout::Stuck(reasons::ARTIFACT_INVALID, refusal.message.clone())
        }
        Some(refusal) if seen.deadline_exceeded => {
            Rollout::Stuck(reasons::ROLLOUT_STUCK, refusal.message.clone())
        }
        _ if seen.deadline_exceeded => Rollout::Stuck(
            reasons::ROLLOUT_STUCK,
            format!("{words}, and the rollout's deadline passed"),
        ),
        _ if answered && new_pods_only => Rollout::Short {
            available,
            wanted: wanted.max(least),
        },
        Some(refusal) => Rollout::Underway(format!("{words}; {}", refusal.message)),
        None => Rollout::Underway(words),
    }
}

/// Whether what is routed is what answered last.
fn already_answers(status: &ModelStatus) -> bool {
    let record = status.history.first().filter(|_| status.serving.is_some());
    let same = |record: &ServedRecord| {
        status
            .routes
            .first()
            .is_some_and(|route| is_record_of(record, route))
    };
    record.is_some_and(same)
}

/// Whether what the record says served is what this route serves. Records from before thresholds were kept match any.
fn is_record_of(record: &ServedRecord, route: &RouteStatus) -> bool {
    let threshold = record.threshold.as_ref();
    record.uid == route.uid
        && record.digest == route.digest
        && threshold.is_none_or(|threshold| *threshold == route.threshold)
}

fn stuck_reason(reason: &str) -> &'static str {
    [
        reasons::ARTIFACT_INVALID,
        reasons::NAME_TAKEN,
        reasons::CHILD_REFUSED,
    ]
    .into_iter()
    .find(|known| *known == reason)
    .unwrap_or(reasons::ROLLOUT_STUCK)
}

/// Notes what answers: a version enters the history when every Pod answers with it.
fn record_serving(status: &mut ModelStatus, world: &World, rollout: &Rollout, now: Timestamp) {
    if let Rollout::Complete { .. } = rollout
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
        Rollout::Complete { .. } => true,
        _ => status.serving.is_some(),
    };
    let serving = status.history.first().filter(|_| answers);
    status.serving = serving.map(|record| record.version.clone());
    status.serving_digest = serving.map(|record| record.digest.short());
    let seen = world.deployment.as_ref();
    status.pods = seen.map(|seen| format!("{}/{}", seen.available, seen.wanted));
    status.ready_pods = seen.map(|seen| seen.available);
}

fn verdicts(status: &ModelStatus, rollout: &Rollout, deployment: Option<&DeploymentSeen>) -> Vec<Verdict> {
    let available = deployment.map_or(0, |seen| seen.available);
    let answering = match (&status.serving, available) {
        (Some(version), 1..) => Verdict::holds(
            types::AVAILABLE,
            reasons::SERVING,
            format!("{available} Pods answer with {version}"),
        ),
        (Some(version), _) => Verdict::fails(
            types::AVAILABLE,
            reasons::TOO_FEW_PODS,
            format!("no Pod answers with {version}"),
        ),
        (None, _) => match rollout {
            Rollout::Nothing(_) => Verdict::fails(types::AVAILABLE, reasons::NO_VERSION, "no version serves"),
            _ => Verdict::fails(
                types::AVAILABLE,
                reasons::ROLLOUT_IN_PROGRESS,
                "the first version is being rolled out",
            ),
        },
    };
    let (reason, message, ready, stalled) = match rollout {
        Rollout::Nothing(Nothing::Deleted(next)) => (
            reasons::SERVING_VERSION_DELETED,
            match next {
                Some(next) => format!("the version that served was deleted; {next} waits to be promoted"),
                None => "the version that served was deleted; an older one does not take over by itself"
                    .to_owned(),
            },
            false,
            false,
        ),
        Rollout::Nothing(Nothing::NotYet) => (
            reasons::NO_VERSION,
            "no version has passed its gates yet".to_owned(),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::Paused(version)) => (
            reasons::PAUSED,
            format!("{version} passed its gates and waits: the model is paused"),
            false,
            false,
        ),
        Rollout::Complete { available, wanted } => (
            reasons::SERVING,
            format!("{available}/{wanted} Pods answer"),
            true,
            false,
        ),
        Rollout::Short { available, wanted } => (
            reasons::TOO_FEW_PODS,
            format!("{available}/{wanted} Pods answer"),
            false,
            false,
        ),
        Rollout::Underway(words) => (reasons::ROLLOUT_IN_PROGRESS, words.clone(), false, false),
        Rollout::Stuck(reason, message) => (*reason, message.clone(), false, true),
    };
    let working = !ready && !stalled && !matches!(rollout, Rollout::Nothing(_));
    let verdict = |kind, holds: bool| {
        let message = if holds || kind == types::READY {
            message.clone()
        } else {
            String::new()
        };
        if holds {
            Verdict::holds(kind, reason, message)
        } else {
            Verdict::fails(kind, reason, message)
        }
    };
    vec![
        answering,
        verdict(types::READY, ready),
        verdict(types::RECONCILING, working),
        verdict(types::STALLED, stalled),
    ]
}

#[cfg(test)]
mod tests;
