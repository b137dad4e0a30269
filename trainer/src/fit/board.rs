//! Which fold of which trial is evaluated next.
//!
//! The order of work is free, what is kept of it is not: whether a trial is continued depends on the results of its folds in their
//! order alone. A thread that would wait fits folds that may turn out not to be needed. Where the time of a search is over, no fold is
//! begun any more; what was begun is finished.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::{Condvar, Mutex, PoisonError},
};

use crate::fit::error::TrainError;

/// A trial that is worse in each of so many folds is not continued.
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
    /// Make the scores of a fold of what was fitted.
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

/// What became of a trial.
#[derive(Debug)]
pub(super) struct Outcome<S> {
    /// By fold, in order: all of them, or those before it was not continued. None of a trial that was cut.
    pub(super) folds: Vec<S>,
    /// By fold that was fitted, in order.
    pub(super) worth: Vec<f64>,
    /// The rounds that the model of all rows has.
    pub(super) rounds: Option<u32>,
    /// Folds that were fitted, also in vain.
    pub(super) fits: usize,
    /// Whether the time was over before its folds were fitted.
    pub(super) cut: bool,
}

/// What ends the trials of a search before their last fold.
#[derive(Clone, Copy)]
pub(crate) struct Ends<'a> {
    /// The worth by fold of the best trial so far: trials that are worse are not continued.
    pub(crate) best: &'a [f64],
    /// Of a search with a time limit, whether its time is over.
    pub(crate) is_over: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// How the results of a trial's folds are put together.
pub(super) struct Rules<'a, F> {
    /// Folds of each trial.
    pub(super) tasks: usize,
    /// What ends the trials of a search.
    pub(super) ends: Option<Ends<'a>>,
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

    /// The next work; waits where work that is running may bring more. `None` at the end.
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

    /// Records what came of a fit.
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

    /// What became of each trial, or why not.
    pub(super) fn into_outcomes(self) -> impl Iterator<Item = Result<Outcome<S>, TrainError>> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_over = state.is_over;
        state.trials.into_iter().map(move |trial| trial.conclude(is_over))
    }
}

// === impl State ===

impl<F, S> State<F, S> {
    fn next(&mut self, rules: &Rules<'_, F>) -> Option<Work<F>> {
        // What is fitted waits in memory.
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
        // First what is needed for certain; the same fold of all trials, because they share what it has; of these the last trial, because
        // families that take long come last and should not be begun at the end. Where the time may end, one trial after the other: what
        // is complete by then counts.
        let (trial, of) = open.min_by_key(|(at, of)| match limit {
            None => (of.begun >= of.needed(rules), of.begun, Reverse(*at)),
            Some(_) => (of.begun >= of.needed(rules), *at, Reverse(0)),
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

    /// Ends the trial where it is worse than the best one in each of its folds so far. The work that follows, once all folds are there.
    fn settle(&mut self, trial: usize, rules: &Rules<'_, F>) -> Vec<Work<F>> {
        let ready = self.ready();
        if let Some(Ends { best, .. }) = rules.ends {
            let is_worse = |task: usize| self.worth[task] < best.get(task).copied();
            let hopeless = (PRUNED_AFTER..rules.tasks.min(ready + 1))
                .find(|folds| best.len() >= *folds && (0..*folds).all(is_worse));
            if let Some(folds) = hopeless {
                self.until = folds;
                // Of a fold that was not needed.
                self.failure = None;
            }
        }
        if ready < self.until {
            return Vec::new();
        }
        // The last fold that was missing: no other of these comes.
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
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        thread,
    };

    use super::*;

    fn without_limit(best: &[f64]) -> Ends<'_> {
        Ends { best, is_over: None }
    }

    /// The outcome of one trial of five folds, whose fits end in this order.
    fn outcome(order: &[usize], worth: &[f64], best: Option<&[f64]>) -> Outcome<usize> {
        let rules = Rules {
            tasks: worth.len(),
            ends: best.map(without_limit),
            choose_rounds: &|fitted: &[&usize]| (Some(fitted.len() as u32), Vec::new()),
        };
        let board: Board<'_, usize, usize> = Board::new(1, rules);
        let mut begun = Vec::new();
        while let Some(Work::Fit { task, .. }) = {
            let can_begin = begun.len() < worth.len();
            can_begin.then(|| board.take()).flatten()
        } {
            begun.push(task);
        }
        for task in order {
            let fitted = Fitted {
                worth: worth[*task],
                fitted: *task,
            };
            board.fitted(0, *task, Ok(fitted));
        }
        while let Some(Work::Finish {
            trial, task, fitted, ..
        }) = board.take()
        {
            board.finished(trial, task, Ok(fitted));
        }
        board.into_outcomes().next().unwrap().unwrap()
    }

    #[test]
    fn the_order_in_which_folds_end_changes_nothing_that_is_kept() {
        let worth = [0.4, 0.4, 0.6, 0.4, 0.4];
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
            let found = outcome(&order, &worth, Some(&[0.5; 5]));
            assert_eq!((found.folds, found.rounds), (vec![0, 1], Some(2)), "{order:?}");
            let found = outcome(&order, &worth, Some(&[0.5, 0.3, 0.7, 0.5, 0.5]));
            assert_eq!(found.folds, [0, 1, 2, 3, 4], "better in the second fold");
            assert_eq!(outcome(&order, &worth, None).folds.len(), 5);
        }
    }

    #[test]
    fn a_trial_that_is_worse_in_every_fold_is_not_pruned_at_its_end() {
        let order = [0, 1];
        assert_eq!(outcome(&order, &[0.1, 0.1], Some(&[0.5; 2])).folds.len(), 2);
    }

    #[test]
    fn a_failure_of_a_fold_that_was_not_needed_is_none() {
        let rules = Rules {
            tasks: 4,
            ends: Some(without_limit(&[0.5; 4])),
            choose_rounds: &|_: &[&()]| (None, Vec::new()),
        };
        let board: Board<'_, (), ()> = Board::new(1, rules);
        for _ in 0..4 {
            assert!(matches!(board.take(), Some(Work::Fit { .. })));
        }
        let bad = || {
            Ok(Fitted {
                worth: 0.1,
                fitted: (),
            })
        };
        board.fitted(0, 3, Err(TrainError::Lost));
        board.fitted(0, 0, bad());
        board.fitted(0, 1, bad());
        board.fitted(0, 2, Err(TrainError::Lost));
        while let Some(Work::Finish { trial, task, .. }) = board.take() {
            board.finished(trial, task, Ok(()));
        }
        let found = board.into_outcomes().next().unwrap().unwrap();
        assert_eq!((found.folds.len(), found.fits), (2, 4));
    }

    #[test]
    fn of_several_failures_the_first_fold_is_reported_and_ends_the_trial() {
        let rules = Rules {
            tasks: 3,
            ends: None,
            choose_rounds: &|_: &[&()]| (None, Vec::new()),
        };
        let board: Board<'_, (), ()> = Board::new(1, rules);
        for _ in 0..3 {
            assert!(board.take().is_some());
        }
        let failure = |text: &str| Err(TrainError::Search(text.to_owned()));
        board.fitted(0, 2, failure("third"));
        board.fitted(0, 1, failure("second"));
        board.fitted(
            0,
            0,
            Ok(Fitted {
                worth: 1.0,
                fitted: (),
            }),
        );
        assert!(board.take().is_none());
        let error = board.into_outcomes().next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the search made no proposal: second");
    }

    /// Trials of three folds whose time is over after so many folds were begun, one fit after the other.
    fn outcomes_until(begun: usize, trials: usize) -> Vec<Outcome<usize>> {
        let asked = AtomicUsize::new(0);
        let is_over = || asked.load(Ordering::Relaxed) >= begun;
        let rules = Rules {
            tasks: 3,
            ends: Some(Ends {
                best: &[],
                is_over: Some(&is_over),
            }),
            choose_rounds: &|_: &[&usize]| (None, Vec::new()),
        };
        let board: Board<'_, usize, usize> = Board::new(trials, rules);
        while let Some(work) = board.take() {
            match work {
                Work::Fit { trial, task } => {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let fitted = Fitted {
                        worth: 0.5,
                        fitted: task,
                    };
                    board.fitted(trial, task, Ok(fitted));
                }
                Work::Finish {
                    trial, task, fitted, ..
                } => board.finished(trial, task, Ok(fitted)),
            }
        }
        board.into_outcomes().map(Result::unwrap).collect()
    }

    #[test]
    fn no_fold_is_begun_after_the_time_and_what_was_begun_is_finished() {
        for begun in 0..=6 {
            let found = outcomes_until(begun, 2);
            let fits: usize = found.iter().map(|of| of.fits).sum();
            assert_eq!(fits, begun);
            let complete = found.iter().filter(|of| of.folds == [0, 1, 2] && !of.cut);
            assert_eq!(complete.count(), begun / 3, "one trial after the other");
            for cut in found.iter().filter(|of| of.cut) {
                assert_eq!((cut.folds.len(), cut.worth.len()), (0, cut.fits));
            }
        }
        assert!(
            outcomes_until(9, 2).iter().all(|of| !of.cut),
            "it was not reached"
        );
    }

    #[test]
    fn a_thread_that_waits_when_the_time_ends_finishes_what_was_begun() {
        let is_over = AtomicBool::new(false);
        let asks = || is_over.load(Ordering::Relaxed);
        let rules = Rules {
            tasks: 3,
            ends: Some(Ends {
                best: &[],
                is_over: Some(&asks),
            }),
            choose_rounds: &|_: &[&usize]| (None, Vec::new()),
        };
        let board: Board<'_, usize, usize> = Board::new(2, rules);
        for _ in 0..4 {
            assert!(matches!(board.take(), Some(Work::Fit { .. })));
        }
        is_over.store(true, Ordering::Relaxed);
        let work = || {
            while let Some(work) = board.take() {
                let Work::Finish {
                    trial, task, fitted, ..
                } = work
                else {
                    panic!("a fold was begun after the time");
                };
                board.finished(trial, task, Ok(fitted));
            }
        };
        thread::scope(|scope| {
            scope.spawn(work);
            for (trial, task) in [(1, 0), (0, 2), (0, 0), (0, 1)] {
                let fitted = Fitted {
                    worth: 0.5,
                    fitted: task,
                };
                board.fitted(trial, task, Ok(fitted));
            }
            work();
        });
        let found: Vec<_> = board.into_outcomes().map(Result::unwrap).collect();
        assert_eq!((found[0].folds.as_slice(), found[0].cut), (&[0, 1, 2][..], false));
        assert_eq!(
            (found[1].folds.len(), found[1].cut, found[1].worth.len()),
            (0, true, 1)
        );
    }
}
