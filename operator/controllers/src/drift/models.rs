//! The models that drift now.

use modelward_core::drift::DriftingModels;

use crate::{
    Error,
    api::{Env, env::CALL_TIMEOUT},
    cache::{cached::Key, index::Index, report::CachedReport},
};

/// The models that drift now in all watched namespaces, as they count for this one. From the watch of reports, without a call.
pub(crate) async fn drifting(
    env: &Env,
    reports: &Index<CachedReport>,
    namespace: &str,
) -> Result<usize, Error> {
    let late = || Error::Timeout {
        action: "read the watched DriftReports".to_owned(),
        seconds: CALL_TIMEOUT.as_secs(),
    };
    let ready = tokio::time::timeout(CALL_TIMEOUT, reports.is_ready()).await;
    if ready != Ok(true) {
        return Err(late());
    }
    let found = reports.of(&Key::Drift);
    let readable = found.iter().filter_map(|report| report.0.as_ref().ok());
    let models = DriftingModels::of(readable.filter_map(|report| report.drift.as_ref()), env.now());
    Ok(models.counted_for(namespace, env.config.policy.storm_models()))
}
