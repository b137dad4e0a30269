use jiff::Timestamp;
use modelward_crds::{ConditionType, ModelVersion, ModelVersionStatus, Role};
use modelward_wire::{
    Digest, GateResult, JobResult, JobStage, MetricValue, PublicationRecord, PublicationState, SourceRecord,
    Verdict as Outcome, Violation,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{world::*, *};
use crate::{
    attempt::{DatasetSeen, JobSeen, Obstacle},
    pods::{Cause, Hindrance},
    queue::Wait,
    reason::{StuckReason, WorkingReason},
};

mod custom_trainer;
mod import;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn version_of(dataset: &Value) -> ModelVersion {
    serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {
            "name": "heart-1", "namespace": "hospital", "uid": "11111111-2222-3333-4444-555555555555", "generation": 1,
            "creationTimestamp": at(0).to_string(),
        },
        "spec": {
            "model": "heart",
            "source": {"training": {
                "dataset": dataset,
                "target": {"column": "num"},
                "gates": [{"metric": "F1", "atLeast": "0.75"}],
            }},
            "serving": {"access": "Open"},
        },
    }))
    .unwrap()
}

fn version() -> ModelVersion {
    version_of(&json!({"configMap": {"name": "heart-disease", "key": "cleveland.csv"}}))
}

fn from_address() -> ModelVersion {
    version_of(&json!({"uri": "https://example.com/cleveland.csv"}))
}

/// A version of a retraining: its rows were read and accepted before.
fn pinned() -> ModelVersion {
    let mut version = version();
    let training = version.spec.source.training.as_mut().unwrap();
    training.snapshot = Some(digest(7));
    training.not_worse_than = Some(champion());
    version.spec.provenance = serde_json::from_value(json!({
        "action": {"name": "retrain-heart-0a1b2c3d", "uid": "a"}, "parent": {"name": "heart-0", "uid": "p"},
    }))
    .unwrap();
    version
}

/// A version of a bundle that is in the store.
fn given() -> ModelVersion {
    let mut version = version();
    version.spec.source = serde_json::from_value(json!({
        "artifact": {"bundle": digest(9), "threshold": "0.35"},
    }))
    .unwrap();
    version
}

fn champion() -> modelward_crds::Champion {
    serde_json::from_value(json!({"version": "heart-0", "bundle": digest(8)})).unwrap()
}

fn compared(value: &str, passed: bool) -> GateResult {
    GateResult {
        metric: "F1".into(),
        bound: "notWorseThan heart-0 by 0.03 on all rows".into(),
        value: value.parse().unwrap(),
        passed,
    }
}

fn world() -> World {
    World {
        dataset: DatasetSeen::Present("first".into()),
        job: JobSeen::Missing,
        snapshot: SnapshotSeen::NotAsked,
        bundle: BundleSeen::NotAsked,
        serving: ServingSeen::NotYet,
        publication: PublicationSeen::NotAsked,
        image_ran: None,
        allowed_trainers: crate::custom_trainer::AllowedTrainers::default(),
        obstacle: None,
    }
}

fn with_job(job: JobSeen) -> World {
    World { job, ..world() }
}

fn failed(words: &str) -> JobSeen {
    JobSeen::Failed(Hindrance::new(Cause::ContainerFailed, words))
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn snapshot() -> JobSeen {
    let mut result = JobResult::new(JobStage::Snapshot, Outcome::Succeeded, "303 rows");
    result.digest = Some(digest(1));
    result.rows = Some(303);
    JobSeen::Finished(Box::new(result))
}

fn refused(verdict: Outcome, message: &str) -> JobSeen {
    JobSeen::Finished(Box::new(JobResult::new(JobStage::Snapshot, verdict, message)))
}

fn fitted(f1: &str, passed: bool) -> JobResult {
    let verdict = if passed {
        Outcome::Succeeded
    } else {
        Outcome::GatesFailed
    };
    let mut result = JobResult::new(JobStage::Fit, verdict, "trained");
    result.digest = Some(digest(2));
    result.family = Some("LogisticRegression".into());
    result.metrics = vec![MetricValue {
        name: "F1".into(),
        mean: f1.parse().unwrap(),
        standard_error: "0.01".parse().unwrap(),
    }];
    result.gates = vec![GateResult {
        metric: "F1".into(),
        bound: "atLeast 0.75".into(),
        value: f1.parse().unwrap(),
        passed,
    }];
    result
}

fn fit(f1: &str, passed: bool) -> JobSeen {
    JobSeen::Finished(Box::new(fitted(f1, passed)))
}

/// Decides once and writes the status.
fn step(version: &mut ModelVersion, world: &World, second: i64) -> Decision {
    let decision = decide(&validate(version).unwrap(), world, at(second));
    version.status = Some(decision.status.clone());
    decision
}

fn condition(version: &ModelVersion, kind: ConditionType) -> (&str, Reason, &str) {
    let conditions = &version.status.as_ref().unwrap().conditions;
    let found = conditions::find(conditions, kind).unwrap();
    (&found.status, conditions::reason(found).unwrap(), &found.message)
}

fn role(version: &ModelVersion) -> Role {
    version.status.as_ref().unwrap().role.unwrap()
}

#[test]
fn a_version_without_a_source_is_refused_with_a_sentence() {
    let mut version = version();
    version.spec.source.training = None;
    let why = validate(&version).unwrap_err();
    assert_eq!(why, Invalid::NoSource);
    let decision = refuse(&version, why, at(0));
    assert_eq!(decision.start, None);
    version.status = Some(decision.status);
    let words = "the spec names neither a training nor an artifact";
    assert_eq!(
        condition(&version, ConditionType::Trained),
        ("False", Reason::SpecInvalid, words)
    );
    assert_eq!(
        condition(&version, ConditionType::Stalled),
        ("True", Reason::SpecInvalid, words)
    );
    assert_eq!(role(&version), Role::Rejected);
}

#[test]
fn nothing_can_belong_to_a_version_without_a_uid() {
    let mut version = version();
    assert!(validate(&version).is_ok());
    version.metadata.uid = None;
    assert_eq!(validate(&version).unwrap_err(), Invalid::NoUid);
}

/// A version with its snapshot and its bundle, whose gates passed.
fn trained() -> ModelVersion {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    step(&mut version, &with_job(fit("0.8151", true)), 20);
    version
}

// === data ===

#[test]
fn an_absent_dataset_is_waited_for_and_no_job_is_made() {
    let mut version = version();
    let absent = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap heart-disease".into()]),
        ..world()
    };
    assert_eq!(step(&mut version, &absent, 0).start, None);
    let (status, reason, message) = condition(&version, ConditionType::DataValid);
    assert_eq!((status, reason), ("False", Reason::DatasetNotFound));
    assert_eq!(
        message,
        "ConfigMap heart-disease does not exist; the version waits for it"
    );
    assert_eq!(condition(&version, ConditionType::Reconciling).0, "True");
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
    assert_eq!(role(&version), Role::Pending);
    assert!(
        step(&mut version, &world(), 60).start.is_some(),
        "it begins when the dataset is there"
    );
}

#[test]
fn a_dataset_that_is_there_is_read_by_a_job_whose_name_is_fixed() {
    let (mut one, mut other) = (version(), version());
    let first = step(&mut one, &world(), 0).start.unwrap();
    assert_eq!(first, step(&mut other, &world(), 500).start.unwrap());
    assert!(first.name.starts_with("heart-1-snapshot-"));
    other.metadata.uid = Some("another".into());
    other.status = None;
    assert_ne!(first.name, step(&mut other, &world(), 0).start.unwrap().name);
    assert_eq!(
        step(&mut one, &with_job(JobSeen::Running(None)), 1).start,
        None,
        "it is made once"
    );
}

#[test]
fn the_progress_of_a_running_fit_is_recorded_in_steps_and_never_falls() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let mut recorded = |reported: Option<u8>| {
        let decision = step(&mut version, &with_job(JobSeen::Running(reported)), 20);
        assert_eq!(decision.again_after_seconds, Some(10));
        decision.status.fit_attempt.unwrap().percent
    };
    assert_eq!(recorded(None), None, "nothing was reported yet");
    assert_eq!(recorded(Some(9)), Some(0));
    assert_eq!(recorded(Some(47)), Some(40));
    assert_eq!(recorded(None), Some(40), "the ledger is unavailable");
    assert_eq!(recorded(Some(12)), Some(40), "an older report");
    assert_eq!(recorded(Some(250)), Some(100));
    let ended = step(&mut version, &with_job(fit("0.8151", true)), 30);
    assert_eq!(ended.status.fit_attempt.unwrap().percent, None, "it is over");
}

fn published(state: PublicationState) -> PublicationRecord {
    let done = state == PublicationState::Published;
    PublicationRecord {
        state,
        attempts: 2,
        error: (state == PublicationState::Failed)
            .then(|| "MLflow at http://mlflow:5000 did not answer".into()),
        run: done.then(|| "0a1b".into()),
        registered_version: done.then(|| "3".into()),
        url: done.then(|| "http://mlflow:5000/#/experiments/1/runs/0a1b".into()),
    }
}

#[test]
fn what_mlflow_has_is_a_condition_on_which_nothing_depends() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let mut world = World {
        publication: PublicationSeen::Absent,
        ..with_job(fit("0.8151", true))
    };
    let mut look = |publication: PublicationSeen| {
        world.publication = publication;
        let decision = step(&mut version, &world, 20);
        let (status, reason, message) = condition(&version, ConditionType::Published);
        assert_eq!(condition(&version, ConditionType::Trained).0, "True");
        assert_ne!(condition(&version, ConditionType::Stalled).0, "True");
        (
            status.to_owned(),
            reason,
            message.to_owned(),
            decision.again_after_seconds,
        )
    };
    let (status, reason, _, again) = look(PublicationSeen::Absent);
    assert_eq!(
        (status.as_str(), reason, again),
        ("Unknown", Reason::PublicationPending, Some(30))
    );
    let (status, reason, message, again) = look(PublicationSeen::Found(published(PublicationState::Failed)));
    assert_eq!(
        (status.as_str(), reason, again),
        ("False", Reason::PublicationFailed, Some(30))
    );
    assert_eq!(
        message,
        "MLflow at http://mlflow:5000 did not answer; 2 attempts so far, it is tried again"
    );
    let found = look(PublicationSeen::Found(published(PublicationState::Published)));
    assert_eq!(
        found.2,
        "version 3 of the registered model, run http://mlflow:5000/#/experiments/1/runs/0a1b"
    );
    assert_eq!(look(PublicationSeen::Recorded), found, "it is not asked again");
}

#[test]
fn warnings_of_the_data_and_the_words_of_the_training_are_in_the_status() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let JobSeen::Finished(mut frozen) = snapshot() else {
        unreachable!()
    };
    let warning = |column: &str, rule: &str, message: &str| modelward_wire::Violation {
        column: column.into(),
        rule: rule.into(),
        message: message.into(),
        count: 303,
        example_row: None,
    };
    frozen.warnings = vec![
        warning("outcome_code", "Leak", "its value alone separates the classes"),
        warning("", "Repeats", "2 of 303 rows have the values of another row"),
    ];
    step(&mut version, &with_job(JobSeen::Finished(frozen)), 10);
    assert_eq!(
        condition(&version, ConditionType::DataValid),
        (
            "True",
            Reason::DataAccepted,
            format!(
                "303 rows, snapshot {}; warnings, see status.warnings: Leak (outcome_code), Repeats",
                digest(1).short()
            )
            .as_str()
        )
    );
    step(&mut version, &with_job(fit("0.8151", true)), 20);
    let status = version.status.unwrap();
    assert_eq!(
        status.warnings[0].message,
        "its value alone separates the classes"
    );
    assert_eq!(status.training_summary.as_deref(), Some("trained"));
}

#[test]
fn a_recorded_snapshot_is_never_made_again_whatever_becomes_of_the_dataset() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let fit = step(&mut version, &with_job(snapshot()), 10).start.unwrap();
    assert_eq!(fit.stage, JobStage::Fit);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::DataAccepted
    );
    let changed = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap heart-disease".into()]),
        job: JobSeen::Running(None),
        ..world()
    };
    assert_eq!(step(&mut version, &changed, 20).start, None);
    assert_eq!(condition(&version, ConditionType::DataValid).0, "True");
}

fn one_class() -> Violation {
    Violation {
        column: "num".into(),
        rule: "OneClass".into(),
        message: "every row is 0".into(),
        count: 303,
        example_row: Some(1),
    }
}

#[test]
fn invalid_data_is_terminal_until_the_content_changes_and_then_counts_from_one() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let mut result = JobResult::new(
        JobStage::Snapshot,
        Outcome::DataInvalid,
        "column num has one class only",
    );
    result.violations = vec![one_class()];
    let invalid = with_job(JobSeen::Finished(Box::new(result)));
    assert_eq!(step(&mut version, &invalid, 10).start, None);
    assert_eq!(
        condition(&version, ConditionType::DataValid),
        ("False", Reason::DataInvalid, "column num has one class only")
    );
    // Nothing waits: the data is refused.
    assert_eq!(
        condition(&version, ConditionType::Trained),
        ("False", Reason::DataInvalid, "column num has one class only")
    );
    assert_eq!(condition(&version, ConditionType::Stalled).0, "True");
    assert_eq!(role(&version), Role::Rejected);
    assert_eq!(version.status.as_ref().unwrap().violations[0].count, 303);

    let quiet = step(&mut version, &world(), 5000);
    assert_eq!(
        (quiet.start, quiet.again_after_seconds),
        (None, None),
        "time alone changes nothing"
    );
    assert_eq!(
        condition(&version, ConditionType::DataValid).2,
        "column num has one class only"
    );

    let corrected = World {
        dataset: DatasetSeen::Present("second".into()),
        ..world()
    };
    let again = step(&mut version, &corrected, 6000);
    assert_eq!(again.start.map(|job| job.attempt), Some(1));
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
    assert_eq!(version.status.as_ref().unwrap().violations, []);
}

#[test]
fn violations_of_data_that_was_corrected_are_gone_while_the_next_job_waits_for_its_turn() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let mut result = JobResult::new(JobStage::Snapshot, Outcome::DataInvalid, "one class only");
    result.violations = vec![one_class()];
    result.warnings = result.violations.clone();
    step(&mut version, &with_job(JobSeen::Finished(Box::new(result))), 10);
    let queued = |dataset: &str| World {
        dataset: DatasetSeen::Present(dataset.into()),
        obstacle: Some(Obstacle::Queued(Wait {
            before: 10,
            after: None,
            hindered: Vec::new(),
            soon: false,
        })),
        ..world()
    };
    let listed = |version: &ModelVersion| {
        let status = version.status.as_ref().unwrap();
        (status.violations.len(), status.warnings.len())
    };
    step(&mut version, &queued("first"), 20);
    assert_eq!(listed(&version), (1, 1), "the data is the same");
    assert_eq!(step(&mut version, &queued("second"), 30).start, None);
    assert_eq!(condition(&version, ConditionType::DataValid).1, Reason::Queued);
    assert_eq!(listed(&version), (0, 0));
}

#[test]
fn a_dataset_that_changes_all_the_time_does_not_keep_a_job_from_ending() {
    let mut version = version();
    step(&mut version, &world(), 0);
    for change in 1..5 {
        let world = World {
            dataset: DatasetSeen::Present(format!("change {change}")),
            job: JobSeen::Running(None),
            ..world()
        };
        assert_eq!(step(&mut version, &world, change).start, None);
    }
    let deleted = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap heart-disease".into()]),
        job: snapshot(),
        ..world()
    };
    step(&mut version, &deleted, 10);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::DataAccepted
    );
}

#[test]
fn a_key_that_is_not_in_the_configmap_is_waited_for_without_asking() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let nothing = refused(Outcome::DataNotFound, "ConfigMap has no key cleveland.csv");
    let decision = step(&mut version, &with_job(nothing), 10);
    assert_eq!((decision.start, decision.again_after_seconds), (None, None));
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::DatasetNotFound
    );
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
    assert_eq!(role(&version), Role::Pending);
    assert_eq!(step(&mut version, &world(), 100_000).start, None);
    let changed = World {
        dataset: DatasetSeen::Present("second".into()),
        ..world()
    };
    assert_eq!(
        step(&mut version, &changed, 100_001).start.map(|job| job.attempt),
        Some(1)
    );
}

#[test]
fn an_address_that_holds_nothing_is_asked_again_later_and_less_and_less_often() {
    let mut version = from_address();
    step(&mut version, &world(), 0);
    let nothing = with_job(refused(
        Outcome::DataNotFound,
        "https://example.com/cleveland.csv answered 404",
    ));
    let decision = step(&mut version, &nothing, 10);
    assert_eq!((decision.start, decision.again_after_seconds), (None, Some(50)));
    let early = step(&mut version, &world(), 59);
    assert_eq!((early.start, early.again_after_seconds), (None, Some(1)));

    let asked = step(&mut version, &world(), 60).start.unwrap();
    assert_eq!(asked.attempt, 3, "attempts 1 and 2 belong to the first asking");
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::DatasetNotFound,
        "it says why while it asks"
    );
    step(&mut version, &with_job(JobSeen::Running(None)), 61);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::DatasetNotFound
    );
    let decision = step(&mut version, &nothing, 70);
    assert_eq!(
        decision.again_after_seconds,
        Some(110),
        "the second pause is twice the first"
    );

    let mut second = 70;
    for _ in 0..200 {
        second += 1000;
        let decision = step(&mut version, &world(), second);
        let attempt = decision.start.expect("it goes on asking").attempt;
        assert!(
            (1..=100).contains(&attempt),
            "{attempt} is out of the schema's bounds"
        );
        step(&mut version, &nothing, second + 1);
    }
    step(&mut version, &world(), second + 1000);
    step(&mut version, &with_job(snapshot()), second + 1010);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::DataAccepted
    );
}

#[test]
fn each_asking_has_its_own_second_try() {
    let mut version = from_address();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(refused(Outcome::DataNotFound, "404")), 10);
    step(&mut version, &world(), 60);
    let failed = with_job(failed("BackoffLimitExceeded"));
    assert_eq!(
        step(&mut version, &failed, 70).start.map(|job| job.attempt),
        Some(4)
    );
    assert_eq!(step(&mut version, &failed, 80).start, None);
    assert_eq!(condition(&version, ConditionType::Stalled).1, Reason::JobFailed);
}

// === lost and failed ===

#[test]
fn a_lost_result_gets_one_counted_new_attempt_and_then_stalls() {
    for lost in [JobSeen::ResultLost, JobSeen::Missing] {
        let mut version = version();
        let first = step(&mut version, &world(), 0).start.unwrap();
        let second = step(&mut version, &with_job(lost.clone()), 10).start.unwrap();
        assert_eq!((first.attempt, second.attempt), (1, 2));
        assert_ne!(first.name, second.name);
        let (status, reason, message) = condition(&version, ConditionType::DataValid);
        assert_eq!((status, reason), ("Unknown", Reason::ResultLost));
        assert!(
            message.ends_with("its result is missing; attempt 2 of 2 runs"),
            "{message}"
        );

        step(&mut version, &with_job(JobSeen::Running(None)), 20);
        assert_eq!(
            condition(&version, ConditionType::DataValid).1,
            Reason::ResultLost,
            "it says why it runs again"
        );
        assert_eq!(step(&mut version, &with_job(lost.clone()), 30).start, None);
        let (status, reason, message) = condition(&version, ConditionType::DataValid);
        assert_eq!((status, reason), ("False", Reason::ResultLost));
        assert!(message.ends_with("it was tried 2 times"), "{message}");
        assert_eq!(condition(&version, ConditionType::Stalled).0, "True");
        assert_eq!(step(&mut version, &world(), 9999).start, None);
        assert_eq!(condition(&version, ConditionType::Stalled).1, Reason::ResultLost);
    }
}

#[test]
fn a_lost_fit_is_tried_again_and_the_snapshot_is_kept() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let second = step(&mut version, &with_job(JobSeen::ResultLost), 20)
        .start
        .unwrap();
    assert_eq!((second.stage, second.attempt), (JobStage::Fit, 2));
    assert_eq!(condition(&version, ConditionType::Trained).1, Reason::ResultLost);
    assert_eq!(condition(&version, ConditionType::DataValid).0, "True");
    step(&mut version, &with_job(fit("0.8151", true)), 30);
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::BundlePublished
    );
}

#[test]
fn a_job_that_fails_twice_stalls_with_its_own_words() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let failed = with_job(failed("BackoffLimitExceeded: exit code 137"));
    assert!(step(&mut version, &failed, 10).start.is_some());
    assert!(step(&mut version, &failed, 20).start.is_none());
    let (_, reason, message) = condition(&version, ConditionType::Stalled);
    assert_eq!(reason, Reason::JobFailed);
    assert!(message.contains("exit code 137"), "{message}");
    assert_eq!(role(&version), Role::Rejected);
}

#[test]
fn a_bundle_that_the_store_lacks_is_trained_once_more() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let gone = with_job(JobSeen::ArtifactMissing(
        "the store has no Bundle sha256:0202".into(),
    ));
    assert_eq!(
        step(&mut version, &gone, 20).start.map(|job| job.attempt),
        Some(2)
    );
    step(&mut version, &gone, 30);
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::ArtifactMissing
    );
}

#[test]
fn while_the_ledger_is_away_it_is_waited_for_and_no_attempt_is_spent() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let away = with_job(JobSeen::LedgerUnavailable("connection refused".into()));
    for second in [10, 20, 3000] {
        let decision = step(&mut version, &away, second);
        assert_eq!((decision.start, decision.again_after_seconds), (None, Some(10)));
        assert_eq!(
            condition(&version, ConditionType::DataValid).1,
            Reason::LedgerUnavailable
        );
        assert!(
            condition(&version, ConditionType::DataValid)
                .2
                .contains("connection refused")
        );
    }
    step(&mut version, &with_job(snapshot()), 4000);
    assert_eq!(condition(&version, ConditionType::DataValid).0, "True");
}

#[test]
fn a_result_of_another_step_is_no_result() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let decision = step(&mut version, &with_job(fit("0.9", true)), 10);
    assert_eq!(decision.status.bundle, None);
    assert_eq!(decision.start.map(|job| job.attempt), Some(2));
}

#[test]
fn a_spec_that_the_trainer_cannot_do_is_terminal() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(
        &mut version,
        &with_job(refused(Outcome::SpecInvalid, "there is no column num")),
        10,
    );
    assert_eq!(
        condition(&version, ConditionType::Stalled),
        ("True", Reason::SpecInvalid, "there is no column num")
    );
    assert_eq!(step(&mut version, &world(), 9999).start, None);
}

// === what the cluster does ===

fn hindered(cause: Cause, words: &str) -> World {
    with_job(JobSeen::Hindered(Hindrance::new(cause, words)))
}

fn interrupted(words: &str) -> World {
    with_job(JobSeen::Interrupted(Hindrance::new(Cause::Disrupted, words)))
}

fn refused_by(words: &str) -> World {
    World {
        obstacle: Some(Obstacle::Refused(words.into())),
        ..world()
    }
}

fn attempt(version: &ModelVersion) -> modelward_crds::AttemptStatus {
    version.status.clone().unwrap().snapshot_attempt.unwrap()
}

#[test]
fn why_a_pod_does_not_run_is_said_while_it_does_not_and_no_longer() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let quota = hindered(
        Cause::PodRefused,
        "Job x cannot create its Pod: exceeded quota: team",
    );
    let decision = step(&mut version, &quota, 10);
    assert_eq!((decision.start, decision.again_after_seconds), (None, Some(10)));
    let said = (
        "Unknown",
        Reason::PodRefused,
        "Job x cannot create its Pod: exceeded quota: team",
    );
    assert_eq!(condition(&version, ConditionType::DataValid), said);
    assert_eq!(condition(&version, ConditionType::Ready).2, said.2);
    assert_eq!(
        condition(&version, ConditionType::Stalled).0,
        "False",
        "it goes on by itself"
    );
    let again = step(&mut version, &quota, 20);
    assert_eq!(again.status, decision.status, "the same world changes nothing");
    let limits = |first: &str, second: &str| {
        let words = format!("Job x cannot create its Pod: pods \"x-…\" is forbidden: [{first}, {second}]");
        hindered(Cause::PodRefused, &words)
    };
    let (cpu, memory) = (
        "minimum cpu usage per Container is 64, but request is 1.",
        "minimum memory usage per Container is 1Ti, but request is 1Gi",
    );
    let first = step(&mut version, &limits(cpu, memory), 21);
    let turned = step(&mut version, &limits(memory, cpu), 22);
    assert_eq!(turned.status, first.status, "another order is no news");
    let other = step(
        &mut version,
        &limits(memory, "minimum cpu usage per Container is 32, but request is 1"),
        23,
    );
    assert_ne!(other.status, first.status);
    step(&mut version, &with_job(JobSeen::Running(None)), 30);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::SnapshotRunning
    );
    assert_eq!(attempt(&version).reason, None);
}

#[test]
fn a_job_that_the_cluster_ended_is_made_again_later_each_time_and_spends_no_attempt() {
    let mut version = version();
    let first = step(&mut version, &world(), 0).start.unwrap();
    let evicted = interrupted("Pod x was terminated externally: Evicted: low on memory");
    let mut names = vec![first.name];
    let mut second = 0;
    for pause in [30, 60, 120, 240, 480, 900, 900] {
        second += 10;
        let decision = step(&mut version, &evicted, second);
        assert_eq!(
            (decision.start, decision.again_after_seconds),
            (None, Some(pause))
        );
        let (status, reason, message) = condition(&version, ConditionType::DataValid);
        assert_eq!((status, reason), ("Unknown", Reason::Disrupted));
        assert!(
            message.contains("Evicted: low on memory; this does not use up an attempt"),
            "{message}"
        );
        let quiet = step(&mut version, &world(), second + 1);
        assert_eq!(quiet.start, None);
        assert_eq!(quiet.status, decision.status, "waiting changes nothing");
        second += i64::try_from(pause).unwrap();
        let next = step(&mut version, &world(), second).start.unwrap();
        assert_eq!(next.attempt, 1);
        names.push(next.name);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 8, "each Job has a name of its own");
    step(&mut version, &evicted, second + 10);
    assert_eq!(
        condition(&version, ConditionType::Stalled).0,
        "True",
        "a person should look"
    );
    assert_eq!(role(&version), Role::Pending, "and nothing is rejected");
    assert!(step(&mut version, &world(), second + 910).start.is_some());
    step(&mut version, &with_job(snapshot()), second + 920);
    assert_eq!(condition(&version, ConditionType::DataValid).0, "True");
}

#[test]
fn a_program_that_could_not_reach_the_ledger_spends_no_attempt() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let words = "the ledger failed uploading for 120 s: dns error";
    step(&mut version, &with_job(refused(Outcome::Unreachable, words)), 10);
    let (_, reason, message) = condition(&version, ConditionType::DataValid);
    assert_eq!(reason, Reason::Unreachable);
    assert!(message.starts_with(words), "{message}");
    assert_eq!(
        (attempt(&version).attempt, attempt(&version).interruptions),
        (1, 1)
    );
}

#[test]
fn a_result_that_says_that_a_signal_ended_it_is_no_verdict_on_the_data() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let words = "stopped by a signal before the result";
    step(&mut version, &with_job(refused(Outcome::Interrupted, words)), 10);
    let (status, reason, message) = condition(&version, ConditionType::DataValid);
    assert_eq!((status, reason), ("Unknown", Reason::Disrupted));
    assert!(message.starts_with(words), "{message}");
    assert_eq!(
        (attempt(&version).attempt, attempt(&version).interruptions),
        (1, 1)
    );
    assert_eq!(role(&version), Role::Pending);
}

#[test]
fn a_refusal_between_two_askings_rejects_nothing_for_good() {
    let mut version = from_address();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(refused(Outcome::DataNotFound, "404")), 10);
    let quota = refused_by("exceeded quota: team");
    for second in [60, 70, 200] {
        step(&mut version, &quota, second);
        assert_eq!(
            condition(&version, ConditionType::Stalled).1,
            Reason::ChildRefused
        );
        assert_eq!(role(&version), Role::Pending);
    }
    let decision = step(&mut version, &world(), 300);
    assert_eq!(
        decision.start.map(|job| job.attempt),
        Some(3),
        "it is asked again when there is room"
    );
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
}

#[test]
fn a_refused_job_is_made_again_less_and_less_often_and_spends_no_attempt() {
    let mut version = version();
    let quota = refused_by("exceeded quota: team");
    let mut pauses = Vec::new();
    let mut second = 0;
    for _ in 0..6 {
        let decision = step(&mut version, &quota, second);
        assert_eq!(decision.status.snapshot_attempt, None);
        let pause = decision.again_after_seconds.unwrap();
        pauses.push(pause);
        second += i64::try_from(pause).unwrap();
    }
    assert_eq!(pauses, [10, 10, 20, 40, 80, 120]);
    assert_eq!(
        step(&mut version, &world(), second).start.map(|job| job.attempt),
        Some(1)
    );
}

#[test]
fn a_second_attempt_that_is_refused_says_so_and_is_made_when_there_is_room() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let mut crashed = refused_by("exceeded quota: team");
    crashed.job = failed("exit code 1");
    step(&mut version, &crashed, 10);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::ChildRefused
    );
    assert_eq!(attempt(&version).attempt, 1);
    crashed.obstacle = None;
    assert_eq!(
        step(&mut version, &crashed, 20).start.map(|job| job.attempt),
        Some(2)
    );
}

#[test]
fn a_version_that_waits_for_its_turn_says_how_many_are_before_it() {
    let mut version = version();
    let queued = World {
        obstacle: Some(Obstacle::Queued(Wait {
            before: 3,
            after: None,
            hindered: Vec::new(),
            soon: false,
        })),
        ..world()
    };
    let decision = step(&mut version, &queued, 0);
    assert_eq!((decision.start, decision.again_after_seconds), (None, Some(60)));
    assert_eq!(
        condition(&version, ConditionType::Ready),
        ("False", Reason::Queued, "3 versions before it in this namespace")
    );
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
    assert!(step(&mut version, &world(), 60).start.is_some());
}

#[test]
fn a_program_that_needs_too_much_memory_keeps_that_reason() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let killed = with_job(JobSeen::Failed(Hindrance::new(
        Cause::OutOfMemory,
        "OOMKilled, limit 2Gi",
    )));
    step(&mut version, &killed, 10);
    step(&mut version, &killed, 20);
    let (_, reason, message) = condition(&version, ConditionType::Stalled);
    assert_eq!(reason, Reason::OutOfMemory);
    assert!(message.contains("limit 2Gi"), "{message}");
    assert_eq!(step(&mut version, &world(), 9999).start, None);
    assert_eq!(condition(&version, ConditionType::Stalled).1, Reason::OutOfMemory);
}

#[test]
fn a_result_that_its_artifact_contradicts_never_passes_a_gate() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let forged = with_job(JobSeen::Mismatch(
        "the bundle states F1 0.5, the result F1 0.99".into(),
    ));
    assert_eq!(
        step(&mut version, &forged, 20).start.map(|job| job.attempt),
        Some(2)
    );
    step(&mut version, &forged, 30);
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::ResultMismatch
    );
    assert_eq!(condition(&version, ConditionType::GatesPassed).0, "Unknown");
    assert_eq!(role(&version), Role::Rejected);
    assert_eq!(version.status.as_ref().unwrap().bundle, None);
}

#[test]
fn a_foreign_object_of_a_jobs_name_stalls_and_spends_no_attempt() {
    let mut version = version();
    let taken = World {
        obstacle: Some(Obstacle::Taken("Job heart-1-snapshot-0a1b2c3d".into())),
        ..world()
    };
    let decision = step(&mut version, &taken, 0);
    assert_eq!(decision.status.snapshot_attempt, None);
    assert_eq!(
        (decision.start, decision.again_after_seconds),
        (None, Some(30)),
        "it is tried again"
    );
    let (status, reason, message) = condition(&version, ConditionType::Stalled);
    assert_eq!((status, reason), ("True", Reason::NameTaken));
    assert!(
        message.contains("Job heart-1-snapshot-0a1b2c3d exists and does not belong to this version"),
        "{message}"
    );
    assert_eq!(role(&version), Role::Pending);
    assert_eq!(
        step(&mut version, &world(), 30).start.map(|job| job.attempt),
        Some(1)
    );
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
}

// === gates ===

#[test]
fn a_version_whose_reference_is_too_small_for_verdicts_says_so() {
    let trained = |rows: u64| {
        let mut version = version();
        step(&mut version, &world(), 0);
        let JobSeen::Finished(mut result) = snapshot() else {
            unreachable!("a snapshot has ended")
        };
        result.rows = Some(rows);
        step(&mut version, &with_job(JobSeen::Finished(result)), 10);
        step(&mut version, &with_job(fit("0.8151", true)), 20);
        condition(&version, ConditionType::Trained).2.to_owned()
    };
    let words = trained(80);
    assert!(
        words.ends_with(
            ". The reference has 80 rows and at least 100 are needed to judge drift: no drift verdict will be given. Train on more rows."
        ),
        "{words}"
    );
    let words = trained(100);
    assert!(!words.contains("reference"), "{words}");
}

#[test]
fn a_spec_without_gates_has_the_reason_of_a_version_that_can_have_none() {
    let mut version = version();
    version.spec.source.training.as_mut().unwrap().gates.clear();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let mut result = fitted("0.7100", true);
    result.gates.clear();
    step(&mut version, &with_job(JobSeen::Finished(Box::new(result))), 20);
    assert_eq!(
        condition(&version, ConditionType::GatesPassed),
        ("True", Reason::NoGates, "the spec sets no gates")
    );
}

#[test]
fn a_failed_gate_says_on_which_side_its_metric_is_better_and_over_what_it_is_the_mean() {
    let mut version = version();
    let training = version.spec.source.training.as_mut().unwrap();
    training.gates = vec![serde_json::from_value(json!({"metric": "LogLoss", "atLeast": "0.5"})).unwrap()];
    training.custom_trainer = Some(
        serde_json::from_value(json!({"image": "registry.example/trainer:1", "format": "LightGBM"})).unwrap(),
    );
    training.validation.repeats = 1;
    training.validation.folds = 4;
    let status = ModelVersionStatus {
        gates: vec![
            serde_json::from_value(
                json!({"metric": "LogLoss", "bound": "atLeast 0.5", "value": "0.369319", "passed": false}),
            )
            .unwrap(),
        ],
        ..ModelVersionStatus::default()
    };
    let verdict = super::gates::gates_verdict("heart-1", Some(&*training), &status);
    assert_eq!(
        verdict.message,
        "LogLoss 0.369319 (mean of 4 parts of the held-out rows) is under the gate 0.5; a lower value of this metric is better: set atMost"
    );
}

#[test]
fn a_failed_gate_is_rejected_and_says_by_how_much() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    step(&mut version, &with_job(fit("0.7100", false)), 20);
    let words = "F1 0.7100 (mean of 50 folds) is under the gate 0.75";
    assert_eq!(
        condition(&version, ConditionType::Trained).0,
        "True",
        "a bundle was made"
    );
    assert_eq!(
        condition(&version, ConditionType::GatesPassed),
        ("False", Reason::GateFailed, words)
    );
    assert_eq!(
        condition(&version, ConditionType::Stalled),
        ("True", Reason::GateFailed, words)
    );
    assert_eq!(
        condition(&version, ConditionType::Ready),
        ("False", Reason::GateFailed, words)
    );
    assert_eq!(role(&version), Role::Rejected);
    assert_eq!(
        version.status.as_ref().unwrap().score.as_deref(),
        Some("F1 0.7100")
    );
}

#[test]
fn a_gate_that_the_result_does_not_mention_has_not_passed() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let mut silent = fitted("0.9", true);
    silent.gates.clear();
    step(&mut version, &with_job(JobSeen::Finished(Box::new(silent))), 20);
    assert_eq!(
        condition(&version, ConditionType::GatesPassed).2,
        "the gate on F1 has no outcome"
    );
    assert_eq!(role(&version), Role::Rejected);
}

#[test]
fn a_result_that_contradicts_itself_is_not_believed() {
    let mut version = version();
    step(&mut version, &world(), 0);
    step(&mut version, &with_job(snapshot()), 10);
    let mut strange = fitted("0.9", true);
    strange.verdict = Outcome::GatesFailed;
    step(&mut version, &with_job(JobSeen::Finished(Box::new(strange))), 20);
    assert_eq!(condition(&version, ConditionType::Trained).1, Reason::JobFailed);
    assert_eq!(version.status.as_ref().unwrap().bundle, None);
}

#[test]
fn a_bundle_without_a_word_about_its_threshold_has_one_half() {
    assert_eq!(trained().status.unwrap().threshold, Some("0.5".parse().unwrap()));
}

// === serving ===

/// What the model says of a version; then its role, and whether Serving, Ready, Reconciling and Stalled hold.
type Said = (ServingSeen, Role, [&'static str; 4]);

const GETS_READY: [&str; 4] = ["False", "False", "True", "False"];
const STALLS: [&str; 4] = ["False", "False", "False", "True"];
const RESTS: [&str; 4] = ["False", "True", "False", "False"];
const SERVES: [&str; 4] = ["True", "True", "False", "False"];

fn said_before_it_serves() -> Vec<Said> {
    let rolling_out = ServingSeen::RollingOut(Reason::RolloutInProgress, "0/2".into());
    let stuck = ServingSeen::Stuck(StuckReason::ArtifactInvalid, "model.json".into());
    vec![
        (ServingSeen::NotYet, Role::Candidate, GETS_READY),
        (rolling_out, Role::Candidate, GETS_READY),
        (stuck, Role::Candidate, STALLS),
    ]
}

fn said_while_it_serves() -> Vec<Said> {
    let live = |enough, rest| ServingSeen::Live {
        enough,
        pods: "2/2 Pods".into(),
        rest,
    };
    let working = Settling::Working(WorkingReason::RolloutInProgress, String::new());
    let stuck = Settling::Stuck(StuckReason::NameTaken, String::new());
    let replaced = ServingSeen::BeingReplaced("until heart-2".into());
    vec![
        (live(true, Settling::Done), Role::Live, SERVES),
        (live(false, Settling::Done), Role::Live, GETS_READY),
        (
            live(true, working),
            Role::Live,
            ["True", "False", "True", "False"],
        ),
        (live(true, stuck), Role::Live, ["True", "False", "False", "True"]),
        (replaced, Role::Live, SERVES),
    ]
}

fn said_while_another_one_serves() -> Vec<Said> {
    let rejected = ServingSeen::NotPromoted(Reason::PromotionRejected, "by alice".into());
    let awaiting = ServingSeen::AwaitingPromotion("promote-heart-1 decides".into());
    vec![
        (
            ServingSeen::Retired("heart-2 serves".into()),
            Role::Retired,
            RESTS,
        ),
        (ServingSeen::Paused, Role::Candidate, RESTS),
        (awaiting, Role::Candidate, RESTS),
        (ServingSeen::Held("left by rollback".into()), Role::Retired, RESTS),
        (rejected, Role::Candidate, RESTS),
    ]
}

#[test]
fn a_version_that_passed_says_what_its_model_says_of_it() {
    let table = [
        said_before_it_serves(),
        said_while_it_serves(),
        said_while_another_one_serves(),
    ];
    for (serving, expected, conditions) in table.into_iter().flatten() {
        let mut version = trained();
        let seen = World {
            serving: serving.clone(),
            ..world()
        };
        step(&mut version, &seen, 100);
        let found = [
            ConditionType::Serving,
            ConditionType::Ready,
            ConditionType::Reconciling,
            ConditionType::Stalled,
        ]
        .map(|kind| condition(&version, kind).0);
        assert_eq!(found, conditions, "{serving:?}");
        assert_eq!(role(&version), expected, "{serving:?}");
    }
}

#[test]
fn while_the_record_is_gone_a_version_remembers_what_it_did() {
    let mut version = trained();
    assert_eq!(role(&version), Role::Candidate);
    let with = |serving| World { serving, ..world() };
    step(
        &mut version,
        &with(ServingSeen::BeingReplaced("until heart-2".into())),
        100,
    );
    step(&mut version, &with(ServingSeen::NotYet), 110);
    assert_eq!(role(&version), Role::Live);
    step(
        &mut version,
        &with(ServingSeen::Retired("heart-2 serves".into())),
        120,
    );
    step(&mut version, &with(ServingSeen::NotYet), 130);
    assert_eq!(role(&version), Role::Retired);
}

#[test]
fn every_condition_is_there_from_the_first_moment_in_one_order() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let kinds: Vec<_> = version
        .status
        .as_ref()
        .unwrap()
        .conditions
        .iter()
        .map(|condition| ConditionType::of(&condition.type_).unwrap())
        .collect();
    let expected = [
        ConditionType::DataValid,
        ConditionType::Trained,
        ConditionType::GatesPassed,
        ConditionType::Serving,
        ConditionType::Ready,
        ConditionType::Reconciling,
        ConditionType::Stalled,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(version.status.as_ref().unwrap().observed_generation, Some(1));
}

#[test]
fn a_long_way_is_a_sequence_of_times_that_only_grow() {
    let mut version = trained();
    let live = ServingSeen::Live {
        enough: true,
        pods: "2/2 Pods".into(),
        rest: Settling::Done,
    };
    step(
        &mut version,
        &World {
            serving: live,
            ..world()
        },
        40,
    );
    let since = |kind| {
        conditions::find(&version.status.as_ref().unwrap().conditions, kind)
            .unwrap()
            .last_transition_time
            .0
    };
    assert_eq!(
        [
            ConditionType::DataValid,
            ConditionType::Trained,
            ConditionType::Ready
        ]
        .map(since),
        [at(10), at(20), at(40)]
    );
}

// === several datasets, frozen rows, given bundles ===

#[test]
fn each_dataset_that_is_missing_is_named() {
    let mut version = version();
    let absent = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap hungarian".into(), "ConfigMap swiss".into()]),
        ..world()
    };
    step(&mut version, &absent, 0);
    assert_eq!(
        condition(&version, ConditionType::DataValid).2,
        "ConfigMap hungarian and ConfigMap swiss do not exist; the version waits for them"
    );
}

#[test]
fn the_files_that_rows_were_read_from_are_recorded() {
    let mut version = version();
    step(&mut version, &world(), 0);
    let JobSeen::Finished(mut result) = snapshot() else {
        unreachable!()
    };
    let source = |name: &str, byte, rows, positive_rows| modelward_wire::SourceRecord {
        name: name.into(),
        sha256: digest(byte),
        rows,
        positive_rows,
    };
    result.sources = vec![
        source("cleveland.csv", 3, 303, Some(139)),
        source("hungarian.csv", 4, 294, None),
    ];
    step(&mut version, &with_job(JobSeen::Finished(result)), 10);
    let status = version.status.as_ref().unwrap();
    assert_eq!(status.snapshot.as_ref().unwrap().source_sha256, Some(digest(3)));
    let found: Vec<_> = status
        .sources
        .iter()
        .map(|source| (source.name.as_str(), source.rows, source.positive_rows))
        .collect();
    assert_eq!(
        found,
        [("cleveland.csv", 303, Some(139)), ("hungarian.csv", 294, None)]
    );
}

#[test]
fn one_source_that_cannot_be_watched_is_enough_to_ask_again() {
    let mut version = version();
    let training = version.spec.source.training.as_mut().unwrap();
    training.additional_datasets = serde_json::from_value(json!([
        {"name": "web", "dataset": {"uri": "https://example.com/x.csv"}},
    ]))
    .unwrap();
    step(&mut version, &world(), 0);
    let empty = with_job(refused(Outcome::DataNotFound, "x.csv answered 404"));
    let decision = step(&mut version, &empty, 10);
    assert_eq!(decision.again_after_seconds, Some(50));
}

fn frozen_rows() -> SnapshotSeen {
    let source = |name: &str, byte| SourceRecord {
        name: name.into(),
        sha256: digest(byte),
        rows: 300,
        positive_rows: Some(140),
    };
    SnapshotSeen::Present {
        rows: 600,
        sources: vec![source("cleveland.csv", 3), source("hungary.csv", 4)],
    }
}

#[test]
fn a_version_of_frozen_rows_records_the_files_that_they_came_from() {
    let mut version = pinned();
    let away = World {
        snapshot: SnapshotSeen::LedgerUnavailable("connection refused".into()),
        ..world()
    };
    let decision = step(&mut version, &away, 0);
    assert_eq!((decision.start, decision.again_after_seconds), (None, Some(10)));
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::LedgerUnavailable
    );
    let there = World {
        snapshot: frozen_rows(),
        ..world()
    };
    let decision = step(&mut version, &there, 10);
    assert_eq!(decision.start.map(|job| job.stage), Some(JobStage::Fit));
    let names = |status: &ModelVersionStatus| -> Vec<String> {
        status.sources.iter().map(|source| source.name.clone()).collect()
    };
    assert_eq!(names(&decision.status), ["cleveland.csv", "hungary.csv"]);
    assert_eq!(decision.status.snapshot.as_ref().unwrap().rows, Some(600));
    let later = step(&mut version, &world(), 20);
    assert_eq!(
        names(&later.status),
        ["cleveland.csv", "hungary.csv"],
        "they stay"
    );

    // A version of a former release has none of them.
    let mut before = pinned();
    step(&mut before, &world(), 0);
    let later = step(&mut before, &away, 10);
    assert_eq!(condition(&before, ConditionType::DataValid).0, "True");
    assert_eq!(later.again_after_seconds, Some(10));
    assert_eq!(step(&mut before, &there, 20).status.sources.len(), 2);
}

#[test]
fn frozen_rows_are_fitted_without_being_read_again() {
    let mut version = pinned();
    let absent = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap heart-disease".into()]),
        ..world()
    };
    let decision = step(&mut version, &absent, 0);
    let job = decision.start.expect("a fit");
    assert_eq!((job.stage, job.input.as_str()), (JobStage::Fit, "07070707"));
    assert_eq!(decision.status.snapshot.as_ref().unwrap().digest, digest(7));
    assert_eq!(
        condition(&version, ConditionType::DataValid),
        (
            "True",
            Reason::DataAccepted,
            "frozen rows sha256:070707070707, accepted with the plan of retrain-heart-0a1b2c3d"
        )
    );
}

#[test]
fn a_version_that_is_worse_than_the_champion_or_was_not_compared_has_not_passed() {
    let judged = |gates: Vec<GateResult>| {
        let mut version = pinned();
        step(&mut version, &world(), 0);
        let mut result = fitted("0.8151", true);
        result.gates.extend(gates);
        if result.gates.iter().any(|gate| !gate.passed) {
            result.verdict = Outcome::GatesFailed;
        }
        step(&mut version, &with_job(JobSeen::Finished(Box::new(result))), 10);
        version
    };
    let good = judged(vec![compared("-0.0142", true)]);
    assert_eq!(
        condition(&good, ConditionType::GatesPassed),
        (
            "True",
            Reason::AllGatesPassed,
            "F1 0.8151 (mean of 50 folds), atLeast 0.75; F1 -0.0142 (pooled over the folds), notWorseThan heart-0 by 0.03 on all rows"
        )
    );
    let worse = judged(vec![compared("-0.051", false)]);
    assert_eq!(role(&worse), Role::Rejected);
    assert_eq!(
        condition(&worse, ConditionType::GatesPassed).2,
        "on all rows, heart-1 may be up to 0.051 worse in F1 (pooled over the folds) than heart-0; the margin allows 0.03: add rows, or raise \
         spec.retraining.margin"
    );
    let silent = judged(Vec::new());
    assert_eq!(role(&silent), Role::Rejected);
    assert_eq!(
        condition(&silent, ConditionType::GatesPassed).2,
        "the comparison with heart-0 has no outcome"
    );
    let twice = judged(vec![compared("0.01", true), compared("-0.2", false)]);
    assert_eq!(
        role(&twice),
        Role::Rejected,
        "of two outcomes of one gate the failed one counts"
    );
    let keys: Vec<_> = twice
        .status
        .as_ref()
        .unwrap()
        .gates
        .iter()
        .map(|gate| &gate.bound)
        .collect();
    assert_eq!(keys.len(), 2, "the API server takes one of each: {keys:?}");
}

#[test]
fn a_comparison_on_too_few_new_rows_or_groups_says_which_to_add() {
    let message = |group_by: Option<&str>| {
        let mut version = pinned();
        let training = version.spec.source.training.as_mut().unwrap();
        training.validation.group_by = group_by.map(str::to_owned);
        step(&mut version, &world(), 0);
        let mut result = fitted("0.8151", true);
        result.gates.push(compared("-0.01", false));
        result.verdict = Outcome::GatesFailed;
        step(&mut version, &with_job(JobSeen::Finished(Box::new(result))), 10);
        condition(&version, ConditionType::GatesPassed).2.to_owned()
    };
    assert_eq!(
        message(None),
        "there are not enough new rows to compare heart-1 with heart-0, or the two differ on too few of them: add new rows"
    );
    assert_eq!(
        message(Some("patient")),
        "there are not enough groups by patient with new rows to compare heart-1 with heart-0, or the two differ in too few of them: \
         add rows of new groups"
    );
}

#[test]
fn a_comparison_is_no_outcome_of_a_bound_on_the_same_metric() {
    let mut version = pinned();
    step(&mut version, &world(), 0);
    let mut result = fitted("0.8151", true);
    result.gates = vec![compared("0.01", true)];
    step(&mut version, &with_job(JobSeen::Finished(Box::new(result))), 10);
    assert_eq!(
        condition(&version, ConditionType::GatesPassed).2,
        "the gate on F1 has no outcome"
    );
}

#[test]
fn a_given_bundle_needs_no_job_and_takes_its_threshold_from_the_spec() {
    let mut version = given();
    let found = World {
        bundle: BundleSeen::Present,
        ..world()
    };
    let decision = step(&mut version, &found, 0);
    assert_eq!(decision.start, None);
    let status = version.status.as_ref().unwrap();
    assert_eq!(status.bundle.as_ref().unwrap().digest, digest(9));
    assert_eq!(status.threshold, Some("0.35".parse().unwrap()));
    assert_eq!(
        condition(&version, ConditionType::DataValid),
        ("True", Reason::NoTraining, "a bundle is given; no data is read")
    );
    assert_eq!(
        condition(&version, ConditionType::Trained),
        (
            "True",
            Reason::ArtifactFound,
            "bundle sha256:090909090909 is in the store"
        )
    );
    assert_eq!(condition(&version, ConditionType::GatesPassed).1, Reason::NoGates);
    assert_eq!(role(&version), Role::Candidate);
}

#[test]
fn a_given_bundle_that_the_store_lacks_is_waited_for_less_and_less_often() {
    let mut version = given();
    let absent = World {
        bundle: BundleSeen::Absent("the store has no bundle".into()),
        ..world()
    };
    let mut pauses = Vec::new();
    let mut second = 0;
    for _ in 0..9 {
        let pause = step(&mut version, &absent, second).again_after_seconds.unwrap();
        pauses.push(pause);
        second += i64::try_from(pause).unwrap();
    }
    assert_eq!(pauses, [10, 10, 20, 40, 80, 160, 320, 640, 900]);
    assert_eq!(
        condition(&version, ConditionType::Trained),
        (
            "False",
            Reason::ArtifactMissing,
            "the store has no bundle; the version waits for it"
        )
    );
    assert_eq!(condition(&version, ConditionType::Reconciling).0, "True");
    assert_eq!(role(&version), Role::Pending);

    let away = World {
        bundle: BundleSeen::LedgerUnavailable("connection refused".into()),
        ..world()
    };
    let decision = step(&mut version, &away, second);
    assert_eq!(decision.again_after_seconds, Some(10));
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::LedgerUnavailable
    );
}

// === properties ===

fn any_result() -> impl Strategy<Value = JobResult> {
    let stage = prop_oneof![
        Just(JobStage::Snapshot),
        Just(JobStage::Fit),
        Just(JobStage::Import)
    ];
    let verdict = prop_oneof![
        Just(Outcome::Succeeded),
        Just(Outcome::DataInvalid),
        Just(Outcome::DataNotFound),
        Just(Outcome::GatesFailed),
        Just(Outcome::SpecInvalid),
    ];
    (stage, verdict, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(stage, verdict, digest, gates, passed)| {
            let mut result = fitted("0.8", passed);
            (result.stage, result.verdict) = (stage, verdict);
            if !digest {
                result.digest = None;
            }
            if !gates {
                result.gates.clear();
            }
            result
        },
    )
}

fn any_job() -> impl Strategy<Value = JobSeen> {
    prop_oneof![
        Just(JobSeen::Missing),
        Just(JobSeen::Starting),
        Just(JobSeen::Running(None)),
        Just(JobSeen::Hindered(Hindrance::new(
            Cause::ImagePullFailed,
            "ErrImagePull"
        ))),
        Just(JobSeen::Interrupted(Hindrance::new(Cause::Disrupted, "Evicted"))),
        Just(JobSeen::Mismatch("another snapshot".into())),
        any_result().prop_map(|result| JobSeen::Finished(Box::new(result))),
        Just(failed("exit code 1")),
        Just(JobSeen::ResultLost),
        Just(JobSeen::ArtifactMissing("no bundle".into())),
        Just(JobSeen::LedgerUnavailable("refused".into())),
    ]
}

fn any_serving() -> impl Strategy<Value = ServingSeen> {
    let rest = prop_oneof![
        Just(Settling::Done),
        Just(Settling::Working(
            WorkingReason::RolloutInProgress,
            "1 of 2".into()
        )),
        Just(Settling::Stuck(StuckReason::NameTaken, "Service heart".into())),
    ];
    prop_oneof![
        Just(ServingSeen::NotYet),
        Just(ServingSeen::RollingOut(
            Reason::RolloutInProgress,
            "1 of 2".into()
        )),
        Just(ServingSeen::Stuck(StuckReason::RolloutStuck, "0 of 2".into())),
        (any::<bool>(), rest).prop_map(|(enough, rest)| ServingSeen::Live {
            enough,
            pods: "2/2 Pods".into(),
            rest
        }),
        Just(ServingSeen::BeingReplaced("until heart-2".into())),
        Just(ServingSeen::Retired("heart-2 serves".into())),
        Just(ServingSeen::Paused),
        Just(ServingSeen::AwaitingPromotion("promote-heart-1".into())),
        Just(ServingSeen::Held("left by rollback".into())),
        Just(ServingSeen::NotPromoted(
            Reason::PromotionRejected,
            "by alice".into()
        )),
    ]
}

fn any_world() -> impl Strategy<Value = World> {
    let dataset = prop_oneof![
        "[ab]".prop_map(DatasetSeen::Present),
        Just(DatasetSeen::Absent(vec!["ConfigMap heart-disease".into()])),
    ];
    let obstacle = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Obstacle::Taken("Job x".into()))),
        1 => Just(Some(Obstacle::Refused("exceeded quota".into()))),
        1 => Just(Some(Obstacle::Queued(Wait { before: 1, after: None, hindered: Vec::new(), soon: false }))),
    ];
    let bundle = prop_oneof![
        Just(BundleSeen::NotAsked),
        Just(BundleSeen::Present),
        Just(BundleSeen::Absent("the store has no bundle".into())),
        Just(BundleSeen::LedgerUnavailable("connection refused".into())),
    ];
    let snapshot = prop_oneof![
        Just(SnapshotSeen::NotAsked),
        Just(frozen_rows()),
        Just(SnapshotSeen::Absent),
        Just(SnapshotSeen::LedgerUnavailable("connection refused".into())),
    ];
    let publication = prop_oneof![
        Just(PublicationSeen::NotAsked),
        Just(PublicationSeen::Recorded),
        Just(PublicationSeen::Absent),
        Just(PublicationSeen::Found(published(PublicationState::Failed))),
        Just(PublicationSeen::LedgerUnavailable("connection refused".into())),
    ];
    (
        dataset,
        any_job(),
        snapshot,
        bundle,
        publication,
        any_serving(),
        obstacle,
        custom_trainer::any_allowed(),
    )
        .prop_map(
            |(dataset, job, snapshot, bundle, publication, serving, obstacle, allowed_trainers)| World {
                dataset,
                job,
                snapshot,
                bundle,
                serving,
                publication,
                image_ran: None,
                allowed_trainers,
                obstacle,
            },
        )
}

fn any_source() -> impl Strategy<Value = ModelVersion> {
    prop_oneof![
        Just(version()),
        Just(from_address()),
        Just(pinned()),
        Just(given()),
        Just(import::of_file()),
        Just(import::of_registry()),
        Just(custom_trainer::by_image())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_the_conditions_agree_with_each_other_and_come_to_rest(
        worlds in proptest::collection::vec((any_world(), 1_i64..400), 1..8),
        mut version in any_source(),
        later in 1_i64..1_000_000,
    ) {
        let mut second = 0;
        for (world, passed) in &worlds {
            second += passed;
            let decision = step(&mut version, world, second);
            let truth = |kind| condition(&version, kind).0 == "True";
            let summary = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled].map(truth);
            prop_assert_eq!(summary.iter().filter(|holds| **holds).count(), 1, "exactly one of the three is True");
            prop_assert_eq!(truth(ConditionType::Stalled) && role(&version) == Role::Live, truth(ConditionType::Stalled) && matches!(world.serving, ServingSeen::Live { .. }) && truth(ConditionType::GatesPassed));
            for attempt in [&decision.status.snapshot_attempt, &decision.status.fit_attempt].into_iter().flatten() {
                prop_assert!((1..=100).contains(&attempt.attempt));
                prop_assert!(attempt.job.len() <= 63);
            }
            if let Some(job) = &decision.start {
                prop_assert!(world.obstacle.is_some() || [&decision.status.snapshot_attempt, &decision.status.fit_attempt]
                    .into_iter().flatten().any(|attempt| attempt.job == job.name && !attempt.finished), "what is started is recorded");
            }
        }
        // From here on the world stands still: the Job that was made last runs and continues running.
        let (mut world, _) = worlds.last().unwrap().clone();
        world.obstacle = None;
        let mut started = 0;
        let mut settled = false;
        for _ in 0..8 {
            let before = version.status.clone();
            let decision = step(&mut version, &world, second);
            if decision.start.is_some() {
                started += 1;
                world.job = JobSeen::Running(None);
            }
            if version.status == before {
                settled = true;
                break;
            }
        }
        prop_assert!(settled, "it does not come to rest");
        prop_assert!(started <= 2);
        let valid = validate(&version).unwrap();
        let rest = decide(&valid, &world, at(second));
        let after = decide(&valid, &world, at(second + later));
        if after.start.is_none() {
            prop_assert_eq!(&after.status, version.status.as_ref().unwrap(), "a later look changes nothing");
        } else {
            prop_assert!(rest.again_after_seconds.is_some(), "only what was announced begins by itself");
        }
    }
}
