//! A model that was trained elsewhere becomes a bundle.
//!
//! ```text
//! file ──detect──► format ──outline──► features ─┐
//! sample (CSV, Parquet) ─────────────────────────┴─► schema, rows, expected scores
//!                   format ──load──► scorer ──compare with the expected scores──► bundle
//! ```
//!
//! [`mlflow`] finds a model in a registry. A format is one file that implements [`ModelFormat`]. What could run code when it is read is
//! never read: [`refused`] knows such files by their first bytes, and says what to export instead.

pub mod bundle;
pub mod compare;
mod contract;
pub mod detect;
mod lightgbm;
pub mod mlflow;
mod onnx;
pub mod refused;
pub mod sample;
mod xgboost;

pub use contract::{ImportError, Loaded, ModelFormat, OutlineEntry, Tolerance};
