//! How candidates are evaluated: folds, metrics and gates.

use kube::KubeSchema;
use modelward_wire::{Decimal, MetricValue, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pattern of a bound on a metric, and the message for an invalid bound.
const IS_BOUND: &str = "self.matches('^[0-9]{1,12}([.][0-9]{1,12})?$')";
const BOUND: &str =
    "write a decimal number of at least 0 in quotes, such as \"0.75\"; percent signs are not allowed";

/// How candidates are evaluated: with repeated stratified folds, or with blocks in the order of time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.timeSplit) || !has(self.groupBy)")
    .message("groupBy and timeSplit cannot be set together: a group may have rows in several blocks of time; remove one of the two"))]
#[x_kube(validation = Rule::new("!has(self.timeSplit) || self.repeats == 1")
    .message("rows have one order of time: set repeats: 1 beside timeSplit"))]
pub struct ValidationSpec {
    /// Number of folds per repeat. In each repeat, every row is scored once, by a model that was not trained on it.
    #[serde(default = "default_folds")]
    #[schemars(range(min = 2, max = 20))]
    pub folds: i32,
    /// Number of times that the folds are drawn.
    #[serde(default = "default_repeats")]
    #[schemars(range(min = 1, max = 100))]
    pub repeats: i32,
    /// Seed of all random choices. The same data, spec and seed give the same bundle, byte for byte.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
    /// Column whose values are groups, such as patients. All rows of a group are in the same fold. The column is not a feature, and
    /// every row must have a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub group_by: Option<String>,
    /// Tests each model on later rows than those it was fitted on. In the order of time, the rows are split into one more block than
    /// there are folds. The model of each fold is fitted on the blocks before the one that it is tested on. The first block is not
    /// tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_split: Option<TimeSplit>,
    /// Rows that are kept out of search, folds, calibration and threshold. The selected candidate is measured on them once at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
}

/// Rows that are held out of the evaluation: the same share of each class; with groupBy, whole groups; with timeSplit, the latest rows.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldOut {
    /// Share of the rows to hold out, as a decimal number from 0.01 to 0.5.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.](0[1-9]|[1-4][0-9]?|50?)[0-9]{0,10}$') && double(self) <= 0.5")
        .message("write a decimal number from 0.01 to 0.5 in quotes, such as \"0.2\"; percent signs are not allowed"))]
    pub fraction: Decimal,
}

/// Blocks of rows in the order of time.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TimeSplit {
    /// Column with the time of each row: dates with time and offset (RFC 3339) or without offset (in UTC), dates, or seconds since
    /// 1970. The column is not a feature, and every row must have a value.
    #[schemars(length(min = 1, max = 128))]
    pub column: String,
    /// Minimum number of seconds between the last row that a model is fitted on and the first row that it is tested on. Rows in between
    /// are left out of the fit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3_153_600_000_i64))]
    pub gap_seconds: i64,
}

words! {
    /// A metric of a binary classifier. Class 1 is the positive class.
    #[derive(Default, PartialOrd, Ord, JsonSchema)]
    pub enum MetricName {
        /// Share of rows whose class is correct at the decision threshold.
        Accuracy,
        /// Share of the rows classified as 1 that are of class 1.
        Precision,
        /// Share of the rows of class 1 that are classified as 1.
        Recall,
        /// Harmonic mean of precision and recall at the decision threshold.
        #[default]
        F1,
        /// Area under the receiver operating characteristic curve.
        RocAuc,
        /// Mean negative log-likelihood, in nats. Lower is better.
        LogLoss,
        /// Mean squared difference between the probability and the class. Lower is better.
        Brier,
        /// Area under the precision-recall curve: average precision.
        PrAuc,
        /// Matthews correlation coefficient at the decision threshold, from -1 to 1.
        Mcc,
        /// Mean of the recalls of both classes at the decision threshold.
        BalancedAccuracy,
    }
}

/// A bound on a metric. Exactly one of atLeast and atMost must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.atLeast) != has(self.atMost)").message("exactly one of atLeast and atMost must be set"))]
#[x_kube(validation = Rule::new("self.metric == 'LogLoss' || [has(self.atLeast) ? self.atLeast : '0', has(self.atMost) ? self.atMost : '0']\
    .all(bound, !bound.matches('^[0-9]+([.][0-9]+)?$') || bound.matches('^(0*|0*1([.]0*)?|0+[.][0-9]+)$'))")
    .message("the bound of a metric other than LogLoss is between 0 and 1: write \"0.75\" for 75%"))]
pub struct Gate {
    /// Metric, as the mean over the folds: Accuracy, Precision, Recall, F1, RocAuc, LogLoss, Brier, PrAuc, Mcc or BalancedAccuracy.
    pub metric: MetricName,
    /// Smallest value that passes, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_BOUND).message(BOUND))]
    pub at_least: Option<Decimal>,
    /// Largest value that passes, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_BOUND).message(BOUND))]
    pub at_most: Option<Decimal>,
    /// Number of standard errors by which the mean must be better than the bound, as a decimal number from 0 to 5. With 1, the mean
    /// minus one standard error is compared with atLeast, or the mean plus one with atMost. With 0 or if absent, a model whose true
    /// value is the bound passes half the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^([0-4]([.][0-9]{1,12})?|5([.]0{1,12})?)$')")
        .message("write a decimal number from 0 to 5 in quotes, such as \"1\""))]
    pub standard_errors: Option<Decimal>,
}

fn default_folds() -> i32 {
    5
}

fn default_repeats() -> i32 {
    10
}

impl Default for ValidationSpec {
    fn default() -> Self {
        Self {
            folds: default_folds(),
            repeats: default_repeats(),
            seed: 0,
            group_by: None,
            time_split: None,
            held_out: None,
        }
    }
}

/// Number of decimal places of every metric that is reported and gated.
const PLACES: usize = 6;

/// What a metric is the mean of, with the number: "50 folds", or "4 parts of the held-out rows" for the one model of a custom trainer.
pub fn describe_folds(count: usize, is_one_model: bool) -> String {
    match (count, is_one_model) {
        (1, false) => "1 fold".to_owned(),
        (_, false) => format!("{count} folds"),
        (1, true) => "1 part of the held-out rows".to_owned(),
        (_, true) => format!("{count} parts of the held-out rows"),
    }
}

impl Gate {
    /// The value that is compared with the bound: the mean, minus the standard errors of the gate for atLeast, or plus them for atMost.
    pub fn compared_value(&self, reported: &MetricValue) -> Decimal {
        let Some(count) = &self.standard_errors else {
            return reported.mean.clone();
        };
        let margin = count.to_f64() * reported.standard_error.to_f64();
        let worse = if self.at_least.is_some() { -margin } else { margin };
        Decimal::rounded(reported.mean.to_f64() + worse, PLACES).unwrap_or_else(|| reported.mean.clone())
    }

    /// A description of the compared value, to follow its number: "mean of 50 folds", with the standard errors if the gate has any.
    /// `measured` is from [`describe_folds`].
    pub fn describe_value(&self, measured: &str) -> String {
        match &self.standard_errors {
            None => format!("mean of {measured}"),
            Some(count) => {
                let side = if self.at_least.is_some() { "minus" } else { "plus" };
                let errors = if count.as_str() == "1" { "error" } else { "errors" };
                format!("mean of {measured} {side} {count} standard {errors}")
            }
        }
    }
}

impl MetricName {
    /// A note that is added if a value does not pass a bound on the side on which the metric is better, which a better model fails as
    /// well.
    pub const fn note_on_side(self, is_least: bool) -> &'static str {
        match (self.higher_is_better(), is_least) {
            (false, true) => "; a lower value of this metric is better: set atMost",
            (true, false) => "; a higher value of this metric is better: set atLeast",
            (true, true) | (false, false) => "",
        }
    }

    /// Whether a higher value is better.
    pub const fn higher_is_better(self) -> bool {
        !matches!(self, Self::LogLoss | Self::Brier)
    }
}
