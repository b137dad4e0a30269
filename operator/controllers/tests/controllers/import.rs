//! Models that were trained elsewhere.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use modelward_crds::{ConditionType, Model, ModelVersion, Role};
use modelward_kit::fake_controllers::JobEnd;
use modelward_wire::{JobResult, JobStage, MlflowVersion, Verdict};
use serde_json::{Value, json};

use crate::support::{TestCluster, digest_of, message, says, trains, version};

/// A version of a model in the `ConfigMap` `heart-model`.
fn imports(name: &str, artifact: &Value) -> Value {
    let mut version = version(name);
    version["spec"]["source"] = json!({"artifact": artifact});
    version
}

fn of_file() -> Value {
    let place = |key: &str| json!({"configMap": {"name": "heart-model", "key": key}});
    json!({
        "file": place("model.txt"),
        "sample": {"dataset": place("sample.csv"), "target": {"column": "num"}},
    })
}

fn files(model: &str) -> Value {
    json!({"metadata": {"name": "heart-model"}, "data": {"model.txt": model, "sample.csv": "rows"}})
}

#[tokio::test]
async fn a_model_file_becomes_a_bundle_by_one_job_and_serves() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let made = cluster
        .create::<ModelVersion>(imports("heart-1", &of_file()))
        .await?;
    let waiting = cluster
        .wait_says("heart-1", ConditionType::Trained, "False", "DatasetNotFound")
        .await?;
    assert_eq!(
        message(&waiting, ConditionType::Ready),
        "ConfigMap heart-model does not exist; the version waits for it. Create it with: kubectl create configmap heart-model \
         --from-file=model.txt=FILE --from-file=sample.csv=FILE"
    );
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.create::<ConfigMap>(files("tree")).await?;
    let (job, _) = cluster.running_job("heart-1", "import").await?;
    cluster
        .wait_says("heart-1", ConditionType::Trained, "Unknown", "ImportRunning")
        .await?;
    let pod = job
        .spec
        .clone()
        .and_then(|spec| spec.template.spec)
        .context("a Pod")?;
    let pod = serde_json::to_value(pod)?;
    let container = &pod["containers"][0];
    let arguments = json!([
        "import",
        "--spec",
        "/etc/modelward/job/spec.json",
        "--model",
        "/data/source/0/model.txt",
        "--sample",
        "/data/source/1/sample.csv",
        "--publish"
    ]);
    assert_eq!(container["args"], arguments);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);

    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    let live = cluster.wait_live("heart-1").await?;
    for (kind, reason) in [
        (ConditionType::DataValid, "NoTraining"),
        (ConditionType::Trained, "Imported"),
        (ConditionType::GatesPassed, "NoGates"),
    ] {
        ensure!(
            says(&live, kind, "True", reason),
            "{kind}: {}",
            message(&live, kind)
        );
    }
    let status = live.status.context("a status")?;
    let imported = status.imported.context("what was imported")?;
    assert_eq!(
        (
            imported.format.as_str(),
            imported.file,
            imported.sample,
            imported.rows
        ),
        (
            "LightGBM text",
            digest_of(b"tree"),
            Some(digest_of(b"rows")),
            Some(48)
        )
    );
    let model = cluster.all::<Model>().get("heart").await?;
    let route = model.status.context("a status")?.routes.remove(0);
    assert_eq!(
        (Some(route.digest), route.threshold),
        (status.bundle.map(|bundle| bundle.digest), "0.5".parse()?)
    );

    // A changed file is another model, and another version.
    cluster
        .patch::<ConfigMap>("heart-model", json!({"data": {"model.txt": "another tree"}}))
        .await?;
    cluster.rest("heart-1").await?;
    let other = json!({"spec": {"source": {"artifact": {"threshold": "0.4"}}}});
    let refused = cluster.patch::<ModelVersion>("heart-1", other).await.unwrap_err();
    ensure!(
        format!("{refused:#}").contains("source is immutable"),
        "{refused:#}"
    );
    let found = cluster.all::<ModelVersion>().get("heart-1").await?;
    assert_eq!(found.metadata.uid, made.metadata.uid);
    assert_eq!(found.status.and_then(|status| status.imported), Some(imported));
    Ok(())
}

#[tokio::test]
async fn a_refused_model_says_why_and_a_corrected_file_is_imported() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let words = "the model file is a Python pickle, which runs code when it is read";
    let result = JobResult::new(JobStage::Import, Verdict::DataInvalid, words);
    let result = serde_json::to_string(&result)?;
    cluster.fakes.jobs(move |_| JobEnd::Succeeds(result.clone()));
    cluster.create::<ConfigMap>(files("pickle")).await?;
    cluster
        .create::<ModelVersion>(imports("heart-1", &of_file()))
        .await?;
    let rejected = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ImportRefused")
        .await?;
    assert_eq!(message(&rejected, ConditionType::Trained), words);
    assert_eq!(rejected.status.context("a status")?.role, Some(Role::Rejected));
    cluster.rest("heart-1").await?;

    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster
        .patch::<ConfigMap>("heart-model", json!({"data": {"model.txt": "tree"}}))
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn an_import_of_another_file_than_its_bundle_states_is_not_believed() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job: &Job| {
        let mut result = store.result(job, "0.8151");
        if let Some(imported) = &mut result.imported {
            imported.file = digest_of(b"another file");
        }
        JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
    });
    cluster.create::<ConfigMap>(files("tree")).await?;
    cluster
        .create::<ModelVersion>(imports("heart-1", &of_file()))
        .await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ResultMismatch")
        .await?;
    ensure!(
        message(&stalled, ConditionType::Trained).contains("other origins than the artifact states"),
        "{}",
        message(&stalled, ConditionType::Trained)
    );
    Ok(())
}

#[tokio::test]
async fn the_version_of_an_alias_is_recorded_on_the_object_and_in_the_ledger() -> Result<()> {
    let cluster = TestCluster::with_postgres().await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job: &Job| {
        let mut result = store.result(job, "0.8151");
        if let Some(imported) = &mut result.imported {
            imported.mlflow = Some(MlflowVersion {
                version: "7".into(),
                run: Some("0a1b".into()),
            });
        }
        JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
    });
    cluster.create::<ConfigMap>(files("tree")).await?;
    let mut artifact = of_file();
    artifact.as_object_mut().context("an object")?.remove("file");
    artifact["mlflow"] = json!({
        "uri": "http://mlflow.mlflow.svc:5000", "model": "heart", "alias": "champion",
        "credentialsSecret": {"name": "mlflow"},
    });
    cluster
        .create::<ModelVersion>(imports("heart-1", &artifact))
        .await?;
    let live = cluster.wait_live("heart-1").await?;
    let status = live.status.clone().context("a status")?;
    let resolved = status
        .imported
        .and_then(|imported| imported.mlflow)
        .context("a version")?;
    assert_eq!(
        (resolved.version.as_str(), resolved.run.as_deref()),
        ("7", Some("0a1b"))
    );
    ensure!(message(&live, ConditionType::Trained).contains("version 7 of the registered model"));
    cluster.rest("heart-1").await
}
