//! Reads the Events that explain why Pods do not run; [`modelward_core::pods`] evaluates them.

use k8s_openapi::api::core::v1::Event;
use kube::{Api, api::ListParams};
use modelward_service::chain;

use crate::api::Env;

/// Limit on the Events of an object. Objects have few; a Job that is rejected for hours has one with a count.
const EVENTS: u32 = 50;

/// The Events about the objects of these uids. Events are only hints: if they cannot be read, none are returned, and the log says
/// why.
pub(crate) async fn events(env: &Env, namespace: &str, uids: &[&str]) -> Vec<Event> {
    let api = Api::<Event>::namespaced(env.client.clone(), namespace);
    let mut found = Vec::new();
    for uid in uids {
        let about = ListParams::default()
            .fields(&format!("involvedObject.uid={uid},type=Warning"))
            .limit(EVENTS);
        match env.call("list Events", api.list(&about)).await {
            Ok(list) => found.extend(list.items),
            Err(error) => {
                tracing::info!(
                    object.namespace = namespace,
                    object.uid = uid,
                    "events about {uid} cannot be read: {}",
                    chain(&error)
                );
            }
        }
    }
    found
}
