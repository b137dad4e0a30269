//! The routes of a record, kept or given to another version.

use modelward_crds::{ModelStatus, RouteStatus, ServingSpec};

use crate::model::world::VersionSeen;

/// The routes without those whose versions were deleted. If a version is deleted before it took over, the version that serves keeps
/// serving. This is not a takeover by an older version, because it never stopped.
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

/// The minimum number of Pods.
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
