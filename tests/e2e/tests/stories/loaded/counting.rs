//! Every answered row is counted once, and the loss of a destroyed Pod is bounded and reported.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt as _;
use modelward_crds::{DriftReport, DriftReportSpec};
use modelward_e2e::{
    sample::{self, quick},
    story::{Story, story},
};

use super::{LATENESS, RATE, WINDOW, two_pods_of};

/// Seconds between two reports of a Pod to the ledger.
const FLUSH: u64 = 5;
/// Time limit for a verdict on windows that may still be open.
const JUDGED: Duration = Duration::from_secs(80);
/// Requests may be retried while a Pod starts.
const RETRIES: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn containers_crash_and_what_they_counted_is_kept() -> Result<()> {
    story("crash", async |story: &Story| {
        serve(story, "crash", "crash-1").await?;
        let load = story.load("crash", RATE, RETRIES).await?;
        let mut kills = Vec::new();
        for pod in two_pods(story, "crash").await? {
            story.awaits_settled("crash", 2).await?;
            kills.push(Timestamp::now());
            println!("SIGKILL {}", pod.name_any());
            story.kill_and_await(&pod, "inference").await?;
        }
        story.awaits_settled("crash", 2).await?;
        let figures = load.stop().await?;
        figures.failed_only_near(&kills)?;
        let counted = story.settled_count("crash").await?;
        let (answered, in_flight) = (figures.all_answered(), figures.all_in_flight());
        println!("answered {answered}, counted {counted}, in flight at a crash {in_flight}");
        ensure!(
            answered <= counted,
            "{} answered requests were not counted",
            answered - counted
        );
        ensure!(
            counted <= answered + in_flight,
            "{} were counted twice",
            counted - answered - in_flight
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn pods_are_destroyed_and_the_loss_is_at_most_one_interval_of_each_and_reported() -> Result<()> {
    story("destroyed", async |story: &Story| {
        serve(story, "lossy", "lossy-1").await?;
        let load = story.load("lossy", RATE, RETRIES).await?;
        let begin = window_start(Timestamp::now())?;
        let (mut moments, mut destroyed) = (Vec::new(), BTreeSet::new());
        for pod in two_pods(story, "lossy").await? {
            story.awaits_settled("lossy", 2).await?;
            destroyed.insert(pod.uid().context("a Pod has no uid")?);
            moments.push(Timestamp::now());
            println!("destroyed {}", pod.name_any());
            story.destroy(&pod, "inference").await?;
            story.awaits_settled("lossy", 2).await?;
        }
        let figures = load.stop().await?;
        figures.failed_only_near(&moments)?;
        let end = window_start(Timestamp::now())?.checked_add(Duration::from_secs(WINDOW.unsigned_abs().into()))?;
        let counted = story.settled_count("lossy").await?;
        let (answered, in_flight) = (figures.all_answered(), figures.all_in_flight());
        println!(
            "answered {answered}, counted {counted}, in flight {in_flight}; each Pod may have lost what it answered within {FLUSH} s"
        );
        ensure!(
            counted <= answered + in_flight,
            "{} were counted twice",
            counted - answered - in_flight
        );
        let (lost, most) = (answered.saturating_sub(counted), 2 * FLUSH * u64::from(RATE));
        ensure!(
            lost <= most,
            "{lost} are lost, and two Pods answer {most} within {FLUSH} s"
        );

        // Users may request a verdict on any interval.
        let report = DriftReportSpec {
            version: "lossy-1".into(),
            start_time: Time(begin),
            end_time: Time(end),
        };
        story.create(&DriftReport::new("destroyed", report)).await?;
        let verdict = story.awaits_verdict("destroyed", JUDGED).await?;
        let incarnations = story.report_status("destroyed").await?.incarnations;
        println!("the report is {verdict:?}: {incarnations:?}");
        let unclosed = incarnations.map(|incarnations| incarnations.unclosed);
        ensure!(
            unclosed == Some(2),
            "the report counts {incarnations:?} processes, and 2 were destroyed"
        );
        let unclosed = story.unclosed_since("lossy", begin, LATENESS).await?;
        ensure!(
            unclosed == destroyed,
            "the Pods that did not close their counts are {unclosed:?}, and {destroyed:?} were destroyed"
        );
        Ok(())
    })
    .await
}

/// Serves a version of a model with two Pods.
async fn serve(story: &Story, model: &str, version: &str) -> Result<()> {
    story.create(&sample::data()?).await?;
    story
        .version(version, |spec| {
            two_pods_of(spec, model);
            quick(spec)
        })
        .await?;
    story.awaits_live(version).await
}

/// Both Pods of a model.
async fn two_pods(story: &Story, model: &str) -> Result<Vec<Pod>> {
    story.awaits_settled(model, 2).await?;
    let pods = story.serving_pods(model).await?;
    ensure!(
        pods.len() == 2,
        "{model} has {} Pods and should have 2",
        pods.len()
    );
    Ok(pods)
}

/// The start of the window that contains a time.
fn window_start(moment: Timestamp) -> Result<Timestamp> {
    let (second, window) = (moment.as_second(), i64::from(WINDOW));
    Ok(Timestamp::from_second(second / window * window)?)
}
