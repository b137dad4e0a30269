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
mod api;
mod cache;
mod config;
mod drift;
mod gate;
mod jobs;
mod ledger;
pub mod metrics;
mod model;
mod pod_template;
mod runtime;
mod version;

pub use api::{Clock, Error};
pub use config::Config;
pub use jiff::Timestamp;
pub use ledger::ledger_client;
pub use metrics::Metrics;
pub use model::ProberConfig;
pub use modelward_crds::{Networks, wire::LARGEST_DATASET_MIB};
pub use runtime::{Context, Health, lease, run};
