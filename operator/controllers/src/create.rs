//! Creation of objects of any kind.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _, api::PostParams};
use modelward_crds::FIELD_MANAGER;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Error, metrics::Verb};

/// The HTTP status that says that an object of this name exists.
const CONFLICT: u16 = 409;

/// The result of creating an object.
#[derive(Clone, Debug)]
pub(crate) enum Created<K> {
    /// The object as the API server made it.
    Made(K),
    /// An object of that name exists. The caller has to find out whether it is the right one.
    Exists,
}

// === impl Created ===

impl<K> Created<K> {
    /// Whether it was made now.
    pub(crate) fn is_made(&self) -> bool {
        matches!(self, Self::Made(_))
    }
}

/// What can be created.
pub(crate) trait Creatable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Creatable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// Creates an object in a namespace.
pub(crate) async fn create<K: Creatable>(
    ctx: &Context,
    namespace: &str,
    object: &K,
) -> Result<Created<K>, Error> {
    match post(ctx, namespace, object, false).await {
        Ok(made) => {
            ctx.metrics.wrote(&K::kind(&()), Verb::Create);
            Ok(Created::Made(made))
        }
        Err(error) if error.code() == Some(CONFLICT) => Ok(Created::Exists),
        Err(error) => Err(error),
    }
}

/// Why the API server would not create an object now: a quota, a webhook, a policy. Determined by a dry run.
pub(crate) async fn refusal<K: Creatable>(
    ctx: &Context,
    namespace: &str,
    object: &K,
) -> Result<Option<Error>, Error> {
    match post(ctx, namespace, object, true).await {
        Ok(_) => Ok(None),
        Err(error) if error.code() == Some(CONFLICT) => Ok(None),
        // A webhook that does not answer causes a 500.
        Err(error) if error.refused() || error.code() == Some(500) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

async fn post<K: Creatable>(ctx: &Context, namespace: &str, object: &K, dry_run: bool) -> Result<K, Error> {
    let (kind, name) = (K::kind(&()), object.name_any());
    let api = Api::<K>::namespaced(ctx.client.clone(), namespace);
    let params = PostParams {
        dry_run,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    ctx.call(format!("create {kind} {name}"), api.create(&params, object))
        .await
}
