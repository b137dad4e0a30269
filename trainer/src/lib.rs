//! The trainer: data in, bundle out.
//!
//! ```text
//! source ──fetch──► bytes ──table──► text cells ──check──► Dataset ──snapshot──► data.parquet, snapshot.json
//!                                        └── every violation at once                       │
//!                                                                                          ▼
//! ledger ◄──publish── bundle files ◄──bundle── Trained ◄──train── folds × (family, metrics)
//! ```
//!
//! [`command`] has the programs that users and Jobs run; everything below them is plain functions on data: the upper line is
//! [`data`], the lower one [`fit`]. [`import`] makes a bundle of a model that was trained elsewhere. Only [`data::source`], [`ledger`]
//! and [`report`] exchange data with other systems.

pub mod command;
pub mod custom;
pub mod data;
pub mod engine;
pub mod family;
pub mod fit;
pub mod import;
pub mod ledger;
mod ranking;
pub mod report;
pub mod spec;
pub mod transform;
