//! Versions of models that were trained elsewhere.

use modelward_wire::{ImportRecord, MlflowVersion};

use super::*;

fn imports(artifact: &Value) -> ModelVersion {
    let mut version = version();
    version.spec.source = serde_json::from_value(json!({"artifact": artifact})).unwrap();
    version
}

/// A version of a model in a `ConfigMap`.
pub(super) fn of_file() -> ModelVersion {
    let place = |key: &str| json!({"configMap": {"name": "heart-model", "key": key}});
    imports(&json!({"file": place("model.txt"), "sample": {"dataset": place("sample.csv")}}))
}

/// A version of a model in a registry, which cannot be watched.
pub(super) fn of_registry() -> ModelVersion {
    imports(&json!({
        "mlflow": {"uri": "http://mlflow:5000", "model": "heart", "alias": "champion"},
        "sample": {"dataset": {"configMap": {"name": "heart-model", "key": "sample.csv"}}},
    }))
}

fn imported() -> JobResult {
    let mut result = JobResult::new(JobStage::Import, Outcome::Succeeded, "imported LightGBM");
    result.digest = Some(digest(2));
    result.family = Some("LightGBM".into());
    result.threshold = "0.5".parse().ok();
    result.rows = Some(48);
    result.imported = Some(ImportRecord {
        format: "LightGBM text".into(),
        file: digest(5),
        sample: Some(digest(6)),
        mlflow: None,
    });
    result
}

fn finished(result: JobResult) -> World {
    with_job(JobSeen::Finished(Box::new(result)))
}

#[test]
fn a_model_file_is_imported_by_one_job_and_served_as_a_given_bundle_is() {
    let mut version = of_file();
    let begun = step(&mut version, &world(), 0);
    let job = begun.start.unwrap();
    assert_eq!((job.stage, job.attempt), (JobStage::Import, 1));
    assert!(job.name.starts_with("heart-1-import-"), "{}", job.name);
    assert_eq!(
        condition(&version, ConditionType::DataValid),
        (
            "True",
            Reason::NoTraining,
            "a model is imported; no training data is read"
        )
    );
    let running = format!("Job {} imports the model", job.name);
    assert_eq!(
        condition(&version, ConditionType::Trained),
        ("Unknown", Reason::ImportRunning, running.as_str())
    );

    assert_eq!(step(&mut version, &finished(imported()), 10).start, None);
    let status = version.status.as_ref().unwrap();
    assert_eq!(
        status.bundle.as_ref().map(|bundle| bundle.digest),
        Some(digest(2))
    );
    assert_eq!(status.family, Some(modelward_crds::SelectedFamily::LightGBM));
    assert_eq!(status.threshold, "0.5".parse().ok());
    let recorded = status.imported.as_ref().unwrap();
    assert_eq!(
        (
            recorded.format.as_str(),
            recorded.file,
            recorded.sample,
            recorded.rows
        ),
        ("LightGBM text", digest(5), Some(digest(6)), Some(48))
    );
    assert!(status.fit_attempt.as_ref().unwrap().finished);
    let (trained, reason, words) = condition(&version, ConditionType::Trained);
    assert_eq!((trained, reason), ("True", Reason::Imported));
    assert!(
        words.starts_with("imported from LightGBM text, bundle sha256:0202") && words.contains("48 rows"),
        "{words}"
    );
    assert_eq!(
        condition(&version, ConditionType::GatesPassed),
        (
            "True",
            Reason::NoGates,
            "a version of an imported model has no gates: it has no metrics of rows that it was not trained on"
        )
    );

    // The bundle stays, whatever becomes of the files.
    let changed = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap heart-model".into()]),
        ..world()
    };
    assert_eq!(step(&mut version, &changed, 20).start, None);
    assert_eq!(condition(&version, ConditionType::Trained).1, Reason::Imported);
}

#[test]
fn a_refused_model_is_final_until_its_file_changes() {
    let mut version = of_file();
    step(&mut version, &world(), 0);
    let refused = JobResult::new(
        JobStage::Import,
        Outcome::DataInvalid,
        "the file is a Python pickle",
    );
    step(&mut version, &finished(refused), 10);
    assert_eq!(
        condition(&version, ConditionType::Trained),
        ("False", Reason::ImportRefused, "the file is a Python pickle")
    );
    assert_eq!(
        condition(&version, ConditionType::Stalled).1,
        Reason::ImportRefused
    );
    assert_eq!(role(&version), Role::Rejected);
    let quiet = step(&mut version, &world(), 5000);
    assert_eq!((quiet.start, quiet.again_after_seconds), (None, None));
    assert_eq!(
        condition(&version, ConditionType::Trained).1,
        Reason::ImportRefused
    );

    let corrected = World {
        dataset: DatasetSeen::Present("second".into()),
        ..world()
    };
    let again = step(&mut version, &corrected, 6000).start.unwrap();
    assert_eq!((again.stage, again.attempt), (JobStage::Import, 1));
}

#[test]
fn an_absent_file_is_waited_for_and_an_absent_alias_is_looked_up_again() {
    let mut version = of_file();
    let absent = World {
        dataset: DatasetSeen::Absent(vec!["ConfigMap heart-model".into()]),
        ..world()
    };
    assert_eq!(step(&mut version, &absent, 0).start, None);
    assert_eq!(
        condition(&version, ConditionType::Trained),
        (
            "False",
            Reason::DatasetNotFound,
            "ConfigMap heart-model does not exist; the version waits for it"
        )
    );
    assert_eq!(role(&version), Role::Pending);

    let mut version = of_registry();
    step(&mut version, &world(), 0);
    let words = "there is no alias champion of heart";
    let none = finished(JobResult::new(JobStage::Import, Outcome::DataNotFound, words));
    let waiting = step(&mut version, &none, 10);
    assert_eq!(waiting.again_after_seconds, Some(50));
    assert_eq!(
        condition(&version, ConditionType::Trained),
        ("False", Reason::DatasetNotFound, words)
    );
    let again = step(&mut version, &world(), 61).start.unwrap();
    assert_eq!((again.stage, again.attempt), (JobStage::Import, 3));
}

#[test]
fn what_an_alias_was_resolved_to_is_recorded_once() {
    let mut version = of_registry();
    step(&mut version, &world(), 0);
    let mut result = imported();
    result.imported.as_mut().unwrap().mlflow = Some(MlflowVersion {
        version: "7".into(),
        run: Some("0a1b".into()),
    });
    step(&mut version, &finished(result), 10);
    let status = version.status.as_ref().unwrap();
    let resolved = status.imported.as_ref().unwrap().mlflow.as_ref().unwrap();
    assert_eq!(
        (resolved.version.as_str(), resolved.run.as_deref()),
        ("7", Some("0a1b"))
    );
    assert!(
        condition(&version, ConditionType::Trained)
            .2
            .starts_with("imported from LightGBM text, version 7 of the registered model, bundle")
    );
    assert_eq!(
        step(&mut version, &world(), 5000).start,
        None,
        "the alias is not looked up again"
    );
}

#[test]
fn the_threshold_of_the_spec_goes_before_that_of_a_bundle() {
    for (given, expected) in [(None, "0.3"), (Some("0.45"), "0.45")] {
        let mut version = of_registry();
        let artifact = version.spec.source.artifact.as_mut().unwrap();
        artifact.threshold = given.map(|text| text.parse().unwrap());
        step(&mut version, &world(), 0);
        let mut result = imported();
        result.threshold = "0.3".parse().ok();
        step(&mut version, &finished(result), 10);
        assert_eq!(version.status.unwrap().threshold, expected.parse().ok());
    }
}
