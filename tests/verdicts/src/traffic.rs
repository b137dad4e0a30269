//! The amount of traffic: only the numbers of rows per window.

use modelward_profile::{Comparison, Counts, Reference, Rule, Traffic, WindowCounts, judge_with_traffic};
use modelward_wire::DriftVerdict;
use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, LogNormal, Poisson};

use crate::{
    law::{Column, train},
    life::HOUR,
    tables::{Bound, Row},
};

const HOURS: usize = 24;
/// Number of windows that the ledger reads.
const KEPT: usize = 1008;

/// How the mean number of rows of a window is determined.
#[derive(Clone, Copy)]
enum Mean {
    /// It is constant.
    Steady,
    /// It is drawn for each window, with this standard deviation of its logarithm.
    Noisy(f64),
    /// At night, it is a tenth.
    Daily,
}

fn rows(mean: Mean, window: usize, factor: f64, random: &mut StdRng) -> u64 {
    let mean = match mean {
        Mean::Noisy(deviation) => {
            100.0
                * LogNormal::new(0.0, deviation)
                    .expect("a deviation")
                    .sample(random)
        }
        Mean::Daily if window % HOURS < 8 => 10.0,
        Mean::Steady | Mean::Daily => 100.0,
    };
    if factor == 0.0 {
        return 0;
    }
    Poisson::new(mean * factor)
        .expect("a mean above 0")
        .sample(random) as u64
}

/// The traffic of a version, judged by window.
struct Flow {
    reference: Reference,
    empty: Counts,
    period: usize,
    rows: Vec<u64>,
}

// === impl Flow ===

impl Flow {
    fn new(period: usize) -> Self {
        let columns = vec![Column::normal(); 13];
        let reference = train(&columns, 303, &mut StdRng::seed_from_u64(1));
        Self {
            empty: Counts::new(&reference.bins),
            reference,
            period,
            rows: Vec::new(),
        }
    }

    fn judge(&mut self, rows: u64) -> Comparison {
        self.rows.push(rows);
        let window = self.rows.len() as u64 - 1;
        let windows = [window.saturating_sub(1), window].map(|hour| WindowCounts {
            from: hour * HOUR,
            to: (hour + 1) * HOUR,
            counts: &self.empty,
        });
        let traffic = Traffic {
            rows: &self.rows[self.rows.len().saturating_sub(KEPT)..],
            period: self.period,
        };
        let windows = &windows[usize::from(window == 0)..];
        let judged = judge_with_traffic(&self.reference, windows, Some(&traffic), &Rule::default());
        judged.expect("counts that fit").traffic.expect("it was judged")
    }
}

/// False alarms of the rows with names that contain `only`.
pub fn false_alarms(only: &str, versions: u64, windows: usize, mut print: impl FnMut(Row)) {
    let promised = Bound::AtMost(0.05);
    let regimes = [
        ("traffic: 100 rows a window", Mean::Steady, 1, promised),
        (
            "traffic: 100 rows a window, deviation 0.5",
            Mean::Noisy(0.5),
            1,
            promised,
        ),
        ("traffic: nights, season Day", Mean::Daily, HOURS, promised),
        ("traffic: nights, season None", Mean::Daily, 1, Bound::Nothing),
    ];
    for (name, mean, period, bound) in regimes {
        if !name.contains(only) {
            continue;
        }
        let changes = |seed: &u64| {
            let mut random = StdRng::seed_from_u64(*seed);
            let mut flow = Flow::new(period);
            (0..windows).any(|window| flow.judge(rows(mean, window, 1.0, &mut random)).has_changed())
        };
        print(Row {
            name: format!("{name}, {windows} windows"),
            of: versions,
            hits: (0..versions).filter(changes).count() as u64,
            bound,
        });
    }
}

/// How soon a change is reported after two quiet weeks.
pub fn power(only: &str, versions: u64, looks: &[usize], mut print: impl FnMut(Row)) {
    let changes = [("stops", 0.0), ("is halved", 0.5), ("doubles", 2.0)];
    let regimes = [
        ("100 rows a window", Mean::Steady, 1),
        ("100 rows a window, deviation 0.5", Mean::Noisy(0.5), 1),
        ("nights, season Day", Mean::Daily, HOURS),
    ];
    for (regime, mean, period) in regimes {
        for (change, factor) in changes {
            let name = format!("traffic {change}, {regime}");
            if !name.contains(only) {
                continue;
            }
            let found: Vec<Option<usize>> = (0..versions)
                .map(|seed| {
                    let mut random = StdRng::seed_from_u64(seed);
                    let mut flow = Flow::new(period);
                    let quiet = 14 * HOURS;
                    flow.rows = (0..quiet)
                        .map(|window| rows(mean, window, 1.0, &mut random))
                        .collect();
                    (1..=24).find(|window| {
                        let next = rows(mean, quiet + window - 1, factor, &mut random);
                        flow.judge(next).verdict == DriftVerdict::Drift
                    })
                })
                .collect();
            Row::by_window(&name, versions, &found, looks).for_each(&mut print);
        }
    }
}
