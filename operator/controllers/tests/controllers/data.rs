//! What bad data gets.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::ResourceExt as _;
use modelward_crds::{Role, conditions::types};
use modelward_kit::played::JobEnd;
use modelward_wire::{JobResult, JobStage, Verdict, Violation};
use serde_json::json;

use crate::support::{House, dataset, message, stage_of, trains, until};

fn ends_with(result: &JobResult) -> JobEnd {
    JobEnd::Succeeds(serde_json::to_string(result).unwrap())
}

#[tokio::test]
async fn a_dataset_that_is_absent_is_waited_for_and_begun_with_when_it_is_there() -> Result<()> {
    let house = House::open().await?;
    house.delete::<ConfigMap>("heart-disease").await?;
    house.apply_version("heart-1").await?;
    let waiting = house
        .wait_says("heart-1", types::DATA_VALID, "False", "DatasetNotFound")
        .await?;
    assert_eq!(
        message(&waiting, types::READY),
        "ConfigMap heart-disease does not exist; the version waits for it"
    );
    assert_eq!(house.jobs("heart-1", "snapshot").await?.len(), 0);
    house.create::<ConfigMap>(dataset("rows")).await?;
    house.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn invalid_data_is_terminal_and_corrected_data_is_read_anew() -> Result<()> {
    let house = House::open().await?;
    let mut result = JobResult::new(
        JobStage::Snapshot,
        Verdict::DataInvalid,
        "column num has one class only",
    );
    result.violations = vec![Violation {
        column: "num".into(),
        rule: "OneClass".into(),
        message: "every row is 0".into(),
        count: 303,
        example_row: Some(1),
    }];
    result.violations_total = 1;
    house.played.jobs(move |_| ends_with(&result));
    house.apply_version("heart-1").await?;
    let rejected = house
        .wait_says("heart-1", types::STALLED, "True", "DataInvalid")
        .await?;
    let status = rejected.status.clone().context("a status")?;
    assert_eq!(
        (status.role, status.violations[0].count),
        (Some(Role::Rejected), 303)
    );
    assert_eq!(message(&rejected, types::READY), "column num has one class only");
    let first = status.snapshot_attempt.context("an attempt")?;
    house.rest("heart-1").await?;

    house.played.jobs(|_| JobEnd::Runs);
    house
        .patch::<ConfigMap>("heart-disease", json!({"data": {"cleveland.csv": "better rows"}}))
        .await?;
    let (job, _) = house.running_job("heart-1", "snapshot").await?;
    assert_ne!(job.name_any(), first.job);
    let again = house
        .wait_says("heart-1", types::STALLED, "False", "SnapshotRunning")
        .await?;
    assert_eq!(again.status.context("a status")?.violations, []);
    let store = house.store.clone();
    house.played.jobs(move |job| trains(&store, job, "0.8151"));
    house.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_missing_is_waited_for() -> Result<()> {
    let house = House::open().await?;
    let result = JobResult::new(
        JobStage::Snapshot,
        Verdict::DataNotFound,
        "there is no cleveland.csv",
    );
    house.played.jobs(move |_| ends_with(&result));
    house.apply_version("heart-1").await?;
    house
        .wait_says("heart-1", types::RECONCILING, "True", "DatasetNotFound")
        .await?;
    house.rest("heart-1").await?;
    let store = house.store.clone();
    house.played.jobs(move |job| trains(&store, job, "0.8151"));
    house
        .patch::<ConfigMap>(
            "heart-disease",
            json!({"data": {"cleveland.csv": "rows at last"}}),
        )
        .await?;
    house.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_failed_gate_says_by_how_much_and_what_serves_goes_on() -> Result<()> {
    let house = House::open().await?;
    house.apply_version("heart-1").await?;
    house.wait_live("heart-1").await?;
    let store = house.store.clone();
    house.played.jobs(move |job| trains(&store, job, "0.7100"));
    house.apply_version("heart-2").await?;
    let rejected = house
        .wait_says("heart-2", types::STALLED, "True", "GateFailed")
        .await?;
    assert_eq!(
        rejected.status.as_ref().and_then(|status| status.role),
        Some(Role::Rejected)
    );
    assert_eq!(
        message(&rejected, types::READY),
        "F1 0.7100 is under the gate 0.75"
    );
    house
        .wait_event("GateFailed", "F1 0.7100 is under the gate 0.75")
        .await?;
    house.wait_live("heart-1").await?;
    house.rest("heart-2").await
}

#[tokio::test]
async fn a_job_that_fails_twice_stalls_with_the_last_words_of_its_pod_and_keeps_its_jobs_for_their_logs()
-> Result<()> {
    let house = House::open().await?;
    house.played.jobs(|_| JobEnd::Fails(137, "out of memory".into()));
    house.apply_version("heart-1").await?;
    let stalled = house
        .wait_says("heart-1", types::STALLED, "True", "JobFailed")
        .await?;
    let words = message(&stalled, types::READY);
    ensure!(
        words.contains("BackoffLimitExceeded") && words.contains("out of memory"),
        "{words}"
    );
    assert_eq!(
        stalled
            .status
            .and_then(|status| status.snapshot_attempt)
            .map(|attempt| attempt.attempt),
        Some(2)
    );
    house.rest("heart-1").await?;
    assert_eq!(house.jobs("heart-1", "snapshot").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_foreign_job_of_the_needed_name_stalls_is_never_touched_and_is_recovered_from() -> Result<()> {
    let mut house = House::without_operator(None).await?;
    house.played.jobs(|_| JobEnd::Runs);
    house.start_operator().await?;
    house.apply_version("heart-1").await?;
    let (job, _) = house.running_job("heart-1", "snapshot").await?;
    house.stop_operator().await?;
    // Its name can be known beforehand: it is fixed by the version and the data.
    let name = job.name_any();
    house.delete::<Job>(&name).await?;
    house.wait_gone::<Job>(&name).await?;
    let params = kube::api::PatchParams::default();
    let nothing = kube::api::Patch::Merge(json!({"status": null}));
    house
        .all::<modelward_crds::ModelVersion>()
        .patch_status("heart-1", &params, &nothing)
        .await?;
    let content = json!({
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "foreign"}]}}},
    });
    let foreign: Job = house.create(content).await?;
    house.start_operator().await?;
    let stalled = house
        .wait_says("heart-1", types::STALLED, "True", "NameTaken")
        .await?;
    ensure!(message(&stalled, types::READY).starts_with(&format!("Job {name} exists")));
    assert_eq!(house.all::<Job>().get(&name).await?.uid(), foreign.uid());
    house.rest("heart-1").await?;
    house.delete::<Job>(&name).await?;
    house.wait_gone::<Job>(&name).await?;
    let store = house.store.clone();
    house.played.jobs(move |job| trains(&store, job, "0.8151"));
    house.nudge("heart-1").await?;
    house.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_job_that_the_api_server_refuses_is_named_and_tried_again() -> Result<()> {
    let house = House::open().await?;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    let quota: k8s_openapi::api::core::v1::ResourceQuota = house.create(quota).await?;
    // No controller fills in what is used: the API server waits for that before it judges.
    let used = kube::api::Patch::Merge(
        json!({"status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}}),
    );
    house
        .all::<k8s_openapi::api::core::v1::ResourceQuota>()
        .patch_status(&quota.name_any(), &kube::api::PatchParams::default(), &used)
        .await?;
    house.apply_version("heart-1").await?;
    let stalled = house
        .wait_says("heart-1", types::STALLED, "True", "ChildRefused")
        .await?;
    let words = message(&stalled, types::READY);
    ensure!(words.contains("exceeded quota"), "{words}");
    house
        .delete::<k8s_openapi::api::core::v1::ResourceQuota>("none")
        .await?;
    until("its Job", async || {
        house.nudge("heart-1").await?;
        let stage = |job: &Job| stage_of(job) == "snapshot";
        let recorded = house
            .all::<modelward_crds::ModelVersion>()
            .get("heart-1")
            .await?
            .status;
        Ok((house.jobs("heart-1", "snapshot").await?.iter().any(stage)
            || recorded.is_some_and(|status| status.snapshot_attempt.is_some()))
        .then_some(()))
    })
    .await?;
    house.wait_live("heart-1").await?;
    Ok(())
}
