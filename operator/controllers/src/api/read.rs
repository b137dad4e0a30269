//! Lists that do not fail because of one invalid object.
//!
//! A tenant can create an object that the API server accepts but that this program cannot deserialize. A plain typed list then fails
//! as a whole, and with it every reconcile that needs the list.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource,
    api::ListParams,
    core::{DeserializeGuard, ObjectList},
    runtime::events::EventType,
};
use modelward_core::{objects::is_of_deleted_model, reason::Reason};
use modelward_crds::RemediationAction;
use serde::de::DeserializeOwned;

use crate::{
    Error,
    api::{Env, events},
};

/// Number of objects per page.
const PAGE: u32 = 500;
/// A list whose continue token expires between two pages is started again, at most this many times.
const RESTARTS: usize = 3;

// === impl Env ===

impl Env {
    /// Lists objects of one namespace, or of all watched namespaces if `namespace` is `None`.
    ///
    /// Reads pages of 500, each within the time limit of a call. An object that cannot be deserialized is left out: it is
    /// logged once, an Event on it says why, and it affects nothing else.
    pub(crate) async fn list<K>(&self, namespace: Option<&str>, params: &ListParams) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api = match namespace.or(self.config.watch_namespace.as_deref()) {
            Some(namespace) => Api::<DeserializeGuard<K>>::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut restarts = 0;
        loop {
            match Box::pin(self.pages(&api, params)).await {
                // The token of the next page has expired.
                Err(error) if error.code() == Some(410) && restarts < RESTARTS => restarts += 1,
                listed => return listed,
            }
        }
    }

    /// The actions about a model, without those of an earlier Model of that name. `uid` is that of the Model.
    pub(crate) async fn actions_of(
        &self,
        namespace: &str,
        model: &str,
        uid: Option<&str>,
    ) -> Result<Vec<RemediationAction>, Error> {
        let about = ListParams::default().fields(&format!("spec.model={model}"));
        let mut actions = self.list::<RemediationAction>(Some(namespace), &about).await?;
        actions.retain(|action| !is_of_deleted_model(action, uid));
        Ok(actions)
    }

    async fn pages<K>(&self, api: &Api<DeserializeGuard<K>>, params: &ListParams) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let mut params = ListParams {
            limit: Some(PAGE),
            ..params.clone()
        };
        let mut found = Vec::new();
        loop {
            let action = describe_list::<K>(&params);
            let page: ObjectList<_> = self.call(action, api.list(&params)).await?;
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            for object in page.items {
                match object.0 {
                    Ok(object) => found.push(object),
                    Err(invalid) => {
                        let unreadable = DeserializeGuard::<K>(Err(invalid));
                        self.report_unreadable(&unreadable).await;
                    }
                }
            }
            if params.continue_token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Reports an object that cannot be deserialized, once for each change of it: a log line and an Event on it.
    pub(crate) async fn report_unreadable<K: Resource<DynamicType = ()>>(
        &self,
        object: &DeserializeGuard<K>,
    ) {
        let Err(invalid) = &object.0 else {
            return;
        };
        let metadata = &invalid.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        if !self
            .unreadable
            .is_news(&uid, metadata.resource_version.as_deref().unwrap_or_default())
        {
            return;
        }
        let kind = K::kind(&());
        let name = metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(
            object.kind = %kind,
            object.namespace = metadata.namespace,
            object.name = name,
            "{kind} {name} cannot be read and is left out: {}",
            invalid.error
        );
        let note = format!(
            "the operator cannot read this {kind} and ignores it: {}. Delete it and create it again with a valid value",
            invalid.error
        );
        events::publish(
            self,
            &object.object_ref(&()),
            EventType::Warning,
            Reason::Unreadable,
            "Read",
            note,
        )
        .await;
    }
}

/// `list ModelVersions with spec.model=heart`.
fn describe_list<K: Resource<DynamicType = ()>>(params: &ListParams) -> String {
    let selectors: Vec<_> = [&params.label_selector, &params.field_selector]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    if selectors.is_empty() {
        format!("list {}s", K::kind(&()))
    } else {
        format!("list {}s with {}", K::kind(&()), selectors.join(","))
    }
}
