//! The content of `declared-transforms.json`.

use serde::{Deserialize, Serialize};

use super::{
    bins::Bins, by_category::ByCategory, clip::Clip, contract::Transform, impute::Impute, log::Log,
    one_hot::OneHot, ordinal::Ordinal, product::Product, ratio::Ratio, standardize::Standardize,
};

/// The format that this code writes and reads.
pub const TRANSFORM_FORMAT: u32 = 1;

/// The declared transforms of a model, fitted on all training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransformFile {
    /// [`TRANSFORM_FORMAT`].
    pub format: u32,
    /// The transforms, in the order in which they are applied.
    pub transforms: Vec<FittedTransform>,
}

/// A fitted declared transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FittedTransform {
    /// Its name, which is also the name of its column.
    pub name: String,
    /// The columns that it reads: features, or columns of earlier transforms.
    pub columns: Vec<String>,
    /// Whether these columns are kept.
    pub keep: bool,
    /// Its kind and fitted parameters.
    pub fitted: Fitted,
}

/// The kind of a transform and its fitted parameters. Names are those of the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Fitted {
    /// Replaces missing values.
    Impute(Impute),
    /// A number minus the mean, divided by the standard deviation.
    Standardize(Standardize),
    /// A column of 0 and 1 for each category.
    OneHot(OneHot),
    /// The position of the category in an order.
    Ordinal(Ordinal),
    /// The smoothed rate of class 1 among the training rows of the category.
    TargetEncode(ByCategory),
    /// The share of the training rows with the category.
    FrequencyEncode(ByCategory),
    /// The natural logarithm.
    Log(Log),
    /// Clips values to bounds.
    Clip(Clip),
    /// The interval in which a number lies.
    Bins(Bins),
    /// One number divided by another.
    Ratio(Ratio),
    /// One number times another.
    Product(Product),
}

// === impl Fitted ===

impl Fitted {
    /// The transform that computes its columns.
    pub fn transform(&self) -> &dyn Transform {
        match self {
            Self::Impute(transform) => transform,
            Self::Standardize(transform) => transform,
            Self::OneHot(transform) => transform,
            Self::Ordinal(transform) => transform,
            Self::TargetEncode(transform) | Self::FrequencyEncode(transform) => transform,
            Self::Log(transform) => transform,
            Self::Clip(transform) => transform,
            Self::Bins(transform) => transform,
            Self::Ratio(transform) => transform,
            Self::Product(transform) => transform,
        }
    }
}
