//! The verdict on a model that was fitted.

use modelward_crds::{MetricName, TrainingSource};
use modelward_model::CustomTrainerInfo;
use modelward_wire::{Digest, GateBound, GateResult, JobResult, JobStage, Verdict, small_reference};

use crate::{
    command::checks::smaller_class,
    data::snapshot::Snapshot,
    fit::{bundle, compare::Comparison, metrics, train::Trained},
};

/// With fewer rows than this, a gate that failed says little about the model.
const ENOUGH_ROWS: usize = 50;

/// The same for rows of each class.
const ENOUGH_OF_A_CLASS: usize = 10;

/// A model that was fitted and whose bundle was written.
pub(super) struct Fitted<'a> {
    pub(super) training: &'a TrainingSource,
    pub(super) snapshot: &'a Snapshot,
    pub(super) select_by: MetricName,
    /// What was trained.
    pub(super) trained: &'a Trained,
    /// With the champion, if there is one.
    pub(super) comparison: Option<&'a Comparison>,
    /// The image that trained it, if one did.
    pub(super) custom_trainer: Option<&'a CustomTrainerInfo>,
    /// The digest of the bundle.
    pub(super) digest: Digest,
}

/// `Succeeded` where every gate and every comparison passed, `GatesFailed` otherwise.
pub(super) fn judge(fitted: &Fitted<'_>) -> JobResult {
    let Fitted {
        training,
        snapshot,
        trained,
        comparison,
        ..
    } = *fitted;
    let candidate = trained.candidate();
    let gates = bundle::outcomes(candidate, &training.gates, comparison);
    let folds = candidate.folds.len();
    let mut failed: Vec<String> = gates
        .iter()
        .filter_map(|gate| failure_of(gate, training, folds))
        .collect();
    failed.extend(comparison.into_iter().flat_map(Comparison::failed));
    let (verdict, message) = if failed.is_empty() {
        (Verdict::Succeeded, success_message(fitted))
    } else {
        let folds = usize::try_from(training.validation.folds).unwrap_or(0);
        failed.extend(too_few_rows(snapshot.data.len(), smaller_class(snapshot), folds));
        (Verdict::GatesFailed, failed.join("; "))
    };
    let mut result = JobResult::new(JobStage::Fit, verdict, message);
    result.digest = Some(fitted.digest);
    result.rows = Some(snapshot.info.rows);
    result.sources.clone_from(&snapshot.info.sources);
    result.family = Some(candidate.family.to_owned());
    result.threshold = Some(candidate.threshold.clone());
    result.metrics.clone_from(&candidate.reported);
    result.gates = gates;
    result.warnings = snapshot.info.warnings();
    result
}

/// What a gate that failed says, of the mean of so many folds. The comparison has words of its own.
fn failure_of(gate: &GateResult, training: &TrainingSource, folds: usize) -> Option<String> {
    let (side, bound) = match &gate.bound {
        GateBound::AtLeast(bound) => ("under", bound),
        GateBound::AtMost(bound) => ("over", bound),
        GateBound::NotWorseThan { .. } | GateBound::Other(_) => return None,
    };
    (!gate.passed).then(|| {
        let value = short(gate.value.as_str());
        let asked = training
            .gates
            .iter()
            .find(|asked| asked.metric.as_str() == gate.metric);
        let what = asked.map_or_else(
            || format!("mean of {folds} folds"),
            |asked| asked.describe_value(folds),
        );
        format!("{} {value} ({what}) is {side} the gate {bound}", gate.metric)
    })
}

fn success_message(fitted: &Fitted<'_>) -> String {
    let candidate = fitted.trained.candidate();
    let score = &candidate.reported[metrics::position(fitted.select_by)];
    let passed = fitted
        .comparison
        .map_or_else(String::new, |comparison| format!("; {}", comparison.passed()));
    let rows = match &fitted.training.reference {
        Some(window) => u64::try_from(window.rows).unwrap_or(0),
        None => fitted.snapshot.info.rows,
    };
    let selected = match fitted.trained.candidates.len() {
        1 if fitted.training.ensemble.is_none() => String::new(),
        _ => format!("; {}", fitted.trained.reason),
    };
    let corrected = fitted.trained.corrected.map_or_else(String::new, |corrected| {
        format!(
            "; {} {:.4} after correction for the selection among {}",
            score.name, corrected.corrected, corrected.candidates
        )
    });
    let limited = if fitted.trained.reproducible || fitted.custom_trainer.is_some() {
        ""
    } else {
        "; the time limit ended the search, which cannot be repeated"
    };
    let held_out = fitted
        .trained
        .held_out
        .as_ref()
        .map_or_else(String::new, |held_out| {
            let value = held_out.metrics[metrics::position(fitted.select_by)];
            format!(
                "; {} {value:.4} on {} rows that were held out",
                score.name, held_out.rows
            )
        });
    if let Some(custom) = fitted.custom_trainer {
        let measured: usize = candidate.folds.iter().map(|fold| fold.rows.len()).sum();
        let warning = small_reference(rows).map_or_else(String::new, |warning| format!(". {warning}"));
        return format!(
            "the image {} trained {} on {} rows: {} {} on {measured} rows that it did not get (mean of {} parts, standard error {}){passed}{warning}",
            custom.image,
            candidate.family,
            custom.rows,
            score.name,
            short(score.mean.as_str()),
            candidate.folds.len(),
            short(score.standard_error.as_str())
        );
    }
    let warning = small_reference(rows).map_or_else(String::new, |warning| format!(". {warning}"));
    format!(
        "trained {} on {} rows: {} {} (mean of {} folds, standard error {}){selected}{corrected}{held_out}{limited}{passed}{warning}",
        candidate.family,
        fitted.snapshot.info.rows,
        score.name,
        short(score.mean.as_str()),
        candidate.folds.len(),
        short(score.standard_error.as_str())
    )
}

/// That there are too few rows to judge a model by, where this is so. A metric of a handful of rows is 0 or 1 by chance.
fn too_few_rows(rows: usize, least: usize, folds: usize) -> Option<String> {
    (rows < ENOUGH_ROWS || least < ENOUGH_OF_A_CLASS).then(|| {
        format!(
            "{rows} rows, {least} of them of the smaller class, are too few to judge a model: each of {folds} folds is \
             tested on about {}; add rows until there are {ENOUGH_ROWS} and {ENOUGH_OF_A_CLASS} of each class",
            rows / folds.max(1)
        )
    })
}

/// Four places are enough for a sentence.
fn short(number: &str) -> &str {
    match number.find('.') {
        Some(point) if number.len() > point + 5 => &number[..point + 5],
        _ => number,
    }
}
