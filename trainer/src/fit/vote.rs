//! The weights of an ensemble: greedy selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes 2004, ICML).
//!
//! Each of [`STEPS`] steps adds the model with which the mean of the probabilities is best; a weight is how often its model was added. Of
//! equally good models the first is added. There is no random choice, and the order of rows affects only the last bits of the loss.

use modelward_crds::MetricName;
use modelward_model::math::ln;

use crate::ranking::Ranking;

/// Steps, and so the sum of the weights.
pub(crate) const STEPS: u32 = 20;

/// The most rows that are looked at, evenly spread: with more, the weights hardly change.
const ROWS: usize = 50_000;

/// How often each model is added, given its probabilities of the same rows. At most `most` weights are not 0, and their sum is [`STEPS`];
/// all are 0 if there is no model.
///
/// Metrics of predicted classes change in steps, which such a search follows by chance: the log loss replaces them.
pub(crate) fn choose_weights(
    labels: &[bool],
    probabilities: &[Vec<f64>],
    by: MetricName,
    most: usize,
) -> Vec<u32> {
    let mut weights = vec![0; probabilities.len()];
    if probabilities.is_empty() {
        return weights;
    }
    let apart = labels.len().div_ceil(ROWS).max(1);
    let labels: Vec<bool> = labels.iter().copied().step_by(apart).collect();
    let thinned = probabilities
        .iter()
        .map(|of_model| of_model.iter().copied().step_by(apart).collect());
    let probabilities: Vec<Vec<f64>> = thinned.collect();
    let mut sums = vec![0.0; labels.len()];
    for step in 1..=STEPS {
        let members = weights.iter().filter(|weight| **weight > 0).count();
        let may_be_added = (0..weights.len()).filter(|model| weights[*model] > 0 || members < most);
        let losses = may_be_added.map(|model| {
            let added = sums.iter().zip(&probabilities[model]);
            let means: Vec<f64> = added
                .map(|(sum, probability)| (sum + probability) / f64::from(step))
                .collect();
            (model, loss(&labels, &means, by))
        });
        let best = losses.reduce(|best, other| if other.1 < best.1 { other } else { best });
        let Some((model, _)) = best else { break };
        weights[model] += 1;
        for (sum, probability) in sums.iter_mut().zip(&probabilities[model]) {
            *sum += probability;
        }
    }
    weights
}

/// The weighted mean of probabilities, as a server computes it.
pub(crate) fn weighted_mean(weights: &[u32], probabilities: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut total) = (0.0, 0);
    for (weight, probability) in weights.iter().zip(probabilities) {
        sum += f64::from(*weight) * probability;
        total += weight;
    }
    sum / f64::from(total)
}

/// The loss that is minimized.
fn loss(labels: &[bool], probabilities: &[f64], by: MetricName) -> f64 {
    let mean = |loss: fn(bool, f64) -> f64| {
        let rows = labels.iter().zip(probabilities);
        let sum: f64 = rows.map(|(label, probability)| loss(*label, *probability)).sum();
        sum / labels.len().max(1) as f64
    };
    match by {
        MetricName::RocAuc => -Ranking::new(probabilities).roc_auc(labels, |_| 1),
        MetricName::PrAuc => -Ranking::new(probabilities).average_precision(labels, |_| 1),
        MetricName::Brier => mean(|label, probability| {
            let error = probability - f64::from(u8::from(label));
            error * error
        }),
        MetricName::LogLoss
        | MetricName::Accuracy
        | MetricName::Precision
        | MetricName::Recall
        | MetricName::F1
        | MetricName::Mcc
        | MetricName::BalancedAccuracy => mean(|label, probability| {
            let probability = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
            -ln(if label { probability } else { 1.0 - probability })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::folds::SplitMix64;

    /// Probabilities that follow the classes so much, with noise of their own.
    fn model(labels: &[bool], signal: f64, random: &mut SplitMix64) -> Vec<f64> {
        let of_row = |label: &bool| {
            let noise = random.below(1_000_000) as f64 / 1e6 - 0.5;
            let signal = if *label { signal } else { -signal };
            (0.5 + signal + 0.6 * noise).clamp(0.01, 0.99)
        };
        labels.iter().map(of_row).collect()
    }

    #[test]
    fn equally_good_models_share_the_vote_and_a_useless_one_has_none() {
        let labels: Vec<bool> = (0..2000).map(|row| row % 2 == 0).collect();
        let mut random = SplitMix64::new(3);
        let models = [0.15, 0.15, 0.0].map(|signal| model(&labels, signal, &mut random));
        for by in [
            MetricName::LogLoss,
            MetricName::RocAuc,
            MetricName::PrAuc,
            MetricName::Brier,
            MetricName::F1,
        ] {
            let weights = choose_weights(&labels, &models, by, 4);
            assert_eq!(weights.iter().sum::<u32>(), STEPS);
            assert!(weights[0].abs_diff(weights[1]) <= 4, "{by}: {weights:?}");
            assert!(weights[2] <= 1, "{by}: {weights:?}");
        }
    }

    #[test]
    fn the_number_of_members_is_bounded_and_ties_go_to_the_first() {
        let labels: Vec<bool> = (0..600).map(|row| row % 3 == 0).collect();
        let mut random = SplitMix64::new(5);
        let models: Vec<Vec<f64>> = (0..6).map(|_| model(&labels, 0.1, &mut random)).collect();
        for most in 1..=6 {
            let weights = choose_weights(&labels, &models, MetricName::LogLoss, most);
            let members = weights.iter().filter(|weight| **weight > 0).count();
            assert!(members <= most && members > most / 2, "{weights:?}");
        }
        let twice = [models[0].clone(), models[0].clone()];
        assert_eq!(choose_weights(&labels, &twice, MetricName::LogLoss, 2), [20, 0]);
        assert!(choose_weights(&labels, &[], MetricName::LogLoss, 2).is_empty());
    }

    #[test]
    fn of_many_rows_some_are_looked_at() {
        let labels: Vec<bool> = (0..120_000).map(|row| row % 2 == 0).collect();
        let mut random = SplitMix64::new(7);
        let models = [0.2, 0.2].map(|signal| model(&labels, signal, &mut random));
        let weights = choose_weights(&labels, &models, MetricName::LogLoss, 2);
        assert!(weights[0].abs_diff(weights[1]) <= 2, "{weights:?}");
    }
}
