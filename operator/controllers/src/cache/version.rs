//! Cached versions.

use std::sync::Arc;

use kube::{ResourceExt as _, api::ObjectMeta};
use modelward_core::{order::Place, queue::State};
use modelward_crds::{AttemptStatus, ModelVersion, ModelVersionStatus};
use serde::Deserialize;

use super::cached::{Key, cached, slim};
use crate::{
    api::NamespacedName,
    jobs::names::{label_value, spec_prefix},
};

/// A `ModelVersion` in memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "ModelVersion")]
pub(crate) struct CachedVersion {
    metadata: ObjectMeta,
    /// Name of its model.
    pub(crate) model: String,
    /// Its place among the versions of all models.
    pub(crate) place: Place,
    /// Its activity, if a Job of it is in progress.
    pub(crate) state: Option<State>,
    /// Whether it has to be trained or imported and was never reconciled.
    pub(crate) undecided: bool,
    keys: Arc<[Key]>,
}

cached!(CachedVersion, ModelVersion);

// === impl CachedVersion ===

impl CachedVersion {
    /// The cached part of this version.
    pub(crate) fn of(version: &ModelVersion) -> Self {
        Self {
            model: version.spec.model.clone(),
            place: Place::of_version(version),
            state: version.status.as_ref().and_then(activity),
            undecided: version.status.is_none()
                && version.metadata.deletion_timestamp.is_none()
                && needs_a_job(version),
            keys: keys(version).into(),
            metadata: slim(version.metadata.clone()),
        }
    }
}

impl From<ModelVersion> for CachedVersion {
    fn from(version: ModelVersion) -> Self {
        Self::of(&version)
    }
}

/// Whether its bundle does not exist yet.
fn needs_a_job(version: &ModelVersion) -> bool {
    let artifact = version.spec.source.artifact.as_ref();
    artifact.is_none_or(|artifact| artifact.bundle.is_none())
}

/// The activity of a version with this status: none, if no Job of it is in progress.
pub(crate) fn activity(status: &ModelVersionStatus) -> Option<State> {
    let attempt = attempts(status).find(|attempt| !attempt.finished && attempt.retry_at.is_none())?;
    Some(if attempt.reason.is_some() {
        State::Hindered
    } else {
        State::Runs
    })
}

fn attempts(status: &ModelVersionStatus) -> impl Iterator<Item = &AttemptStatus> {
    [&status.snapshot_attempt, &status.fit_attempt]
        .into_iter()
        .flatten()
}

fn keys(version: &ModelVersion) -> Vec<Key> {
    let own = NamespacedName::of(version);
    let mut keys = vec![
        Key::Model(own.beside(&version.spec.model)),
        Key::Uid(version.uid().unwrap_or_default()),
        Key::Label(own.beside(label_value(&own.name))),
    ];
    for dataset in version.spec.source.datasets() {
        let map = dataset.config_map.as_ref();
        keys.extend(map.map(|map| Key::ConfigMap(own.beside(&map.name))));
        let claim = dataset.persistent_volume_claim.as_ref();
        keys.extend(claim.map(|claim| Key::Claim(own.beside(&claim.claim_name))));
    }
    let maker = version.spec.provenance.as_ref();
    keys.extend(maker.map(|maker| Key::MadeBy(maker.action.uid.clone())));
    let status = version.status.as_ref();
    let attempts: Vec<_> = status.into_iter().flat_map(attempts).collect();
    let jobs = attempts.iter().filter_map(|attempt| attempt.job_uid.clone());
    keys.extend(jobs.map(Key::Uid));
    if attempts.iter().any(|attempt| !attempt.finished) {
        let prefix = spec_prefix(&own.name);
        keys.push(Key::SpecMap(own.beside(prefix)));
    }
    keys
}
