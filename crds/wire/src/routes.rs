//! The bundles that an inference Pod serves, with their weights.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Digest, words};

/// The format that this code writes.
pub const ROUTES_FORMAT: u32 = 1;

/// The content of the key `routes.json` in an immutable routes `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Routes {
    /// [`ROUTES_FORMAT`].
    pub format: u32,
    /// Name of the model that answers.
    pub model: String,
    /// The versions, highest weight first; at least one is Live.
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
    /// Its share of requests relative to the sum of all Live weights, 0 to 100; 0 for a Shadow.
    pub weight: u32,
    /// The class is 1 if the probability is at or above this.
    pub threshold: Decimal,
    /// Whether its scores are returned.
    pub mode: RouteMode,
}

words! {
    /// Whether a version's scores are returned to clients.
    pub enum RouteMode {
        /// Answers requests.
        Live,
        /// Scores the same requests; its scores are recorded but never returned.
        Shadow,
    }
}

fn default_window_seconds() -> u32 {
    3600
}
