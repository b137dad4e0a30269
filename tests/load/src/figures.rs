//! The figures of a load, and how they are reported.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    answer::Answer,
    pool::{Counts, Failure},
};

/// Maximum number of failures that are reported individually; the others are only counted.
const REPORTED: usize = 1000;

/// The result of one scheduled request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Due time, from the start.
    pub due: Duration,
    /// Delay after the due time at which the client sent it.
    pub late: Duration,
    /// Time from the due time to its end, including retries.
    pub elapsed: Duration,
    /// How it ended.
    pub result: Result<Answer, Failure>,
    /// How its first attempt failed, if it was retried.
    pub first_failure: Option<FirstFailure>,
    /// Number of its attempts that failed in flight.
    pub under_way: u64,
}

/// How a first attempt failed.
#[derive(Clone, Debug)]
pub struct FirstFailure {
    /// The failure.
    pub failure: Failure,
    /// Time from the due time to the failure.
    pub elapsed: Duration,
}

/// The sums of a load.
#[derive(Clone, Debug)]
pub struct Figures {
    started: Timestamp,
    rate: u32,
    scheduled: u64,
    seconds: Duration,
    answered: u64,
    failed: u64,
    first_try_failed: u64,
    under_way: u64,
    before: Before,
    versions: BTreeMap<String, Span>,
    kinds: BTreeMap<&'static str, u64>,
    reported: Vec<FailureReport>,
    latencies: Vec<Duration>,
    lateness: Vec<Duration>,
    connections: Counts,
}

#[derive(Clone, Debug)]
struct Span {
    answers: u64,
    first: Duration,
    last: Duration,
}

/// The figures as they are printed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Start of the schedule.
    pub started: Timestamp,
    /// Duration in seconds.
    pub seconds: f64,
    /// Requests per second.
    pub rate: u32,
    /// Requests that were due. Each was sent.
    pub scheduled: u64,
    /// Requests with a good response.
    pub answered: u64,
    /// Requests without a good response after all attempts.
    pub failed: u64,
    /// Requests whose result is unknown: 0, unless the client itself has a bug.
    pub lost: u64,
    /// Requests whose first attempt failed.
    pub first_try_failed: u64,
    /// Attempts that failed in flight, including retries: a server may or may not have counted each of them.
    pub in_flight: u64,
    /// The requests before the schedule.
    pub before: Before,
    /// Failed first attempts, by kind.
    pub first_try_failures: BTreeMap<&'static str, u64>,
    /// Good responses by version.
    pub versions: BTreeMap<String, VersionReport>,
    /// Latency from the due time to the good response, including retries, in milliseconds.
    pub latency_ms: Percentiles,
    /// Delay from the due time to sending, in milliseconds: how well the client kept its schedule.
    pub lateness_ms: Percentiles,
    /// Connections that were opened.
    pub connections_opened: u64,
    /// Kept-alive connections that were closed before anything was written to them.
    pub connections_found_closed: u64,
    /// The first 1000 failures of first attempts.
    pub failures: Vec<FailureReport>,
}

/// The requests until the first good response. No other figure includes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// Good responses.
    pub answered: u64,
    /// Attempts that failed in flight.
    pub in_flight: u64,
}

/// Responses of one version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VersionReport {
    /// Number of responses.
    pub answers: u64,
    /// Due time of the first answered request, in seconds from the start.
    pub first: f64,
    /// Due time of the last one.
    pub last: f64,
}

/// The failure of a first attempt.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureReport {
    /// Due time of the request.
    pub at: Timestamp,
    /// The same in seconds from the start.
    pub second: f64,
    /// The kind of failure, in one word.
    pub kind: &'static str,
    /// The description of the failure.
    pub detail: String,
    /// Time from the due time to the failure, in milliseconds.
    pub elapsed_ms: f64,
    /// Whether a later attempt was answered.
    pub recovered: bool,
}

/// Nearest-rank percentiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// 50% are at most this.
    pub p50: f64,
    /// 90% are at most this.
    pub p90: f64,
    /// 99% are at most this.
    pub p99: f64,
    /// 99.9% are at most this.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

// === impl Figures ===

impl Figures {
    /// Figures without any requests.
    pub fn new(rate: u32) -> Self {
        Self {
            started: Timestamp::now(),
            rate,
            scheduled: 0,
            seconds: Duration::ZERO,
            answered: 0,
            failed: 0,
            first_try_failed: 0,
            under_way: 0,
            before: Before::default(),
            versions: BTreeMap::new(),
            kinds: BTreeMap::new(),
            reported: Vec::new(),
            latencies: Vec::new(),
            lateness: Vec::new(),
            connections: Counts::default(),
        }
    }

    /// Counts one request. If its first attempt failed, returns a line that describes the failure.
    pub fn record(&mut self, outcome: Outcome) -> Option<String> {
        let Outcome {
            due,
            late,
            elapsed,
            result,
            first_failure,
            under_way,
        } = outcome;
        self.lateness.push(late);
        self.under_way += under_way;
        let recovered = result.is_ok();
        let last_failure = match result {
            Ok(answer) => {
                self.answered += 1;
                self.latencies.push(elapsed);
                let span = Span {
                    answers: 0,
                    first: due,
                    last: due,
                };
                let span = self.versions.entry(answer.version).or_insert(span);
                span.answers += 1;
                span.first = span.first.min(due);
                span.last = span.last.max(due);
                None
            }
            Err(failure) => {
                self.failed += 1;
                Some(FirstFailure { failure, elapsed })
            }
        };
        let FirstFailure { failure, elapsed } = first_failure.or(last_failure)?;
        self.first_try_failed += 1;
        *self.kinds.entry(failure.kind()).or_default() += 1;
        if self.reported.len() >= REPORTED {
            return None;
        }
        let at = self.started.checked_add(due).unwrap_or(self.started);
        let (second, elapsed_ms) = (thousandths(due.as_secs_f64()), milliseconds(elapsed));
        let outcome = if recovered {
            "answered at a later try"
        } else {
            "failed"
        };
        let line = format!("{outcome}: due {at} (second {second:.3}), {elapsed_ms:.1} ms: {failure}");
        let detail = failure.to_string();
        self.reported.push(FailureReport {
            at,
            second,
            kind: failure.kind(),
            detail,
            elapsed_ms,
            recovered,
        });
        Some(line)
    }

    /// Records the requests before the schedule.
    #[must_use]
    pub fn after(self, before: Before) -> Self {
        Self { before, ..self }
    }

    /// Records the end of the schedule.
    pub fn close(&mut self, scheduled: u64, seconds: Duration, connections: Counts) {
        self.scheduled = scheduled;
        self.seconds = seconds;
        self.connections = connections;
    }

    /// Whether every scheduled request has a good response.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.answered == self.scheduled
    }

    /// A readable progress line.
    pub fn progress(&self, elapsed: Duration) -> String {
        let mut line = format!(
            "{:>5.0} s: {} answered, {} failed, {} first tries failed;",
            elapsed.as_secs_f64(),
            self.answered,
            self.failed,
            self.first_try_failed
        );
        for (version, span) in &self.versions {
            // Writing to a String cannot fail.
            let _ = write!(line, " {version} {}", span.answers);
        }
        line
    }

    /// The figures as they are printed.
    pub fn report(&self) -> Report {
        let version = |(name, span): (&String, &Span)| {
            let report = VersionReport {
                answers: span.answers,
                first: thousandths(span.first.as_secs_f64()),
                last: thousandths(span.last.as_secs_f64()),
            };
            (name.clone(), report)
        };
        Report {
            started: self.started,
            seconds: thousandths(self.seconds.as_secs_f64()),
            rate: self.rate,
            scheduled: self.scheduled,
            answered: self.answered,
            failed: self.failed,
            lost: self.scheduled.saturating_sub(self.answered + self.failed),
            first_try_failed: self.first_try_failed,
            in_flight: self.under_way,
            before: self.before,
            first_try_failures: self.kinds.clone(),
            versions: self.versions.iter().map(version).collect(),
            latency_ms: Percentiles::of(&self.latencies),
            lateness_ms: Percentiles::of(&self.lateness),
            connections_opened: self.connections.opened,
            connections_found_closed: self.connections.found_closed,
            failures: self.reported.clone(),
        }
    }
}

// === impl Percentiles ===

impl Percentiles {
    /// Without durations: zeros.
    pub fn of(durations: &[Duration]) -> Self {
        let mut sorted = durations.to_vec();
        sorted.sort_unstable();
        let rank = |per_mille: usize| {
            // The smallest value that at least this share of the values does not exceed.
            let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
            sorted.get(rank - 1).copied().map_or(0.0, milliseconds)
        };
        Self {
            p50: rank(500),
            p90: rank(900),
            p99: rank(990),
            p999: rank(999),
            max: rank(1000),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    thousandths(duration.as_secs_f64() * 1000.0)
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(due_ms: u64, version: &str, elapsed_ms: u64) -> Outcome {
        Outcome {
            due: Duration::from_millis(due_ms),
            late: Duration::ZERO,
            elapsed: Duration::from_millis(elapsed_ms),
            result: Ok(Answer {
                version: version.to_owned(),
            }),
            first_failure: None,
            under_way: 0,
        }
    }

    fn failed(due_ms: u64) -> Outcome {
        let result = Err(Failure::Connect("connection refused".to_owned()));
        Outcome {
            result,
            ..answered(due_ms, "", 3)
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let durations: Vec<_> = (1..=1000).rev().map(Duration::from_millis).collect();
        let expected = Percentiles {
            p50: 500.0,
            p90: 900.0,
            p99: 990.0,
            p999: 999.0,
            max: 1000.0,
        };
        assert_eq!(Percentiles::of(&durations), expected);
    }

    #[test]
    fn percentiles_of_few_and_of_none() {
        assert_eq!(Percentiles::of(&[]), Percentiles::default());
        let one = Percentiles::of(&[Duration::from_micros(1500)]);
        assert_eq!(
            one,
            Percentiles {
                p50: 1.5,
                p90: 1.5,
                p99: 1.5,
                p999: 1.5,
                max: 1.5
            }
        );
        let two = Percentiles::of(&[Duration::from_millis(9), Duration::from_millis(1)]);
        assert_eq!((two.p50, two.p90, two.max), (1.0, 9.0, 9.0));
    }

    #[test]
    fn every_request_is_counted_once_and_versions_have_their_time() {
        let mut figures = Figures::new(200);
        for outcome in [
            answered(5, "a", 1),
            answered(0, "a", 1),
            answered(15, "b", 2),
            failed(10),
        ] {
            figures.record(outcome);
        }
        figures.close(4, Duration::from_millis(20), Counts::default());
        let report = figures.report();
        assert_eq!(
            (report.scheduled, report.answered, report.failed, report.lost),
            (4, 3, 1, 0)
        );
        assert_eq!(
            report.versions["a"],
            VersionReport {
                answers: 2,
                first: 0.0,
                last: 0.005
            }
        );
        assert_eq!(
            report.versions["b"],
            VersionReport {
                answers: 1,
                first: 0.015,
                last: 0.015
            }
        );
        assert_eq!(
            (report.first_try_failed, report.first_try_failures["Connect"]),
            (1, 1)
        );
        assert_eq!(
            (report.failures[0].second, report.failures[0].recovered),
            (0.01, false)
        );
        assert!(!figures.is_clean());
    }

    #[test]
    fn a_retry_that_is_answered_is_clean_and_its_first_failure_is_reported() {
        let mut figures = Figures::new(200);
        let first = FirstFailure {
            failure: Failure::Broken("reset".to_owned()),
            elapsed: Duration::from_millis(2),
        };
        let line = figures.record(Outcome {
            first_failure: Some(first),
            under_way: 1,
            ..answered(0, "a", 210)
        });
        assert!(line.unwrap().starts_with("answered at a later try"));
        figures.close(1, Duration::from_millis(5), Counts::default());
        let report = figures.report();
        assert!(figures.is_clean());
        assert_eq!(
            (report.answered, report.failed, report.first_try_failed),
            (1, 0, 1)
        );
        assert_eq!(
            (report.failures[0].elapsed_ms, report.latency_ms.max),
            (2.0, 210.0)
        );
        assert!(report.failures[0].recovered);
        assert_eq!(report.in_flight, 1);
    }

    #[test]
    fn a_request_without_an_outcome_is_lost_and_not_clean() {
        let mut figures = Figures::new(200);
        figures.record(answered(0, "a", 1));
        figures.close(2, Duration::from_millis(10), Counts::default());
        assert_eq!(figures.report().lost, 1);
        assert!(!figures.is_clean());
    }

    #[test]
    fn many_failures_are_counted_and_the_first_are_reported() {
        let mut figures = Figures::new(200);
        let lines = (0..REPORTED as u64 + 50)
            .filter_map(|due| figures.record(failed(due)))
            .count();
        assert_eq!((lines, figures.report().failures.len()), (REPORTED, REPORTED));
        assert_eq!(figures.report().first_try_failed, REPORTED as u64 + 50);
    }
}
