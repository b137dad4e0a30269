//! Fitting and scoring the folds of several trials, side by side.
//!
//! A task is one fold of one trial. Its result depends on the data, the plan and the trial alone, so that it does not matter which thread
//! takes it or when. Trials of a search run their folds one after the other, and one that is clearly worse than the best
//! trial of earlier rounds is not continued.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use modelward_crds::MetricName;
use modelward_model::{Row, Scorer};

use crate::{
    data::dataset::{Dataset, Sample},
    engine::{SharedBins, TrainingRows, lowest},
    family::{FitError, FittedModel, Parameter, TrainableFamily},
    fit::{
        candidate::ScoredFold,
        error::TrainError,
        metrics::{metrics, position},
        plan::Plan,
        progress::Progress,
        splits::Splits,
    },
};

/// Rows that are scored at once: their values are held twice.
pub(crate) const BLOCK: usize = 1 << 12;

/// A trial that is worse in each of so many folds is not continued.
const PRUNED_AFTER: usize = 2;

/// Values whose bins are kept for all trials of a search, over its folds, at most. Each takes one to six bytes in each library.
const SHARED_VALUES: usize = 100_000_000;

/// The folds of a repeat that are evaluated, and the rows of each.
pub(crate) struct Folds<'a> {
    data: &'a Dataset,
    plan: &'a Plan,
    splits: &'a Splits,
    /// Of each fold of the first repeat, which a search evaluates.
    bins: Vec<SharedBins>,
}

/// What came of a trial.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// In the order of repeats, then folds. Fewer than all where it was not continued.
    pub(crate) folds: Vec<ScoredFold>,
    /// The rounds that the model of all rows has, where the family was watched.
    pub(crate) rounds: Option<u32>,
    /// By fold, for pruning: greater is better.
    pub(crate) worth: Vec<f64>,
    /// Whether it was not continued.
    pub(crate) pruned: bool,
    /// Why a fold was not fitted.
    pub(crate) failure: Option<TrainError>,
}

/// One fold of one trial.
struct Done {
    rows: Vec<usize>,
    fitted: FittedFold,
    worth: f64,
}

enum FittedFold {
    Scored(Vec<f64>),
    Watched {
        model: Box<dyn FittedModel>,
        curve: Vec<f64>,
    },
}

/// Tasks that are waiting, and what came of the others.
struct Board {
    waiting: VecDeque<(usize, usize)>,
    running: usize,
    /// By trial, then task.
    done: Vec<Vec<Option<Result<Done, TrainError>>>>,
}

// === impl Folds ===

impl<'a> Folds<'a> {
    pub(crate) fn new(data: &'a Dataset, plan: &'a Plan, splits: &'a Splits) -> Self {
        let bins = (0..plan.folds).map(|_| SharedBins::default());
        Self {
            data,
            plan,
            splits,
            bins: bins.collect(),
        }
    }

    /// Evaluates these trials on all folds of these repeats. With `best` they are trials of a search: watched where they have rounds, and not
    /// continued where they are worse than it.
    pub(crate) fn evaluate(
        &self,
        trials: &[Arc<dyn TrainableFamily>],
        repeats: std::ops::Range<usize>,
        search: Option<&[f64]>,
        threads: usize,
        progress: &Progress<'_>,
    ) -> Result<Vec<Evaluated>, TrainError> {
        let tasks: Vec<(usize, usize)> = repeats
            .flat_map(|repeat| (0..self.plan.folds).map(move |fold| (repeat, fold)))
            .collect();
        let board = Mutex::new(Board::new(trials.len(), tasks.len(), search.is_some()));
        let changed = Condvar::new();
        let work = || {
            while let Some((trial, task)) = take_task(&board, &changed) {
                let family = &*trials[trial];
                progress.starts(family, tasks[task]);
                // The other threads wait for this one: it has to come back whatever happens.
                let evaluate = || self.evaluate_fold(family, tasks[task], search.is_some());
                let done = panic::catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or(Err(TrainError::Lost));
                progress.done(1);
                let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
                board.finish(trial, task, done, search);
                changed.notify_all();
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.clamp(1, (trials.len() * tasks.len()).max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
        let done = board.done.into_iter().zip(trials);
        done.map(|(done, trial)| self.conclude(&**trial, &tasks, done, search.is_some()))
            .collect()
    }

    fn evaluate_fold(
        &self,
        family: &dyn TrainableFamily,
        (repeat, fold): (usize, usize),
        is_search: bool,
    ) -> Result<Done, TrainError> {
        let (tested, kept) = self.splits.split(repeat, fold);
        let weights = self.plan.weighting.of_rows(self.data, &kept);
        let values = self.data.len() * self.data.columns.len() * self.plan.folds;
        let is_shared = is_search && repeat == 0 && values <= SHARED_VALUES;
        let rows = TrainingRows {
            sample: Sample {
                weights: weights.as_deref(),
                ..Sample::of(self.data, &kept)
            },
            shared: self.bins.get(fold).filter(|_| is_shared),
        };
        let failed = |source| TrainError::Fold {
            family: family.served().name(),
            repeat: repeat + 1,
            fold: fold + 1,
            source,
        };
        let tested_weights = self.plan.weighting.of_rows(self.data, &tested);
        // As the training rows count, so do those that end it: otherwise it ends where probabilities are those of unweighted rows.
        let watched_rows = Sample {
            weights: tested_weights.as_deref(),
            ..Sample::of(self.data, &tested)
        };
        if is_search && let Some(watched) = family.fit_watched(rows, watched_rows).map_err(failed)? {
            let rounds = lowest(&watched.curve) as u32 + 1;
            let model = watched.model.truncated(rounds).map_err(failed)?;
            let scores = score_rows(model.scorer(), self.data, &tested);
            return Ok(Done {
                worth: self.worth(&tested, &scores),
                rows: tested,
                fitted: FittedFold::Watched {
                    model: watched.model,
                    curve: watched.curve,
                },
            });
        }
        let fitted = family.fit(rows).map_err(failed)?;
        check_parity(family, &*fitted, self.data, &tested)?;
        let scores = score_rows(fitted.scorer(), self.data, &tested);
        Ok(Done {
            worth: self.worth(&tested, &scores),
            rows: tested,
            fitted: FittedFold::Scored(scores),
        })
    }

    /// Fits the model of a fold with so many rounds, where the watched fit ended before.
    fn refit(
        &self,
        family: &dyn TrainableFamily,
        task: (usize, usize),
        rounds: u32,
    ) -> Result<Box<dyn FittedModel>, FitError> {
        let (_, kept) = self.splits.split(task.0, task.1);
        let rounds = ("n_estimators", Parameter::Integer(i64::from(rounds)));
        self.fit_rows(&*family.with(&[rounds]), &kept)
    }

    /// The rows that a fold tests, and its model, fitted once more.
    pub(crate) fn fit_again(
        &self,
        family: &dyn TrainableFamily,
        task: (usize, usize),
    ) -> Result<(Vec<usize>, Box<dyn FittedModel>), TrainError> {
        let (tested, kept) = self.splits.split(task.0, task.1);
        let model = self.fit_rows(family, &kept).map_err(|source| TrainError::Fold {
            family: family.served().name(),
            repeat: task.0 + 1,
            fold: task.1 + 1,
            source,
        })?;
        Ok((tested, model))
    }

    fn fit_rows(
        &self,
        family: &dyn TrainableFamily,
        kept: &[usize],
    ) -> Result<Box<dyn FittedModel>, FitError> {
        let weights = self.plan.weighting.of_rows(self.data, kept);
        let sample = Sample {
            weights: weights.as_deref(),
            ..Sample::of(self.data, kept)
        };
        family.fit(sample.into())
    }

    /// How good the scores of a fold are, for pruning; greater is better. Thresholds are not learnt yet, so metrics of classes are replaced by the
    /// area under the curve.
    fn worth(&self, tested: &[usize], scores: &[f64]) -> f64 {
        let by = match self.plan.select_by {
            MetricName::LogLoss => MetricName::LogLoss,
            MetricName::Brier => MetricName::Brier,
            MetricName::PrAuc => MetricName::PrAuc,
            _ => MetricName::RocAuc,
        };
        let labels: Vec<bool> = tested.iter().map(|row| self.data.labels[*row]).collect();
        let value = metrics(&labels, scores, 0.5)[position(by)];
        if by.higher_is_better() { value } else { -value }
    }

    /// Puts together the folds of a trial. The rounds of each fold are those at which the mean curve of the others is lowest.
    fn conclude(
        &self,
        family: &dyn TrainableFamily,
        tasks: &[(usize, usize)],
        done: Vec<Option<Result<Done, TrainError>>>,
        is_search: bool,
    ) -> Result<Evaluated, TrainError> {
        let mut found: Vec<Done> = Vec::new();
        for outcome in done {
            match outcome {
                Some(Ok(done)) => found.push(done),
                // One trial of many that cannot be fitted is a bad trial; what is exported has to be right all the same.
                Some(Err(error)) if is_search && !matches!(error, TrainError::Parity { .. }) => {
                    return Ok(Evaluated::failed(error));
                }
                Some(Err(error)) => return Err(error),
                None if is_search => break,
                None => return Err(TrainError::Lost),
            }
        }
        let (rounds, of_folds) = choose_rounds(&found);
        let pruned = found.len() < tasks.len();
        let worth = found.iter().map(|done| done.worth).collect();
        let mut folds = Vec::new();
        for (at, (done, (repeat, fold))) in found.into_iter().zip(tasks).enumerate() {
            let scores = match done.fitted {
                FittedFold::Scored(scores) => scores,
                FittedFold::Watched { model, curve } => {
                    let failed = |source| TrainError::Fold {
                        family: family.served().name(),
                        repeat: repeat + 1,
                        fold: fold + 1,
                        source,
                    };
                    let rounds = of_folds[at];
                    let model = if rounds as usize <= curve.len() {
                        model.truncated(rounds)
                    } else {
                        self.refit(family, (*repeat, *fold), rounds)
                    };
                    let model = model.map_err(failed)?;
                    check_parity(family, &*model, self.data, &done.rows)?;
                    score_rows(model.scorer(), self.data, &done.rows)
                }
            };
            folds.push(ScoredFold {
                repeat: *repeat,
                fold: *fold,
                rows: done.rows,
                scores,
            });
        }
        Ok(Evaluated {
            folds,
            rounds,
            worth,
            pruned,
            failure: None,
        })
    }
}

/// The rounds of the model of all rows, where the family was watched, and those of each fold's.
fn choose_rounds(found: &[Done]) -> (Option<u32>, Vec<u32>) {
    let curves: Vec<&[f64]> = found
        .iter()
        .filter_map(|done| match &done.fitted {
            FittedFold::Watched { curve, .. } => Some(curve.as_slice()),
            FittedFold::Scored(_) => None,
        })
        .collect();
    let of_all = (!curves.is_empty()).then(|| best_rounds(&curves, None));
    let of_folds = (0..curves.len()).map(|at| best_rounds(&curves, Some(at)));
    (of_all, of_folds.collect())
}

/// The number of rounds at which the mean of the curves is lowest; one curve may be left out.
fn best_rounds(curves: &[&[f64]], without: Option<usize>) -> u32 {
    let mut others: Vec<&[f64]> = curves.to_vec();
    if let (Some(at), true) = (without, curves.len() > 1) {
        others.remove(at);
    }
    // A curve that ended says nothing of later rounds.
    let length = others.iter().map(|curve| curve.len()).min().unwrap_or(0);
    let mean: Vec<f64> = (0..length)
        .map(|at| others.iter().map(|curve| curve[at]).sum::<f64>())
        .collect();
    lowest(&mean) as u32 + 1
}

pub(crate) fn check_parity(
    family: &dyn TrainableFamily,
    fitted: &dyn FittedModel,
    data: &Dataset,
    rows: &[usize],
) -> Result<(), TrainError> {
    let parity = fitted.check_parity(Sample::of(data, rows));
    parity.map_err(|source: FitError| TrainError::Parity {
        family: family.served().name(),
        source,
    })
}

/// The score of each of these rows.
pub(crate) fn score_rows(scorer: &dyn Scorer, data: &Dataset, rows: &[usize]) -> Vec<f64> {
    let mut scores = Vec::with_capacity(rows.len());
    for rows in rows.chunks(BLOCK) {
        let read: Vec<Row> = rows.iter().map(|row| data.row(*row)).collect();
        scorer.score_rows(&read, &mut scores);
    }
    scores
}

// === impl Evaluated ===

impl Evaluated {
    fn failed(error: TrainError) -> Self {
        Self {
            folds: Vec::new(),
            rounds: None,
            worth: Vec::new(),
            pruned: true,
            failure: Some(error),
        }
    }
}

// === impl Board ===

impl Board {
    fn new(trials: usize, tasks: usize, one_by_one: bool) -> Self {
        let first = if one_by_one { tasks.min(1) } else { tasks };
        Self {
            // Folds of all trials first: they share what the fold has.
            waiting: (0..first)
                .flat_map(|task| (0..trials).map(move |trial| (trial, task)))
                .collect(),
            running: 0,
            done: (0..trials).map(|_| (0..tasks).map(|_| None).collect()).collect(),
        }
    }

    /// Records what came of a task. In a search the next fold of the trial follows, if it is worth it.
    fn finish(&mut self, trial: usize, task: usize, done: Result<Done, TrainError>, search: Option<&[f64]>) {
        self.running -= 1;
        let failed = done.is_err();
        self.done[trial][task] = Some(done);
        let Some(best) = search else { return };
        let next = task + 1;
        if !failed && next < self.done[trial].len() && !self.is_hopeless(trial, next, best) {
            self.waiting.push_back((trial, next));
        }
    }

    /// Whether a trial is worse than the best one in each of its folds so far.
    fn is_hopeless(&self, trial: usize, folds: usize, best: &[f64]) -> bool {
        let worth = |task: usize| match &self.done[trial][task] {
            Some(Ok(done)) => done.worth,
            _ => f64::NEG_INFINITY,
        };
        folds >= PRUNED_AFTER && best.len() >= folds && (0..folds).all(|task| worth(task) < best[task])
    }
}

/// The next task; waits where one that is running may bring another.
fn take_task(board: &Mutex<Board>, changed: &Condvar) -> Option<(usize, usize)> {
    let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(task) = board.waiting.pop_front() {
            board.running += 1;
            return Some(task);
        }
        if board.running == 0 {
            return None;
        }
        board = changed.wait(board).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_of_a_fold_are_those_of_the_others() {
        let curves: [&[f64]; 3] = [&[3.0, 1.0, 2.0, 9.0], &[3.0, 2.0, 1.0], &[3.0, 2.0, 1.0, 5.0]];
        assert_eq!(best_rounds(&curves, None), 3);
        assert_eq!(best_rounds(&curves, Some(0)), 3);
        assert_eq!(best_rounds(&curves[..2], Some(1)), 2);
        assert_eq!(best_rounds(&curves[..1], Some(0)), 2, "alone it has no others");
    }
}
