//! The inference server: a verified bundle in, predictions out.
//!
//! ```text
//! routes.json ──read_routes──► App ◄──Loader── cache directory ◄── ledger
//!                               │        (every file verified, warm-up scores equal bit for bit)
//!                               ▼
//! connection ──server──► http::router ──body──► http::{predict, v2} ──rows──► score::Scoring ──► answer, PredictionId
//!                               │                                                │
//!                               │                              Metrics, counting::RouteCounts ──Flusher──► ledger
//!                               └──► http::feedback ──────────────────────────────────────────(waits)────► ledger
//! ```
//!
//! All protocols share [`score`], which has no IO, clock, async code or HTTP. [`server`] handles connections and ends
//! without losing one. [`app`] has the state of the routes. Predictions never wait for another program.

pub mod app;
pub mod args;
pub mod bounds;
pub mod counting;
pub mod http;
pub mod ledger;
pub mod loader;
pub mod memory;
pub mod metrics;
pub mod prediction_id;
pub mod routes;
mod run;
pub mod score;
pub mod server;
pub mod serving;
pub mod traffic;

pub use args::Args;
pub use run::run;
