//! The model that a custom trainer left, in place of a training.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use modelward_crds::{CustomTrainer, TrainingSource};
use modelward_model::CustomTrainerInfo;
use modelward_service::chain;
use modelward_wire::{JobResult, JobStage, Verdict};

use crate::{
    custom::{left, model},
    data::{dataset::Dataset, snapshot::Snapshot},
    fit::{error::TrainError, given::measure_model, plan::Plan, splits::Splits, train::Trained},
    import::ImportError,
    report::Meter,
};

/// Why the arguments do not fit the spec.
pub(super) fn contradiction(training: &TrainingSource, trained: Option<&Path>) -> Option<String> {
    match (&training.custom_trainer, trained) {
        (Some(trainer), None) => Some(format!(
            "{} trains this version: write its files with modelward-trainer prepare, run it, and name the directory that it writes to with --trained",
            trainer.image
        )),
        (None, Some(_)) => Some(
            "--trained is for a spec with source.training.customTrainer; this one is trained by fit"
                .to_owned(),
        ),
        _ => None,
    }
}

/// The split of the rows, and those that an image trains on.
pub(super) fn training_rows(data: &Dataset, plan: &Plan) -> Result<(Splits, Vec<usize>), TrainError> {
    let splits = Splits::new(data, plan)?;
    let rows = splits.held_out().map(|(_, others)| others);
    // The spec was checked: rows are held out.
    let rows = rows.unwrap_or_default();
    Ok((splits, rows))
}

/// Reads and measures the model that an image left; in the inner result the verdict on one that is refused.
pub(super) async fn measure_trained(
    trainer: &CustomTrainer,
    dir: &Path,
    snapshot: &Arc<Snapshot>,
    plan: &Plan,
    meter: &Arc<Meter>,
) -> anyhow::Result<Result<(Trained, CustomTrainerInfo), JobResult>> {
    meter.at("reading the model that the image left", 10);
    let (trainer, dir) = (trainer.clone(), dir.to_owned());
    let (snapshot, plan, meter) = (Arc::clone(snapshot), plan.clone(), Arc::clone(meter));
    let work = move || measure(&trainer, &dir, &snapshot, &plan, &meter);
    let ended = tokio::task::spawn_blocking(work);
    match ended.await.context("the measuring thread ended")? {
        Ok(measured) => Ok(Ok(measured)),
        // The file would be refused again.
        Err(error) => match error.downcast_ref::<ImportError>() {
            Some(refused) => Ok(Err(JobResult::new(
                JobStage::Fit,
                Verdict::ModelRefused,
                chain(refused),
            ))),
            None => Err(error),
        },
    }
}

fn measure(
    trainer: &CustomTrainer,
    dir: &Path,
    snapshot: &Snapshot,
    plan: &Plan,
    meter: &Meter,
) -> anyhow::Result<(Trained, CustomTrainerInfo)> {
    let data = &snapshot.data;
    let (splits, training) = training_rows(data, plan)?;
    let model = model::load(trainer, left::read(dir)?, data, &training)?;
    meter.at("measuring the model on the held-out rows", 30);
    let (info, family) = (model.info.clone(), model.family());
    let trained = measure_model(data, plan, &splits, Box::new(model), family)?;
    Ok((trained, info))
}
