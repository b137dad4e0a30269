//! The routes file of a model, and its name with the hash of its content.

use modelward_crds::RouteStatus;
use modelward_wire::{Digest, ROUTES_FORMAT, Route, RouteMode, Routes};
use sha2::{Digest as _, Sha256};

use crate::names::name_hash;

/// The routes file of a model, and the name of the immutable `ConfigMap` that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutesFile {
    /// `<model>-routes-<hash>`: different routes have different names.
    pub name: String,
    /// The content of `routes.json`.
    pub content: String,
}

// === impl RoutesFile ===

impl RoutesFile {
    /// Digest of the content, with which Pods are configured and which every response has.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(Sha256::digest(self.content.as_bytes()).into())
    }
}

/// The file that makes Pods serve these routes and count their rows in windows of this many seconds. Empty routes have no
/// file: nothing serves.
pub fn routes_file(model: &str, routes: &[RouteStatus], window_seconds: u32) -> Option<RoutesFile> {
    if routes.is_empty() {
        return None;
    }
    let route = |route: &RouteStatus| Route {
        version: route.version.clone(),
        digest: route.digest,
        weight: u32::try_from(route.weight).unwrap_or(0),
        threshold: route.threshold.clone(),
        mode: RouteMode::Live,
    };
    let routes = Routes {
        format: ROUTES_FORMAT,
        model: model.to_owned(),
        routes: routes.iter().map(route).collect(),
        window_seconds,
    };
    // Strings, integers and lists: this cannot fail.
    let content = serde_json::to_string(&routes).unwrap_or_default();
    let name = format!("{model}-routes-{}", name_hash([content.as_bytes()]));
    Some(RoutesFile { name, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(version: &str, threshold: &str) -> RouteStatus {
        RouteStatus {
            version: version.into(),
            uid: "u".into(),
            digest: Digest::from_bytes([1; 32]),
            weight: 100,
            threshold: threshold.parse().unwrap(),
        }
    }

    #[test]
    fn equal_routes_have_one_name_and_other_routes_another() {
        let name = |routes: &[RouteStatus]| routes_file("heart", routes, 3600).unwrap().name;
        assert_eq!(name(&[route("heart-1", "0.5")]), name(&[route("heart-1", "0.5")]));
        assert_ne!(name(&[route("heart-1", "0.5")]), name(&[route("heart-1", "0.4")]));
        assert_ne!(name(&[route("heart-1", "0.5")]), name(&[route("heart-2", "0.5")]));
        assert_eq!(routes_file("heart", &[], 3600), None);
        let hourly = routes_file("heart", &[route("heart-1", "0.5")], 3600).unwrap();
        let daily = routes_file("heart", &[route("heart-1", "0.5")], 86_400).unwrap();
        assert_ne!(hourly.name, daily.name, "other windows need other Pods");
    }
}
