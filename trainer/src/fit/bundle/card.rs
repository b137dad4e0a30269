//! The model card.

use askama::Template;
use modelward_crds::MetricName;
use modelward_model::{BundleInfo, FeatureKind};
use modelward_wire::{Decimal, MetricValue, SourceRecord};

use crate::{
    data::snapshot::Snapshot,
    family::ModelReport,
    fit::{bundle::extras::Extras, compare::Comparison, optimism::Corrected, plan::Plan, train::Trained},
};

/// The page for people. askama escapes what comes from the data.
#[derive(Template)]
#[template(path = "model-card.html")]
struct Card<'a> {
    model: &'a str,
    family: &'a str,
    positive_when: &'a str,
    threshold: &'a Decimal,
    rows: u64,
    positive_rows: u64,
    snapshot: String,
    sources: &'a [SourceRecord],
    /// What a repeat has, in words.
    split: &'static str,
    folds: usize,
    repeats: usize,
    seed: u64,
    select_by: &'static str,
    reason: &'a str,
    threshold_rule: String,
    /// The method, where scores are calibrated.
    calibration: Option<&'static str>,
    corrected: Option<Corrected>,
    held_out: Option<CardHeldOut>,
    reproducible: bool,
    candidates: Vec<CardCandidate>,
    comparison: Option<&'a Comparison>,
    window: Option<CardWindow>,
    features: Vec<CardFeature<'a>>,
    /// Whether anything stands for the missing values of a feature.
    imputes: bool,
    report: &'a ModelReport,
}

struct CardHeldOut {
    rows: usize,
    positive_rows: usize,
    metrics: Vec<(&'static str, f64)>,
}

struct CardWindow {
    rows: i64,
    start: String,
    end: String,
}

struct CardCandidate {
    family: &'static str,
    selected: bool,
    metrics: Vec<MetricValue>,
}

struct CardFeature<'a> {
    name: &'a str,
    kind: &'static str,
    values: String,
    required: bool,
    missing: String,
    imputed: Option<&'a str>,
}

pub(super) fn card(
    snapshot: &Snapshot,
    plan: &Plan,
    trained: &Trained,
    info: &BundleInfo,
    extras: Extras<'_>,
) -> Result<String, askama::Error> {
    let report = trained.fitted.report();
    let features = snapshot.data.schema.features.iter().map(|feature| {
        let (kind, values) = match &feature.kind {
            FeatureKind::Numeric { min, max } => {
                let end = |end: &Option<f64>| end.map_or("…".to_owned(), |end| end.to_string());
                ("Numeric", format!("{} to {}", end(min), end(max)))
            }
            FeatureKind::Categorical { categories } => ("Categorical", categories.join(", ")),
        };
        let missing = snapshot
            .info
            .columns
            .iter()
            .find(|column| column.name == feature.name);
        CardFeature {
            name: &feature.name,
            kind,
            values,
            required: feature.required,
            missing: missing.map_or("unknown".to_owned(), |column| column.missing.to_string()),
            imputed: report.imputed.get(&feature.name).map(String::as_str),
        }
    });
    Card {
        model: &info.model,
        family: &info.family,
        positive_when: &info.target.positive_when,
        threshold: &info.threshold,
        rows: info.rows,
        positive_rows: info.positive_rows,
        snapshot: info.snapshot.to_string(),
        sources: &snapshot.info.sources,
        split: plan.split_by.folds(),
        folds: plan.folds,
        repeats: plan.repeats,
        seed: plan.seed,
        select_by: plan.select_by.as_str(),
        reason: &trained.reason,
        threshold_rule: plan.threshold.describe(),
        calibration: trained
            .candidate()
            .calibration
            .as_ref()
            .map(|_| plan.calibration.as_str()),
        corrected: trained.corrected,
        held_out: trained.held_out.as_ref().map(|outcome| CardHeldOut {
            rows: outcome.rows,
            positive_rows: outcome.positive_rows,
            metrics: MetricName::ALL
                .iter()
                .map(|name| name.as_str())
                .zip(outcome.metrics)
                .collect(),
        }),
        reproducible: trained.reproducible,
        candidates: trained
            .candidates
            .iter()
            .enumerate()
            .map(|(index, candidate)| CardCandidate {
                family: candidate.family,
                selected: index == trained.selected,
                metrics: candidate.reported.clone(),
            })
            .collect(),
        comparison: extras.comparison,
        window: extras.window.map(|window| CardWindow {
            rows: window.accepted.rows,
            start: window.accepted.start_time.0.to_string(),
            end: window.accepted.end_time.0.to_string(),
        }),
        features: features.collect(),
        imputes: !report.imputed.is_empty(),
        report: &report,
    }
    .render()
}
