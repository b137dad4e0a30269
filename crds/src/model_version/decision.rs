//! How scores become probabilities and classes.

use kube::KubeSchema;
use modelward_wire::{Decimal, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::{IS_POSITIVE, IS_SHARE, POSITIVE, SHARE};

/// How the decision threshold is chosen. The class is 1 if the probability is at or above it. Exactly one of the fields must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.value), has(self.maximise), has(self.cost)].filter(x, x).size() == 1")
    .message("exactly one of value, maximise and cost must be set"))]
pub struct ThresholdSpec {
    /// The threshold, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub value: Option<Decimal>,
    /// Metric that the threshold maximizes: F1, BalancedAccuracy or Mcc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximise: Option<ThresholdMetric>,
    /// Costs of wrong classifications. The threshold minimizes their sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostSpec>,
}

/// Costs of wrong classifications, in any unit. Right classifications cost nothing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CostSpec {
    /// Cost of a row of class 0 that is classified as 1, as a decimal number.
    #[schemars(with = "String", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_POSITIVE).message(POSITIVE))]
    pub false_positive: Decimal,
    /// Cost of a row of class 1 that is classified as 0, as a decimal number.
    #[schemars(with = "String", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_POSITIVE).message(POSITIVE))]
    pub false_negative: Decimal,
}

words! {
    /// A metric that a threshold can be chosen by.
    #[derive(JsonSchema)]
    pub enum ThresholdMetric {
        /// Harmonic mean of precision and recall.
        F1,
        /// Mean of the recalls of both classes.
        BalancedAccuracy,
        /// Matthews correlation coefficient.
        Mcc,
    }
}

words! {
    /// How the scores of a model become probabilities.
    #[derive(Default, JsonSchema)]
    pub enum CalibrationMethod {
        /// Scores are used as they are.
        #[default]
        None,
        /// A logistic function of the log-odds of the scores.
        Platt,
        /// The best-fitting non-decreasing function of the scores. Needs 1,000 rows.
        Isotonic,
    }
}
