//! `DriftReport`: a verdict on one window of a version's traffic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest, DriftAspect, DriftVerdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::PlannedReference;

/// The traffic to judge.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modelward.io",
    version = "v1alpha1",
    kind = "DriftReport",
    plural = "driftreports",
    singular = "driftreport",
    shortname = "drift",
    category = "modelward",
    namespaced,
    status = "DriftReportStatus",
    derive = "PartialEq",
    selectable = ".spec.version",
    doc = "A verdict on one window of a version's traffic.",
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".spec.version",
        description = "The version whose traffic is judged"
    ),
    printcolumn(
        name = "Verdict",
        type_ = "string",
        json_path = ".status.verdict",
        description = "Drift, NoDrift or InsufficientData"
    ),
    printcolumn(
        name = "Rows",
        type_ = "integer",
        json_path = ".status.rows",
        description = "Number of rows that were judged"
    ),
    printcolumn(
        name = "Drifted",
        type_ = "string",
        json_path = ".status.drifted",
        description = "The features that drifted"
    ),
    printcolumn(
        name = "Proposal",
        type_ = "string",
        json_path = ".status.proposal.reason",
        description = "Whether an action was proposed, or why not"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "Status of the Succeeded condition"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable; create a new DriftReport instead"))]
#[x_kube(validation = Rule::new("timestamp(self.startTime) < timestamp(self.endTime)").message("startTime must be before endTime"))]
#[x_kube(validation = Rule::new("timestamp(self.startTime) >= timestamp('2000-01-01T00:00:00Z')").message("startTime must be in 2000 or later: no row was counted before"))]
pub struct DriftReportSpec {
    /// Name of the ModelVersion.
    #[schemars(length(min = 1, max = 45))]
    pub version: String,
    /// Start of the window. A row belongs to the window in which the server received it.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub start_time: Time,
    /// End of the window, exclusive.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub end_time: Time,
}

/// The verdict. It is written once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(oldSelf.verdict) || (has(self.verdict) && self.verdict == oldSelf.verdict && self.rows == oldSelf.rows)").message("a verdict is written once"))]
pub struct DriftReportStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// The verdict: Drift, NoDrift, or InsufficientData if there were too few rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_word::<DriftVerdict>")]
    pub verdict: Option<DriftVerdict>,
    /// Number of rows that were judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// Uid of the ModelVersion that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version_uid: Option<String>,
    /// Names of the features that drifted, largest effect first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub drifted: Option<String>,
    /// Features that drifted, largest effect first. The ledger has the full table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into(), "aspect".into()]))]
    pub features: Vec<DriftedFeature>,
    /// Share of the answered rows that were judged, as a decimal number. Synthetic load, repeated entities and rows beyond the limit of
    /// a Pod are excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    pub coverage: Option<Decimal>,
    /// Answered rows that were excluded, by reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<AsideRows>,
    /// Number of rows that were refused for a reason other than the type of a value, and of request bodies from which no row could be
    /// read. Not set in reports of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub refused: Option<i64>,
    /// Digest of the counts of the window, or of the season. An accepted window refers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub counts: Option<Digest>,
    /// Features whose value is outside the range or the categories of training in more than half of the rows. Later changes of such
    /// values would not be detected, so the window cannot become a reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub outside_bins: Vec<String>,
    /// The day or week that ends with the window, if traffic repeats and it drifted. The counts are then those of the whole day or
    /// week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<SeasonRows>,
    /// Start of the first window of the current drift; set only if traffic repeats. A drift ends when no window has drifted for a whole
    /// season. Drift in only the amount of traffic or the refused rows does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifting_since: Option<Time>,
    /// Reference that the window was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<PlannedReference>,
    /// Number of processes that counted rows, and how many of them did not close the window. Each of the latter may have lost the rows
    /// that it counted after its last report to the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnations: Option<IncarnationCounts>,
    /// The action that was proposed because of the verdict, or why no action was proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ReportProposal>,
    /// Conditions of the report: Succeeded, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A season of traffic that can become the reference. It ends when the window ends.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeasonRows {
    /// Start of the season.
    pub start_time: Time,
    /// Number of rows in the season.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
}

/// A feature that drifted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftedFeature {
    /// Name of the feature.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Aspect that drifted: Values, Outside (values outside the range or the categories of training), MissingRate, TypeErrors, Scores,
    /// Traffic or Refused. The last three do not belong to a feature; their name is score, traffic or refused.
    #[schemars(schema_with = "crate::schema::word::<DriftAspect>")]
    pub aspect: DriftAspect,
    /// Name of the test that found the drift. If several tests of the aspect did, the one with the largest effect. Not set in reports
    /// of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub test: Option<String>,
    /// Effect size, as a decimal number: the total variation distance of values or scores, or the difference of rates.
    #[schemars(with = "String", length(max = 26))]
    pub effect: Decimal,
    /// Lower confidence bound of the effect, as a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub lower: Decimal,
    /// Upper confidence bound of the effect, as a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub upper: Decimal,
    /// Tolerance that the lower bound was compared with, as a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub tolerance: Decimal,
    /// Number of the newest windows that were compared with the reference together.
    #[serde(default = "one_window")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub windows: u32,
    /// Evidence that the feature differs from the reference, as a decimal number: the negative natural logarithm of a p-value.
    #[schemars(with = "String", length(max = 26))]
    pub log_evidence: Decimal,
    /// Threshold that logEvidence must reach, as a decimal number. It rises with the age of the version.
    #[schemars(with = "String", length(max = 26))]
    pub log_threshold: Decimal,
}

/// Answered rows that were excluded, by reason.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsideRows {
    /// Number of rows of synthetic load.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub synthetic: i64,
    /// Number of rows of entities that were already counted in the same window.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub repeated: i64,
    /// Number of rows beyond the limit of one process in one window.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub over_limit: i64,
}

/// Numbers of processes that counted rows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncarnationCounts {
    /// Number of processes.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub total: i64,
    /// Number of processes that did not close the window.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub unclosed: i64,
}

/// What a verdict led to.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportProposal {
    /// Reason in CamelCase: Proposed; for an alert, RefusedRows, TrafficChanged, StormBreaker or NoRetraining; if no action was
    /// proposed, OnRequest, NotServing, Paused, ActionOpen, SeasonOpen, CoolDown, BudgetSpent or ActionRefused.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Human-readable message with details.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Name of the RemediationAction that was proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub action: Option<String>,
}

fn one_window() -> u32 {
    1
}

// === impl DriftReportStatus ===

impl DriftReportStatus {
    /// Whether anything drifted, and only in these aspects.
    pub fn only(&self, aspects: &[DriftAspect]) -> bool {
        !self.features.is_empty()
            && self
                .features
                .iter()
                .all(|feature| aspects.contains(&feature.aspect))
    }
}
