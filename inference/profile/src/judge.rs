//! The default verdict on one window of counts beside its reference.
//!
//! A feature drifted where, for one of the tests ([`test::ALL`]), all of this holds:
//!
//! 1. there are enough rows: [`Rule::min_rows`] on each side, and for values [`Rule::min_present`] present ones;
//! 2. the lower confidence bound of the effect is at or over the tolerance (both sides' sampling noise counted);
//! 3. it is a discovery: its q-value over all tests of all features together is at most [`Rule::discoveries`].
//!
//! Over all windows of a version together, evidence is asked for beside that ([`Judgement::confirmed`]).
//!
//! Too few rows is `InsufficientData`, never "no drift". Everything is decided on the rounded numbers that are
//! written down, so a reader can decide again. The same counts give the same bytes: there is no chance in it.

use modelward_wire::DriftVerdict;

use crate::{
    bins::Bins,
    counts::{Counts, FeatureCount},
    error::JudgeError,
    judgement::{Comparison, Effect, FeatureJudgement, JUDGEMENT_FORMAT, Judgement, TestJudgement},
    number::Exact,
    rule::Rule,
    sides::Sides,
    stats::discovery::q_values,
    test::{self, DriftTest, Estimate, Samples},
};

/// Effects are rounded to 6 places.
const EFFECT_PLACES: f64 = 1e6;
/// p- and q-values are rounded to 12 places.
const P_PLACES: f64 = 1e12;

/// Judges a window by its counts and the reference's, both made in `bins`.
pub fn judge(bins: &Bins, reference: &Counts, window: &Counts, rule: &Rule) -> Result<Judgement, JudgeError> {
    judge_with(test::ALL, bins, reference, window, rule)
}

/// [`judge`] by other tests than those of the release. Each has a name of its own.
pub fn judge_with(
    tests: &[&dyn DriftTest],
    bins: &Bins,
    reference: &Counts,
    window: &Counts,
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    rule.check(bins)?;
    reference.check(bins).map_err(JudgeError::Reference)?;
    window.check(bins).map_err(JudgeError::Window)?;
    let rows = Sides::of(&reference.features, &window.features, |side| side.rows);
    let mut features: Vec<FeatureJudgement> = bins
        .features
        .iter()
        .zip(reference.features.features.iter().zip(&window.features.features))
        .map(|(bins, (reference, window))| {
            let samples = Samples {
                bins,
                reference,
                window,
            };
            let tests = tests.iter().map(|test| open(*test, &samples, rows, rule));
            let outside = |side: &FeatureCount| {
                let slots = bins.outside().map(|slot| side.values[slot]);
                slots.fold(0, u64::saturating_add)
            };
            FeatureJudgement {
                name: bins.name.clone(),
                tests: tests.collect(),
                outside: Sides::of(reference, window, outside),
                type_errors: Sides::of(reference, window, |side| side.type_errors),
            }
        })
        .collect();
    let all = features.iter_mut().flat_map(|feature| &mut feature.tests);
    decide(all.map(|test| &mut test.comparison).collect(), rule);
    let (scores, found) = test::compare_scores(&reference.score, &window.score, rule);
    let mut score = undecided(scores, rule.tolerance, found);
    decide(vec![&mut score], rule);
    let verdict = if !rule.has_rows(rows) {
        DriftVerdict::InsufficientData
    } else if features.iter().any(FeatureJudgement::drifted) {
        DriftVerdict::Drift
    } else {
        DriftVerdict::NoDrift
    };
    Ok(Judgement {
        format: JUDGEMENT_FORMAT,
        verdict,
        rows,
        features,
        score,
        evidence: Vec::new(),
        rule: rule.clone(),
    })
}

/// One test of one feature. The verdict is open until [`decide`].
fn open(test: &dyn DriftTest, samples: &Samples<'_>, rows: Sides, rule: &Rule) -> TestJudgement {
    let found = rule.has_rows(rows).then(|| test.compare(samples, rule)).flatten();
    TestJudgement {
        test: test.name().to_owned(),
        aspect: test.aspect(),
        comparison: undecided(test.counts(samples), rule.tolerance_of(&samples.bins.name), found),
    }
}

/// A comparison whose verdict is open until [`decide`].
fn undecided(counts: Sides, tolerance: Exact<f64>, found: Option<Estimate>) -> Comparison {
    Comparison {
        verdict: DriftVerdict::InsufficientData,
        counts,
        tolerance,
        effect: found.map(|found| Effect {
            estimate: Exact::of(rounded(found.estimate, EFFECT_PLACES)),
            lower: Exact::of(rounded(found.lower, EFFECT_PLACES)),
            upper: Exact::of(rounded(found.upper, EFFECT_PLACES)),
            p_value: Exact::of(rounded(found.p_value, P_PLACES)),
            q_value: Exact::of(1.0),
        }),
    }
}

/// Decides these comparisons together: the false discovery rate is over all of them.
fn decide(comparisons: Vec<&mut Comparison>, rule: &Rule) {
    let p_values: Vec<f64> = comparisons
        .iter()
        .filter_map(|comparison| Some(comparison.effect?.p_value.get()))
        .collect();
    let mut q_values = q_values(&p_values).into_iter();
    for comparison in comparisons {
        let Some(effect) = &mut comparison.effect else {
            continue;
        };
        effect.q_value = Exact::of(rounded(q_values.next().unwrap_or(1.0), P_PLACES));
        let is_large = effect.lower >= comparison.tolerance;
        let is_discovery = effect.q_value <= rule.discoveries;
        comparison.verdict = if is_large && is_discovery {
            DriftVerdict::Drift
        } else {
            DriftVerdict::NoDrift
        };
    }
}

/// The nearest decimal number of so many places; halves away from zero.
fn rounded(value: f64, places: f64) -> f64 {
    (value * places).round() / places
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        bins::{FeatureBins, Observed, ScoreBins},
        evidence::FeatureEvidence,
    };

    pub(crate) fn bins() -> Bins {
        let numbers: Vec<f32> = (0..300).map(|i| (i % 100) as f32).collect();
        let scores: Vec<f64> = (0..300).map(|i| f64::from(i % 100) / 100.0).collect();
        let features = vec![
            FeatureBins::numeric("x", &numbers).unwrap(),
            FeatureBins::categorical("c", ["a", "b"]),
        ];
        Bins::new(features, ScoreBins::from_out_of_fold(&scores).unwrap()).unwrap()
    }

    /// `rows` rows: x cycles through 0..100 and `shift` more, every `gap`-th is missing.
    fn counts(rows: usize, shift: f32, gap: usize) -> Counts {
        let bins = bins();
        let mut counts = Counts::new(&bins);
        for i in 0..rows {
            let x = if gap > 0 && i % gap == 0 {
                Observed::Missing
            } else {
                Observed::Number((i % 100) as f32 + shift)
            };
            let row = [x, Observed::Category((i % 2) as u32)];
            counts
                .add_row(&bins, row, f64::from((i % 100) as u32) / 100.0, 0)
                .unwrap();
        }
        counts
    }

    fn judged(reference: &Counts, window: &Counts) -> Judgement {
        judge(&bins(), reference, window, &Rule::default()).unwrap()
    }

    fn values(feature: &FeatureJudgement) -> &Comparison {
        feature.comparison("variation").unwrap()
    }

    fn missing(feature: &FeatureJudgement) -> &Comparison {
        feature.comparison("missing-rate").unwrap()
    }

    #[test]
    fn equal_counts_are_no_drift_and_a_shift_is() {
        let reference = counts(300, 0.0, 0);
        assert_eq!(judged(&reference, &reference).verdict, DriftVerdict::NoDrift);
        let shifted = judged(&reference, &counts(300, 40.0, 0));
        assert_eq!(shifted.verdict, DriftVerdict::Drift);
        let names: Vec<_> = shifted.drifted().map(|feature| feature.name.as_str()).collect();
        assert_eq!(names, ["x"]);
        assert_eq!(
            shifted.features[0].outside,
            Sides {
                reference: 0,
                window: 120
            }
        );
        assert_eq!(shifted.score.verdict, DriftVerdict::NoDrift);
    }

    #[test]
    fn too_few_rows_on_either_side_are_insufficient_however_different() {
        let (reference, shifted) = (counts(300, 0.0, 0), counts(99, 50.0, 0));
        for (reference, window) in [(&reference, &shifted), (&shifted, &reference)] {
            let judgement = judged(reference, window);
            assert_eq!(judgement.verdict, DriftVerdict::InsufficientData);
            assert!(
                judgement
                    .features
                    .iter()
                    .all(|feature| values(feature).effect.is_none())
            );
        }
    }

    #[test]
    fn a_feature_with_few_values_is_judged_by_its_missing_rate_alone() {
        let reference = counts(300, 0.0, 0);
        let mut window = counts(100, 0.0, 0);
        let x = &mut window.features.features[0];
        x.values.fill(0);
        (x.values[1], x.missing) = (29, 71);
        let judgement = judged(&reference, &window);
        let x = &judgement.features[0];
        assert_eq!(values(x).verdict, DriftVerdict::InsufficientData);
        assert_eq!(missing(x).verdict, DriftVerdict::Drift);
        assert_eq!(judgement.verdict, DriftVerdict::Drift);
    }

    #[test]
    fn a_large_window_with_a_small_effect_is_tolerated() {
        // A shift by 5 of 100 is a total variation of about 0.05: certain, and below the tolerance.
        let (reference, window) = (counts(100_000, 0.0, 0), counts(100_000, 5.0, 0));
        let judgement = judged(&reference, &window);
        let effect = values(&judgement.features[0]).effect.unwrap();
        assert!(
            effect.q_value.get() < 1e-6 && effect.lower.get() > 0.02,
            "{effect:?}"
        );
        assert_eq!(judgement.verdict, DriftVerdict::NoDrift);
        let strict = Rule {
            tolerances: [("x".to_owned(), Exact::of(0.02))].into(),
            ..Rule::default()
        };
        let judgement = judge(&bins(), &reference, &window, &strict).unwrap();
        assert_eq!(judgement.verdict, DriftVerdict::Drift);
    }

    #[test]
    fn drift_of_one_window_is_confirmed_by_what_has_gathered_since_the_reference() {
        let found = |feature: &str, alarm: bool| FeatureEvidence {
            name: feature.to_owned(),
            log_evidence: Exact::of(if alarm { 9.0 } else { 2.0 }),
            log_threshold: Exact::of(5.0),
            alarm,
        };
        let shifted = judged(&counts(300, 0.0, 0), &counts(300, 40.0, 0));
        for (x, c, verdict) in [
            (true, false, DriftVerdict::Drift),
            (false, false, DriftVerdict::InsufficientData),
            // c has changed somewhat, and is not what differs in this window.
            (false, true, DriftVerdict::InsufficientData),
        ] {
            let confirmed = shifted.clone().confirmed(vec![found("x", x), found("c", c)]);
            assert_eq!(confirmed.verdict, verdict, "x {x}, c {c}");
            assert_eq!(confirmed.drifted().count(), 1, "the window's own numbers stay");
        }
        let quiet = judged(&counts(300, 0.0, 0), &counts(300, 0.0, 0));
        let confirmed = quiet.confirmed(vec![found("x", true), found("c", true)]);
        assert_eq!(confirmed.verdict, DriftVerdict::NoDrift);
    }

    #[test]
    fn the_same_counts_give_the_same_bytes_and_they_can_be_read_again() {
        let (reference, window) = (counts(303, 0.0, 0), counts(147, 10.0, 3));
        let bytes = serde_json::to_vec(&judged(&reference, &window)).unwrap();
        assert_eq!(serde_json::to_vec(&judged(&reference, &window)).unwrap(), bytes);
        let back: Judgement = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(serde_json::to_vec(&back).unwrap(), bytes);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_says_what() {
        let reference = counts(300, 0.0, 0);
        let mut other = bins();
        other.features.pop();
        let rule = Rule::default();
        assert!(matches!(
            judge(&other, &reference, &reference, &rule),
            Err(JudgeError::Reference(_))
        ));
        let window = Counts::new(&other);
        assert!(matches!(
            judge(&bins(), &reference, &window, &rule),
            Err(JudgeError::Window(_))
        ));
        let bad = Rule {
            confidence: Exact::of(1.0),
            ..Rule::default()
        };
        let error = judge(&bins(), &reference, &reference, &bad).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the rule's confidence is 1, it must be above 0 and below 1"
        );
        let unknown = Rule {
            tolerances: [("y".to_owned(), Exact::of(0.2))].into(),
            ..Rule::default()
        };
        assert!(judge(&bins(), &reference, &reference, &unknown).is_err());
    }

    #[test]
    fn counts_that_say_nonsense_are_judged_without_a_panic() {
        let mut window = counts(300, 0.0, 0);
        window.features.features[0].missing = u64::MAX;
        assert!(judge(&bins(), &counts(300, 0.0, 0), &window, &Rule::default()).is_err());
        let mut huge = counts(300, 0.0, 0);
        huge.features.features[0].values.fill(u64::MAX / 20);
        huge.features.features[0].missing = u64::MAX / 3;
        judged(&huge, &huge);
        judged(&counts(300, 0.0, 0), &huge);
    }
}
