//! Reads and writes of single objects at the API server, and what each of them needs.
//!
//! Not called `kube`: the crate of that name is used beside it in nearly every file.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod env;
pub(crate) mod error;
pub(crate) mod events;
mod guarded;
mod namespaced_name;
mod own_writes;
pub(crate) mod pod_events;
mod read;
mod recorder;
mod unreadable;

pub use env::Clock;
pub(crate) use env::Env;
pub use error::Error;
pub(crate) use guarded::Guarded;
pub(crate) use namespaced_name::NamespacedName;
pub(crate) use own_writes::OwnWrites;
