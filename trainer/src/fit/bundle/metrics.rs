//! `metrics.json`: how each candidate was evaluated.

use modelward_crds::{Gate, MetricName};
use modelward_model::{BUNDLE_FORMAT, Calibration, CustomTrainerInfo};
use modelward_wire::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    data::row_columns::RowColumnsInfo,
    family::Parameters,
    fit::{
        bundle::extras::Extras,
        candidate::{Candidate, FoldOutcome},
        compare::Comparison,
        held_out::HeldOutOutcome,
        importance::Importance,
        metrics::{Confusion, Metrics},
        optimism::Corrected,
        plan::Plan,
        search::Trial,
        train::Trained,
    },
};

/// The content of `metrics.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricsFile<'a> {
    format: u32,
    folds: FoldsInfo,
    /// How the threshold was chosen, and the one that serves.
    threshold: ThresholdInfo<'a>,
    calibration: Option<&'a Calibration>,
    select_by: &'static str,
    selected: &'static str,
    reason: &'a str,
    /// The selecting metric, pooled over the folds, corrected for the selection.
    #[serde(skip_serializing_if = "Option::is_none")]
    corrected: Option<Corrected>,
    #[serde(skip_serializing_if = "is_true")]
    reproducible: bool,
    /// How the selected candidate, fitted on all other rows, performed on those that were held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_out: Option<HeldOutInfo<'a>>,
    gates: &'a [Gate],
    #[serde(skip_serializing_if = "Option::is_none")]
    not_worse_than: Option<&'a Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_trainer: Option<&'a CustomTrainerInfo>,
    candidates: Vec<CandidateInfo<'a>>,
    /// The importance of each feature to the selected candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    importance: Option<&'a Importance>,
    /// Every trial of a search.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trials: Vec<TrialInfo<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct HeldOutInfo<'a> {
    #[serde(flatten)]
    outcome: &'a HeldOutOutcome,
    metrics: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize)]
struct ThresholdInfo<'a> {
    value: &'a Decimal,
    rule: String,
}

#[derive(Clone, Debug, Serialize)]
struct TrialInfo<'a> {
    number: usize,
    family: &'static str,
    parameters: &'a Parameters,
    /// The selecting metric, mean over the folds of the first repeat; none if the trial was stopped or failed.
    value: Option<f64>,
    /// The mean of every metric over the same folds, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Map<String, Value>>,
    folds: usize,
    /// Why it could not be fitted, if it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FoldsInfo {
    kind: &'static str,
    folds: usize,
    repeats: usize,
    seed: u64,
    shuffle: &'static str,
    standard_error: &'static str,
    /// The columns by which rows are split.
    #[serde(flatten)]
    columns: RowColumnsInfo,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInfo<'a> {
    family: &'static str,
    parameters: &'a Parameters,
    /// The threshold that would serve, and the calibration, learnt from all folds.
    threshold: &'a Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<&'a Calibration>,
    /// The members of an ensemble.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<MemberInfo<'a>>,
    metrics: Vec<MetricInfo>,
    folds: Vec<FoldInfo>,
}

/// A member of an ensemble, as it would serve.
#[derive(Clone, Debug, Serialize)]
struct MemberInfo<'a> {
    family: &'static str,
    weight: u32,
    parameters: &'a Parameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<&'a Calibration>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricInfo {
    name: &'static str,
    mean: f64,
    standard_error: f64,
}

#[derive(Clone, Debug, Serialize)]
struct FoldInfo {
    repeat: usize,
    fold: usize,
    rows: usize,
    threshold: f64,
    confusion: Confusion,
    metrics: Map<String, Value>,
}

pub(super) fn metrics_file<'a>(
    plan: &Plan,
    columns: RowColumnsInfo,
    gates: &'a [Gate],
    trained: &'a Trained,
    labels: &[bool],
    extras: Extras<'a>,
) -> MetricsFile<'a> {
    MetricsFile {
        format: BUNDLE_FORMAT,
        folds: FoldsInfo {
            kind: plan.kind(),
            folds: plan.folds,
            repeats: plan.repeats,
            seed: plan.seed,
            shuffle: plan.split_by.shuffle(),
            standard_error: plan.standard_error(),
            columns,
        },
        threshold: ThresholdInfo {
            value: &trained.candidate().threshold,
            rule: plan.threshold.describe(),
        },
        calibration: trained.candidate().calibration.as_ref(),
        select_by: plan.select_by.as_str(),
        selected: trained.candidate().family,
        reason: &trained.reason,
        corrected: trained.corrected,
        reproducible: trained.reproducible,
        held_out: trained.held_out.as_ref().map(|outcome| HeldOutInfo {
            outcome,
            metrics: by_name(&outcome.metrics),
        }),
        gates,
        not_worse_than: extras.comparison,
        custom_trainer: extras.custom_trainer,
        candidates: trained
            .candidates
            .iter()
            .map(|candidate| CandidateInfo::of(candidate, labels))
            .collect(),
        importance: trained.importance.as_ref(),
        trials: trained.trials.iter().map(TrialInfo::of).collect(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// Every metric by its name.
fn by_name(metrics: &Metrics) -> Map<String, Value> {
    let named = MetricName::ALL.iter().zip(metrics);
    named
        .map(|(name, value)| (name.as_str().to_owned(), (*value).into()))
        .collect()
}

// === impl CandidateInfo ===

impl<'a> CandidateInfo<'a> {
    fn of(candidate: &'a Candidate, labels: &[bool]) -> Self {
        let estimates = MetricName::ALL.iter().zip(&candidate.estimates);
        let metrics = estimates.map(|(name, estimate)| MetricInfo {
            name: name.as_str(),
            mean: estimate.mean,
            standard_error: estimate.standard_error,
        });
        let members = candidate.members.iter().map(|member| MemberInfo {
            family: member.family,
            weight: member.weight,
            parameters: &member.parameters,
            calibration: member.calibration.as_ref(),
        });
        Self {
            family: candidate.family,
            parameters: &candidate.parameters,
            members: members.collect(),
            threshold: &candidate.threshold,
            calibration: candidate.calibration.as_ref(),
            metrics: metrics.collect(),
            folds: candidate
                .folds
                .iter()
                .map(|fold| FoldInfo::of(fold, labels))
                .collect(),
        }
    }
}

// === impl FoldInfo ===

impl FoldInfo {
    fn of(fold: &FoldOutcome, labels: &[bool]) -> Self {
        Self {
            repeat: fold.repeat,
            fold: fold.fold,
            rows: fold.rows.len(),
            threshold: fold.threshold,
            confusion: fold.confusion(labels),
            metrics: by_name(&fold.metrics),
        }
    }
}

// === impl TrialInfo ===

impl<'a> TrialInfo<'a> {
    fn of(trial: &'a Trial) -> Self {
        Self {
            number: trial.number,
            family: trial.family,
            parameters: &trial.parameters,
            value: trial.value,
            metrics: trial.metrics.as_ref().map(by_name),
            folds: trial.folds,
            failure: trial.failure.as_deref(),
        }
    }
}
