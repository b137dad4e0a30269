//! Whether the amount of traffic has changed.
//!
//! If nothing changes, the numbers of rows of a model's windows have the same distribution, or one distribution for each phase of a
//! season. Then every order of them in a phase is equally likely: the newest a are all below the t before with probability
//! 1/C(t + a, a). Over the phases of the newest m windows these probabilities multiply. A step is tested for several numbers m,
//! downwards and upwards. They share the level.
//!
//! The size of a step is 1 − smaller/larger of the two means. The bound uses the variance of windows around the mean of their phase
//! as the noise of both.

use crate::{
    compare::comparison, judgement::Comparison, number::Exact, rule::Rule, sides::Sides,
    stats::special::normal_quantile, test::Size,
};

/// A change below this is tolerated. If traffic is halved or doubled, the size is 0.5.
const TOLERANCE: f64 = 0.4;
/// How many of the newest windows are compared with those before them.
const NEWEST: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 24];

/// The answered rows of a model by window.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'a> {
    /// Rows of each window, oldest first, 0 if there were none. The last window is the one that is judged.
    pub rows: &'a [u64],
    /// Windows of a season; 1 if traffic does not repeat.
    pub period: usize,
}

/// The newest windows and those before them.
struct Step {
    newest: usize,
    /// log of the probability of this order, if the newest are all below or all above; 0 otherwise.
    log_p: f64,
    /// Rows before and in the newest windows, scaled to the same number of windows.
    counts: Sides,
    /// The standard error of the logarithm of their ratio.
    error: f64,
}

/// The comparison of the newest windows with those before them, for the number of windows with the most evidence.
pub(crate) fn judge_traffic(traffic: &Traffic<'_>, log_level: f64, rule: &Rule) -> Comparison {
    // Before the first row there was no traffic. The window with the first row is selected because it has rows, so it is not one of
    // those for which every order is equally likely.
    let first = traffic.rows.iter().position(|rows| *rows > 0);
    let rows = first.map_or(&[][..], |first| &traffic.rows[first + 1..]);
    let log_level = log_level - libm::log((2 * NEWEST.len()) as f64);
    let steps = NEWEST
        .into_iter()
        .filter_map(|newest| Step::of(rows, traffic.period.max(1), newest));
    let step = steps.reduce(|best, next| if next.log_p < best.log_p { next } else { best });
    let (windows, counts, log_p) = step.as_ref().map_or((0, Sides::default(), None), |step| {
        (step.newest as u64, step.counts, Some(step.log_p))
    });
    let size = |confidence| step.as_ref().map(|step| step.size(confidence));
    comparison(
        windows,
        counts,
        Exact::of(TOLERANCE),
        log_p,
        log_level,
        size,
        rule,
    )
}

// === impl Step ===

impl Step {
    /// `None` if a phase of the newest windows has no earlier windows.
    fn of(rows: &[u64], period: usize, newest: usize) -> Option<Self> {
        let split = rows.len().checked_sub(newest)?;
        let now = &rows[split..];
        // If there are many windows, the earlier ones exclude the longest step, so that a lasting change is not compared with itself.
        let longest = NEWEST[NEWEST.len() - 1];
        let is_long = rows.len() >= 4 * longest.max(period);
        let before = &rows[..if is_long { rows.len() - longest } else { split }];
        let (mut log_p, mut expected, mut squares) = (0.0, 0.0, 0.0);
        let (mut windows, mut phases, mut below, mut above) = (0, 0, true, true);
        for start in split..rows.len().min(split + period) {
            let now: Vec<u64> = rows[start..].iter().step_by(period).copied().collect();
            let old: Vec<u64> = before
                .iter()
                .skip(start % period)
                .step_by(period)
                .copied()
                .collect();
            let (least, most) = (old.iter().min()?, old.iter().max()?);
            below &= now.iter().all(|rows| rows < least);
            above &= now.iter().all(|rows| rows > most);
            log_p -= log_choices(old.len(), now.len());
            let mean = old.iter().map(|rows| *rows as f64).sum::<f64>() / old.len() as f64;
            expected += mean * now.len() as f64;
            if mean > 0.0 {
                let off = old.iter().map(|rows| *rows as f64 / mean - 1.0);
                squares += off.map(|off| off * off).sum::<f64>();
            }
            windows += old.len();
            phases += 1;
        }
        // The mean of each phase uses one degree of freedom.
        let free = windows.saturating_sub(phases);
        let spread = if free == 0 { 1.0 } else { squares / free as f64 };
        Some(Self {
            newest,
            log_p: if below || above { log_p } else { 0.0 },
            counts: Sides {
                reference: expected.round() as u64,
                window: now.iter().fold(0, |sum: u64, rows| sum.saturating_add(*rows)),
            },
            error: (spread * (1.0 / newest as f64 + 1.0 / windows as f64)).sqrt(),
        })
    }

    fn size(&self, confidence: f64) -> Size {
        let (before, now) = (self.counts.reference as f64, self.counts.window as f64);
        let ratio = before.min(now) / before.max(now).max(1.0);
        let factor = libm::exp(normal_quantile(confidence) * self.error);
        Size {
            estimate: 1.0 - ratio,
            lower: (1.0 - ratio * factor).max(0.0),
            upper: 1.0 - ratio / factor,
        }
    }
}

/// log C(before + newest, newest).
fn log_choices(before: usize, newest: usize) -> f64 {
    (1..=newest)
        .map(|n| libm::log((before + n) as f64 / n as f64))
        .sum()
}

#[cfg(test)]
mod tests {
    use modelward_wire::DriftVerdict;

    use super::*;

    /// The first of these windows with a change of traffic, at the level of a month-old version with 13 features.
    fn first_change(rows: &[u64], period: usize) -> Option<usize> {
        (1..=rows.len()).find(|seen| is_change(&rows[..*seen], period))
    }

    /// Whether the last of these windows has changed.
    fn is_change(rows: &[u64], period: usize) -> bool {
        let traffic = Traffic { rows, period };
        judge_traffic(&traffic, -16.0, &Rule::default()).verdict == DriftVerdict::Drift
    }

    /// Windows with about 100 rows.
    fn quiet(windows: usize) -> Vec<u64> {
        (0..windows as u64)
            .map(|window| 100 + window * 7919 % 41 - 20)
            .collect()
    }

    #[test]
    fn traffic_that_stops_is_found_after_hours_and_a_single_quiet_window_is_not() {
        let mut rows = quiet(200);
        assert_eq!(first_change(&rows, 1), None);
        rows.extend([0; 12]);
        let found = first_change(&rows, 1).unwrap();
        assert!((204..=206).contains(&found), "{found}");
        rows.truncate(201);
        rows.extend(quiet(50));
        assert_eq!(first_change(&rows, 1), None);
    }

    #[test]
    fn traffic_that_stopped_is_found_for_as_long_as_the_newest_windows_are_without_it() {
        let mut rows = quiet(200);
        rows.extend([0; 40]);
        let changed: Vec<bool> = (200..=240).map(|seen| is_change(&rows[..seen], 1)).collect();
        let first = changed.iter().position(|changed| *changed).unwrap();
        assert!(first <= 6, "{first}");
        assert!(changed[first..=24].iter().all(|changed| *changed), "{changed:?}");
        assert!(!changed[40], "they are what is usual by then");
    }

    #[test]
    fn traffic_that_doubles_is_found_and_a_rise_by_a_third_is_tolerated() {
        let times = |factor: f64| {
            let mut rows = quiet(200);
            rows.extend(quiet(24).into_iter().map(|rows| (rows as f64 * factor) as u64));
            first_change(&rows, 1)
        };
        assert!(times(2.0).is_some_and(|found| found <= 208));
        assert!(times(0.5).is_some_and(|found| found <= 208));
        assert_eq!(times(1.33), None);
    }

    #[test]
    fn a_night_is_no_change_where_traffic_repeats_every_day() {
        let day = |window: usize| if window % 24 < 8 { 5 } else { 100 };
        let mut rows: Vec<u64> = (0..24 * 14)
            .map(|window| day(window) + (window as u64 * 31) % 4)
            .collect();
        assert_eq!(first_change(&rows, 24), None);
        rows.extend([0; 24]);
        let found = first_change(&rows, 24).unwrap();
        assert!((24 * 14 + 5..=24 * 14 + 9).contains(&found), "{found}");
    }

    #[test]
    fn before_there_was_traffic_none_has_changed() {
        let mut rows = vec![0; 200];
        rows.extend(quiet(24));
        assert_eq!(first_change(&rows, 1), None);
        assert_eq!(first_change(&[], 1), None);
        assert_eq!(first_change(&[0; 30], 24), None);
    }
}
