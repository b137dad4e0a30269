//! The model card: one page without scripts and without other files.

mod candidates;
mod data;
mod figure;
mod scored;
#[cfg(test)]
mod tests;
mod transforms;
mod words;

use askama::Template;
use modelward_crds::{CalibrationMethod, Gate, MetricName, describe_folds};
use modelward_model::{BundleInfo, Calibration, CustomTrainerInfo};
use modelward_wire::Decimal;

use self::{
    candidates::{CandidatesPart, CardGate, gates},
    data::DataPart,
    scored::Scored,
    transforms::{CardTransform, transforms},
    words::{Words, describe_platt},
};
use crate::{
    data::snapshot::Snapshot,
    family::ModelReport,
    fit::{
        bundle::extras::Extras,
        candidate::Candidate,
        compare::Comparison,
        importance::Importance,
        metrics::{four_places, position},
        optimism::Corrected,
        plan::Plan,
        train::Trained,
        weights::Weighting,
    },
};

/// The page. askama escapes what comes from the data; the figures escape their own texts.
#[derive(Template)]
#[template(path = "model-card.html")]
struct Card<'a> {
    model: &'a str,
    family: &'a str,
    positive_when: &'a str,
    threshold: &'a Decimal,
    data: DataPart<'a>,
    words: Words,
    select_by: &'static str,
    /// The selecting metric of the selected candidate.
    selected_by_value: String,
    calibration: String,
    weighting: String,
    corrected: Option<Corrected>,
    held_out: Option<CardHeldOut>,
    reproducible: bool,
    /// The image that trained it, if one did: one model, measured on parts of the held-out rows.
    custom_trainer: Option<&'a CustomTrainerInfo>,
    candidates: CandidatesPart,
    gates: Vec<CardGate>,
    gates_passed: usize,
    comparison: Option<&'a Comparison>,
    window: Option<CardWindow>,
    figures: Figures,
    importance: Option<&'a Importance>,
    importance_shown: usize,
    /// Whether missing values of any feature are imputed.
    imputes: bool,
    report: &'a ModelReport,
    transforms: Vec<CardTransform<'a>>,
    /// The rows of the smaller class among those that were measured.
    smaller_class: usize,
    search_trials: Option<usize>,
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

/// SVG elements.
struct Figures {
    roc: String,
    precision_recall: String,
    calibration: String,
    confusion: String,
    importance: Option<String>,
    /// Rows that were measured, once each.
    rows: usize,
}

pub(super) fn card(
    snapshot: &Snapshot,
    plan: &Plan,
    wanted: &[Gate],
    trained: &Trained,
    info: &BundleInfo,
    extras: Extras<'_>,
) -> Result<String, askama::Error> {
    let report = trained.fitted.report();
    let measured = describe_folds(trained.candidate().folds.len(), plan.has_one_model());
    let gates = gates(&info.gates, wanted, &measured);
    let (figures, of_class) = Figures::of(trained, &snapshot.data.labels);
    let selecting = trained.candidate().estimates[position(plan.select_by)];
    Card {
        model: &info.model,
        family: &info.family,
        positive_when: &info.target.positive_when,
        threshold: &info.threshold,
        data: DataPart::of(snapshot, &report, trained.fitted.transforms()),
        words: Words::new(plan, &snapshot.data.row_columns, trained, figures.rows),
        select_by: plan.select_by.as_str(),
        selected_by_value: format!(
            "{} ± {}",
            four_places(selecting.mean),
            four_places(selecting.standard_error)
        ),
        calibration: describe_calibration(plan.calibration, trained.candidate()),
        weighting: describe_weighting(plan.weighting),
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
        custom_trainer: extras.custom_trainer,
        candidates: CandidatesPart::of(trained, plan),
        gates_passed: gates.iter().filter(|gate| gate.passed).count(),
        gates,
        comparison: extras.comparison,
        window: extras.window.map(|window| CardWindow {
            rows: window.accepted.rows,
            start: window.accepted.start_time.0.to_string(),
            end: window.accepted.end_time.0.to_string(),
        }),
        figures,
        importance: trained.importance.as_ref(),
        importance_shown: figure::SHOWN,
        imputes: !report.imputed.is_empty(),
        report: &report,
        transforms: transforms(trained.fitted.transforms()),
        smaller_class: of_class.into_iter().min().unwrap_or(0),
        search_trials: plan.search.map(|search| search.trials),
    }
    .render()
}

fn describe_calibration(method: CalibrationMethod, candidate: &Candidate) -> String {
    match &candidate.calibration {
        None if !candidate.members.is_empty() => match method {
            CalibrationMethod::None => {
                "The probabilities of the members are used as they are; the score is their weighted mean."
                    .to_owned()
            }
            _ => format!(
                "Each member is calibrated by the method {method}; the score is the weighted mean of their probabilities."
            ),
        },
        None if method == CalibrationMethod::None => {
            "Scores are the probabilities of the model as they are.".to_owned()
        }
        None => format!("Calibration by the method {method} had nothing to learn from."),
        Some(Calibration::Platt { slope, intercept }) => format!(
            "Scores are calibrated by the method Platt: {}.",
            describe_platt(*slope, *intercept)
        ),
        Some(Calibration::Isotonic { scores, .. }) => format!(
            "Scores are calibrated by the method Isotonic: a non-decreasing function with {} points.",
            scores.len()
        ),
    }
}

fn describe_weighting(weighting: Weighting) -> String {
    match weighting {
        Weighting::Equal => "All rows have the same weight in the fits.".to_owned(),
        Weighting::Balanced => {
            "Both classes have the same weight in the fits, so probabilities do not match the data unless they are calibrated.".to_owned()
        }
        Weighting::Positive(times) => format!(
            "A row of class 1 counts {times} times in the fits, so probabilities do not match the data unless they are calibrated."
        ),
    }
}

// === impl Figures ===

impl Figures {
    /// With the number of rows of each class.
    fn of(trained: &Trained, labels: &[bool]) -> (Self, [usize; 2]) {
        let candidates: Vec<Scored> = trained
            .candidates
            .iter()
            .map(|candidate| Scored::of(candidate, labels))
            .collect();
        let winner = &candidates[trained.selected];
        let positives = winner.labels.iter().filter(|label| **label).count();
        let figures = Self {
            roc: figure::roc(&candidates, trained.selected),
            precision_recall: figure::precision_recall(&candidates, trained.selected),
            calibration: figure::calibration(winner),
            confusion: figure::confusion(winner.confusion),
            importance: trained.importance.as_ref().map(figure::importance),
            rows: winner.labels.len(),
        };
        (figures, [winner.labels.len() - positives, positives])
    }
}
