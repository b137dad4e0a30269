//! The objects of one namespace: create them from JSON, change them and wait for them.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use modelward_crds::{DriftReport, Model, ModelVersion, RemediationAction};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::wait;

/// A label that the operator ignores. Setting it triggers a reconcile of the object.
pub const UNRELATED: &str = "unrelated";

/// Access to the objects of a namespace.
#[derive(Clone)]
pub struct Objects {
    /// A client with the permissions of its user.
    pub kube: Client,
    /// The name of the namespace.
    pub namespace: String,
    /// The maximum time to wait for an object.
    patience: Duration,
}

// === impl Objects ===

impl Objects {
    /// The objects of a namespace that exists.
    pub fn new(kube: Client, namespace: impl Into<String>, patience: Duration) -> Self {
        Self {
            kube,
            namespace: namespace.into(),
            patience,
        }
    }

    /// The objects of a kind.
    pub fn all<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.of(&self.kube)
    }

    /// The objects of a kind as another user sees them.
    pub fn of<K>(&self, who: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(who.clone(), &self.namespace)
    }

    /// Every object of a kind, in the order of their names.
    pub async fn list<K>(&self) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        Ok(self.all::<K>().list(&ListParams::default()).await?.items)
    }

    /// Creates an object from its content, without `apiVersion` and `kind`.
    pub async fn create<K>(&self, content: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Serialize + DeserializeOwned + Clone + Debug,
    {
        let object: K = object(content)?;
        let created = self.all::<K>().create(&PostParams::default(), &object).await;
        created.with_context(|| format!("create {} {}", K::kind(&()), self.name_of(&object)))
    }

    /// Merges a patch into an object, as a client other than the operator.
    pub async fn patch<K>(&self, name: &str, patch: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let params = PatchParams {
            field_manager: Some("another-writer".into()),
            ..PatchParams::default()
        };
        Ok(self.all::<K>().patch(name, &params, &Patch::Merge(patch)).await?)
    }

    /// Deletes an object in the background.
    pub async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        self.all::<K>().delete(name, &DeleteParams::background()).await?;
        Ok(())
    }

    /// Sets an unrelated label with this value on each object of Modelward's kinds.
    pub async fn touch_all(&self, value: &str) -> Result<()> {
        self.touch::<ModelVersion>(value).await?;
        self.touch::<Model>(value).await?;
        self.touch::<DriftReport>(value).await?;
        self.touch::<RemediationAction>(value).await
    }

    /// Sets an unrelated label with this value on each object of a kind, which triggers its controller.
    pub async fn touch<K>(&self, value: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let objects = self.all::<K>();
        for object in objects.list_metadata(&ListParams::default()).await? {
            match label(&objects, &object.name_any(), value).await {
                // It was deleted in the meantime.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                answer => answer?,
            }
        }
        Ok(())
    }

    /// Waits until an object matches. The error contains its status.
    pub async fn wait<K>(&self, name: &str, what: &str, is_so: impl Fn(&K) -> bool + Send) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    {
        wait::until_so(self.all::<K>(), name, what, self.patience, is_so).await
    }

    /// Waits until no object with this name exists.
    pub async fn wait_gone<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    {
        wait::until_gone(self.all::<K>(), name, self.patience).await
    }

    fn name_of<K: Resource>(&self, object: &K) -> String {
        format!("{}/{}", self.namespace, object.name_any())
    }
}

/// A typed object from its content, without `apiVersion` and `kind`.
pub fn object<K>(mut content: Value) -> Result<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    content["apiVersion"] = K::api_version(&()).into();
    content["kind"] = K::kind(&()).into();
    Ok(serde_json::from_value(content)?)
}

/// Sets an unrelated label with this value on one object.
pub async fn label<K>(objects: &Api<K>, name: &str, value: &str) -> kube::Result<()>
where
    K: Resource + DeserializeOwned + Clone + Debug,
{
    let patch = Patch::Merge(json!({"metadata": {"labels": {UNRELATED: value}}}));
    objects
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await
        .map(|_| ())
}
