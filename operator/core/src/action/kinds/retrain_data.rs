//! The data of a retraining, frozen before approval is requested, so that approvers see the exact rows.

use modelward_crds::{
    AcceptedWindow, BlockedStep, Champion, ConditionType, DriftReport, EvidenceReference, ModelVersion,
    NamedDataset, ObstacleReason, PlannedReference, ReferenceKind, RemediationAction, RetrainingSpec,
    SourceStatus, TrainingSource,
};
use modelward_wire::{Digest, JobStage};

use crate::{
    action::{
        case::{Case, LOOK_AGAIN_SECONDS},
        draft::{Draft, Outcome, Step},
    },
    attempt::{self, Frozen, JobRequester, RequesterKind, Stage, StageContext},
    conditions,
    names::retrained_version_name,
    objects::{name_of, uid_of},
    reason::Reason,
};

/// The version as the snapshot Job of an action reads it. It does not depend on the time of reading.
pub fn snapshot_version(action: &RemediationAction, target: &ModelVersion) -> Option<ModelVersion> {
    let mut spec = target.spec.clone();
    spec.source.training = Some(source(target, None, None, None)?);
    spec.provenance = None;
    spec.retraining = None;
    let mut version = ModelVersion::new(&retrained_version_name(&action.spec.model, uid_of(action)), spec);
    version.metadata.namespace.clone_from(&action.metadata.namespace);
    Some(version)
}

/// The training spec of a retraining: on the version's data and the new data, or only on the new data.
pub fn source(
    target: &ModelVersion,
    snapshot: Option<Digest>,
    not_worse_than: Option<Champion>,
    reference: Option<&PlannedReference>,
) -> Option<TrainingSource> {
    let own = target.spec.source.training.as_ref()?;
    let retraining = target.spec.retraining.as_ref()?;
    let mut fresh = retraining.datasets.iter();
    let (dataset, mut additional): (_, Vec<NamedDataset>) = if retraining.include_training_data {
        (own.dataset.clone(), own.additional_datasets.clone())
    } else {
        (fresh.next()?.dataset.clone(), Vec::new())
    };
    for named in fresh {
        // A version that was retrained before has some of them already.
        additional.retain(|there| there.name != named.name);
        additional.push(named.clone());
    }
    Some(TrainingSource {
        dataset,
        additional_datasets: additional,
        snapshot,
        not_worse_than,
        reference: reference.and_then(|reference| {
            Some(AcceptedWindow {
                counts: reference.digest,
                rows: reference.rows?,
                start_time: reference.start_time.clone()?,
                end_time: reference.end_time.clone()?,
            })
        }),
        ..own.clone()
    })
}

/// The window of a report as a reference. None if it has no verdict yet.
pub fn accepted(report: &DriftReport) -> Option<PlannedReference> {
    let status = report.status.as_ref()?;
    status.verdict?;
    Some(PlannedReference {
        kind: ReferenceKind::AcceptedWindow,
        digest: status.counts?,
        rows: status.rows,
        start_time: Some(report.spec.start_time.clone()),
        end_time: Some(report.spec.end_time.clone()),
    })
}

pub(in crate::action) fn accepted_window(
    case: &Case<'_>,
    draft: &Draft,
    report: &EvidenceReference,
) -> Result<PlannedReference, Outcome> {
    // The spec never changes: once a plan names the window, the report is not needed.
    let known = draft.status.plan.as_ref().and_then(|plan| plan.reference.clone());
    if let Some(known) = known {
        return Ok(known);
    }
    let is_it = |found: &&DriftReport| uid_of(*found) == report.uid;
    let Some(found) = case.world.window.as_ref().filter(is_it) else {
        return Err(Outcome::fails(
            Reason::Superseded,
            format!(
                "the report {} whose window was to be accepted is gone",
                report.name
            ),
        ));
    };
    accepted(found)
        .ok_or_else(|| Outcome::waits(Reason::Waiting, format!("{} has no verdict yet", report.name)))
}

/// Has the data read, checked and frozen, so that approvers see the exact rows.
pub(in crate::action) fn ensure_snapshot(case: &Case<'_>, draft: &mut Draft) -> Result<(), Outcome> {
    let before = conditions::find(&draft.before, ConditionType::Succeeded).cloned();
    let failed = case.world.obstacle.as_ref();
    let obstacle = failed
        .filter(|failed| failed.step == BlockedStep::StartSnapshot)
        .map(|failed| match failed.reason {
            ObstacleReason::NameTaken => attempt::Obstacle::Taken(failed.object.clone()),
            ObstacleReason::Refused => attempt::Obstacle::Refused(failed.message.clone()),
        });
    let context = StageContext {
        requester: JobRequester {
            name: name_of(case.action),
            uid: case.uid(),
            kind: RequesterKind::Action,
        },
        stage: JobStage::Snapshot,
        kind: ConditionType::Succeeded,
        before: before.as_ref(),
        job: &case.world.job,
        obstacle: obstacle.as_ref(),
        now: case.now,
    };
    let mut frozen = Frozen {
        attempt: draft.status.snapshot_attempt.clone(),
        snapshot: draft.status.snapshot.clone(),
        sources: draft.status.sources.clone(),
        violations: Vec::new(),
    };
    let mut step = attempt::Step::default();
    let stage = attempt::snapshot(
        &context,
        &case.world.dataset,
        case.world.watched,
        &mut frozen,
        &mut step,
    );
    draft.status.snapshot_attempt = frozen.attempt;
    draft.status.snapshot = frozen.snapshot;
    draft.status.sources = frozen.sources;
    let again = step
        .again_after_seconds
        .and_then(|seconds| case.after(i64::try_from(seconds).unwrap_or(LOOK_AGAIN_SECONDS)));
    let outcome = match stage {
        Stage::Recorded => return Ok(()),
        Stage::Waiting(verdict) if verdict.reason == Reason::SnapshotRunning => {
            Outcome::works(verdict.reason, verdict.message)
        }
        // This controller does not watch the data.
        Stage::Waiting(verdict) => {
            Outcome::waits(verdict.reason, verdict.message).again(case.after(LOOK_AGAIN_SECONDS))
        }
        Stage::Blocked(verdict) => {
            let blocked = Outcome::stalls(verdict.reason, verdict.message);
            return Err(draft.attempt(case, BlockedStep::StartSnapshot, blocked));
        }
        Stage::Terminal(verdict) => Outcome::fails(verdict.reason, verdict.message),
    };
    Err(match step.start {
        Some(job) => draft.attempt(
            case,
            BlockedStep::StartSnapshot,
            outcome.with(Step::StartSnapshot(job)),
        ),
        None => outcome,
    }
    .again(again))
}

/// Whether there are enough new rows.
pub(in crate::action) fn has_enough_new_rows(
    target: &ModelVersion,
    spec: &RetrainingSpec,
    snapshot: &Digest,
    sources: &[SourceStatus],
) -> Result<(), Outcome> {
    let name = name_of(target);
    let status = target.status.clone().unwrap_or_default();
    let known = |sha256: &Digest| {
        let first = status
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.source_sha256);
        first.as_ref() == Some(sha256) || status.sources.iter().any(|source| source.sha256 == *sha256)
    };
    let fresh: Vec<&SourceStatus> = sources.iter().filter(|source| !known(&source.sha256)).collect();
    let same = status
        .snapshot
        .as_ref()
        .is_some_and(|own| own.digest == *snapshot);
    if same || fresh.is_empty() {
        return Err(Outcome::fails(
            Reason::NoChange,
            format!("{name} was trained on the same data: there are no new rows"),
        ));
    }
    let rows: i64 = fresh.iter().map(|source| source.rows).sum();
    // Without counted classes it is unknown whether there are enough rows.
    let positive: Option<i64> = fresh.iter().map(|source| source.positive_rows).sum();
    let least_of_a_class = positive.map_or(0, |positive| positive.min(rows - positive));
    if rows < spec.minimum_new_rows || least_of_a_class < spec.minimum_rows_of_each_class {
        return Err(Outcome::fails(
            Reason::LabelsNeeded,
            format!(
                "{rows} new rows, {least_of_a_class} of the rarer class; retraining {name} needs {} and {}: label more rows",
                spec.minimum_new_rows, spec.minimum_rows_of_each_class
            ),
        ));
    }
    Ok(())
}
