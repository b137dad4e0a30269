//! The data of a retraining, frozen before approval is requested, so that approvers see the exact rows.

use modelward_crds::{
    AcceptedWindow, BlockedStep, Champion, ConditionType, DriftReport, EvidenceReference, ModelVersion,
    NamedDataset, NewRowsStatus, ObstacleReason, PlannedReference, ReferenceKind, RemediationAction,
    RetrainingSpec, SourceStatus, TrainingSource,
};
use modelward_wire::{Digest, JobStage};

use crate::{
    action::{
        case::{Case, LOOK_AGAIN_SECONDS},
        draft::{Draft, Outcome, Step},
        plan::routes,
    },
    attempt::{self, Frozen, JobRequester, RequesterKind, Stage, StageContext},
    conditions,
    drift::listed,
    names::retrained_version_name,
    objects::{name_of, uid_of},
    reason::Reason,
};

/// Features that a message names.
const NAMED: usize = 8;

/// The version as the snapshot Job of an action reads it. It does not depend on the time of reading: the bundle of a version is
/// recorded once. New rows are counted against it, whichever version the result will be compared with.
pub fn snapshot_version(action: &RemediationAction, target: &ModelVersion) -> Option<ModelVersion> {
    let mut spec = target.spec.clone();
    let bundle = target.status.as_ref().and_then(|status| status.bundle.as_ref());
    let counted_against = bundle
        .zip(target.spec.retraining.as_ref())
        .map(|(bundle, retraining)| Champion {
            version: name_of(target).to_owned(),
            bundle: bundle.digest,
            margin: retraining.margin.clone(),
        });
    spec.source.training = Some(source(target, None, counted_against, None)?);
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

/// The window of a report as a reference, or the season that ends with it. None if it has no verdict yet.
pub fn accepted(report: &DriftReport) -> Option<PlannedReference> {
    let status = report.status.as_ref()?;
    status.verdict?;
    let season = status.season.as_ref();
    let start = season.map_or(&report.spec.start_time, |season| &season.start_time);
    Some(PlannedReference {
        kind: ReferenceKind::AcceptedWindow,
        digest: status.counts?,
        rows: season.map_or(status.rows, |season| Some(season.rows)),
        start_time: Some(start.clone()),
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
    let judged = found
        .status
        .as_ref()
        .and_then(|status| status.version_uid.as_ref());
    if judged.is_some_and(|uid| routes::by_uid(&case.world.versions, uid).is_none()) {
        return Err(Outcome::fails(
            Reason::WindowNotAcceptable,
            format!(
                "{} is a report on {}, which is not a version of this model: accept a window of the model's own traffic",
                report.name, found.spec.version
            ),
        ));
    }
    let outside = found.status.iter().flat_map(|status| &status.outside_bins);
    let outside: Vec<&str> = outside.map(String::as_str).collect();
    if !outside.is_empty() {
        return Err(Outcome::fails(
            Reason::WindowNotAcceptable,
            format!(
                "the window of {} cannot become the reference: more than half of its rows have values of {} outside of what training saw; \
                 retrain without acceptWindow, and the reference is the data of the retraining",
                report.name,
                listed(&outside, NAMED)
            ),
        ));
    }
    let status = found.status.as_ref();
    if status.is_some_and(|status| status.verdict.is_some() && status.counts.is_none()) {
        return Err(Outcome::fails(
            Reason::WindowNotAcceptable,
            format!(
                "{} has no counts that can become the reference: nothing was counted in its window, or traffic repeats and no whole \
                 season has drifted; retrain without acceptWindow",
                report.name
            ),
        ));
    }
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
        new_rows: draft.status.new_rows,
        violations: Vec::new(),
        warnings: Vec::new(),
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
    draft.status.new_rows = frozen.new_rows;
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

/// Whether there are enough new rows: as counted by the Job, otherwise all rows of new files.
pub(in crate::action) fn has_enough_new_rows(
    target: &ModelVersion,
    spec: &RetrainingSpec,
    snapshot: &Digest,
    sources: &[SourceStatus],
    counted: Option<&NewRowsStatus>,
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
    let none = counted.is_some_and(|counted| counted.rows == 0);
    if same || fresh.is_empty() || none {
        return Err(Outcome::fails(
            Reason::NoChange,
            format!("{name} was trained on the same data: there are no new rows"),
        ));
    }
    let (rows, positive) = match counted {
        Some(counted) => (counted.rows, Some(counted.positive_rows)),
        None => (
            fresh.iter().map(|source| source.rows).sum(),
            fresh.iter().map(|source| source.positive_rows).sum(),
        ),
    };
    // Without counted classes it is unknown whether there are enough rows.
    let least_of_a_class = positive.map_or(0, |positive| positive.min(rows - positive));
    if rows < spec.minimum_new_rows || least_of_a_class < spec.minimum_rows_of_each_class {
        let how = match counted {
            Some(counted) if counted.repeated_rows > 0 => format!(
                " ({} further rows of the same files are repeats)",
                counted.repeated_rows
            ),
            Some(_) => String::new(),
            None => format!(" (all rows of new files, because the rows of {name} cannot be distinguished)"),
        };
        return Err(Outcome::fails(
            Reason::LabelsNeeded,
            format!(
                "{rows} new rows, {least_of_a_class} of the rarer class{how}; retraining {name} needs {} and {}: label more rows",
                spec.minimum_new_rows, spec.minimum_rows_of_each_class
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::action::training_spec::digest;

    /// A version that is retrained on one more file, with this validation and these weights.
    fn version(validation: &Value, weights: &Value) -> ModelVersion {
        let dataset = json!({"configMap": {"name": "visits", "key": "visits.csv"}});
        let mut version = json!({
            "apiVersion": "modelward.io/v1alpha1",
            "kind": "ModelVersion",
            "metadata": {"name": "visits-1", "namespace": "hospital"},
            "spec": {
                "model": "visits",
                "source": {"training": {"dataset": dataset, "target": {"column": "y"}, "validation": validation}},
                "serving": {"access": "Open"},
                "retraining": {"datasets": [{"name": "more", "dataset": dataset}]},
            },
        });
        if !weights.is_null() {
            version["spec"]["source"]["training"]["weights"] = weights.clone();
        }
        serde_json::from_value(version).unwrap()
    }

    #[test]
    fn columns_with_a_role_are_in_the_hash_and_a_retraining_has_them_too() {
        let specs = [
            (json!({"repeats": 1}), Value::Null),
            (json!({"repeats": 1, "groupBy": "patient"}), Value::Null),
            (json!({"repeats": 1, "groupBy": "ward"}), Value::Null),
            (json!({"repeats": 1, "timeSplit": {"column": "day"}}), Value::Null),
            (
                json!({"repeats": 1, "timeSplit": {"column": "day", "gapSeconds": 60}}),
                Value::Null,
            ),
            (json!({"repeats": 1}), json!({"column": "w"})),
            (json!({"repeats": 1, "heldOut": {"fraction": "0.2"}}), Value::Null),
        ];
        let mut hashes = BTreeSet::new();
        for (validation, weights) in &specs {
            let version = &version(validation, weights);
            let own = version.spec.source.training.as_ref().unwrap();
            hashes.insert(digest(own, version).to_string());
            let again = source(version, None, None, None).unwrap();
            assert_eq!(
                (&again.validation, &again.weights),
                (&own.validation, &own.weights)
            );
        }
        assert_eq!(hashes.len(), specs.len());
    }

    #[test]
    fn an_ensemble_is_in_the_hash_and_a_retraining_has_it_too() {
        let mut hashes = BTreeSet::new();
        for ensemble in [
            Value::Null,
            json!({}),
            json!({"maxMembers": 3}),
            json!({"use": "Always"}),
        ] {
            let mut version = version(&json!({"repeats": 1}), &Value::Null);
            let training = version.spec.source.training.as_mut().unwrap();
            training.ensemble = serde_json::from_value(ensemble).unwrap();
            let own = version.spec.source.training.as_ref().unwrap();
            hashes.insert(digest(own, &version).to_string());
            let again = source(&version, None, None, None).unwrap();
            assert_eq!(again.ensemble, own.ensemble);
        }
        assert_eq!(hashes.len(), 4);
    }
}
