//! Declared transforms: columns that are computed from features before a family is fitted.

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

/// A transform. It computes a column from one or two features or columns of earlier transforms. In each fold, it is fitted on the
/// training rows before the family is fitted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct TransformSpec {
    /// Name of the transform and of its column. It must not be the name of a column of the data.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9_-]*$"))]
    pub name: String,
    /// Type of the transform.
    pub r#type: TransformType,
    /// Column to read: a feature, or the name of an earlier transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column: Option<String>,
    /// First column of a pair: the numerator of a Ratio, or a factor of a Product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_a: Option<String>,
    /// Second column of a pair: the denominator of a Ratio, or a factor of a Product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_b: Option<String>,
    /// Whether the columns that the transform reads stay available to the family and to later transforms. If false or absent, the new
    /// column replaces them.
    #[serde(default, skip_serializing_if = "crate::fields::is_false")]
    pub keep: bool,
    /// Replacement for missing values: the Median, Mean or Mode of the training rows, or a Constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<ImputeStrategy>,
    /// Value for the strategy Constant: a number for a numeric column, otherwise a category. A category that the column does not have
    /// is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub value: Option<String>,
    /// Whether to add a column NAME.missing, which is 1 if the value was missing and 0 otherwise. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indicator: Option<bool>,
    /// All categories, from the lowest to the highest. If absent, the order of the feature's categories is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub order: Option<Vec<String>>,
    /// Number of rows that the overall rate counts for in each category, as a decimal number of at least 0. If absent, it is computed
    /// from the variances (empirical Bayes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub smoothing: Option<Decimal>,
    /// Number that is added before the logarithm is taken, as a decimal number of at least 0. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub offset: Option<Decimal>,
    /// Lower bound, as a decimal number. Smaller values are set to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min_value: Option<Decimal>,
    /// Upper bound, as a decimal number. Greater values are set to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max_value: Option<Decimal>,
    /// Lower bound, as a quantile of the training rows: a decimal number from 0 to 1. Smaller values are set to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub min_quantile: Option<Decimal>,
    /// Upper bound, as a quantile of the training rows: a decimal number from 0 to 1. Greater values are set to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub max_quantile: Option<Decimal>,
    /// Number of bins to learn from the training rows. There are fewer if bounds are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 64))]
    pub bins: Option<i32>,
    /// How bins are learned: Quantile (the default), with about the same number of rows in each, or Uniform, with equal widths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binning: Option<Binning>,
    /// Bounds between bins, as ascending decimal numbers, instead of learned bins. A bound belongs to the bin above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>", length(min = 1, max = 63), inner(length(max = 26), regex(pattern = Decimal::PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub edges: Option<Vec<Decimal>>,
}

words! {
    /// A type of transform.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum TransformType {
        /// Replaces missing values.
        Impute,
        /// The number minus the mean, divided by the standard deviation.
        Standardize,
        /// A column of 0 and 1 for each category, named NAME=CATEGORY.
        OneHot,
        /// The position of the category in the order of categories, starting at 0.
        Ordinal,
        /// The rate of class 1 among training rows of the category, cross-fitted.
        TargetEncode,
        /// The share of the category among the training rows.
        FrequencyEncode,
        /// The natural logarithm.
        Log,
        /// The number, limited by a lower and an upper bound.
        Clip,
        /// The interval that contains the number, as a category.
        Bins,
        /// One number divided by another.
        Ratio,
        /// One number multiplied by another.
        Product,
    }

    /// What replaces missing values: the Median, Mean or Mode of the training rows, or a Constant.
    #[derive(JsonSchema)]
    pub enum ImputeStrategy {
        /// The median of the training rows.
        Median,
        /// The mean of the training rows.
        Mean,
        /// The most frequent value of the training rows. Of equally frequent values, the smallest number or the first category.
        Mode,
        /// A given value.
        Constant,
    }

    /// How bins are learned: with about the same number of rows in each (Quantile, the default), or with equal widths (Uniform).
    #[derive(Default, JsonSchema)]
    pub enum Binning {
        /// Each bin has about the same number of training rows.
        #[default]
        Quantile,
        /// All bins have the same width.
        Uniform,
    }
}

// === impl TransformSpec ===

impl TransformSpec {
    /// The columns that the transform reads, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &String> {
        [&self.column, &self.column_a, &self.column_b]
            .into_iter()
            .flatten()
    }
}
