//! The columns of a dataset: the target and the features.

use kube::KubeSchema;
use modelward_wire::{Decimal, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::{IS_NUMBER, IS_SHARE, NUMBER, SHARE};

/// Column to predict.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.negativeValues) || (has(self.positiveWhen) && has(self.positiveWhen.equals))")
    .message("negativeValues may be set beside positiveWhen.equals only"))]
pub struct Target {
    /// Name of the column.
    #[schemars(length(min = 1, max = 128))]
    pub column: String,
    /// When a row is of class 1. All other rows are of class 0. If absent, the column must contain 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_when: Option<PositiveWhen>,
    /// Values of class 0, if positiveWhen.equals is set. If absent, the column must contain exactly one other value; a third value,
    /// such as another spelling, is rejected. Numbers are compared as numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub negative_values: Vec<String>,
}

/// When a row is of class 1. Exactly one of the fields must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.greaterThan) != has(self.equals)").message("exactly one of greaterThan and equals must be set"))]
pub struct PositiveWhen {
    /// A row is of class 1 if the value of the column, read as a number, is greater than this decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub greater_than: Option<Decimal>,
    /// A row is of class 1 if the value of the column equals this string. Numbers are compared as numbers: "1" equals "1.0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub equals: Option<String>,
}

/// Properties of a feature.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.kind == 'Categorical' || !has(self.categories)").message("categories may be set for a Categorical feature only"))]
#[x_kube(validation = Rule::new("self.kind == 'Numeric' || !has(self.range)").message("range may be set for a Numeric feature only"))]
#[x_kube(validation = Rule::new("self.kind == 'Numeric' || !has(self.monotone)").message("monotone may be set for a Numeric feature only: categories have no order"))]
pub struct FeatureSpec {
    /// Name of the column.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Kind of the feature: Numeric or Categorical. Use Categorical for numeric category codes.
    pub kind: FeatureKind,
    /// Categories that may occur in the data. If absent, they are inferred. Numbers are compared as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub categories: Option<Vec<String>>,
    /// Range that values in the data must be in. If absent, the range is inferred and used only for warnings when serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
    /// Whether a prediction without this feature is rejected. If false or absent, the model treats the feature as missing.
    #[serde(default, skip_serializing_if = "crate::fields::is_false")]
    pub required: bool,
    /// Maximum share of rows with a missing value, as a decimal number from 0 to 1. If absent, there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub max_missing_ratio: Option<Decimal>,
    /// How the probability of class 1 may change with this feature if all other features stay the same. This is a constraint on trees.
    /// If absent, any change is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotone: Option<Monotone>,
}

/// An inclusive range of decimal numbers. At least one of min and max must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.min) || has(self.max)").message("at least one of min and max must be set"))]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || ![self.min, self.max].all(n, n.matches('^-?[0-9]+([.][0-9]+)?$')) || \
    double(self.min) <= double(self.max)").message("min must be at most max"))]
pub struct ValueRange {
    /// Smallest value, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min: Option<Decimal>,
    /// Largest value, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max: Option<Decimal>,
}

words! {
    /// How the probability of class 1 may change with a feature.
    #[derive(JsonSchema)]
    pub enum Monotone {
        /// A greater value never lowers the probability.
        Increasing,
        /// A greater value never raises the probability.
        Decreasing,
    }
}

words! {
    /// How a feature's values are read.
    #[derive(JsonSchema)]
    pub enum FeatureKind {
        /// As numbers.
        Numeric,
        /// As names of categories.
        Categorical,
    }
}
