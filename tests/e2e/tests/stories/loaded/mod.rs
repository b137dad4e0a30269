//! Stories under load, which count each request: nothing else may run at the same time.

use modelward_crds::{ModelVersionSpec, ReplicaBounds, Season};

mod counting;
mod retraining;

/// Requests per second.
const RATE: u32 = 500;
/// Seconds of a window of traffic.
const WINDOW: i32 = 20;
/// Seconds between the end of a window and its verdict.
const LATENESS: i32 = 10;

/// Two Pods, for a model with this name, and windows that close during the story.
fn two_pods_of(spec: &mut ModelVersionSpec, model: &str) {
    model.clone_into(&mut spec.model);
    spec.serving.replicas = ReplicaBounds { min: 2, max: 2 };
    spec.monitoring.season = Season::None;
    spec.monitoring.window_seconds = WINDOW;
    spec.monitoring.lateness_seconds = LATENESS;
}
