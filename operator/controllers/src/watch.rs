//! Watches: how objects and their changes reach the controllers.

use std::{collections::BTreeMap, sync::Arc};

use futures::{Stream, StreamExt as _, TryStreamExt as _, future::ready};
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Resource, ResourceExt as _,
    api::ObjectMeta,
    core::{PartialObjectMeta, PartialObjectMetaExt as _},
    runtime::{
        WatchStreamExt as _,
        reflector::{Store, store},
        watcher,
    },
};
use modelward_service::chain;
use serde::de::DeserializeOwned;

use crate::{Context, guarded::Guarded, health::Health};

/// A watch without events for this long is restarted, because a dead connection behind a load balancer looks the same.
const WATCH_TIMEOUT: u32 = 60;

/// How every controller watches.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) ctx: Arc<Context>,
    pub(crate) health: Health,
}

// === impl Watching ===

impl Watching {
    /// The objects that a controller reconciles, each time one changes, and a store of all of them. `gone` is called for each deleted
    /// one, including those that are missing from a new list.
    pub(crate) fn primary<K, G>(
        &self,
        gone: G,
    ) -> (
        Store<Guarded<K>>,
        impl Stream<Item = watcher::Result<Guarded<K>>> + Send + use<K, G>,
    )
    where
        G: Fn(&Context, &PartialObjectMeta<K>) + Send + 'static,
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (reader, writer) = store();
        let ctx = self.ctx.clone();
        let mut known = Known::default();
        let objects = self
            .stream(self.api::<Guarded<K>>(), "")
            .inspect_ok(move |event| {
                for metadata in known.follow(event) {
                    ctx.unreadable.forget(metadata.uid.as_deref().unwrap_or_default());
                    gone(&ctx, &metadata.into_response_partial());
                }
                ctx.metrics.unreadable(&K::kind(&()), known.unreadable);
            })
            .reflect(writer)
            .touched_objects();
        (reader, objects)
    }

    /// Other objects, each time one changes.
    pub(crate) fn objects<K>(&self) -> impl Stream<Item = watcher::Result<Guarded<K>>> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        self.stream(self.api::<Guarded<K>>(), "").touched_objects()
    }

    /// The same for objects with this label, with metadata only: a change of an object changes its resourceVersion, and its content
    /// is read when it is needed.
    pub(crate) fn objects_metadata<K>(
        &self,
        label: &str,
    ) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Send
            + 'static,
    {
        self.stream(self.api::<PartialObjectMeta<K>>(), label)
            .touched_objects()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.ctx.config.watch_namespace {
            Some(namespace) => Api::namespaced(self.ctx.client.clone(), namespace),
            None => Api::all(self.ctx.client.clone()),
        }
    }

    /// A watch with its own backoff. Its errors are counted and dropped here: the watch recovers, and an error in the merged
    /// triggers would pause all of them.
    fn stream<K>(
        &self,
        api: Api<K>,
        label: &str,
    ) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let (metrics, health) = (self.ctx.metrics.clone(), self.health.clone());
        let kind = K::kind(&()).into_owned();
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT).labels(label);
        let stream = watcher(api, config).default_backoff().filter(move |item| {
            health.note(&kind, item.is_ok());
            if let Err(error) = item {
                metrics.watch_failed(&kind);
                tracing::warn!(
                    watch.kind = kind,
                    "watch of {kind} failed; retrying: {}",
                    chain(error)
                );
            }
            ready(item.is_ok())
        });
        stream.modify(|object| object.managed_fields_mut().clear())
    }
}

/// The objects that a watch has reported, and how many of them cannot be deserialized.
#[derive(Default)]
struct Known {
    objects: BTreeMap<(Option<String>, String), Seen>,
    /// The objects that the current list has reported so far.
    listing: BTreeMap<(Option<String>, String), Seen>,
    unreadable: usize,
}

struct Seen {
    uid: Option<String>,
    unreadable: bool,
}

// === impl Known ===

impl Known {
    /// Processes one event, and returns the metadata of the objects that were deleted. A deletion that the watch missed is detected
    /// by the next list.
    fn follow<K: Resource>(&mut self, event: &watcher::Event<Guarded<K>>) -> Vec<ObjectMeta> {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                self.listing.insert(place(object), seen(object));
                Vec::new()
            }
            watcher::Event::InitDone => {
                let before = std::mem::replace(&mut self.objects, std::mem::take(&mut self.listing));
                self.unreadable = self.objects.values().filter(|seen| seen.unreadable).count();
                before
                    .into_iter()
                    .filter(|(place, seen)| self.objects.get(place).is_none_or(|now| now.uid != seen.uid))
                    .map(|(place, seen)| metadata(place, seen))
                    .collect()
            }
            watcher::Event::Apply(object) => {
                let (place, now) = (place(object), seen(object));
                let uid = now.uid.clone();
                self.unreadable += usize::from(now.unreadable);
                let before = self.objects.insert(place.clone(), now);
                self.forget(place, before, uid.as_deref())
            }
            watcher::Event::Delete(object) => {
                let place = place(object);
                let before = self.objects.remove(&place);
                self.forget(place, before, None)
            }
        }
    }

    /// Stops counting an object, and returns it if it is not the current one.
    fn forget(
        &mut self,
        place: (Option<String>, String),
        before: Option<Seen>,
        now: Option<&str>,
    ) -> Vec<ObjectMeta> {
        let Some(before) = before else {
            return Vec::new();
        };
        self.unreadable -= usize::from(before.unreadable);
        if now.is_some() && before.uid.as_deref() == now {
            return Vec::new();
        }
        vec![metadata(place, before)]
    }
}

fn place<K: Resource>(object: &K) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}

fn seen<K: Resource>(object: &Guarded<K>) -> Seen {
    Seen {
        uid: object.meta().uid.clone(),
        unreadable: object.0.is_err(),
    }
}

fn metadata((namespace, name): (Option<String>, String), seen: Seen) -> ObjectMeta {
    ObjectMeta {
        namespace,
        name: Some(name),
        uid: seen.uid,
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use modelward_crds::Model;
    use serde_json::json;

    use super::*;

    fn model(name: &str, uid: &str) -> Guarded<Model> {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": "hospital", "uid": uid}, "spec": {},
        }))
        .unwrap()
    }

    fn unreadable(name: &str) -> Guarded<Model> {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": "hospital", "uid": name}, "spec": 7,
        }))
        .unwrap()
    }

    fn gone(known: &mut Known, event: &watcher::Event<Guarded<Model>>) -> Vec<String> {
        let gone = known.follow(event).into_iter();
        gone.map(|metadata| metadata.uid.unwrap_or_default()).collect()
    }

    #[test]
    fn what_a_new_list_no_longer_has_is_gone_though_no_deletion_was_seen() {
        let mut known = Known::default();
        assert!(gone(&mut known, &watcher::Event::Init).is_empty());
        for name in ["a", "b", "c"] {
            assert!(gone(&mut known, &watcher::Event::InitApply(model(name, name))).is_empty());
        }
        assert!(gone(&mut known, &watcher::Event::InitDone).is_empty());
        assert_eq!(gone(&mut known, &watcher::Event::Delete(model("a", "a"))), ["a"]);
        // The watch was away: b was deleted, c was deleted and recreated.
        gone(&mut known, &watcher::Event::Init);
        gone(&mut known, &watcher::Event::InitApply(model("c", "c-2")));
        assert_eq!(gone(&mut known, &watcher::Event::InitDone), ["b", "c"]);
        assert_eq!(
            gone(&mut known, &watcher::Event::Apply(model("c", "c-3"))),
            ["c-2"]
        );
        assert!(gone(&mut known, &watcher::Event::Apply(model("c", "c-3"))).is_empty());
    }

    #[test]
    fn objects_that_cannot_be_read_are_counted_until_they_can_be_or_are_gone() {
        let mut known = Known::default();
        known.follow(&watcher::Event::Apply(unreadable("a")));
        known.follow(&watcher::Event::Apply(unreadable("b")));
        known.follow(&watcher::Event::Apply(unreadable("b")));
        assert_eq!(known.unreadable, 2);
        known.follow(&watcher::Event::Apply(model("a", "a")));
        known.follow(&watcher::Event::Delete(unreadable("b")));
        assert_eq!(known.unreadable, 0);
        known.follow(&watcher::Event::<Guarded<Model>>::Init);
        known.follow(&watcher::Event::InitApply(unreadable("c")));
        known.follow(&watcher::Event::<Guarded<Model>>::InitDone);
        assert_eq!(known.unreadable, 1);
    }
}
