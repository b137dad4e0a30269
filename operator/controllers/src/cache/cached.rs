//! Cached objects: the parts of watched objects that the operator keeps in memory.
//!
//! A cached object is made from the whole object as soon as that is deserialized, so an object that cannot be read is noticed, and
//! only the cached part stays. Decisions are not made from it: a cache may be behind the operator's own last write.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, api::ObjectMeta};
use serde::de::DeserializeOwned;

use crate::api::NamespacedName;

/// A reference by which an index finds objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// They belong to this Model.
    Model(NamespacedName),
    /// They are open and belong to this Model.
    OpenOf(NamespacedName),
    /// They read this `ConfigMap`.
    ConfigMap(NamespacedName),
    /// They read this `PersistentVolumeClaim`.
    Claim(NamespacedName),
    /// They wait for a Job whose spec is in a `ConfigMap` with this prefix.
    SpecMap(NamespacedName),
    /// Their Pods have this label value.
    Label(NamespacedName),
    /// They wait for something about this `ModelVersion`.
    Version(NamespacedName),
    /// They wait for this `DriftReport`.
    Report(NamespacedName),
    /// They have this uid, or their status has it.
    Uid(String),
    /// The action of this uid made them.
    MadeBy(String),
    /// They found drift.
    Drift,
}

/// A slim copy of a watched object.
pub(crate) trait Cached:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The keys under which an index finds it.
    fn keys(&self) -> &Arc<[Key]>;
}

/// Implements `Resource` for a record as the API server knows its object.
macro_rules! cached {
    ($cached:ty, $object:ty) => {
        impl kube::Resource for $cached {
            type DynamicType = ();
            type Scope = k8s_openapi::NamespaceResourceScope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <$object>::kind(&())
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <$object>::group(&())
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                <$object>::version(&())
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <$object>::plural(&())
            }

            fn meta(&self) -> &kube::api::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut kube::api::ObjectMeta {
                &mut self.metadata
            }
        }

        impl $crate::cache::cached::Cached for $cached {
            fn keys(&self) -> &std::sync::Arc<[$crate::cache::cached::Key]> {
                &self.keys
            }
        }
    };
}
pub(super) use cached;

/// The metadata that records keep.
pub(super) fn slim(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        deletion_timestamp: metadata.deletion_timestamp,
        ..ObjectMeta::default()
    }
}
