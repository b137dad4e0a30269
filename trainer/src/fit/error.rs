//! Why a training failed.

use crate::{family::FitError, fit::split_error::SplitError};

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A fit failed.
    #[error("{family} failed in repeat {repeat}, fold {fold}")]
    Fold {
        /// The family.
        family: &'static str,
        /// The repeat, from 1.
        repeat: usize,
        /// The fold, from 1.
        fold: usize,
        /// Why.
        source: FitError,
    },
    /// The fit on all rows failed.
    #[error("{family} failed on all rows")]
    Whole {
        /// The family.
        family: &'static str,
        /// Why.
        source: FitError,
    },
    /// The exported model does not score like the library that fitted it: a bug.
    #[error("{family}: the exported model does not score as the fitted one")]
    Parity {
        /// The family.
        family: &'static str,
        /// Which row, and by how much.
        source: FitError,
    },
    /// A proposal of the search failed: a bug.
    #[error("the search made no proposal: {0}")]
    Search(String),
    /// The rows cannot be split into folds.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The plan names no family.
    #[error("no family to train")]
    NoFamily,
    /// A metric is not a number of ordinary size.
    #[error("{metric} is {value}, which cannot be reported")]
    Metric {
        /// Its name.
        metric: &'static str,
        /// Its value.
        value: f64,
    },
    /// A worker ended without a result.
    #[error("a fold was not evaluated")]
    Lost,
}
