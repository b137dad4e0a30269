//! The verdict on the newest window of a version, by what was counted since its reference.
//!
//! Each feature is compared by each test ([`test::ALL`]) over each span ([`SPANS`]: the newest window, the last 4 and the last
//! 24 together), and the span with most evidence counts. The feature drifted where, for one of the tests, all of this holds:
//!
//! 1. the reference and the newest window have [`Rule::min_rows`] each;
//! 2. **it has changed**: the p-value of "both are samples of one law" is at most the comparison's level. All levels of a
//!    version's life add up to [`Rule::ever`] ([`crate::lifetime`]);
//! 3. **the change is large**: its lower bound over the same span, which holds with [`Rule::confidence`], is at or over the tolerance.
//!
//! Too few rows is `InsufficientData`, never "no drift". Everything is decided on the rounded numbers that are written down, so
//! a reader can decide again. The same counts give the same bytes: there is no chance in it.

use modelward_wire::{DriftAspect, DriftVerdict};

use crate::{
    counts::FeatureCount,
    error::JudgeError,
    judgement::{Comparison, Effect, FeatureJudgement, JUDGEMENT_FORMAT, Judgement, TestJudgement},
    lifetime::{SPANS, WindowCounts, log_weight, spans, sum},
    number::Exact,
    reference::Reference,
    rule::Rule,
    sides::Sides,
    test::{self, DriftTest, Samples, Size},
};

/// Effects are rounded to 6 places, and so is evidence.
const PLACES: f64 = 1e6;
/// The logarithm of evidence that is as good as certain.
const MOST_EVIDENCE: f64 = 1e6;
/// −log of the p-value from which on a size is worth computing: one in twenty.
const WORTH_A_SIZE: f64 = 3.0;

/// Judges the last of `windows` by all of them. They come in the order of time and do not overlap; any number of old ones, and those
/// without rows, may be left out.
pub fn judge(
    reference: &Reference,
    windows: &[WindowCounts<'_>],
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    judge_with(test::ALL, reference, windows, rule)
}

/// [`judge`] by other tests than those of the release. Each has a name of its own.
pub fn judge_with(
    tests: &[&dyn DriftTest],
    reference: &Reference,
    windows: &[WindowCounts<'_>],
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    let bins = &reference.bins;
    rule.check(bins)?;
    reference.counts.check(bins).map_err(JudgeError::Reference)?;
    for window in windows {
        window.counts.check(bins).map_err(JudgeError::Window)?;
    }
    if windows.is_empty() {
        return Err(JudgeError::Order);
    }
    let spans: Vec<Span<'_>> = spans(windows)
        .map(|windows| Span {
            windows,
            rows: rows(reference, windows),
        })
        .collect();
    let parts = (bins.features.len() + 1) * SPANS.len();
    let log_level = libm::log(rule.ever.get() / parts as f64) + log_weight(windows)?;
    let features: Vec<FeatureJudgement> = (0..bins.features.len())
        .map(|feature| judge_feature(tests, reference, feature, &spans, log_level, rule))
        .collect();
    let score = judge_scores(reference, &spans, log_level, rule);
    let rows = spans[0].rows;
    let has_drifted = features.iter().any(FeatureJudgement::drifted) || score.verdict == DriftVerdict::Drift;
    let verdict = if has_drifted {
        DriftVerdict::Drift
    } else if rule.has_rows(rows) {
        DriftVerdict::NoDrift
    } else {
        DriftVerdict::InsufficientData
    };
    Ok(Judgement {
        format: JUDGEMENT_FORMAT,
        verdict,
        rows,
        features,
        score,
        rule: rule.clone(),
    })
}

/// The newest windows, as many as are compared together.
struct Span<'a> {
    windows: &'a [WindowCounts<'a>],
    rows: Sides,
}

fn rows(reference: &Reference, windows: &[WindowCounts<'_>]) -> Sides {
    let counted = windows.iter().map(|window| window.counts.features.rows);
    Sides {
        reference: reference.counts.features.rows,
        window: counted.fold(0, u64::saturating_add),
    }
}

fn judge_feature(
    tests: &[&dyn DriftTest],
    reference: &Reference,
    feature: usize,
    spans: &[Span<'_>],
    log_level: f64,
    rule: &Rule,
) -> FeatureJudgement {
    let bins = &reference.bins.features[feature];
    let counted: Vec<FeatureCount> = spans.iter().map(|span| sum(span.windows, feature)).collect();
    let all: f64 = tests.iter().map(|test| test.weight(bins)).sum();
    let applies = tests.iter().filter(|test| test.weight(bins) > 0.0);
    let judged = applies.map(|test| {
        let has_rows = rule.has_rows(Sides {
            window: match test.aspect() {
                // Refused rows are rows too, and a window may have no others.
                DriftAspect::TypeErrors => spans[0].rows.window.saturating_add(counted[0].type_errors),
                _ => spans[0].rows.window,
            },
            ..spans[0].rows
        });
        let tolerance = rule.tolerance_of(&bins.name, test.aspect());
        let log_level = log_level + libm::log(test.weight(bins) / all);
        let compare = |(span, window): (&Span<'_>, &FeatureCount)| {
            let samples = Samples {
                bins,
                reference: &reference.counts.features.features[feature],
                unchosen: reference.unchosen(feature),
                window,
            };
            let found = has_rows.then(|| test.log_p(&samples, log_level)).flatten();
            let size = |confidence| test.size(&samples, confidence);
            comparison(
                span,
                test.counts(&samples),
                tolerance,
                found,
                log_level,
                size,
                rule,
            )
        };
        TestJudgement {
            test: test.name().to_owned(),
            aspect: test.aspect(),
            comparison: most_telling(spans.iter().zip(&counted).map(compare)),
        }
    });
    FeatureJudgement {
        name: bins.name.clone(),
        tests: judged.collect(),
    }
}

fn judge_scores(reference: &Reference, spans: &[Span<'_>], log_level: f64, rule: &Rule) -> Comparison {
    let before: Vec<u64> = reference.counts.score.by_slot().collect();
    let has_rows = rule.has_rows(spans[0].rows);
    most_telling(spans.iter().map(|span| {
        let mut now = vec![0_u64; before.len()];
        for window in span.windows {
            for (slot, scores) in now.iter_mut().zip(window.counts.score.by_slot()) {
                *slot = slot.saturating_add(scores);
            }
        }
        let counts = Sides::of(&*before, &*now, |side| {
            side.iter()
                .fold(0, |sum: u64, scores| sum.saturating_add(*scores))
        });
        let found = has_rows
            .then(|| test::scores_log_p(&before, &now, log_level))
            .flatten();
        let size = |confidence| test::variation::compare_counts(&before, &now, true, confidence);
        comparison(span, counts, rule.tolerance, found, log_level, size, rule)
    }))
}

/// What one test found over one span; `log_p` is `None` where it cannot tell.
fn comparison(
    span: &Span<'_>,
    counts: Sides,
    tolerance: Exact<f64>,
    log_p: Option<f64>,
    log_level: f64,
    size: impl Fn(f64) -> Option<Size>,
    rule: &Rule,
) -> Comparison {
    let log_threshold = Exact::of(rounded(-log_level));
    let log_evidence = log_p.map(|log_p| Exact::of(rounded((-log_p).clamp(0.0, MOST_EVIDENCE))));
    let is_worth_it = log_evidence.is_some_and(|evidence| evidence.get() >= WORTH_A_SIZE);
    let effect = is_worth_it
        .then(|| size(rule.confidence.get()))
        .flatten()
        .map(|size| Effect {
            estimate: Exact::of(rounded(size.estimate)),
            lower: Exact::of(rounded(size.lower)),
            upper: Exact::of(rounded(size.upper)),
        });
    let mut comparison = Comparison {
        verdict: DriftVerdict::NoDrift,
        windows: span.windows.len() as u64,
        counts,
        tolerance,
        log_evidence,
        log_threshold,
        effect,
    };
    if log_evidence.is_none() {
        comparison.verdict = DriftVerdict::InsufficientData;
    } else if comparison.has_changed() && effect.is_some_and(|effect| effect.lower >= tolerance) {
        comparison.verdict = DriftVerdict::Drift;
    }
    comparison
}

/// The comparison with most evidence; the shortest span among equals.
fn most_telling(comparisons: impl Iterator<Item = Comparison>) -> Comparison {
    let evidence = |comparison: &Comparison| comparison.log_evidence.map_or(-1.0, Exact::get);
    comparisons
        .reduce(|best, next| {
            if evidence(&next) > evidence(&best) {
                next
            } else {
                best
            }
        })
        .unwrap_or_else(|| unreachable!("there is one span at least"))
}

/// The nearest decimal number of 6 places; halves away from zero.
fn rounded(value: f64) -> f64 {
    // Not a negative zero, which has another text.
    (value * PLACES).round() / PLACES + 0.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        Bins, Counts,
        bins::{FeatureBins, Observed, ScoreBins},
        reference::ChosenBy,
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

    /// A reference whose bins were there before.
    fn reference(counts: &Counts) -> Reference {
        Reference {
            bins: bins(),
            counts: counts.clone(),
            chosen_by: ChosenBy::None,
        }
    }

    /// The judgement on the first hour.
    fn judge_by(before: &Counts, window: &Counts, rule: &Rule) -> Result<Judgement, JudgeError> {
        let windows = [WindowCounts {
            from: 0,
            to: 3600,
            counts: window,
        }];
        judge(&reference(before), &windows, rule)
    }

    fn judged(before: &Counts, window: &Counts) -> Judgement {
        judge_by(before, window, &Rule::default()).unwrap()
    }

    fn values(feature: &FeatureJudgement) -> &Comparison {
        feature.comparison("kolmogorov-smirnov").unwrap()
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
        let outside = shifted.features[0].comparison("outside").unwrap();
        assert_eq!(
            outside.counts,
            Sides {
                reference: 0,
                window: 120
            }
        );
        assert_eq!(outside.verdict, DriftVerdict::Drift);
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
                    .flat_map(|feature| &feature.tests)
                    .all(|test| test.comparison.log_evidence.is_none() && test.comparison.effect.is_none())
            );
        }
    }

    #[test]
    fn the_values_of_a_feature_with_few_of_them_have_no_size() {
        let reference = counts(300, 0.0, 0);
        let mut window = counts(100, 0.0, 0);
        let x = &mut window.features.features[0];
        x.values.fill(0);
        (x.values[1], x.missing) = (29, 71);
        let judgement = judged(&reference, &window);
        let x = &judgement.features[0];
        assert!(values(x).has_changed() && values(x).effect.is_none());
        assert_eq!(values(x).verdict, DriftVerdict::NoDrift);
        assert_eq!(missing(x).verdict, DriftVerdict::Drift);
        assert_eq!(judgement.verdict, DriftVerdict::Drift);
    }

    #[test]
    fn a_large_window_with_a_small_effect_is_tolerated() {
        // A shift by 5 of 100 is a total variation of about 0.05: certain, and below the tolerance.
        let (reference, window) = (counts(100_000, 0.0, 0), counts(100_000, 5.0, 0));
        let loose = Rule {
            rate_tolerance: Exact::of(0.1),
            ..Rule::default()
        };
        let judgement = judge_by(&reference, &window, &loose).unwrap();
        let effect = values(&judgement.features[0]).effect.unwrap();
        assert!(
            values(&judgement.features[0]).has_changed() && effect.lower.get() > 0.02,
            "{effect:?}"
        );
        assert_eq!(judgement.verdict, DriftVerdict::NoDrift);
        let strict = Rule {
            tolerances: [("x".to_owned(), Exact::of(0.02))].into(),
            ..Rule::default()
        };
        let judgement = judge_by(&reference, &window, &strict).unwrap();
        assert_eq!(judgement.verdict, DriftVerdict::Drift);
    }

    #[test]
    fn a_small_change_is_found_by_several_windows_together() {
        let (before, window) = (counts(3000, 0.0, 0), counts(200, 14.0, 0));
        let windows: Vec<_> = (0..24_u64)
            .map(|hour| WindowCounts {
                from: hour * 3600,
                to: (hour + 1) * 3600,
                counts: &window,
            })
            .collect();
        // What lies outside would be found at once.
        let rule = Rule {
            rate_tolerance: Exact::of(0.5),
            ..Rule::default()
        };
        let first = judge(&reference(&before), &windows[..1], &rule).unwrap();
        assert_eq!(first.verdict, DriftVerdict::NoDrift);
        let last = judge(&reference(&before), &windows, &rule).unwrap();
        assert_eq!(last.verdict, DriftVerdict::Drift);
        assert_eq!(values(&last.features[0]).windows, 24);
    }

    #[test]
    fn a_window_with_too_few_rows_is_not_judged_by_those_before_it() {
        let (before, drifted, small) = (counts(300, 0.0, 0), counts(300, 40.0, 0), counts(99, 40.0, 0));
        let windows = [&drifted, &small].into_iter().zip(0..);
        let windows: Vec<_> = windows
            .map(|(counts, hour)| WindowCounts {
                from: hour * 3600,
                to: (hour + 1) * 3600,
                counts,
            })
            .collect();
        let judgement = judge(&reference(&before), &windows, &Rule::default()).unwrap();
        assert_eq!(judgement.verdict, DriftVerdict::InsufficientData);
    }

    #[test]
    fn a_window_of_which_every_row_was_refused_drifted() {
        let mut window = Counts::new(&bins());
        window.features.features[0].type_errors = 200;
        let judgement = judged(&counts(300, 0.0, 0), &window);
        assert_eq!(judgement.verdict, DriftVerdict::Drift);
        let refused = judgement.features[0].comparison("type-errors").unwrap();
        assert_eq!(refused.verdict, DriftVerdict::Drift);
    }

    #[test]
    fn the_same_window_takes_more_evidence_after_a_month_than_in_the_first_hour() {
        let (before, window) = (counts(300, 0.0, 0), counts(100, 0.0, 0));
        let threshold = |hour: u64| {
            let windows = [WindowCounts {
                from: hour * 3600,
                to: (hour + 1) * 3600,
                counts: &window,
            }];
            let judgement = judge(&reference(&before), &windows, &Rule::default()).unwrap();
            values(&judgement.features[0]).log_threshold.get()
        };
        let (first, later) = (threshold(0), threshold(720));
        assert!(
            (first - 6.7).abs() < 1.5 && (later - 17.0).abs() < 1.5,
            "{first} {later}"
        );
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
        let before = counts(300, 0.0, 0);
        let mut other = bins();
        other.features.pop();
        let rule = Rule::default();
        let windows = [WindowCounts {
            from: 0,
            to: 3600,
            counts: &before,
        }];
        let bad = Reference {
            bins: other.clone(),
            ..reference(&before)
        };
        assert!(matches!(
            judge(&bad, &windows, &rule),
            Err(JudgeError::Reference(_))
        ));
        let window = Counts::new(&other);
        assert!(matches!(
            judge_by(&before, &window, &rule),
            Err(JudgeError::Window(_))
        ));
        assert_eq!(judge(&reference(&before), &[], &rule), Err(JudgeError::Order));
        let bad = Rule {
            confidence: Exact::of(1.0),
            ..Rule::default()
        };
        let error = judge_by(&before, &before, &bad).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the rule's confidence is 1, it must be above 0 and below 1"
        );
        let unknown = Rule {
            tolerances: [("y".to_owned(), Exact::of(0.2))].into(),
            ..Rule::default()
        };
        assert!(judge_by(&before, &before, &unknown).is_err());
    }

    #[test]
    fn counts_that_say_nonsense_are_judged_without_a_panic() {
        let mut window = counts(300, 0.0, 0);
        window.features.features[0].missing = u64::MAX;
        assert!(judge_by(&counts(300, 0.0, 0), &window, &Rule::default()).is_err());
        let mut huge = counts(300, 0.0, 0);
        huge.features.features[0].values.fill(u64::MAX / 20);
        huge.features.features[0].missing = u64::MAX / 3;
        judged(&huge, &huge);
        judged(&counts(300, 0.0, 0), &huge);
    }
}
