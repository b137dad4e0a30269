//! The result that a Job of the trainer reports to the operator.

use serde::{Deserialize, Serialize};

use crate::{Decimal, Digest, GateBound, ManifestKind, shorten, words};

/// The format that this code writes.
pub const RESULT_FORMAT: u32 = 1;

/// The kubelet truncates a termination message to less than this number of bytes.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// Maximum length in characters of messages of violations and warnings, and of the message in a termination message.
pub const MESSAGE_LIMIT: usize = 480;

/// The result of a snapshot, fit or import. It is complete in the ledger, and truncated to [`TERMINATION_MESSAGE_LIMIT`] in the
/// termination message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The stage that ended.
    pub stage: JobStage,
    /// How it ended.
    pub verdict: Verdict,
    /// One sentence: what was created, or what is wrong and how to fix it.
    pub message: String,
    /// Digest of the manifest of the snapshot or bundle; absent if nothing was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Rows in the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Where the rows came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRecord>,
    /// The rows that the named champion was not trained on (snapshot of a retraining); absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_rows: Option<NewRows>,
    /// Family of the model (fit, import), such as `LogisticRegression`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Decision threshold of the bundle (fit, import).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Decimal>,
    /// The origin of the bundle (import).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportRecord>,
    /// Metrics of the selected candidate, means over the folds (fit).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricValue>,
    /// Every gate of the spec with its outcome (fit).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// Violations found in the data (snapshot): all of them in the ledger, the first five in the termination message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// Total number of violations.
    #[serde(default)]
    pub violations_total: u64,
    /// Warnings about data that was accepted (snapshot): the first 20 in the ledger, the first five in the termination message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Violation>,
    /// Whether this is a termination message that omits something. The ledger has the complete result.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub cut: bool,
}

words! {
    /// The task of a trainer Job.
    #[derive(PartialOrd, Ord)]
    pub enum JobStage {
        /// Reads the data, validates it and stores it as a snapshot.
        Snapshot,
        /// Trains, evaluates and publishes a bundle.
        Fit,
        /// Creates a bundle from a model that was trained elsewhere, and publishes it.
        Import,
    }

    /// How a stage ended. A crash writes no result.
    pub enum Verdict {
        /// The snapshot or bundle was published, and reading it back succeeded.
        Succeeded,
        /// The data cannot be used: it violates the declared or inferred schema, or is not a table. In an import: the model or its
        /// sample was rejected.
        DataInvalid,
        /// In a fit: the model of a custom trainer was rejected.
        ModelRefused,
        /// The source is available but does not contain the data (a 404, an absent file).
        DataNotFound,
        /// The bundle was published, and at least one gate failed.
        GatesFailed,
        /// The spec requests something that this trainer does not support; the message says what.
        SpecInvalid,
        /// The ledger or a data source is unavailable. This says nothing about the data; the same Job may succeed later.
        Unreachable,
        /// A signal ended the stage before it had a result: its Pod was deleted, its node was drained, or its deadline passed.
        Interrupted,
    }
}

// === impl JobStage ===

impl JobStage {
    /// The value of the Job's label, and the trainer's command. It must never change, because the names of Jobs are hashes of it.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Fit => "fit",
            Self::Import => "import",
        }
    }

    /// The kind of artifact that it publishes.
    pub const fn publishes(self) -> ManifestKind {
        match self {
            Self::Snapshot => ManifestKind::Snapshot,
            Self::Fit | Self::Import => ManifestKind::Bundle,
        }
    }
}

/// The origin of an imported bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportRecord {
    /// The name of the format: `LightGBM text`, `XGBoost JSON`, `XGBoost UBJSON`, `ONNX`, `Modelward bundle`.
    pub format: String,
    /// The sha256 of the model file; for a bundle, the digest of its manifest.
    pub file: Digest,
    /// The sha256 of the sample file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Digest>,
    /// The version that an alias of `MLflow` was resolved to. A bundle does not state it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowVersion>,
}

/// A version of a registered model of `MLflow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MlflowVersion {
    /// Its number.
    pub version: String,
    /// Id of the run that logged it, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// One file or URL that rows were read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRecord {
    /// Its name for display: `cleveland.csv`, `https://…`.
    pub name: String,
    /// The sha256 of its bytes as read.
    pub sha256: Digest,
    /// Rows read from it.
    pub rows: u64,
    /// Number of rows of class 1; absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_rows: Option<u64>,
}

/// The number of rows of a snapshot that the champion was not trained on.
///
/// Rows are equal if they have the same values of the champion's features and the same class. If a file has more copies of a row
/// than the champion was trained on, the excess copies are new. Copies that are new in two files count once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRows {
    /// New rows.
    pub rows: u64,
    /// New rows of class 1.
    pub positive_rows: u64,
    /// All other rows of the files with new rows: the champion was trained on equal rows, or an earlier file contains them.
    pub repeated_rows: u64,
}

/// A metric over repeated folds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricValue {
    /// `F1`, `RocAuc`, …: the names of the API's metric enum.
    pub name: String,
    /// Mean over all folds and repeats.
    pub mean: Decimal,
    /// Standard error of the mean, corrected for folds that share training rows (Nadeau and Bengio 2003).
    pub standard_error: Decimal,
}

/// A gate of the spec and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    /// The metric's name.
    pub metric: String,
    /// The bound that the spec sets.
    pub bound: GateBound,
    /// The compared mean over the folds. For `notWorseThan`, the lower bound of the difference pooled over the folds, where higher
    /// is better.
    pub value: Decimal,
    /// Whether it passed.
    pub passed: bool,
}

/// A violation found in the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The column; empty if it concerns the whole table.
    pub column: String,
    /// The rule in CamelCase: `UnknownColumn`, `Type`, `Range`, `Category`, `MissingRatio`, `Empty`, `OneClass`, `Sha256`, ….
    pub rule: String,
    /// One sentence: what was found, what was expected.
    pub message: String,
    /// Number of rows that violate the rule.
    pub count: u64,
    /// The first such row; data rows are counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example_row: Option<u64>,
}

/// The progress of a running stage. The last one is kept with the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The current activity: `cross-validating LogisticRegression`.
    pub step: String,
    /// Progress of the whole Job, 0 to 100.
    pub percent: u8,
    /// Estimated seconds left, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
}

// === impl JobResult ===

impl JobResult {
    /// Creates a result with a verdict and its message; the caller sets the rest.
    pub fn new(stage: JobStage, verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            format: RESULT_FORMAT,
            stage,
            verdict,
            message: message.into(),
            digest: None,
            rows: None,
            sources: Vec::new(),
            new_rows: None,
            family: None,
            threshold: None,
            imported: None,
            metrics: Vec::new(),
            gates: Vec::new(),
            violations: Vec::new(),
            violations_total: 0,
            warnings: Vec::new(),
            cut: false,
        }
    }

    /// The result for a termination message, with the first five violations and warnings, the first nine sources, and texts of at
    /// most [`MESSAGE_LIMIT`] characters. It is marked as truncated if it differs from the result.
    #[must_use]
    pub fn abridged(&self) -> Self {
        let mut short = self.clone();
        short.message = cut(&self.message);
        short.violations.truncate(5);
        short.warnings.truncate(5);
        for violation in short.violations.iter_mut().chain(&mut short.warnings) {
            violation.message = cut(&violation.message);
            violation.column = cut(&violation.column);
        }
        short.sources.truncate(9);
        for source in &mut short.sources {
            source.name = cut(&source.name);
        }
        if short != *self {
            short.cut = true;
        }
        short
    }
}

fn cut(text: &str) -> String {
    shorten(text, MESSAGE_LIMIT)
}

/// Whether nothing is omitted, so that the mark is not serialized.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_whole(cut: &bool) -> bool {
    !*cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_marked_as_cut_only_if_something_is_left_out() {
        let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, "303 rows");
        assert_eq!(result.abridged(), result);
        let whole = serde_json::to_value(&result).unwrap();
        assert_eq!(whole.get("cut"), None);
        result.message = "x".repeat(MESSAGE_LIMIT + 1);
        let short = result.abridged();
        assert!(short.cut);
        let text = serde_json::to_string(&short).unwrap();
        assert_eq!(serde_json::from_str::<JobResult>(&text).unwrap(), short);
    }
}
