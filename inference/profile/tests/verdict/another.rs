//! A test that is not in the release, written only with the public API: this shows what is needed and that it is enough.

use modelward_profile::{
    Bins, ChosenBy, Counts, Exact, FeatureBins, FeatureJudgement, Judgement, Observed, Reference, Rule,
    ScoreBins, Sides, WindowCounts,
    counts::FeatureCount,
    judge, judge_with,
    stats::hypergeometric::Split,
    test::{
        self, DriftTest, Samples, Size,
        rates::{Rate, compare_rates},
    },
};
use modelward_wire::{DriftAspect, DriftVerdict};

/// The share of values in the lowest bin, the value of failed sensors.
#[derive(Debug)]
struct LowestBin;

// === impl LowestBin ===

impl DriftTest for LowestBin {
    fn name(&self) -> &'static str {
        "lowest-bin"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::Values
    }

    fn weight(&self, bins: &FeatureBins) -> f64 {
        if bins.is_ordered() { 4.0 } else { 0.0 }
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| side.values[1])
    }

    fn log_p(&self, samples: &Samples<'_>, _log_level: f64) -> Option<f64> {
        // Rows that were used to cut the bins are not an unbiased sample of how full they are.
        let [before, now] = [samples.unchosen?, samples.window].map(lowest);
        let split = Split::new(
            before.hits.into(),
            before.of.into(),
            now.hits.into(),
            now.of.into(),
        );
        Some(split.log_two_sided())
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        compare_rates(lowest(samples.reference), lowest(samples.window), confidence)
    }
}

fn lowest(side: &FeatureCount) -> Rate {
    Rate {
        hits: side.values[1],
        of: side.present().unwrap_or(u64::MAX),
    }
}

/// The tests of the release, and this one.
fn all_and_this() -> Vec<&'static dyn DriftTest> {
    [test::ALL, &[&LowestBin]].concat()
}

fn bins() -> Bins {
    let numbers: Vec<f32> = (0..300_u16).map(|row| f32::from(row % 100)).collect();
    let features = vec![
        FeatureBins::numeric("x", &numbers).unwrap(),
        FeatureBins::categorical("c", ["a", "b"]),
    ];
    Bins::new(features, ScoreBins::from_out_of_fold(&[0.5]).unwrap()).unwrap()
}

/// 300 rows: x cycles through 0 to 99, and every `failing`-th value is 0.
fn counts(failing: Option<u16>) -> Counts {
    let bins = bins();
    let mut counts = Counts::new(&bins);
    for row in 0..300_u16 {
        let fails = failing.is_some_and(|failing| row % failing == 0);
        let x = if fails { 0.0 } else { f32::from(row % 100) };
        let values = [Observed::Number(x), Observed::Category(u32::from(row % 2))];
        counts.add_row(&bins, values, 0.5, 0).unwrap();
    }
    counts
}

/// The judgement on the first hour.
fn judged(tests: &[&dyn DriftTest], window: &Counts, rule: &Rule) -> Judgement {
    let reference = Reference {
        bins: bins(),
        counts: counts(None),
        chosen_by: ChosenBy::None,
        phases: None,
    };
    let windows = [WindowCounts {
        from: 0,
        to: 3600,
        counts: window,
    }];
    judge_with(tests, &reference, &windows, rule).unwrap()
}

/// The tests that found drift of x, by name.
fn drifted(x: &FeatureJudgement) -> Vec<&str> {
    let found = x
        .tests
        .iter()
        .filter(|found| found.comparison.verdict == DriftVerdict::Drift);
    found.map(|found| found.test.as_str()).collect()
}

/// Half of what the failing rows change.
fn rule() -> Rule {
    Rule {
        tolerance: Exact::new(0.08).unwrap(),
        ..Rule::default()
    }
}

#[test]
fn a_test_of_its_own_decides_beside_the_others() {
    let (rule, window) = (rule(), counts(Some(6)));
    let quiet = judged(test::ALL, &window, &rule);
    assert_eq!(quiet.verdict, DriftVerdict::NoDrift, "{:?}", quiet.features[0]);

    let judgement = judged(&all_and_this(), &window, &rule);
    assert_eq!(
        judgement.verdict,
        DriftVerdict::Drift,
        "{:?}",
        judgement.features[0]
    );
    let x = &judgement.features[0];
    assert_eq!(drifted(x), ["lowest-bin"]);
    assert_eq!(x.comparison("lowest-bin").unwrap().tolerance, rule.tolerance);
    let names: Vec<_> = judgement.drifted().map(|feature| &feature.name).collect();
    assert_eq!(names, ["x"]);

    // It takes a share of the level only of features to which it applies.
    for (name, costs) in [("x", true), ("c", false)] {
        let threshold = |judgement: &Judgement| {
            let feature = judgement
                .features
                .iter()
                .find(|feature| feature.name == name)
                .unwrap();
            feature.comparison("missing-rate").unwrap().log_threshold
        };
        assert_eq!(threshold(&judgement) > threshold(&quiet), costs, "{name}");
    }
    assert_eq!(judgement.score, quiet.score);
}

#[test]
fn its_judgement_is_written_and_read_as_any_other() {
    let judgement = judged(&all_and_this(), &counts(Some(6)), &rule());
    let text = serde_json::to_string(&judgement).unwrap();
    let read: Judgement = serde_json::from_str(&text).unwrap();
    assert_eq!(read, judgement);

    // A release without this test can read it too.
    assert!(test::ALL.iter().all(|test| test.name() != "lowest-bin"));
    assert_eq!(drifted(&read.features[0]), ["lowest-bin"]);
}

#[test]
fn it_has_no_say_where_there_are_too_few_rows() {
    let rule = Rule {
        min_rows: 301,
        ..Rule::default()
    };
    let judgement = judged(&all_and_this(), &counts(Some(2)), &rule);
    assert_eq!(judgement.verdict, DriftVerdict::InsufficientData);
    let tests = judgement.features.iter().flat_map(|feature| &feature.tests);
    assert!(
        tests
            .map(|found| &found.comparison)
            .all(|found| found.effect.is_none())
    );
}

#[test]
fn without_a_test_nothing_drifts() {
    let judgement = judged(&[], &counts(Some(2)), &Rule::default());
    assert_eq!(judgement.verdict, DriftVerdict::NoDrift);
    let reference = Reference {
        bins: bins(),
        counts: counts(None),
        chosen_by: ChosenBy::None,
        phases: None,
    };
    assert!(judge(&reference, &[], &Rule::default()).is_err());
}
