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
    version::ServingSeen,
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
    /// A Pod that refused to serve, in words.
    pub refusal: Option<Refusal>,
    /// A child of a needed name that is not ours: `Service heart`.
    pub taken: Option<String>,
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

/// A Pod that refused to serve.
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

    let remaining: Vec<_> = status
        .routes
        .iter()
        .filter(|route| lives(&world.versions, &route.uid))
        .cloned()
        .collect();
    let lost = remaining.len() < status.routes.len();
    status.routes = match candidate(&world.versions, status.newest_routed.as_ref()) {
        Some(candidate) if !model.spec.paused => {
            status.newest_routed = Some(RoutedVersion {
                created_at: Time(candidate.created),
                uid: candidate.uid.clone(),
            });
            route_to(candidate).into_iter().collect()
        }
        _ => remaining,
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
        None => Rollout::Nothing {
            lost: lost || (status.newest_routed.is_some() && !world.versions.is_empty()),
        },
        Some(serve) => rollout(serve, world),
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
    let message = ready.map(|ready| ready.message.clone()).unwrap_or_default();
    match (routed, serves) {
        (true, true) => ServingSeen::Live {
            enough: ready.is_some_and(|ready| ready.status == "True"),
            pods: format!("{} Pods", status.pods.as_deref().unwrap_or("0/0")),
        },
        (true, false) if conditions::is_true(&status.conditions, types::STALLED) => {
            let stalled = ready.map_or(reasons::ROLLOUT_STUCK, |ready| stuck_reason(&ready.reason));
            ServingSeen::Stuck(stalled, message)
        }
        (true, false) => ServingSeen::RollingOut(reasons::ROLLOUT_IN_PROGRESS, message),
        (false, true) => {
            let next = status
                .routes
                .first()
                .map_or("nothing", |route| route.version.as_str());
            ServingSeen::BeingReplaced(format!("it answers until {next} has taken over"))
        }
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

fn lives(versions: &[VersionSeen], uid: &str) -> bool {
    versions
        .iter()
        .any(|version| version.uid == uid && !version.deleting)
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
    Nothing { lost: bool },
    Complete { available: i32, wanted: i32 },
    Short { available: i32, wanted: i32 },
    Underway(String),
    Stuck(&'static str, String),
}

fn rollout(serve: &Serve, world: &World) -> Rollout {
    if let Some(taken) = &world.taken {
        let message = format!("{taken} exists and does not belong to this model; delete or rename it");
        return Rollout::Stuck(reasons::NAME_TAKEN, message);
    }
    let Some(seen) = &world.deployment else {
        return Rollout::Underway("the Deployment is being made".to_owned());
    };
    let words = format!(
        "{} of {} Pods serve {}",
        seen.available.min(seen.updated),
        seen.wanted,
        serve.routes.name
    );
    if seen.routes.as_deref() != Some(&serve.routes.name) || !seen.observed {
        return Rollout::Underway("the Deployment is being changed".to_owned());
    }
    let least = serve.serving.replicas.min.max(1);
    let new_pods_only = seen.updated == seen.total && seen.updated >= seen.wanted;
    if new_pods_only && seen.available >= seen.wanted && seen.wanted >= least {
        return Rollout::Complete {
            available: seen.available,
            wanted: seen.wanted,
        };
    }
    let refusal = world
        .refusal
        .as_ref()
        .filter(|refusal| refusal.routes == serve.routes.name);
    match refusal {
        Some(refusal) if refusal.verification => {
            Rollout::Stuck(reasons::ARTIFACT_INVALID, refusal.message.clone())
        }
        Some(refusal) if seen.deadline_exceeded => {
            Rollout::Stuck(reasons::ROLLOUT_STUCK, refusal.message.clone())
        }
        _ if seen.deadline_exceeded && seen.updated <= seen.available && new_pods_only => Rollout::Short {
            available: seen.available,
            wanted: seen.wanted,
        },
        _ if seen.deadline_exceeded => Rollout::Stuck(
            reasons::ROLLOUT_STUCK,
            format!("{words}, and the rollout's deadline passed"),
        ),
        _ if new_pods_only && seen.total > 0 => Rollout::Short {
            available: seen.available,
            wanted: seen.wanted.max(least),
        },
        _ => Rollout::Underway(words),
    }
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
    // What answered stays what answers until something else does, or nothing should.
    let serving = status
        .history
        .first()
        .filter(|_| !matches!(rollout, Rollout::Nothing { .. }));
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
            Rollout::Nothing { .. } => {
                Verdict::fails(types::AVAILABLE, reasons::NO_VERSION, "no version serves")
            }
            _ => Verdict::fails(
                types::AVAILABLE,
                reasons::ROLLOUT_IN_PROGRESS,
                "the first version is being rolled out",
            ),
        },
    };
    let (reason, message, ready, stalled) = match rollout {
        Rollout::Nothing { lost: true } => (
            reasons::SERVING_VERSION_DELETED,
            "the version that served was deleted; an older one does not take over by itself".to_owned(),
            false,
            false,
        ),
        Rollout::Nothing { lost: false } => (
            reasons::NO_VERSION,
            "no version has passed its gates yet".to_owned(),
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
    let working = !ready && !stalled && !matches!(rollout, Rollout::Nothing { .. });
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
