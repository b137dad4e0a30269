//! Versions that an image trains.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use modelward_crds::{ConditionType, ModelVersion};
use modelward_kit::fake_controllers::JobEnd;
use modelward_wire::{JobResult, JobStage, LEDGER_AUDIENCE, Verdict};
use serde_json::{Value, json};

use crate::support::{TestCluster, message, stage_of, trains, version};

/// A version that this image trains.
fn by_image(name: &str, account: Option<&str>) -> Value {
    let mut version = version(name);
    let training = &mut version["spec"]["source"]["training"];
    training["validation"] = json!({"repeats": 1, "heldOut": {"fraction": "0.2"}});
    training["customTrainer"] =
        json!({"image": "registry.example/ml/heart:1", "format": "LightGBM", "args": ["--rounds=60"]});
    if let Some(account) = account {
        training["customTrainer"]["serviceAccountName"] = json!(account);
    }
    version
}

/// Restarts the operator with these images and accounts allowed.
async fn allow(cluster: &mut TestCluster, allowed: &Value) -> Result<()> {
    cluster.stop_operator().await?;
    cluster.allowed_trainers = serde_json::from_value(allowed.clone())?;
    cluster.start_operator().await
}

#[tokio::test]
async fn an_image_trains_only_while_the_operators_values_allow_it() -> Result<()> {
    let mut cluster = TestCluster::open().await?;
    cluster.create::<ModelVersion>(by_image("heart-1", None)).await?;
    let refused = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "CustomTrainerRefused")
        .await?;
    let words = message(&refused, ConditionType::Trained);
    ensure!(words.contains("trainer.custom.images"), "{words}");
    cluster.rest("heart-1").await?;
    for stage in ["snapshot", "fit"] {
        ensure!(
            cluster.jobs("heart-1", stage).await?.is_empty(),
            "a {stage} Job was made"
        );
    }
    allow(
        &mut cluster,
        &json!({"images": ["registry.example/mlevil/", "registry.example/ml/heart:10"]}),
    )
    .await?;
    cluster.rest("heart-1").await?;
    ensure!(cluster.jobs("heart-1", "snapshot").await?.is_empty());

    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| match stage_of(job) {
        "fit" => JobEnd::Runs,
        _ => trains(&store, job, "0.8151"),
    });
    allow(&mut cluster, &json!({"images": ["registry.example/ml/"]})).await?;
    let (job, _) = cluster.running_job("heart-1", "fit").await?;
    let pod = serde_json::to_value(job.spec.context("a spec")?.template.spec)?;
    let names: Vec<&str> = [
        &pod["initContainers"][0],
        &pod["initContainers"][1],
        &pod["containers"][0],
    ]
    .iter()
    .filter_map(|container| container["name"].as_str())
    .collect();
    assert_eq!(names, ["prepare", "custom-trainer", "trainer"]);
    assert_eq!(pod["initContainers"][1]["image"], "registry.example/ml/heart:1");
    assert_eq!(pod["serviceAccountName"], "default");

    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_pod_with_another_service_account_reports_to_the_ledger_as_its_job() -> Result<()> {
    let mut cluster = TestCluster::with_postgres().await?;
    allow(
        &mut cluster,
        &json!({"images": ["registry.example/ml/"], "serviceAccounts": [
            {"name": "trainjobs", "images": ["registry.example/ml/heart:1"]}]}),
    )
    .await?;
    cluster
        .create::<ServiceAccount>(json!({"metadata": {"name": "trainjobs"}}))
        .await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| match stage_of(job) {
        "fit" => JobEnd::Runs,
        _ => trains(&store, job, "0.8151"),
    });
    cluster
        .create::<ModelVersion>(by_image("heart-1", Some("trainjobs")))
        .await?;
    let (job, pod) = cluster.running_job("heart-1", "fit").await?;
    let spec = pod.spec.as_ref().context("a spec")?;
    assert_eq!(spec.service_account_name.as_deref(), Some("trainjobs"));
    let put = async |audience: &str| -> Result<(reqwest::StatusCode, String)> {
        let token = cluster.token("trainjobs", Some(&pod), &[audience]).await?;
        let uid = job.metadata.uid.clone().context("a uid")?;
        let url = format!(
            "{}/v1/jobs/{}/{uid}/result",
            cluster.ledger_url, cluster.namespace
        );
        let result = JobResult::new(JobStage::Fit, Verdict::DataInvalid, "the image left no model");
        let sent = reqwest::Client::new()
            .put(url)
            .bearer_auth(token)
            .json(&result)
            .send();
        let answer = sent.await?;
        Ok((answer.status(), answer.text().await?))
    };
    // What the image has is a token for the API server.
    let (status, _) = put("https://kubernetes.default.svc").await?;
    assert_eq!(status, reqwest::StatusCode::UNAUTHORIZED);
    let (status, words) = put(LEDGER_AUDIENCE).await?;
    ensure!(status.is_success(), "{status}: {words}");
    Ok(())
}

#[tokio::test]
async fn a_model_that_an_image_left_and_that_is_refused_says_why() -> Result<()> {
    let mut cluster = TestCluster::open().await?;
    allow(&mut cluster, &json!({"images": ["registry.example/ml/heart:1"]})).await?;
    let words = "the image left no model: it has to write one file to MODELWARD_OUTPUT_DIR";
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| match stage_of(job) {
        "fit" => {
            let result = JobResult::new(JobStage::Fit, Verdict::ModelRefused, words);
            JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
        }
        _ => trains(&store, job, "0.8151"),
    });
    cluster.create::<ModelVersion>(by_image("heart-1", None)).await?;
    let rejected = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ImportRefused")
        .await?;
    assert_eq!(message(&rejected, ConditionType::Trained), words);
    Ok(())
}
