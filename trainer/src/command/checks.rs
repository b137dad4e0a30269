//! Checks that end a command before its work: an invalid spec, or a snapshot that does not match the spec.

use std::path::Path;

use modelward_crds::{CalibrationMethod, FeatureKind as SpecKind, TrainingSource};
use modelward_model::FeatureKind;
use modelward_service::chain;
use modelward_wire::{Digest, JobResult, JobStage, Verdict};

use crate::{
    command::agreement::find_disagreement,
    data::{
        check::too_few_rows,
        dataset::Dataset,
        freeze::{invalid, target_info},
        near::did_you_mean,
        snapshot::Snapshot,
        violation::violation,
    },
    fit::{
        calibrate::LEAST_ISOTONIC_ROWS,
        plan::{Plan, SplitBy},
        splits::Splits,
    },
    spec::{self, Spec, SpecError},
    transform::{Problem, find_problems},
};

/// The spec, or in the inner result the verdict on an invalid one.
pub(super) fn read_spec(path: &Path, stage: JobStage) -> anyhow::Result<Result<Spec, JobResult>> {
    match spec::read(path) {
        Ok(version) => Ok(Ok(version)),
        Err(error @ SpecError::Read { .. }) => Err(error.into()),
        Err(error) => Ok(Err(JobResult::new(
            stage,
            Verdict::SpecInvalid,
            error.to_string(),
        ))),
    }
}

/// The result if the spec names another snapshot.
pub(super) fn other_snapshot(
    training: &TrainingSource,
    found: &Digest,
    stage: JobStage,
) -> Option<JobResult> {
    let named = training.snapshot.filter(|named| named != found)?;
    let message = format!("the spec names the snapshot {named}, this is {found}");
    Some(JobResult::new(stage, Verdict::SpecInvalid, message))
}

/// The result if the snapshot is of another spec, or has too few rows for these folds.
pub(super) fn contradiction(version: &Spec, snapshot: &Snapshot) -> Option<JobResult> {
    let training = &version.training;
    let end = |message: String| Some(JobResult::new(JobStage::Fit, Verdict::SpecInvalid, message));
    let target = target_info(training);
    if snapshot.info.target != target {
        return end(format!(
            "the snapshot has the target {}, the spec asks for {}",
            snapshot.info.target.positive_when, target.positive_when
        ));
    }
    let features = &snapshot.data.schema.features;
    for declared in &training.features {
        let found = features.iter().find(|feature| feature.name == declared.name);
        let same = found.is_some_and(|feature| {
            matches!(
                (&feature.kind, declared.kind),
                (FeatureKind::Numeric { .. }, SpecKind::Numeric)
                    | (FeatureKind::Categorical { .. }, SpecKind::Categorical)
            )
        });
        if !same {
            return end(format!(
                "the snapshot has no {:?} feature {:?}, which the spec declares; take a new snapshot",
                declared.kind, declared.name
            ));
        }
    }
    let kept: Vec<(&str, &String)> = snapshot.info.row_columns.fields().collect();
    let asked: Vec<(&str, &String)> = training.row_columns().collect();
    if kept != asked {
        let list = |columns: &[(&str, &String)]| match columns {
            [] => "none".to_owned(),
            _ => columns
                .iter()
                .map(|(field, name)| format!("{name:?} ({field})"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        return end(format!(
            "the snapshot has other non-feature columns than the spec asks for: {}, not {}; take a new snapshot",
            list(&kept),
            list(&asked)
        ));
    }
    if let Some(message) = find_disagreement(training, snapshot) {
        return end(format!("{message}; take a new snapshot"));
    }
    let schema = &snapshot.data.schema;
    let is_absent = |name: &&String| !schema.names().any(|known| known == **name);
    if let Some(name) = version.tolerances.iter().find(is_absent) {
        return end(format!(
            "monitoring.tolerances names the feature {name:?}, which the snapshot does not have{}; it has {}",
            did_you_mean(name, schema.names()),
            schema.list_names()
        ));
    }
    if let Some(Problem { transform, message }) = find_problems(&training.transforms, schema).first() {
        return end(format!("the transform {transform:?} {message}"));
    }
    if training.calibration == CalibrationMethod::Isotonic
        && let Some(message) = refuse_isotonic(training, snapshot.data.len())
    {
        return end(message);
    }
    let folds = usize::try_from(training.validation.folds).unwrap_or(0);
    let least = smaller_class(snapshot);
    if least < folds {
        return end(format!("the smaller class has {}", too_few_rows(least, folds)));
    }
    None
}

/// Why isotonic regression has too few of these rows to learn from, if it does.
fn refuse_isotonic(training: &TrainingSource, all: usize) -> Option<String> {
    let (mut rows, mut less) = (all, Vec::new());
    let is_image = training.custom_trainer.is_some();
    if let Some(held_out) = &training.validation.held_out {
        let fraction = &held_out.fraction;
        let held = (all as f64 * fraction.to_f64()) as usize;
        // The model of an image is calibrated on the held-out rows.
        rows = if is_image { held } else { all - held };
        less.push(if is_image {
            format!("those that are not held out (heldOut.fraction is {fraction})")
        } else {
            format!("those that are held out (heldOut.fraction is {fraction})")
        });
    }
    if training.validation.time_split.is_some() && !is_image {
        // The first block has no scores to learn from. Every held-out row has one.
        let folds = usize::try_from(training.validation.folds).unwrap_or(1);
        rows = rows * folds / (folds + 1);
        less.push(format!(
            "the first of {} blocks in time, which no model scores",
            folds + 1
        ));
    }
    let left = match less.as_slice() {
        [] => format!("the data has {rows}"),
        _ => format!("{rows} of {all} are left without {}", less.join(" and ")),
    };
    (rows < LEAST_ISOTONIC_ROWS).then(|| {
        format!(
            "calibration: Isotonic needs {LEAST_ISOTONIC_ROWS} rows, {left}; with fewer it follows single rows: use Platt or None"
        )
    })
}

/// The result if the rows cannot be split into folds as the spec asks.
pub(super) fn check_splits(training: &TrainingSource, data: &Dataset) -> Option<JobResult> {
    let plan = Plan::new(training);
    if plan.split_by == SplitBy::Rows && plan.held_out.is_none() && data.row_columns.weights.is_none() {
        // The counts of the classes were checked.
        return None;
    }
    let splits = Splits::new(data, &plan).and_then(|splits| match training.custom_trainer {
        Some(_) => splits.parts_of_held_out(data, &plan).map(drop),
        None => Ok(()),
    });
    let error = splits.err()?;
    let column = training.row_columns().next().map_or("", |(_, column)| column);
    Some(invalid(vec![violation(column, "Folds", chain(&error), 1, None)]))
}

/// Rows of the class that has fewer.
pub(super) fn smaller_class(snapshot: &Snapshot) -> usize {
    let positives = snapshot.data.positives();
    positives.min(snapshot.data.len() - positives)
}
