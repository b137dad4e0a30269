//! The verdict on a model that was fitted.

use modelward_crds::{MetricName, TrainingSource, describe_folds};
use modelward_model::CustomTrainerInfo;
use modelward_wire::{Digest, GateBound, GateResult, JobResult, JobStage, Verdict, small_reference};

use crate::{
    command::checks::smaller_class,
    data::snapshot::Snapshot,
    fit::{
        bundle,
        candidate::Candidate,
        compare::Comparison,
        metrics::{self, four_places},
        train::Trained,
    },
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

/// `Succeeded` if every gate and every comparison passed, `GatesFailed` otherwise.
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
    let measured = describe_folds(candidate.folds.len(), fitted.custom_trainer.is_some());
    let mut failed: Vec<String> = gates
        .iter()
        .filter_map(|gate| failure_of(gate, training, &measured))
        .collect();
    failed.extend(comparison.into_iter().flat_map(Comparison::failed));
    let (verdict, message) = if failed.is_empty() {
        (Verdict::Succeeded, success_message(fitted))
    } else {
        let folds = usize::try_from(training.validation.folds).unwrap_or(0);
        failed.extend(one_class(candidate));
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

/// The message of a failed gate, about the mean over what was measured. The value is not rounded: a rounded one may equal the bound. The
/// comparison has its own message.
fn failure_of(gate: &GateResult, training: &TrainingSource, measured: &str) -> Option<String> {
    let (side, bound, is_least) = match &gate.bound {
        GateBound::AtLeast(bound) => ("under", bound, true),
        GateBound::AtMost(bound) => ("over", bound, false),
        GateBound::NotWorseThan { .. } | GateBound::Other(_) => return None,
    };
    (!gate.passed).then(|| {
        let asked = training
            .gates
            .iter()
            .find(|asked| asked.metric.as_str() == gate.metric);
        let what = asked.map_or_else(
            || format!("mean of {measured}"),
            |asked| asked.describe_value(measured),
        );
        let note = asked.map_or("", |asked| asked.metric.note_on_side(is_least));
        format!(
            "{} {} ({what}) is {side} the gate {bound}{note}",
            gate.metric, gate.value
        )
    })
}

fn success_message(fitted: &Fitted<'_>) -> String {
    let candidate = fitted.trained.candidate();
    let place = metrics::position(fitted.select_by);
    let (metric, score) = (fitted.select_by.as_str(), candidate.estimates[place]);
    let (mean, error) = (four_places(score.mean), four_places(score.standard_error));
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
            "; {metric} {} after correction for the selection among {}",
            four_places(corrected.corrected),
            corrected.candidates
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
            let value = four_places(held_out.metrics[place]);
            format!("; {metric} {value} on {} rows that were held out", held_out.rows)
        });
    let one_class = one_class(candidate).map_or_else(String::new, |words| format!("; {words}"));
    let warning = small_reference(rows).map_or_else(String::new, |warning| format!(". {warning}"));
    if let Some(custom) = fitted.custom_trainer {
        let measured: usize = candidate.folds.iter().map(|fold| fold.rows.len()).sum();
        return format!(
            "the image {} trained {} on {} rows: {metric} {mean} on {measured} rows that it did not get (mean of {} parts, standard error \
             {error}){one_class}{passed}{warning}",
            custom.image,
            candidate.family,
            custom.rows,
            candidate.folds.len(),
        );
    }
    format!(
        "trained {} on {} rows: {metric} {mean} (mean of {}, standard error \
         {error}){one_class}{selected}{corrected}{held_out}{limited}{passed}{warning}",
        candidate.family,
        fitted.snapshot.info.rows,
        describe_folds(candidate.folds.len(), false),
    )
}

/// A note if the threshold assigns every row to one class.
fn one_class(candidate: &Candidate) -> Option<String> {
    let class = candidate.only_class()?;
    Some(format!(
        "at the threshold {} every measured row gets class {class}; set another threshold",
        candidate.threshold
    ))
}

/// A warning if there are too few rows to judge a model by. A metric of a handful of rows is 0 or 1 by chance.
fn too_few_rows(rows: usize, least: usize, folds: usize) -> Option<String> {
    (rows < ENOUGH_ROWS || least < ENOUGH_OF_A_CLASS).then(|| {
        format!(
            "{rows} rows, {least} of them of the smaller class, are too few to judge a model: each of {folds} folds is \
             tested on about {}; add rows until there are {ENOUGH_ROWS} and {ENOUGH_OF_A_CLASS} of each class",
            rows / folds.max(1)
        )
    })
}
