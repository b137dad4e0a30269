//! Which bundles an inference Pod serves, and with which weight.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Digest, words};

/// The format that this code writes.
pub const ROUTES_FORMAT: u32 = 1;

/// The content of an immutable routes `ConfigMap`, key `routes.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Routes {
    /// [`ROUTES_FORMAT`].
    pub format: u32,
    /// Name of the model that answers.
    pub model: String,
    /// The versions, greatest weight first; at least one of them is Live.
    pub routes: Vec<Route>,
    /// Length of a window of event time, in seconds.
    #[serde(default = "default_window_seconds")]
    pub window_seconds: u32,
}

/// One version that takes part in serving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Name of the `ModelVersion`.
    pub version: String,
    /// Its bundle.
    pub digest: Digest,
    /// Weight: its share of requests relative to the sum of all Live weights, 0 to 100; 0 for a Shadow.
    pub weight: u32,
    /// The class is 1 at or above this probability.
    pub threshold: Decimal,
    /// Whether its scores are returned.
    pub mode: RouteMode,
}

words! {
    /// Whether a version's scores reach callers.
    pub enum RouteMode {
        /// Answers requests.
        Live,
        /// Scores the same requests; its scores are recorded and never returned.
        Shadow,
    }
}

fn default_window_seconds() -> u32 {
    3600
}
