//! Which fold of which trial is evaluated next.
//!
//! The order of work is free, but the results do not depend on it: whether a trial is continued depends only on the results of its
//! folds in their order. A thread that would wait fits folds that may turn out not to be needed. When the time of a search is over, no
//! fold is started any more; running ones are finished.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
};

use crate::fit::error::TrainError;

/// A trial that is worse in each of this many folds is not continued.
const PRUNED_AFTER: usize = 2;

/// Work for a thread.
pub(super) enum Work<F> {
    /// Fit the model of a fold.
    Fit {
        /// The trial, by its index.
        trial: usize,
        /// The fold, by its index among the tasks of a trial.
        task: usize,
    },
    /// Compute the scores of a fold from what was fitted.
    Finish {
        /// The trial, by its index.
        trial: usize,
        /// The fold, by its index among the tasks of a trial.
        task: usize,
        /// What was fitted.
        fitted: F,
        /// The rounds that its model has, of a family with rounds.
        rounds: Option<u32>,
    },
}

/// A fold that was fitted.
pub(super) struct Fitted<F> {
    /// How good it is, for pruning; greater is better.
    pub(super) worth: f64,
    /// What its scores are made of.
    pub(super) fitted: F,
}

/// The rounds of the model of all rows, and those of each fold's.
pub(super) type Rounds = (Option<u32>, Vec<u32>);

/// The result of a trial.
#[derive(Debug)]
pub(super) struct Outcome<S> {
    /// By fold, in order: all of them, or those before it was stopped. None if the time ended it.
    pub(super) folds: Vec<S>,
    /// By fold that was fitted, in order.
    pub(super) worth: Vec<f64>,
    /// The rounds that the model of all rows has.
    pub(super) rounds: Option<u32>,
    /// Folds that were fitted, including those that were not needed.
    pub(super) fits: usize,
    /// Whether the time was over before its folds were fitted.
    pub(super) cut: bool,
}

/// What ends the trials of a search before their last fold.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    /// The worth by fold of the best trial so far: trials that are worse are not continued.
    pub(crate) best: &'a [f64],
    /// The number of the first trial in the search; none if trials are evaluated again.
    pub(crate) first: Option<usize>,
    /// Whether the time is over, for a search with a time limit.
    pub(crate) is_over: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// How the results of a trial's folds are put together.
pub(super) struct Rules<'a, F> {
    /// Folds of each trial.
    pub(super) tasks: usize,
    /// What ends the trials of a search.
    pub(super) ends: Option<Ends<'a>>,
    /// Whether one trial is evaluated after the other, so that the fitted folds of few trials wait in memory.
    pub(super) in_turn: bool,
    /// Chooses the rounds of a trial from all its folds that are kept.
    pub(super) choose_rounds: &'a (dyn Fn(&[&F]) -> Rounds + Sync),
}

/// The work of several trials, shared by threads.
pub(super) struct Board<'a, F, S> {
    rules: Rules<'a, F>,
    state: Mutex<State<F, S>>,
    changed: Condvar,
}

struct State<F, S> {
    trials: Vec<Trial<F, S>>,
    finishing: VecDeque<Work<F>>,
    running: usize,
    /// Whether the time is over.
    is_over: bool,
}

struct Trial<F, S> {
    /// Folds that were begun: always the first ones.
    begun: usize,
    /// Folds that may be needed; fewer than all once it is known where the trial ends.
    until: usize,
    fits: usize,
    worth: Vec<Option<f64>>,
    fitted: Vec<Option<F>>,
    failure: Option<TrainError>,
    rounds: Option<u32>,
    scored: Vec<Option<S>>,
}

// === impl Board ===

impl<'a, F, S> Board<'a, F, S> {
    pub(super) fn new(trials: usize, rules: Rules<'a, F>) -> Self {
        let tasks = rules.tasks;
        Self {
            rules,
            state: Mutex::new(State {
                trials: (0..trials).map(|_| Trial::new(tasks)).collect(),
                finishing: VecDeque::new(),
                running: 0,
                is_over: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// The next work; waits if running work may add more. `None` at the end.
    pub(super) fn take(&self) -> Option<Work<F>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(work) = state.next(&self.rules) {
                state.running += 1;
                return Some(work);
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records the result of a fit.
    pub(super) fn fitted(&self, trial: usize, task: usize, result: Result<Fitted<F>, TrainError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        let of = &mut state.trials[trial];
        of.fits += 1;
        if task < of.until {
            match result {
                Ok(Fitted { worth, fitted }) => {
                    of.worth[task] = Some(worth);
                    of.fitted[task] = Some(fitted);
                }
                Err(failure) => of.fail(task, failure),
            }
            let work = of.settle(trial, &self.rules);
            state.finishing.extend(work);
        }
        self.changed.notify_all();
    }

    /// Records the scores of a fold.
    pub(super) fn finished(&self, trial: usize, task: usize, result: Result<S, TrainError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        let of = &mut state.trials[trial];
        match result {
            Ok(scored) => of.scored[task] = Some(scored),
            Err(failure) => of.failure = Some(failure),
        }
        self.changed.notify_all();
    }

    /// The result of each trial, or its failure.
    pub(super) fn into_outcomes(self) -> impl Iterator<Item = Result<Outcome<S>, TrainError>> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_over = state.is_over;
        state.trials.into_iter().map(move |trial| trial.conclude(is_over))
    }
}

// === impl State ===

impl<F, S> State<F, S> {
    fn next(&mut self, rules: &Rules<'_, F>) -> Option<Work<F>> {
        // Fitted models first: they wait in memory.
        if let Some(work) = self.finishing.pop_front() {
            return Some(work);
        }
        let limit = rules.ends.and_then(|ends| ends.is_over);
        self.is_over = self.is_over || limit.is_some_and(|is_over| is_over());
        if self.is_over {
            return None;
        }
        let open = self.trials.iter().enumerate();
        let open = open.filter(|(_, of)| of.begun < of.until);
        // First what is certainly needed; the same fold of all trials, because they share its data; of these the last trial, because slow
        // families come last and should not be started at the end. With a time limit, one trial after the other: only complete ones
        // count.
        let in_turn = rules.in_turn || limit.is_some();
        let (trial, of) = open.min_by_key(|(at, of)| {
            let is_spare = of.begun >= of.needed(rules);
            if in_turn {
                (is_spare, *at, Reverse(0))
            } else {
                (is_spare, of.begun, Reverse(*at))
            }
        })?;
        let task = of.begun;
        self.trials[trial].begun += 1;
        Some(Work::Fit { trial, task })
    }
}

// === impl Trial ===

impl<F, S> Trial<F, S> {
    fn new(tasks: usize) -> Self {
        Self {
            begun: 0,
            until: tasks,
            fits: 0,
            worth: vec![None; tasks],
            fitted: (0..tasks).map(|_| None).collect(),
            failure: None,
            rounds: None,
            scored: (0..tasks).map(|_| None).collect(),
        }
    }

    /// The first folds that were fitted, one after the other.
    fn ready(&self) -> usize {
        self.worth.iter().take_while(|worth| worth.is_some()).count()
    }

    /// The first folds that have to be fitted, as far as it is known.
    fn needed(&self, rules: &Rules<'_, F>) -> usize {
        match rules.ends {
            Some(_) => self.until.min(PRUNED_AFTER.max(self.ready() + 1)),
            None => self.until,
        }
    }

    fn fail(&mut self, task: usize, failure: TrainError) {
        self.failure = Some(failure);
        self.until = task;
    }

    /// Ends the trial if it is worse than the best one in each of its folds so far. Returns the next work once all folds are fitted.
    fn settle(&mut self, trial: usize, rules: &Rules<'_, F>) -> Vec<Work<F>> {
        let ready = self.ready();
        if let Some(Ends { best, .. }) = rules.ends {
            let is_worse = |task: usize| self.worth[task] < best.get(task).copied();
            let hopeless = (PRUNED_AFTER..rules.tasks.min(ready + 1))
                .find(|folds| best.len() >= *folds && (0..*folds).all(is_worse));
            if let Some(folds) = hopeless {
                self.until = folds;
                // The failure is of a fold that is not needed.
                self.failure = None;
            }
        }
        if ready < self.until {
            return Vec::new();
        }
        // The last needed fold is there: this happens once.
        self.worth.truncate(self.until);
        self.fitted.truncate(self.until);
        self.scored.truncate(self.until);
        if self.failure.is_some() {
            self.fitted.clear();
            return Vec::new();
        }
        let fitted: Vec<F> = self.fitted.drain(..).flatten().collect();
        let (rounds, of_folds) = (rules.choose_rounds)(&fitted.iter().collect::<Vec<_>>());
        self.rounds = rounds;
        let work = fitted.into_iter().enumerate().map(|(task, fitted)| Work::Finish {
            trial,
            task,
            fitted,
            rounds: of_folds.get(task).copied(),
        });
        work.collect()
    }

    fn conclude(self, is_over: bool) -> Result<Outcome<S>, TrainError> {
        if is_over && self.ready() < self.until {
            return Ok(Outcome {
                folds: Vec::new(),
                worth: self.worth.into_iter().map_while(|worth| worth).collect(),
                rounds: None,
                fits: self.fits,
                cut: true,
            });
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let folds: Option<Vec<S>> = self.scored.into_iter().collect();
        Ok(Outcome {
            folds: folds.ok_or(TrainError::Lost)?,
            worth: self.worth.into_iter().flatten().collect(),
            rounds: self.rounds,
            fits: self.fits,
            cut: false,
        })
    }
}

#[cfg(test)]
mod tests;
