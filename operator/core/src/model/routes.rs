//! The routes of a record, kept or given to another version.

use modelward_crds::{Model, ModelStatus, ModelVersion, RouteStatus, ServingSpec};

use crate::{
    model::{view::awaits_approval, world::VersionSeen},
    order::Place,
    record::holds::hold,
    version::ServingSeen,
};

/// The routes without those whose versions are gone. Where a version goes before it took over, what answers goes on
/// answering: that is no older version taking over by itself, it never stopped.
pub(super) fn kept(status: &ModelStatus, versions: &[VersionSeen]) -> Vec<RouteStatus> {
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
pub(super) fn least(serving: &ServingSpec) -> i32 {
    serving.replicas.min.max(1)
}

pub(super) fn route_to(version: &VersionSeen) -> Option<RouteStatus> {
    let (digest, threshold) = version.passed.clone()?;
    Some(RouteStatus {
        version: version.name.clone(),
        uid: version.uid.clone(),
        digest,
        weight: 100,
        threshold,
    })
}

pub(super) fn unrouted(model: &Model, status: &ModelStatus, version: &ModelVersion) -> ServingSeen {
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
