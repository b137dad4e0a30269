//! Rounds of a search that are kept, so that a later training with the same data, spec and program continues after them.
//!
//! Proposals are computed again, which takes no time, and compared with those that were kept; only what a round found is reused. Floats are
//! kept as their bits: the bundle is the same, byte for byte. Scores are kept if they are few. Otherwise trials that need them are fitted
//! again.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use modelward_crds::MetricName;
use modelward_wire::{SEARCH_FORMAT, SearchRound, SearchTrial};

use crate::{
    family::TrainableFamily,
    fit::{candidate::ScoredFold, evaluate::Evaluated, metrics::Metrics, plan::Plan, splits::Splits},
};

/// The most scores of a round that are kept: three quarters of the bytes that a round may have.
const KEPT_SCORES: usize = 280_000;

/// Keeps the rounds of one search. Failing to keep or find one is not an error.
pub trait RoundStore: Sync {
    /// The rounds that are kept, in order.
    fn load(&self) -> Vec<SearchRound>;
    /// Keeps the round of this number, from 0.
    fn keep(&self, number: u32, round: &SearchRound);
    /// Deletes all rounds.
    fn forget(&self);
}

/// A proposal of a round.
pub(super) struct Proposed<'a> {
    pub(super) family: &'a dyn TrainableFamily,
    /// By hyper-parameter that is varied.
    pub(super) places: &'a [f64],
}

/// The result of one trial of a round.
pub(super) struct Outcome {
    /// Without folds, if they were evaluated by an earlier training and their scores were not kept.
    pub(super) evaluated: Evaluated,
    /// Folds that were evaluated.
    pub(super) folds: usize,
    /// The mean of each metric, if an earlier training computed it.
    pub(super) means: Option<Metrics>,
    /// Why the trial could not be fitted, if it could not.
    pub(super) failure: Option<String>,
}

/// The rounds of a search that runs.
pub(super) struct Rounds<'a> {
    store: Option<&'a dyn RoundStore>,
    waiting: VecDeque<SearchRound>,
    /// Rounds that were reused or kept.
    number: u32,
    /// Trials of these rounds.
    trials: usize,
    /// How long earlier trainings searched.
    pub(super) earlier: Duration,
    /// The most scores of a round that are kept.
    pub(super) kept_scores: usize,
}

// === impl Rounds ===

impl<'a> Rounds<'a> {
    /// What this store has of the search.
    pub(super) fn load(store: Option<&'a dyn RoundStore>) -> Self {
        let waiting = store.map(RoundStore::load).unwrap_or_default();
        if let (Some(store), true) = (store, waiting.is_empty()) {
            // Rounds of another spec or program would only take up room.
            store.forget();
        }
        Self {
            store,
            waiting: waiting.into(),
            number: 0,
            trials: 0,
            earlier: Duration::ZERO,
            kept_scores: KEPT_SCORES,
        }
    }

    /// Deletes what was kept: the search starts over.
    pub(super) fn forget(&mut self) {
        if let Some(store) = self.store {
            store.forget();
        }
        self.waiting.clear();
        (self.number, self.trials, self.earlier) = (0, 0, Duration::ZERO);
    }

    /// What an earlier training found in this round; the error says why what was kept is of another search.
    pub(super) fn take(
        &mut self,
        proposed: &[Proposed<'_>],
        plan: &Plan,
        splits: &Splits,
    ) -> Result<Option<Vec<Outcome>>, String> {
        let Some(kept) = self.waiting.pop_front() else {
            return Ok(None);
        };
        if kept.format != SEARCH_FORMAT {
            return Err(format!("it has format {}", kept.format));
        }
        if kept.trials.len() != proposed.len() {
            let (found, expected) = (kept.trials.len(), proposed.len());
            return Err(format!("it has {found} trials, expected {expected}"));
        }
        let mut outcomes = Vec::new();
        for (trial, proposed) in kept.trials.iter().zip(proposed) {
            self.trials += 1;
            if !is_of(trial, self.trials, proposed) {
                return Err(format!("trial {} has another proposal", trial.number));
            }
            let outcome = outcome(trial, plan, splits);
            outcomes.push(outcome.map_err(|why| format!("trial {}: {why}", trial.number))?);
        }
        self.number += 1;
        self.earlier = Duration::from_secs(kept.seconds);
        Ok(Some(outcomes))
    }

    /// What is kept of a trial, if anything is.
    pub(super) fn note(
        &self,
        number: usize,
        proposed: &Proposed<'_>,
        outcome: &Outcome,
        in_round: usize,
    ) -> Option<SearchTrial> {
        self.store?;
        let evaluated = &outcome.evaluated;
        let scores: Vec<f64> = evaluated
            .folds
            .iter()
            .flat_map(|fold| fold.scores.iter().copied())
            .collect();
        let is_kept = outcome.means.is_some() && scores.len() * in_round <= self.kept_scores;
        Some(SearchTrial {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            family: proposed.family.served().name().to_owned(),
            parameters: parameters(proposed.family),
            places: bits(proposed.places),
            rounds: evaluated.rounds,
            folds: u32::try_from(outcome.folds).unwrap_or(u32::MAX),
            worth: bits(&evaluated.worth),
            metrics: outcome.means.map(|means| bits(&means)),
            scores: is_kept.then(|| encode(&scores)),
            failure: outcome.failure.clone(),
        })
    }

    /// Keeps a complete round that was evaluated now.
    pub(super) fn keep(&mut self, trials: Vec<SearchTrial>, elapsed: Duration) {
        let Some(store) = self.store else { return };
        let round = SearchRound {
            format: SEARCH_FORMAT,
            seconds: elapsed.as_secs(),
            trials,
        };
        store.keep(self.number, &round);
        self.trials += round.trials.len();
        self.number += 1;
    }

    /// Trials that were reused or kept.
    pub(super) fn trials(&self) -> usize {
        self.trials
    }
}

/// Whether a kept trial belongs to this proposal.
fn is_of(trial: &SearchTrial, number: usize, proposed: &Proposed<'_>) -> bool {
    trial.number as usize == number
        && trial.family == proposed.family.served().name()
        && trial.places == bits(proposed.places)
        && trial.parameters == parameters(proposed.family)
}

/// The outcome of a trial that was kept.
fn outcome(trial: &SearchTrial, plan: &Plan, splits: &Splits) -> Result<Outcome, String> {
    let worth: Vec<f64> = trial.worth.iter().map(|bits| f64::from_bits(*bits)).collect();
    let folds = trial.folds as usize;
    if folds > plan.folds || worth.len() != folds {
        return Err(format!("it has {folds} folds and {} values of them", worth.len()));
    }
    let means = match &trial.metrics {
        None => None,
        Some(metrics) if metrics.len() == MetricName::ALL.len() && folds == plan.folds => {
            Some(std::array::from_fn(|metric| f64::from_bits(metrics[metric])))
        }
        Some(_) => return Err("its metrics are not those of all folds".to_owned()),
    };
    let scored = trial.scores.as_ref().filter(|_| means.is_some());
    let scored = scored.map(|scores| decode(scores, folds, splits)).transpose()?;
    Ok(Outcome {
        evaluated: Evaluated {
            folds: scored.unwrap_or_default(),
            rounds: trial.rounds,
            worth,
            pruned: means.is_none(),
            cut: false,
            fits: folds,
            failure: None,
        },
        folds,
        means,
        failure: trial.failure.clone(),
    })
}

fn parameters(family: &dyn TrainableFamily) -> BTreeMap<String, String> {
    let parameters = family.parameters();
    let each = parameters.iter();
    each.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn encode(scores: &[f64]) -> String {
    let bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// The scores of the folds of the first repeat.
fn decode(text: &str, folds: usize, splits: &Splits) -> Result<Vec<ScoredFold>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    let (values, rest) = bytes.as_chunks::<8>();
    let mut scores = values.iter().map(|bytes| f64::from_le_bytes(*bytes));
    let mut scored = Vec::new();
    for fold in 0..folds {
        let (rows, _) = splits.split(0, fold);
        let scores: Vec<f64> = scores.by_ref().take(rows.len()).collect();
        if scores.len() < rows.len() || scores.iter().any(|score| !(0.0..=1.0).contains(score)) {
            return Err(format!("its scores are not those of fold {}", fold + 1));
        }
        scored.push(ScoredFold {
            repeat: 0,
            fold,
            rows,
            scores,
        });
    }
    if scores.next().is_some() || !rest.is_empty() {
        return Err("it has more scores than rows".to_owned());
    }
    Ok(scored)
}
