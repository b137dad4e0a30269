//! Modelward's reconcilers.
//!
//! ```text
//! dereference(ctx, obj) ─► World ─► core::decide(obj, &World, now) ─► Decision ─► build ─► apply ─► status
//!      reads only            │            pure                            pure      writes, skipped where
//!                            └── what was seen                                      nothing changed
//! ```
//!
//! Everything is level-triggered: a reconcile reads the current state and not the events that led to it, so the next one repairs
//! the result of a crash between any two writes. Names of children are derived from uids and content, which makes decisions
//! idempotent.

mod action;
mod apply;
mod backoff;
mod cache;
mod config;
mod context;
mod create;
mod drift;
mod env;
mod error;
mod events;
mod gate;
mod guarded;
mod health;
mod jobs;
pub mod lease;
mod ledger;
pub mod metrics;
pub mod model;
mod own_writes;
mod pod_template;
mod pods;
mod prober;
mod read;
mod reconcile;
mod recorder;
mod run;
mod streams;
mod turns;
mod unreadable;
pub mod version;
mod wires;

pub use config::Config;
pub use context::Context;
pub use env::Clock;
pub use error::Error;
pub use health::Health;
pub use jiff::Timestamp;
pub use ledger::ledger_client;
pub use metrics::Metrics;
pub use modelward_crds::Networks;
pub use prober::ProberConfig;
pub use run::run;
