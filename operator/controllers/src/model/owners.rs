//! No version owns the record of a model.

use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use modelward_core::model::Validated;
use modelward_crds::{FIELD_MANAGER, Model, ModelVersion};

use crate::{Error, api::Env, metrics::Verb};

/// Removes versions from the owners of the record, because it outlives them. Earlier releases made each version an owner.
pub(super) async fn disown(
    env: &Env,
    namespace: &str,
    valid: Validated,
    versions: &[ModelVersion],
) -> Result<Validated, Error> {
    let model = valid.model();
    let kind = ModelVersion::kind(&());
    let is_version = |uid: &str| {
        versions
            .iter()
            .any(|version| version.uid().as_deref() == Some(uid))
    };
    let kept: Vec<_> = model
        .owner_references()
        .iter()
        .filter(|owner| owner.kind != kind && !is_version(&owner.uid))
        .cloned()
        .collect();
    if kept.len() == model.owner_references().len() {
        return Ok(valid);
    }
    let name = model.name_any();
    let patch = serde_json::json!({"metadata": {
        "uid": model.uid(),
        "resourceVersion": model.resource_version(),
        "ownerReferences": kept,
    }});
    let api = Api::<Model>::namespaced(env.client.clone(), namespace);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    let write = api.patch(&name, &params, &patch);
    let disowned = env
        .call(format!("take the owners from Model {name}"), write)
        .await?;
    env.metrics.wrote("Model", Verb::Merge);
    Ok(valid.written(disowned))
}
