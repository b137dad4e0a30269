//! A training by a custom trainer: what its image gets, and what it leaves.
//!
//! ```text
//! snapshot ──splits──► all rows but the held-out ones ──exchange──► train.csv, train.parquet, contract.json ──► the image
//! held-out rows ──► metrics ◄── scorer ◄──model── checked file ◄──left── one file ◄────────────────────────────────┘
//! ```
//!
//! The image is not trusted: no metric comes from it, its file is read as untrusted input, and the held-out rows are in no file that it could open.

pub mod exchange;
pub mod left;
pub mod model;
mod scores;
