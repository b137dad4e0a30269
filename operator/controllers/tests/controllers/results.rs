//! Where results come from when the nearest place has none.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use modelward_crds::{ConditionType, ModelVersion, Role};
use modelward_kit::fake_controllers::JobEnd;
use modelward_wire::Progress;

use crate::support::{TestCluster, message, says, stage_of, trains};

#[tokio::test]
async fn a_result_whose_pod_is_gone_is_read_from_the_ledger() -> Result<()> {
    let cluster = TestCluster::with_postgres().await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.apply_version("heart-1").await?;
    for word in ["snapshot", "fit"] {
        let (job, pod) = cluster.running_job("heart-1", word).await?;
        cluster
            .report(&job, &pod, &cluster.store.result(&job, "0.8151"))
            .await?;
        end_jobs(&cluster, word, JobEnd::SucceedsAndVanishes);
    }
    await_one_attempt(&cluster).await
}

#[tokio::test]
async fn a_message_that_is_cut_is_completed_from_the_ledger() -> Result<()> {
    let cluster = TestCluster::with_postgres().await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.apply_version("heart-1").await?;
    for word in ["snapshot", "fit"] {
        let (job, pod) = cluster.running_job("heart-1", word).await?;
        let whole = cluster.store.result(&job, "0.8151");
        cluster.report(&job, &pod, &whole).await?;
        let mut short = whole;
        short.cut = true;
        short.metrics.clear();
        let text = serde_json::to_string(&short)?;
        end_jobs(&cluster, word, JobEnd::Succeeds(text));
    }
    await_one_attempt(&cluster).await
}

/// Jobs of this stage end like this, all others run.
fn end_jobs(cluster: &TestCluster, word: &'static str, end: JobEnd) {
    cluster.fakes.jobs(move |job| {
        if stage_of(job) == word {
            end.clone()
        } else {
            JobEnd::Runs
        }
    });
}

/// heart-1 serves with its score after one fit.
async fn await_one_attempt(cluster: &TestCluster) -> Result<()> {
    let live = cluster.wait_live("heart-1").await?;
    let status = live.status.context("a status")?;
    assert_eq!(status.score.as_deref(), Some("F1 0.8151"));
    assert_eq!(status.fit_attempt.map(|attempt| attempt.attempt), Some(1));
    Ok(())
}

#[tokio::test]
async fn the_progress_of_a_running_fit_is_in_the_status_until_it_ends() -> Result<()> {
    let cluster = TestCluster::with_postgres().await?;
    let (trainer, running) = (cluster.store.clone(), Arc::new(AtomicBool::new(true)));
    let runs = Arc::clone(&running);
    let script = move |job: &Job| {
        if stage_of(job) == "fit" && runs.load(Ordering::Relaxed) {
            JobEnd::Runs
        } else {
            trains(&trainer, job, "0.8151")
        }
    };
    cluster.fakes.jobs(script.clone());
    cluster.apply_version("heart-1").await?;
    let (job, pod) = cluster.running_job("heart-1", "fit").await?;
    let progress = Progress {
        step: "cross-validating XGBoost".into(),
        percent: 47,
        remaining_seconds: Some(30),
    };
    cluster.report_progress(&job, &pod, &progress).await?;
    let percent = |version: &ModelVersion| version.status.as_ref()?.fit_attempt.as_ref()?.percent;
    let at = |wanted| move |version: &ModelVersion| percent(version) == wanted;
    cluster
        .wait("heart-1", "to be at 40 per cent", at(Some(40)))
        .await?;
    running.store(false, Ordering::Relaxed);
    cluster.fakes.jobs(script);
    let live = cluster.wait_live("heart-1").await?;
    assert_eq!(percent(&live), None);
    Ok(())
}

#[tokio::test]
async fn a_result_that_is_nowhere_costs_one_counted_attempt_and_the_second_loss_stalls() -> Result<()> {
    let cluster = TestCluster::with_postgres().await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.apply_version("heart-1").await?;
    let (first, _) = cluster.running_job("heart-1", "snapshot").await?;
    let name = first.name_any();
    let lost = name.clone();
    cluster.fakes.jobs(move |job| {
        if job.name_any() == lost {
            JobEnd::SucceedsAndVanishes
        } else {
            JobEnd::Runs
        }
    });
    let trying = cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "ResultLost")
        .await?;
    ensure!(message(&trying, ConditionType::DataValid).ends_with("attempt 2 of 2 runs"));
    let (second, _) = cluster.running_job("heart-1", "snapshot").await?;
    assert_ne!(second.name_any(), name);
    cluster.fakes.jobs(|_| JobEnd::SucceedsAndVanishes);
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ResultLost")
        .await?;
    assert_eq!(
        stalled.status.and_then(|status| status.role),
        Some(Role::Rejected)
    );
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn while_the_ledger_is_away_a_version_waits_and_says_so_and_serving_goes_on() -> Result<()> {
    let mut cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    cluster.stop_ledger().await?;
    cluster.apply_version("heart-2").await?;
    let waiting = cluster
        .wait_says("heart-2", ConditionType::Ready, "False", "LedgerUnavailable")
        .await?;
    ensure!(
        message(&waiting, ConditionType::Ready).contains("the ledger did not answer"),
        "{}",
        message(&waiting, ConditionType::Ready)
    );
    ensure!(cluster.metric("ledger_errors_total", "") >= 1.0);
    cluster.wait_live("heart-1").await?;
    assert_eq!(
        cluster.jobs("heart-2", "snapshot").await?.len(),
        1,
        "the Job stays: its Pod may be all that knows the result"
    );
    cluster.start_ledger().await?;
    cluster.promote("heart-2").await?;
    cluster.wait_live("heart-2").await?;
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_the_store_does_not_have_is_trained_once_more() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let store = cluster.store.clone();
    let nowhere = crate::support::digest_of(b"nowhere");
    cluster.fakes.jobs(move |job| {
        if stage_of(job) == "snapshot" {
            return trains(&store, job, "0.8151");
        }
        let mut result = store.result(job, "0.8151");
        result.digest = Some(nowhere);
        JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
    });
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ArtifactMissing")
        .await?;
    let words = message(&stalled, ConditionType::Trained);
    ensure!(words.contains(&nowhere.to_string()), "{words}");
    assert_eq!(
        stalled
            .status
            .and_then(|status| status.fit_attempt)
            .map(|attempt| attempt.attempt),
        Some(2)
    );
    Ok(())
}

/// A trainer whose fit ends with a result that is changed after its bundle was published.
fn forges(cluster: &TestCluster, forge: fn(&mut modelward_wire::JobResult)) {
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| {
        let mut result = store.result(job, "0.7100");
        if stage_of(job) == "fit" {
            forge(&mut result);
        }
        JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
    });
}

#[tokio::test]
async fn a_result_that_its_bundle_does_not_state_never_passes_a_gate() -> Result<()> {
    let cluster = TestCluster::open().await?;
    forges(&cluster, |result| {
        result.verdict = modelward_wire::Verdict::Succeeded;
        result.metrics[0].mean = "0.999999".parse().unwrap();
        result.gates[0].value = "0.999999".parse().unwrap();
        result.gates[0].passed = true;
    });
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "ResultMismatch")
        .await?;
    let words = message(&stalled, ConditionType::Trained);
    ensure!(
        words.contains("other metrics than the artifact states"),
        "{words}"
    );
    let status = stalled.status.context("a status")?;
    assert_eq!((status.role, status.bundle), (Some(Role::Rejected), None));
    assert!(status.gates.is_empty() && status.metrics.is_empty());
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn a_bundle_of_another_version_in_the_same_store_is_not_believed() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    let first = cluster.wait_live("heart-1").await?.status.context("a status")?;
    let store = cluster.store.clone();
    let bundle = first.bundle.context("a bundle")?.digest;
    cluster.fakes.jobs(move |job| {
        let mut result = store.result(job, "0.8151");
        if stage_of(job) == "fit" {
            result.digest = Some(bundle);
        }
        JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
    });
    cluster.apply_version("heart-2").await?;
    let stalled = cluster
        .wait_says("heart-2", ConditionType::Stalled, "True", "ResultMismatch")
        .await?;
    let words = message(&stalled, ConditionType::Trained);
    ensure!(words.contains("the bundle states the snapshot"), "{words}");
    Ok(())
}

#[tokio::test]
async fn a_job_that_only_looks_like_ours_is_deleted_and_its_result_is_never_read() -> Result<()> {
    let mut cluster = TestCluster::without_operator(None).await?;
    cluster.fakes.jobs(|_| JobEnd::Runs);
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    let (job, _) = cluster.running_job("heart-1", "snapshot").await?;
    cluster.stop_operator().await?;
    let (name, ours) = (job.name_any(), job.uid());
    cluster.delete::<Job>(&name).await?;
    cluster.wait_gone::<Job>(&name).await?;
    // A person who may create Jobs copies everything that can be copied: name, labels, annotations, owner, spec.
    let mut copy = job.clone();
    copy.metadata = kube::api::ObjectMeta {
        name: Some(name.clone()),
        labels: job.metadata.labels.clone(),
        annotations: job.metadata.annotations.clone(),
        owner_references: job.metadata.owner_references.clone(),
        ..kube::api::ObjectMeta::default()
    };
    copy.status = None;
    if let Some(spec) = &mut copy.spec {
        spec.selector = None;
        spec.template.metadata = None;
    }
    let copied = cluster.create::<Job>(serde_json::to_value(&copy)?).await?;
    let nothing = kube::api::Patch::Merge(serde_json::json!({"status": null}));
    let params = kube::api::PatchParams::default();
    cluster
        .all::<ModelVersion>()
        .patch_status("heart-1", &params, &nothing)
        .await?;
    cluster.start_operator().await?;
    let made = cluster
        .wait::<Job>(&name, "made again", |found| {
            found.uid() != copied.uid() && found.uid() != ours
        })
        .await?;
    let recorded = cluster
        .wait("heart-1", "a recorded Job", |version: &ModelVersion| {
            let status = version.status.as_ref();
            let attempt = status.and_then(|status| status.snapshot_attempt.as_ref());
            attempt.is_some_and(|attempt| attempt.job_uid == made.uid())
        })
        .await?;
    ensure!(!says(&recorded, ConditionType::Stalled, "True", "NameTaken"));
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| trains(&store, job, "0.8151"));
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn the_ledger_has_a_record_of_how_a_version_stands() -> Result<()> {
    let cluster = TestCluster::with_postgres().await?;
    let version = cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let token = cluster
        .token("modelward-operator", None, &["modelward-ledger"])
        .await?;
    let url = format!("{}/v1/model-versions/{}", cluster.ledger_url, cluster.namespace);
    crate::support::until("a record that says Live", async || {
        let text = reqwest::Client::new()
            .get(&url)
            .bearer_auth(&token)
            .send()
            .await?
            .text()
            .await?;
        Ok((text.contains("Live") && text.contains(&version.uid().unwrap_or_default())).then_some(()))
    })
    .await
}
