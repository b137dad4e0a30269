//! Cached reports.

use std::sync::Arc;

use kube::{ResourceExt as _, api::ObjectMeta};
use modelward_core::drift::{DriftSeen, is_complete};
use modelward_crds::{DriftReport, labels};
use serde::Deserialize;

use super::cached::{Key, cached, slim};
use crate::api::NamespacedName;

/// A `DriftReport` in memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "DriftReport")]
pub(crate) struct CachedReport {
    metadata: ObjectMeta,
    /// Name of the version that it is about.
    pub(crate) version: String,
    /// Name of the model in its label.
    pub(crate) model: Option<String>,
    /// Whether it has its verdict and the response to it.
    pub(crate) complete: bool,
    /// The drift that it found.
    pub(crate) drift: Option<DriftSeen>,
    keys: Arc<[Key]>,
}

cached!(CachedReport, DriftReport);

impl From<DriftReport> for CachedReport {
    fn from(report: DriftReport) -> Self {
        let drift = DriftSeen::of(&report);
        let judged = report
            .status
            .as_ref()
            .is_some_and(|status| status.verdict.is_some());
        let version = NamespacedName::of(&report).beside(&report.spec.version);
        let keys = (!judged)
            .then_some(Key::Version(version))
            .into_iter()
            .chain(drift.as_ref().map(|_| Key::Drift));
        Self {
            keys: keys.collect(),
            model: report.labels().get(labels::MODEL).cloned(),
            complete: is_complete(&report),
            drift,
            version: report.spec.version,
            metadata: slim(report.metadata),
        }
    }
}
