//! From the source of a dataset to a snapshot.
//!
//! ```text
//! source ──► bytes ──table──► text cells ──check──► Dataset ──snapshot──► data.parquet, snapshot.json
//! ```
//!
//! [`freeze`] drives it. [`expectations`] judges the same cells as [`check`]. [`source`] alone talks to the world, within the [`reach`] that a Job has.

pub mod check;
pub mod dataset;
pub mod expectations;
pub mod freeze;
mod header;
pub mod near;
pub mod number;
mod quotes;
pub mod reach;
pub mod row_columns;
pub mod snapshot;
pub mod source;
pub mod table;
pub mod violation;
