//! What the API server accepts and refuses, with the sentence that a user reads.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test needs and cannot have ends it"
)]

mod artifact;
mod custom_trainer;

use http_body_util::BodyExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    discovery::ApiResource,
};
use modelward_crds::{ActionType, ModelVersion, RemediationAction, Role};
use modelward_kit::apiserver::ApiServer;
use serde_json::{Value, json};

fn heart() -> Value {
    json!({
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "heart-1"},
        "spec": {
            "model": "heart",
            "source": {"training": {
                "dataset": {
                    "configMap": {"name": "heart-disease", "key": "cleveland.csv"},
                    "csv": {"header": false, "columns": ["age", "sex", "num"], "missing": ["?"]},
                },
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "features": [{"name": "sex", "kind": "Categorical"}],
                "validation": {"seed": 7},
                "gates": [{"metric": "F1", "atLeast": "0.75"}],
            }},
            "serving": {"access": "Open"},
        },
    })
}

async fn apply(object: &Value) -> Result<ModelVersion, String> {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let kind = ApiResource::erase::<ModelVersion>(&());
    let api = Api::<DynamicObject>::namespaced_with(server.client(), &namespace, &kind);
    let object = serde_json::from_value(object.clone()).unwrap();
    let made = api
        .create(&PostParams::default(), &object)
        .await
        .map_err(|error| error.to_string())?;
    Ok(serde_json::from_value(serde_json::to_value(made).unwrap()).unwrap())
}

async fn refusal(pointer: &str, value: Value) -> String {
    let mut object = heart();
    *object
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer} is not in the sample")) = value;
    apply(&object)
        .await
        .expect_err("the API server should refuse this")
}

#[tokio::test]
async fn a_first_file_needs_little_and_the_rest_is_filled_in() {
    let version = apply(&heart()).await.unwrap();
    let training = version.spec.source.training.as_ref().unwrap();
    assert_eq!(
        (
            training.validation.folds,
            training.validation.repeats,
            training.validation.seed
        ),
        (5, 10, 7)
    );
    assert_eq!(training.select_by.as_str(), "F1");
    assert_eq!(
        (
            version.spec.serving.replicas.min,
            version.spec.serving.replicas.max
        ),
        (2, 4)
    );
}

#[tokio::test]
async fn a_dataset_of_several_files_or_of_a_bucket_is_taken() {
    for dataset in [
        json!({"configMap": {"name": "a", "key": "b"}, "moreFiles": ["c", "d"]}),
        json!({"persistentVolumeClaim": {"claimName": "a", "path": "2026"}, "moreFiles": ["2025/x.parquet"]}),
        json!({"uri": "https://host/a.csv?x", "moreFiles": ["https://host/b.csv"]}),
        json!({"uri": "s3://bucket/a/b.csv", "endpoint": "http://minio.storage:9000", "credentialsSecret": {"name": "store"},
            "moreFiles": ["s3://bucket/c.csv"]}),
        json!({"uri": "az://container/a%20b.parquet", "credentialsSecret": {"name": "store"}}),
    ] {
        let mut object = heart();
        object["spec"]["source"]["training"]["dataset"] = dataset.clone();
        assert!(
            apply(&object).await.is_ok(),
            "{dataset}: {:?}",
            apply(&object).await
        );
    }
}

#[tokio::test]
async fn a_retraining_that_would_read_too_many_datasets_is_refused() {
    let list = |names: std::ops::Range<u8>| -> Vec<Value> {
        let dataset = |at: u8| json!({"name": format!("d{at}"), "dataset": {"uri": "https://host/more.csv"}});
        names.map(dataset).collect()
    };
    let with = |retraining: Value| {
        let mut object = heart();
        object["spec"]["source"]["training"]["additionalDatasets"] = list(0..7).into();
        object["spec"]["retraining"] = retraining;
        object
    };
    let refused = apply(&with(json!({"datasets": list(7..9)})))
        .await
        .expect_err("nine datasets beside the first one");
    assert!(
        refused.contains(
            "retraining.datasets and source.training.additionalDatasets have more than 8 names together"
        ),
        "{refused}"
    );
    for taken in [
        json!({"datasets": list(6..8)}),
        json!({"datasets": list(7..9), "includeTrainingData": false}),
    ] {
        let made = apply(&with(taken.clone())).await;
        assert!(made.is_ok(), "{taken}: {made:?}");
    }
}

#[tokio::test]
async fn a_wrong_field_is_refused_with_a_sentence() {
    let dataset = "/spec/source/training/dataset";
    for (pointer, value, sentence) in [
        (
            dataset,
            json!({"csv": {}}),
            "exactly one of configMap, uri and persistentVolumeClaim must be set",
        ),
        (
            dataset,
            json!({"uri": "ftp://host/file"}),
            "write an address that begins with http:// or https://",
        ),
        (
            dataset,
            json!({"uri": "https://host/file\u{a0}303\u{202e}"}),
            "only ASCII characters",
        ),
        (
            dataset,
            json!({"uri": "https://host/file", "configMap": {"name": "a", "key": "b"}}),
            "exactly one of configMap, uri and persistentVolumeClaim must be set",
        ),
        (
            dataset,
            json!({"persistentVolumeClaim": {"claimName": "data", "path": "a/../../b"}}),
            "path may not contain '..'",
        ),
        (
            dataset,
            json!({"persistentVolumeClaim": {"claimName": "data", "path": "/data/x.csv"}}),
            "without a leading '/', such as data/heart.csv",
        ),
        (
            dataset,
            json!({"configMap": {"name": "a", "key": "b"}, "moreFiles": ["c", "../d"]}),
            "moreFiles of a ConfigMap are other keys of it",
        ),
        (
            dataset,
            json!({"persistentVolumeClaim": {"claimName": "data", "path": "a"}, "moreFiles": ["b/../c"]}),
            "moreFiles of a PersistentVolumeClaim are other paths",
        ),
        (
            dataset,
            json!({"uri": "https://host/a.csv", "moreFiles": ["https://host/b.csv", "https://host.example/c.csv"]}),
            "other addresses with the same scheme and host",
        ),
        (
            dataset,
            json!({"uri": "s3://bucket"}),
            "write the bucket and the key of one object",
        ),
        (
            dataset,
            json!({"uri": "s3://bucket/a.csv", "endpoint": "http://user:password@minio:9000"}),
            "write the address of the server alone",
        ),
        (
            dataset,
            json!({"uri": "gs://bucket/a.csv", "endpoint": "http://minio:9000"}),
            "endpoint is the server of an s3:// address",
        ),
        (
            dataset,
            json!({"uri": "https://host/a.csv", "credentialsSecret": {"name": "store"}}),
            "credentialsSecret is for addresses that begin with s3://",
        ),
        (
            dataset,
            json!({"configMap": {"name": "a", "key": "b"}, "csv": {"decimal": ";"}}),
            "write one of \".\" and \",\"",
        ),
        (
            dataset,
            json!({"configMap": {"name": "a", "key": "b"}, "csv": {"thousands": "x"}}),
            "write one of \",\", \".\", \" \", \"'\" and \"_\"",
        ),
        (
            dataset,
            json!({"configMap": {"name": "a", "key": "b"}, "csv": {"thousands": "."}}),
            "where thousands is \".\", set decimal to \",\"",
        ),
        (
            dataset,
            json!({"configMap": {"name": "a", "key": "b"}, "csv": {"rename": [{"to": "row"}]}}),
            "exactly one of from and position must be set",
        ),
        (
            dataset,
            json!({"configMap": {"name": "a", "key": "b"}, "csv": {
                "header": false, "columns": ["sex", "num"], "rename": [{"position": 1, "to": "row"}],
            }}),
            "rename is for files with a header",
        ),
        (
            "/spec/source/training/target",
            json!({"column": "num", "positiveWhen": {"greaterThan": "0"}, "negativeValues": ["0"]}),
            "negativeValues may be set beside positiveWhen.equals only",
        ),
        (
            dataset,
            json!({"configMap": {"name": "heart-disease", "key": ".."}}),
            "nor a name that begins with \"..\"",
        ),
        (
            dataset,
            json!({"configMap": {"name": "Heart", "key": "x.csv"}}),
            "write a name as Kubernetes has them",
        ),
        (
            dataset,
            json!({"uri": "https://bob:secret@host/file"}),
            "remove the user name and password",
        ),
        (
            dataset,
            json!({"uri": "https://host/file", "sha256": "ABCD"}),
            "write \"sha256:\" and 64 lower-case hexadecimal digits",
        ),
        (
            "/spec/source/training/features",
            json!([{"name": "num", "kind": "Numeric"}]),
            "features names the target column",
        ),
        (
            "/spec/source/training/dataset/csv",
            json!({"columns": ["age", "num"], "delimiter": "tab"}),
            "(a tab, in double quotes)",
        ),
        (
            "/spec/source/training/dataset/csv",
            json!({"columns": ["age", "num"], "delimiter": ":"}),
            "write one of \",\", \";\", \"|\" and",
        ),
        (
            "/spec/source/training/dataset/csv",
            json!({"header": false}),
            "columns must be set where the file has no header",
        ),
        (
            "/spec/source/training/features",
            json!([{"name": "age", "kind": "Numeric", "categories": ["1"]}]),
            "categories may be set for a Categorical feature only",
        ),
        (
            "/spec/source/training/features",
            json!([{"name": "age", "kind": "Numeric", "range": {"min": "10", "max": "9.5"}}]),
            "min must be at most max",
        ),
        (
            "/spec/source/training/features",
            json!([{"name": "age", "kind": "Numeric"}, {"name": "age", "kind": "Numeric"}]),
            "Duplicate value",
        ),
        (
            "/spec/source/training/gates",
            json!([{"metric": "F1", "atLeast": "0.7", "atMost": "0.8"}]),
            "exactly one of atLeast and atMost must be set",
        ),
        (
            "/spec/source/training/gates",
            json!([{"metric": "F2", "atLeast": "0.7"}]),
            "supported values: \"Accuracy\"",
        ),
        (
            "/spec/source/training/gates",
            json!([{"metric": "F1", "atLeast": "75"}]),
            "is between 0 and 1: write \"0.75\" for 75%",
        ),
        (
            "/spec/source/training/gates",
            json!([{"metric": "RocAuc", "atMost": "1.01"}]),
            "is between 0 and 1: write \"0.75\" for 75%",
        ),
        (
            "/spec/source/training/gates",
            json!([{"metric": "F1", "atLeast": "75%"}]),
            "in quotes, such as \"0.75\"; percent signs are not allowed",
        ),
        (
            "/spec/source/training/features",
            json!([{"name": "age", "kind": "Numeric", "range": {"min": "1,5", "max": "10"}}]),
            "write a decimal number in quotes, such as \"-0.5\"",
        ),
        (
            "/spec/source/training/features",
            json!([{"name": "age", "kind": "Numeric", "maxMissingRatio": "5%"}]),
            "write a decimal number from 0 to 1 in quotes",
        ),
        (
            "/spec/source/training/gates",
            json!([{"metric": "F1", "atLeast": 0.7}]),
            "must be of type string",
        ),
        ("/spec/serving", json!({}), "spec.serving.access: Required value"),
        (
            "/spec/serving",
            json!({"access": "Open", "replicas": {"min": 5, "max": 2}}),
            "min must be at most max",
        ),
        (
            "/spec/serving",
            json!({"access": "Open", "resources": {"limits": {"memory": "8Mi"}}}),
            "limits.memory must be at least 64Mi",
        ),
        (
            "/spec/serving",
            json!({"access": "Open", "resources": {"requests": {"memory": "2Gi"}}}),
            "must be at most limits.memory (512Mi where it is absent)",
        ),
        (
            "/spec/serving",
            json!({"access": "Open", "resources": {"limits": {"cpu": "50m"}}}),
            "requests.cpu (100m where it is absent) must be at most limits.cpu",
        ),
        (
            "/spec/serving",
            json!({"access": "Open", "resources": {"limits": {"memory": "1G"}}}),
            "write a whole number with Ki, Mi or Gi, such as \"512Mi\" or \"1Gi\"",
        ),
        (
            "/spec/serving",
            json!({"access": "Open", "resources": {"limits": {"memory": "lots", "cpu": "half"}}}),
            "write whole processors, \"2\", or thousandths of one, \"250m\"",
        ),
        (
            "/spec/model",
            json!("Heart"),
            "write lower-case letters, digits and '-', starting with a letter",
        ),
        (
            "/metadata/name",
            json!("heart.1"),
            "lower-case letters, digits and '-'",
        ),
    ] {
        let refused = refusal(pointer, value.clone()).await;
        assert!(refused.contains(sentence), "{pointer} = {value}: {refused}");
        assert!(
            !refused.contains("evaluat"),
            "a rule cannot be evaluated: {pointer} = {value}: {refused}"
        );
    }
}

#[tokio::test]
async fn how_a_file_is_written_is_accepted_as_it_was_given() {
    let csv = json!({
        "delimiter": ";", "decimal": ",", "thousands": "'",
        "rename": [{"position": 1, "to": "row"}, {"from": "How old are you?", "to": "age"}],
    });
    let mut object = heart();
    let training = &mut object["spec"]["source"]["training"];
    training["dataset"]["csv"] = csv.clone();
    training["target"] =
        json!({"column": "num", "positiveWhen": {"equals": "yes"}, "negativeValues": ["no", "unknown"]});
    let made = apply(&object).await.unwrap();
    let training = made.spec.source.training.unwrap();
    assert_eq!(serde_json::to_value(&training.dataset.csv).unwrap(), csv);
    assert_eq!(training.target.negative_values, ["no", "unknown"]);
}

#[tokio::test]
async fn lists_of_a_spec_come_back_as_they_were_given() {
    let mut object = heart();
    let training = &mut object["spec"]["source"]["training"];
    training["features"] = json!([{"name": "age", "kind": "Numeric"}]);
    training["expectations"] = json!([{"type": "ExpectColumnToExist", "column": "age"}]);
    training["transforms"] = json!([{"type": "Log", "column": "chol", "name": "logChol"}]);
    let dataset = json!({"configMap": {"name": "more", "key": "more.csv"}, "csv": {"decimal": ","}});
    training["additionalDatasets"] = json!([{"name": "more", "dataset": dataset}]);
    let (made, warnings) = created(&object, "?fieldValidation=Strict").await;
    assert_eq!(warnings, [""; 0]);
    let made = made.unwrap();
    for list in ["features", "expectations", "transforms", "additionalDatasets"] {
        let pointer = format!("/spec/source/training/{list}");
        assert_eq!(made.pointer(&pointer), object.pointer(&pointer), "{list}");
    }
}

/// Creates an object as a client does that asks for this validation of fields, or for none; with the API server's warnings.
async fn created(object: &Value, validation: &str) -> (Result<Value, String>, Vec<String>) {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let path = format!("/apis/modelward.io/v1alpha1/namespaces/{namespace}/modelversions{validation}");
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes().into())
        .unwrap();
    let answer = server.client().send(request).await.unwrap();
    let warnings = answer.headers().get_all("warning").iter();
    let warnings = warnings.map(|text| text.to_str().unwrap().to_owned()).collect();
    let made = answer.status().is_success();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let said = || body["message"].as_str().unwrap_or_default().to_owned();
    (if made { Ok(body.clone()) } else { Err(said()) }, warnings)
}

/// The sample with one more field in the object at `pointer`.
fn with(pointer: &str, name: &str, value: Value) -> Value {
    let mut object = heart();
    let parent = object
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer} is not in the sample"));
    parent[name] = value;
    object
}

#[tokio::test]
async fn a_name_that_is_nearly_a_field_is_reported_with_its_path() {
    let features = json!([{"name": "sex", "kind": "Categorical"}]);
    for (parent, name, value) in [
        ("/spec", "monitor", json!({})),
        ("/spec", "retrain", json!({})),
        ("/spec/source", "trainings", json!({})),
        ("/spec/source/training", "feature", features.clone()),
        ("/spec/source/training", "Features", features),
        ("/spec/source/training", "gate", json!([])),
        ("/spec/source/training", "selectby", json!("F1")),
        ("/spec/source/training", "notworsethan", json!({})),
        ("/spec/source/training", "additionalDataset", json!([])),
        ("/spec/source/training", "excluded", json!(["id"])),
        ("/spec/source/training/dataset", "configmap", json!({})),
        ("/spec/source/training/dataset", "url", json!("https://host/file")),
        ("/spec/source/training/dataset/csv", "column", json!(["age"])),
        ("/spec/source/training/dataset/csv", "separator", json!(";")),
        ("/spec/source/training/target/positiveWhen", "equal", json!("1")),
        ("/spec/source/training/features/0", "type", json!("Numeric")),
        ("/spec/source/training/gates/0", "min", json!("0.7")),
        ("/spec/source/training/validation", "fold", json!(5)),
        ("/spec/serving", "replica", json!({"min": 5})),
        ("/spec/serving", "resource", json!({})),
    ] {
        let object = with(parent, name, value);
        let path = parent[1..].replace("/0", "[0]").replace('/', ".");
        let unknown = format!("unknown field \"{path}.{name}\"");
        // As kubectl asks.
        let (refused, _) = created(&object, "?fieldValidation=Strict").await;
        let refused = refused.expect_err("the API server should refuse this");
        assert!(refused.contains(&unknown), "{path}.{name}: {refused}");
        // As a client asks that knows of no validation: the field is left out, and the answer says so.
        let (made, warnings) = created(&object, "").await;
        let made = made.unwrap_or_else(|refused| panic!("{path}.{name}: {refused}"));
        assert!(made.pointer(&format!("{parent}/{name}")).is_none(), "{made}");
        let escaped = unknown.replace('"', "\\\"");
        assert!(
            warnings.iter().any(|warning| warning.contains(&escaped)),
            "{path}.{name}: {warnings:?}"
        );
    }
}

#[tokio::test]
async fn a_near_miss_is_an_error_of_server_side_apply_too() {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let kind = ApiResource::erase::<ModelVersion>(&());
    let api = Api::<DynamicObject>::namespaced_with(server.client(), &namespace, &kind);
    let object = with("/spec/serving", "replica", json!({"min": 5}));
    let applied = api
        .patch("heart-1", &PatchParams::apply("test"), &Patch::Apply(&object))
        .await;
    let refused = applied
        .expect_err("the API server should refuse this")
        .to_string();
    assert!(
        refused.contains(".spec.serving.replica: field not declared in schema"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_decimal_number_without_quotes_is_refused_by_its_path_and_the_type_that_it_has_to_be() {
    let training = "/spec/source/training";
    let bundle = format!("sha256:{}", "a".repeat(64));
    let numeric = |name: &str, value: Value| json!([{"name": "age", "kind": "Numeric", name: value}]);
    for (pointer, name, value, path) in [
        (
            "/spec",
            "monitoring",
            json!({"tolerance": 0.2}),
            "monitoring.tolerance",
        ),
        (
            "/spec",
            "monitoring",
            json!({"tolerances": [{"feature": "age", "tolerance": 0.2}]}),
            "monitoring.tolerances[0].tolerance",
        ),
        (
            "/spec",
            "retraining",
            json!({"datasets": [{"name": "new", "dataset": {"uri": "https://host/file"}}], "margin": 0.05}),
            "retraining.margin",
        ),
        (
            "/spec",
            "source",
            json!({"artifact": {"bundle": bundle, "threshold": 0.5}}),
            "source.artifact.threshold",
        ),
        (
            training,
            "gates",
            json!([{"metric": "LogLoss", "atMost": 1}]),
            "source.training.gates[0].atMost",
        ),
        (
            training,
            "target",
            json!({"column": "num", "positiveWhen": {"greaterThan": 0}}),
            "source.training.target.positiveWhen.greaterThan",
        ),
        (
            training,
            "features",
            numeric("maxMissingRatio", json!(0.1)),
            "source.training.features[0].maxMissingRatio",
        ),
        (
            training,
            "features",
            numeric("range", json!({"min": 1, "max": "9.5"})),
            "source.training.features[0].range.min",
        ),
        (
            training,
            "notWorseThan",
            json!({"version": "heart-0", "bundle": bundle, "margin": 0.03}),
            "source.training.notWorseThan.margin",
        ),
    ] {
        let refused = apply(&with(pointer, name, value))
            .await
            .expect_err("the API server should refuse this");
        let expected = format!("spec.{path} in body must be of type string");
        assert!(refused.contains(&expected), "{path}: {refused}");
    }
}

#[tokio::test]
async fn a_tolerance_of_what_is_no_feature_is_refused_where_the_spec_says_what_is() {
    let tolerances = |features: &[&str]| -> Value {
        let one = |feature: &&str| json!({"feature": feature, "tolerance": "0.2"});
        features.iter().map(one).collect()
    };
    let of = |features: &[&str]| with("/spec", "monitoring", json!({"tolerances": tolerances(features)}));
    let unknown = "names a feature that is not in source.training.dataset.csv.columns; write the name exactly as it is there";
    let mut excluding = of(&["sex"]);
    excluding["spec"]["source"]["training"]["exclude"] = json!(["sex"]);
    for (object, sentence) in [
        (of(&["agee"]), unknown),
        (of(&["age", "Sex"]), unknown),
        (of(&["num"]), "names the target column"),
        (excluding, "names a column of source.training.exclude"),
    ] {
        let refused = apply(&object)
            .await
            .expect_err("the API server should refuse this");
        assert!(refused.contains(sentence), "{refused}");
    }
    apply(&of(&["age", "sex"])).await.unwrap();
    // The columns of a file with a header are known when the trainer has read it.
    for csv in [json!({}), json!({"columns": []})] {
        let mut headed = of(&["cholesterol"]);
        headed["spec"]["source"]["training"]["dataset"]["csv"] = csv;
        apply(&headed).await.unwrap();
    }
    // A tolerance that is set later is held against the same columns.
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let api = Api::<ModelVersion>::namespaced(server.client(), &namespace);
    let version = serde_json::from_value(heart()).unwrap();
    api.create(&PostParams::default(), &version).await.unwrap();
    let later = Patch::Merge(json!({"spec": {"monitoring": {"tolerances": tolerances(&["agee"])}}}));
    let refused = api.patch("heart-1", &PatchParams::default(), &later).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(unknown), "{refused}");
}

#[tokio::test]
async fn an_ensemble_needs_several_candidates_and_folds_to_learn_from() {
    let training = "/spec/source/training";
    let ensemble = |more: &str| {
        let mut object = with(training, "ensemble", json!({"use": "Always"}));
        let more: Value = serde_json::from_str(more).unwrap();
        for (name, value) in more.as_object().unwrap() {
            object["spec"]["source"]["training"][name] = value.clone();
        }
        object
    };
    for (more, sentence) in [
        (
            r#"{"families": ["XGBoost"]}"#,
            "ensemble needs several candidates",
        ),
        (
            r#"{"families": ["XGBoost"], "search": {"trials": 1}}"#,
            "ensemble needs several candidates",
        ),
        (
            r#"{"families": ["XGBoost", "LightGBM"], "ensemble": {"maxMembers": 1}}"#,
            "maxMembers",
        ),
        (
            r#"{"families": ["XGBoost", "LightGBM"], "ensemble": {"maxMembers": 9}}"#,
            "maxMembers",
        ),
        (
            r#"{"families": ["XGBoost", "LightGBM"], "ensemble": {"use": "Never"}}"#,
            "Always",
        ),
        (
            r#"{"families": ["XGBoost", "LightGBM"],
                "validation": {"folds": 2, "repeats": 1, "timeSplit": {"column": "age"}}}"#,
            "needs validation.folds of at least 3",
        ),
    ] {
        let refused = apply(&ensemble(more))
            .await
            .expect_err("the API server should refuse this");
        assert!(refused.contains(sentence), "{more}: {refused}");
    }
    for more in [
        r#"{"families": ["XGBoost", "LightGBM"]}"#,
        r#"{"families": ["XGBoost"], "search": {"trials": 2}}"#,
    ] {
        apply(&ensemble(more)).await.unwrap();
    }
}

#[tokio::test]
async fn a_column_of_the_data_has_one_role() {
    let training = "/spec/source/training";
    let time = |more: &str| {
        let mut validation = json!({"folds": 4, "repeats": 1, "timeSplit": {"column": "age"}});
        let more: Value = serde_json::from_str(more).unwrap();
        for (name, value) in more.as_object().unwrap() {
            validation[name] = value.clone();
        }
        with(training, "validation", validation)
    };
    let group = |column: &str| with(training, "validation", json!({"groupBy": column}));
    let weight = |column: &str| with(training, "weights", json!({"column": column}));
    let mut both = group("age");
    both["spec"]["source"]["training"]["weights"] = json!({"column": "age"});
    let mut tolerated = group("age");
    tolerated["spec"]["monitoring"] = json!({"tolerances": [{"feature": "age", "tolerance": "0.2"}]});
    let mut learning = time(r#"{"folds": 2}"#);
    learning["spec"]["source"]["training"]["calibration"] = "Platt".into();
    for (object, sentence) in [
        (group("num"), "validation.groupBy names the target column"),
        (group("sex"), "features names the column of validation.groupBy"),
        (weight("num"), "weights.column names the target column"),
        (weight("sex"), "features names the column of weights.column"),
        (both, "a column has one role"),
        (
            tolerated,
            "names the column of source.training.validation.groupBy",
        ),
        (
            time(r#"{"timeSplit": {"column": "num"}}"#),
            "validation.timeSplit names the target column",
        ),
        (
            time(r#"{"timeSplit": {"column": "sex"}}"#),
            "features names the column of validation.timeSplit",
        ),
        (
            time(r#"{"groupBy": "chol"}"#),
            "groupBy and timeSplit cannot be set together",
        ),
        (time(r#"{"repeats": 10}"#), "set repeats: 1 beside timeSplit"),
        (
            time(r#"{"timeSplit": {"column": "age", "gapSeconds": -1}}"#),
            "gapSeconds",
        ),
        (learning, "needs validation.folds of at least 3"),
    ] {
        let refused = apply(&object)
            .await
            .expect_err("the API server should refuse this");
        assert!(refused.contains(sentence), "{sentence}: {refused}");
    }
    for object in [group("age"), weight("age"), time("{}")] {
        apply(&object).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_version_is_never_changes_and_how_it_is_served_may() {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let api = Api::<ModelVersion>::namespaced(server.client(), &namespace);
    let version = serde_json::from_value(heart()).unwrap();
    api.create(&PostParams::default(), &version).await.unwrap();

    let patch = |spec: Value| Patch::Merge(json!({"spec": spec}));
    let merge = PatchParams::default();
    for (spec, sentence) in [
        (json!({"model": "other"}), "model is immutable"),
        (
            json!({"source": {"training": {"validation": {"seed": 8}}}}),
            "source is immutable",
        ),
    ] {
        let error = api
            .patch("heart-1", &merge, &patch(spec))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(sentence), "{error}");
    }
    let served = api
        .patch(
            "heart-1",
            &merge,
            &patch(json!({"serving": {"replicas": {"min": 3}}})),
        )
        .await
        .unwrap();
    assert_eq!(served.spec.serving.replicas.min, 3);
}

#[tokio::test]
async fn an_action_asks_for_what_its_type_needs_and_never_changes() {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let kind = ApiResource::erase::<RemediationAction>(&());
    let api = Api::<DynamicObject>::namespaced_with(server.client(), &namespace, &kind);
    let create = async |spec: Value| {
        let action = DynamicObject::new("heart-7f3", &kind).data(json!({"spec": spec}));
        api.create(&PostParams::default(), &action)
            .await
            .map_err(|error| error.to_string())
    };
    let of = |kind: &str, rest: Value| {
        let mut spec = json!({"model": "heart", "type": kind});
        for (key, value) in rest.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec
    };
    let report = json!({"kind": "DriftReport", "name": "heart-1-10", "uid": "1"});
    let version = json!({"kind": "ModelVersion", "name": "heart-1", "uid": "2"});
    let heart_2 = json!({"name": "heart-2"});
    for (spec, sentence) in [
        (of("DropTable", json!({})), "Unsupported value: \"DropTable\""),
        (
            of("PromoteModel", json!({})),
            "candidate must be set for PromoteModel",
        ),
        (
            of("RetrainModel", json!({"candidate": heart_2})),
            "candidate may be set for PromoteModel and RollbackModel only",
        ),
        (
            of("RollbackModel", json!({"acceptWindow": report})),
            "acceptWindow may be set for RetrainModel only",
        ),
        (
            of("RetrainModel", json!({"acceptWindow": version})),
            "acceptWindow must name a DriftReport",
        ),
        (
            of("RetrainModel", json!({"parentRef": {"name": "a", "uid": "3"}})),
            "parentRef may be set for PromoteModel and RollbackModel only",
        ),
        (of("SendAlert", json!({})), "message must be set for SendAlert"),
        (
            of("RetrainModel", json!({"evidence": [report, report]})),
            "Duplicate value",
        ),
        (
            of("RetrainModel", json!({"evidence": vec![report.clone(); 9]})),
            "must have at most 8 items",
        ),
        (of("RetrainModel", json!({"model": "../x"})), "should match"),
    ] {
        let refused = create(spec.clone())
            .await
            .expect_err("the API server should refuse this");
        assert!(refused.contains(sentence), "{spec}: {refused}");
    }
    let given = json!({"acceptWindow": report, "evidence": [report, version], "diagnosis": "DataDrift"});
    let made = create(of("RetrainModel", given)).await.unwrap();
    let made: RemediationAction = serde_json::from_value(serde_json::to_value(made).unwrap()).unwrap();
    assert_eq!(
        (made.spec.action, made.spec.dry_run),
        (ActionType::RetrainModel, false)
    );
    let dry = Patch::Merge(json!({"spec": {"dryRun": true}}));
    let error = api.patch("heart-7f3", &PatchParams::default(), &dry).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("spec is immutable"), "{error}");
}

#[tokio::test]
async fn a_plan_and_the_decisions_on_it_are_kept_as_they_were_written() {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let api = Api::<RemediationAction>::namespaced(server.client(), &namespace);
    let action =
        json!({"metadata": {"name": "heart-7f3"}, "spec": {"model": "heart", "type": "RollbackModel"}});
    api.create(&PostParams::default(), &serde_json::from_value(action).unwrap())
        .await
        .unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let route =
        json!({"version": "heart-1", "uid": "1", "digest": digest, "weight": 100, "threshold": "0.5"});
    let status = json!({
        "observedGeneration": 1,
        "plan": {
            "digest": digest, "planFormat": 1, "planSequence": 7, "risk": "High", "approvalsRequired": 2,
            "excludedApprovers": ["alice"], "notAfter": "2026-01-01T10:00:00Z", "summary": "return to heart-1",
            "content": "{\"planFormat\":1}", "presentRoutes": [route], "plannedRoutes": [route],
            "snapshot": {"digest": digest, "rows": 597},
            "reference": {"kind": "AcceptedWindow", "digest": digest, "rows": 147, "startTime": "2026-01-01T09:00:00Z", "endTime": "2026-01-01T10:00:00Z"},
        },
        "approvals": "1/2",
        "decisions": [
            {"number": 1, "decision": "Approve", "user": "bob", "digest": digest, "seenAt": "2026-01-01T10:00:00Z", "comment": "fine"},
            {"number": 2, "decision": "Approve", "user": "bob", "digest": digest, "seenAt": "2026-01-01T10:00:00Z", "voidBecause": "bob has approved it already"},
        ],
        "execution": {"digest": digest, "attempt": 1, "claimedAt": "2026-01-01T10:00:00Z", "version": {"name": "heart-2", "uid": "2"}},
    });
    let written = api
        .patch_status(
            "heart-7f3",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": status})),
        )
        .await
        .unwrap();
    assert_eq!(serde_json::to_value(written.status.unwrap()).unwrap(), status);

    for (status, sentence) in [
        (json!({"plan": {"digest": "sha256:aa"}}), "should match"),
        (
            json!({"plan": {"approvalsRequired": 9}}),
            "less than or equal to 8",
        ),
        (json!({"decisions": [{"number": 17}]}), "less than or equal to 16"),
        (json!({"execution": {"attempt": 3}}), "less than or equal to 2"),
    ] {
        let wrong = Patch::Merge(json!({"status": status}));
        let error = api
            .patch_status("heart-7f3", &PatchParams::default(), &wrong)
            .await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(sentence), "{status}: {error}");
    }
}

#[tokio::test]
async fn status_is_a_subresource_and_keeps_what_was_written() {
    let server = ApiServer::shared().await;
    let namespace = server.namespace().await;
    let api = Api::<ModelVersion>::namespaced(server.client(), &namespace);
    api.create(&PostParams::default(), &serde_json::from_value(heart()).unwrap())
        .await
        .unwrap();
    let status = json!({"status": {"role": "Live", "score": "F1 0.8151"}});
    let written = api
        .patch_status("heart-1", &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let status = written.status.unwrap();
    assert_eq!(
        (status.role, status.score.as_deref()),
        (Some(Role::Live), Some("F1 0.8151"))
    );
}

#[tokio::test]
async fn every_field_of_every_kind_is_described_and_every_list_says_how_it_merges() {
    fn walk(path: &str, schema: &Value, gaps: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            // These come with Kubernetes' own Condition type.
            let foreign = path.contains(".conditions[]");
            if property["description"].as_str().is_none_or(str::is_empty) && !foreign {
                gaps.push(format!("{path} has no description"));
            }
            if property["type"] == "array" && property["x-kubernetes-list-type"].is_null() {
                gaps.push(format!("{path} does not say how it merges"));
            }
            if property["type"] == "array" && property["maxItems"].is_null() {
                gaps.push(format!("{path} has no bound"));
            }
            let timed = property["format"] == "date-time";
            if property["type"] == "string"
                && property["maxLength"].is_null()
                && property["enum"].is_null()
                && !timed
                && !foreign
            {
                gaps.push(format!("{path} has no bound"));
            }
            if property["type"] == "number" {
                gaps.push(format!("{path} is a float"));
            }
            if property["type"] == "integer" && property["maximum"].is_null() && !foreign {
                gaps.push(format!("{path} has no bound"));
            }
            walk(&path, property, gaps);
            walk(&format!("{path}[]"), &property["items"], gaps);
        }
    }
    let mut gaps = Vec::new();
    for crd in modelward_crds::crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        for part in ["spec", "status"] {
            let root = &schema["openAPIV3Schema"]["properties"][part];
            walk(&format!("{}.{part}", crd.spec.names.kind), root, &mut gaps);
        }
    }
    assert!(gaps.is_empty(), "{gaps:#?}");
}

#[tokio::test]
async fn all_kinds_are_in_one_category_and_short_names_are_free() {
    let server = ApiServer::shared().await;
    let crds = Api::<CustomResourceDefinition>::all(server.client())
        .list(&ListParams::default())
        .await
        .unwrap();
    for crd in crds {
        let names = &crd.spec.names;
        assert_eq!(
            names.categories.as_deref(),
            Some(&["modelward".to_owned()][..]),
            "{}",
            names.kind
        );
        let accepted = crd.status.unwrap().accepted_names.unwrap();
        assert_eq!(accepted.short_names, names.short_names, "{}", names.kind);
    }
}
