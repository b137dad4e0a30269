//! The life of a version: a reference, followed by windows.

use modelward_profile::{Comparison, Counts, Judgement, Reference, Rule, WindowCounts, judge};
use modelward_wire::DriftVerdict;

/// The number of windows that the ledger reads for a report.
const KEPT: usize = 24;
/// The number of seasons that it reads if traffic repeats.
const KEPT_SEASONS: u64 = 4;
/// The length of a window in seconds.
pub const HOUR: u64 = 3600;

/// Judges hourly windows one after the other, as the ledger does.
pub struct Life {
    reference: Reference,
    rule: Rule,
    /// Windows before the first one.
    first: u64,
    windows: Vec<Counts>,
    drawn: u64,
}

// === impl Life ===

impl Life {
    /// A version that has been monitored for `first` hours before its first window here.
    pub fn new(reference: Reference, rule: Rule, first: u64) -> Self {
        Self {
            reference,
            rule,
            first,
            windows: Vec::new(),
            drawn: 0,
        }
    }

    /// Adds a window without judging it.
    pub fn pass(&mut self, window: Counts) {
        let kept = self
            .rule
            .season
            .map_or(KEPT, |season| (KEPT_SEASONS * season.seconds / HOUR) as usize);
        if self.windows.len() == kept {
            self.windows.remove(0);
        }
        self.windows.push(window);
        self.drawn += 1;
    }

    /// The judgement on the next window.
    pub fn judge(&mut self, window: Counts) -> Judgement {
        self.pass(window);
        let oldest = self.first + self.drawn - self.windows.len() as u64;
        let windows: Vec<_> = self
            .windows
            .iter()
            .zip(oldest..)
            .map(|(counts, hour)| WindowCounts {
                from: hour * HOUR,
                to: (hour + 1) * HOUR,
                counts,
            })
            .collect();
        judge(&self.reference, &windows, &self.rule).expect("counts that fit")
    }

    /// The number of the first window that drifts, from 1; `None` if none of `most` does.
    pub fn first_alarm(&mut self, most: usize, mut next: impl FnMut() -> Counts) -> Option<usize> {
        (1..=most).find(|_| self.judge(next()).verdict == DriftVerdict::Drift)
    }

    /// The same for a statistically significant change of any size.
    pub fn first_change(&mut self, most: usize, mut next: impl FnMut() -> Counts) -> Option<usize> {
        (1..=most).find(|_| {
            let judgement = self.judge(next());
            let tests = judgement.features.iter().flat_map(|feature| &feature.tests);
            let mut comparisons = tests.map(|test| &test.comparison).chain([&judgement.score]);
            comparisons.any(Comparison::has_changed)
        })
    }
}
