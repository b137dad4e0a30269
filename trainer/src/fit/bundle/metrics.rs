//! `metrics.json`: how each candidate was evaluated.

use modelward_crds::{Gate, MetricName};
use modelward_model::BUNDLE_FORMAT;
use modelward_wire::Decimal;
use serde::Serialize;

use crate::{
    family::Parameters,
    fit::{
        compare::Comparison,
        train::{Plan, Trained},
    },
};

/// The content of `metrics.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetricsFile<'a> {
    format: u32,
    folds: FoldsInfo,
    threshold: Decimal,
    select_by: &'static str,
    selected: &'static str,
    gates: &'a [Gate],
    #[serde(skip_serializing_if = "Option::is_none")]
    not_worse_than: Option<&'a Comparison>,
    candidates: Vec<CandidateInfo<'a>>,
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
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInfo<'a> {
    family: &'static str,
    parameters: &'a Parameters,
    metrics: Vec<MetricInfo>,
    folds: Vec<FoldInfo>,
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
    metrics: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn metrics_file<'a>(
    plan: &Plan,
    gates: &'a [Gate],
    trained: &'a Trained,
    threshold: &Decimal,
    not_worse_than: Option<&'a Comparison>,
) -> MetricsFile<'a> {
    let candidates = trained.candidates.iter().map(|candidate| CandidateInfo {
        family: candidate.family,
        parameters: &candidate.parameters,
        metrics: MetricName::ALL
            .iter()
            .zip(&candidate.estimates)
            .map(|(name, estimate)| MetricInfo {
                name: name.as_str(),
                mean: estimate.mean,
                standard_error: estimate.standard_error,
            })
            .collect(),
        folds: candidate
            .folds
            .iter()
            .map(|fold| FoldInfo {
                repeat: fold.repeat,
                fold: fold.fold,
                rows: fold.rows.len(),
                metrics: MetricName::ALL
                    .iter()
                    .zip(fold.metrics)
                    .map(|(name, value)| (name.as_str().to_owned(), value.into()))
                    .collect(),
            })
            .collect(),
    });
    MetricsFile {
        format: BUNDLE_FORMAT,
        folds: FoldsInfo {
            kind: "repeated stratified folds",
            folds: plan.folds,
            repeats: plan.repeats,
            seed: plan.seed,
            shuffle: "SplitMix64, Fisher-Yates a class, dealt in turn",
            standard_error: "sd * sqrt(1/J + n_test/n_train), Nadeau and Bengio 2003",
        },
        threshold: threshold.clone(),
        select_by: plan.select_by.as_str(),
        selected: trained.candidates[trained.selected].family,
        gates,
        not_worse_than,
        candidates: candidates.collect(),
    }
}
