//! The inference server: a verified bundle in, predictions out.
//!
//! ```text
//! routes.json ──read_routes──► App ◄──Loader── cache directory ◄── ledger
//!                               │        (every file verified, warm-up scores equal bit for bit)
//!                               ▼
//! connection ──server──► http::router ──body──► predict | infer ──► LoadedRoute::score ──► answer, PredictionId
//!                                                                          │
//!                                                                       Metrics
//! ```
//!
//! [`predict`] and [`infer`] are functions of bytes: no IO, no clock, nothing async. [`server`] knows connections and
//! how to end without losing one; [`app`] knows what is ready. The request path never waits for another program.

pub mod app;
pub mod args;
pub mod body;
pub mod http;
pub mod infer;
pub mod json;
pub mod ledger;
pub mod loader;
pub mod metrics;
pub mod predict;
pub mod prediction_id;
pub mod problem;
pub mod routes;
mod run;
pub mod server;
pub mod serving;

pub use args::Args;
pub use run::run;
