//! Proposals of a search: one estimator for each hyper-parameter of each family, and the best trial of each family.

use std::sync::Arc;

use modelward_crds::MetricName;
use rand::rngs::StdRng;
use tpe::TpeOptimizer;

use crate::{
    family::{Dimension, TrainableFamily, Values},
    fit::{candidate::ScoredFold, error::TrainError, kept::Proposed},
};

/// Trials of a round, in all families together.
const ROUND: usize = 8;

/// The proposals of one family.
pub(super) struct Proposals {
    pub(super) family: Arc<dyn TrainableFamily>,
    pub(super) dimensions: Vec<(Dimension, TpeOptimizer)>,
    pub(super) best: Option<Best>,
    /// The second best trial; kept if an ensemble may have it as a member.
    pub(super) second: Option<Best>,
    keeps_second: bool,
    pub(super) tried: usize,
}

/// The best trial of a family.
pub(super) struct Best {
    pub(super) value: f64,
    pub(super) worth: Vec<f64>,
    /// As it was proposed.
    pub(super) proposed: Arc<dyn TrainableFamily>,
    pub(super) family: Arc<dyn TrainableFamily>,
    /// Empty, if an earlier training evaluated it and its scores were not kept.
    pub(super) folds: Vec<ScoredFold>,
}

/// A proposal: its places on the scales of its dimensions, and the family with its values.
pub(super) struct Proposal {
    pub(super) of: usize,
    pub(super) places: Vec<f64>,
    pub(super) family: Arc<dyn TrainableFamily>,
}

/// Proposals for the families in turn. The first round is one of each, so that every family has a trial that was evaluated on all folds.
pub(super) fn propose_round(
    families: &mut [Proposals],
    left: usize,
    random: &mut StdRng,
) -> Result<Vec<Proposal>, TrainError> {
    if families.iter().any(|family| family.tried == 0) {
        let first = families.iter_mut().enumerate().map(|(of, family)| {
            family.tried += 1;
            Proposal {
                of,
                places: Vec::new(),
                family: Arc::clone(&family.family),
            }
        });
        return Ok(first.collect());
    }
    let mut round = Vec::new();
    let can_vary: Vec<usize> = (0..families.len())
        .filter(|at| !families[*at].dimensions.is_empty())
        .collect();
    for at in can_vary
        .iter()
        .cycle()
        .take(if can_vary.is_empty() { 0 } else { left.min(ROUND) })
    {
        let mut proposal = families[*at].ask(random)?;
        proposal.of = *at;
        round.push(proposal);
    }
    Ok(round)
}

/// The worth of the best trial so far, by fold.
pub(super) fn best_worth(families: &[Proposals]) -> Vec<f64> {
    let mean = |worth: &[f64]| worth.iter().sum::<f64>() / worth.len().max(1) as f64;
    let best = families.iter().filter_map(|family| family.best.as_ref());
    let best = best.max_by(|a, b| mean(&a.worth).total_cmp(&mean(&b.worth)));
    best.map(|best| best.worth.clone()).unwrap_or_default()
}

/// The loss of a proposal: lower is better. That of one that was not continued comes from its folds so far, by the metric that prunes; one
/// that failed has none.
pub(super) fn loss_of(value: Option<f64>, worth: &[f64], by: MetricName) -> f64 {
    match value {
        Some(value) if by.higher_is_better() => -value,
        Some(value) => value,
        // Worse than any that was measured.
        None if worth.is_empty() => 2e3,
        // Worse than any that was evaluated to the end, and more so the worse it was.
        None => 1e3 - worth.iter().sum::<f64>() / worth.len().max(1) as f64,
    }
}

// === impl Proposal ===

impl Proposal {
    pub(super) fn proposed(&self) -> Proposed<'_> {
        Proposed {
            family: &*self.family,
            places: &self.places,
        }
    }
}

// === impl Proposals ===

impl Proposals {
    pub(super) fn new(family: &Arc<dyn TrainableFamily>, keeps_second: bool) -> Result<Self, TrainError> {
        let dimensions = family.space().into_iter().map(|dimension| {
            let (low, high) = dimension.scale();
            let range = tpe::range(low, high).map_err(|error| TrainError::Search(error.to_string()))?;
            let estimator = match dimension.values {
                Values::Numbers { .. } => tpe::parzen_estimator(),
                Values::Flags => tpe::histogram_estimator(),
            };
            Ok((dimension, TpeOptimizer::new(estimator, range)))
        });
        Ok(Self {
            family: Arc::clone(family),
            dimensions: dimensions.collect::<Result<_, TrainError>>()?,
            best: None,
            second: None,
            keeps_second,
            tried: 0,
        })
    }

    pub(super) fn ask(&mut self, random: &mut StdRng) -> Result<Proposal, TrainError> {
        let (mut places, mut values) = (Vec::new(), Vec::new());
        for (dimension, optimizer) in &mut self.dimensions {
            let place = optimizer
                .ask(random)
                .map_err(|error| TrainError::Search(error.to_string()))?;
            places.push(place);
            values.push((dimension.name, dimension.value(place)));
        }
        self.tried += 1;
        Ok(Proposal {
            of: 0,
            places,
            family: self.family.with(&values),
        })
    }

    pub(super) fn tell(&mut self, places: &[f64], loss: f64) -> Result<(), TrainError> {
        // The first trial has the spec's own values, which may be outside of the space.
        for ((_, optimizer), place) in self.dimensions.iter_mut().zip(places) {
            optimizer
                .tell(*place, loss)
                .map_err(|error| TrainError::Search(error.to_string()))?;
        }
        Ok(())
    }

    pub(super) fn keep_if_best(&mut self, value: Option<f64>, by: MetricName, trial: Best) {
        if value.is_none() {
            return;
        }
        let is_better = |than: &Option<Best>| {
            than.as_ref().is_none_or(|best| {
                if by.higher_is_better() {
                    trial.value > best.value
                } else {
                    trial.value < best.value
                }
            })
        };
        if is_better(&self.best) {
            let second = self.best.replace(trial);
            if self.keeps_second {
                self.second = second;
            }
        } else if self.keeps_second && is_better(&self.second) {
            self.second = Some(trial);
        }
    }
}
