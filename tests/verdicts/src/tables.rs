//! The tables of docs/verdicts.md: false alarms if nothing changes, how soon a change is detected, and whether a worse model
//! passes.

use std::{fmt, time::Instant};

use modelward_profile::{ChosenBy, Reference, Rule};
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, StandardNormal};

use crate::{
    comparison::{Pair, passes},
    law::{Column, Law, Traffic, count, even, gamma, reference_of, train, zipf},
    life::Life,
};

/// One row of a table: how often an event happened, and how often it may or must happen.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name of the simulation.
    pub name: String,
    /// Number of simulated versions or windows.
    pub of: u64,
    /// Number of them with an alarm.
    pub hits: u64,
    /// The bound on their share.
    pub bound: Bound,
}

/// A bound on a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// A guarantee: the share is at most this.
    AtMost(f64),
    /// A power that was measured earlier: the share is at least this.
    AtLeast(f64),
    /// No guarantee; the share is documented.
    Nothing,
}

/// A simulation of versions with unchanged traffic.
struct Regime {
    name: &'static str,
    columns: fn(&mut StdRng) -> Vec<Column>,
    /// Rows of training and of a window.
    rows: (usize, u64),
    /// Windows of a life.
    windows: usize,
    traffic: Kind,
    bound: Bound,
}

/// How rows are generated.
#[derive(Clone, Copy)]
enum Kind {
    /// All columns are independent.
    Independent,
    /// Columns are normal with this correlation.
    Correlated(f64),
    /// The reference is an accepted window with this number of rows, in bins that were chosen on the training rows.
    Accepted(u64),
    /// Rows come in groups of this size from one client, with this correlation.
    Clients(usize, f64),
}

const NOMINAL: Bound = Bound::AtMost(0.05);

fn normal(many: usize) -> Vec<Column> {
    vec![Column::normal(); many]
}

/// Twelve normal columns and this one.
fn beside(law: Law) -> Vec<Column> {
    let mut columns = normal(12);
    columns.push(Column::of(law));
    columns
}

fn words(shares: Vec<f64>) -> Vec<Column> {
    beside(Law::Words(shares))
}

/// Counts that are mostly zero.
fn zeros(_: &mut StdRng) -> Vec<Column> {
    let shares = vec![0.7, 0.12, 0.08, 0.05, 0.03, 0.02];
    vec![Column::of(Law::Numbers(shares)).missing(0.1); 13]
}

fn regimes() -> Vec<Regime> {
    let regime = |name, columns, rows, windows| Regime {
        name,
        columns,
        rows,
        windows,
        traffic: Kind::Independent,
        bound: NOMINAL,
    };
    let of = |name, rows, traffic, bound| Regime {
        name,
        columns: |_| normal(13),
        rows,
        windows: 168,
        traffic,
        bound,
    };
    vec![
        regime("13 normal columns", |_| normal(13), (100, 100), 168),
        regime("13 normal columns", |_| normal(13), (303, 50), 168),
        regime("13 normal columns", |_| normal(13), (303, 147), 720),
        regime("13 normal columns", |_| normal(13), (3000, 1000), 168),
        regime("13 normal columns", |_| normal(13), (1000, 10_000_000), 168),
        regime("13 normal columns", |_| normal(13), (100_000, 100_000), 48),
        regime("200 normal columns", |_| normal(200), (303, 147), 48),
        regime("zeros, ties and 10% missing", zeros, (303, 147), 168),
        regime("zeros, ties and 10% missing", zeros, (3000, 100_000), 168),
        regime("2 even categories", |_| words(even(2)), (303, 1000), 168),
        regime("20 even categories", |_| words(even(20)), (100, 1000), 168),
        regime("50 even categories", |_| words(even(50)), (303, 1000), 168),
        regime("200 even categories", |_| words(even(200)), (303, 1000), 168),
        regime(
            "200 categories, Gamma(5)",
            |random| words(gamma(200, 5.0, random)),
            (303, 1000),
            168,
        ),
        regime(
            "256 categories, Zipf",
            |_| words(zipf(256, 1.0)),
            (3000, 1000),
            168,
        ),
        regime(
            "1,000 categories, Zipf",
            |_| words(zipf(1000, 1.0)),
            (303, 1000),
            168,
        ),
        regime(
            "1,000 categories, Zipf",
            |_| words(zipf(1000, 1.0)),
            (3000, 100_000),
            168,
        ),
        regime(
            "200 even categories, declared",
            |_| {
                let mut columns = normal(12);
                columns.push(Column::of(Law::Words(even(200))).declared());
                columns
            },
            (303, 1000),
            168,
        ),
        of(
            "13 columns, correlation 0.9",
            (303, 147),
            Kind::Correlated(0.9),
            NOMINAL,
        ),
        of(
            "an accepted window of 200",
            (2000, 300),
            Kind::Accepted(200),
            NOMINAL,
        ),
        of(
            "an accepted window of 500",
            (2000, 1000),
            Kind::Accepted(500),
            NOMINAL,
        ),
        of(
            "clients of 30 rows, correlation 0.5, one row each counted",
            (303, 20),
            Kind::Clients(1, 0.5),
            NOMINAL,
        ),
        of(
            "clients of 30 rows, correlation 0.5, every row counted",
            (303, 600),
            Kind::Clients(30, 0.5),
            Bound::Nothing,
        ),
    ]
}

/// False alarms over whole lives, `versions` per row, of the regimes with names that contain `only`. Calls `print` with each row
/// when it is complete.
pub fn false_alarms(only: &str, versions: u64, windows: usize, mut print: impl FnMut(Row)) {
    for regime in regimes().into_iter().filter(|regime| regime.name.contains(only)) {
        let hits = (0..versions)
            .filter(|version| alarms(&regime, *version, windows))
            .count();
        let (rows, window) = regime.rows;
        let length = regime.windows.min(windows);
        print(Row {
            name: format!(
                "{}, {rows} rows of training, {length} windows of {window}",
                regime.name
            ),
            of: versions,
            hits: hits as u64,
            bound: regime.bound,
        });
    }
}

/// Whether a version with unchanged traffic ever has a statistically significant change of any size.
fn alarms(regime: &Regime, version: u64, windows: usize) -> bool {
    let mut random = StdRng::seed_from_u64(version);
    let columns = (regime.columns)(&mut random);
    let (rows, window) = regime.rows;
    let most = regime.windows.min(windows);
    let (per_client, correlation) = match regime.traffic {
        Kind::Independent | Kind::Accepted(_) => {
            let reference = train(&columns, rows, &mut random);
            let traffic = Traffic::of(&columns, &reference.bins);
            let reference = match regime.traffic {
                Kind::Accepted(rows) => Reference {
                    counts: traffic.window(rows, &mut random),
                    chosen_by: ChosenBy::None,
                    ..reference
                },
                _ => reference,
            };
            let mut life = Life::new(reference, Rule::default(), 0);
            return life
                .first_change(most, || traffic.window(window, &mut random))
                .is_some();
        }
        Kind::Correlated(correlation) => (0, correlation),
        Kind::Clients(rows, correlation) => (rows, correlation),
    };
    let draw = |rows: usize, random: &mut StdRng| {
        if per_client == 0 {
            together(columns.len(), rows, correlation, random)
        } else {
            by_client(columns.len(), rows, per_client, correlation, random)
        }
    };
    // The training data has one row per client.
    let trained_on = match regime.traffic {
        Kind::Clients(..) => by_client(columns.len(), rows, 1, correlation, &mut random),
        _ => draw(rows, &mut random),
    };
    let reference = reference_of(&columns, &trained_on, &mut random);
    let bins = reference.bins.clone();
    let mut life = Life::new(reference, Rule::default(), 0);
    let next = || {
        let drawn = draw(window as usize, &mut random);
        count(&bins, &drawn, &mut random)
    };
    life.first_change(most, next).is_some()
}

/// Normal columns with this pairwise correlation.
fn together(columns: usize, rows: usize, correlation: f64, random: &mut StdRng) -> Vec<Vec<f32>> {
    let mut drawn = vec![Vec::with_capacity(rows); columns];
    for _ in 0..rows {
        let shared: f64 = StandardNormal.sample(random);
        for column in &mut drawn {
            let own: f64 = StandardNormal.sample(random);
            column.push((correlation.sqrt() * shared + (1.0 - correlation).sqrt() * own) as f32);
        }
    }
    drawn
}

/// Normal columns. Every `each` consecutive rows come from one client, with this correlation.
fn by_client(
    columns: usize,
    rows: usize,
    each: usize,
    correlation: f64,
    random: &mut StdRng,
) -> Vec<Vec<f32>> {
    (0..columns)
        .map(|_| {
            let mut client: f64 = 0.0;
            let value = |row: usize| {
                if row.is_multiple_of(each) {
                    client = StandardNormal.sample(random);
                }
                let own: f64 = StandardNormal.sample(random);
                (correlation.sqrt() * client + (1.0 - correlation).sqrt() * own) as f32
            };
            (0..rows).map(value).collect()
        })
        .collect()
}

/// A shift of one of 13 normal columns after a quiet month, and how often it is reported by which window.
struct Shift {
    deviations: f64,
    rows: (usize, u64),
    /// The share that the previous rule reported by windows 1, 3, 6, 12 and 24, minus 0.05, or a higher requirement.
    least: [f64; 5],
}

const SHIFTS: [Shift; 4] = [
    Shift {
        deviations: 1.0,
        rows: (303, 100),
        least: [0.80, 0.93, 0.95, 0.95, 0.95],
    },
    Shift {
        deviations: 0.7,
        rows: (303, 147),
        least: [0.30, 0.57, 0.87, 0.92, 0.95],
    },
    Shift {
        deviations: 0.5,
        rows: (303, 147),
        least: [0.0, 0.0, 0.10, 0.40, 0.67],
    },
    Shift {
        deviations: 0.35,
        rows: (3000, 300),
        least: [0.0, 0.05, 0.23, 0.45, 0.80],
    },
];
/// The windows by which reports of a shift are counted.
pub const LOOKS: [usize; 5] = [1, 3, 6, 12, 24];
/// Hours in a quiet month.
const MONTH: u64 = 720;

/// Windows until a shift is reported, `versions` per row.
pub fn power(versions: u64, mut print: impl FnMut(Row)) {
    for shift in SHIFTS {
        let found: Vec<Option<usize>> = (0..versions).map(|version| reported(&shift, version)).collect();
        let (rows, window) = shift.rows;
        for (look, least) in LOOKS.into_iter().zip(shift.least) {
            let hits = found.iter().flatten().filter(|first| **first <= look).count() as u64;
            print(Row {
                name: format!(
                    "{} standard deviations, {rows} rows of training, by window {look} of {window}",
                    shift.deviations
                ),
                of: versions,
                hits,
                bound: Bound::AtLeast(least),
            });
        }
    }
}

fn reported(shift: &Shift, version: u64) -> Option<usize> {
    let mut random = StdRng::seed_from_u64(version);
    let before = normal(13);
    let mut after = before.clone();
    after[0] = Column::shifted(shift.deviations);
    let (rows, window) = shift.rows;
    let reference = train(&before, rows, &mut random);
    let (quiet, moved) = (
        Traffic::of(&before, &reference.bins),
        Traffic::of(&after, &reference.bins),
    );
    let mut life = Life::new(reference, Rule::default(), MONTH - 23);
    for _ in 0..23 {
        life.pass(quiet.window(window, &mut random));
    }
    life.first_alarm(24, || moved.window(window, &mut random))
}

/// Lasting differences under the tolerance: how many versions report one within a month. There is no guarantee over a life, but 5%
/// for each report.
pub fn tolerated(versions: u64, windows: usize, mut print: impl FnMut(Row)) {
    for (tv, rows, window) in [(0.07, 3000, 1000), (0.085, 3000, 1000), (0.085, 303, 147)] {
        let (mut reports, mut alarms) = (0, 0);
        for version in 0..versions {
            let mut random = StdRng::seed_from_u64(version);
            let share = |share: f64| {
                vec![
                    Column::of(Law::Numbers(vec![1.0 - share, share])),
                    Column::normal(),
                ]
            };
            let reference = train(&share(0.3), rows, &mut random);
            let moved = Traffic::of(&share(0.3 + tv), &reference.bins);
            let mut life = Life::new(reference, Rule::default(), 0);
            for _ in 0..windows {
                reports += 1;
                let judgement = life.judge(moved.window(window, &mut random));
                alarms += u64::from(judgement.drifted().next().is_some());
            }
        }
        print(Row {
            name: format!(
                "a share of 0.3 changed by {tv}, {rows} rows of training, windows of {window}: reports"
            ),
            of: reports,
            hits: alarms,
            bound: Bound::AtMost(0.05),
        });
    }
}

/// Challengers that pass `notWorseThan` on a number of new rows: of `runs` that are ten points worse, then of as many that are
/// equally good.
pub fn comparisons(runs: u64, mut print: impl FnMut(Row)) {
    let worse = Pair {
        champion: 0.15,
        challenger: 0.05,
    };
    let equal = Pair {
        champion: 0.1,
        challenger: 0.1,
    };
    for (name, pair, bound) in [
        ("ten points worse", worse, NOMINAL),
        ("as good", equal, Bound::Nothing),
    ] {
        for rows in [1, 3, 5, 10, 20, 30, 50, 100, 200] {
            let passed = (0..runs).filter(|run| passes(pair, rows, *run)).count();
            print(Row {
                name: format!("a challenger {name}, {rows} new rows: passes"),
                of: runs,
                hits: passed as u64,
                bound,
            });
        }
    }
}

/// Milliseconds of one judgement on 24 windows.
pub fn speed(mut print: impl FnMut(String, f64)) {
    let mut random = StdRng::seed_from_u64(1);
    for (name, columns) in [
        ("200 normal columns", normal(200)),
        (
            "4,096 columns of 256 categories",
            vec![Column::of(Law::Words(even(256))); 4096],
        ),
    ] {
        let reference = train(&columns, 3000, &mut random);
        let traffic = Traffic::of(&columns, &reference.bins);
        let mut life = Life::new(reference, Rule::default(), 0);
        for _ in 0..23 {
            life.pass(traffic.window(1000, &mut random));
        }
        let newest = traffic.window(1000, &mut random);
        let started = Instant::now();
        life.judge(newest);
        print(name.to_owned(), started.elapsed().as_secs_f64() * 1000.0);
    }
}

// === impl Row ===

impl Row {
    /// For each of these windows, how many of the versions had detected a change by it, without a guarantee.
    pub(crate) fn by_window(
        name: &str,
        versions: u64,
        found: &[Option<usize>],
        looks: &[usize],
    ) -> impl Iterator<Item = Self> {
        looks.iter().map(move |look| Self {
            name: format!("{name}, by window {look}"),
            of: versions,
            hits: found.iter().flatten().filter(|first| *first <= look).count() as u64,
            bound: Bound::Nothing,
        })
    }

    /// The share.
    pub fn share(&self) -> f64 {
        self.hits as f64 / self.of.max(1) as f64
    }

    /// The 95% Wilson interval of the true share.
    pub fn interval(&self) -> (f64, f64) {
        self.interval_of(1.96)
    }

    /// The Wilson interval for this number of standard deviations.
    fn interval_of(&self, z: f64) -> (f64, f64) {
        let (n, p) = (self.of.max(1) as f64, self.share());
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }

    /// Whether the share is on the wrong side of its bound.
    pub fn is_over(&self) -> bool {
        self.bound.is_broken_by((self.share(), self.share()))
    }

    /// Whether the share is on the wrong side by more than chance explains in one of a thousand rows.
    pub fn is_surely_over(&self) -> bool {
        self.bound.is_broken_by(self.interval_of(3.29))
    }
}

// === impl Bound ===

impl Bound {
    /// Whether no share of the interval is within the bound.
    fn is_broken_by(self, (low, high): (f64, f64)) -> bool {
        match self {
            Self::AtMost(most) => low > most,
            Self::AtLeast(least) => high < least,
            Self::Nothing => false,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval();
        let bound = match self.bound {
            Bound::AtMost(most) => format!("at most {most}"),
            Bound::AtLeast(least) => format!("at least {least:.2}"),
            Bound::Nothing => "no promise".to_owned(),
        };
        let mark = if self.is_over() { "  OVER" } else { "" };
        write!(
            f,
            "{} | {} of {} | {:.3} | {low:.3} to {high:.3} | {bound}{mark}",
            self.name,
            self.hits,
            self.of,
            self.share()
        )
    }
}
