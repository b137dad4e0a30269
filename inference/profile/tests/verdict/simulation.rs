//! Checks the guarantees of the verdict by simulation: coverage of the bounds, and halves of real data. Limits are the guarantee plus the
//! error of the simulation. Lives of versions are simulated in the package `modelward-verdicts`.

use crate::common::{Patient, Random, heart_counts, judged, patients, trained};
use modelward_profile::test::{
    rates::{Rate, compare_rates},
    variation::compare_counts,
};
use modelward_wire::DriftVerdict;

/// Standard errors by which the worst of some hundred cells may be off by chance.
const WORST: f64 = 4.5;

/// Counts misses by cell.
#[derive(Default)]
struct Tally {
    cells: usize,
    misses: usize,
    draws: usize,
    worst: (f64, String),
}

impl Tally {
    fn cell(&mut self, misses: usize, draws: usize, name: String) {
        self.cells += 1;
        self.misses += misses;
        self.draws += draws;
        let share = misses as f64 / draws as f64;
        if share > self.worst.0 {
            self.worst = (share, name);
        }
    }

    /// Checks that at most `promised` are missed overall, and in the worst cell at most as many more as chance explains.
    fn assert(&self, what: &str, promised: f64, draws_a_cell: usize) {
        let share = self.misses as f64 / self.draws as f64;
        let (worst, name) = &self.worst;
        println!(
            "{what}: {share:.4} of {} draws in {} cells, worst {worst:.4} ({name})",
            self.draws, self.cells
        );
        let error = (promised * (1.0 - promised) / draws_a_cell as f64).sqrt();
        assert!(share <= promised, "{what}: {share} > {promised}");
        assert!(*worst <= promised + WORST * error, "{what}: {worst} in {name}");
    }
}

fn distance(p: &[f64], q: &[f64]) -> f64 {
    0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>()
}

/// Shares of `bins` bins and of their drifted version, by name; the first three have no drift.
fn shapes(bins: usize) -> Vec<(&'static str, Vec<f64>, Vec<f64>)> {
    let even = vec![1.0 / bins as f64; bins];
    let mut uneven: Vec<f64> = (0..bins).map(|b| libm::pow(0.7, b as f64)).collect();
    let sum: f64 = uneven.iter().sum();
    for share in &mut uneven {
        *share /= sum;
    }
    let mut rare = vec![0.002; bins];
    rare[0] = 1.0 - 0.002 * (bins - 1) as f64;
    // Moves `tv` from every second bin to the others, in proportion to their shares.
    let spread = |p: &[f64], tv: f64| {
        let half: f64 = p.iter().step_by(2).sum();
        let share = |b: usize| {
            if b.is_multiple_of(2) {
                -p[b] / half
            } else {
                p[b] / (1.0 - half)
            }
        };
        (0..p.len()).map(|b| p[b] + tv * share(b)).collect::<Vec<_>>()
    };
    // Moves it from all bins, in proportion to their shares, to the last one.
    let to_one = |p: &[f64], tv: f64| {
        let last = p[p.len() - 1];
        let mut q: Vec<f64> = p.iter().map(|share| share * (1.0 - tv / (1.0 - last))).collect();
        q[p.len() - 1] = last + tv;
        q
    };
    vec![
        ("even, no drift", even.clone(), even.clone()),
        ("uneven, no drift", uneven.clone(), uneven.clone()),
        ("rare, no drift", rare.clone(), rare.clone()),
        ("even, 0.1 spread", even.clone(), spread(&even, 0.1)),
        ("uneven, 0.1 spread", uneven.clone(), spread(&uneven, 0.1)),
        ("even, 0.1 to one", even.clone(), to_one(&even, 0.1)),
        ("rare, 0.1 to one", rare.clone(), to_one(&rare, 0.1)),
        ("even, 0.3 spread", even.clone(), spread(&even, 0.3)),
        ("uneven, 0.3 to one", uneven.clone(), to_one(&uneven, 0.3)),
    ]
}

#[test]
fn bounds_of_total_variation_hold_as_often_as_they_say() {
    const DRAWS: usize = 400;
    let mut random = Random(7);
    let (mut low, mut high) = (Tally::default(), Tally::default());
    for bins in [2, 3, 5, 10, 20, 64] {
        for (name, p, q) in shapes(bins) {
            let truth = distance(&p, &q);
            for many in [100, 303, 3000] {
                for few in [30, 100, 300, 1000] {
                    let (mut above, mut below) = (0, 0);
                    for draw in 0..DRAWS {
                        let (reference, window) = (random.counts(&p, many), random.counts(&q, few));
                        let found = compare_counts(&reference, &window, draw % 2 == 0, 0.95).unwrap();
                        above += usize::from(found.lower > truth + 1e-12);
                        below += usize::from(found.upper < truth - 1e-12);
                    }
                    let cell = format!("{bins} bins, {name}, {many} and {few} rows");
                    low.cell(above, DRAWS, cell.clone());
                    high.cell(below, DRAWS, cell);
                }
            }
        }
    }
    low.assert("lower bound above the truth", 0.05, DRAWS);
    high.assert("upper bound below the truth", 0.05, DRAWS);
}

#[test]
fn bounds_of_a_change_of_rates_hold_as_often_as_they_say() {
    const DRAWS: usize = 2000;
    let mut random = Random(7);
    let (mut low, mut high) = (Tally::default(), Tally::default());
    for (before, now) in [
        (0.0, 0.0),
        (0.02, 0.02),
        (0.3, 0.3),
        (0.0, 0.1),
        (0.02, 0.12),
        (0.3, 0.4),
        (0.1, 0.0),
        (0.95, 0.65),
        (0.0, 0.5),
    ] {
        let truth = f64::abs(now - before);
        for many in [100, 303, 3000] {
            for few in [100, 300, 1000] {
                let (mut above, mut below) = (0, 0);
                for _ in 0..DRAWS {
                    let mut rate = |of: usize, share: f64| Rate {
                        hits: random.counts(&[1.0 - share, share], of)[1],
                        of: of as u64,
                    };
                    let found = compare_rates(rate(many, before), rate(few, now), 0.95).unwrap();
                    above += usize::from(found.lower > truth + 1e-12);
                    below += usize::from(found.upper < truth - 1e-12);
                }
                let cell = format!("{before} to {now}, {many} and {few} rows");
                low.cell(above, DRAWS, cell.clone());
                high.cell(below, DRAWS, cell);
            }
        }
    }
    low.assert("lower bound above the true change", 0.05, DRAWS);
    high.assert("upper bound below the true change", 0.05, DRAWS);
}

#[test]
fn quiet_halves_of_cleveland_never_alarm() {
    const WINDOWS: usize = 1000;
    let mut random = Random(10);
    let mut all = patients("cleveland.csv");
    let mut found = 0;
    for _ in 0..WINDOWS {
        random.shuffle(&mut all);
        let (trained_on, window): (&[Patient], &[Patient]) = all.split_at(152);
        let reference = trained(trained_on);
        let judgement = judged(&reference, &heart_counts(&reference.bins, window), 0);
        found += usize::from(judgement.verdict != DriftVerdict::NoDrift);
    }
    println!("{found} alarms in {WINDOWS} halves of Cleveland");
    assert_eq!(found, 0);
}
