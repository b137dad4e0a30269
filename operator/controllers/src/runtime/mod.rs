//! What turns changes of objects into reconciles: watches, queues, loops, retries, and the state that the controllers share.

pub(crate) mod backoff;
mod context;
mod health;
pub mod lease;
mod reconcile;
mod run;
mod streams;
mod turns;
mod wires;

pub use context::Context;
pub use health::Health;
pub use run::run;
