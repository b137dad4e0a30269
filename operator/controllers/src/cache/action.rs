//! Cached actions.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{ResourceExt as _, api::ObjectMeta};
use modelward_core::{
    action::kinds::{Shelf, facts},
    conditions, objects,
};
use modelward_crds::{ConditionType, RemediationAction};
use serde::Deserialize;

use super::cached::{Key, cached, slim};
use crate::{
    api::NamespacedName,
    jobs::names::{label_value, spec_prefix},
};

/// A `RemediationAction` in memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RemediationAction")]
pub(crate) struct CachedAction {
    metadata: ObjectMeta,
    /// Name of its model.
    pub(crate) model: String,
    /// Name of the version that it promotes.
    pub(crate) candidate: Option<String>,
    /// When it ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// Whether it is kept as an alert once it has ended.
    pub(crate) alert: bool,
    /// Whether its status describes its spec.
    pub(crate) observed: bool,
    keys: Arc<[Key]>,
}

cached!(CachedAction, RemediationAction);

impl From<RemediationAction> for CachedAction {
    fn from(action: RemediationAction) -> Self {
        let status = action.status.as_ref();
        let conditions = status.map(|status| status.conditions.as_slice());
        let succeeded = conditions::find(conditions.unwrap_or_default(), ConditionType::Succeeded);
        let observed = status.and_then(|status| status.observed_generation);
        Self {
            model: action.spec.model.clone(),
            candidate: action.spec.candidate.as_ref().map(|of| of.name.clone()),
            ended_at: succeeded
                .filter(|_| objects::has_ended(&action))
                .map(|succeeded| succeeded.last_transition_time.0),
            alert: facts(action.spec.action).shelf == Shelf::Alert,
            observed: observed.is_some() && observed == action.metadata.generation,
            keys: keys(&action).into(),
            metadata: slim(action.metadata),
        }
    }
}

fn keys(action: &RemediationAction) -> Vec<Key> {
    let own = NamespacedName::of(action);
    let model = own.beside(&action.spec.model);
    let status = action.status.as_ref();
    let attempt = status.and_then(|status| status.snapshot_attempt.as_ref());
    let mut keys = vec![
        Key::Model(model.clone()),
        Key::Uid(action.uid().unwrap_or_default()),
    ];
    keys.extend(attempt.and_then(|attempt| attempt.job_uid.clone()).map(Key::Uid));
    if objects::has_ended(action) {
        return keys;
    }
    keys.push(Key::OpenOf(model));
    keys.push(Key::Label(own.beside(label_value(&own.name))));
    if attempt.is_some_and(|attempt| !attempt.finished) {
        let prefix = spec_prefix(&own.name);
        keys.push(Key::SpecMap(own.beside(prefix)));
    }
    let window = action.spec.accept_window.as_ref();
    keys.extend(window.map(|window| Key::Report(own.beside(&window.name))));
    let plan = status.and_then(|status| status.plan.as_ref());
    let routes = plan.iter().flat_map(|plan| &plan.planned_routes);
    keys.extend(routes.map(|route| Key::Version(own.beside(&route.version))));
    keys
}
