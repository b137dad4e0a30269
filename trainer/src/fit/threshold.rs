//! The probability from which the class is 1.

use modelward_crds::{ThresholdMetric, ThresholdSpec};
use modelward_wire::Decimal;

use super::metrics::{balanced_accuracy, matthews};

/// The most decimal places of a chosen threshold.
const MAX_PLACES: usize = 12;

/// How the threshold is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ThresholdRule {
    /// One half: the spec says nothing.
    #[default]
    Default,
    /// It is given.
    Value(Decimal),
    /// The one at which this metric is greatest.
    Maximise(ThresholdMetric),
    /// The one at which wrong answers cost least.
    Cost {
        /// The cost of a row of class 0 that is classified as 1.
        false_positive: f64,
        /// The cost of a row of class 1 that is classified as 0.
        false_negative: f64,
    },
}

/// Rows by true and predicted class.
#[derive(Clone, Copy)]
struct Counts {
    tp: u64,
    fp: u64,
    tn: u64,
    fn_: u64,
}

/// The shortest decimal number near the middle that is above one score and not above the other; none if twelve places cannot separate them.
fn between(below: Option<f64>, here: f64) -> Option<Decimal> {
    let middle = f64::midpoint(below.unwrap_or(0.0), here);
    let lies_between = |threshold: &Decimal| {
        let value = threshold.to_f64();
        value <= here && below.is_none_or(|below| value > below)
    };
    let mut numbers = (2..=MAX_PLACES).filter_map(|places| Decimal::rounded(middle, places));
    numbers
        .find(lies_between)
        .or_else(|| Decimal::rounded(here, MAX_PLACES).filter(lies_between))
}

// === impl ThresholdRule ===

impl ThresholdRule {
    /// What this spec says; one half if it says nothing.
    pub fn new(spec: Option<&ThresholdSpec>) -> Self {
        match spec {
            Some(ThresholdSpec {
                value: Some(value), ..
            }) => Self::Value(value.clone()),
            Some(ThresholdSpec {
                maximise: Some(metric),
                ..
            }) => Self::Maximise(*metric),
            Some(ThresholdSpec { cost: Some(cost), .. }) => Self::Cost {
                false_positive: cost.false_positive.to_f64(),
                false_negative: cost.false_negative.to_f64(),
            },
            _ => Self::Default,
        }
    }

    /// The threshold for these scores: a short number between two of them. Of equally good ones the greatest. Scores that no decimal number
    /// separates are answered alike.
    pub fn choose(&self, labels: &[bool], scores: &[f64]) -> Decimal {
        match self {
            Self::Default => return Self::half(),
            Self::Value(value) => return value.clone(),
            Self::Maximise(_) | Self::Cost { .. } => {}
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let positives = labels.iter().filter(|label| **label).count() as u64;
        let mut counts = Counts {
            tp: 0,
            fp: 0,
            tn: labels.len() as u64 - positives,
            fn_: positives,
        };
        let groups: Vec<&[usize]> = order.chunk_by(|a, b| scores[*a] == scores[*b]).collect();
        let mut best: Option<(f64, Decimal)> = None;
        // At 1 only a score of 1 is predicted as 1.
        if groups.first().is_none_or(|group| scores[group[0]] < 1.0) {
            best = Decimal::rounded(1.0, 0).map(|one| (self.worth(counts), one));
        }
        for (at, group) in groups.iter().enumerate() {
            let up = group.iter().filter(|row| labels[**row]).count() as u64;
            let down = group.len() as u64 - up;
            counts = Counts {
                tp: counts.tp + up,
                fp: counts.fp + down,
                tn: counts.tn - down,
                fn_: counts.fn_ - up,
            };
            let worth = self.worth(counts);
            if best.as_ref().is_none_or(|(best, _)| worth > *best) {
                let below = groups.get(at + 1).map(|next| scores[next[0]]);
                if let Some(threshold) = between(below, scores[group[0]]) {
                    best = Some((worth, threshold));
                }
            }
        }
        best.map_or_else(Self::half, |(_, threshold)| threshold)
    }

    /// Whether it is learnt from scores.
    pub const fn is_learnt(&self) -> bool {
        matches!(self, Self::Maximise(_) | Self::Cost { .. })
    }

    /// The rule in words, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Default => format!("{}, the default", Self::half()),
            Self::Value(value) => format!("given, {value}"),
            Self::Maximise(metric) => format!("where {} is greatest", metric.as_str()),
            Self::Cost {
                false_positive,
                false_negative,
            } => format!(
                "where wrong answers cost least: {false_positive} for a false positive, {false_negative} for a false negative"
            ),
        }
    }

    fn worth(&self, counts: Counts) -> f64 {
        let Counts { tp, fp, tn, fn_ } = counts;
        match self {
            Self::Default | Self::Value(_) => 0.0,
            Self::Maximise(ThresholdMetric::F1) => {
                let whole = 2 * tp + fp + fn_;
                if whole == 0 {
                    0.0
                } else {
                    (2 * tp) as f64 / whole as f64
                }
            }
            Self::Maximise(ThresholdMetric::BalancedAccuracy) => balanced_accuracy(tp, fp, tn, fn_),
            Self::Maximise(ThresholdMetric::Mcc) => matthews(tp, fp, tn, fn_),
            Self::Cost {
                false_positive,
                false_negative,
            } => -(fp as f64 * false_positive + fn_ as f64 * false_negative),
        }
    }

    /// The threshold of a spec that says nothing.
    pub(crate) fn half() -> Decimal {
        // Half is a decimal number.
        Decimal::rounded(0.5, 1).unwrap_or_else(|| unreachable!("0.5 is a decimal number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [bool; 6] = [true, true, false, true, false, false];
    const SCORES: [f64; 6] = [0.9, 0.8, 0.7, 0.4, 0.3, 0.1];

    #[test]
    fn the_greatest_f1_is_found_half_way_between_two_scores() {
        // Three of four called are right, and all three of class 1 are found: F1 6/7.
        let chosen = ThresholdRule::Maximise(ThresholdMetric::F1).choose(&LABELS, &SCORES);
        assert_eq!(chosen.as_str(), "0.35");
    }

    #[test]
    fn a_dear_false_positive_raises_the_threshold_and_a_dear_false_negative_lowers_it() {
        let at = |false_positive, false_negative| {
            let rule = ThresholdRule::Cost {
                false_positive,
                false_negative,
            };
            rule.choose(&LABELS, &SCORES).to_f64()
        };
        assert_eq!(at(10.0, 1.0), 0.75);
        assert_eq!(at(1.0, 10.0), 0.35);
        let useless = ThresholdRule::Cost {
            false_positive: 100.0,
            false_negative: 1.0,
        };
        assert_eq!(
            useless.choose(&[false, true], &[0.9, 0.2]).to_f64(),
            1.0,
            "nothing is worth calling"
        );
    }

    #[test]
    fn tiny_scores_are_separated_and_scores_of_one_are_always_called() {
        let f1 = ThresholdRule::Maximise(ThresholdMetric::F1);
        let tiny = f1.choose(&[true, false], &[5e-7, 1e-7]).to_f64();
        assert!(tiny > 1e-7 && tiny <= 5e-7, "{tiny}");
        let dear = ThresholdRule::Cost {
            false_positive: 100.0,
            false_negative: 1.0,
        };
        assert_eq!(
            dear.choose(&[true, false, false], &[1.0, 1.0, 0.2]).to_f64(),
            0.6,
            "at 1 they are both called"
        );
    }

    #[test]
    fn a_cut_that_no_decimal_number_makes_is_left_to_the_best_of_the_others() {
        let f1 = ThresholdRule::Maximise(ThresholdMetric::F1);
        let labels = [true, true, false, false];
        // The best cut is between the two in the middle.
        let chosen = f1.choose(&labels, &[0.9, 0.333_333_333_333_333_3, 0.333_333_333_333, 0.1]);
        assert_eq!(chosen.as_str(), "0.22");
        // A number may separate scores although none that is rounded from their middle does.
        let chosen = f1.choose(&labels[1..3], &[0.333_333_333_334, 0.333_333_333_333]);
        assert_eq!(chosen.as_str(), "0.333333333334");
        // A score that is nearly 0 is at least 0.
        let chosen = f1.choose(&labels[1..2], &[1e-20]);
        assert_eq!(chosen.to_f64(), 0.0);
    }

    #[test]
    fn a_given_threshold_is_kept_as_it_is_written() {
        let rule = ThresholdRule::Value("0.30".parse().unwrap());
        assert_eq!(rule.choose(&LABELS, &SCORES).as_str(), "0.30");
        assert_eq!(ThresholdRule::default().choose(&[], &[]).as_str(), "0.5");
    }
}
