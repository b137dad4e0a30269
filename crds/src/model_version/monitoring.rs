//! How the traffic of a version is monitored for drift.

use kube::KubeSchema;
use modelward_wire::{Decimal, default_rate_tolerance, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::decimal;

/// The message for an invalid tolerance.
const DECIMAL_FRACTION: &str =
    "write a decimal number above 0 and below 1 in quotes, such as \"0.1\"; percent signs are not allowed";

/// Windows that do not divide the season would extend into the next season.
const WINDOWS_FILL_THE_SEASON: &str =
    "self.season == 'None' || (self.season == 'Day' ? 86400 : 604800) % self.windowSeconds == 0";
const SEASON: &str = "windowSeconds must divide the season: a Day has 86400 seconds, a Week 604800; if traffic does not repeat, set season to None";

/// How the traffic of a version is monitored for drift. Traffic is counted in windows of time, and each window is judged after it has
/// closed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new(WINDOWS_FILL_THE_SEASON).message(SEASON))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringSpec {
    /// Length of a window in seconds. Windows are aligned to 1970-01-01T00:00:00Z. A row belongs to the window in which the server
    /// received it. For each model, the version with the greatest weight sets the length; a change replaces the Pods in a rolling
    /// update.
    #[serde(default = "default_window_seconds")]
    #[schemars(range(min = 10, max = 604_800))]
    pub window_seconds: i32,

    /// How traffic repeats: Day, Week or None. With Day or Week, the training data represents traffic of all hours of a day or of a
    /// week, and is compared with the windows of a whole day or week together, so a verdict against the training data needs a whole day
    /// or week of traffic. After a retraining that accepted a day or week of traffic, each window is also compared with the same hour
    /// of it. With None, each window is compared with the whole reference. Hours and weekdays are in UTC.
    #[serde(default = "default_season")]
    pub season: Season,

    /// Delay in seconds between the end of a window and its evaluation. Pods report their counts in this time.
    #[serde(default = "default_lateness_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub lateness_seconds: i32,

    /// Minimum number of rows in a window, or in a whole season, that is judged. With fewer rows, the verdict is InsufficientData,
    /// never NoDrift.
    #[serde(default = "default_minimum_rows")]
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub minimum_rows: i64,

    /// Tolerance for the values of a feature and for the scores, as a decimal number above 0 and below 1: how far they may differ from
    /// the reference (total variation distance). A feature drifts only if the lower confidence bound of the difference is at or above
    /// the tolerance.
    #[serde(default = "default_tolerance")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.][0-9]{1,12}$') && !self.matches('^0[.]0+$')").message(DECIMAL_FRACTION))]
    pub tolerance: Decimal,

    /// Tolerance for the rates of a feature, as a decimal number above 0 and below 1: how far the rates of missing values, of values
    /// outside the range or the categories of training, and of values of a wrong type may differ from the reference.
    #[serde(default = "default_rate_tolerance")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.][0-9]{1,12}$') && !self.matches('^0[.]0+$')").message(DECIMAL_FRACTION))]
    pub rate_tolerance: Decimal,

    /// Tolerances of individual features. They replace both tolerance and rateTolerance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["feature".into()]))]
    pub tolerances: Vec<FeatureTolerance>,
}

words! {
    /// How traffic repeats.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Season {
        /// Traffic does not repeat.
        None,
        /// The hours of a day differ.
        Day,
        /// The days of a week differ.
        Week,
    }
}

/// Tolerance of one feature.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureTolerance {
    /// Name of the feature.
    #[schemars(length(min = 1, max = 128))]
    pub feature: String,
    /// Tolerance, as a decimal number above 0 and below 1.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.][0-9]{1,12}$') && !self.matches('^0[.]0+$')").message(DECIMAL_FRACTION))]
    pub tolerance: Decimal,
}

fn default_window_seconds() -> i32 {
    3600
}

fn default_season() -> Season {
    Season::Day
}

fn default_lateness_seconds() -> i32 {
    30
}

fn default_minimum_rows() -> i64 {
    100
}

fn default_tolerance() -> Decimal {
    decimal("0.1")
}

impl Default for MonitoringSpec {
    fn default() -> Self {
        Self {
            window_seconds: default_window_seconds(),
            season: default_season(),
            lateness_seconds: default_lateness_seconds(),
            minimum_rows: default_minimum_rows(),
            tolerance: default_tolerance(),
            rate_tolerance: default_rate_tolerance(),
            tolerances: Vec::new(),
        }
    }
}

// === impl Season ===

impl Season {
    /// Length of the season in seconds.
    pub const fn seconds(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Day => Some(86_400),
            Self::Week => Some(604_800),
        }
    }

    /// The noun for one season in a sentence.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::None => "window",
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

// === impl MonitoringSpec ===

impl MonitoringSpec {
    /// The season if windows divide it, otherwise `None`. A version of a release without seasons has the default season, and windows of
    /// any length.
    pub fn divided_season(&self) -> Season {
        let fits = |seconds: u32| {
            u32::try_from(self.window_seconds)
                .is_ok_and(|window| window > 0 && seconds.is_multiple_of(window))
        };
        match self.season.seconds() {
            Some(seconds) if fits(seconds) => self.season,
            _ => Season::None,
        }
    }
}
