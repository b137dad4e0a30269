//! Creation of objects of any kind.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _, api::PostParams};
use modelward_crds::FIELD_MANAGER;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, api::Env, metrics::Verb};

/// The HTTP status that says that an object of this name exists.
const CONFLICT: u16 = 409;

/// The result of creating an object.
#[derive(Debug)]
pub(crate) enum Created<K> {
    /// The object as the API server made it.
    Made(K),
    /// An object of that name exists, with the API server's answer. The caller has to find out whether it is the right one.
    Exists(Error),
}

// === impl Created ===

impl<K> Created<K> {
    /// Whether it was made now.
    pub(crate) fn is_made(&self) -> bool {
        matches!(self, Self::Made(_))
    }
}

/// A kind that lives in a namespace and whose type is known.
pub(crate) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// Creates an object in a namespace.
pub(crate) async fn create<K: Namespaced>(
    env: &Env,
    namespace: &str,
    object: &K,
) -> Result<Created<K>, Error> {
    let api = Api::namespaced(env.client.clone(), namespace);
    match post(env, &api, &K::kind(&()), object, false).await {
        Ok(made) => Ok(Created::Made(made)),
        Err(error) if error.code() == Some(CONFLICT) => Ok(Created::Exists(error)),
        Err(error) => Err(error),
    }
}

/// Why the API server would not create an object now: a quota, a webhook, a policy. Determined by a dry run.
pub(crate) async fn refusal<K: Namespaced>(
    env: &Env,
    namespace: &str,
    object: &K,
) -> Result<Option<Error>, Error> {
    let api = Api::namespaced(env.client.clone(), namespace);
    match post(env, &api, &K::kind(&()), object, true).await {
        Ok(_) => Ok(None),
        Err(error) if error.code() == Some(CONFLICT) => Ok(None),
        // A webhook that does not answer causes a 500.
        Err(error) if error.refused() || error.code() == Some(500) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Asks the API server to create an object of this kind, and counts the write.
pub(crate) async fn post<K>(
    env: &Env,
    api: &Api<K>,
    kind: &str,
    object: &K,
    dry_run: bool,
) -> Result<K, Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = object.name_any();
    let params = params(dry_run);
    let made = env
        .call(format!("create {kind} {name}"), api.create(&params, object))
        .await?;
    if !dry_run {
        env.metrics.wrote(kind, Verb::Create);
    }
    Ok(made)
}

/// How the operator creates and replaces.
pub(crate) fn params(dry_run: bool) -> PostParams {
    PostParams {
        dry_run,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    }
}
