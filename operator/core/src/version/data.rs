//! The first stage: the data is read and frozen.

use jiff::Timestamp;
use modelward_crds::{ConditionType, ModelVersion, ModelVersionStatus, TrainingSource, ViolationStatus};
use modelward_wire::{Digest, JobStage};

use crate::{
    attempt::{self, Frozen, Stage, Step},
    conditions::Verdict,
    reason::Reason,
    version::{
        context::stage_context,
        world::{SnapshotSeen, World},
    },
};

/// If the ledger cannot state a snapshot, it is asked again after this many seconds.
const SNAPSHOT_RETRY_SECONDS: u64 = 10;

/// Uses a snapshot that was accepted before; otherwise the data is read now.
pub(super) fn data_stage(
    version: &ModelVersion,
    training: &TrainingSource,
    world: &World,
    now: Timestamp,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Stage {
    if let Some(digest) = training.snapshot
        && let Some(stage) = given_snapshot(digest, &world.snapshot, status, step)
    {
        return stage;
    }
    let context = stage_context(version, JobStage::Snapshot, world, now);
    let mut frozen = Frozen {
        attempt: status.snapshot_attempt.take(),
        snapshot: status.snapshot.take(),
        sources: std::mem::take(&mut status.sources),
        // Counted for the plan of a retraining only.
        new_rows: None,
        violations: std::mem::take(&mut status.violations),
        warnings: std::mem::take(&mut status.warnings),
    };
    let watched = training.datasets().all(|dataset| dataset.config_map.is_some());
    let stage = attempt::snapshot(&context, &world.dataset, watched, &mut frozen, step);
    status.snapshot_attempt = frozen.attempt;
    status.snapshot = frozen.snapshot;
    status.sources = frozen.sources;
    status.violations = frozen.violations;
    status.warnings = frozen.warnings;
    stage
}

/// Records the snapshot that the spec names and its files, which a later version is compared with. Returns a stage if it has to
/// wait for that.
fn given_snapshot(
    digest: Digest,
    seen: &SnapshotSeen,
    status: &mut ModelVersionStatus,
    step: &mut Step,
) -> Option<Stage> {
    match seen {
        SnapshotSeen::Present { rows, sources } => {
            status.snapshot = Some(attempt::snapshot_status(digest, Some(*rows), sources));
            status.sources = attempt::source_statuses(sources);
        }
        SnapshotSeen::LedgerUnavailable(error) => {
            step.again_after_seconds = Some(SNAPSHOT_RETRY_SECONDS);
            if status.snapshot.is_none() {
                let message = format!("cannot read snapshot {digest} from the ledger: {error}");
                let verdict = Verdict::unknown(ConditionType::DataValid, Reason::LedgerUnavailable, message);
                return Some(Stage::Waiting(verdict));
            }
        }
        SnapshotSeen::NotAsked | SnapshotSeen::Absent => {
            status
                .snapshot
                .get_or_insert_with(|| attempt::snapshot_status(digest, None, &[]));
        }
    }
    None
}

pub(super) fn data_verdict(version: &ModelVersion, status: &ModelVersionStatus) -> Verdict {
    let source = &version.spec.source;
    let Some(training) = &source.training else {
        let is_given = (source.artifact.as_ref()).is_some_and(|artifact| artifact.bundle.is_some());
        let words = if is_given {
            "a bundle is given; no data is read"
        } else {
            "a model is imported; no training data is read"
        };
        return Verdict::holds(ConditionType::DataValid, Reason::NoTraining, words);
    };
    let digest = status.snapshot.as_ref().map(|snapshot| snapshot.digest.short());
    let digest = digest.unwrap_or_default();
    let rows = status.snapshot.as_ref().and_then(|snapshot| snapshot.rows);
    let words = match (&training.snapshot, &version.spec.provenance, rows) {
        (Some(_), Some(provenance), _) => {
            format!(
                "frozen rows {digest}, accepted with the plan of {}",
                provenance.action.name
            )
        }
        (Some(_), None, _) => format!("frozen rows {digest}"),
        (None, _, Some(rows)) => format!("{rows} rows, snapshot {digest}"),
        (None, _, None) => format!("snapshot {digest}"),
    };
    let words = match name_warnings(&status.warnings) {
        Some(warnings) => format!("{words}; warnings, see status.warnings: {warnings}"),
        None => words,
    };
    Verdict::holds(ConditionType::DataValid, Reason::DataAccepted, words)
}

/// The rules of warnings, each with its column.
fn name_warnings(warnings: &[ViolationStatus]) -> Option<String> {
    let name = |warning: &ViolationStatus| match warning.column.as_str() {
        "" => warning.rule.clone(),
        column => format!("{} ({column})", warning.rule),
    };
    let names: Vec<String> = warnings.iter().map(name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
