//! Declared transforms: they derive the row that a family sees from the row of a request.
//!
//! ```text
//! row of schema.json ──► Derivation: one transform after another, each with one or two inputs ──► row of the derived schema ──► Scorer
//! ```
//!
//! The trainer fits the parameters of each transform and writes them to `declared-transforms.json`. Trainer and server apply them with this
//! code. Everything else (requests, warm-up sample, reference, hashes) uses the original features. The encoding of a family
//! ([`encode`](crate::encode)) comes after the transforms.
//!
//! A kind of transform is a file here that implements [`Transform`], a variant of [`Fitted`], and a file in the trainer that fits it.
//! Numbers are computed in double precision and rounded once, to the single precision of [`Value`](crate::Value). A result that is not
//! finite is missing.

mod bins;
mod by_category;
mod clip;
mod contract;
mod derivation;
mod file;
mod impute;
mod log;
mod one_hot;
mod ordinal;
mod product;
mod ratio;
mod standardize;
#[cfg(test)]
mod tests;

pub use bins::Bins;
pub use by_category::ByCategory;
pub use clip::Clip;
pub use contract::{Misfit, Transform};
pub use derivation::{Derivation, DerivationError, DerivedScorer};
pub use file::{Fitted, FittedTransform, TRANSFORM_FORMAT, TransformFile};
pub use impute::{Filling, Impute};
pub use log::Log;
pub use one_hot::OneHot;
pub use ordinal::Ordinal;
pub use product::Product;
pub use ratio::Ratio;
pub use standardize::Standardize;
