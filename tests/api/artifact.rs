//! What a version of a given bundle or of an imported model may say.

use serde_json::{Value, json};

use crate::{apply, heart};

fn of(artifact: &Value) -> Value {
    let mut object = heart();
    object["spec"]["source"] = json!({"artifact": artifact});
    object
}

fn bundle() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

fn file() -> Value {
    json!({"configMap": {"name": "heart-model", "key": "model.txt"}})
}

fn sample() -> Value {
    json!({"dataset": {"configMap": {"name": "heart-model", "key": "sample.csv"}}})
}

fn mlflow() -> Value {
    json!({"uri": "http://mlflow.mlflow.svc:5000", "model": "heart", "alias": "champion"})
}

#[tokio::test]
async fn a_bundle_a_file_or_a_model_of_a_registry_is_taken() {
    for artifact in [
        json!({"bundle": bundle()}),
        json!({"bundle": bundle(), "threshold": "0.35"}),
        json!({"file": file(), "sample": sample(), "threshold": "0.35"}),
        json!({"file": {"persistentVolumeClaim": {"claimName": "models", "path": "heart/bundle"}}, "sample": sample()}),
        json!({"file": {"uri": "s3://models/heart.ubj", "credentialsSecret": {"name": "store"}, "sha256": bundle()},
            "sample": {"dataset": {"uri": "https://host/sample.parquet"}, "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "features": [{"name": "thal", "kind": "Categorical", "categories": ["3", "6", "7"]}], "exclude": ["id"],
                "expected": "p", "expectedRaw": "margin"}}),
        json!({"mlflow": mlflow()}),
        json!({"mlflow": mlflow(), "sample": sample()}),
    ] {
        let made = apply(&of(&artifact)).await;
        let made = made.unwrap_or_else(|error| panic!("{artifact}: {error}"));
        let source = made.spec.source.artifact.unwrap();
        assert_eq!(source.bundle.is_some(), artifact.get("bundle").is_some());
        assert_eq!(
            source.threshold.is_some(),
            artifact.get("threshold").is_some(),
            "an imported bundle has a threshold of its own"
        );
    }
}

#[tokio::test]
async fn a_wrong_artifact_is_refused_with_a_sentence() {
    let with = |of: Value, name: &str, value: Value| {
        let mut changed = of;
        changed[name] = value;
        changed
    };
    for (artifact, sentence) in [
        (json!({}), "exactly one of bundle, file and mlflow must be set"),
        (
            json!({"bundle": bundle(), "mlflow": mlflow()}),
            "exactly one of bundle, file and mlflow must be set",
        ),
        (
            json!({"file": file()}),
            "a model file needs a sample: rows with the scores that the model gives them where it was trained",
        ),
        (
            json!({"bundle": bundle(), "sample": sample()}),
            "sample is for a model that is imported",
        ),
        (
            json!({"bundle": "ab"}),
            "write \"sha256:\" and 64 lower-case hexadecimal digits",
        ),
        (
            json!({"file": with(file(), "moreFiles", json!(["b"])), "sample": sample()}),
            "file is one file of a model: remove moreFiles and csv",
        ),
        (
            json!({"file": with(file(), "csv", json!({"delimiter": ";"})), "sample": sample()}),
            "the format of the sample is in sample.dataset.csv",
        ),
        (
            json!({"file": {"uri": "ftp://host/file"}, "sample": sample()}),
            "write an address that begins with http:// or https://",
        ),
        (
            json!({"file": file(), "sample": {"dataset": with(file(), "moreFiles", json!(["b"]))}}),
            "a sample is one file; remove moreFiles",
        ),
        (
            json!({"file": file(), "sample": with(sample(), "features", json!([{"name": "age", "kind": "Numeric", "monotone": "Increasing"}]))}),
            "monotone is a constraint on a training",
        ),
        (
            json!({"file": file(), "sample": sample(), "threshold": "40%"}),
            "write a decimal number from 0 to 1 in quotes",
        ),
        (
            json!({"mlflow": with(mlflow(), "uri", json!("https://me:pw@mlflow"))}),
            "name a Secret in credentialsSecret",
        ),
        (
            json!({"mlflow": with(mlflow(), "uri", json!("mlflow:5000"))}),
            "write the address of the server, such as http://mlflow.mlflow.svc:5000",
        ),
        (
            json!({"mlflow": with(mlflow(), "model", json!("models:/heart"))}),
            "write the name of the registered model alone",
        ),
        (
            json!({"mlflow": with(mlflow(), "alias", json!("@champion"))}),
            "write the alias alone, without '@'",
        ),
    ] {
        let refused = apply(&of(&artifact)).await.expect_err(sentence);
        assert!(refused.contains(sentence), "{artifact}: {refused}");
    }
}

#[tokio::test]
async fn an_imported_model_has_no_training_that_could_be_repeated() {
    let mut object = of(&json!({"file": file(), "sample": sample()}));
    object["spec"]["retraining"] =
        json!({"datasets": [{"name": "new", "dataset": {"uri": "https://host/new.csv"}}]});
    let refused = apply(&object).await.expect_err("it cannot be retrained");
    assert!(
        refused.contains("an imported model has no training that could be repeated: remove retraining"),
        "{refused}"
    );
}
