//! Declared transforms: columns that are made of features before a family sees them.

mod arguments;

use kube::KubeSchema;
use modelward_wire::{Decimal, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::arguments::{TransformArgument, TransformArguments};
use crate::model_version::{
    rules::{AMOUNT, IS_AMOUNT, IS_NUMBER, IS_SHARE, NUMBER, SHARE},
    transforms::arguments::rules,
};

/// A transform: it makes a column, named as the transform, of one or two features or columns of earlier transforms. It is fitted on the
/// training rows of each fold, before the family.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct TransformSpec {
    /// Name of the transform and of the column that it makes. Not the name of a column of the data.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9_-]*$"))]
    pub name: String,
    /// Which transform.
    pub r#type: TransformType,
    /// The column that it reads: a feature, or the name of an earlier transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column: Option<String>,
    /// The first column of a pair: the numerator of a Ratio, a factor of a Product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_a: Option<String>,
    /// The second column of a pair: the denominator of a Ratio, a factor of a Product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_b: Option<String>,
    /// Whether the columns that it reads stay: for the family, and for later transforms. Otherwise, and if absent, its own column replaces them.
    #[serde(default, skip_serializing_if = "crate::fields::is_false")]
    pub keep: bool,
    /// What stands for a missing value: the Median, Mean or Mode of the training rows, or a Constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<ImputeStrategy>,
    /// The Constant: a number in a column of numbers, a category otherwise. A category that the column does not have is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub value: Option<String>,
    /// Whether a second column, NAME.missing, is 1 where the value was missing and 0 elsewhere. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicator: Option<bool>,
    /// The categories from the lowest to the highest, all of them. If absent, they have the order of the feature's categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub order: Option<Vec<String>>,
    /// How many rows of the overall rate each category is given, a decimal number of at least 0. If absent, the variances decide (empirical
    /// Bayes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub smoothing: Option<Decimal>,
    /// What is added before the logarithm, a decimal number of at least 0. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub offset: Option<Decimal>,
    /// Smaller values become this one, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min_value: Option<Decimal>,
    /// Greater values become this one, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max_value: Option<Decimal>,
    /// Values below this quantile of the training rows become it, a decimal number from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub min_quantile: Option<Decimal>,
    /// Values above this quantile of the training rows become it, a decimal number from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub max_quantile: Option<Decimal>,
    /// Number of bins that are learnt from the training rows; fewer where bounds are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 64))]
    pub bins: Option<i32>,
    /// Whether learnt bins have equally many rows (Quantile, the default) or are equally wide (Uniform).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binning: Option<Binning>,
    /// The bounds between bins, ascending decimal numbers, in place of learnt ones. A bound belongs to the bin above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>", length(min = 1, max = 63), inner(length(max = 26), regex(pattern = Decimal::PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub edges: Option<Vec<Decimal>>,
}

words! {
    /// A kind of declared transform.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum TransformType {
        /// A value in place of missing ones.
        Impute,
        /// A number less the mean, by the standard deviation.
        Standardize,
        /// A column of 0 and 1 for each category, named NAME=CATEGORY.
        OneHot,
        /// The place of the category in its order, from 0.
        Ordinal,
        /// The rate of class 1 among training rows of the category, cross-fitted.
        TargetEncode,
        /// The share of the category among the training rows.
        FrequencyEncode,
        /// The natural logarithm.
        Log,
        /// Bounds that no value passes.
        Clip,
        /// The interval in which a number lies, as a category.
        Bins,
        /// One number by another.
        Ratio,
        /// One number times another.
        Product,
    }

    /// What stands for a missing value: the Median, Mean or Mode of the training rows, or a Constant.
    #[derive(JsonSchema)]
    pub enum ImputeStrategy {
        /// The median of the training rows.
        Median,
        /// The mean of the training rows.
        Mean,
        /// The most frequent value of the training rows; of equally frequent ones the smallest number or the first category.
        Mode,
        /// A given value.
        Constant,
    }

    /// How bins are learnt: with equally many rows (Quantile, the default) or equally wide (Uniform).
    #[derive(Default, JsonSchema)]
    pub enum Binning {
        /// Each has about as many training rows.
        #[default]
        Quantile,
        /// Each is as wide.
        Uniform,
    }
}

// === impl TransformSpec ===

impl TransformSpec {
    /// The columns that it reads, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &String> {
        [&self.column, &self.column_a, &self.column_b]
            .into_iter()
            .flatten()
    }
}
