//! A search over the hyper-parameters of all families.
//!
//! The first trial of each family has the parameters of the spec and their defaults. Then rounds of trials follow: a proposal for each
//! family in turn by a tree-structured Parzen estimator (Bergstra et al. 2011), each hyper-parameter by itself, from the trials of
//! earlier rounds. A round has the same trials however many threads evaluate it, so that a search can be repeated. Trials are evaluated
//! on the folds of the first repeat.

use std::{sync::Arc, time::Instant};

use modelward_crds::MetricName;
use rand::{SeedableRng as _, rngs::StdRng};
use tpe::TpeOptimizer;

use crate::{
    data::dataset::Dataset,
    family::{Dimension, Parameter, Parameters, TrainableFamily, Values},
    fit::{
        candidate::{Candidate, ScoredFold},
        error::TrainError,
        evaluate::Folds,
        metrics::{Metrics, position},
        plan::{Plan, SearchPlan},
        progress::Progress,
    },
};

/// Trials of a round, in all families together.
const ROUND: usize = 8;

/// Scores of trials that are kept to correct for the selection among them; with more rows, that among the best of each family is corrected.
const KEPT_SCORES: usize = 50_000_000;

/// One trial of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 1, in the order of proposals.
    pub number: usize,
    /// The family.
    pub family: &'static str,
    /// What it was fitted with; rounds are those of the model of all rows.
    pub parameters: Parameters,
    /// The selecting metric: the mean over the folds. None where the trial was not continued.
    pub value: Option<f64>,
    /// The mean of every metric over the folds. None where the trial was not continued.
    pub metrics: Option<Metrics>,
    /// Folds that were evaluated.
    pub folds: usize,
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Every trial, in the order of proposals.
    pub(crate) trials: Vec<Trial>,
    /// Of each family of the plan, the best trial: the family with its parameters, and its scores of the first repeat.
    pub(crate) best: Vec<(Arc<dyn TrainableFamily>, Vec<ScoredFold>)>,
    /// All trials that were evaluated on every fold, with their scores.
    pub(crate) complete: Vec<Candidate>,
    /// Whether the time limit ended it.
    pub(crate) cut_short: bool,
}

/// The proposals of one family.
struct Proposals {
    family: Arc<dyn TrainableFamily>,
    dimensions: Vec<(Dimension, TpeOptimizer)>,
    best: Option<Best>,
    tried: usize,
}

struct Best {
    value: f64,
    worth: Vec<f64>,
    family: Arc<dyn TrainableFamily>,
    folds: Vec<ScoredFold>,
}

/// A proposal: its places on the scales of its dimensions, and the family with its values.
struct Proposal {
    of: usize,
    places: Vec<f64>,
    family: Arc<dyn TrainableFamily>,
}

/// Searches as planned.
pub(crate) fn search(
    data: &Dataset,
    plan: &Plan,
    search: SearchPlan,
    folds: &Folds<'_>,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Found, TrainError> {
    let begun = Instant::now();
    let mut random = StdRng::seed_from_u64(search.seed);
    let mut families = plan
        .families
        .iter()
        .map(Proposals::new)
        .collect::<Result<Vec<_>, _>>()?;
    let (mut trials, mut complete, mut cut_short) = (Vec::new(), Vec::new(), false);
    let wanted = search.trials.max(families.len());
    while trials.len() < wanted {
        let round = propose_round(&mut families, wanted - trials.len(), &mut random)?;
        if round.is_empty() {
            break;
        }
        if !trials.is_empty() && search.time_limit.is_some_and(|limit| begun.elapsed() >= limit) {
            cut_short = true;
            break;
        }
        let tried: Vec<_> = round
            .iter()
            .map(|proposal| Arc::clone(&proposal.family))
            .collect();
        let worth = best_worth(&families);
        let evaluated = folds.evaluate(&tried, 0..1, Some(&worth), threads, progress)?;
        for (proposal, evaluated) in round.into_iter().zip(evaluated) {
            let family = match evaluated.rounds {
                Some(rounds) => proposal
                    .family
                    .with(&[("n_estimators", Parameter::Integer(i64::from(rounds)))]),
                None => Arc::clone(&proposal.family),
            };
            match evaluated.failure {
                // Without one trial that works there is nothing to select from a family.
                Some(error) if proposal.places.is_empty() => return Err(error),
                Some(error) => tracing::warn!("a trial of {} failed: {error}", family.served().name()),
                None => {}
            }
            let count = evaluated.folds.len();
            progress.done(plan.folds.saturating_sub(evaluated.fits));
            let (mut value, mut metrics) = (None, None);
            if !evaluated.pruned {
                let name = family.served().name();
                let candidate =
                    Candidate::new(name, family.parameters(), &data.labels, &evaluated.folds, plan)?;
                let means: Metrics = std::array::from_fn(|metric| candidate.estimates[metric].mean);
                value = Some(means[position(plan.select_by)]);
                metrics = Some(means);
                if data.len() * wanted <= KEPT_SCORES {
                    complete.push(candidate);
                }
            }
            let loss = loss_of(value, &evaluated.worth, plan.select_by);
            let of = &mut families[proposal.of];
            of.tell(&proposal.places, loss)?;
            of.keep_if_best(value, plan.select_by, &family, evaluated.worth, evaluated.folds);
            trials.push(Trial {
                number: trials.len() + 1,
                family: family.served().name(),
                parameters: family.parameters(),
                value,
                metrics,
                folds: count,
            });
        }
    }
    let best = families.into_iter().filter_map(|family| family.best);
    Ok(Found {
        trials,
        best: best.map(|best| (best.family, best.folds)).collect(),
        complete,
        cut_short,
    })
}

/// Proposals for the families in turn. The first round is one of each, so that every family has a trial that was evaluated on all folds.
fn propose_round(
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
fn best_worth(families: &[Proposals]) -> Vec<f64> {
    let mean = |worth: &[f64]| worth.iter().sum::<f64>() / worth.len().max(1) as f64;
    let best = families.iter().filter_map(|family| family.best.as_ref());
    let best = best.max_by(|a, b| mean(&a.worth).total_cmp(&mean(&b.worth)));
    best.map(|best| best.worth.clone()).unwrap_or_default()
}

/// What a proposal cost: less is better. One that was not continued costs what its folds so far say, by the metric that prunes.
fn loss_of(value: Option<f64>, worth: &[f64], by: MetricName) -> f64 {
    match value {
        Some(value) if by.higher_is_better() => -value,
        Some(value) => value,
        // Worse than any that was evaluated to the end, and more so the worse it was.
        None => 1e3 - worth.iter().sum::<f64>() / worth.len().max(1) as f64,
    }
}

// === impl Proposals ===

impl Proposals {
    fn new(family: &Arc<dyn TrainableFamily>) -> Result<Self, TrainError> {
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
            tried: 0,
        })
    }

    fn ask(&mut self, random: &mut StdRng) -> Result<Proposal, TrainError> {
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

    fn tell(&mut self, places: &[f64], loss: f64) -> Result<(), TrainError> {
        // The first trial has the spec's own values, which may be outside of the space.
        for ((_, optimizer), place) in self.dimensions.iter_mut().zip(places) {
            optimizer
                .tell(*place, loss)
                .map_err(|error| TrainError::Search(error.to_string()))?;
        }
        Ok(())
    }

    fn keep_if_best(
        &mut self,
        value: Option<f64>,
        by: MetricName,
        family: &Arc<dyn TrainableFamily>,
        worth: Vec<f64>,
        folds: Vec<ScoredFold>,
    ) {
        let Some(value) = value else { return };
        let is_better = self.best.as_ref().is_none_or(|best| {
            if by.higher_is_better() {
                value > best.value
            } else {
                value < best.value
            }
        });
        if is_better {
            self.best = Some(Best {
                value,
                worth,
                family: Arc::clone(family),
                folds,
            });
        }
    }
}
