//! A test that the release does not have, over the public API alone: what one has to write, and that it is enough.

use modelward_profile::{
    Bins, Counts, FeatureBins, FeatureEvidence, FeatureJudgement, Judgement, Observed, Rule, ScoreBins,
    Sides, WindowCounts,
    counts::FeatureCount,
    evidence, judge, judge_with,
    test::{
        self, DriftTest, Estimate, Samples,
        rates::{Rate, compare_rates},
    },
};
use modelward_wire::{DriftAspect, DriftVerdict};

/// The share of values that training never saw the like of.
#[derive(Debug)]
struct OutsideRate;

// === impl OutsideRate ===

impl DriftTest for OutsideRate {
    fn name(&self) -> &'static str {
        "outside-rate"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::Values
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| {
            outside(samples.bins, side)
        })
    }

    fn compare(&self, samples: &Samples<'_>, rule: &Rule) -> Option<Estimate> {
        let rate = |side: &FeatureCount| Rate {
            hits: outside(samples.bins, side),
            of: side.present().unwrap_or(u64::MAX),
        };
        compare_rates(
            rate(samples.reference),
            rate(samples.window),
            rule.confidence.get(),
        )
    }
}

fn outside(bins: &FeatureBins, side: &FeatureCount) -> u64 {
    bins.outside()
        .map(|slot| side.values[slot])
        .fold(0, u64::saturating_add)
}

/// The tests of the release, and this one.
fn three() -> Vec<&'static dyn DriftTest> {
    [test::ALL, &[&OutsideRate]].concat()
}

fn bins() -> Bins {
    let numbers: Vec<f32> = (0..300_u16).map(|row| f32::from(row % 100)).collect();
    let features = vec![
        FeatureBins::numeric("x", &numbers).unwrap(),
        FeatureBins::categorical("c", ["a", "b"]),
    ];
    Bins::new(features, ScoreBins::from_out_of_fold(&[0.5]).unwrap()).unwrap()
}

/// 300 rows: x goes through 0 to 99, and every `beyond`-th is 200, which training never saw.
fn counts(beyond: Option<u16>) -> Counts {
    let bins = bins();
    let mut counts = Counts::new(&bins);
    for row in 0..300_u16 {
        let is_beyond = beyond.is_some_and(|beyond| row % beyond == 0);
        let x = if is_beyond { 200.0 } else { f32::from(row % 100) };
        let values = [Observed::Number(x), Observed::Category(u32::from(row % 2))];
        counts.add_row(&bins, values, 0.5, 0).unwrap();
    }
    counts
}

/// What drifted of x, by name of the test.
fn drifted(x: &FeatureJudgement) -> Vec<(&str, DriftAspect)> {
    let found = x
        .tests
        .iter()
        .filter(|found| found.comparison.verdict == DriftVerdict::Drift);
    found.map(|found| (found.test.as_str(), found.aspect)).collect()
}

#[test]
fn a_test_of_its_own_decides_beside_the_others() {
    let (bins, rule) = (bins(), Rule::default());
    let (reference, window) = (counts(None), counts(Some(6)));
    let quiet = judge(&bins, &reference, &window, &rule).unwrap();
    assert_eq!(quiet.verdict, DriftVerdict::NoDrift, "{:?}", quiet.features[0]);

    let judgement = judge_with(&three(), &bins, &reference, &window, &rule).unwrap();
    assert_eq!(judgement.verdict, DriftVerdict::Drift);
    let x = &judgement.features[0];
    assert_eq!(drifted(x), [("outside-rate", DriftAspect::Values)]);
    let found = x.comparison("outside-rate").unwrap();
    let counts = Sides {
        reference: 0,
        window: 50,
    };
    assert_eq!(found.counts, counts);
    assert_eq!(found.tolerance, rule.tolerance);
    let names: Vec<_> = judgement.drifted().map(|feature| &feature.name).collect();
    assert_eq!(names, ["x"]);

    // The others find what they found without it; only q-values, which are over all tests together, may differ.
    for (with, without) in judgement.features.iter().zip(&quiet.features) {
        assert_eq!((with.tests.len(), without.tests.len()), (3, 2));
        for former in &without.tests {
            let (now, former) = (with.comparison(&former.test).unwrap(), &former.comparison);
            let (mut now, former) = (now.clone(), former.clone());
            if let (Some(now), Some(former)) = (&mut now.effect, former.effect) {
                now.q_value = former.q_value;
            }
            assert_eq!(now, former);
        }
    }
    assert_eq!(judgement.score, quiet.score);
}

#[test]
fn its_judgement_is_written_read_and_confirmed_as_any_other() {
    let (bins, rule) = (bins(), Rule::default());
    let (reference, window) = (counts(None), counts(Some(6)));
    let windows = [WindowCounts {
        from: 0,
        to: 3600,
        counts: &window,
    }];
    let gathered: Vec<FeatureEvidence> = evidence(&bins, &reference, &windows, rule.ever).unwrap();
    let judgement = judge_with(&three(), &bins, &reference, &window, &rule)
        .unwrap()
        .confirmed(gathered);
    assert_eq!(judgement.verdict, DriftVerdict::Drift);
    let text = serde_json::to_string(&judgement).unwrap();
    let read: Judgement = serde_json::from_str(&text).unwrap();
    assert_eq!(read, judgement);

    // A release without the test reads it too.
    assert!(test::ALL.iter().all(|test| test.name() != "outside-rate"));
    assert_eq!(
        drifted(&read.features[0]),
        [("outside-rate", DriftAspect::Values)]
    );
}

#[test]
fn it_has_no_say_where_there_are_too_few_rows() {
    let (bins, rule) = (bins(), Rule::default());
    let rule = Rule {
        min_rows: 301,
        ..rule
    };
    let judgement = judge_with(&three(), &bins, &counts(None), &counts(Some(2)), &rule).unwrap();
    assert_eq!(judgement.verdict, DriftVerdict::InsufficientData);
    let tests = judgement.features.iter().flat_map(|feature| &feature.tests);
    assert!(
        tests
            .map(|found| found.comparison.effect)
            .all(|effect| effect.is_none())
    );
}
