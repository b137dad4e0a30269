//! The content of `declared-transforms.json`.

use serde::{Deserialize, Serialize};

use super::{
    bins::Bins, by_category::ByCategory, clip::Clip, contract::Transform, impute::Impute, log::Log,
    one_hot::OneHot, ordinal::Ordinal, product::Product, ratio::Ratio, standardize::Standardize,
};

/// The format that this code writes, and the only one that it reads.
pub const TRANSFORM_FORMAT: u32 = 1;

/// The declared transforms of a model with what they learnt from all training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransformFile {
    /// [`TRANSFORM_FORMAT`].
    pub format: u32,
    /// The transforms, in the order in which they are applied.
    pub transforms: Vec<FittedTransform>,
}

/// A declared transform with what it learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FittedTransform {
    /// Its name, and that of the column that it makes.
    pub name: String,
    /// The columns that it reads: features, or columns of earlier transforms.
    pub columns: Vec<String>,
    /// Whether these columns stay.
    pub keep: bool,
    /// Its kind, and what it learnt.
    pub fitted: Fitted,
}

/// The kind of a transform, and what it learnt. Names are those of the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Fitted {
    /// A value in place of missing ones.
    Impute(Impute),
    /// A number less the mean, by the standard deviation.
    Standardize(Standardize),
    /// A column of 0 and 1 for each category.
    OneHot(OneHot),
    /// The place of the category in its order.
    Ordinal(Ordinal),
    /// The smoothed rate of class 1 among the training rows of the category.
    TargetEncode(ByCategory),
    /// The share of the training rows that have the category.
    FrequencyEncode(ByCategory),
    /// The natural logarithm.
    Log(Log),
    /// Bounds that no value passes.
    Clip(Clip),
    /// The interval in which a number lies.
    Bins(Bins),
    /// One number by another.
    Ratio(Ratio),
    /// One number times another.
    Product(Product),
}

// === impl Fitted ===

impl Fitted {
    /// What computes its columns.
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
