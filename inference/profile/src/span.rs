//! Spans: some of the newest windows, and the part of the reference that they are compared with.
//!
//! | season | windows | compared with |
//! |---|---|---|
//! | none | the newest, the last 4, the last 24 | the reference |
//! | a day, a week | the last season, the last 4 seasons | the reference |
//! | | the newest, and those within 4 times its length | the same phases of the reference, if it has phases |

use crate::{
    counts::{Counts, FeatureCount, FeatureCounts},
    lifetime::WindowCounts,
    reference::Reference,
    season::{Phases, Season},
    sides::Sides,
};

/// How many of the newest windows are compared together without a season.
const WINDOWS: [usize; 3] = [1, 4, 24];
/// How many of the newest seasons are compared together.
const SEASONS: [u64; 2] = [1, 4];
/// How many of the newest windows are compared with their phases.
const PHASES: [u64; 2] = [1, 4];

/// Windows that are compared together.
pub(crate) struct Span<'a> {
    windows: &'a [WindowCounts<'a>],
    /// The phase of the reference for each of the windows. Empty if they are compared with the whole reference.
    phases: Vec<&'a FeatureCounts>,
    /// Their total length, in lengths of the newest window.
    pub(crate) length: u64,
    /// The windows that need enough rows.
    needed: &'a [WindowCounts<'a>],
}

/// The spans of a report: at most [`most_spans`]. There are none before the first season is over.
pub(crate) fn spans<'a>(
    reference: &'a Reference,
    windows: &'a [WindowCounts<'a>],
    season: Option<&Season>,
) -> Vec<Span<'a>> {
    let Some(season) = season else {
        return without_season(windows);
    };
    let mut spans = phases(reference, windows, season);
    spans.extend(whole_seasons(windows, season));
    spans
}

/// The number of spans that share the level of a report.
pub(crate) fn most_spans(season: Option<&Season>) -> usize {
    match season {
        Some(_) => SEASONS.len() + PHASES.len(),
        None => WINDOWS.len(),
    }
}

/// A span without more windows than the one before it is left out.
fn without_season<'a>(windows: &'a [WindowCounts<'a>]) -> Vec<Span<'a>> {
    let mut longest = 0;
    let spans = WINDOWS.into_iter().filter_map(|most| {
        let many = most.min(windows.len());
        let is_longer = many > longest;
        longest = longest.max(many);
        is_longer.then(|| Span {
            windows: &windows[windows.len() - many..],
            phases: Vec::new(),
            length: many as u64,
            needed: &windows[windows.len() - 1..],
        })
    });
    spans.collect()
}

fn whole_seasons<'a>(windows: &'a [WindowCounts<'a>], season: &Season) -> Vec<Span<'a>> {
    let Some(newest) = windows.last() else {
        return Vec::new();
    };
    let length = newest.to - newest.from;
    let since = |seconds: u64| {
        let from = newest.to.saturating_sub(seconds);
        &windows[windows.partition_point(|window| window.from < from)..]
    };
    let span = |seconds: u64| Span {
        windows: since(seconds),
        phases: Vec::new(),
        length: seconds / length,
        // If the newest window has no rows, there is nothing new to report.
        needed: if newest.is_empty() {
            &[]
        } else {
            since(season.seconds.max(length))
        },
    };
    let known = |seconds: &u64| newest.to.saturating_sub(season.known_from) >= *seconds;
    if length > season.seconds {
        // The user chose an interval of several seasons.
        return [length].into_iter().filter(known).map(span).collect();
    }
    let seasons = SEASONS.map(|many| season.seconds.saturating_mul(many));
    seasons.into_iter().filter(known).map(span).collect()
}

fn phases<'a>(reference: &'a Reference, windows: &'a [WindowCounts<'a>], season: &Season) -> Vec<Span<'a>> {
    let (Some(newest), Some(phases)) = (windows.last(), &reference.phases) else {
        return Vec::new();
    };
    let length = newest.to - newest.from;
    if phases.seconds != length || phases.season() != season.seconds {
        return Vec::new();
    }
    let mut longest = 0;
    let spans = PHASES.into_iter().filter_map(|many| {
        let from = newest
            .to
            .saturating_sub((many.min(phases.counts.len() as u64)).saturating_mul(length));
        let some = &windows[windows.partition_point(|window| window.from < from)..];
        let is_longer = some.len() > longest;
        longest = longest.max(some.len());
        let same = some.iter().map(|window| phase_of(phases, window, season));
        let same: Vec<_> = same.collect::<Option<_>>()?;
        is_longer.then(|| Span {
            windows: some,
            phases: same,
            length: some.len() as u64,
            needed: if newest.is_empty() { &[] } else { some },
        })
    });
    spans.collect()
}

fn phase_of<'a>(phases: &'a Phases, window: &WindowCounts<'_>, season: &Season) -> Option<&'a FeatureCounts> {
    phases.counts.get(season.phase(window, phases.seconds)?)
}

// === impl Span ===

impl Span<'_> {
    /// The rows that have to be enough. Some refused rows count as rows too.
    pub(crate) fn rows(&self, reference: &Reference, refused: impl Fn(&Counts) -> u64) -> Sides {
        let rows = |window: &WindowCounts<'_>| {
            let counts = window.counts;
            counts.features.rows.saturating_add(refused(counts))
        };
        Sides {
            reference: if self.is_by_phase() {
                let rows = self.phases.iter().map(|phase| phase.rows);
                rows.fold(0, u64::saturating_add)
            } else {
                reference.counts.features.rows
            },
            window: self.needed.iter().map(rows).fold(0, u64::saturating_add),
        }
    }

    /// The counts of one feature in the windows.
    pub(crate) fn window(&self, feature: usize) -> FeatureCount {
        sum(self
            .windows
            .iter()
            .map(|window| &window.counts.features.features[feature]))
    }

    /// The sum of a number over the windows.
    pub(crate) fn sum(&self, number: impl Fn(&Counts) -> u64) -> u64 {
        let numbers = self.windows.iter().map(|window| number(window.counts));
        numbers.fold(0, u64::saturating_add)
    }

    /// Scores of the windows by slot.
    pub(crate) fn scores(&self) -> Vec<u64> {
        let mut sum: Vec<u64> = Vec::new();
        for window in self.windows {
            let scores = window.counts.score.by_slot();
            if sum.is_empty() {
                sum = scores.collect();
                continue;
            }
            for (slot, scores) in sum.iter_mut().zip(scores) {
                *slot = slot.saturating_add(scores);
            }
        }
        sum
    }

    /// Whether the windows are compared with phases of the reference.
    pub(crate) fn is_by_phase(&self) -> bool {
        !self.phases.is_empty()
    }

    /// The counts of one feature in the phases that the windows are compared with.
    pub(crate) fn same_phases(&self, feature: usize) -> Option<FeatureCount> {
        self.is_by_phase()
            .then(|| sum(self.phases.iter().map(|phase| &phase.features[feature])))
    }

    /// The counts of one feature in each phase and in the window of that phase.
    pub(crate) fn pairs(&self, feature: usize) -> impl Iterator<Item = (&FeatureCount, &FeatureCount)> {
        self.phases.iter().zip(self.windows).map(move |(phase, window)| {
            (
                &phase.features[feature],
                &window.counts.features.features[feature],
            )
        })
    }
}

/// The sum of these counts of one feature.
fn sum<'a>(mut counts: impl Iterator<Item = &'a FeatureCount>) -> FeatureCount {
    let mut sum = counts.next().cloned().unwrap_or(FeatureCount {
        values: Vec::new(),
        missing: 0,
        type_errors: 0,
    });
    for more in counts {
        for (slot, rows) in sum.values.iter_mut().zip(&more.values) {
            *slot = slot.saturating_add(*rows);
        }
        sum.missing = sum.missing.saturating_add(more.missing);
        sum.type_errors = sum.type_errors.saturating_add(more.type_errors);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{judge::tests::bins, reference::ChosenBy};

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    const SEASON: Season = Season {
        seconds: DAY,
        offset: 5 * HOUR,
        known_from: 0,
    };

    fn counts(rows: u64) -> Counts {
        let mut counts = Counts::new(&bins());
        counts.features.rows = rows;
        counts
    }

    /// A reference with a phase for each hour, with as many rows as the hour.
    fn reference() -> Reference {
        let hours = (0..24).map(|hour| counts(hour).features);
        Reference {
            bins: bins(),
            counts: counts(24 * 23 / 2),
            chosen_by: ChosenBy::None,
            phases: Some(Phases {
                seconds: HOUR,
                counts: hours.collect(),
            }),
        }
    }

    /// For each span of the report on the window that ends after this many hours: its length in windows, and the rows of both sides.
    fn spans_at(hours: u64, phases: bool, season: Season, last: u64) -> Vec<(u64, u64, u64)> {
        let (one, many) = (counts(1), counts(last));
        let windows: Vec<_> = (0..hours)
            .map(|hour| WindowCounts {
                from: hour * HOUR,
                to: (hour + 1) * HOUR,
                counts: if hour + 1 == hours { &many } else { &one },
            })
            .collect();
        let mut reference = reference();
        reference.phases = reference.phases.filter(|_| phases);
        let found = spans(&reference, &windows, Some(&season));
        assert!(found.len() <= most_spans(Some(&season)));
        let found = found.iter().map(|span| {
            let rows = span.rows(&reference, |_| 0);
            (span.length, rows.reference, rows.window)
        });
        found.collect()
    }

    #[test]
    fn training_data_is_compared_with_whole_seasons_once_there_are_any() {
        assert_eq!(spans_at(23, false, SEASON, 1), []);
        assert_eq!(spans_at(24, false, SEASON, 1), [(24, 276, 24)]);
        // The last season must have enough rows.
        assert_eq!(spans_at(200, false, SEASON, 1), [(24, 276, 24), (96, 276, 24)]);
        // Earlier windows are unknown.
        let cut = Season {
            known_from: 150 * HOUR,
            ..SEASON
        };
        assert_eq!(spans_at(200, false, cut, 1), [(24, 276, 24)]);
    }

    #[test]
    fn an_accepted_season_is_compared_hour_by_hour_from_the_first_window_on() {
        // Monitoring began at 5 o'clock.
        assert_eq!(spans_at(1, true, SEASON, 1), [(1, 5, 1)]);
        assert_eq!(spans_at(3, true, SEASON, 1), [(1, 7, 1), (3, 5 + 6 + 7, 3)]);
        // After midnight.
        assert_eq!(spans_at(21, true, SEASON, 1), [(1, 1, 1), (4, 22 + 23 + 1, 4)]);
        let week = Season {
            seconds: 7 * DAY,
            ..SEASON
        };
        assert_eq!(spans_at(24, true, week, 1), [], "a day is the phases of no week");
    }

    #[test]
    fn a_window_without_rows_is_not_judged_by_those_before_it() {
        let rows = |spans: Vec<(u64, u64, u64)>| spans.into_iter().all(|(_, _, window)| window == 0);
        assert!(rows(spans_at(200, true, SEASON, 0)));
    }

    #[test]
    fn an_interval_of_several_seasons_that_is_not_known_whole_is_not_compared() {
        let (counts, reference) = (counts(500), reference());
        let days = [WindowCounts {
            from: 0,
            to: 3 * DAY,
            counts: &counts,
        }];
        let found = |known_from| {
            let season = Season { known_from, ..SEASON };
            spans(&reference, &days, Some(&season)).len()
        };
        assert_eq!((found(0), found(1)), (1, 0));
    }

    #[test]
    fn an_interval_of_several_seasons_is_compared_as_it_is() {
        let counts = counts(500);
        let reference = reference();
        for days in [2, 6] {
            let windows = [0, 1].map(|part| WindowCounts {
                from: 3 * DAY + part * days * DAY,
                to: 3 * DAY + (part + 1) * days * DAY,
                counts: &counts,
            });
            let found = spans(&reference, &windows, Some(&SEASON));
            assert_eq!(found.len(), 1);
            assert_eq!(
                (found[0].length, found[0].rows(&reference, |_| 0).window),
                (1, 500)
            );
        }
    }
}
