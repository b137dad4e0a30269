//! Declared transforms: from the row of a request to the row that a family sees.
//!
//! ```text
//! row of schema.json ──► Derivation: transform after transform, each a column of one or two others ──► row of the derived schema ──► Scorer
//! ```
//!
//! The trainer learns each transform's numbers, `declared-transforms.json` keeps them, and both apply them here. Everything else of a bundle
//! (requests, warm-up sample, reference, hashes) is about the features as they come. Not the preparation that belongs to a family
//! ([`encode`](crate::encode)), which follows.
//!
//! A kind of transform is one file behind [`Transform`] and a variant of [`Fitted`]; how it is learnt is one file in the trainer. Numbers are
//! computed in double precision and rounded once, to the single precision of every [`Value`](crate::Value); what is then not finite is missing.

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
