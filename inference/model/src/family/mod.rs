//! Families of models. Each has one file here and one in the trainer.
//!
//! A family names its files in a bundle and reads a [`Scorer`] from them. It encodes rows itself:
//! [`encode`](crate::encode) and [`columns`] are for families that compute with columns, [`tree`] for families of trees.

pub mod columns;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
pub mod ensemble;
pub mod forest;
pub mod lightgbm;
pub mod logistic;
pub mod onnx;
pub mod tree;
#[cfg(any(test, feature = "conformance"))]
pub mod tree_case;
pub mod xgboost;

pub use contract::{Families, Family, FamilyError, FamilyFiles, Scorer};

/// The families of this release.
pub const BUILT_IN: Families = Families::new(&[
    &logistic::LogisticRegression,
    &forest::RandomForest,
    &xgboost::Xgboost,
    &lightgbm::LightGbm,
    &onnx::Onnx,
    &ensemble::Ensemble,
]);
