//! The whole loop: other patients, drift, an approval, a retraining, a promotion and no more drift.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
};
use kube::{Resource, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use modelward_crds::{
    ConditionType, DecisionKind, DriftReport, DriftVerdict, Model, ModelVersion, ReferenceKind,
    RemediationAction, RemediationActionStatus, labels,
};
use modelward_e2e::{
    load::LoadFigures,
    people::Person,
    sample,
    story::{Story, story},
    wait::until,
};
use serde::de::DeserializeOwned;

use super::{RATE, WINDOW, two_pods_of};
use crate::deletion;

/// Time limit for a window to close, for its counts to arrive and for its verdict.
const JUDGED: Duration = Duration::from_secs(90);
/// Time limit for a plan, for the creation of a version by an action, and for its verification.
const STEP: Duration = Duration::from_mins(2);
/// Half of the patients of the Hungarian data: one half is sent before the retraining, the other half after it.
const HALF: u32 = 147;
/// Features in which the Hungarian patients differ.
const DRIFTED: [&str; 6] = ["age", "restecg", "oldpeak", "slope", "ca", "thal"];
/// Texts that the plan must contain for the approver: the rows, the version that serves, and the gate.
const PLANNED: [&str; 3] = ["597", "loop-1", "0.75"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn the_loop_closes_no_request_is_lost_and_the_model_goes_with_its_actions_and_reports() -> Result<()> {
    story("loop", async |story: &Story| {
        let alice = story.person("alice", "modelward-approver").await?;
        story.create(&sample::data()?).await?;
        story
            .version("loop-1", |spec| {
                two_pods_of(spec, "loop");
                Ok(())
            })
            .await?;
        story.awaits_live("loop-1").await?;
        let load = story.load("loop", RATE, 0).await?;
        let action = drift(story).await?;
        let version = retrain(story, &alice, &action).await?;
        verify(story, &action, &version).await?;
        let figures = load.stop().await?;
        count(story, &figures).await?;
        take_away(story).await
    })
    .await
}

/// Sends half of the Hungarian patients, and returns the resulting action.
async fn drift(story: &Story) -> Result<String> {
    let figures = story.replay("loop", 0..HALF, WINDOW).await?;
    let report = figures.window.report("loop-1");
    let verdict = story.awaits_verdict(&report, JUDGED).await?;
    ensure!(
        verdict == DriftVerdict::Drift,
        "the verdict on {report} is {verdict:?}"
    );
    let action = story.awaits_proposal(&report).await?;
    let status = story.report_status(&report).await?;
    let drifted: Vec<_> = status
        .features
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    ensure!(
        DRIFTED.iter().all(|feature| drifted.contains(feature)),
        "{drifted:?} drifted, and {DRIFTED:?} should be among them"
    );
    ensure!(
        status.rows == Some(HALF.into()),
        "{:?} rows were judged, and {HALF} were sent",
        status.rows
    );
    Ok(action)
}

/// Approves the plan and waits until it is carried out, while requests are answered. Returns the new version.
async fn retrain(story: &Story, alice: &Person, action: &str) -> Result<String> {
    let waiting = ("False", "AwaitingApproval");
    story
        .awaits::<RemediationAction>(action, ConditionType::Approved, waiting, STEP)
        .await?;
    let plan = status(story, action).await?.plan;
    let summary = plan.context("the action has no plan")?.summary;
    println!("{summary}");
    for words in PLANNED {
        ensure!(
            summary.contains(words),
            "the plan does not name {words}: {summary}"
        );
    }
    let serving = story.serving("loop").await?;
    ensure!(
        serving.as_deref() == Some("loop-1"),
        "{serving:?} serves before a decision"
    );
    story.decide(alice, action, DecisionKind::Approve, None).await??;
    let version = until(&format!("{action} has made a version"), STEP, async || {
        let execution = status(story, action).await?.execution;
        Ok(execution
            .and_then(|execution| execution.version)
            .map(|version| version.name))
    })
    .await?;
    story.awaits_live(&version).await?;
    story.awaits_settled("loop", 2).await?;
    Ok(version)
}

/// Sends the other half of the patients. Their window is compared with the accepted window and does not drift.
async fn verify(story: &Story, action: &str, version: &str) -> Result<()> {
    let figures = story.replay("loop", HALF..2 * HALF, WINDOW).await?;
    let report = figures.window.report(version);
    let verdict = story.awaits_verdict(&report, JUDGED).await?;
    ensure!(
        verdict == DriftVerdict::NoDrift,
        "the verdict on {report} is {verdict:?}"
    );
    let reference = story.report_status(&report).await?.reference;
    let kind = reference.map(|reference| reference.kind);
    ensure!(
        kind == Some(ReferenceKind::AcceptedWindow),
        "{report} was compared with {kind:?}"
    );
    let verified = ("True", "Verified");
    let message = story
        .awaits::<RemediationAction>(action, ConditionType::Succeeded, verified, STEP)
        .await?;
    println!("{message}");
    let decisions = status(story, action).await?.decisions;
    let users: Vec<_> = decisions.iter().map(|decision| decision.user.as_str()).collect();
    ensure!(users == ["alice"], "{users:?} decided on {action}");
    let serving = story.serving("loop").await?;
    ensure!(
        serving.as_deref() == Some(version),
        "{serving:?} serves, and {version} was verified"
    );
    Ok(())
}

/// Checks that no request failed, not even at its first attempt, and that each is counted once.
async fn count(story: &Story, figures: &LoadFigures) -> Result<()> {
    ensure!(
        figures.first_try_failed == 0,
        "the first attempts of {} requests failed: {:?}",
        figures.first_try_failed,
        figures.failures
    );
    let (answered, patients) = (figures.all_answered(), u64::from(2 * HALF));
    let counted = story.awaits_count("loop", answered + patients).await?;
    println!(
        "{answered} synthetic requests and {patients} patients were answered; the ledger has {counted:?}"
    );
    Ok(())
}

/// Checks that the children are deleted with the last version, and the actions and reports with the record of the model.
async fn take_away(story: &Story) -> Result<()> {
    ensure!(
        !names::<RemediationAction>(story, "").await?.is_empty()
            && !names::<DriftReport>(story, "").await?.is_empty(),
        "there is no action or no report that could go with the model"
    );
    for name in names::<ModelVersion>(story, "").await? {
        story.delete_version(&name).await?;
    }
    let of_model = format!("{}=loop", labels::MODEL);
    let mut left = Vec::new();
    let gone = until("the versions and the children are gone", STEP, async || {
        left = names::<ModelVersion>(story, "").await?;
        left.extend(names::<Deployment>(story, &of_model).await?);
        left.extend(names::<Service>(story, &of_model).await?);
        left.extend(names::<Pod>(story, &of_model).await?);
        Ok(left.is_empty().then_some(()))
    })
    .await;
    gone.with_context(|| format!("there is still: {}", left.join(" ")))?;
    ensure!(
        names::<Model>(story, "").await? == ["loop"],
        "the record of the model went with its versions"
    );
    deletion::ends(story, "the loop is taken away").await
}

async fn status(story: &Story, action: &str) -> Result<RemediationActionStatus> {
    let status = story.all::<RemediationAction>().get(action).await?.status;
    status.with_context(|| format!("{action} has no status"))
}

/// The names of the objects of a kind with these labels.
async fn names<K>(story: &Story, labels: &str) -> Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
{
    let list = ListParams::default().labels(labels);
    let objects = story.all::<K>().list(&list).await?;
    Ok(objects.iter().map(ResourceExt::name_any).collect())
}
