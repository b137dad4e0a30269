//! The windows whose counts are read for a report, and how they are added up.

use modelward_wire::Digest;

/// Windows of one version that start in `start..end`, and earlier ones from `from` on, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) bundle: Digest,
    pub(crate) from: i64,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The current length of windows in seconds, if known. Shorter windows within one of this length are added up, because the length can
    /// be changed while a version serves.
    pub(crate) window_seconds: Option<u32>,
    /// How the windows before `start` are added up. `None` if each is separate.
    pub(crate) joined: Option<Joined>,
}

/// How windows are added up: those within each season before the end of an interval are joined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    /// Length of a season in seconds.
    pub(crate) season: i64,
    /// Windows that start at most this many seconds before the end stay separate.
    pub(crate) apart: i64,
}

// === impl Interval ===

impl Interval {
    /// The start and the length of the window to which a total belongs. Joined windows are one window with the length of the season.
    /// Otherwise there would be hours without a window before the next one.
    pub(super) fn window_of(&self, start: i64, seconds: i32) -> (i64, i32) {
        if start >= self.start {
            return self.window_within(start, seconds);
        }
        let (start, seconds) = self.whole_window(start, seconds, self.from);
        let Some(Joined { season, apart }) = self.joined else {
            return (start, seconds);
        };
        if start >= self.end - apart {
            return (start, seconds);
        }
        let seasons = (self.end - start - 1).div_euclid(season);
        let first = (self.end - (seasons + 1) * season).max(self.from);
        (first, i32::try_from(season).unwrap_or(i32::MAX))
    }

    /// The same for a window within the interval. These stay separate if they may be the phases of a season.
    fn window_within(&self, start: i64, seconds: i32) -> (i64, i32) {
        let length = self.end - self.start;
        let has_phases = |joined: &Joined| joined.apart >= joined.season && length <= joined.season;
        if self.joined.as_ref().is_some_and(has_phases) {
            self.whole_window(start, seconds, self.start)
        } else {
            (self.start, i32::try_from(length).unwrap_or(i32::MAX))
        }
    }

    /// The window of the current length in which a window lies. `None` before `first`.
    fn whole_window(&self, start: i64, seconds: i32, first: i64) -> (i64, i32) {
        let whole = self.window_seconds.and_then(|whole| i32::try_from(whole).ok());
        match whole.filter(|whole| seconds < *whole) {
            Some(whole) => ((start - start.rem_euclid(whole.into())).max(first), whole),
            None => (start, seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    /// The window that is judged is the last of ten days.
    fn interval(apart: i64) -> Interval {
        Interval {
            model: "heart".into(),
            version: "heart-1".into(),
            bundle: Digest::from_bytes([1; 32]),
            from: 6 * DAY + 5 * HOUR,
            start: 10 * DAY - HOUR,
            end: 10 * DAY,
            window_seconds: Some(3600),
            joined: Some(Joined { season: DAY, apart }),
        }
    }

    #[test]
    fn windows_of_former_seasons_are_one_window_as_long_as_a_season() {
        let of = |start: i64, apart| {
            let (start, seconds) = interval(apart).window_of(start, 3600);
            (start / HOUR, i64::from(seconds) / HOUR)
        };
        assert_eq!(of(10 * DAY - HOUR, DAY), (239, 1));
        assert_eq!(of(9 * DAY, DAY), (216, 1));
        assert_eq!(of(9 * DAY - HOUR, DAY), (192, 24));
        assert_eq!(of(7 * DAY, DAY), (168, 24));
        // The first one begins with the monitoring.
        assert_eq!(of(7 * DAY - HOUR, DAY), (149, 24));
        // If a season has too many windows to compare single ones, the last season is added up too, up to the window that is judged.
        assert_eq!(of(9 * DAY, 0), (216, 24));
        assert_eq!(of(10 * DAY - 2 * HOUR, 0), (216, 24));
        assert_eq!(of(10 * DAY - HOUR, 0), (239, 1));
    }

    #[test]
    fn windows_shorter_than_those_now_are_added_up_to_their_length() {
        let of = |start: i64| interval(DAY).window_of(start, 60);
        assert_eq!(of(9 * DAY + 59 * 60), (9 * DAY, 3600));
        assert_eq!(of(9 * DAY + 60 * 60), (9 * DAY + HOUR, 3600));
        assert_eq!(of(10 * DAY - 60), (10 * DAY - HOUR, 3600));
        let longer = interval(DAY).window_of(9 * DAY + 6 * HOUR, 6 * 3600);
        assert_eq!(longer, (9 * DAY + 6 * HOUR, 6 * 3600));
        // Counts before the interval do not belong to it.
        let half_past = Interval {
            start: 10 * DAY - HOUR / 2,
            ..interval(DAY)
        };
        assert_eq!(half_past.window_of(10 * DAY - 60, 60).0, 10 * DAY - HOUR / 2);
    }

    #[test]
    fn the_windows_of_an_interval_are_one_where_no_phase_is_kept() {
        let week = Interval {
            start: 3 * DAY,
            from: 3 * DAY,
            ..interval(DAY)
        };
        assert_eq!(week.window_of(9 * DAY, 3600), (3 * DAY, 7 * 86_400));
        let none = Interval {
            joined: None,
            ..interval(DAY)
        };
        assert_eq!(none.window_of(10 * DAY - HOUR, 3600), (10 * DAY - HOUR, 3600));
        let by_window = interval(3 * HOUR);
        assert_eq!(
            by_window.window_of(10 * DAY - 3 * HOUR, 3600),
            (10 * DAY - 3 * HOUR, 3600)
        );
        assert_eq!(by_window.window_of(10 * DAY - 4 * HOUR, 3600), (9 * DAY, 86_400));
        let half_a_day = Interval {
            start: 10 * DAY - 12 * HOUR,
            ..interval(DAY)
        };
        assert_eq!(
            half_a_day.window_of(10 * DAY - HOUR, 3600),
            (10 * DAY - HOUR, 3600)
        );
    }
}
