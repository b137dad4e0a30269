//! Reads that both controllers of drift share.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, api::ListParams};
use modelward_crds::{DriftReport, ModelVersion, labels};

use crate::{Error, api::Env};

/// Without any event an object is reconciled again after this long: a lost event must not be lost forever.
pub(super) const RESYNC: Duration = Duration::from_mins(15);

/// The reports that were made for this model.
pub(super) async fn reports_of(env: &Env, namespace: &str, model: &str) -> Result<Vec<DriftReport>, Error> {
    let of_model = ListParams::default().labels(&format!("{}={model}", labels::MODEL));
    env.list(Some(namespace), &of_model).await
}

pub(super) async fn version_named(
    env: &Env,
    namespace: &str,
    name: &str,
) -> Result<Option<ModelVersion>, Error> {
    let api = Api::<ModelVersion>::namespaced(env.client.clone(), namespace);
    env.call(format!("read ModelVersion {name}"), api.get_opt(name))
        .await
}

/// The time from now to then; zero if it has passed.
pub(super) fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}
