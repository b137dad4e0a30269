//! Writing what should be, and nothing where it is so already.

use std::fmt::Debug;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy},
    runtime::events::EventType,
};
use modelward_core::{name_hash, reasons};
use modelward_crds::FIELD_MANAGER;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Context, Error, events};

/// Hash of what was applied last: tells a change of ours from a change by somebody else.
const APPLIED: &str = "modelward.io/applied";

/// The object that a child belongs to.
pub struct Owner<'a> {
    /// Its controller reference.
    pub reference: OwnerReference,
    /// What Events about the child are about.
    pub about: &'a k8s_openapi::api::core::v1::ObjectReference,
    /// Whether all its children were there already: one that is missing was taken away by somebody.
    pub settled: bool,
}

/// What became of a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is as it should be, and nothing was written.
    Unchanged,
    /// It was made or changed.
    Written,
    /// Its predecessor of the same name is being deleted; look again.
    Going,
    /// An object of that name exists and is not ours.
    Taken,
}

/// A kind that lives in a namespace and whose type is known.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// Makes the child what it should be. Every field in `desired` is compared with what is there; fields that are not in
/// it belong to others.
pub async fn child<K: Child>(
    ctx: &Context,
    namespace: &str,
    owner: &Owner<'_>,
    mut desired: K,
) -> Result<Applied, Error> {
    let api = Api::<K>::namespaced(ctx.client.clone(), namespace);
    let kind = K::kind(&());
    let name = desired.name_any();
    let what = format!("{kind} {name}");

    desired.meta_mut().namespace = Some(namespace.to_owned());
    desired.meta_mut().owner_references = Some(vec![owner.reference.clone()]);
    let build = |source| Error::Build {
        what: what.clone(),
        source,
    };
    let content = serde_json::to_value(&desired).map_err(build)?;
    let hash = name_hash([content.to_string().as_bytes()]);
    desired.annotations_mut().insert(APPLIED.to_owned(), hash.clone());
    let content = serde_json::to_value(&desired).map_err(build)?;

    let live = ctx.call(format!("read {what}"), api.get_opt(&name)).await?;
    if live.is_none() && owner.settled {
        tampered(
            ctx,
            &desired,
            owner,
            format!("{what} was deleted by somebody and is made again"),
        )
        .await;
    }
    if let Some(live) = &live {
        match ownership(live, owner) {
            Ownership::Ours => {}
            Ownership::Going => return Ok(Applied::Going),
            Ownership::Foreign => return Ok(Applied::Taken),
        }
        let found = serde_json::to_value(live).map_err(build)?;
        if contains(&found, &content) {
            return Ok(Applied::Unchanged);
        }
        if live.annotations().get(APPLIED) == Some(&hash) {
            tampered(
                ctx,
                live,
                owner,
                format!("{what} was changed by somebody else and is put back"),
            )
            .await;
        }
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = ctx
        .call(
            format!("apply {what}"),
            api.patch(&name, &params, &Patch::Apply(&desired)),
        )
        .await;
    match (applied, live) {
        (Ok(applied), _) => {
            ctx.metrics.wrote(&kind, "apply");
            if !contains(&serde_json::to_value(&applied).map_err(build)?, &content) {
                // Server-side apply leaves items that another manager put into a list; a merge replaces the list.
                let params = PatchParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                ctx.call(
                    format!("merge {what}"),
                    api.patch(&name, &params, &Patch::Merge(&desired)),
                )
                .await?;
                ctx.metrics.wrote(&kind, "merge");
            }
            Ok(Applied::Written)
        }
        // Immutable, and somebody made it with other content: only a new one can be right.
        (Err(error), Some(live)) if error.code() == Some(422) && kind == "ConfigMap" => {
            tracing::warn!(
                object.namespace = namespace,
                object.name = name,
                "{what} cannot be put back, it is made anew"
            );
            delete(ctx, namespace, &live).await?;
            Ok(Applied::Going)
        }
        (Err(error), _) => Err(error),
    }
}

/// Says aloud that somebody else had his hands in a child.
async fn tampered<K: Child>(ctx: &Context, child: &K, owner: &Owner<'_>, note: String) {
    ctx.metrics.tampered(&K::kind(&()));
    tracing::warn!(
        object.namespace = child.namespace(),
        object.name = child.name_any(),
        "{note}"
    );
    events::publish(
        ctx,
        owner.about,
        EventType::Warning,
        reasons::ROUTES_TAMPERED,
        "Apply",
        note,
    )
    .await;
}

/// Deletes this very object, and what it owns in the background. That it is gone already is no error.
pub async fn delete<K: Child>(ctx: &Context, namespace: &str, object: &K) -> Result<(), Error> {
    let name = object.name_any();
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let api = Api::<K>::namespaced(ctx.client.clone(), namespace);
    match ctx
        .call(
            format!("delete {} {name}", K::kind(&())),
            api.delete(&name, &params),
        )
        .await
    {
        Ok(_) => {
            ctx.metrics.wrote(&K::kind(&()), "delete");
            Ok(())
        }
        // 409: another object has taken the name since, and that one stays.
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The object as it is now. A cache may be behind our own last write, and deciding from before it would undo it: an
/// attempt that was recorded and whose Job was deleted would look like one whose Job is lost.
pub async fn fresh<K: Child>(ctx: &Context, cached: &K) -> Result<Option<K>, Error> {
    let name = cached.name_any();
    let api = Api::<K>::namespaced(ctx.client.clone(), &cached.namespace().unwrap_or_default());
    ctx.call(format!("read {} {name}", K::kind(&())), api.get_opt(&name))
        .await
}

/// Writes a status where it is not what it was, and gives the object as it is then.
pub async fn status<K, S>(ctx: &Context, object: &K, old: Option<&S>, new: &S) -> Result<Option<K>, Error>
where
    K: Child,
    S: Serialize,
{
    let kind = K::kind(&());
    let name = object.name_any();
    let build = |source| Error::Build {
        what: format!("status of {kind} {name}"),
        source,
    };
    let content = serde_json::to_value(new).map_err(build)?;
    let before = old.map(serde_json::to_value).transpose().map_err(build)?;
    if before.as_ref() == Some(&content) {
        return Ok(None);
    }
    let body = serde_json::json!({
        "apiVersion": K::api_version(&()),
        "kind": kind,
        // The uid keeps a status from landing on an object that was deleted and made again meanwhile, the
        // resourceVersion from landing on what another process has decided since.
        "metadata": {"name": name, "uid": object.uid(), "resourceVersion": object.resource_version()},
        "status": content,
    });
    let api = Api::<K>::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    let write = api.patch_status(&name, &params, &patch);
    let written = ctx
        .call(format!("write the status of {kind} {name}"), write)
        .await?;
    ctx.metrics.wrote(&kind, "status");
    Ok(Some(written))
}

/// Builds a typed object from JSON: a misspelled field of a required type fails here and not in the cluster.
pub fn build<K: DeserializeOwned>(what: &str, value: Value) -> Result<K, Error> {
    serde_json::from_value(value).map_err(|source| Error::Build {
        what: what.to_owned(),
        source,
    })
}

// === ownership ===

enum Ownership {
    Ours,
    Going,
    Foreign,
}

fn ownership<K: Resource>(live: &K, owner: &Owner<'_>) -> Ownership {
    let controller = live
        .owner_references()
        .iter()
        .find(|reference| reference.controller == Some(true));
    match controller {
        Some(controller) if controller.uid == owner.reference.uid => {
            if live.meta().deletion_timestamp.is_some() {
                Ownership::Going
            } else {
                Ownership::Ours
            }
        }
        // A namesake of our owner that was deleted: the garbage collector takes its children.
        Some(controller)
            if controller.kind == owner.reference.kind && controller.name == owner.reference.name =>
        {
            Ownership::Going
        }
        _ => Ownership::Foreign,
    }
}

// === comparing ===

/// Whether everything in `desired` is in `found`. Lists must have the same length: an item that somebody added is a change.
fn contains(found: &Value, desired: &Value) -> bool {
    match (found, desired) {
        (Value::Object(found), Value::Object(desired)) => {
            desired.iter().all(|(key, value)| match found.get(key) {
                Some(found) => contains(found, value),
                None => is_empty(value),
            })
        }
        (Value::Array(found), Value::Array(desired)) => {
            found.len() == desired.len()
                && found
                    .iter()
                    .zip(desired)
                    .all(|(found, desired)| contains(found, desired))
        }
        _ => found == desired,
    }
}

/// The API server drops empty objects and lists, and false, in places.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_others_set_are_no_difference_and_changed_ones_are() {
        let desired = json!({"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
        assert!(contains(
            &json!({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"a": "b"}, "x": 1}}),
            &desired
        ));
        assert!(!contains(
            &json!({"spec": {"ports": [{"port": 81}], "selector": {"a": "b"}}}),
            &desired
        ));
        assert!(!contains(
            &json!({"spec": {"ports": [{"port": 80}, {"port": 81}], "selector": {"a": "b"}}}),
            &desired
        ));
        assert!(!contains(&json!({"spec": {"ports": [{"port": 80}]}}), &desired));
    }

    #[test]
    fn an_empty_object_that_the_server_dropped_is_no_difference() {
        assert!(contains(
            &json!({"spec": {}}),
            &json!({"spec": {"resources": {}}})
        ));
    }
}
