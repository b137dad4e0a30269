//! The proposal because of a verdict: from the window's verdict to an action, limited by guard rails.
//!
//! ```text
//! a window closed ──► schedule ──► report ──► verdict of the ledger ──► propose ──► RetrainModel or SendAlert
//!                                                                         │ first link of the chain that holds
//!                                                                         └──► nothing, with the reason
//! ```

mod propose;
mod schedule;
mod validate;
mod verdict;

use jiff::{Timestamp, tz::TimeZone};

pub use propose::{
    Decision, DriftSeen, DriftingModels, MOST_RETRAINS, Proposed, World, propose, retrainings_within_a_day,
};
pub use schedule::{
    DueWindow, Schedule, WINDOWS_CAUGHT_UP, has_enough_rows, is_report_on, is_scheduled, prunable,
    report_name, schedule, settled_at, settled_until,
};
pub use validate::{Invalid, Validated, validate};
pub use verdict::{Step, away_status, drift_words, is_complete, refused_status, step, verdict_status};

/// The largest integer that every JSON reader preserves.
const LARGEST: u64 = 9_007_199_254_740_991;

/// A window as text: `10:00-11:00`, always in UTC; with dates if it is longer than a day.
pub fn window_words(start: Timestamp, end: Timestamp) -> String {
    let seconds = end.as_second().saturating_sub(start.as_second());
    let whole_minutes = start.as_second() % 60 == 0 && end.as_second() % 60 == 0;
    let format = match (seconds > 86_400, whole_minutes) {
        (false, true) => "%H:%M",
        (false, false) => "%H:%M:%S",
        (true, true) => "%Y-%m-%d %H:%M",
        (true, false) => "%Y-%m-%d %H:%M:%S",
    };
    let word = |time: Timestamp| time.to_zoned(TimeZone::UTC).strftime(format).to_string();
    let between = if seconds > 86_400 { " to " } else { "-" };
    format!("{}{between}{}", word(start), word(end))
}

/// `a`, `a and b`, `a, b and c`; `a, b, c and 4 more` if there are more than `most`.
pub(crate) fn listed(names: &[&str], most: usize) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        _ if names.len() > most => {
            format!("{} and {} more", names[..most].join(", "), names.len() - most)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn count(value: u64) -> i64 {
    i64::try_from(value.min(LARGEST)).unwrap_or(i64::MAX)
}

/// The first whole second at this time or after it.
fn whole_second(time: Timestamp) -> i64 {
    time.as_second() + i64::from(time.subsec_nanosecond() > 0)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(if second < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests;
