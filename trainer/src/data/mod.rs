//! From the source of a dataset to a snapshot.
//!
//! ```text
//! source ──► content ──table──► text cells ──check──► Dataset ──snapshot──► data.parquet, snapshot.json
//! ```
//!
//! [`freeze`] drives it. [`expectations`] judges the same cells as [`check`]. Only [`source`] reads addresses, within the Job's [`reach`].

pub mod bucket;
pub(crate) mod cache;
pub mod check;
pub mod content;
pub mod dataset;
pub mod expectations;
pub mod file;
pub mod freeze;
mod header;
pub mod input;
pub mod near;
pub mod number;
pub mod parquet;
mod quotes;
pub mod reach;
pub mod row_columns;
pub mod rows;
mod scan;
pub mod snapshot;
pub mod source;
pub mod table;
pub mod violation;
