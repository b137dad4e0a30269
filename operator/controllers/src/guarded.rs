//! Objects that may be unreadable.

use kube::core::DeserializeGuard;

/// Reconciles that may run at the same time, by controller.
pub(crate) const CONCURRENCY: u16 = 8;

/// An object, or why it cannot be deserialized.
pub(crate) type Guarded<K> = DeserializeGuard<K>;
