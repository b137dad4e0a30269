//! How scores become probabilities and classes.

use kube::KubeSchema;
use modelward_wire::{Decimal, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::{IS_POSITIVE, IS_SHARE, POSITIVE, SHARE};

/// How the decision threshold is chosen: exactly one of these. The class is 1 at or above it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.value), has(self.maximise), has(self.cost)].filter(x, x).size() == 1")
    .message("exactly one of value, maximise and cost must be set"))]
pub struct ThresholdSpec {
    /// This probability, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub value: Option<Decimal>,
    /// The probability at which this metric is greatest: F1, BalancedAccuracy or Mcc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximise: Option<ThresholdMetric>,
    /// The probability at which wrong answers cost least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostSpec>,
}

/// What wrong answers cost, in any unit. Right answers cost nothing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CostSpec {
    /// A row of class 0 that is classified as 1, a decimal number.
    #[schemars(with = "String", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_POSITIVE).message(POSITIVE))]
    pub false_positive: Decimal,
    /// A row of class 1 that is classified as 0, a decimal number.
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
        /// As they are.
        #[default]
        None,
        /// By a logistic function of their log-odds.
        Platt,
        /// By the non-decreasing function that fits best. Needs 1,000 rows.
        Isotonic,
    }
}
