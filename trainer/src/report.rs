//! What a running step reports: log lines, progress and result in the ledger, the termination message.

use std::{
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modelward_wire::{JobResult, JobStage, Progress, TERMINATION_MESSAGE_LIMIT, shorten};
use tokio::sync::watch;

use crate::ledger::Ledger;

/// Minimum time between two log lines, and between two calls of the ledger.
const LOG_EVERY: Duration = Duration::from_secs(2);

/// Texts of a termination message that is still too long are cut to this many characters.
const SHORTER: [usize; 4] = [240, 120, 48, 16];

/// No name of a family is longer.
const LONGEST_NAME: usize = 48;

/// Reports the progress of a step.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    last: Mutex<Option<(Instant, u8)>>,
    sink: watch::Sender<Option<Progress>>,
}

// === impl Meter ===

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    /// Starts the clock.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            last: Mutex::new(None),
            sink: watch::Sender::new(None),
        }
    }

    /// Reports that the step is at `percent` of the Job. Logged if it is the first report, the last, or some time after the previous one.
    pub fn at(&self, step: &str, percent: u8) {
        let percent = percent.min(100);
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match *last {
            None => true,
            // Threads report in any order: the percentage never decreases.
            Some((_, before)) if percent < before => false,
            Some((at, before)) => percent == 100 && before < 100 || now - at >= LOG_EVERY,
        };
        if !due {
            return;
        }
        *last = Some((now, percent));
        let remaining = remaining(now - self.started, percent);
        let left = remaining
            .map(|left| format!(", about {left} s left"))
            .unwrap_or_default();
        tracing::info!(percent, seconds_left = remaining, "{step}: {percent} %{left}");
        self.sink.send_replace(Some(Progress {
            step: step.to_owned(),
            percent,
            remaining_seconds: remaining,
        }));
    }

    /// Starts a task that sends the newest progress to the ledger. Failed calls are not retried.
    pub fn publish_to(&self, ledger: Ledger) -> tokio::task::JoinHandle<()> {
        let mut newest = self.sink.subscribe();
        tokio::spawn(async move {
            while newest.changed().await.is_ok() {
                let progress = newest.borrow_and_update().clone();
                if let Some(progress) = progress
                    && let Err(error) = ledger.put_progress(&progress).await
                {
                    tracing::debug!(%error, "progress was not recorded");
                }
                tokio::time::sleep(LOG_EVERY).await;
            }
        })
    }
}

/// Seconds left at the pace so far; unknown at the very start.
fn remaining(elapsed: Duration, percent: u8) -> Option<u64> {
    let percent = u64::from(percent);
    if percent < 2 {
        return None;
    }
    u64::try_from(elapsed.as_millis())
        .ok()?
        .checked_mul(100 - percent.min(100))?
        .checked_div(percent * 1000)
}

/// The result as a termination message: valid JSON, always under 4096 bytes.
///
/// The kubelet truncates longer messages, and truncated JSON cannot be parsed. A message that leaves something out is marked, and the
/// operator then prefers the result in the ledger. Texts for people are cut first: what the operator compares with the artifact stays
/// whole as long as anything else is left. Verdict, digest, rows and the number of violations always stay.
pub fn termination_message(result: &JobResult) -> Vec<u8> {
    let mut short = result.abridged();
    if let Some(bytes) = fitting(&short) {
        return bytes;
    }
    short.cut = true;
    cut_until_it_fits(&mut short);
    if let Some(bytes) = fitting(&short) {
        return bytes;
    }
    let mut least = JobResult::new(result.stage, result.verdict, "");
    least.cut = true;
    least.digest = result.digest;
    least.rows = result.rows;
    least.new_rows = result.new_rows;
    least.imported.clone_from(&result.imported);
    least.violations_total = result.violations_total;
    fitting(&least).unwrap_or_default()
}

/// Cuts what matters least first. The last step is for results that no trainer makes.
fn cut_until_it_fits(short: &mut JobResult) {
    for limit in SHORTER {
        if is_long(short) {
            shorten_texts(short, limit);
        }
    }
    while is_long(short) && short.warnings.pop().is_some() {}
    if short.stage != JobStage::Snapshot {
        // Only a snapshot states sources that they could be compared with.
        while is_long(short) && short.sources.pop().is_some() {}
    }
    if is_long(short) {
        let family = short.family.as_deref();
        short.family = family.map(|family| shorten(family, LONGEST_NAME));
    }
    while is_long(short)
        && (short.gates.pop().is_some()
            || short.metrics.pop().is_some()
            || short.sources.pop().is_some()
            || short.violations.pop().is_some())
    {}
}

/// Writes the termination message.
pub fn write_termination(path: &Path, result: &JobResult) -> io::Result<()> {
    fs::write(path, termination_message(result))
}

fn is_long(result: &JobResult) -> bool {
    fitting(result).is_none()
}

fn fitting(result: &JobResult) -> Option<Vec<u8>> {
    serde_json::to_vec(result)
        .ok()
        .filter(|bytes| bytes.len() < TERMINATION_MESSAGE_LIMIT)
}

/// Shortens texts that are not compared: sources of a message that is cut are compared without their names.
fn shorten_texts(result: &mut JobResult, limit: usize) {
    let cut = |text: &mut String| *text = shorten(text, limit);
    cut(&mut result.message);
    for violation in result.violations.iter_mut().chain(&mut result.warnings) {
        cut(&mut violation.column);
        cut(&mut violation.rule);
        cut(&mut violation.message);
    }
    result.sources.iter_mut().for_each(|source| cut(&mut source.name));
}

#[cfg(test)]
mod tests {
    use modelward_core::results::{Asked, Work, believe, training_digest};
    use modelward_crds::{MetricName, TrainingSource};
    use modelward_model::sha256;
    use modelward_wire::{
        ArtifactStatement, Digest, GateResult, MetricValue, NewRows, SourceRecord, Stated, Verdict, Violation,
    };
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn violation(text: &str) -> Violation {
        Violation {
            column: text.to_owned(),
            rule: "Range".into(),
            message: text.to_owned(),
            count: 3,
            example_row: Some(1),
        }
    }

    #[test]
    fn an_ordinary_result_is_reported_whole() {
        let mut result = JobResult::new(JobStage::Fit, Verdict::Succeeded, "trained LogisticRegression");
        result.digest = Some(sha256(b"x"));
        result.metrics = (0..7)
            .map(|at| MetricValue {
                name: format!("Metric{at}"),
                mean: "0.815100".parse().unwrap(),
                standard_error: "0.024000".parse().unwrap(),
            })
            .collect();
        let read: JobResult = serde_json::from_slice(&termination_message(&result)).unwrap();
        assert_eq!(read, result);
    }

    #[test]
    fn the_worst_result_is_cut_and_keeps_verdict_and_counts() {
        let long = "\u{1}\"💥".repeat(2000);
        let mut result = JobResult::new(JobStage::Snapshot, Verdict::DataInvalid, long.clone());
        result.violations = vec![violation(&long); 500];
        result.violations_total = 500;
        result.warnings = vec![violation(&long); 20];
        result.rows = Some(7);
        result.family = Some(long.clone());
        result.sources = vec![
            SourceRecord {
                name: long.clone(),
                sha256: sha256(b"x"),
                rows: 1,
                positive_rows: Some(1),
            };
            50
        ];
        result.metrics = vec![
            MetricValue {
                name: long.clone(),
                mean: "1".parse().unwrap(),
                standard_error: "1".parse().unwrap()
            };
            50
        ];
        result.gates = vec![
            GateResult {
                metric: long.clone(),
                bound: long.into(),
                value: "1".parse().unwrap(),
                passed: false
            };
            50
        ];
        let bytes = termination_message(&result);
        assert!(bytes.len() < TERMINATION_MESSAGE_LIMIT, "{}", bytes.len());
        let read: JobResult = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            (read.verdict, read.violations_total, read.rows),
            (Verdict::DataInvalid, 500, Some(7))
        );
        assert!(!read.violations.is_empty(), "{read:?}");
    }

    const SNAPSHOT: Digest = Digest::from_bytes([1; 32]);

    /// As many datasets and gates as a spec may have, with the longest bounds, and a comparison with another version.
    fn largest_training() -> TrainingSource {
        let dataset = json!({"uri": "https://example.com/data.csv"});
        let more: Vec<_> = (0..8)
            .map(|at| json!({"name": format!("data-{at}"), "dataset": dataset}))
            .collect();
        let gates =
            MetricName::ALL.map(|metric| json!({"metric": metric.as_str(), "atLeast": "0.123456789012"}));
        serde_json::from_value(json!({
            "dataset": dataset,
            "additionalDatasets": more,
            "target": {"column": "y"},
            "gates": gates,
            "notWorseThan": {"version": "v".repeat(45), "bundle": SNAPSHOT, "margin": "0.123456789012"},
        }))
        .unwrap()
    }

    /// What the snapshot and the bundle of this training state.
    fn largest_statement(training: &TrainingSource) -> Stated {
        let metric = |name: MetricName| MetricValue {
            name: name.as_str().to_owned(),
            mean: "0.815100".parse().unwrap(),
            standard_error: "0.024000".parse().unwrap(),
        };
        let metrics = MetricName::ALL.map(metric).to_vec();
        let gate = |metric: &MetricValue| GateResult {
            metric: metric.name.clone(),
            bound: "atLeast 0.123456789012".into(),
            value: metric.mean.clone(),
            passed: true,
        };
        let compared = |rows: &str| GateResult {
            metric: "BalancedAccuracy".into(),
            bound: format!("notWorseThan {} by 0.123456789012 on {rows} rows", "v".repeat(45)).into(),
            value: "-0.010000".parse().unwrap(),
            passed: true,
        };
        let source = |at: u64| SourceRecord {
            name: "s".repeat(600),
            sha256: sha256(&at.to_be_bytes()),
            rows: 1_000_000_000,
            positive_rows: Some(500_000_000),
        };
        Stated {
            rows: 9_000_000_000,
            sources: (0..9).map(source).collect(),
            model: Some("heart".into()),
            family: Some("LogisticRegression".into()),
            threshold: "0.123456789012".parse().ok(),
            snapshot: Some(SNAPSHOT),
            training: training_digest(training),
            gates: metrics
                .iter()
                .map(gate)
                .chain(["all", "new"].map(compared))
                .collect(),
            metrics,
            ..Stated::default()
        }
    }

    #[test]
    fn the_message_of_the_largest_result_is_marked_as_cut_and_the_operator_accepts_it() {
        let training = largest_training();
        let stated = largest_statement(&training);
        let asked = Asked {
            model: "heart",
            work: Work::Training {
                training: &training,
                snapshot: Some(SNAPSHOT),
            },
        };
        for stage in [JobStage::Snapshot, JobStage::Fit] {
            let mut result = JobResult::new(stage, Verdict::Succeeded, "x".repeat(2000));
            result.digest = Some(sha256(b"x"));
            result.rows = Some(stated.rows);
            result.sources.clone_from(&stated.sources);
            result.warnings = vec![violation(&"w".repeat(900)); 20];
            if stage == JobStage::Snapshot {
                result.new_rows = Some(NewRows {
                    rows: 4_000_000_000,
                    positive_rows: 2_000_000_000,
                    repeated_rows: 4_000_000_000,
                });
            } else {
                result.family.clone_from(&stated.family);
                result.threshold.clone_from(&stated.threshold);
                result.metrics.clone_from(&stated.metrics);
                result.gates.clone_from(&stated.gates);
            }
            let short: JobResult = serde_json::from_slice(&termination_message(&result)).unwrap();
            assert!(short.cut);
            assert_eq!((&short.metrics, &short.gates), (&result.metrics, &result.gates));
            let statement = ArtifactStatement {
                kind: stage.publishes(),
                stated: stated.clone(),
            };
            let accepted = believe(&asked, &short, &statement).unwrap();
            assert_eq!(accepted.rows, Some(stated.rows));
        }
    }

    proptest! {
        #[test]
        fn every_message_fits_and_parses(message in ".{0,600}", texts in prop::collection::vec(".{0,300}", 0..9)) {
            let mut result = JobResult::new(JobStage::Snapshot, Verdict::DataInvalid, message);
            result.violations = texts.iter().map(|text| violation(text)).collect();
            let bytes = termination_message(&result);
            prop_assert!(bytes.len() < TERMINATION_MESSAGE_LIMIT);
            serde_json::from_slice::<JobResult>(&bytes).unwrap();
        }
    }

    #[test]
    fn the_time_left_is_that_of_the_pace_so_far() {
        assert_eq!(remaining(Duration::from_secs(10), 25), Some(30));
        assert_eq!(remaining(Duration::from_secs(10), 100), Some(0));
        assert_eq!(remaining(Duration::from_secs(10), 0), None);
    }

    #[tokio::test]
    async fn progress_never_goes_back() {
        let meter = Meter::new();
        let newest = meter.sink.subscribe();
        meter.at("a", 50);
        meter.at("late", 40);
        meter.at("end", 100);
        assert_eq!(newest.borrow().as_ref().unwrap().percent, 100);
        assert_eq!(newest.borrow().as_ref().unwrap().step, "end");
    }
}
