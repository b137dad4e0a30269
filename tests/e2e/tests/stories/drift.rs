//! A model whose traffic drifts.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    batch::v1::Job,
    core::v1::Service,
};
use kube::{
    Resource, ResourceExt as _,
    api::{DeleteParams, ListParams},
    core::NamespaceResourceScope,
};
use modelward_crds::{
    ConditionType, DecisionKind, DriftReport, DriftVerdict, Model, ModelVersion, RemediationAction, Season,
    labels,
};
use modelward_e2e::{
    sample::{self, one_pod_of, quick},
    story::{SOON, Story, TRAINED, story},
    wait::until,
};
use serde::de::DeserializeOwned;

/// Seconds of a window of traffic.
const WINDOW: i32 = 20;
/// Time limit for a window to close, for its counts to arrive and for its verdict.
const JUDGED: Duration = Duration::from_secs(90);
/// Longer than a retraining takes to start.
const WATCHED: Duration = Duration::from_secs(10);
/// Half of the patients of the Hungarian data.
const PATIENTS: u32 = 147;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_rejection_changes_nothing_says_by_whom_and_why_and_goes_with_its_model() -> Result<()> {
    story("rejection", async |story: &Story| {
        let alice = story.person("alice", "modelward-approver").await?;
        story.create(&sample::data()?).await?;
        story
            .version("refused-1", |spec| {
                one_pod_of(spec, "refused");
                spec.monitoring.season = Season::None;
                spec.monitoring.window_seconds = WINDOW;
                spec.monitoring.lateness_seconds = WINDOW / 2;
                quick(spec)
            })
            .await?;
        story.awaits_live("refused-1").await?;
        let figures = story.replay("refused", 0..PATIENTS, WINDOW).await?;
        let report = figures.window.report("refused-1");
        let verdict = story.awaits_verdict(&report, JUDGED).await?;
        ensure!(
            verdict == DriftVerdict::Drift,
            "the verdict on {report} is {verdict:?}"
        );
        let action = story.awaits_proposal(&report).await?;
        story
            .awaits::<RemediationAction>(
                &action,
                ConditionType::Approved,
                ("False", "AwaitingApproval"),
                TRAINED,
            )
            .await?;

        let before = parts(story).await?;
        let jobs = jobs(story).await?;
        let why = "a study of one week";
        story
            .decide(&alice, &action, DecisionKind::Reject, Some(why))
            .await??;
        let rejected = ("False", "Rejected");
        let message = story
            .awaits::<RemediationAction>(&action, ConditionType::Succeeded, rejected, SOON)
            .await?;
        ensure!(
            message.contains("alice") && message.contains(why),
            "the message names neither alice nor {why:?}: {message}"
        );
        let watched = tokio::time::Instant::now() + WATCHED;
        while tokio::time::Instant::now() < watched {
            let after = parts(story).await?;
            ensure!(after == before, "there were {before:#?} and there are {after:#?}");
            // The Job that read the data for the plan may be deleted.
            let new = self::jobs(story).await?;
            ensure!(
                new.iter().all(|job| jobs.contains(job)),
                "there were {jobs:#?} and there are {new:#?}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        story.answered_by("refused", "refused-1").await?;
        match story.decide(&alice, &action, DecisionKind::Approve, None).await? {
            Ok(_) => bail!("{action} was rejected and took an approval"),
            Err(refusal) => ensure!(
                refusal.to_string().contains("it takes no more decisions"),
                "the refusal reads: {refusal}"
            ),
        }

        story.delete_version("refused-1").await?;
        until("no version is left", TRAINED, async || {
            let left = names::<ModelVersion>(story, "").await?;
            Ok(left.is_empty().then_some(()))
        })
        .await?;
        ensure!(
            !names::<DriftReport>(story, "").await?.is_empty(),
            "the reports went before the record of the model"
        );
        story
            .all::<Model>()
            .delete("refused", &DeleteParams::default())
            .await?;
        let mut left = Vec::new();
        let gone = until(
            "the model goes with its actions and reports",
            TRAINED,
            async || {
                left = names::<Model>(story, "").await?;
                left.extend(names::<RemediationAction>(story, "").await?);
                left.extend(names::<DriftReport>(story, "").await?);
                Ok(left.is_empty().then_some(()))
            },
        )
        .await;
        gone.with_context(|| format!("there is still: {}", left.join(" ")))
    })
    .await
}

/// The Jobs of the model.
async fn jobs(story: &Story) -> Result<Vec<String>> {
    names::<Job>(story, &format!("{}=refused", labels::MODEL)).await
}

/// All objects of the model except Jobs, each with its uid and generation, and the routes.
async fn parts(story: &Story) -> Result<Vec<String>> {
    let of_model = format!("{}=refused", labels::MODEL);
    let mut parts = names::<ModelVersion>(story, "").await?;
    parts.extend(names::<Deployment>(story, &of_model).await?);
    parts.extend(names::<ReplicaSet>(story, &of_model).await?);
    parts.extend(names::<Service>(story, &of_model).await?);
    let status = story.all::<Model>().get("refused").await?.status;
    parts.push(format!("{:?}", status.map(|status| status.routes)));
    Ok(parts)
}

async fn names<K>(story: &Story, labels: &str) -> Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
{
    let list = ListParams::default().labels(labels);
    let objects = story.all::<K>().list(&list).await?;
    let name = |object: &K| {
        let (uid, generation) = (object.uid().unwrap_or_default(), object.meta().generation);
        format!("{}/{} {uid} {generation:?}", K::kind(&()), object.name_any())
    };
    Ok(objects.iter().map(name).collect())
}
