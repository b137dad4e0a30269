//! Families of models. Each is one file here, and one in the trainer.
//!
//! A family names its files of a bundle and reads a [`Scorer`] from them. How rows become what it computes with is its
//! own matter: [`encode`](crate::encode) and [`columns`] are there for families that compute with columns.

pub mod columns;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
pub mod logistic;

pub use contract::{Families, Family, FamilyError, FamilyFiles, Scorer};

/// The families of this release.
pub const BUILT_IN: Families = Families::new(&[&logistic::LogisticRegression]);
