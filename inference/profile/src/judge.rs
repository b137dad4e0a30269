//! The verdict on the newest window of a version, from the counts since its reference.
//!
//! Each feature is compared by each test ([`test::ALL`]) over each span (the newest window, the last 4 and the last 24 together; if
//! traffic repeats, whole seasons). The span with the most evidence counts. The feature drifted if all of this holds for one of the
//! tests:
//!
//! 1. the reference and the newest window, or the newest season, have [`Rule::min_rows`] each;
//! 2. **it has changed**: the p-value of "both are samples of the same distribution" is at most the level of the comparison. All
//!    levels of a version's life add up to [`Rule::ever`] ([`crate::lifetime`]);
//! 3. **the change is large**: its lower bound over the same span, which holds with [`Rule::confidence`], is at least the tolerance.
//!
//! Too few rows give `InsufficientData`, never "no drift". All decisions use the rounded numbers of the judgement, so a reader can
//! verify them. A judgement is deterministic: the same counts give the same bytes.

use modelward_wire::{DriftAspect, DriftVerdict};

use crate::{
    bins::FeatureBins,
    compare::{comparison, rounded},
    counts::{Counts, FeatureCount},
    error::JudgeError,
    judgement::{Comparison, FeatureJudgement, JUDGEMENT_FORMAT, Judgement, TestJudgement},
    lifetime::{WindowCounts, log_weight as log_weight_of},
    number::Exact,
    reference::Reference,
    rule::Rule,
    sides::Sides,
    span::{Span, most_spans, spans},
    stats::special::log_gamma_upper,
    test::{
        self, DriftTest, Samples,
        rates::{Rate, compare_rates, log_p_of_rise},
    },
    traffic::{Traffic, judge_traffic},
};

/// By how much a bound is assumed to overstate a p-value, in natural logarithms. It is usually 4 to 6. If it is more than this constant,
/// a change of several phases may be found later. With a larger constant, most reports would compute exact p-values.
const INEXACT: f64 = 4.0;

/// Judges the last of `windows`, using all of them. They are in chronological order and do not overlap. Any number of old windows, and
/// windows without rows, may be left out.
pub fn judge(
    reference: &Reference,
    windows: &[WindowCounts<'_>],
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    judge_with(test::ALL, reference, windows, rule)
}

/// [`judge`], and whether the amount of traffic has changed.
pub fn judge_with_traffic(
    reference: &Reference,
    windows: &[WindowCounts<'_>],
    traffic: Option<&Traffic<'_>>,
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    judge_all(test::ALL, reference, windows, traffic, rule)
}

/// [`judge`] with other tests than those of the release. Their names must be unique.
pub fn judge_with(
    tests: &[&dyn DriftTest],
    reference: &Reference,
    windows: &[WindowCounts<'_>],
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    judge_all(tests, reference, windows, None, rule)
}

fn judge_all(
    tests: &[&dyn DriftTest],
    reference: &Reference,
    windows: &[WindowCounts<'_>],
    traffic: Option<&Traffic<'_>>,
    rule: &Rule,
) -> Result<Judgement, JudgeError> {
    let bins = &reference.bins;
    rule.check(bins)?;
    let fingerprints = bins.fingerprints();
    let check = |counts: &Counts| counts.check_in(bins, fingerprints);
    check(&reference.counts).map_err(JudgeError::Reference)?;
    for window in windows {
        check(window.counts).map_err(JudgeError::Window)?;
    }
    let Some(newest) = windows.last() else {
        return Err(JudgeError::Order);
    };
    let log_weight = log_weight_of(windows)?;
    let season = rule.season.as_ref();
    let spans = spans(reference, windows, season);
    // The features, the scores and the refused rows.
    let compared = bins.features.len() + 2 + usize::from(traffic.is_some());
    let level_of_each = libm::log(rule.ever.get() / compared as f64);
    let log_level = level_of_each + log_weight - libm::log(most_spans(season) as f64);
    let features: Vec<FeatureJudgement> = (0..bins.features.len())
        .map(|feature| judge_feature(tests, reference, feature, &spans, log_level, rule))
        .collect();
    let score = judge_scores(reference, &spans, log_level, rule);
    let refused = judge_refused(reference, &spans, log_level, rule);
    // Traffic is judged in windows without rows too, so the time before a window does not belong to it.
    let of_newest = log_weight_of(&windows[windows.len() - 1..])?;
    let traffic = traffic.map(|traffic| judge_traffic(traffic, level_of_each + of_newest, rule));
    let drifted = |comparison: &Comparison| comparison.verdict == DriftVerdict::Drift;
    let has_drifted = features.iter().any(FeatureJudgement::drifted)
        || [&score, &refused].into_iter().any(drifted)
        || traffic.as_ref().is_some_and(drifted);
    let has_rows = |span: &Span<'_>| rule.has_rows(span.rows(reference, |_| 0));
    let verdict = if has_drifted {
        DriftVerdict::Drift
    } else if spans.iter().any(has_rows) {
        DriftVerdict::NoDrift
    } else {
        DriftVerdict::InsufficientData
    };
    Ok(Judgement {
        format: JUDGEMENT_FORMAT,
        verdict,
        rows: Sides::of(&reference.counts, newest.counts, |side| side.features.rows),
        features,
        score,
        refused: Some(refused),
        traffic,
        rule: rule.clone(),
    })
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
    let all = &reference.counts.features.features[feature];
    let compared: Vec<_> = spans
        .iter()
        .map(|span| {
            let pairs: Vec<_> = span.pairs(feature).collect();
            (span, span.same_phases(feature), span.window(feature), pairs)
        })
        .collect();
    let weights: f64 = tests.iter().map(|test| test.weight(bins)).sum();
    let applies = tests.iter().filter(|test| test.weight(bins) > 0.0);
    let judged = applies.map(|test| {
        let tolerance = rule.tolerance_of(&bins.name, test.aspect());
        let log_level = log_level + libm::log(test.weight(bins) / weights);
        // Refused rows also count as rows, because a window may have no others.
        let refused = |counts: &Counts| match test.aspect() {
            DriftAspect::TypeErrors => counts.features.features[feature].type_errors,
            _ => 0,
        };
        let comparisons = compared.iter().map(|(span, same_phases, window, pairs)| {
            let samples = Samples {
                bins,
                reference: same_phases.as_ref().unwrap_or(all),
                unchosen: match same_phases {
                    Some(same) => Some(same),
                    None => reference.unchosen(feature),
                },
                window,
            };
            let log_p = || {
                if span.is_by_phase() {
                    log_p_by_phase(*test, bins, pairs, log_level)
                } else {
                    test.log_p(&samples, log_level)
                }
            };
            let has_rows = rule.has_rows(span.rows(reference, refused));
            let found = has_rows.then(log_p).flatten();
            let size = |confidence| test.size(&samples, confidence);
            let counts = test.counts(&samples);
            comparison(span.length, counts, tolerance, found, log_level, size, rule)
        });
        TestJudgement {
            test: test.name().to_owned(),
            aspect: test.aspect(),
            comparison: most_telling(comparisons).unwrap_or_else(|| nothing_to_compare(tolerance, log_level)),
        }
    });
    FeatureJudgement {
        name: bins.name.clone(),
        tests: judged.collect(),
    }
}

/// log p of "each window has the distribution of its phase". No row is in two of the pairs, so their p-values are independent, and by
/// Fisher's method −Σ log p is at most a Gamma variable.
fn log_p_by_phase(
    test: &dyn DriftTest,
    bins: &FeatureBins,
    pairs: &[(&FeatureCount, &FeatureCount)],
    log_level: f64,
) -> Option<f64> {
    let fisher = |log_level: f64| {
        let found = pairs.iter().filter_map(|(phase, window)| {
            let samples = Samples {
                bins,
                reference: phase,
                unchosen: Some(phase),
                window,
            };
            test.log_p(&samples, log_level)
        });
        found.fold((0, 0.0), |(many, sum), log_p| (many + 1, sum - log_p))
    };
    let (many, sum) = fisher(log_level);
    if many == 0 {
        return None;
    }
    let found = log_gamma_upper(many, sum);
    let most = log_gamma_upper(many, sum + INEXACT * f64::from(many));
    if many == 1 || found <= log_level || most > log_level {
        return Some(found);
    }
    // Each has to be exact if together they can reach the level.
    let (many, sum) = fisher(log_level / f64::from(many));
    Some(log_gamma_upper(many, sum))
}

fn judge_scores(reference: &Reference, spans: &[Span<'_>], log_level: f64, rule: &Rule) -> Comparison {
    let before: Vec<u64> = reference.counts.score.by_slot().collect();
    // The scores of the reference are those of its training and belong to no phase.
    let spans = spans.iter().filter(|span| !span.is_by_phase());
    let comparisons = spans.map(|span| {
        let now = span.scores();
        let counts = Sides::of(&*before, &*now, test::present);
        let has_rows = rule.has_rows(span.rows(reference, |_| 0));
        let found = has_rows
            .then(|| test::scores_log_p(&before, &now, log_level))
            .flatten();
        let size = |confidence| test::variation::compare_counts(&before, &now, true, confidence);
        comparison(span.length, counts, rule.tolerance, found, log_level, size, rule)
    });
    most_telling(comparisons).unwrap_or_else(|| nothing_to_compare(rule.tolerance, log_level))
}

/// Compares how often a row is refused for a reason other than the type of a value. Training data has no such row.
fn judge_refused(reference: &Reference, spans: &[Span<'_>], log_level: f64, rule: &Rule) -> Comparison {
    let refused = |counts: &Counts| counts.refused;
    let rate = |refused: u64, answered: u64| Rate {
        hits: refused,
        of: answered.saturating_add(refused),
    };
    let before = rate(reference.counts.refused, reference.counts.features.rows);
    let spans = spans.iter().filter(|span| !span.is_by_phase());
    let comparisons = spans.map(|span| {
        let now = rate(span.sum(refused), span.sum(|counts| counts.features.rows));
        let has_rows = rule.has_rows(span.rows(reference, refused));
        let found = has_rows.then(|| log_p_of_rise(before, now));
        let counts = Sides {
            reference: before.hits,
            window: now.hits,
        };
        let size = |confidence| compare_rates(before, now, confidence);
        let tolerance = rule.rate_tolerance;
        comparison(span.length, counts, tolerance, found, log_level, size, rule)
    });
    most_telling(comparisons).unwrap_or_else(|| nothing_to_compare(rule.rate_tolerance, log_level))
}

/// The comparison if there is no span, because the first season is not over yet.
fn nothing_to_compare(tolerance: Exact<f64>, log_level: f64) -> Comparison {
    Comparison {
        verdict: DriftVerdict::InsufficientData,
        windows: 0,
        counts: Sides::default(),
        tolerance,
        log_evidence: None,
        log_threshold: Exact::of(rounded(-log_level)),
        effect: None,
    }
}

/// The comparison with the most evidence. If several are equal, the one with the shortest span.
fn most_telling(comparisons: impl Iterator<Item = Comparison>) -> Option<Comparison> {
    let evidence = |comparison: &Comparison| comparison.log_evidence.map_or(-1.0, Exact::get);
    comparisons.reduce(|best, next| {
        if evidence(&next) > evidence(&best) {
            next
        } else {
            best
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        Bins, Counts,
        bins::{Observed, ScoreBins},
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

    /// `rows` rows: x cycles through 0..100, plus `shift`. Every `gap`-th value is missing.
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

    /// A reference with bins that were not chosen by its rows.
    fn reference(counts: &Counts) -> Reference {
        Reference {
            bins: bins(),
            counts: counts.clone(),
            chosen_by: ChosenBy::None,
            phases: None,
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
        // Values outside would be found at once.
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
    fn rows_that_no_model_can_read_are_found_by_their_rate() {
        let refused = |before: u64, rows: usize, now: u64| {
            let mut reference = counts(300, 0.0, 0);
            reference.refused = before;
            let mut window = counts(rows, 0.0, 0);
            window.refused = now;
            let judgement = judged(&reference, &window);
            let refused = judgement.refused.unwrap();
            assert_eq!(refused.verdict, judgement.verdict);
            assert_eq!(
                refused.counts,
                Sides {
                    reference: before,
                    window: now
                }
            );
            refused.verdict
        };
        assert_eq!(refused(0, 300, 30), DriftVerdict::Drift);
        assert_eq!(refused(0, 300, 0), DriftVerdict::NoDrift);
        // A rate below the tolerance, and one that the accepted window has too.
        assert_eq!(refused(0, 3000, 30), DriftVerdict::NoDrift);
        assert_eq!(refused(30, 300, 30), DriftVerdict::NoDrift);
        // Fewer refused rows than before do not cause an alarm.
        assert_eq!(refused(200, 300, 0), DriftVerdict::NoDrift);
        // All rows are refused.
        assert_eq!(refused(0, 0, 200), DriftVerdict::Drift);
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
