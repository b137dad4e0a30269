//! The default verdict on one window of counts beside its reference.
//!
//! A feature drifted where, for its present values or for its missing rate, all of this holds:
//!
//! 1. there are enough rows: [`Rule::min_rows`] on each side, and for values [`Rule::min_present`] present ones;
//! 2. the lower confidence bound of the effect is at or over the tolerance (both sides' sampling noise counted);
//! 3. it is a discovery: its q-value over the values and missing rates of all features together is at most
//!    [`Rule::discoveries`].
//!
//! Over all windows of a version together, evidence is asked for beside that ([`Judgement::confirmed`]).
//!
//! Too few rows is `InsufficientData`, never "no drift". Everything is decided on the rounded numbers that are
//! written down, so a reader can decide again. The same counts give the same bytes: there is no chance in it.

use std::collections::BTreeMap;

use modelward_wire::DriftVerdict;
use serde::{Deserialize, Serialize};

use crate::{
    bins::Bins,
    counts::{Counts, FeatureCount},
    error::JudgeError,
    evidence::FeatureEvidence,
    number::Exact,
    stats::{
        discovery::q_values,
        rates::{Rate, compare_rates},
        variation::compare_counts,
    },
};

/// The format that this code writes.
pub const JUDGEMENT_FORMAT: u32 = 1;

/// Effects are rounded to 6 places.
const EFFECT_PLACES: f64 = 1e6;
/// p- and q-values are rounded to 12 places.
const P_PLACES: f64 = 1e12;

/// What counts as drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// An effect below this is tolerated: total variation of values, change of a missing rate. 0.1.
    pub tolerance: Exact<f64>,
    /// Other tolerances of single features, by name.
    pub tolerances: BTreeMap<String, Exact<f64>>,
    /// Probability with which a lower bound holds. 0.95.
    pub confidence: Exact<f64>,
    /// Share of discoveries that may be false. 0.05.
    pub discoveries: Exact<f64>,
    /// Rows that a window and a reference need. 100.
    pub min_rows: u64,
    /// Present values that a feature needs on each side; below that its missing rate alone is judged. 30.
    pub min_present: u64,
    /// Probability that a version ever raises an alarm, over all its windows, while nothing drifts. 0.05.
    pub ever: Exact<f64>,
}

/// A verdict with all the numbers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judgement {
    /// [`JUDGEMENT_FORMAT`].
    pub format: u32,
    /// `Drift` where any feature drifted, and its evidence over time says so too where there is `evidence`.
    pub verdict: DriftVerdict,
    /// Rows of features.
    pub rows: Sides,
    /// One entry a feature, in the order of the bins.
    pub features: Vec<FeatureJudgement>,
    /// The scores, by themselves: they have no say in `verdict`, which is about what came in.
    pub score: Comparison,
    /// What was gathered over time, one entry a feature in the order of the bins; empty where one window is judged by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<FeatureEvidence>,
    /// The rule that was followed.
    pub rule: Rule,
}

/// The judgement of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureJudgement {
    /// Its name.
    pub name: String,
    /// The distribution of present values; the effect is total variation. Of how many values: its `counts`.
    pub values: Comparison,
    /// The missing rate; the effect is the difference of the rates. How many are missing: its `counts`.
    pub missing: Comparison,
    /// Values outside the range of training, or of categories that it never saw. They are values like others too.
    pub outside: Sides,
    /// Rows that were refused because of a wrong type here.
    pub type_errors: Sides,
}

/// What came of comparing two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// What was found here.
    pub verdict: DriftVerdict,
    /// Present values, missing values or scores.
    pub counts: Sides,
    /// The tolerance that the lower bound was held against.
    pub tolerance: Exact<f64>,
    /// The effect; absent where there are too few rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// How large a difference is, and how sure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Effect {
    /// The estimate; too large by chance where rows are few.
    pub estimate: Exact<f64>,
    /// Its lower confidence bound.
    pub lower: Exact<f64>,
    /// Its upper confidence bound.
    pub upper: Exact<f64>,
    /// The p-value of "no difference", to 12 places: 0 stands for less than 5e-13.
    pub p_value: Exact<f64>,
    /// The share of false discoveries at which it would be one.
    pub q_value: Exact<f64>,
}

/// A number of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sides {
    /// Of the reference.
    pub reference: u64,
    /// Of the window.
    pub window: u64,
}

/// Judges a window by its counts and the reference's, both made in `bins`.
pub fn judge(bins: &Bins, reference: &Counts, window: &Counts, rule: &Rule) -> Result<Judgement, JudgeError> {
    rule.check(bins)?;
    reference.check(bins).map_err(JudgeError::Reference)?;
    window.check(bins).map_err(JudgeError::Window)?;
    let rows = Sides {
        reference: reference.features.rows,
        window: window.features.rows,
    };
    let mut judged: Vec<FeatureJudgement> = bins
        .features
        .iter()
        .zip(reference.features.features.iter().zip(&window.features.features))
        .map(|(feature, (reference, window))| {
            let tolerance = *rule.tolerances.get(&feature.name).unwrap_or(&rule.tolerance);
            let is_ordered = feature.is_ordered();
            let outside = |count: &FeatureCount| {
                feature
                    .outside()
                    .map(|slot| count.values[slot])
                    .fold(0, u64::saturating_add)
            };
            FeatureJudgement {
                name: feature.name.clone(),
                values: rule.values(rows, &reference.values, &window.values, is_ordered, tolerance),
                missing: rule.missing(rows, reference, window, tolerance),
                outside: Sides {
                    reference: outside(reference),
                    window: outside(window),
                },
                type_errors: Sides {
                    reference: reference.type_errors,
                    window: window.type_errors,
                },
            }
        })
        .collect();
    rule.decide(
        judged
            .iter_mut()
            .flat_map(|feature| [&mut feature.values, &mut feature.missing])
            .collect(),
    );
    let score_rows = Sides {
        reference: reference.score.rows,
        window: window.score.rows,
    };
    let [before, now] = [reference, window].map(|counts| counts.score.by_slot().collect::<Vec<_>>());
    let mut score = rule.values(score_rows, &before, &now, true, rule.tolerance);
    rule.decide(vec![&mut score]);
    let verdict = if !rule.has_rows(rows) {
        DriftVerdict::InsufficientData
    } else if judged.iter().any(FeatureJudgement::drifted) {
        DriftVerdict::Drift
    } else {
        DriftVerdict::NoDrift
    };
    Ok(Judgement {
        format: JUDGEMENT_FORMAT,
        verdict,
        rows,
        features: judged,
        score,
        evidence: Vec::new(),
        rule: rule.clone(),
    })
}

// === impl Rule ===

impl Default for Rule {
    fn default() -> Self {
        Self {
            tolerance: Exact::of(0.1),
            tolerances: BTreeMap::new(),
            confidence: Exact::of(0.95),
            discoveries: Exact::of(0.05),
            min_rows: 100,
            min_present: 30,
            ever: Exact::of(0.05),
        }
    }
}

impl Rule {
    /// Checks that every number is in its range and every named feature is one of the bins.
    pub fn check(&self, bins: &Bins) -> Result<(), JudgeError> {
        let tolerances = self
            .tolerances
            .iter()
            .map(|(name, value)| (format!("tolerance of {name}"), *value, true));
        let numbers = [
            ("tolerance".to_owned(), self.tolerance, true),
            ("confidence".to_owned(), self.confidence, false),
            ("discoveries".to_owned(), self.discoveries, false),
            ("ever".to_owned(), self.ever, false),
        ];
        for (field, value, at_most_one) in numbers.into_iter().chain(tolerances) {
            let number = value.get();
            if !(number > 0.0 && (number < 1.0 || at_most_one && number == 1.0)) {
                return Err(JudgeError::Rule {
                    field,
                    value,
                    at_most_one,
                });
            }
        }
        let is_feature = |name: &str| bins.features.iter().any(|feature| feature.name == name);
        match self.tolerances.keys().find(|name| !is_feature(name)) {
            Some(unknown) => Err(JudgeError::UnknownFeature(unknown.clone())),
            None => Ok(()),
        }
    }

    fn has_rows(&self, rows: Sides) -> bool {
        rows.reference.min(rows.window) >= self.min_rows
    }

    /// Compares present values. The verdict is open until [`Self::decide`].
    fn values(
        &self,
        rows: Sides,
        reference: &[u64],
        window: &[u64],
        ordered: bool,
        tolerance: Exact<f64>,
    ) -> Comparison {
        let count = |side: &[u64]| side.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let counts = Sides {
            reference: count(reference),
            window: count(window),
        };
        let enough = self.has_rows(rows) && counts.reference.min(counts.window) >= self.min_present;
        let effect = enough
            .then(|| compare_counts(reference, window, ordered, self.confidence.get()))
            .flatten()
            .map(|found| Effect::new(found.estimate, found.lower, found.upper, found.p_value));
        Comparison::open(counts, tolerance, effect)
    }

    /// Compares missing rates. The verdict is open until [`Self::decide`].
    fn missing(
        &self,
        rows: Sides,
        reference: &FeatureCount,
        window: &FeatureCount,
        tolerance: Exact<f64>,
    ) -> Comparison {
        let rate = |count: &FeatureCount| Rate {
            hits: count.missing,
            of: count.seen().unwrap_or(u64::MAX),
        };
        let counts = Sides {
            reference: reference.missing,
            window: window.missing,
        };
        let effect = self
            .has_rows(rows)
            .then(|| compare_rates(rate(reference), rate(window), self.confidence.get()))
            .flatten()
            .map(|found| Effect::new(found.estimate, found.lower, found.upper, found.p_value));
        Comparison::open(counts, tolerance, effect)
    }

    /// Decides a family of comparisons together.
    fn decide(&self, mut family: Vec<&mut Comparison>) {
        let p_values: Vec<f64> = family
            .iter()
            .filter_map(|comparison| Some(comparison.effect?.p_value.get()))
            .collect();
        let mut q_values = q_values(&p_values).into_iter();
        for comparison in &mut family {
            let Some(effect) = &mut comparison.effect else {
                continue;
            };
            effect.q_value = Exact::of(rounded(q_values.next().unwrap_or(1.0), P_PLACES));
            let is_large = effect.lower >= comparison.tolerance;
            let is_discovery = effect.q_value <= self.discoveries;
            comparison.verdict = if is_large && is_discovery {
                DriftVerdict::Drift
            } else {
                DriftVerdict::NoDrift
            };
        }
    }
}

// === impl Judgement ===

impl Judgement {
    /// The judgement with what was gathered over time, from [`crate::evidence()`] at [`Rule::ever`]. Drift that is found in the
    /// window, and of which no feature has evidence enough, may be chance: there are too few rows to tell.
    #[must_use]
    pub fn confirmed(mut self, evidence: Vec<FeatureEvidence>) -> Self {
        let has_evidence = |(feature, evidence): (&FeatureJudgement, &FeatureEvidence)| {
            feature.drifted() && feature.name == evidence.name && evidence.alarm
        };
        if self.verdict == DriftVerdict::Drift && !self.features.iter().zip(&evidence).any(has_evidence) {
            self.verdict = DriftVerdict::InsufficientData;
        }
        self.evidence = evidence;
        self
    }

    /// The features that drifted in the window, in the order of the bins.
    pub fn drifted(&self) -> impl Iterator<Item = &FeatureJudgement> {
        self.features.iter().filter(|feature| feature.drifted())
    }
}

impl FeatureJudgement {
    /// Whether its values or its missing rate drifted.
    pub fn drifted(&self) -> bool {
        [&self.values, &self.missing]
            .iter()
            .any(|comparison| comparison.verdict == DriftVerdict::Drift)
    }
}

impl Comparison {
    fn open(counts: Sides, tolerance: Exact<f64>, effect: Option<Effect>) -> Self {
        Self {
            verdict: DriftVerdict::InsufficientData,
            counts,
            tolerance,
            effect,
        }
    }
}

impl Effect {
    fn new(estimate: f64, lower: f64, upper: f64, p_value: f64) -> Self {
        Self {
            estimate: Exact::of(rounded(estimate, EFFECT_PLACES)),
            lower: Exact::of(rounded(lower, EFFECT_PLACES)),
            upper: Exact::of(rounded(upper, EFFECT_PLACES)),
            p_value: Exact::of(rounded(p_value, P_PLACES)),
            q_value: Exact::of(1.0),
        }
    }
}

/// The nearest decimal number of so many places; halves away from zero.
fn rounded(value: f64, places: f64) -> f64 {
    (value * places).round() / places
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bins::{FeatureBins, Observed, ScoreBins};

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
                    .all(|feature| feature.values.effect.is_none())
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
        assert_eq!(x.values.verdict, DriftVerdict::InsufficientData);
        assert_eq!(x.missing.verdict, DriftVerdict::Drift);
        assert_eq!(judgement.verdict, DriftVerdict::Drift);
    }

    #[test]
    fn a_large_window_with_a_small_effect_is_tolerated() {
        // A shift by 5 of 100 is a total variation of about 0.05: certain, and below the tolerance.
        let (reference, window) = (counts(100_000, 0.0, 0), counts(100_000, 5.0, 0));
        let judgement = judged(&reference, &window);
        let effect = judgement.features[0].values.effect.unwrap();
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
