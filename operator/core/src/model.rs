//! What a model serves: which version takes over, and how its rollout stands.
//!
//! The newest version that passed its gates is the candidate, by creation and then by uid: two versions made in the
//! same second have one order, always the same. An older one never replaces a newer one by itself, not even where the
//! newer one was deleted: returning is a rollback, and that is a decision.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    Model, ModelStatus, ModelVersion, RouteStatus, RoutedVersion, ServedRecord, ServingSpec,
    conditions::types,
};
use modelward_wire::{Decimal, Digest};

use crate::{
    conditions::{self, Verdict},
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

/// Decides what a model serves. Pure: the same arguments give the same decision.
pub fn decide(model: &Model, world: &World, now: Timestamp) -> Decision {
    let name = model.metadata.name.as_deref().unwrap_or_default();
    let mut status = model.status.clone().unwrap_or_default();
    let generation = model.metadata.generation;

    let candidate = candidate(&world.versions, status.newest_routed.as_ref());
    status.routes = match candidate {
        Some(candidate) if !model.spec.paused => {
            status.newest_routed = Some(RoutedVersion {
                created_at: Time(candidate.created),
                uid: candidate.uid.clone(),
            });
            route_to(candidate).into_iter().collect()
        }
        _ => kept(&status, &world.versions),
    };

    let routes = routes_file(name, &status.routes);
    let serve = routes.and_then(|routes| {
        let heaviest = status.routes.iter().max_by_key(|route| route.weight)?;
        let version = world
            .versions
            .iter()
            .find(|version| version.uid == heaviest.uid)?;
        Some(Serve {
            routes,
            serving: version.serving.clone(),
        })
    });

    let rollout = match &serve {
        None => Rollout::Nothing(match (candidate, &status.newest_routed) {
            (Some(candidate), _) => Nothing::Paused(candidate.name.clone()),
            (None, Some(_)) => Nothing::Deleted,
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

// === which version ===

/// The newest version that may take over: passed, not going away, and newer than every one that was routed.
fn candidate<'a>(versions: &'a [VersionSeen], newest: Option<&RoutedVersion>) -> Option<&'a VersionSeen> {
    let able = versions
        .iter()
        .filter(|version| version.passed.is_some() && !version.deleting);
    let best = able.max_by_key(|version| (version.created, version.uid.as_str()))?;
    // The one that is routed already is a candidate too: its threshold and digest are what they were.
    let order = |newest: &RoutedVersion| {
        (newest.created_at.0, newest.uid.as_str()) <= (best.created, best.uid.as_str())
    };
    newest.is_none_or(order).then_some(best)
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
    let created = version.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let overtaken = (status.newest_routed.as_ref()).is_some_and(|newest| {
        created.is_some_and(|created| (created, uid) <= (newest.created_at.0, newest.uid.as_str()))
    });
    if overtaken {
        let message = match status.routes.first() {
            Some(route) => format!("{} serves; this version can be returned to", route.version),
            None => "it does not serve; this version can be returned to".to_owned(),
        };
        ServingSeen::Retired(message)
    } else if model.spec.paused {
        ServingSeen::Paused
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
    Deleted,
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
            .is_some_and(|route| route.uid == record.uid && route.digest == record.digest)
    };
    record.is_some_and(same)
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
            .is_none_or(|record| record.uid != route.uid || record.digest != route.digest)
    {
        let record = ServedRecord {
            version: route.version.clone(),
            uid: route.uid.clone(),
            digest: route.digest,
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
        Rollout::Nothing(Nothing::Deleted) => (
            reasons::SERVING_VERSION_DELETED,
            "the version that served was deleted; an older one does not take over by itself".to_owned(),
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
