//! What the operator asks the ledger to judge, and what it answers; and labels on their way to it.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Digest};

/// The format that this code writes.
pub const REPORT_FORMAT: u32 = 1;

/// One window of one version's traffic, to be judged. The same request again has the same answer: the first verdict is kept.
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
    /// Start of the window, seconds since 1970: windows of the counts that start here or later …
    pub start: i64,
    /// … and before this are added up.
    pub end: i64,
    /// When the version began to be watched, seconds since 1970, at or before `evidence_from`: evidence over time is weighed by
    /// how long that is ago.
    pub since: i64,
    /// Evidence is gathered over the windows that start here or later, and before `end`. At or before `start`.
    pub evidence_from: i64,
    /// Rows that the window needs.
    pub minimum_rows: u64,
    /// The tolerance of every feature that is not in `tolerances`.
    pub tolerance: Decimal,
    /// Other tolerances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerances: Vec<(String, Decimal)>,
}

/// The verdict on one window. The ledger keeps the whole judgement; this is what people read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportResult {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// `Drift`, `NoDrift` or `InsufficientData`.
    pub verdict: ReportVerdict,
    /// Rows that were judged.
    pub rows: u64,
    /// Answered rows that were marked as synthetic load.
    pub synthetic: u64,
    /// Answered rows of an entity that was counted before in the same window.
    pub repeated: u64,
    /// Answered rows beyond what one process counts.
    pub over_limit: u64,
    /// Processes that counted.
    pub incarnations: u64,
    /// Those of them that never said that they were done.
    pub unclosed: Vec<UnclosedIncarnation>,
    /// Pods with totals that do not fit the bundle's reference: these were not added, and the verdict is on all others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// Digest of the window's counts with their bins, as a blob in the artifact store: what an accepted window is. Absent
    /// where nothing was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Digest>,
    /// Where the reference comes from.
    pub reference: ReportReference,
    /// The comparisons that drifted in the window, the largest effect first. Where the verdict is not `Drift`, the evidence over
    /// time of none of these features is enough.
    pub drifted: Vec<DriftedComparison>,
}

/// One of three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportVerdict {
    /// Drift was found.
    Drift,
    /// There were enough rows, and no drift was found.
    NoDrift,
    /// There were too few rows to tell.
    InsufficientData,
}

/// A process that counted and never said that it was done.
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
    /// How many totals.
    pub totals: u64,
    /// What is wrong with the first of them.
    pub reason: String,
}

/// What a window was compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportReference {
    /// The sha256 of the bundle's reference file, or of the accepted window's counts.
    pub digest: Digest,
    /// Whether it is an accepted window of traffic rather than the training data.
    pub accepted_window: bool,
    /// Rows of its features.
    pub rows: u64,
}

/// One comparison that drifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftedComparison {
    /// Name of the feature.
    pub feature: String,
    /// Its values rather than its missing rate: whether that is what drifted.
    pub values: bool,
    /// The effect, 6 places.
    pub effect: Decimal,
    /// Its lower confidence bound.
    pub lower: Decimal,
    /// Its upper confidence bound.
    pub upper: Decimal,
    /// The tolerance that `lower` was held against.
    pub tolerance: Decimal,
    /// The share of false discoveries at which it would be one, 12 places.
    pub q_value: Decimal,
    /// Natural logarithm of the evidence over time that the feature has changed, 6 places.
    pub log_evidence: Decimal,
    /// What it must reach.
    pub log_threshold: Decimal,
}

/// A label for one prediction, from the inference server that opened its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackRecord {
    /// The id as it was answered.
    pub prediction_id: String,
    /// The first 8 bytes of the digest of the route that answered, 16 hexadecimal digits.
    pub route: String,
    /// When the request was received, milliseconds since 1970.
    pub predicted_at_ms: u64,
    /// The probability that was answered.
    pub score: f64,
    /// The class that was answered, 0 or 1.
    pub class: u8,
    /// The class that it was.
    pub actual: u8,
}

/// What became of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedbackOutcome {
    /// It is the first for its prediction, and is kept.
    Accepted,
    /// The same was there already.
    Repeated,
    /// Another one was there already: both are known now, and neither is counted.
    Contradicted,
}
