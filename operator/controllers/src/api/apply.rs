//! Writes the desired objects, and skips writes that would change nothing.
//!
//! Children are created and replaced whole, with the resourceVersion that was compared, because an apply would keep fields that
//! others added. [`modelward_core::children`] has the fields that others may set.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy},
    core::ApiResource,
    runtime::events::EventType,
};
use modelward_core::{
    children::{self, Bounds, Judgement},
    model::Altered,
    names::name_hash,
    reason::Reason,
};
use modelward_crds::{ChildReference, FIELD_MANAGER};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Error,
    api::{
        Env, NamespacedName, OwnWrites,
        create::{self, Namespaced},
        events,
    },
    metrics::Verb,
};

/// The object that a child belongs to.
pub struct Owner<'a> {
    /// Its controller reference.
    pub reference: OwnerReference,
    /// The object that Events about the child refer to.
    pub about: &'a k8s_openapi::api::core::v1::ObjectReference,
    /// Whether all its children existed before, so that a missing one was deleted by another client.
    pub settled: bool,
    /// The children that its record names.
    pub recorded: &'a [ChildReference],
    /// Whether names are hashes of the content and of the owner's uid, so that an object with this content is the child,
    /// independent of its owner references.
    pub by_content: bool,
}

/// The result for a child.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// It is in the desired state, or is left as it is.
    There(Box<There>),
    /// A predecessor with the same name is being deleted; try again.
    Going,
    /// An object of that name exists and is not the operator's.
    Taken,
}

/// An existing child.
#[derive(Clone, Debug, PartialEq)]
pub struct There {
    /// Its entry in the record.
    pub reference: ChildReference,
    /// The current object.
    pub object: Value,
    /// The differences that are left.
    pub altered: Option<Altered>,
}

/// The child of this name in the API server, including fields that this build does not know.
pub async fn live<K: Namespaced>(
    env: &Env,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Error> {
    env.call(
        format!("read {} {name}", K::kind(&())),
        untyped::<K>(env, namespace).get_opt(name),
    )
    .await
}

/// Brings the child to the desired state, in every field except those that others may set.
pub async fn child<K: Namespaced>(
    env: &Env,
    writes: &OwnWrites,
    namespace: &str,
    owner: &Owner<'_>,
    live: Option<DynamicObject>,
    desired: &K,
    bounds: Option<Bounds>,
) -> Result<Applied, Error> {
    let kind = K::kind(&());
    let name = desired.name_any();
    let what = format!("{kind} {name}");
    let build = |source| Error::Build {
        what: what.clone(),
        source,
    };

    let mut wanted = serde_json::to_value(desired).map_err(build)?;
    wanted["metadata"]["namespace"] = namespace.into();
    wanted["metadata"]["ownerReferences"] = serde_json::to_value([&owner.reference]).map_err(build)?;
    let range = bounds.map(|bounds| format!("{}-{}", bounds.min, bounds.max));
    let applied = name_hash([
        wanted.to_string().as_bytes(),
        range.unwrap_or_default().as_bytes(),
    ]);
    let recorded = owner
        .recorded
        .iter()
        .find(|child| child.kind == kind && child.name == name);

    let ignored = &env.config.ignore_differences;
    let target = |found: &Value, wanted: &Value| children::target(&kind, found, wanted, bounds, ignored);
    let Some(live) = live else {
        // Another client deleted a recorded child, unless this process did.
        let was_there = recorded.is_some_and(|recorded| !writes.deleted_child(&recorded.uid));
        if owner.settled || was_there {
            let note = format!("{what} was deleted by another client; recreating it");
            tampered::<K>(env, namespace, &name, owner, note).await;
        }
        if let Some(bounds) = bounds {
            wanted["spec"]["replicas"] = bounds.min.max(1).into();
        }
        let made = create::<K>(env, namespace, wanted.clone()).await?;
        let wanted = (applied.as_str(), &target(&made, &wanted));
        let altered = written(writes, (namespace, &what), wanted, &made, None, env.now());
        return there(&what, &applied, made, altered);
    };
    match ownership(&live, owner, recorded) {
        Ownership::Foreign | Ownership::Going if is_by_content(owner, &live, &wanted) => {}
        Ownership::Ours => {}
        Ownership::Going => return Ok(Applied::Going),
        Ownership::Foreign => return Ok(Applied::Taken),
    }
    let found = serde_json::to_value(&live).map_err(build)?;
    let desired = target(&found, &wanted);
    let different = children::differences(&found, &desired);
    if different.is_empty() {
        return there(&what, &applied, found, None);
    }
    let fingerprint = children::fingerprint(&found, &different);
    let key = format!("{namespace}/{what}");
    let by_admission = match writes.judge_child(&key, &applied, &fingerprint, env.now()) {
        Judgement::Restore => None,
        Judgement::Admitted => Some(true),
        Judgement::LeftAlone => Some(false),
    };
    if let Some(by_admission) = by_admission {
        let altered = Altered {
            child: what.clone(),
            fields: different,
            by_admission,
        };
        return there(&what, &applied, found, Some(altered));
    }
    // The operator's last write equals the wanted object, so another client changed it.
    let by_another = match recorded {
        Some(recorded) => recorded.applied == applied,
        // The name of a ConfigMap is a hash of its content, so it is never updated.
        None => {
            kind == "ConfigMap" && (owner.settled || different.iter().any(|field| field.starts_with("/data")))
        }
    };
    if children::must_be_made_again(&kind, &found, &desired) {
        if by_another {
            let note = format!(
                "{what} was changed at {} by another client; recreating it",
                children::in_words(&different)
            );
            tampered::<K>(env, namespace, &name, owner, note).await;
        }
        let typed: K = serde_json::from_value(found).map_err(build)?;
        delete(env, namespace, &typed).await?;
        writes.note_deleted_child(&typed.uid().unwrap_or_default());
        return Ok(Applied::Going);
    }
    let made = replace::<K>(env, namespace, &name, desired).await?;
    let wanted = (applied.as_str(), &target(&made, &wanted));
    let found_before = Some(fingerprint.as_str());
    let altered = written(writes, (namespace, &what), wanted, &made, found_before, env.now());
    if by_another && made["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"] {
        let note = format!(
            "{what} was changed at {} by another client; restoring it",
            children::in_words(&different)
        );
        tampered::<K>(env, namespace, &name, owner, note).await;
    }
    there(&what, &applied, made, altered)
}

async fn create<K: Namespaced>(env: &Env, namespace: &str, wanted: Value) -> Result<Value, Error> {
    let kind = K::kind(&());
    let object: DynamicObject = build(&kind, wanted)?;
    let made = create::post(env, &untyped::<K>(env, namespace), &kind, &object, false).await?;
    serde_json::to_value(made).map_err(|source| Error::Build {
        what: format!("{kind} {}", object.name_any()),
        source,
    })
}

async fn replace<K: Namespaced>(
    env: &Env,
    namespace: &str,
    name: &str,
    target: Value,
) -> Result<Value, Error> {
    let kind = K::kind(&());
    let object: DynamicObject = build(&kind, target)?;
    let api = untyped::<K>(env, namespace);
    let params = create::params(false);
    let made = env
        .call(
            format!("replace {kind} {name}"),
            api.replace(name, &params, &object),
        )
        .await?;
    env.metrics.wrote(&kind, Verb::Update);
    serde_json::to_value(made).map_err(|source| Error::Build {
        what: format!("{kind} {name}"),
        source,
    })
}

/// Records how the API server changed a write. Such a change comes from admission, or is a default that this build does not know; no
/// other client wrote in between.
fn written(
    writes: &OwnWrites,
    (namespace, what): (&str, &str),
    (applied, target): (&str, &Value),
    made: &Value,
    found: Option<&str>,
    now: Timestamp,
) -> Option<Altered> {
    let fields = children::differences(made, target);
    let left = (!fields.is_empty()).then(|| (children::fingerprint(made, &fields), fields.clone()));
    writes.note_child(&format!("{namespace}/{what}"), applied, found, left, now);
    (!fields.is_empty()).then(|| Altered {
        child: what.to_owned(),
        fields,
        by_admission: true,
    })
}

fn there(what: &str, applied: &str, object: Value, altered: Option<Altered>) -> Result<Applied, Error> {
    let (kind, name) = what.split_once(' ').unwrap_or((what, ""));
    let uid = object["metadata"]["uid"].as_str().ok_or(Error::Incomplete {
        what: "a child",
        field: "metadata.uid",
    })?;
    Ok(Applied::There(Box::new(There {
        reference: ChildReference {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            applied: applied.to_owned(),
        },
        object,
        altered,
    })))
}

fn untyped<K: Namespaced>(env: &Env, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(env.client.clone(), namespace, &ApiResource::erase::<K>(&()))
}

/// Reports that another client changed a child.
pub async fn tampered<K: Namespaced>(
    env: &Env,
    namespace: &str,
    name: &str,
    owner: &Owner<'_>,
    note: String,
) {
    env.metrics.tampered(&K::kind(&()));
    tracing::warn!(object.namespace = namespace, object.name = name, "{note}");
    events::publish(
        env,
        owner.about,
        EventType::Warning,
        Reason::RoutesTampered,
        "Apply",
        note,
    )
    .await;
}

/// Deletes this object, and its dependents in the background. It is not an error if it does not exist.
pub async fn delete<K: Namespaced>(env: &Env, namespace: &str, object: &K) -> Result<(), Error> {
    let name = object.name_any();
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let api = Api::<K>::namespaced(env.client.clone(), namespace);
    match env
        .call(
            format!("delete {} {name}", K::kind(&())),
            api.delete(&name, &params),
        )
        .await
    {
        Ok(_) => {
            env.metrics.wrote(&K::kind(&()), Verb::Delete);
            Ok(())
        }
        // 409: another object has the name now, and is kept.
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The current object. A cache may be older than the operator's last write, and a decision from it would undo that write: a recorded
/// attempt whose Job was deleted would look like one whose Job is lost.
pub async fn fresh<K: Namespaced>(env: &Env, name: &NamespacedName) -> Result<Option<K>, Error> {
    let NamespacedName { namespace, name } = name;
    let api = Api::<K>::namespaced(env.client.clone(), namespace);
    env.call(format!("read {} {name}", K::kind(&())), api.get_opt(name))
        .await
}

/// Writes a status if it differs, and returns the current object.
pub async fn status<K, S>(env: &Env, object: &K, old: Option<&S>, new: &S) -> Result<Option<K>, Error>
where
    K: Namespaced,
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
        // The uid prevents writing to an object that was deleted and recreated, the resourceVersion prevents
        // overwriting the decision of another process.
        "metadata": {"name": name, "uid": object.uid(), "resourceVersion": object.resource_version()},
        "status": content,
    });
    let api = Api::<K>::namespaced(env.client.clone(), &object.namespace().unwrap_or_default());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&body);
    let write = api.patch_status(&name, &params, &patch);
    let written = env
        .call(format!("write the status of {kind} {name}"), write)
        .await?;
    env.metrics.wrote(&kind, Verb::Status);
    Ok(Some(written))
}

/// Builds a typed object from JSON, so that a misspelled required field fails here and not in the cluster.
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

/// Whether an object is the child, by its content.
fn is_by_content(owner: &Owner<'_>, live: &DynamicObject, wanted: &Value) -> bool {
    owner.by_content && live.meta().deletion_timestamp.is_none() && live.data["data"] == wanted["data"]
}

/// The owner of an object: by its controller reference, or by its uid in the record if the owner references were removed.
fn ownership(live: &DynamicObject, owner: &Owner<'_>, recorded: Option<&ChildReference>) -> Ownership {
    let controller = live
        .owner_references()
        .iter()
        .find(|reference| reference.controller == Some(true));
    let is_recorded = recorded.is_some_and(|recorded| live.uid().as_ref() == Some(&recorded.uid));
    match controller {
        _ if is_recorded && live.meta().deletion_timestamp.is_none() => Ownership::Ours,
        _ if is_recorded => Ownership::Going,
        Some(controller) if controller.uid == owner.reference.uid => {
            if live.meta().deletion_timestamp.is_some() {
                Ownership::Going
            } else {
                Ownership::Ours
            }
        }
        // An earlier owner with the same name was deleted: the garbage collector deletes its children.
        Some(controller)
            if controller.kind == owner.reference.kind && controller.name == owner.reference.name =>
        {
            Ownership::Going
        }
        _ => Ownership::Foreign,
    }
}
