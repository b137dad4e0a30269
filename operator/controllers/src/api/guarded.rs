//! Objects that may be unreadable.

use kube::core::DeserializeGuard;

/// An object, or why it cannot be deserialized.
pub(crate) type Guarded<K> = DeserializeGuard<K>;
