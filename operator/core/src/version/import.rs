//! The only stage of a model that was trained elsewhere: it is read, checked and made a bundle.

use jiff::Timestamp;
use modelward_crds::{
    ArtifactSource, ConditionType, ImportedStatus, MlflowStatus, ModelVersion, ModelVersionStatus,
    SelectedFamily,
};
use modelward_wire::{JobResult, JobStage, Verdict as JobVerdict, small_reference};

use crate::{
    attempt::{self, Stage, Step},
    conditions::Verdict,
    reason::Reason,
    version::{
        context::stage_context,
        fit::{bundle, one_half},
        world::World,
    },
};

pub(super) fn import_stage(
    version: &ModelVersion,
    artifact: &ArtifactSource,
    world: &World,
    now: Timestamp,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Stage {
    if status.bundle.is_some() {
        return Stage::Recorded;
    }
    let context = stage_context(version, JobStage::Import, world, now);
    // A registry cannot be watched, like an address.
    let watched =
        artifact.mlflow.is_none() && artifact.datasets().all(|dataset| dataset.config_map.is_some());
    let slot = &mut status.fit_attempt;
    let result = match attempt::read(&context, &world.dataset, watched, slot, step) {
        Ok(result) => result,
        Err(stage) => return stage,
    };
    let kind = ConditionType::Trained;
    let stage = match (result.verdict, result.digest) {
        (JobVerdict::Succeeded, Some(digest)) => {
            record_import(artifact, &result, status);
            status.bundle = Some(bundle(digest));
            Stage::Recorded
        }
        (JobVerdict::DataNotFound, _) => {
            Stage::Waiting(Verdict::fails(kind, Reason::DatasetNotFound, result.message))
        }
        (JobVerdict::SpecInvalid, _) => {
            Stage::Terminal(Verdict::fails(kind, Reason::SpecInvalid, result.message))
        }
        _ => Stage::Terminal(Verdict::fails(kind, Reason::ImportRefused, result.message)),
    };
    attempt::settle(&context, stage, watched, &mut status.fit_attempt, step)
}

fn record_import(artifact: &ArtifactSource, result: &JobResult, status: &mut ModelVersionStatus) {
    status.family = result.family.as_deref().and_then(SelectedFamily::of);
    let threshold = artifact.threshold.as_ref().or(result.threshold.as_ref());
    status.threshold = threshold.cloned().or_else(one_half);
    status.imported = result.imported.as_ref().map(|imported| {
        Box::new(ImportedStatus {
            format: imported.format.clone(),
            file: imported.file,
            sample: imported.sample,
            rows: result.rows.and_then(|rows| i64::try_from(rows).ok()),
            mlflow: imported.mlflow.as_ref().map(|mlflow| MlflowStatus {
                version: mlflow.version.clone(),
                run: mlflow.run.clone(),
            }),
        })
    });
}

pub(super) fn imported_verdict(imported: &ImportedStatus, status: &ModelVersionStatus) -> Verdict {
    let digest = status.bundle.as_ref().map(|bundle| bundle.digest.short());
    let mut words = format!("imported from {}", imported.format);
    if let Some(mlflow) = &imported.mlflow {
        words = format!("{words}, version {} of the registered model", mlflow.version);
    }
    words = format!("{words}, bundle {}", digest.unwrap_or_default());
    let rows = imported.rows.and_then(|rows| u64::try_from(rows).ok());
    if let Some(warning) = rows.and_then(small_reference) {
        words = format!("{words}. {warning}");
    }
    Verdict::holds(ConditionType::Trained, Reason::Imported, words)
}
