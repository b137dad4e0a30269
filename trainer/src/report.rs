//! What a running step reports: log lines, progress and result in the ledger, the termination message.

use std::{
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modelward_wire::{JobResult, Progress, TERMINATION_MESSAGE_LIMIT};
use tokio::sync::watch;

use crate::ledger::Ledger;

/// Minimum time between two log lines, and between two calls of the ledger.
const LOG_EVERY: Duration = Duration::from_secs(2);

/// Texts of a termination message that is still too long are cut to this many characters.
const SHORTER: [usize; 4] = [240, 120, 48, 16];

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
/// The kubelet truncates longer messages, and truncated JSON cannot be parsed. Texts are shortened first, then
/// lists; verdict, digest, rows and the number of violations always stay.
pub fn termination_message(result: &JobResult) -> Vec<u8> {
    let mut short = result.abridged();
    for limit in SHORTER {
        if let Some(bytes) = fitting(&short) {
            return bytes;
        }
        shorten(&mut short, limit);
    }
    // Lists lose their last entries first: there are at most 10 metrics and 13 gates, and the first ones matter most.
    while fitting(&short).is_none()
        && (short.warnings.pop().is_some()
            || short.metrics.len() > 7 && short.metrics.pop().is_some()
            || short.gates.len() > 9 && short.gates.pop().is_some()
            || short.sources.pop().is_some()
            || short.violations.pop().is_some()
            || short.gates.pop().is_some()
            || short.metrics.pop().is_some())
    {}
    if let Some(bytes) = fitting(&short) {
        return bytes;
    }
    let mut least = JobResult::new(result.stage, result.verdict, "");
    least.digest = result.digest;
    least.rows = result.rows;
    least.new_rows = result.new_rows;
    least.imported.clone_from(&result.imported);
    least.violations_total = result.violations_total;
    fitting(&least).unwrap_or_default()
}

/// Writes the termination message.
pub fn write_termination(path: &Path, result: &JobResult) -> io::Result<()> {
    fs::write(path, termination_message(result))
}

fn fitting(result: &JobResult) -> Option<Vec<u8>> {
    serde_json::to_vec(result)
        .ok()
        .filter(|bytes| bytes.len() < TERMINATION_MESSAGE_LIMIT)
}

fn shorten(result: &mut JobResult, limit: usize) {
    let cut = |text: &mut String| {
        *text = modelward_wire::shorten(text, limit);
    };
    cut(&mut result.message);
    result.family.iter_mut().for_each(cut);
    for violation in result.violations.iter_mut().chain(&mut result.warnings) {
        cut(&mut violation.column);
        cut(&mut violation.rule);
        cut(&mut violation.message);
    }
    result.sources.iter_mut().for_each(|source| cut(&mut source.name));
    result.metrics.iter_mut().for_each(|metric| cut(&mut metric.name));
    for gate in &mut result.gates {
        cut(&mut gate.metric);
        let mut bound = gate.bound.to_string();
        cut(&mut bound);
        gate.bound = bound.into();
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::sha256;
    use modelward_wire::{GateResult, JobStage, MetricValue, SourceRecord, Verdict, Violation};
    use proptest::prelude::*;

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
