//! Versions that an image trains.

use super::*;
use crate::custom_trainer::AllowedTrainers;

/// A version that an image trains.
pub(super) fn by_image() -> ModelVersion {
    let mut version = version();
    let training = version.spec.source.training.as_mut().unwrap();
    training.custom_trainer = serde_json::from_value(json!({
        "image": "registry.example/ml/heart-trainer:1", "format": "LightGBM", "args": ["--rounds=60"],
    }))
    .unwrap();
    version
}

fn allowed() -> AllowedTrainers {
    serde_json::from_value(json!({"images": ["registry.example/ml/"]})).unwrap()
}

/// No image, or that of the version.
pub(super) fn any_allowed() -> impl Strategy<Value = AllowedTrainers> {
    prop_oneof![Just(AllowedTrainers::default()), Just(allowed())]
}

/// A world in which the image is allowed.
fn allowing(world: World) -> World {
    World {
        allowed_trainers: allowed(),
        ..world
    }
}

/// A version whose fit Job was made.
fn fitting() -> ModelVersion {
    let mut version = by_image();
    step(&mut version, &allowing(world()), 0);
    let started = step(&mut version, &allowing(with_job(snapshot())), 1);
    let status = version.status.as_mut().unwrap();
    status.fit_attempt.as_mut().unwrap().job_uid = Some("job".into());
    assert_eq!(started.start.unwrap().stage, JobStage::Fit);
    version
}

#[test]
fn an_image_that_is_not_allowed_stalls_the_version_and_makes_no_job() {
    let mut version = by_image();
    let decision = step(&mut version, &world(), 0);
    assert_eq!(decision.start, None);
    let (status, reason, message) = condition(&version, ConditionType::Trained);
    assert_eq!((status, reason), ("False", Reason::CustomTrainerRefused));
    assert!(message.contains("trainer.custom.images"), "{message}");
    assert_eq!(condition(&version, ConditionType::Stalled).0, "True");
    assert_eq!(condition(&version, ConditionType::DataValid).1, Reason::Waiting);
}

#[test]
fn a_changed_value_starts_the_training_of_a_version_that_was_refused() {
    let mut version = by_image();
    step(&mut version, &world(), 0);
    let allowed = step(&mut version, &allowing(world()), 1);
    assert_eq!(allowed.start.unwrap().stage, JobStage::Snapshot);
    assert_eq!(condition(&version, ConditionType::Stalled).0, "False");
}

#[test]
fn a_job_that_runs_goes_on_after_the_image_is_taken_off_the_list_and_no_other_is_made() {
    let mut version = fitting();
    let running = step(&mut version, &with_job(JobSeen::Running(Some(40))), 3);
    assert_eq!(running.start, None);
    assert_eq!(condition(&version, ConditionType::Trained).1, Reason::FitRunning);
    for second in [4, 5] {
        let lost = step(&mut version, &with_job(failed("exit code 1")), second);
        assert_eq!(lost.start, None);
        assert_eq!(
            condition(&version, ConditionType::Trained).1,
            Reason::CustomTrainerRefused
        );
        assert_eq!(condition(&version, ConditionType::DataValid).0, "True");
    }
    let again = step(&mut version, &allowing(with_job(failed("exit code 1"))), 6);
    assert_eq!(again.start.unwrap().attempt, 2);
}

#[test]
fn a_snapshot_that_is_being_made_is_recorded_and_no_model_is_fitted_to_it() {
    let mut version = by_image();
    step(&mut version, &allowing(world()), 0);
    let attempt = version.status.as_mut().unwrap().snapshot_attempt.as_mut();
    attempt.unwrap().job_uid = Some("job".into());
    let running = step(&mut version, &with_job(JobSeen::Running(None)), 1);
    assert_eq!(running.start, None);
    assert_eq!(
        condition(&version, ConditionType::DataValid).1,
        Reason::SnapshotRunning
    );
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::CustomTrainerRefused
    );
    let ended = step(&mut version, &with_job(snapshot()), 2);
    assert_eq!(ended.start, None);
    assert_eq!(condition(&version, ConditionType::DataValid).0, "True");
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::CustomTrainerRefused
    );
}

#[test]
fn a_result_is_recorded_although_the_image_is_no_longer_allowed() {
    let mut version = fitting();
    let ran = "registry.example/ml/heart-trainer@sha256:ab";
    let world = World {
        image_ran: Some(ran.to_owned()),
        ..with_job(fit("0.8", true))
    };
    step(&mut version, &world, 3);
    assert_eq!(condition(&version, ConditionType::Trained).0, "True");
    assert_eq!(version.status.unwrap().custom_trainer_image.as_deref(), Some(ran));
}
