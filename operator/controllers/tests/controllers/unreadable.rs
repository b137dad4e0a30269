//! Objects that the API server accepts and the operator cannot deserialize: each affects only itself.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use modelward_crds::{DriftReport, Model, ModelVersion, labels};
use modelward_kit::apiserver::ApiServer;
use serde_json::{Value, json};

use crate::support::{TestCluster, until};

/// What the API server's own check of `date-time` lets through.
const TIMES: [(&str, &str); 3] = [
    ("ten-digits", "2026-11-25T10:00:00.0123456789Z"),
    ("odd-offset", "2026-11-25T10:00:00+01:60"),
    ("last-day", "9999-12-31T23:59:59Z"),
];

fn report(name: &str, start: &str, end: &str) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftReport",
        "metadata": {"name": name, "labels": {labels::MODEL: "heart"}},
        "spec": {"version": "heart-1", "startTime": start, "endTime": end},
    }))?)
}

fn without_patterns(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| key != "pattern" || !value.is_string());
            fields.values_mut().for_each(without_patterns);
        }
        Value::Array(items) => items.iter_mut().for_each(without_patterns),
        _ => {}
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_refused_by_the_schema() -> Result<()> {
    let api = ApiServer::shared().await;
    let namespace = api.namespace().await;
    let kind = ApiResource::erase::<DriftReport>(&());
    let reports = Api::<DynamicObject>::namespaced_with(api.client(), &namespace, &kind);
    let params = PostParams::default();
    for (name, time) in TIMES {
        for (start, end) in [(time, "2026-11-25T11:00:00Z"), ("2026-11-25T09:00:00Z", time)] {
            let refused = reports.create(&params, &report(name, start, end)?).await;
            let error = refused.map(|_| time).unwrap_err().to_string();
            assert!(error.contains("Time"), "{error}");
        }
    }
    let good = report(
        "good",
        "2026-11-25T10:00:00.123456789+01:00",
        "2026-11-25T11:00:00Z",
    )?;
    reports.create(&params, &good).await?;
    Ok(())
}

/// A cluster with reports that cannot be read, and no operator yet: the kinds are those of an older release, whose schema let
/// such times through.
pub async fn unreadable_reports() -> Result<TestCluster> {
    let api = ApiServer::own().await?;
    let crds = Api::<CustomResourceDefinition>::all(api.client());
    let mut older = serde_json::to_value(crds.get("driftreports.modelward.io").await?)?;
    without_patterns(&mut older["spec"]);
    let patch = Patch::Merge(json!({"spec": older["spec"]}));
    crds.patch("driftreports.modelward.io", &PatchParams::default(), &patch)
        .await?;

    let cluster = TestCluster::on(api, None).await?;
    let kind = ApiResource::erase::<DriftReport>(&());
    let reports = Api::<DynamicObject>::namespaced_with(api.client(), &cluster.namespace, &kind);
    for (name, time) in TIMES {
        let poison = report(name, "2026-11-24T09:00:00Z", time)?;
        until("a schema without patterns", async || {
            Ok(reports.create(&PostParams::default(), &poison).await.ok())
        })
        .await?;
    }
    Ok(cluster)
}

#[tokio::test]
async fn an_unreadable_report_affects_itself_alone() -> Result<()> {
    let mut cluster = unreadable_reports().await?;
    let kind = ApiResource::erase::<DriftReport>(&());
    let reports = Api::<DynamicObject>::namespaced_with(cluster.kube.clone(), &cluster.namespace, &kind);
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    // The schedule of the model lists its reports, these among them.
    let scheduled = || cluster.metric("reconciles_total", "\"driftschedule\"");
    let before = scheduled();
    cluster
        .patch::<Model>("heart", json!({"metadata": {"labels": {"unrelated": "1"}}}))
        .await?;
    until("the schedule to have been looked at", async || {
        Ok((scheduled() > before).then_some(()))
    })
    .await?;
    assert!(
        cluster
            .metric("reconcile_errors_total", "\"driftschedule\"")
            .abs()
            < 0.5
    );

    let unreadable = async |count: u32| {
        let line = format!("modelward_unreadable_objects{{kind=\"DriftReport\"}} {count}");
        until("the number of unreadable objects", async || {
            Ok(cluster.exposed().lines().any(|found| found == line).then_some(()))
        })
        .await
    };
    unreadable(3).await?;
    cluster
        .wait_event("Unreadable", "cannot read this DriftReport")
        .await?;
    for (name, _) in TIMES {
        reports.delete(name, &kube::api::DeleteParams::default()).await?;
    }
    unreadable(0).await?;
    cluster
        .patch::<ModelVersion>("heart-1", json!({"metadata": {"labels": {"unrelated": "1"}}}))
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}
