//! The trainer: data in, bundle out.
//!
//! ```text
//! source ──fetch──► bytes ──table──► text cells ──check──► Dataset ──snapshot──► data.parquet, snapshot.json
//!                                        └── every violation at once                       │
//!                                                                                          ▼
//! ledger ◄──publish── bundle files ◄──bundle── Trained ◄──train── folds × (family, metrics)
//! ```
//!
//! [`commands`] are the programs that people and Jobs run; everything below them is plain functions on data. Only
//! [`source`], [`ledger`] and [`report`] talk to the world. No clock, no thread count and no address gets into what
//! [`train`] and [`bundle`] make: the same snapshot and spec give the same bytes.

pub mod bundle;
pub mod check;
pub mod commands;
pub mod compare;
pub mod dataset;
pub mod encode;
pub mod family;
pub mod folds;
pub mod freeze;
pub mod ledger;
pub mod metrics;
pub mod near;
pub mod number;
pub mod reach;
pub mod reference;
pub mod report;
pub mod snapshot;
pub mod source;
pub mod spec;
pub mod table;
pub mod train;
pub mod violation;
