//! The hyper-parameters of the families.
//!
//! They have the names of the Python interfaces of the libraries, in camel case. A parameter that is not set has the default in its
//! description, which is the default of the library, except for the random forest.

use kube::KubeSchema;
use modelward_wire::Decimal;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::{
    AMOUNT, IS_AMOUNT, IS_POSITIVE, IS_POSITIVE_SHARE, POSITIVE, POSITIVE_SHARE,
};

/// Hyper-parameters, by family. Those of a family that is not in families are refused.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hyperparameters {
    /// Hyper-parameters of LogisticRegression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logistic_regression: Option<LogisticRegressionParameters>,
    /// Hyper-parameters of RandomForest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_forest: Option<RandomForestParameters>,
    /// Hyper-parameters of XGBoost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xgboost: Option<XGBoostParameters>,
    /// Hyper-parameters of LightGBM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lightgbm: Option<LightGBMParameters>,
}

/// Hyper-parameters of logistic regression, with the name of scikit-learn.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogisticRegressionParameters {
    /// Inverse strength of the L2 regularization, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_POSITIVE).message(POSITIVE))]
    pub c: Option<Decimal>,
}

/// Hyper-parameters of the random forest, with the names of XGBoost, which grows its trees.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RandomForestParameters {
    /// Number of trees. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub n_estimators: Option<i32>,
    /// Maximum depth of a tree. Default: 12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 24))]
    pub max_depth: Option<i32>,
    /// Minimum sum of row weights in a leaf, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub min_child_weight: Option<Decimal>,
    /// Share of the rows that each tree is grown on, as a decimal number. Default: 0.632.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub subsample: Option<Decimal>,
    /// Share of the features that each split chooses from, as a decimal number. Default: the square root of the number of features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub colsample_bynode: Option<Decimal>,
    /// Maximum number of bins of a numeric feature. Default: 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1024))]
    pub max_bin: Option<i32>,
}

/// Hyper-parameters of XGBoost, with its own names.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct XGBoostParameters {
    /// Number of boosting rounds; in a search, the maximum. Default: 100, or at most 1000 in a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub n_estimators: Option<i32>,
    /// Step size of each round, as a decimal number. Default: 0.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub learning_rate: Option<Decimal>,
    /// Maximum depth of a tree. Default: 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 24))]
    pub max_depth: Option<i32>,
    /// Minimum sum of second derivatives in a leaf, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub min_child_weight: Option<Decimal>,
    /// Minimum gain of a split, as a decimal number. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub gamma: Option<Decimal>,
    /// Share of the rows that each tree is grown on, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub subsample: Option<Decimal>,
    /// Share of the features that each tree is grown on, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub colsample_bytree: Option<Decimal>,
    /// Strength of the L1 regularization of leaves, as a decimal number. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub reg_alpha: Option<Decimal>,
    /// Strength of the L2 regularization of leaves, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub reg_lambda: Option<Decimal>,
    /// Maximum number of bins of a numeric feature. Default: 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1024))]
    pub max_bin: Option<i32>,
}

/// Hyper-parameters of LightGBM, with its own names.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LightGBMParameters {
    /// Number of boosting rounds; in a search, the maximum. Default: 100, or at most 1000 in a search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub n_estimators: Option<i32>,
    /// Step size of each round, as a decimal number. Default: 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub learning_rate: Option<Decimal>,
    /// Maximum number of leaves of a tree. Default: 31.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 4096))]
    pub num_leaves: Option<i32>,
    /// Maximum depth of a tree; -1 means no limit. Default: -1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = 63))]
    pub max_depth: Option<i32>,
    /// Minimum number of rows in a leaf. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_data_in_leaf: Option<i32>,
    /// Minimum sum of second derivatives in a leaf, as a decimal number. Default: 0.001.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub min_sum_hessian_in_leaf: Option<Decimal>,
    /// Minimum gain of a split, as a decimal number. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub min_gain_to_split: Option<Decimal>,
    /// Share of the rows that each tree is grown on, as a decimal number. The rows are drawn again in each round. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub bagging_fraction: Option<Decimal>,
    /// Share of the features that each tree is grown on, as a decimal number. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_POSITIVE_SHARE).message(POSITIVE_SHARE))]
    pub feature_fraction: Option<Decimal>,
    /// Strength of the L1 regularization of leaves, as a decimal number. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub lambda_l1: Option<Decimal>,
    /// Strength of the L2 regularization of leaves, as a decimal number. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub lambda_l2: Option<Decimal>,
    /// Whether each split draws one random threshold for each feature instead of trying all thresholds. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_trees: Option<bool>,
    /// Maximum number of bins of a numeric feature. Default: 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1024))]
    pub max_bin: Option<i32>,
}
