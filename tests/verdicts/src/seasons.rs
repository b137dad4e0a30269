//! Traffic that repeats every day: the hour determines the means of the first three of 13 normal columns, and the number of rows.

use modelward_profile::{ChosenBy, Counts, Phases, Reference, Rule, Season};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Poisson};

use crate::{
    law::{Column, Traffic, reference_of},
    life::{HOUR, Life},
    tables::{Bound, Row},
};

const COLUMNS: usize = 13;
/// Number of columns that the hour shifts.
const MOVED: usize = 3;
const HOURS: usize = 24;
const DAY: u64 = HOURS as u64 * HOUR;
/// Maximum shift of a column by the hour, in standard deviations.
const AMPLITUDE: f64 = 0.8;
/// Maximum change of the number of rows by the hour, as a share of the mean.
const BUSY: f64 = 0.5;

/// What a version knows about its season.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    /// The season is a day; the reference is the training data.
    Declared,
    /// The season is a day; the reference is a day of traffic.
    Accepted,
    /// Nothing.
    Not,
}

/// Consecutive days.
struct Days {
    hours: Vec<Traffic>,
    rows: u64,
    hour: usize,
}

// === impl Days ===

impl Days {
    fn next(&mut self, random: &mut StdRng) -> Counts {
        let hour = self.hour % HOURS;
        self.hour += 1;
        let mean = self.rows as f64 * busyness(hour);
        let rows = Poisson::new(mean).expect("a mean above 0").sample(random) as u64;
        self.hours[hour].window(rows, random)
    }
}

fn phase(hour: usize) -> f64 {
    (hour as f64 / HOURS as f64 * std::f64::consts::TAU).sin()
}

/// The number of rows in an hour, as a share of the mean.
fn busyness(hour: usize) -> f64 {
    1.0 + BUSY * phase((hour + 18) % HOURS)
}

/// The columns at this hour. The first is additionally shifted by this number of standard deviations.
fn columns(hour: usize, shift: f64) -> Vec<Column> {
    let mean = |column: usize| {
        let by_hour = if column < MOVED {
            AMPLITUDE * phase(hour + 8 * column)
        } else {
            0.0
        };
        by_hour + if column == 0 { shift } else { 0.0 }
    };
    (0..COLUMNS).map(|column| Column::shifted(mean(column))).collect()
}

/// Training data with this number of rows from all hours.
fn train(rows: usize, random: &mut StdRng) -> Reference {
    let mut drawn: Vec<Vec<f32>> = vec![Vec::new(); COLUMNS];
    for _ in 0..rows {
        let hour = loop {
            let hour = random.random_range(0..HOURS);
            if random.random::<f64>() * (1.0 + BUSY) < busyness(hour) {
                break hour;
            }
        };
        for (values, column) in drawn.iter_mut().zip(columns(hour, 0.0)) {
            values.push(column.draw(random));
        }
    }
    reference_of(&columns(0, 0.0), &drawn, random)
}

fn days(reference: &Reference, rows: u64, shift: f64) -> Days {
    Days {
        hours: (0..HOURS)
            .map(|hour| Traffic::of(&columns(hour, shift), &reference.bins))
            .collect(),
        rows,
        hour: 0,
    }
}

/// A day of traffic as the reference.
fn accept(reference: Reference, rows: u64, random: &mut StdRng) -> Reference {
    let mut traffic = days(&reference, rows, 0.0);
    let hours: Vec<Counts> = (0..HOURS).map(|_| traffic.next(random)).collect();
    let mut all = Counts::new(&reference.bins);
    for hour in &hours {
        all.merge(hour).expect("counts that fit");
    }
    Reference {
        bins: reference.bins,
        counts: all,
        chosen_by: ChosenBy::None,
        phases: Some(Phases {
            seconds: HOUR,
            counts: hours.into_iter().map(|hour| hour.features).collect(),
        }),
    }
}

/// A version that has been monitored for this number of hours, and its traffic.
fn version(
    known: Known,
    (trained, rows): (usize, u64),
    first: u64,
    random: &mut StdRng,
) -> (Life, Reference) {
    let reference = train(trained, random);
    let reference = match known {
        Known::Accepted => accept(reference, rows, random),
        Known::Declared | Known::Not => reference,
    };
    let season = Season {
        seconds: DAY,
        offset: 0,
        known_from: 0,
    };
    let rule = Rule {
        season: (known != Known::Not).then_some(season),
        ..Rule::default()
    };
    (Life::new(reference.clone(), rule, first), reference)
}

/// False alarms in a week in which only the hour changes, of the rows with names that contain `only`.
pub fn false_alarms(only: &str, versions: u64, windows: usize, mut print: impl FnMut(Row)) {
    let promised = Bound::AtMost(0.05);
    let regimes = [
        ("hours differ, season Day", Known::Declared, (303, 100), promised),
        (
            "hours differ, season Day",
            Known::Declared,
            (3000, 1000),
            promised,
        ),
        (
            "hours differ, season Day, an accepted day",
            Known::Accepted,
            (303, 100),
            promised,
        ),
        (
            "hours differ, season Day, an accepted day",
            Known::Accepted,
            (3000, 1000),
            promised,
        ),
        (
            "hours differ, season None",
            Known::Not,
            (303, 100),
            Bound::Nothing,
        ),
    ];
    let windows = windows.min(168);
    for (name, known, (trained, rows), bound) in regimes {
        if !name.contains(only) {
            continue;
        }
        let alarms = |seed: &u64| {
            let mut random = StdRng::seed_from_u64(*seed);
            let (mut life, reference) = version(known, (trained, rows), 0, &mut random);
            let mut traffic = days(&reference, rows, 0.0);
            life.first_change(windows, || traffic.next(&mut random)).is_some()
        };
        print(Row {
            name: format!("{name}, {trained} rows of training, {windows} windows of {rows}"),
            of: versions,
            hits: (0..versions).filter(alarms).count() as u64,
            bound,
        });
    }
}

/// How soon a shift of all hours is reported in repeating traffic, after a quiet month.
pub fn power(only: &str, versions: u64, looks: &[usize], mut print: impl FnMut(Row)) {
    let regimes = [
        ("compared with training", Known::Declared),
        ("compared with an accepted day", Known::Accepted),
    ];
    let (trained, rows) = (303, 100);
    for (name, known) in regimes {
        for shift in [1.0, 2.0] {
            let name = format!("season Day, {name}, {shift} standard deviations");
            if !name.contains(only) {
                continue;
            }
            let reported = |seed: u64| {
                let mut random = StdRng::seed_from_u64(seed);
                let quiet_hours = 4 * HOURS;
                let first = 30 * HOURS as u64 - quiet_hours as u64;
                let (mut life, reference) = version(known, (trained, rows), first, &mut random);
                let mut quiet = days(&reference, rows, 0.0);
                for _ in 0..quiet_hours {
                    life.pass(quiet.next(&mut random));
                }
                let mut moved = days(&reference, rows, shift);
                life.first_alarm(24, || moved.next(&mut random))
            };
            let found: Vec<Option<usize>> = (0..versions).map(reported).collect();
            for look in looks {
                print(Row {
                    name: format!("{name}, by window {look} of {rows}"),
                    of: versions,
                    hits: found.iter().flatten().filter(|first| *first <= look).count() as u64,
                    bound: Bound::Nothing,
                });
            }
        }
    }
}
