//! The cached objects of one kind, and their lookup by reference.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use kube::{
    ResourceExt as _,
    api::ObjectMeta,
    runtime::{
        reflector::{
            ObjectRef, Store,
            store::{self, Writer},
        },
        watcher,
    },
};

use super::cached::{Cached, Key};
use crate::api::{Guarded, NamespacedName};

/// The cached objects of one kind. Clones share them.
#[derive(Clone)]
pub(crate) struct Index<R: Cached> {
    store: Store<Guarded<R>>,
    lookup: Arc<RwLock<Lookup>>,
}

/// The only writer of an index.
pub(crate) struct IndexWriter<R: Cached> {
    writer: Writer<Guarded<R>>,
    index: Index<R>,
}

/// A change of one object, or its first sight.
pub(crate) struct Change<R: Cached> {
    /// Its name.
    pub(crate) name: NamespacedName,
    /// The object before.
    pub(crate) before: Option<Arc<Guarded<R>>>,
    /// The object now, unless it was deleted.
    pub(crate) now: Option<Arc<Guarded<R>>>,
}

#[derive(Default)]
struct Lookup {
    names: HashMap<Key, BTreeSet<NamespacedName>>,
    unreadable: usize,
}

// === impl Index ===

impl<R: Cached> Index<R> {
    /// An empty index and its writer.
    pub(crate) fn new() -> (Self, IndexWriter<R>) {
        let (store, writer) = store::store();
        let index = Self {
            store,
            lookup: Arc::default(),
        };
        let writer = IndexWriter {
            writer,
            index: index.clone(),
        };
        (index, writer)
    }

    /// The store that a controller takes its objects from.
    pub(crate) fn store(&self) -> Store<Guarded<R>> {
        self.store.clone()
    }

    /// Waits until the first list is complete. Ends with false only if its watch ends, and the process with it.
    pub(crate) async fn is_ready(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }

    /// The names of the objects with this key.
    pub(crate) fn names(&self, key: &Key) -> Vec<NamespacedName> {
        let lookup = self.lookup.read().unwrap_or_else(PoisonError::into_inner);
        lookup.names.get(key).into_iter().flatten().cloned().collect()
    }

    /// The objects with this key.
    pub(crate) fn of(&self, key: &Key) -> Vec<Arc<Guarded<R>>> {
        let names = self.names(key);
        names.iter().filter_map(|name| self.get(name)).collect()
    }

    /// The object of this name.
    pub(crate) fn get(&self, name: &NamespacedName) -> Option<Arc<Guarded<R>>> {
        self.store.get(&reference(name))
    }

    /// All objects.
    pub(crate) fn all(&self) -> Vec<Arc<Guarded<R>>> {
        self.store.state()
    }

    /// How many objects cannot be read.
    pub(crate) fn unreadable(&self) -> usize {
        let lookup = self.lookup.read().unwrap_or_else(PoisonError::into_inner);
        lookup.unreadable
    }
}

// === impl IndexWriter ===

impl<R: Cached> IndexWriter<R> {
    /// The index that it writes.
    pub(crate) fn index(&self) -> Index<R> {
        self.index.clone()
    }

    /// Processes one event of the watch, and returns the objects that changed. A deletion that the watch missed is detected by the
    /// next list, and an object that is the same in this list is not a change.
    pub(crate) fn apply(&mut self, event: &watcher::Event<Guarded<R>>) -> Vec<Change<R>> {
        let mut changes = match event {
            watcher::Event::Init | watcher::Event::InitApply(_) => {
                self.writer.apply_watcher_event(event);
                return Vec::new();
            }
            watcher::Event::InitDone => self.replace(event),
            watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
                let name = NamespacedName::of(object);
                let before = self.index.get(&name);
                self.writer.apply_watcher_event(event);
                let now = self.index.get(&name);
                vec![Change { name, before, now }]
            }
        };
        let mut lookup = self.index.lookup.write().unwrap_or_else(PoisonError::into_inner);
        for change in &changes {
            lookup.follow(change);
        }
        drop(lookup);
        if let watcher::Event::Delete(object) = event {
            // The watch may report the deletion of an object that it never reported.
            for change in &mut changes {
                change.before.get_or_insert_with(|| Arc::new(object.clone()));
            }
        }
        changes
    }

    /// Replaces all objects by those of a complete list.
    fn replace(&mut self, event: &watcher::Event<Guarded<R>>) -> Vec<Change<R>> {
        let named = |objects: Vec<Arc<Guarded<R>>>| -> HashMap<_, _> {
            objects
                .into_iter()
                .map(|object| (NamespacedName::of(&*object), object))
                .collect()
        };
        let mut former = named(self.index.all());
        self.writer.apply_watcher_event(event);
        let mut changes = Vec::new();
        for (name, now) in named(self.index.all()) {
            let before = former.remove(&name);
            let is_same = before.as_ref().is_some_and(|before| {
                before.resource_version() == now.resource_version() && before.uid() == now.uid()
            });
            if !is_same {
                let now = Some(now);
                changes.push(Change { name, before, now });
            }
        }
        changes.extend(former.into_iter().map(|(name, before)| Change {
            name,
            before: Some(before),
            now: None,
        }));
        changes
    }
}

// === impl Change ===

impl<R: Cached> Change<R> {
    /// The object before and now, if it can be read.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &R> {
        let both = [&self.before, &self.now].into_iter().flatten();
        both.filter_map(|object| object.0.as_ref().ok())
    }

    /// The object before the change, if it can be read.
    pub(crate) fn former(&self) -> Option<&R> {
        self.before.as_ref()?.0.as_ref().ok()
    }

    /// The object after the change, if it can be read.
    pub(crate) fn current(&self) -> Option<&R> {
        self.now.as_ref()?.0.as_ref().ok()
    }

    /// The metadata of an object that was deleted, also if one with the same name was created since.
    pub(crate) fn deleted(&self) -> Option<&ObjectMeta> {
        let before = self.before.as_ref()?;
        let is_same = self.now.as_ref().is_some_and(|now| now.uid() == before.uid());
        (!is_same).then(|| kube::Resource::meta(&**before))
    }
}

// === impl Lookup ===

impl Lookup {
    fn follow<R: Cached>(&mut self, change: &Change<R>) {
        let keys = |object: &Option<Arc<Guarded<R>>>| {
            let readable = object.as_ref().and_then(|object| object.0.as_ref().ok());
            readable.map(|cached| cached.keys().clone()).unwrap_or_default()
        };
        for key in keys(&change.before).iter() {
            if let Some(names) = self.names.get_mut(key) {
                names.remove(&change.name);
                if names.is_empty() {
                    self.names.remove(key);
                }
            }
        }
        for key in keys(&change.now).iter() {
            let names = self.names.entry(key.clone()).or_default();
            names.insert(change.name.clone());
        }
        let is_unreadable =
            |object: &Option<Arc<Guarded<R>>>| object.as_ref().is_some_and(|object| object.0.is_err());
        self.unreadable = (self.unreadable + usize::from(is_unreadable(&change.now)))
            .saturating_sub(usize::from(is_unreadable(&change.before)));
    }
}

/// The reference of a controller to the object of this name.
pub(crate) fn reference<R: Cached>(name: &NamespacedName) -> ObjectRef<Guarded<R>> {
    ObjectRef::new(&name.name).within(&name.namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::model::CachedModel;

    fn model(name: &str, uid: &str) -> Guarded<CachedModel> {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": "hospital", "uid": uid, "resourceVersion": uid}, "spec": {},
            "status": {"children": [{"kind": "Service", "name": name, "uid": format!("child of {uid}"), "applied": "x"}]},
        }))
        .unwrap()
    }

    fn unreadable(name: &str) -> Guarded<CachedModel> {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": "hospital", "uid": name}, "spec": 7,
        }))
        .unwrap()
    }

    /// What an event changed, and the uids of the objects that were deleted with it.
    fn apply(
        writer: &mut IndexWriter<CachedModel>,
        event: &watcher::Event<Guarded<CachedModel>>,
    ) -> (Vec<String>, Vec<String>) {
        let changes = writer.apply(event);
        let mut changed: Vec<_> = changes.iter().map(|change| change.name.name.clone()).collect();
        let deleted = changes.iter().filter_map(Change::deleted);
        let mut deleted: Vec<_> = deleted.filter_map(|metadata| metadata.uid.clone()).collect();
        changed.sort();
        deleted.sort();
        (changed, deleted)
    }

    fn listed(
        writer: &mut IndexWriter<CachedModel>,
        models: impl IntoIterator<Item = Guarded<CachedModel>>,
    ) -> (Vec<String>, Vec<String>) {
        apply(writer, &watcher::Event::Init);
        for model in models {
            assert_eq!(
                apply(writer, &watcher::Event::InitApply(model)),
                Default::default()
            );
        }
        apply(writer, &watcher::Event::InitDone)
    }

    fn both(changed: &[&str], deleted: &[&str]) -> (Vec<String>, Vec<String>) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        (owned(changed), owned(deleted))
    }

    #[test]
    fn what_a_new_list_no_longer_has_is_deleted_though_no_deletion_was_seen() {
        let (_, mut writer) = Index::new();
        let first = listed(&mut writer, ["a", "b", "c", "d"].map(|name| model(name, name)));
        assert_eq!(first, both(&["a", "b", "c", "d"], &[]));
        let event = watcher::Event::Delete(model("a", "a"));
        assert_eq!(apply(&mut writer, &event), both(&["a"], &["a"]));
        // The watch was away: b was deleted, c was deleted and recreated, d is as it was.
        let second = listed(&mut writer, [model("c", "c-2"), model("d", "d")]);
        assert_eq!(second, both(&["b", "c"], &["b", "c"]));
        let event = watcher::Event::Apply(model("c", "c-3"));
        assert_eq!(apply(&mut writer, &event), both(&["c"], &["c-2"]));
        assert_eq!(apply(&mut writer, &event), both(&["c"], &[]));
    }

    #[test]
    fn an_object_is_found_by_its_keys_until_it_is_deleted() {
        let (index, mut writer) = Index::new();
        listed(&mut writer, [model("a", "a")]);
        let found = |uid: &str| index.names(&Key::Uid(format!("child of {uid}")));
        assert_eq!(found("a"), [NamespacedName::new("hospital", "a")]);
        apply(&mut writer, &watcher::Event::Apply(model("a", "a-2")));
        assert_eq!(found("a"), []);
        assert_eq!(found("a-2").len(), 1);
        apply(&mut writer, &watcher::Event::Delete(model("a", "a-2")));
        assert_eq!(found("a-2"), []);
        assert!(index.all().is_empty());
    }

    #[test]
    fn a_deletion_of_an_object_that_was_never_seen_is_a_change_too() {
        let (index, mut writer) = Index::new();
        let event = watcher::Event::Delete(unreadable("a"));
        assert_eq!(apply(&mut writer, &event), both(&["a"], &["a"]));
        assert_eq!(index.unreadable(), 0);
    }

    #[test]
    fn objects_that_cannot_be_read_are_counted_until_they_can_be_or_are_deleted() {
        let (index, mut writer) = Index::new();
        for name in ["a", "b", "b"] {
            writer.apply(&watcher::Event::Apply(unreadable(name)));
        }
        assert_eq!(index.unreadable(), 2);
        writer.apply(&watcher::Event::Apply(model("a", "a")));
        writer.apply(&watcher::Event::Delete(unreadable("b")));
        assert_eq!(index.unreadable(), 0);
        listed(&mut writer, [unreadable("c")]);
        assert_eq!(index.unreadable(), 1);
    }
}
