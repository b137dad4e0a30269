//! What a version that an image trains may say.

use serde_json::{Value, json};

use crate::{apply, created, heart};

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

/// A version with this training beside dataset and target.
fn with(fields: &Value) -> Value {
    let mut object = heart();
    let training = &mut object["spec"]["source"]["training"];
    *training = json!({
        "dataset": training["dataset"], "target": training["target"],
        "validation": {"repeats": 1, "heldOut": {"fraction": "0.2"}},
        "customTrainer": {"image": "registry.example/ml/heart:1", "format": "LightGBM"},
    });
    for (name, value) in fields.as_object().unwrap() {
        training[name] = value.clone();
    }
    object
}

async fn refusal(fields: &Value) -> String {
    apply(&with(fields)).await.expect_err(&fields.to_string())
}

/// Unknown fields are refused, as kubectl asks for it.
async fn strict(fields: &Value) -> String {
    created(&with(fields), "?fieldValidation=Strict")
        .await
        .0
        .expect_err(&fields.to_string())
}

#[tokio::test]
async fn an_image_with_arguments_variables_and_an_account_is_taken() {
    for image in [
        "registry.example/ml/heart:1".to_owned(),
        "heart".to_owned(),
        "localhost:5000/heart:V_1.2-x".to_owned(),
        format!("registry.example/ml/heart@{DIGEST}"),
        format!("registry.example/ml/heart:1@{DIGEST}"),
    ] {
        let trainer = json!({"image": image, "format": "XGBoost", "args": ["--rounds", "60"],
            "env": [{"name": "WANDB_MODE", "value": "offline"}], "serviceAccountName": "trainjobs"});
        let made = apply(&with(&json!({"customTrainer": trainer}))).await;
        let made = made.unwrap_or_else(|error| panic!("{image}: {error}"));
        let trainer = made.spec.source.training.unwrap().custom_trainer.unwrap();
        assert_eq!(trainer.image, image);
        assert_eq!(trainer.args, ["--rounds", "60"]);
    }
}

#[tokio::test]
async fn what_cannot_be_beside_an_image_is_refused_with_a_sentence() {
    for (fields, sentence) in [
        (
            json!({"families": ["LightGBM"]}),
            "customTrainer trains in place of the families; remove families",
        ),
        (
            json!({"families": ["LogisticRegression", "XGBoost"]}),
            "remove families",
        ),
        (
            json!({"search": {"trials": 9}}),
            "remove hyperparameters and search",
        ),
        (
            json!({"hyperparameters": {"logisticRegression": {"c": "1"}}}),
            "remove hyperparameters and search",
        ),
        (
            json!({"ensemble": {"use": "Always"}}),
            "customTrainer leaves one model, and an ensemble has several; remove ensemble",
        ),
        (
            json!({"weights": {"classes": "Balanced"}}),
            "remove transforms and weights",
        ),
        (
            json!({"transforms": [{"name": "a", "type": "Log", "column": "age"}]}),
            "remove transforms and weights",
        ),
        (
            json!({"features": [{"name": "age", "kind": "Numeric", "monotone": "Increasing"}]}),
            "monotone is a constraint that a customTrainer need not keep",
        ),
        (json!({"validation": {"repeats": 1}}), "set validation.heldOut"),
        (
            json!({"validation": {"heldOut": {"fraction": "0.2"}}}),
            "validation.repeats: 1",
        ),
    ] {
        let error = refusal(&fields).await;
        assert!(error.contains(sentence), "{fields}: {error}");
    }
}

#[tokio::test]
async fn an_image_is_not_a_pod() {
    let trainer = |name: &str, value: Value| {
        let mut trainer = json!({"image": "registry.example/ml/heart:1", "format": "LightGBM"});
        trainer[name] = value;
        json!({"customTrainer": trainer})
    };
    for (name, value) in [
        ("command", json!(["sh", "-c", "id"])),
        (
            "volumeMounts",
            json!([{"name": "ledger-token", "mountPath": "/token"}]),
        ),
        ("securityContext", json!({"privileged": true})),
        ("podTemplate", json!({})),
        ("envFrom", json!([{"secretRef": {"name": "store"}}])),
    ] {
        let error = strict(&trainer(name, value)).await;
        assert!(
            error.contains(&format!(
                "unknown field \"spec.source.training.customTrainer.{name}\""
            )),
            "{error}"
        );
    }
    let from_secret = json!([{"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "store", "key": "token"}}}]);
    let error = strict(&trainer("env", from_secret)).await;
    assert!(error.contains("valueFrom"), "{error}");
    for (name, value, sentence) in [
        ("image", json!("Registry.example/heart"), "in lower-case letters"),
        (
            "image",
            json!("registry.example/heart@sha256:12"),
            "in lower-case letters",
        ),
        (
            "image",
            json!("http://registry.example/heart 1"),
            "in lower-case letters",
        ),
        ("image", json!(""), "at least 1 char"),
        ("format", json!("Pickle"), "supported values"),
        (
            "env",
            json!([{"name": "MODELWARD_OUTPUT_DIR", "value": "/x"}]),
            "MODELWARD_ are set by the operator",
        ),
        (
            "env",
            json!([{"name": "A B", "value": "/x"}]),
            "write letters, digits and '_'",
        ),
        ("serviceAccountName", json!("a/b"), "should match"),
        ("args", json!(vec!["a"; 65]), "at most 64 items"),
        ("args", json!(["a".repeat(1025)]), "1024"),
    ] {
        let error = refusal(&trainer(name, value)).await;
        assert!(error.contains(sentence), "{name}: {error}");
    }
}
