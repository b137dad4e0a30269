//! One way to train, and how it performed on rows that its models were not fitted on.
//!
//! Calibration and threshold are learnt from scores too, so each fold's are learnt from the other folds of its repeat: every metric is
//! measured on rows that neither model, calibration nor threshold has seen. What serves is learnt from the scores of all folds. In the
//! order of time a fold's are learnt from rows of the folds before it whose classes are known by then; the first fold, which has none, is
//! then not measured.

use std::sync::Arc;

use modelward_crds::{Gate, MetricName};
use modelward_model::Calibration;
use modelward_wire::{Decimal, GateBound, GateResult, MetricValue};

use crate::{
    family::{Parameters, TrainableFamily},
    fit::{
        calibrate::calibrate,
        error::TrainError,
        labels::Labels,
        metrics::{Confusion, Estimate, Metrics, estimate, metrics, position},
        plan::Plan,
        threshold::ThresholdRule,
    },
};

/// Decimal places of every number that is reported. Gates compare what is reported, so that a value that
/// reads 0.750000 is never refused by a gate of 0.75.
pub(crate) const PLACES: usize = 6;

/// One family with its parameters, and how it performed on rows that it was not fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The family.
    pub family: &'static str,
    /// What it was fitted with.
    pub parameters: Parameters,
    /// Each fold of each repeat that is measured, in order.
    pub folds: Vec<FoldOutcome>,
    /// The means over them, in the order of [`MetricName::ALL`].
    pub estimates: Vec<Estimate>,
    /// The same, rounded as reported and gated.
    pub reported: Vec<MetricValue>,
    /// The calibration that serves, learnt from all folds.
    pub calibration: Option<Calibration>,
    /// The threshold that serves, likewise.
    pub threshold: Decimal,
    /// What the held-out rows are measured with, if not what serves: learnt from the rows whose classes are known before them.
    pub before_held_out: Option<(Option<Calibration>, Decimal)>,
    /// The members of an ensemble. Their probabilities are calibrated one by one, and the vote is not.
    pub members: Vec<CandidateMember>,
}

/// A member of an ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateMember {
    /// Its family.
    pub family: &'static str,
    /// Its weight in the vote: a part of the sum of all.
    pub weight: u32,
    /// What it was fitted with.
    pub parameters: Parameters,
    /// Its calibration, learnt from all folds.
    pub calibration: Option<Calibration>,
}

/// One fold, tested.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldOutcome {
    /// The repeat, from 0.
    pub repeat: usize,
    /// The fold in it, from 0.
    pub fold: usize,
    /// Indices of the rows that were tested, ascending.
    pub rows: Vec<usize>,
    /// Their probabilities, calibrated by the other folds.
    pub scores: Vec<f64>,
    /// The same by the calibration that serves, if there is one; nothing is measured on them.
    pub served: Option<Vec<f64>>,
    /// The threshold by the other folds.
    pub threshold: f64,
    /// The metrics of these probabilities and this threshold.
    pub metrics: Metrics,
}

/// The scores of the models of one fold, not calibrated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScoredFold {
    pub(crate) repeat: usize,
    pub(crate) fold: usize,
    /// Ascending.
    pub(crate) rows: Vec<usize>,
    pub(crate) scores: Vec<f64>,
}

/// A trial with the scores of its folds.
#[derive(Clone, Debug)]
pub(crate) struct ScoredTrial {
    pub(crate) family: Arc<dyn TrainableFamily>,
    pub(crate) scored: Vec<ScoredFold>,
}

// === impl FoldOutcome ===

impl FoldOutcome {
    /// The outcome of a fold whose rows have these probabilities.
    pub(crate) fn of(of: &ScoredFold, labels: &[bool], scores: Vec<f64>, threshold: f64) -> Self {
        let tested: Vec<bool> = of.rows.iter().map(|row| labels[*row]).collect();
        Self {
            repeat: of.repeat,
            fold: of.fold,
            metrics: metrics(&tested, &scores, threshold),
            rows: of.rows.clone(),
            scores,
            served: None,
            threshold,
        }
    }

    /// The answers at the fold's threshold, counted.
    pub fn confusion(&self, labels: &[bool]) -> Confusion {
        let scored = self.rows.iter().zip(&self.scores);
        scored.fold(Confusion::default(), |counts, (row, score)| {
            counts.and(labels[*row], *score >= self.threshold)
        })
    }
}

// === impl Candidate ===

impl Candidate {
    /// Calibrates and judges the scores of all folds, in the order of repeats, then folds.
    pub(crate) fn new(
        family: &'static str,
        parameters: Parameters,
        labels: Labels<'_>,
        scored: &[ScoredFold],
        plan: &Plan,
    ) -> Result<Self, TrainError> {
        let (calibration, threshold) = learn(plan, gather(labels.of_row, scored, |_, _| true));
        let before_held_out = labels
            .held_out_in_time()
            .filter(|_| plan.learns_from_scores())
            .map(|held_out| {
                let is_known = labels.known_before(held_out);
                learn(plan, gather(labels.of_row, scored, |_, row| is_known(row)))
            });
        let folds: Vec<FoldOutcome> = (0..scored.len())
            .filter(|at| plan.measures(scored[*at].fold))
            .map(|at| FoldOutcome {
                served: calibration.as_ref().map(|calibration| {
                    let raw = scored[at].scores.iter();
                    raw.map(|score| calibration.apply(*score)).collect()
                }),
                ..judge_fold(labels, scored, at, plan, &threshold)
            })
            .collect();
        Ok(Self {
            calibration,
            threshold,
            before_held_out,
            ..Self::of_folds(family, parameters, folds, plan)?
        })
    }

    /// A candidate with these outcomes, which has no calibration, no member and a threshold of one half.
    pub(crate) fn of_folds(
        family: &'static str,
        parameters: Parameters,
        folds: Vec<FoldOutcome>,
        plan: &Plan,
    ) -> Result<Self, TrainError> {
        let test_to_train = plan.test_to_train();
        let estimates: Vec<Estimate> = (0..MetricName::ALL.len())
            .map(|metric| {
                let values: Vec<f64> = folds.iter().map(|fold| fold.metrics[metric]).collect();
                estimate(&values, test_to_train)
            })
            .collect();
        Ok(Self {
            family,
            parameters,
            reported: report(&estimates)?,
            folds,
            estimates,
            calibration: None,
            threshold: ThresholdRule::half(),
            before_held_out: None,
            members: Vec::new(),
        })
    }

    /// The rows that have out-of-fold scores, ascending; the same in every repeat. All of them, unless folds are in the order of time.
    pub fn scored_rows(&self) -> Vec<usize> {
        let first = self.folds.iter().filter(|fold| fold.repeat == 0);
        let mut rows: Vec<usize> = first.flat_map(|fold| fold.rows.iter().copied()).collect();
        rows.sort_unstable();
        rows
    }

    /// The class that every measured row gets at the threshold that serves, if it is the same for all.
    pub fn only_class(&self) -> Option<u8> {
        let threshold = self.threshold.to_f64();
        let scores = self
            .folds
            .iter()
            .flat_map(|fold| fold.served.as_ref().unwrap_or(&fold.scores));
        let mut classes = scores.map(|score| u8::from(*score >= threshold));
        let first = classes.next()?;
        classes.all(|class| class == first).then_some(first)
    }

    /// The outcome of every gate.
    pub fn gates(&self, gates: &[Gate]) -> Vec<GateResult> {
        gates.iter().map(|gate| self.gate(gate)).collect()
    }

    fn gate(&self, gate: &Gate) -> GateResult {
        let reported = &self.reported[position(gate.metric)];
        // The spec was checked: exactly one of the two is set.
        let bound = GateBound::of_gate(gate.at_least.as_ref(), gate.at_most.as_ref())
            .unwrap_or_else(|| GateBound::Other(String::new()));
        let value = gate.compared_value(reported);
        GateResult {
            metric: gate.metric.as_str().to_owned(),
            passed: bound.holds(&value).unwrap_or(false),
            bound,
            value,
        }
    }
}

/// Calibration and threshold by these classes and scores.
fn learn(plan: &Plan, (classes, scores): (Vec<bool>, Vec<f64>)) -> (Option<Calibration>, Decimal) {
    let calibration = calibrate(plan.calibration, &classes, &scores);
    let calibrated: Vec<f64> = scores
        .iter()
        .map(|score| apply(calibration.as_ref(), *score))
        .collect();
    let threshold = plan.threshold.choose(&classes, &calibrated);
    (calibration, threshold)
}

/// The outcome of one fold, whose calibration and threshold come from the other folds of its repeat.
fn judge_fold(
    labels: Labels<'_>,
    scored: &[ScoredFold],
    at: usize,
    plan: &Plan,
    given: &Decimal,
) -> FoldOutcome {
    let this = &scored[at];
    let (calibration, threshold) = if plan.learns_from_scores() {
        let is_known = labels.known_before(&this.rows);
        let (calibration, threshold) = learn(
            plan,
            gather(labels.of_row, scored, |other, row| {
                other.repeat == this.repeat && plan.learns_from(this.fold, other.fold) && is_known(row)
            }),
        );
        (calibration, threshold.to_f64())
    } else {
        (None, given.to_f64())
    };
    let scores: Vec<f64> = this
        .scores
        .iter()
        .map(|score| apply(calibration.as_ref(), *score))
        .collect();
    FoldOutcome::of(this, labels.of_row, scores, threshold)
}

/// Classes and scores of the rows of these folds that are meant.
pub(crate) fn gather(
    labels: &[bool],
    scored: &[ScoredFold],
    is_meant: impl Fn(&ScoredFold, usize) -> bool,
) -> (Vec<bool>, Vec<f64>) {
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    for fold in scored {
        for (row, score) in fold.rows.iter().zip(&fold.scores) {
            if is_meant(fold, *row) {
                classes.push(labels[*row]);
                scores.push(*score);
            }
        }
    }
    (classes, scores)
}

pub(crate) fn apply(calibration: Option<&Calibration>, score: f64) -> f64 {
    calibration.map_or(score, |calibration| calibration.apply(score))
}

fn report(estimates: &[Estimate]) -> Result<Vec<MetricValue>, TrainError> {
    let reported = MetricName::ALL.iter().zip(estimates).map(|(name, estimate)| {
        let rounded = |value| {
            Decimal::rounded(value, PLACES).ok_or(TrainError::Metric {
                metric: name.as_str(),
                value,
            })
        };
        Ok(MetricValue {
            name: name.as_str().to_owned(),
            mean: rounded(estimate.mean)?,
            standard_error: rounded(estimate.standard_error)?,
        })
    });
    reported.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::train::tests::plan;

    /// Scores of two folds of a repeat, those of the second being lower.
    fn scored(labels: &[bool]) -> Vec<ScoredFold> {
        let fold = |fold: usize| {
            let rows: Vec<usize> = (0..labels.len()).filter(|row| row % 2 == fold).collect();
            let score = |row: &usize| {
                let base = if labels[*row] { 0.45 } else { 0.15 };
                base + (*row % 7) as f64 / 50.0
            };
            ScoredFold {
                repeat: 0,
                fold,
                scores: rows.iter().map(score).collect(),
                rows,
            }
        };
        vec![fold(0), fold(1)]
    }

    #[test]
    fn a_learnt_threshold_is_that_of_the_other_folds_and_the_one_that_serves_of_all() {
        let labels: Vec<bool> = (0..40).map(|row| row % 4 < 2).collect();
        let mut plan = plan();
        plan.folds = 2;
        plan.threshold = ThresholdRule::Maximise(modelward_crds::ThresholdMetric::F1);
        let candidate = Candidate::new(
            "Any",
            Parameters::new([]),
            Labels::at_any_time(&labels),
            &scored(&labels),
            &plan,
        )
        .unwrap();
        let threshold = candidate.threshold.to_f64();
        assert!((0.27..0.45).contains(&threshold), "{threshold}");
        assert_eq!(
            candidate.estimates[position(MetricName::F1)].mean,
            1.0,
            "every fold is separated by the other's threshold"
        );
        let given = Candidate::new(
            "Any",
            Parameters::new([]),
            Labels::at_any_time(&labels),
            &scored(&labels),
            &crate::fit::train::tests::plan(),
        );
        assert!(given.unwrap().estimates[position(MetricName::F1)].mean < 0.7);
    }

    #[test]
    fn a_gate_may_ask_for_standard_errors_beyond_its_bound() {
        let labels: Vec<bool> = (0..40).map(|row| row % 4 < 2).collect();
        let mut candidate = Candidate::new(
            "Any",
            Parameters::new([]),
            Labels::at_any_time(&labels),
            &scored(&labels),
            &plan(),
        )
        .unwrap();
        let place = position(MetricName::F1);
        candidate.reported[place].mean = "0.76".parse().unwrap();
        candidate.reported[place].standard_error = "0.02".parse().unwrap();
        let gate = |text: &str| candidate.gates(&[serde_json::from_str(text).unwrap()]).remove(0);
        assert!(gate(r#"{"metric": "F1", "atLeast": "0.75"}"#).passed);
        let strict = gate(r#"{"metric": "F1", "atLeast": "0.75", "standardErrors": "1"}"#);
        assert!(!strict.passed);
        assert_eq!(strict.value.as_str(), "0.740000");
        assert!(gate(r#"{"metric": "F1", "atMost": "0.77"}"#).passed);
        assert!(!gate(r#"{"metric": "F1", "atMost": "0.77", "standardErrors": "1"}"#).passed);
    }
}
