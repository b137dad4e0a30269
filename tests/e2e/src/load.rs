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

/// Time limit for the client to finish its requests and print its figures.
const ENDED: Duration = Duration::from_secs(30);
/// A first attempt may fail if it was due at most this long before its server was killed: the maximum duration of an attempt.
const DUE_BEFORE: SignedDuration = SignedDuration::from_secs(6);
/// A first attempt may fail if it was due at most this long after its server was killed: until then, the Service may send
/// connections to a Pod whose container is restarting.
const DUE_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// A stream of synthetic requests through the Service of a model.
pub struct Load<'a> {
    story: &'a Story,
    pod: String,
}

/// The results of the requests of a [`Load`]. Each was answered, some after a retry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadFigures {
    /// Duration in seconds.
    pub seconds: f64,
    /// Requests that were due.
    pub scheduled: u64,
    /// Requests with a good response.
    pub answered: u64,
    /// Requests without a good response after all attempts.
    pub failed: u64,
    /// Requests whose result is unknown.
    pub lost: u64,
    /// Requests whose first attempt failed.
    pub first_try_failed: u64,
    /// The same by kind.
    pub first_try_failures: BTreeMap<String, u64>,
    /// Attempts that failed in flight: each may or may not have been counted.
    pub in_flight: u64,
    /// The requests until the first response. No other figure includes them.
    pub before: Before,
    /// Responses by version.
    pub versions: BTreeMap<String, VersionFigures>,
    /// The first attempts that failed.
    pub failures: Vec<FirstFailure>,
}

/// The requests before the stream.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// Good responses.
    pub answered: u64,
    /// Attempts that failed in flight.
    pub in_flight: u64,
}

/// The responses of one version.
#[derive(Clone, Debug, Deserialize)]
pub struct VersionFigures {
    /// Number of responses.
    pub answers: u64,
    /// Due time of the first answered request, in seconds from the start.
    pub first: f64,
    /// Due time of the last one.
    pub last: f64,
}

/// A first attempt that failed.
#[derive(Clone, Debug, Deserialize)]
pub struct FirstFailure {
    /// Due time of the request.
    pub at: Timestamp,
    /// The kind of failure, in one word.
    pub kind: String,
}

// === impl Story ===

impl Story {
    /// Sends this many requests per second to a model until [`Load::stop`], for half an hour at most. A failed request is retried
    /// this many times, each a second later. Returns once requests are answered.
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
    /// Ends the stream. Every request must have been answered.
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
    /// The number of responses, including those before the stream.
    pub fn all_answered(&self) -> u64 {
        self.answered + self.before.answered
    }

    /// The number of attempts that may or may not have been counted.
    pub fn all_in_flight(&self) -> u64 {
        self.in_flight + self.before.in_flight
    }

    /// Checks that each failed first attempt was due near one of these times, at which something was killed.
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
            "requests failed that were not in flight when something was killed, which was at {moments:?}: {others:?}"
        );
        Ok(())
    }
}

impl fmt::Display for LoadFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests in {:.0} s: {} answered, {} failed; failed first attempts: {:?}; in flight: {}",
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
