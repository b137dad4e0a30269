//! Cached models.

use std::sync::Arc;

use kube::api::ObjectMeta;
use modelward_core::{
    conditions::{self, Status},
    model::ModelView,
    upgrade::ModelSeen,
};
use modelward_crds::{ConditionType, Model};
use serde::Deserialize;

use super::cached::{Key, cached, slim};
use crate::api::NamespacedName;

/// A `Model` in memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Model")]
pub(crate) struct CachedModel {
    metadata: ObjectMeta,
    /// Uid of the action that holds the claim.
    pub(crate) claim: Option<String>,
    /// What its versions read of it.
    pub(crate) view: ModelView,
    /// Its Pod template, once it has one.
    pub(crate) upgrade: Option<ModelSeen>,
    keys: Arc<[Key]>,
}

cached!(CachedModel, Model);

impl From<Model> for CachedModel {
    fn from(model: Model) -> Self {
        let status = model.status.as_ref();
        let children = status.into_iter().flat_map(|status| &status.children);
        Self {
            claim: status
                .and_then(|status| status.active_action.as_ref())
                .map(|active| active.uid.clone()),
            view: ModelView::of(&model),
            upgrade: seen(&model),
            keys: children.map(|child| Key::Uid(child.uid.clone())).collect(),
            metadata: slim(model.metadata),
        }
    }
}

fn seen(model: &Model) -> Option<ModelSeen> {
    let status = model.status.as_ref()?;
    let rollout = status.rollout.as_ref()?;
    Some(ModelSeen {
        key: NamespacedName::of(model).to_string(),
        configuration: rollout.configuration.clone(),
        settled: rollout.settled,
        ready: conditions::find(&status.conditions, ConditionType::Ready)
            .is_some_and(|ready| conditions::status(ready) != Status::False),
        stalled: conditions::is_true(&status.conditions, ConditionType::Stalled),
    })
}
