//! The routes of a record, kept or given to another version.

use modelward_crds::{ModelStatus, RouteStatus, ServingSpec};

use crate::model::world::VersionSeen;

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
