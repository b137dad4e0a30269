//! What the verdict promises, measured by simulation: coverage of the bounds, p-values without drift, false alarms and
//! power. Limits of coverage and of p-values are the promise and the simulation's own error; the limit of false alarms
//! (10 in 1,000 windows of the fewest rows allowed) is a fifth of what the false discovery rate promises.

use crate::common::{Patient, Random, heart_bins, heart_counts, patients};
use modelward_profile::{
    Bins, Counts, FeatureBins, Observed, Rule, ScoreBins, WindowCounts, evidence, judge,
    test::{
        rates::{Rate, compare_rates},
        variation::compare_counts,
    },
};
use modelward_wire::DriftVerdict;

/// Standard errors that the worst of some hundred cells may be off by chance.
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

    /// At most `promised` on the whole, and at most as much more in the worst cell as chance explains.
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
    // Moves `tv` from every second bin to the others, as evenly as they hold it.
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
    // Moves it from all in proportion to the last.
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
fn p_values_without_drift_are_as_small_as_seldom_as_they_say() {
    const DRAWS: usize = 1000;
    let mut random = Random(8);
    let (mut five, mut half) = (Tally::default(), Tally::default());
    for bins in [2, 3, 5, 10, 20, 64] {
        for (name, p, _) in shapes(bins).into_iter().take(3) {
            for (many, few) in [
                (100, 30),
                (100, 100),
                (303, 147),
                (303, 1000),
                (3000, 30),
                (3000, 300),
            ] {
                let (mut at_five, mut at_half) = (0, 0);
                for draw in 0..DRAWS {
                    let (reference, window) = (random.counts(&p, many), random.counts(&p, few));
                    let p_value = compare_counts(&reference, &window, draw % 2 == 0, 0.95)
                        .unwrap()
                        .p_value;
                    at_five += usize::from(p_value <= 0.05);
                    at_half += usize::from(p_value <= 0.005);
                }
                let cell = format!("{bins} bins, {name}, {many} and {few} rows");
                five.cell(at_five, DRAWS, cell.clone());
                half.cell(at_half, DRAWS, cell);
            }
        }
    }
    five.assert("p-value at most 0.05", 0.05, DRAWS);
    half.assert("p-value at most 0.005", 0.005, DRAWS);
}

/// A table of twelve features of many kinds, each the same at any time but for `shift` of the first.
fn table(random: &mut Random, rows: usize, shift: f64) -> Vec<[Observed; 12]> {
    let row = |random: &mut Random| {
        let normal = random.normal();
        let shape = random.normal();
        let number = |x: f64| Observed::Number(x as f32);
        let mut word = |shares: &[f64]| {
            let at = random.unit();
            let mut sum = 0.0;
            let index = shares.iter().position(|share| {
                sum += share;
                at < sum
            });
            index.map_or(Observed::NewCategory, |index| Observed::Category(index as u32))
        };
        let words = [
            word(&[0.5, 0.5]),
            word(&[0.9, 0.08, 0.02]),
            word(&[0.1; 10]),
            word(&[0.6, 0.25, 0.1, 0.04]),
        ];
        let mut missing = |value: Observed, share: f64| {
            if random.unit() < share {
                Observed::Missing
            } else {
                value
            }
        };
        [
            number(normal + shift),
            number(libm::exp(shape)),
            // Two that go together: tests of one table are not independent.
            number(normal + shape),
            number((10.0 * shape).round()),
            number(f64::max(0.0, shape)),
            number(f64::from(u8::from(normal > 1.5))),
            missing(number(shape * shape), 0.02),
            missing(number(normal - shape), 0.6),
            words[0],
            words[1],
            missing(words[2], 0.01),
            words[3],
        ]
    };
    (0..rows).map(|_| row(random)).collect()
}

fn table_bins(rows: &[[Observed; 12]]) -> Bins {
    let features = (0..12).map(|index| {
        let numbers: Vec<f32> = rows
            .iter()
            .map(|row| {
                if let Observed::Number(number) = row[index] {
                    number
                } else {
                    f32::NAN
                }
            })
            .collect();
        let name = format!("x{index}");
        match [2, 3, 10, 4].get(index.wrapping_sub(8)) {
            Some(words) => FeatureBins::categorical(&name, (0..*words).map(|word: i32| word.to_string())),
            None => FeatureBins::numeric(&name, &numbers).unwrap(),
        }
    });
    Bins::new(features.collect(), ScoreBins::from_out_of_fold(&[0.5]).unwrap()).unwrap()
}

fn table_counts(bins: &Bins, rows: &[[Observed; 12]]) -> Counts {
    let mut counts = Counts::new(bins);
    for row in rows {
        counts.add_row(bins, *row, 0.5, 0).unwrap();
    }
    counts
}

/// How many of so many windows raise an alarm, each with a reference of its own.
fn alarms(random: &mut Random, windows: usize, many: usize, few: usize, shift: f64) -> usize {
    (0..windows)
        .filter(|_| {
            let (trained_on, window) = (table(random, many, 0.0), table(random, few, shift));
            let bins = table_bins(&trained_on);
            let (reference, window) = (table_counts(&bins, &trained_on), table_counts(&bins, &window));
            let judgement = judge(&bins, &reference, &window, &Rule::default()).unwrap();
            judgement.verdict == DriftVerdict::Drift
        })
        .count()
}

#[test]
fn quiet_windows_raise_less_than_ten_alarms_in_a_thousand_at_any_size() {
    let mut random = Random(9);
    let sizes = [
        (100, 100),
        (152, 151),
        (303, 100),
        (303, 147),
        (303, 1000),
        (2000, 100),
        (2000, 2000),
    ];
    let (mut all, mut windows) = (0, 0);
    for (many, few) in sizes {
        let tried = if many + few > 1500 { 400 } else { 1500 };
        let found = alarms(&mut random, tried, many, few, 0.0);
        println!("{many} rows of training, {few} in the window: {found} alarms in {tried}");
        assert!(
            found as f64 <= 0.01 * tried as f64,
            "{many} and {few} rows: {found} of {tried}"
        );
        (all, windows) = (all + found, windows + tried);
    }
    println!("{all} alarms in {windows} quiet windows");
}

#[test]
fn quiet_halves_of_cleveland_raise_less_than_five_alarms_in_a_thousand() {
    const WINDOWS: usize = 2000;
    let mut random = Random(10);
    let mut all = patients("cleveland.csv");
    let mut found = 0;
    for _ in 0..WINDOWS {
        random.shuffle(&mut all);
        let (trained_on, window): (&[Patient], &[Patient]) = all.split_at(152);
        let bins = heart_bins(trained_on);
        let (reference, window) = (heart_counts(&bins, trained_on), heart_counts(&bins, window));
        let judgement = judge(&bins, &reference, &window, &Rule::default()).unwrap();
        found += usize::from(judgement.verdict != DriftVerdict::NoDrift);
    }
    println!("{found} alarms in {WINDOWS} halves of Cleveland");
    assert!(found as f64 <= 0.005 * WINDOWS as f64, "{found}");
}

#[test]
fn a_shift_of_one_feature_is_found_sooner_the_larger_it_is() {
    const WINDOWS: usize = 200;
    let mut random = Random(11);
    let mut power = |many: usize, few: usize, shift: f64| {
        let found = alarms(&mut random, WINDOWS, many, few, shift);
        println!("shift by {shift} standard deviations, {many} and {few} rows: {found} of {WINDOWS}");
        found as f64 / WINDOWS as f64
    };
    // A total variation of 0.04 is below the tolerance: never. 0.20, 0.27, 0.38 are above it.
    assert!(power(2000, 2000, 0.1) <= 0.02);
    assert!(power(2000, 1000, 0.5) >= 0.9);
    assert!(power(303, 294, 0.7) >= 0.9);
    assert!(power(303, 147, 1.0) >= 0.95);
    assert!(power(303, 100, 1.0) >= 0.9);
    assert!(power(100, 100, 1.0) >= 0.5);
}

/// The hours of one version, of which the newest are kept.
struct Hours {
    bins: Bins,
    reference: Counts,
    kept: Vec<(u64, Counts)>,
}

/// Hours that a ledger looks back.
const KEPT: usize = 24;

impl Hours {
    fn trained(random: &mut Random, rows: usize) -> Self {
        let trained_on = table(random, rows, 0.0);
        let bins = table_bins(&trained_on);
        Self {
            reference: table_counts(&bins, &trained_on),
            bins,
            kept: Vec::new(),
        }
    }

    /// The confirmed verdict on one more hour, and whether the evidence by itself alarms.
    fn judge(&mut self, hour: u64, rows: &[[Observed; 12]]) -> (DriftVerdict, bool) {
        self.kept.push((hour, table_counts(&self.bins, rows)));
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
        let windows: Vec<_> = self
            .kept
            .iter()
            .map(|(hour, counts)| WindowCounts {
                from: hour * 3600,
                to: (hour + 1) * 3600,
                counts,
            })
            .collect();
        let rule = Rule::default();
        let found = evidence(&self.bins, &self.reference, &windows, rule.ever).unwrap();
        let alarm = found.iter().any(|feature| feature.alarm);
        let counts = &self.kept.last().unwrap().1;
        let judgement = judge(&self.bins, &self.reference, counts, &rule).unwrap();
        (judgement.confirmed(found).verdict, alarm)
    }
}

#[test]
fn evidence_that_is_looked_at_after_every_window_alarms_in_less_than_one_run_of_twenty() {
    let mut random = Random(12);
    for (runs, many, windows, a_window) in [(60, 150, 100, 100), (60, 303, 100, 100), (40, 3000, 40, 500)] {
        let (mut alarmed, mut drifted) = (0, 0);
        for _ in 0..runs {
            let mut version = Hours::trained(&mut random, many);
            let (mut alarm, mut drift) = (false, false);
            for hour in 0..windows {
                let found = version.judge(hour, &table(&mut random, a_window, 0.0));
                drift |= found.0 == DriftVerdict::Drift;
                alarm |= found.1;
            }
            alarmed += usize::from(alarm);
            drifted += usize::from(drift);
        }
        println!(
            "{many} rows of training, {windows} windows of {a_window}: in {alarmed} of {runs} runs ever an alarm of the \
             evidence, in {drifted} a verdict of drift"
        );
        assert!(f64::from(u32::try_from(alarmed).unwrap()) <= 0.05 * f64::from(runs));
        assert!(drifted <= alarmed);
    }
}

#[test]
fn a_shift_after_a_quiet_month_is_confirmed_within_a_few_windows() {
    const RUNS: usize = 80;
    let mut random = Random(13);
    for (many, few, shift, within, wanted) in [
        (303, 147, 1.0, 2_u64, 0.9),
        (303, 147, 0.7, 6, 0.9),
        (303, 100, 1.0, 3, 0.9),
        (2000, 1000, 0.5, 1, 0.95),
    ] {
        let mut first = vec![0; within as usize];
        for _ in 0..RUNS {
            let mut version = Hours::trained(&mut random, many);
            for hour in 720..730 {
                version.judge(hour, &table(&mut random, few, 0.0));
            }
            let confirmed = (1..=within).find(|hour| {
                let verdict = version.judge(729 + hour, &table(&mut random, few, shift)).0;
                verdict == DriftVerdict::Drift
            });
            if let Some(after) = confirmed {
                first[after as usize - 1] += 1;
            }
        }
        let found: usize = first.iter().sum();
        println!(
            "shift by {shift} after a month, {many} rows of training, windows of {few}: confirmed by the first, \
             second and so on {first:?} of {RUNS}"
        );
        assert!(
            found as f64 >= wanted * RUNS as f64,
            "{many}, {few}, {shift}: {found}"
        );
    }
}
