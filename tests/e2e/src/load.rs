//! Requests at a fixed rate, from a Pod of the load client.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::{Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use serde::Deserialize;

use crate::{
    client::TRAFFIC_KEY,
    cluster::words,
    story::{SOON, Story},
    wait::until,
};

/// For the client to finish the requests that are under way, and to print its figures.
const ENDED: Duration = Duration::from_secs(30);
/// A first try may fail if it was due this long before its server was killed, or less: the longest that a try takes.
const DUE_BEFORE: SignedDuration = SignedDuration::from_secs(6);
/// A first try may fail if it was due this long after its server was killed, or less: until then the Service gives connections to
/// a Pod whose container is starting again.
const DUE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// A stream of synthetic requests through the Service of a model.
pub struct Load<'a> {
    story: &'a Story,
    pod: String,
}

/// What became of the requests of a [`Load`]. Each was answered, if need be at a retry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadFigures {
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Requests that were due.
    pub scheduled: u64,
    /// Those with a good answer.
    pub answered: u64,
    /// Those without, after all tries.
    pub failed: u64,
    /// Those of which nothing is known.
    pub lost: u64,
    /// Those whose first try failed.
    pub first_try_failed: u64,
    /// The same by kind.
    pub first_try_failures: BTreeMap<String, u64>,
    /// Tries that failed while they were under way: each may have been counted, or not.
    pub in_flight: u64,
    /// What was sent until a first answer came; it is in no other figure.
    pub before: Before,
    /// Answers by version.
    pub versions: BTreeMap<String, VersionFigures>,
    /// First tries that failed, one by one.
    pub failures: Vec<FirstFailure>,
}

/// What was sent before the stream.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// Good answers.
    pub answered: u64,
    /// Tries that failed while they were under way.
    pub in_flight: u64,
}

/// The answers of one version.
#[derive(Clone, Debug, Deserialize)]
pub struct VersionFigures {
    /// How many.
    pub answers: u64,
    /// When the first answered request was due, in seconds from the start.
    pub first: f64,
    /// When the last one was.
    pub last: f64,
}

/// A first try that failed.
#[derive(Clone, Debug, Deserialize)]
pub struct FirstFailure {
    /// When the request was due.
    pub at: Timestamp,
    /// How it failed, in one word.
    pub kind: String,
}

// === impl Story ===

impl Story {
    /// Sends this many requests a second to a model until [`Load::stop`], half an hour at most. A request that fails is sent again
    /// this many times, a second later. Returns once requests are answered.
    pub async fn load(&self, model: &str, rate: u32, retries: u32) -> Result<Load<'_>> {
        let url = format!("http://{model}.{}.svc/predict", self.namespace);
        let (rate, retries) = (rate.to_string(), retries.to_string());
        let arguments = [
            "send",
            "--url",
            &url,
            "--rate",
            &rate,
            "--retries",
            &retries,
            "--retry-after-ms",
            "1000",
            "--seconds",
            "1800",
            "--synthetic-key",
            TRAFFIC_KEY,
        ];
        let pod = format!("load-{model}");
        self.start_client(&pod, model, &arguments).await?;
        until("the client counts its first requests", SOON, async || {
            let log = self.all::<Pod>().logs(&pod, &LogParams::default()).await?;
            if self.phase(&pod).await? == "Failed" {
                bail!("the client has ended:\n{log}");
            }
            Ok(log.contains(" answered, ").then_some(()))
        })
        .await?;
        Ok(Load { story: self, pod })
    }
}

// === impl Load ===

impl Load<'_> {
    /// Ends the stream in order. Every request has to have been answered.
    pub async fn stop(self) -> Result<LoadFigures> {
        let (story, pod) = (self.story, &self.pod);
        let stop = [
            "exec",
            "--namespace",
            &story.namespace,
            pod,
            "--",
            "/modelward",
            "stop",
        ];
        let stopped = story.cluster.kubectl(None, &stop).await?;
        ensure!(
            stopped.status.success(),
            "the client did not stop: {}",
            words(&stopped)
        );
        let (figures, _) = story.figures_of::<LoadFigures>(pod, ENDED).await?;
        println!("{figures}");
        ensure!(
            figures.failed == 0 && figures.lost == 0,
            "{} requests failed and {} are lost",
            figures.failed,
            figures.lost
        );
        Ok(figures)
    }
}

// === impl LoadFigures ===

impl LoadFigures {
    /// Every answer, also those from before the stream.
    pub fn all_answered(&self) -> u64 {
        self.answered + self.before.answered
    }

    /// Every try of which it is unknown whether it was counted.
    pub fn all_in_flight(&self) -> u64 {
        self.in_flight + self.before.in_flight
    }

    /// Checks that each first try that failed was due near one of these moments, at which something was killed.
    pub fn failed_only_near(&self, moments: &[Timestamp]) -> Result<()> {
        let is_near = |failure: &&FirstFailure| {
            moments.iter().any(|moment| {
                let after = failure.at.duration_since(*moment);
                (-DUE_BEFORE..=DUE_AFTER).contains(&after)
            })
        };
        let others: Vec<_> = self.failures.iter().filter(|failure| !is_near(failure)).collect();
        ensure!(
            others.is_empty(),
            "requests failed that were not under way when something was killed, which was at {moments:?}: {others:?}"
        );
        Ok(())
    }
}

impl fmt::Display for LoadFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests in {:.0} s: {} answered, {} failed; first tries that failed: {:?}; in flight: {}",
            self.scheduled,
            self.seconds,
            self.answered,
            self.failed,
            self.first_try_failures,
            self.all_in_flight()
        )?;
        for (version, figures) in &self.versions {
            let VersionFigures { answers, first, last } = figures;
            write!(
                f,
                "\n{version}: {answers} answers, second {first:.1} to {last:.1}"
            )?;
        }
        Ok(())
    }
}
