//! What bad data gets.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim},
};
use kube::ResourceExt as _;
use modelward_crds::{ActionType, ConditionType, Model, ModelVersion, RemediationAction, Role};
use modelward_kit::fake_controllers::JobEnd;
use modelward_wire::{Digest, JobResult, JobStage, ManifestKind, SourceRecord, Verdict, Violation};
use serde_json::json;

use crate::{
    rest::{quota, rests},
    support::{TestCluster, dataset, digest_of, message, says, stage_of, trains, until, version},
};

fn ends_with(result: &JobResult) -> JobEnd {
    JobEnd::Succeeds(serde_json::to_string(result).unwrap())
}

#[tokio::test]
async fn a_dataset_that_is_absent_is_waited_for_and_begun_with_when_it_is_there() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.delete::<ConfigMap>("heart-disease").await?;
    cluster.apply_version("heart-1").await?;
    let waiting = cluster
        .wait_says("heart-1", ConditionType::DataValid, "False", "DatasetNotFound")
        .await?;
    assert_eq!(
        message(&waiting, ConditionType::Ready),
        "ConfigMap heart-disease does not exist; the version waits for it. Create it with: kubectl create configmap \
         heart-disease --from-file=cleveland.csv=FILE"
    );
    assert_eq!(cluster.jobs("heart-1", "snapshot").await?.len(), 0);
    cluster.create::<ConfigMap>(dataset("rows")).await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn invalid_data_is_terminal_and_corrected_data_is_read_anew() -> Result<()> {
    let cluster = TestCluster::open().await?;
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
    cluster.fakes.jobs(move |_| ends_with(&result));
    cluster.apply_version("heart-1").await?;
    let rejected = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "DataInvalid")
        .await?;
    let status = rejected.status.clone().context("a status")?;
    assert_eq!(
        (status.role, status.violations[0].count),
        (Some(Role::Rejected), 303)
    );
    assert_eq!(
        message(&rejected, ConditionType::Ready),
        "column num has one class only"
    );
    let first = status.snapshot_attempt.context("an attempt")?;
    cluster.rest("heart-1").await?;

    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster
        .patch::<ConfigMap>("heart-disease", json!({"data": {"cleveland.csv": "better rows"}}))
        .await?;
    let (job, _) = cluster.running_job("heart-1", "snapshot").await?;
    assert_ne!(job.name_any(), first.job);
    let again = cluster
        .wait_says("heart-1", ConditionType::Stalled, "False", "SnapshotRunning")
        .await?;
    assert_eq!(again.status.context("a status")?.violations, []);
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn the_name_of_a_model_that_never_served_is_free_again_once_its_versions_are_gone() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.delete::<ConfigMap>("heart-disease").await?;
    cluster.apply_version("heart-1").await?;
    cluster
        .wait_says("heart-1", ConditionType::DataValid, "False", "DatasetNotFound")
        .await?;
    cluster
        .model_says(ConditionType::Ready, "False", "NoVersion")
        .await?;
    cluster.delete::<ModelVersion>("heart-1").await?;
    cluster.wait_gone::<Model>("heart").await
}

#[tokio::test]
async fn a_key_that_is_missing_is_waited_for() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let result = JobResult::new(
        JobStage::Snapshot,
        Verdict::DataNotFound,
        "there is no cleveland.csv",
    );
    cluster.fakes.jobs(move |_| ends_with(&result));
    cluster.apply_version("heart-1").await?;
    cluster
        .wait_says("heart-1", ConditionType::Reconciling, "True", "DatasetNotFound")
        .await?;
    cluster.rest("heart-1").await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster
        .patch::<ConfigMap>(
            "heart-disease",
            json!({"data": {"cleveland.csv": "rows at last"}}),
        )
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_failed_gate_says_by_how_much_and_what_serves_goes_on() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.7100"));
    cluster.apply_version("heart-2").await?;
    let rejected = cluster
        .wait_says("heart-2", ConditionType::Stalled, "True", "GateFailed")
        .await?;
    assert_eq!(
        rejected.status.as_ref().and_then(|status| status.role),
        Some(Role::Rejected)
    );
    assert_eq!(
        message(&rejected, ConditionType::Ready),
        "F1 0.7100 (mean of 50 folds) is under the gate 0.75"
    );
    cluster
        .wait_event(
            "GateFailed",
            "F1 0.7100 (mean of 50 folds) is under the gate 0.75",
        )
        .await?;
    cluster.wait_live("heart-1").await?;
    cluster.rest("heart-2").await
}

#[tokio::test]
async fn a_job_that_fails_twice_stalls_with_the_last_words_of_its_pod_and_keeps_its_jobs_for_their_logs()
-> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| JobEnd::Fails(137, "out of memory".into()));
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "JobFailed")
        .await?;
    let words = message(&stalled, ConditionType::Ready);
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
    cluster.rest("heart-1").await?;
    assert_eq!(cluster.jobs("heart-1", "snapshot").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_foreign_job_of_the_needed_name_stalls_is_never_touched_and_is_recovered_from() -> Result<()> {
    let mut cluster = TestCluster::without_operator(None).await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    let (job, _) = cluster.running_job("heart-1", "snapshot").await?;
    cluster.stop_operator().await?;
    // Its name can be known beforehand: it is fixed by the version and the data.
    let name = job.name_any();
    cluster.delete::<Job>(&name).await?;
    cluster.wait_gone::<Job>(&name).await?;
    let params = kube::api::PatchParams::default();
    let nothing = kube::api::Patch::Merge(json!({"status": null}));
    cluster
        .all::<modelward_crds::ModelVersion>()
        .patch_status("heart-1", &params, &nothing)
        .await?;
    let content = json!({
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "foreign"}]}}},
    });
    let foreign: Job = cluster.create(content).await?;
    cluster.start_operator().await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "NameTaken")
        .await?;
    ensure!(message(&stalled, ConditionType::Ready).starts_with(&format!("Job {name} exists")));
    assert_eq!(cluster.all::<Job>().get(&name).await?.uid(), foreign.uid());
    cluster.rest("heart-1").await?;
    cluster.delete::<Job>(&name).await?;
    cluster.wait_gone::<Job>(&name).await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster.nudge("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_job_that_the_api_server_refuses_is_named_and_tried_again() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}});
    let quota: k8s_openapi::api::core::v1::ResourceQuota = cluster.create(quota).await?;
    // No controller fills in what is used: the API server waits for that before it judges.
    let used = kube::api::Patch::Merge(
        json!({"status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}}),
    );
    cluster
        .all::<k8s_openapi::api::core::v1::ResourceQuota>()
        .patch_status(&quota.name_any(), &kube::api::PatchParams::default(), &used)
        .await?;
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ChildRefused")
        .await?;
    let words = message(&stalled, ConditionType::Ready);
    ensure!(words.contains("exceeded quota"), "{words}");
    cluster
        .delete::<k8s_openapi::api::core::v1::ResourceQuota>("none")
        .await?;
    until("its Job", async || {
        cluster.nudge("heart-1").await?;
        let stage = |job: &Job| stage_of(job) == "snapshot";
        let recorded = cluster
            .all::<modelward_crds::ModelVersion>()
            .get("heart-1")
            .await?
            .status;
        Ok((cluster.jobs("heart-1", "snapshot").await?.iter().any(stage)
            || recorded.is_some_and(|status| status.snapshot_attempt.is_some()))
        .then_some(()))
    })
    .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn every_dataset_is_waited_for_by_name_and_read_in_order() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    let mut version = version("heart-1");
    version["spec"]["source"]["training"]["additionalDatasets"] = json!([
        {"name": "web", "dataset": {"uri": "https://example.com/swiss.csv"}},
        {"name": "budapest", "dataset": {"configMap": {"name": "hungarian", "key": "hungarian.csv"}}},
        {"name": "volume", "dataset": {"persistentVolumeClaim": {"claimName": "data", "path": "a/b.csv"}}},
    ]);
    cluster.create::<ModelVersion>(version).await?;
    let words = |text: String| move |version: &ModelVersion| message(version, ConditionType::Ready) == text;
    let create = "kubectl create configmap hungarian --from-file=hungarian.csv=FILE";
    let both = format!(
        "ConfigMap hungarian and PersistentVolumeClaim data do not exist; the version waits for them. Create with: {create}"
    );
    cluster.wait("heart-1", "waiting for both", words(both)).await?;
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    cluster.create::<PersistentVolumeClaim>(claim).await?;
    let one =
        format!("ConfigMap hungarian does not exist; the version waits for it. Create it with: {create}");
    cluster.wait("heart-1", "waiting for one", words(one)).await?;
    assert_eq!(cluster.jobs("heart-1", "snapshot").await?.len(), 0);
    let map = json!({"metadata": {"name": "hungarian"}, "data": {"hungarian.csv": "rows"}});
    cluster.create::<ConfigMap>(map).await?;

    let (_, pod) = cluster.running_job("heart-1", "snapshot").await?;
    let spec = serde_json::to_value(pod.spec)?;
    let sources = [
        "/data/source/0/cleveland.csv",
        "/data/source/2/hungarian.csv",
        "/data/source/3/a/b.csv",
    ];
    let arguments: Vec<_> = ["snapshot", "--spec", "/etc/modelward/job/spec.json"]
        .into_iter()
        .chain(sources.into_iter().flat_map(|source| ["--source", source]))
        .chain(["--publish"])
        .collect();
    assert_eq!(spec["containers"][0]["args"], json!(arguments));
    let mounts = spec["containers"][0]["volumeMounts"]
        .as_array()
        .context("mounts")?;
    for (name, path) in [
        ("source-0", "/data/source/0"),
        ("source-2", "/data/source/2"),
        ("source-3", "/data/source/3"),
    ] {
        let mount = json!({"name": name, "mountPath": path, "readOnly": true});
        ensure!(mounts.contains(&mount), "{mounts:?} lack {mount}");
    }

    let sources: Vec<_> = (0_u8..4)
        .map(|number| SourceRecord {
            name: format!("file-{number}.csv"),
            sha256: digest_of(&[number]),
            rows: 50,
            positive_rows: Some(20),
        })
        .collect();
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| {
        let mut result = store.result(job, "0.8151");
        if stage_of(job) == "snapshot" {
            result.sources.clone_from(&sources);
            result.digest = Some(store.publish_stating(job, &result, &[]));
        }
        ends_with(&result)
    });
    let live = cluster.wait_live("heart-1").await?;
    let recorded = live.status.context("a status")?.sources;
    assert_eq!(recorded.len(), 4);
    assert_eq!(
        (
            recorded[3].name.as_str(),
            recorded[3].rows,
            recorded[3].positive_rows
        ),
        ("file-3.csv", 50, Some(20))
    );
    Ok(())
}

#[tokio::test]
async fn frozen_rows_are_fitted_without_a_snapshot_job() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.delete::<ConfigMap>("heart-disease").await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    let frozen = cluster.store.publish(ManifestKind::Snapshot, "rows of before");
    let mut version = version("heart-1");
    version["spec"]["source"]["training"]["snapshot"] = json!(frozen);
    cluster.create::<ModelVersion>(version).await?;
    let (_, pod) = cluster.running_job("heart-1", "fit").await?;
    let spec = serde_json::to_value(pod.spec)?;
    let arguments = json!([
        "fit",
        "--spec",
        "/etc/modelward/job/spec.json",
        "--snapshot",
        frozen,
        "--publish"
    ]);
    assert_eq!(spec["containers"][0]["args"], arguments);
    assert_eq!(cluster.jobs("heart-1", "snapshot").await?.len(), 0);
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    let live = cluster.wait_live("heart-1").await?;
    ensure!(message(&live, ConditionType::DataValid).starts_with("frozen rows sha256:"));
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn a_given_bundle_serves_without_a_job_as_soon_as_the_store_has_it() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let snapshot = cluster.store.publish(ManifestKind::Snapshot, "rows");
    let given = |name: &str, bundle: Digest| {
        let mut version = version(name);
        version["spec"]["source"] = json!({"artifact": {"bundle": bundle, "threshold": "0.35"}});
        version
    };
    cluster.create::<ModelVersion>(given("heart-0", snapshot)).await?;
    let wrong = cluster
        .wait_says("heart-0", ConditionType::Trained, "False", "ArtifactMissing")
        .await?;
    ensure!(message(&wrong, ConditionType::Ready).contains("is a Snapshot and not a bundle"));

    let bundle = cluster.store.publish(ManifestKind::Bundle, "a bundle of before");
    cluster.create::<ModelVersion>(given("heart-1", bundle)).await?;
    let live = cluster.wait_live("heart-1").await?;
    for (kind, reason) in [
        (ConditionType::DataValid, "NoTraining"),
        (ConditionType::Trained, "ArtifactFound"),
        (ConditionType::GatesPassed, "NoGates"),
    ] {
        ensure!(
            says(&live, kind, "True", reason),
            "{kind}: {}",
            message(&live, kind)
        );
    }
    let jobs = cluster
        .all::<Job>()
        .list(&kube::api::ListParams::default())
        .await?;
    assert_eq!(jobs.items.len(), 0);
    let model = cluster.all::<Model>().get("heart").await?;
    let route = model.status.context("a status")?.routes.remove(0);
    assert_eq!((route.digest, route.threshold), (bundle, "0.35".parse()?));

    // The same bundle once more, after another one served: that is a way back, and is proposed as one.
    cluster.apply_version("heart-2").await?;
    cluster.promote("heart-2").await?;
    cluster.wait_live("heart-2").await?;
    let back = cluster.create::<ModelVersion>(given("heart-3", bundle)).await?;
    cluster
        .wait_says("heart-3", ConditionType::Ready, "True", "AwaitingPromotion")
        .await?;
    let name = modelward_core::names::rollback_name("heart-3", &back.uid().context("a uid")?);
    let proposed = cluster.wait(&name, "there", |_: &RemediationAction| true).await?;
    assert_eq!(proposed.spec.action, ActionType::RollbackModel);
    cluster.wait_live("heart-2").await?;
    cluster.rest("heart-3").await
}

// === Pods that do not run, and turns ===

/// The API server's own Event about a Job, as the Job controller writes it.
async fn refuse_pods(cluster: &TestCluster, job: &Job, words: &str) -> Result<()> {
    let name = job.name_any();
    let event = json!({
        "metadata": {"name": format!("{name}.1")},
        "involvedObject": {"kind": "Job", "apiVersion": "batch/v1", "namespace": cluster.namespace, "name": name, "uid": job.uid()},
        "type": "Warning", "reason": "FailedCreate", "message": words, "count": 3,
        "firstTimestamp": "2026-11-23T09:30:00Z", "lastTimestamp": "2026-11-23T09:30:00Z",
        "source": {"component": "job-controller"},
    });
    cluster.create::<k8s_openapi::api::core::v1::Event>(event).await?;
    Ok(())
}

#[tokio::test]
async fn why_the_api_server_refuses_a_jobs_pods_is_said_within_thirty_seconds() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| JobEnd::NoPod);
    cluster.apply_version("heart-1").await?;
    let job = until("a Job", async || {
        Ok(cluster.jobs("heart-1", "snapshot").await?.pop())
    })
    .await?;
    let words =
        "Error creating: pods \"x-abcde\" is forbidden: exceeded quota: team, requested: limits.memory=2Gi";
    refuse_pods(&cluster, &job, words).await?;
    let begun = std::time::Instant::now();
    let said = cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "PodRefused")
        .await?;
    ensure!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    let text = message(&said, ConditionType::Ready);
    ensure!(
        text.contains("exceeded quota: team, requested: limits.memory=2Gi"),
        "{text}"
    );
    cluster.rest("heart-1").await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_version_whose_second_job_is_refused_does_not_keep_its_place_from_the_next_one() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.apply_version("heart-1").await?;
    cluster.running_job("heart-1", "snapshot").await?;
    let job = json!({"metadata": {"name": "refused"}, "spec": {"template": {"spec": {
        "containers": [{"name": "refused", "image": "refused"}], "restartPolicy": "Never",
    }}}});
    quota::<Job>(&cluster, "count/jobs.batch", 1, job).await?;
    cluster.apply_version("heart-2").await?;
    cluster
        .wait_says("heart-2", ConditionType::Ready, "False", "Queued")
        .await?;
    cluster
        .fakes
        .jobs(|_| JobEnd::Fails(101, "thread panicked".into()));
    for name in ["heart-1", "heart-2"] {
        cluster
            .wait_says(name, ConditionType::DataValid, "False", "ChildRefused")
            .await?;
    }
    rests(&cluster).await
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_said_in_the_schedulers_words() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let words = "0/3 nodes are available: 3 node(s) had untolerated taint {dedicated: ml}.";
    cluster.fakes.jobs(move |_| {
        JobEnd::Stuck(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words},
        ]}))
    });
    cluster.apply_version("heart-1").await?;
    let said = cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "Unschedulable")
        .await?;
    ensure!(message(&said, ConditionType::Ready).ends_with(words));
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_named_while_its_job_still_makes_pods() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let words = "https://data.hospital.example/heart.csv: connection refused";
    let said = JobResult::new(JobStage::Snapshot, Verdict::Unreachable, words.to_owned());
    let said = serde_json::to_string(&said)?;
    cluster.fakes.jobs(move |_| {
        JobEnd::Stuck(json!({"phase": "Failed", "containerStatuses": [{
            "name": "trainer", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": said}},
        }]}))
    });
    cluster.apply_version("heart-1").await?;
    let version = cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "Unreachable")
        .await?;
    assert_eq!(message(&version, ConditionType::DataValid), words);
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn a_job_whose_pods_were_deleted_is_started_again_and_costs_no_attempt() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let said = JobResult::new(
        JobStage::Snapshot,
        Verdict::Interrupted,
        "stopped by a signal before the result",
    );
    let said = serde_json::to_string(&said)?;
    cluster.fakes.jobs(move |_| JobEnd::Fails(143, said.clone()));
    cluster.apply_version("heart-1").await?;
    let version = cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "Disrupted")
        .await?;
    let text = message(&version, ConditionType::DataValid);
    ensure!(
        text.contains("stopped by a signal before the result; this does not use up an attempt"),
        "{text}"
    );
    let attempt = version.status.and_then(|status| status.snapshot_attempt);
    assert_eq!(
        attempt.map(|attempt| (attempt.attempt, attempt.interruptions)),
        Some((1, 1))
    );
    Ok(())
}

#[tokio::test]
async fn a_trainer_that_needs_more_memory_names_its_limit_and_the_setting() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| {
        JobEnd::Stuck(json!({"phase": "Failed", "containerStatuses": [{
            "name": "trainer", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }]}))
    });
    cluster.apply_version("heart-1").await?;
    let version = cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "OutOfMemory")
        .await?;
    let text = message(&version, ConditionType::DataValid);
    ensure!(text.contains("its memory limit of 3Gi"), "{text}");
    ensure!(
        text.ends_with("trainer.resources.limits.memory raises the limit"),
        "{text}"
    );
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn a_job_that_cannot_run_is_made_again_where_the_settings_of_the_operator_changed() -> Result<()> {
    let mut cluster = TestCluster::open().await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| {
        let image = job.spec.as_ref().and_then(|spec| {
            let pod = spec.template.spec.as_ref()?;
            pod.containers.first()?.image.clone()
        });
        if image.as_deref() == Some("modelward/trainer:mended") {
            return trains(&store, job, "0.8151");
        }
        JobEnd::Stuck(json!({"phase": "Pending", "containerStatuses": [{
            "name": "trainer", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
        }]}))
    });
    cluster.apply_version("heart-1").await?;
    cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "ImagePullFailed")
        .await?;
    cluster.stop_operator().await?;
    cluster.trainer_image = "modelward/trainer:mended".into();
    cluster.start_operator().await?;
    cluster
        .wait(
            "heart-1",
            "the pause before the next Job",
            |version: &ModelVersion| {
                message(version, ConditionType::Ready).contains("the operator's settings changed")
            },
        )
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_trainer_that_is_done_ends_its_job_though_a_sidecar_goes_on() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| {
        let said = serde_json::to_string(&store.result(job, "0.8151")).unwrap();
        let container = |name: &str, state: serde_json::Value| {
            json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state})
        };
        JobEnd::Stuck(json!({"phase": "Running", "containerStatuses": [
            container("a-proxy", json!({"running": {}})),
            container("trainer", json!({"terminated": {"exitCode": 0, "message": said}})),
        ]}))
    });
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    until("no Job is left", async || {
        let left = cluster
            .all::<Job>()
            .list(&kube::api::ListParams::default())
            .await?;
        Ok(left.items.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_job_that_an_eviction_ended_is_made_again_and_spends_no_attempt() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let evicted =
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    let first = evicted.clone();
    cluster.fakes.jobs(move |_| JobEnd::Stuck(first.clone()));
    cluster.apply_version("heart-1").await?;
    let (job, _) = cluster.running_job("heart-1", "snapshot").await?;
    let failed = json!({"status": {"active": null, "failed": 1, "conditions": [
        {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"},
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"},
    ]}});
    cluster
        .all::<Job>()
        .patch_status(
            &job.name_any(),
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(failed),
        )
        .await?;
    let waits = cluster
        .wait("heart-1", "waiting for its next Job", |version: &ModelVersion| {
            message(version, ConditionType::Ready).contains("this does not use up an attempt")
        })
        .await?;
    let text = message(&waits, ConditionType::Ready);
    ensure!(text.contains("low on resource: memory"), "{text}");
    ensure!(
        says(&waits, ConditionType::DataValid, "Unknown", "Disrupted"),
        "{text}"
    );
    let attempt = waits
        .status
        .and_then(|status| status.snapshot_attempt)
        .context("an attempt")?;
    assert_eq!(
        (attempt.attempt, attempt.interruptions, attempt.finished),
        (1, 1, false)
    );
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_version_that_waits_names_those_whose_pods_do_not_run_and_follows_one_that_is_being_deleted()
-> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| {
        JobEnd::Stuck(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "unbound claims"},
        ]}))
    });
    let make = async |number: u32| {
        let mut one = version(&format!("m{number}-1"));
        one["spec"]["model"] = json!(format!("m{number}"));
        if number == 1 {
            one["metadata"]["finalizers"] = json!(["example.org/kept"]);
        }
        cluster.create::<ModelVersion>(one).await
    };
    for number in 1..=4 {
        make(number).await?;
        cluster
            .wait_says(
                &format!("m{number}-1"),
                ConditionType::DataValid,
                "Unknown",
                "Unschedulable",
            )
            .await?;
    }
    make(5).await?;
    cluster
        .wait("m5-1", "the names of those before it", |found: &ModelVersion| {
            message(found, ConditionType::Ready).contains("do not run: m1-1, m2-1, m3-1, m4-1;")
        })
        .await?;
    cluster.delete::<ModelVersion>("m1-1").await?;
    cluster
        .wait_says("m5-1", ConditionType::DataValid, "Unknown", "Unschedulable")
        .await?;
    let none = json!({"metadata": {"finalizers": null}});
    cluster.patch::<ModelVersion>("m1-1", none).await?;
    cluster.wait_gone::<ModelVersion>("m1-1").await
}

#[tokio::test]
async fn twelve_versions_of_one_apply_are_trained_four_at_a_time_and_each_model_in_its_order() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    for number in 1..=12 {
        let mut one = version(&format!("m{number}-1"));
        one["spec"]["model"] = json!(format!("m{number}"));
        cluster.create::<ModelVersion>(one).await?;
    }
    let all = async || -> Result<Vec<Job>> {
        Ok(cluster
            .all::<Job>()
            .list(&kube::api::ListParams::default())
            .await?
            .items)
    };
    let queued = |found: &ModelVersion| says(found, ConditionType::Ready, "False", "Queued");
    until("eight that wait", async || {
        let versions = cluster
            .all::<ModelVersion>()
            .list(&kube::api::ListParams::default())
            .await?;
        Ok((versions.iter().filter(|found| queued(found)).count() == 8).then_some(()))
    })
    .await?;
    assert_eq!(all().await?.len(), 4);
    // A later version of a model that is being trained waits for it by name.
    let first = all().await?[0].labels()["modelward.io/model"].clone();
    let mut later = version(&format!("{first}-2"));
    later["spec"]["model"] = json!(first);
    cluster.create::<ModelVersion>(later).await?;
    let words = format!("{first}-1 of the same model is trained first");
    cluster
        .wait(&format!("{first}-2"), &words, |found: &ModelVersion| {
            message(found, ConditionType::Ready) == words
        })
        .await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    until("all trained", async || {
        let versions = cluster
            .all::<ModelVersion>()
            .list(&kube::api::ListParams::default())
            .await?;
        let trained =
            |found: &&ModelVersion| says(found, ConditionType::GatesPassed, "True", "AllGatesPassed");
        Ok((versions.iter().filter(trained).count() == 13).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_quota_on_models_is_said_and_the_version_begins_when_there_is_room() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let hard = json!({"count/models.modelward.io": "0"});
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": hard}});
    cluster
        .create::<k8s_openapi::api::core::v1::ResourceQuota>(quota)
        .await?;
    let used = kube::api::Patch::Merge(json!({"status": {"hard": hard, "used": hard}}));
    cluster
        .all::<k8s_openapi::api::core::v1::ResourceQuota>()
        .patch_status("none", &kube::api::PatchParams::default(), &used)
        .await?;
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ChildRefused")
        .await?;
    let text = message(&stalled, ConditionType::Ready);
    ensure!(
        text.starts_with("failed to create Model heart: ") && text.contains("exceeded quota"),
        "{text}"
    );
    cluster
        .delete::<k8s_openapi::api::core::v1::ResourceQuota>("none")
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}
