//! Why two models cannot be compared.

use modelward_model::{BundleError, bundle::file};

/// Why two models cannot be compared. The same spec and data would fail again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The champion's bundle cannot be opened.
    #[error("the bundle of {version} cannot be opened")]
    Bundle {
        /// The champion's name.
        version: String,
        /// Why.
        source: BundleError,
    },
    /// Its out-of-fold scores cannot be read.
    #[error("{} of {version} cannot be used: {reason}", file::OUT_OF_FOLD)]
    OutOfFold {
        /// The champion's name.
        version: String,
        /// What is wrong.
        reason: String,
    },
    /// Its metrics cannot be read.
    #[error("{} of {version} cannot be used: {reason}", file::METRICS)]
    Metrics {
        /// The champion's name.
        version: String,
        /// What is wrong.
        reason: String,
    },
    /// The two predict different things.
    #[error("{version} predicts {champion}, the spec asks for {challenger}: they cannot be compared")]
    Target {
        /// The champion's name.
        version: String,
        /// What it predicts.
        champion: String,
        /// What the challenger predicts.
        challenger: String,
    },
    /// The data lack a feature of the champion.
    #[error(
        "{version} takes the feature {feature:?}, which the data do not have as one: the two cannot be compared on the same \
         rows; keep the feature, or leave notWorseThan out"
    )]
    Feature {
        /// The champion's name.
        version: String,
        /// The feature.
        feature: String,
    },
    /// The champion would refuse a row.
    #[error("{version} refuses row {row} of the data: {reason}")]
    Refused {
        /// The champion's name.
        version: String,
        /// The row, the first being 1.
        row: usize,
        /// Why.
        reason: String,
    },
    /// Too many of the champion's rows are equal: an equal row may as well be another one.
    #[error(
        "{version} was trained on {rows} rows, of which only {different} differ: rows cannot be distinguished by their values"
    )]
    Alike {
        /// The champion's name.
        version: String,
        /// The rows that it was trained on.
        rows: usize,
        /// How many of them differ.
        different: usize,
    },
    /// A difference is not a number of ordinary size.
    #[error("the difference from {version} is {value}, which cannot be reported")]
    Value {
        /// The champion's name.
        version: String,
        /// The value.
        value: f64,
    },
}
