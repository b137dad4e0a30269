//! Declared transforms and how they are learnt. Each kind is one file here, and one in `modelward-model`, which applies it.
//!
//! ```text
//! training rows ──fit, transform after transform──► what each learnt ──► rows of derived columns ──► the family's own fit
//! other rows    ──by what was learnt───────────────────────────────────► rows of derived columns ──► the family's scorer
//! ```
//!
//! [`TransformedFamily`] is a family after transforms: everything that fits a family (folds, trials, importance, held-out rows, the model
//! that serves) fits its transforms on the same rows, and everything that scores goes through them. They depend on no other
//! row; a target encoding of training rows is cross-fitted among themselves.

mod bins;
mod clip;
mod contract;
mod cross_fit;
mod family;
mod frequency_encode;
mod impute;
mod kinds;
mod log;
mod model;
mod one_hot;
mod ordinal;
mod outline;
mod pair;
mod pipeline;
mod quantile;
mod standardize;
mod target_encode;
#[cfg(test)]
mod tests;

pub use contract::{ColumnKind, ColumnOutline, Inputs, Parts, TransformError, TransformKind};
pub use family::TransformedFamily;
pub use kinds::of;
pub use outline::{Problem, find_problems, outline_features};
pub use pipeline::{FittedRows, Transforms};
