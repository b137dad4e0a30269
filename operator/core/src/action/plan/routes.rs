//! Routes of plans and of records.

use modelward_crds::{ConditionType, ModelStatus, ModelVersion, PlannedRoute, RouteStatus, VersionReference};

use crate::{conditions, objects::uid_of};

/// The version that a reference names, unless it is missing or being deleted.
pub fn find<'a>(versions: &'a [ModelVersion], reference: &VersionReference) -> Option<&'a ModelVersion> {
    versions.iter().find(|version| {
        version.metadata.name.as_deref() == Some(&reference.name)
            && reference.uid.as_ref().is_none_or(|uid| uid == uid_of(*version))
            && version.metadata.deletion_timestamp.is_none()
    })
}

/// The version of this uid, unless it is missing or being deleted.
pub fn by_uid<'a>(versions: &'a [ModelVersion], uid: &str) -> Option<&'a ModelVersion> {
    versions
        .iter()
        .find(|version| uid_of(*version) == uid && version.metadata.deletion_timestamp.is_none())
}

/// The route with the greatest weight.
pub fn heaviest(status: &ModelStatus) -> Option<&RouteStatus> {
    status.routes.iter().max_by_key(|route| route.weight)
}

/// Routes that send all requests to this version.
pub fn route_to(version: &ModelVersion) -> Option<PlannedRoute> {
    let status = version.status.as_ref()?;
    let passed = conditions::is_true(&status.conditions, ConditionType::GatesPassed);
    let bundle = status.bundle.as_ref().filter(|_| passed)?;
    Some(PlannedRoute {
        version: version.metadata.name.clone().unwrap_or_default(),
        uid: uid_of(version).to_owned(),
        digest: bundle.digest,
        weight: 100,
        threshold: status.threshold.clone()?,
    })
}

/// A route of the record as a plan lists it.
pub fn planned(route: &RouteStatus) -> PlannedRoute {
    PlannedRoute {
        version: route.version.clone(),
        uid: route.uid.clone(),
        digest: route.digest,
        weight: route.weight,
        threshold: route.threshold.clone(),
    }
}

/// A route of a plan as the record lists it.
pub fn recorded(route: &PlannedRoute) -> RouteStatus {
    RouteStatus {
        version: route.version.clone(),
        uid: route.uid.clone(),
        digest: route.digest,
        weight: route.weight,
        threshold: route.threshold.clone(),
    }
}

/// Names of the versions of these routes.
pub fn names(routes: &[PlannedRoute]) -> Option<String> {
    let names: Vec<&str> = routes.iter().map(|route| route.version.as_str()).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}
