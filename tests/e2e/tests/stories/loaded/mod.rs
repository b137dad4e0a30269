//! Stories under load, which count each request: nothing else may run beside them.

use modelward_crds::{ModelVersionSpec, ReplicaBounds, Season};

mod counting;
mod retraining;

/// Requests a second.
const RATE: u32 = 500;
/// Seconds of a window of traffic.
const WINDOW: i32 = 20;
/// Seconds after a window until its counts are judged.
const LATENESS: i32 = 10;

/// Two Pods, of a model of this name, and windows that close in the middle of the story.
fn two_pods_of(spec: &mut ModelVersionSpec, model: &str) {
    model.clone_into(&mut spec.model);
    spec.serving.replicas = ReplicaBounds { min: 2, max: 2 };
    spec.monitoring.season = Season::None;
    spec.monitoring.window_seconds = WINDOW;
    spec.monitoring.lateness_seconds = LATENESS;
}
