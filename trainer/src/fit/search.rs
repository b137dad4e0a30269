//! A search over the hyper-parameters of all families.
//!
//! The first trial of each family has the parameters of the spec and their defaults. Then rounds of trials follow: a proposal for each
//! family in turn by a tree-structured Parzen estimator (Bergstra et al. 2011), each hyper-parameter by itself, from the trials of
//! earlier rounds. A round has the same trials however many threads evaluate it, so that a search can be repeated. Trials are evaluated
//! on the folds of the first repeat. A time limit ends a search within a round, but not within the first one.

mod clock;
mod proposals;

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng as _, rngs::StdRng};

use modelward_service::chain;

use crate::{
    data::dataset::Dataset,
    family::{Parameter, Parameters, TrainableFamily},
    fit::{
        board::Ends,
        candidate::{Candidate, ScoredFold, ScoredTrial},
        error::TrainError,
        evaluate::{Evaluated, Folds},
        kept::{Outcome, RoundStore, Rounds},
        labels::Labels,
        metrics::{Metrics, position},
        plan::{Plan, SearchPlan},
        progress::Progress,
        search::{
            clock::Clock,
            proposals::{Best, Proposal, Proposals, best_worth, loss_of, propose_round},
        },
        splits::Splits,
    },
};

/// Scores of trials that are kept to correct for the selection among them; with more rows, that among the best of each family is corrected.
/// One takes 24 bytes with its row: 384 MB.
pub(crate) const KEPT_SCORES: usize = 16_000_000;

/// One trial of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 1, in the order of proposals.
    pub number: usize,
    /// The family.
    pub family: &'static str,
    /// What it was fitted with; rounds are those of the model of all rows.
    pub parameters: Parameters,
    /// The selecting metric: the mean over the folds. None if the trial was not continued or failed.
    pub value: Option<f64>,
    /// The mean of every metric over the folds, likewise.
    pub metrics: Option<Metrics>,
    /// Folds that were evaluated.
    pub folds: usize,
    /// Why it could not be fitted, if it could not.
    pub failure: Option<String>,
}

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Every trial of which a fold was evaluated, in the order of proposals.
    pub(crate) trials: Vec<Trial>,
    /// The best trial of each family of the plan: the family with its parameters, and its scores of the first repeat.
    pub(crate) best: Vec<ScoredTrial>,
    /// The second best trial of each of them likewise, if an ensemble is wanted and there is one.
    pub(crate) second: Vec<Option<ScoredTrial>>,
    /// All trials that were evaluated on every fold, with their scores.
    pub(crate) complete: Vec<Candidate>,
    /// Whether the time limit left anything out.
    pub(crate) cut_short: bool,
}

/// What a search searches on.
pub(crate) struct Searched<'a> {
    pub(crate) data: &'a Dataset,
    pub(crate) plan: &'a Plan,
    pub(crate) splits: &'a Splits,
    pub(crate) folds: &'a Folds<'a>,
    pub(crate) threads: usize,
    pub(crate) progress: &'a Progress<'a>,
    /// Scores of trials that are held in memory.
    pub(crate) kept_scores: usize,
    /// The time since any moment before the search.
    pub(crate) now: &'a (dyn Fn() -> Duration + Sync),
}

/// Why a search ended before its result.
enum Stop {
    Failed(TrainError),
    /// What was kept is of another search.
    Foreign(String),
}

/// Searches as planned, after the rounds that the store has.
pub(crate) fn search(
    on: &Searched<'_>,
    wanted: SearchPlan,
    store: Option<&dyn RoundStore>,
) -> Result<Found, TrainError> {
    search_behind(on, wanted, Rounds::load(store))
}

fn search_behind(on: &Searched<'_>, wanted: SearchPlan, mut rounds: Rounds<'_>) -> Result<Found, TrainError> {
    loop {
        match run(on, wanted, &mut rounds) {
            Ok(found) => return Ok(found),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Foreign(why)) => {
                tracing::warn!(
                    "a round of the search that was kept is not used: {why}; the search starts over"
                );
                rounds.forget();
            }
        }
    }
}

fn run(on: &Searched<'_>, search: SearchPlan, rounds: &mut Rounds<'_>) -> Result<Found, Stop> {
    let Searched { data, plan, .. } = *on;
    let mut clock = Clock::start(search.time_limit, on.now);
    let mut random = StdRng::seed_from_u64(search.seed);
    let mut families = plan
        .families
        .iter()
        .map(|family| Proposals::new(family, plan.ensemble.is_some()))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut trials, mut complete, mut cut_short) = (Vec::new(), Vec::new(), false);
    let wanted = search.trials.max(families.len());
    let keeps_all = data.len() * wanted <= on.kept_scores;
    while trials.len() < wanted {
        let round = propose_round(&mut families, wanted - trials.len(), &mut random)?;
        if round.is_empty() {
            break;
        }
        let taken = on.take_round(&round, rounds, keeps_all)?;
        let is_new = taken.is_none();
        let outcomes = if let Some(outcomes) = taken {
            clock.resume(rounds.earlier);
            outcomes
        } else {
            // Without a trial of each family there is nothing to select.
            let first = trials.len() + 1;
            let limit = Some(&clock).filter(|_| first > 1);
            on.evaluate(&round, first, &best_worth(&families), limit)?
        };
        let (mut notes, in_round) = (Vec::new(), round.len());
        for (proposal, mut outcome) in round.into_iter().zip(outcomes) {
            cut_short |= outcome.evaluated.cut;
            if outcome.evaluated.cut && outcome.folds == 0 {
                continue;
            }
            let family = match outcome.evaluated.rounds {
                Some(rounds) => proposal
                    .family
                    .with(&[("n_estimators", Parameter::Integer(i64::from(rounds)))]),
                None => Arc::clone(&proposal.family),
            };
            if let Some(error) = outcome.evaluated.failure.take() {
                // Without one trial that works there is nothing to select from a family.
                if proposal.places.is_empty() {
                    return Err(error.into());
                }
                let why = chain(&error);
                tracing::warn!("a trial of {} failed: {why}", family.served().name());
                outcome.failure = Some(why);
            }
            on.progress
                .done(plan.folds.saturating_sub(outcome.evaluated.fits));
            if !outcome.evaluated.folds.is_empty() && !outcome.evaluated.pruned {
                let name = family.served().name();
                let scored = &outcome.evaluated.folds;
                let labels = Labels::new(&data.labels, on.splits);
                let candidate = Candidate::new(name, family.parameters(), labels, scored, plan)?;
                let means: Metrics = std::array::from_fn(|metric| candidate.estimates[metric].mean);
                if outcome
                    .means
                    .is_some_and(|kept| kept.map(f64::to_bits) != means.map(f64::to_bits))
                {
                    return Err(Stop::Foreign("its scores have other metrics".to_owned()));
                }
                outcome.means = Some(means);
                if keeps_all {
                    complete.push(candidate);
                }
            }
            let number = trials.len() + 1;
            if is_new {
                notes.extend(rounds.note(number, &proposal.proposed(), &outcome, in_round));
            }
            let value = outcome.means.map(|means| means[position(plan.select_by)]);
            let evaluated = outcome.evaluated;
            let loss = loss_of(value, &evaluated.worth, plan.select_by);
            let of = &mut families[proposal.of];
            of.tell(&proposal.places, loss)?;
            trials.push(Trial {
                number,
                family: family.served().name(),
                parameters: family.parameters(),
                value,
                metrics: outcome.means,
                folds: outcome.folds,
                failure: outcome.failure,
            });
            of.keep_if_best(
                value,
                plan.select_by,
                Best {
                    value: value.unwrap_or_default(),
                    worth: evaluated.worth,
                    proposed: proposal.family,
                    family,
                    folds: evaluated.folds,
                },
            );
        }
        if cut_short {
            // It is not kept: a later Job would take its trials for evaluated ones.
            break;
        }
        if is_new {
            rounds.keep(notes, clock.elapsed());
        }
    }
    let (mut best, mut second) = (Vec::new(), Vec::new());
    for family in families {
        if let Some(of_family) = family.best {
            best.push(on.with_scores(of_family)?);
            second.push(family.second.map(|trial| on.with_scores(trial)).transpose()?);
        }
    }
    Ok(Found {
        trials,
        best,
        second,
        complete,
        cut_short,
    })
}

// === impl Searched ===

impl Searched<'_> {
    /// Evaluates the trials of a round; those that are worse than the best trial so far in their first folds are not continued, and
    /// none is once the time of a clock is over.
    fn evaluate(
        &self,
        round: &[Proposal],
        first: usize,
        best: &[f64],
        clock: Option<&Clock<'_>>,
    ) -> Result<Vec<Outcome>, TrainError> {
        let limited = clock.filter(|clock| clock.has_limit());
        let is_over = || limited.is_some_and(Clock::is_over);
        let ends = Ends {
            best,
            first: Some(first),
            is_over: limited.is_some().then_some(&is_over),
        };
        let tried: Vec<_> = round
            .iter()
            .map(|proposal| Arc::clone(&proposal.family))
            .collect();
        let evaluated = self
            .folds
            .evaluate(&tried, 0..1, Some(ends), self.threads, self.progress)?;
        let outcome = |evaluated: Evaluated| Outcome {
            folds: evaluated.worth.len(),
            evaluated,
            means: None,
            failure: None,
        };
        Ok(evaluated.into_iter().map(outcome).collect())
    }

    /// What an earlier training found in a round. If the scores of all trials are needed, it has them.
    fn take_round(
        &self,
        round: &[Proposal],
        rounds: &mut Rounds<'_>,
        keeps_all: bool,
    ) -> Result<Option<Vec<Outcome>>, Stop> {
        let proposed: Vec<_> = round.iter().map(Proposal::proposed).collect();
        let taken = rounds.take(&proposed, self.plan, self.splits);
        let Some(mut outcomes) = taken.map_err(Stop::Foreign)? else {
            return Ok(None);
        };
        tracing::info!("an earlier Job evaluated the trials up to {}", rounds.trials());
        let lacks_scores =
            |outcome: &Outcome| keeps_all && outcome.means.is_some() && outcome.evaluated.folds.is_empty();
        let (mut lacking, mut again) = (Vec::new(), Vec::new());
        for (proposal, outcome) in round.iter().zip(&mut outcomes) {
            if lacks_scores(outcome) {
                again.push(Arc::clone(&proposal.family));
                lacking.push(outcome);
            } else {
                self.progress.done(outcome.folds);
            }
        }
        for (outcome, scored) in lacking.into_iter().zip(self.score_again(&again)?) {
            outcome.evaluated.folds = scored;
        }
        Ok(Some(outcomes))
    }

    /// A trial as it is kept, with its scores.
    fn with_scores(&self, trial: Best) -> Result<ScoredTrial, TrainError> {
        let scored = if trial.folds.is_empty() {
            self.score_again(std::slice::from_ref(&trial.proposed))?.remove(0)
        } else {
            trial.folds
        };
        Ok(ScoredTrial {
            family: trial.family,
            scored,
        })
    }

    /// The scores of trials that were evaluated on all folds before: the same, because a fit depends on nothing else.
    fn score_again(&self, tried: &[Arc<dyn TrainableFamily>]) -> Result<Vec<Vec<ScoredFold>>, TrainError> {
        if tried.is_empty() {
            return Ok(Vec::new());
        }
        // No trial is worse than none.
        let ends = Ends {
            best: &[],
            first: None,
            is_over: None,
        };
        let evaluated = self
            .folds
            .evaluate(tried, 0..1, Some(ends), self.threads, self.progress)?;
        let scored = |evaluated: Evaluated| match evaluated.failure {
            Some(error) => Err(error),
            None => Ok(evaluated.folds),
        };
        evaluated.into_iter().map(scored).collect()
    }
}

impl From<TrainError> for Stop {
    fn from(error: TrainError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests;
