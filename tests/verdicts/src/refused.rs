//! Refused rows: only the numbers of answered and refused rows per window.

use modelward_profile::{Counts, Reference, Rule};
use modelward_wire::DriftVerdict;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Binomial, Distribution};

use crate::{
    law::{Column, train},
    life::Life,
    tables::{Bound, Row},
};

/// How often a row is refused, in the reference and in the traffic.
struct Refusals {
    /// Rows of the reference and of a window, including refused ones.
    rows: (u64, u64),
    before: f64,
    now: f64,
}

/// False alarms of the rows with names that contain `only`.
pub fn false_alarms(only: &str, versions: u64, windows: usize, mut print: impl FnMut(Row)) {
    for (rows, rate) in [((303, 147), 0.03), ((3000, 1000), 0.03), ((303, 1000), 0.2)] {
        let (before, now) = rows;
        let name = format!("{rate} of rows refused, as many in a reference of {before}, windows of {now}");
        if !name.contains(only) {
            continue;
        }
        let refusals = Refusals {
            rows,
            before: rate,
            now: rate,
        };
        let changes = |version: &u64| {
            let mut random = StdRng::seed_from_u64(*version);
            let (mut life, empty) = refusals.begin(&mut random);
            (0..windows).any(|_| {
                let judgement = life.judge(refusals.window(&empty, &mut random));
                judgement.refused.is_some_and(|refused| refused.has_changed())
            })
        };
        print(Row {
            name: format!("{name}, {windows} windows"),
            of: versions,
            hits: (0..versions).filter(changes).count() as u64,
            bound: Bound::AtMost(0.05),
        });
    }
}

/// How soon refused rows are reported, in the first windows of a version.
pub fn power(only: &str, versions: u64, looks: &[usize], mut print: impl FnMut(Row)) {
    for rate in [0.05, 0.1, 0.5] {
        let name = format!("{rate} of 147 rows refused, none of 303 in training");
        if !name.contains(only) {
            continue;
        }
        let refusals = Refusals {
            rows: (303, 147),
            before: 0.0,
            now: rate,
        };
        let found: Vec<Option<usize>> = (0..versions)
            .map(|version| {
                let mut random = StdRng::seed_from_u64(version);
                let (mut life, empty) = refusals.begin(&mut random);
                (1..=24).find(|_| {
                    let judgement = life.judge(refusals.window(&empty, &mut random));
                    judgement
                        .refused
                        .is_some_and(|refused| refused.verdict == DriftVerdict::Drift)
                })
            })
            .collect();
        Row::by_window(&name, versions, &found, looks).for_each(&mut print);
    }
}

// === impl Refusals ===

impl Refusals {
    fn begin(&self, random: &mut StdRng) -> (Life, Counts) {
        let reference = train(&vec![Column::normal(); 13], 303, random);
        let empty = Counts::new(&reference.bins);
        let reference = Reference {
            counts: draw(&empty, self.rows.0, self.before, random),
            ..reference
        };
        (Life::new(reference, Rule::default(), 0), empty)
    }

    fn window(&self, empty: &Counts, random: &mut StdRng) -> Counts {
        draw(empty, self.rows.1, self.now, random)
    }
}

fn draw(empty: &Counts, rows: u64, rate: f64, random: &mut StdRng) -> Counts {
    let refused = Binomial::new(rows, rate).expect("a rate").sample(random);
    let mut counts = empty.clone();
    counts.features.rows = rows - refused;
    counts.refused = refused;
    counts
}
