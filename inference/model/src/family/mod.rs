//! Families of models. Each is one file here, and one in the trainer.
//!
//! A family names its files of a bundle and reads a [`Scorer`] from them. How rows become what it computes with is its
//! own matter: [`encode`](crate::encode) and [`columns`] are there for families that compute with columns, [`tree`] for those of
//! trees.

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
