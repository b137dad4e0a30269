//! Outages of the operator, PostgreSQL and the ledger.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams, LogParams, ObjectMeta},
};
use modelward_crds::{ConfigMapSource, ModelVersion, ModelVersionStatus, ValidationSpec, labels};
use modelward_e2e::{
    pods::is_ready,
    sample::{self, one_pod_of, training},
    story::{SOON, Story, TRAINED, story},
    wait::until,
};
use modelward_kit::wait::until_so;

/// The exit code of a container that was killed by SIGKILL.
const KILLED: i32 = 137;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_killed_training_is_repeated_and_a_result_whose_pod_is_gone_is_not_lost() -> Result<()> {
    story("killed", async |story: &Story| {
        let long = ConfigMap {
            metadata: ObjectMeta {
                name: Some("long".into()),
                ..ObjectMeta::default()
            },
            data: Some([("data.csv".into(), sample::csv("cleveland.csv")?.repeat(6))].into()),
            ..ConfigMap::default()
        };
        story.create(&long).await?;
        story
            .version("long-1", |spec| {
                one_pod_of(spec, "long");
                let training = training(spec)?;
                training.dataset.config_map = Some(ConfigMapSource {
                    name: "long".into(),
                    key: "data.csv".into(),
                });
                // Long enough to be killed: the maximum number of folds.
                training.validation = ValidationSpec {
                    folds: 20,
                    repeats: 100,
                    seed: 7,
                    ..ValidationSpec::default()
                };
                Ok(())
            })
            .await?;
        let first = running_fit(story, None).await?;
        let attempt = status(story).await?.fit_attempt;
        let job = attempt.context("long-1 is being trained without an attempt")?.job;
        let container = first.spec.as_ref().and_then(|spec| spec.containers.first());
        let container = container.context("the Pod of the training has no container")?;
        story.kill(&first, &container.name).await?;
        let what = format!("ended with {KILLED}");
        until_so(story.all::<Pod>(), &first.name_any(), &what, SOON, |pod: &Pod| {
            exit_code(pod) == Some(KILLED)
        })
        .await?;
        ensure!(
            status(story).await?.bundle.is_none(),
            "long-1 has a bundle of a training that was killed"
        );
        running_fit(story, Some(&first.name_any())).await?;

        let operator = "deployment/modelward-operator";
        let away = story.cluster.take_away(operator, "operator").await?;
        until_so(story.all::<Job>(), &job, "Complete", TRAINED, |job: &Job| {
            let status = job.status.as_ref();
            let conditions = status.and_then(|status| status.conditions.as_deref());
            let mut conditions = conditions.unwrap_or_default().iter();
            conditions.any(|condition| condition.type_ == "Complete" && condition.status == "True")
        })
        .await?;
        let of_job = format!("job-name={job}");
        story
            .all::<Pod>()
            .delete_collection(&DeleteParams::default(), &ListParams::default().labels(&of_job))
            .await?;
        until(&format!("the Pods of {job} are gone"), SOON, async || {
            Ok(story.pods(&of_job).await?.is_empty().then_some(()))
        })
        .await?;
        ensure!(
            status(story).await?.bundle.is_none(),
            "long-1 has a bundle before the operator read the result"
        );
        away.end().await?;
        story.awaits_live("long-1").await?;
        story.answers_as_scored("long", "long-1").await?;
        let attempt = status(story).await?.fit_attempt.map(|attempt| attempt.attempt);
        ensure!(
            attempt == Some(1),
            "the result was lost: the attempt is {attempt:?} and should be 1"
        );
        Ok(())
    })
    .await
}

/// Waits for a Pod of the training with a running container, other than this one.
async fn running_fit(story: &Story, former: Option<&str>) -> Result<Pod> {
    let fit = format!("{}=long-1,{}=fit", labels::VERSION, labels::STAGE);
    until("a Pod trains long-1", SOON * 2, async || {
        let pods = story.pods(&fit).await?;
        Ok(pods.into_iter().find(|pod| {
            let statuses = pod
                .status
                .as_ref()
                .and_then(|status| status.container_statuses.as_ref());
            let state = statuses.and_then(|statuses| statuses.first()?.state.as_ref());
            former.is_none_or(|former| former != pod.name_any())
                && state.is_some_and(|state| state.running.is_some())
        }))
    })
    .await
}

async fn status(story: &Story) -> Result<ModelVersionStatus> {
    let status = story.all::<ModelVersion>().get("long-1").await?.status;
    status.context("long-1 has no status")
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let first = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    Some(first.state.as_ref()?.terminated.as_ref()?.exit_code)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn without_postgresql_predictions_and_new_pods_go_on_and_the_ledger_says_so_and_recovers() -> Result<()>
{
    story("postgresql", async |story: &Story| {
        story.live("heart-1").await?;
        let postgresql = "statefulset/modelward-postgresql";
        let away = story.cluster.take_away(postgresql, "postgresql").await?;
        story.cluster.await_ledger("503", "atabase").await?;
        story.answered_by("heart", "heart-1").await?;
        // A new Pod has no cache, so the ledger must serve the bundle without PostgreSQL.
        let former = ready_pod(story).await?;
        let (name, uid) = (former.name_any(), former.uid());
        story.all::<Pod>().delete(&name, &DeleteParams::default()).await?;
        until(
            &format!("{name} is replaced by another ready Pod"),
            SOON * 2,
            async || {
                let pods = story.serving_pods("heart").await?;
                let ready = pods.iter().filter(|pod| is_ready(pod) && pod.uid() != uid);
                Ok((pods.len() == 2 && ready.count() == 2).then_some(()))
            },
        )
        .await?;
        story.answered_by("heart", "heart-1").await?;
        away.end().await?;
        story.cluster.await_ledger("200", "").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn without_the_ledger_predictions_go_on_and_a_container_starts_again_from_its_cache() -> Result<()> {
    story("ledger", async |story: &Story| {
        story.live("heart-1").await?;
        let away = story
            .cluster
            .take_away("deployment/modelward-ledger", "ledger")
            .await?;
        story.answered_by("heart", "heart-1").await?;
        let pod = ready_pod(story).await?;
        story.kill_and_await(&pod, "inference").await?;
        let log = story
            .all::<Pod>()
            .logs(&pod.name_any(), &LogParams::default())
            .await?;
        ensure!(
            log.contains("cached bundle"),
            "the new container of {} does not say that it has its bundle from the cache:\n{log}",
            pod.name_any()
        );
        story.answered_by("heart", "heart-1").await?;
        away.end().await?;
        story.cluster.await_ledger("200", "").await
    })
    .await
}

async fn ready_pod(story: &Story) -> Result<Pod> {
    let pods = story.serving_pods("heart").await?;
    pods.into_iter()
        .find(is_ready)
        .context("no Pod of heart is ready")
}
