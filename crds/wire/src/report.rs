//! The operator's requests for verdicts, the ledger's results, and the labels that the ledger receives.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Decimal, Digest, words};

/// The format that this code writes.
pub const REPORT_FORMAT: u32 = 1;

/// Minimum of rows in a reference. With fewer, there is no drift verdict.
pub const LEAST_REFERENCE_ROWS: u64 = 100;

/// A message if a reference with this number of rows is too small.
pub fn small_reference(rows: u64) -> Option<String> {
    (rows < LEAST_REFERENCE_ROWS).then(|| {
        format!(
            "The reference has {rows} rows and at least {LEAST_REFERENCE_ROWS} are needed to judge drift: no drift verdict will be given. Train on \
             more rows."
        )
    })
}

/// A request for a verdict on one window of a version's traffic. The first verdict is kept, so a repeated request gets the same
/// response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportRequest {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Name of the model.
    pub model: String,
    /// Name of the `ModelVersion`.
    pub version: String,
    /// Its bundle, whose reference the window is compared with.
    pub bundle: Digest,
    /// Start of the window, seconds since 1970. Counted windows that start here or later …
    pub start: i64,
    /// … and before this are added.
    pub end: i64,
    /// When the monitoring of the version began, seconds since 1970, at or before `evidence_from`. The thresholds of the evidence
    /// depend on it.
    pub since: i64,
    /// Evidence is gathered over the windows that start here or later, and before `end`. At or before `start`.
    pub evidence_from: i64,
    /// Minimum of rows in the window, or in the season if traffic repeats.
    pub minimum_rows: u64,
    /// Length of the version's windows in seconds. Absent: the amount of traffic is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u32>,
    /// Length in seconds of the season after which traffic repeats: a day or a week, filled by whole windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season_seconds: Option<u32>,
    /// When the version began to answer the requests of its model, seconds since 1970. A season that began earlier is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_since: Option<i64>,
    /// The tolerance of the values of every feature that is not in `tolerances`, and of the scores.
    pub tolerance: Decimal,
    /// The tolerance of the rates of missing, outside and wrongly typed values, for every feature that is not in `tolerances`.
    #[serde(default = "default_rate_tolerance")]
    pub rate_tolerance: Decimal,
    /// Tolerances of individual features, in place of both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerances: Vec<(String, Decimal)>,
}

/// The verdict on one window, a summary of the full judgement in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportResult {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// `Drift`, `NoDrift` or `InsufficientData`.
    pub verdict: DriftVerdict,
    /// Rows that were judged.
    pub rows: u64,
    /// Answered rows that were marked as synthetic load.
    pub synthetic: u64,
    /// Answered rows of an entity that was already counted in the same window.
    pub repeated: u64,
    /// Answered rows that exceed what one process can count.
    pub over_limit: u64,
    /// Rows that were refused for a reason other than a type error, and bodies from which no row can be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Processes that counted.
    pub incarnations: u64,
    /// Processes that did not close the window.
    pub unclosed: Vec<UnclosedIncarnation>,
    /// Pods with totals that do not match the bundle's reference. These totals were not added; the verdict covers all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// Digest of a blob in the artifact store with the bins and counts that can become the reference: those of the window, or of
    /// the season up to its end. Absent if nothing was counted. If traffic repeats, also absent unless a whole season drifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Digest>,
    /// Features with values outside the bins in more than half of the rows. These bins would not show later changes, so the window
    /// cannot become a reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside_bins: Vec<String>,
    /// The season that `counts` covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<CountedSeason>,
    /// Length in seconds of the season that was compared; absent if windows were compared, for example because the reference is an
    /// accepted window shorter than the season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season_seconds: Option<u32>,
    /// Why no whole season was compared, if one should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_season: Option<NoSeason>,
    /// The reference that the window was compared with.
    pub reference: ReportReference,
    /// The comparisons that drifted, largest effect first.
    pub drifted: Vec<DriftedComparison>,
}

words! {
    /// A verdict on a window.
    pub enum DriftVerdict {
        /// At least one comparison differs from the reference by more than the tolerance.
        Drift,
        /// There are enough rows, and no comparison drifted.
        NoDrift,
        /// There are not enough rows. This does not mean "no drift".
        InsufficientData,
    }

    /// The aspect of a feature that drifted.
    #[derive(PartialOrd, Ord)]
    pub enum DriftAspect {
        /// The distribution of its values.
        Values,
        /// Values that do not occur in training: outside the range, or unknown categories.
        Outside,
        /// The rate of missing values.
        MissingRate,
        /// Rows that were refused because the value has the wrong type.
        TypeErrors,
        /// The distribution of the scores. `feature` is `score`.
        Scores,
        /// The amount of the model's traffic. `feature` is `traffic`.
        Traffic,
        /// Rows that were refused for a reason other than a type error. `feature` is `refused`.
        Refused,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

// === impl DriftAspect ===

impl DriftAspect {
    /// Whether clients have to correct the rows: another model would refuse them too.
    pub const REFUSALS: [Self; 2] = [Self::TypeErrors, Self::Refused];
    /// Whether the aspect is about requests, so that another model would not change it.
    pub const OF_REQUESTS: [Self; 3] = [Self::Traffic, Self::TypeErrors, Self::Refused];
    /// Whether the aspect says nothing about values: neither that they differ, nor that data is broken.
    pub const NOT_OF_VALUES: [Self; 2] = [Self::Traffic, Self::Refused];
}

/// Why no whole season was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "reason")]
pub enum NoSeason {
    /// The first season has not ended.
    Open {
        /// When it ends, seconds since 1970.
        ends: i64,
    },
    /// It contains more totals than are read for one report.
    TooManyTotals,
}

/// A season of traffic that can become the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountedSeason {
    /// Its start, seconds since 1970. It ends at the end of the window.
    pub start: i64,
    /// Number of its rows.
    pub rows: u64,
}

/// A process that counted but did not close the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnclosedIncarnation {
    /// Uid of its Pod.
    pub pod: String,
    /// 32 hexadecimal digits.
    pub incarnation: String,
}

/// Totals of one Pod that were not added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// Uid of the Pod.
    pub pod: String,
    /// Number of totals.
    pub totals: u64,
    /// What is wrong with the first of them.
    pub reason: String,
}

/// The reference that a window was compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportReference {
    /// The sha256 of the bundle's reference file, or of the accepted window's counts.
    pub digest: Digest,
    /// Whether it is an accepted window of traffic rather than the training data.
    pub accepted_window: bool,
    /// Number of its rows.
    pub rows: u64,
}

/// One comparison that drifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftedComparison {
    /// Name of the feature.
    pub feature: String,
    /// The aspect that drifted. Reports of earlier releases only state whether it is the values.
    #[serde(alias = "values", deserialize_with = "aspect_or_values")]
    pub aspect: DriftAspect,
    /// Name of the test that detected the change. Absent in reports of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// The effect, 6 places.
    pub effect: Decimal,
    /// Its lower confidence bound.
    pub lower: Decimal,
    /// Its upper confidence bound.
    pub upper: Decimal,
    /// The tolerance that `lower` was compared with.
    pub tolerance: Decimal,
    /// Number of newest windows that were compared together; 1 in reports of earlier releases.
    #[serde(default = "one_window")]
    pub windows: u32,
    /// Negative natural logarithm of the p-value under "no change", 6 places.
    pub log_evidence: Decimal,
    /// The threshold that it reached.
    pub log_threshold: Decimal,
}

/// A label for one prediction, sent by the inference server that opened its prediction id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackRecord {
    /// The id as it was returned.
    pub prediction_id: String,
    /// The first 8 bytes of the digest of the route that answered, 16 hexadecimal digits.
    pub route: String,
    /// When the request was received, milliseconds since 1970.
    pub predicted_at_ms: u64,
    /// The returned probability.
    pub score: f64,
    /// The returned class, 0 or 1.
    pub class: u8,
    /// The true class.
    pub actual: u8,
}

words! {
    /// The outcome of a label.
    pub enum FeedbackOutcome {
        /// It is the first label of its prediction, and was stored.
        Accepted,
        /// The same label was already stored.
        Repeated,
        /// A different label was already stored: both are kept, and neither is counted.
        Contradicted,
    }
}

/// 0.02.
pub fn default_rate_tolerance() -> Decimal {
    Decimal::rounded(0.02, 2).unwrap_or_else(|| unreachable!("it is finite"))
}

fn one_window() -> u32 {
    1
}

/// An aspect, or whether it is [`DriftAspect::Values`].
fn aspect_or_values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DriftAspect, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Aspect(DriftAspect),
        Values(bool),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Aspect(aspect) => aspect,
        Written::Values(true) => DriftAspect::Values,
        Written::Values(false) => DriftAspect::MissingRate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_a_former_release_says_whether_the_values_drifted() {
        let numbers = r#""effect": "0.4", "lower": "0.3", "upper": "0.5", "tolerance": "0.1", "qValue": "0", "logEvidence": "9",
            "logThreshold": "6.9""#;
        let read = |aspect: &str| {
            let text = format!(r#"{{"feature": "age", {aspect}, {numbers}}}"#);
            serde_json::from_str::<DriftedComparison>(&text).map(|found| found.aspect)
        };
        assert_eq!(read(r#""values": true"#).unwrap(), DriftAspect::Values);
        assert_eq!(read(r#""values": false"#).unwrap(), DriftAspect::MissingRate);
        for aspect in DriftAspect::ALL {
            assert_eq!(read(&format!(r#""aspect": "{aspect}""#)).unwrap(), aspect);
        }
        assert!(read(r#""aspect": "Shape""#).is_err());
    }
}
