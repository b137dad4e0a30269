//! The inference server: a verified bundle in, predictions out.
//!
//! ```text
//! routes.json ──read_routes──► App ◄──Loader── cache directory ◄── ledger
//!                               │        (every file verified, warm-up scores equal bit for bit)
//!                               ▼
//! connection ──server──► http::router ──body──► predict | infer ──► LoadedRoute::score ──► answer, PredictionId
//!                               │                                          │
//!                               │                        Metrics, counting::RouteCounts ──Flusher──► ledger
//!                               └──► feedback ───────────────────────────────────────────(waits)────► ledger
//! ```
//!
//! [`predict`] and [`infer`] are functions of bytes: no IO, no clock, nothing async. [`server`] knows connections and
//! how to end without losing one; [`app`] knows what is ready. Predictions never wait for another program.

pub mod app;
pub mod args;
pub mod body;
pub mod counting;
pub mod feedback;
pub mod http;
pub mod infer;
pub mod json;
pub mod ledger;
pub mod loader;
pub mod memory;
pub mod metrics;
pub mod predict;
pub mod prediction_id;
pub mod problem;
pub mod routes;
mod run;
pub mod server;
pub mod serving;
pub mod traffic;

pub use args::Args;
pub use run::run;
