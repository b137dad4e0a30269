//! Fitting and scoring the folds of several trials, in parallel.
//!
//! Work is the fit of one fold of one trial, or the export and the scores of it. Its result depends only on the data, the plan and the
//! trial, so it does not matter which thread takes it or when. A trial of a search that is clearly worse than the best trial of
//! earlier rounds is not continued ([`super::board`]). A model that grows in rounds is exported once, when its rounds are chosen: these
//! depend on the other folds, and rounds that are missing are fitted then.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
};

use modelward_crds::MetricName;
use modelward_model::{Row, Scorer};

use crate::{
    data::dataset::{Dataset, Sample},
    engine::{SharedBins, TrainingRows, has_stopped_falling, lowest},
    family::{FitError, FittedModel, GrowingModel, PATIENCE, TrainableFamily, Watched},
    fit::{
        board::{Board, Ends, Fitted, Rounds, Rules, Work},
        candidate::ScoredFold,
        error::TrainError,
        metrics::{metrics, position},
        plan::Plan,
        progress::Progress,
        size::Size,
        splits::Splits,
    },
};

/// Rows that are scored at once: their values are held twice.
pub(crate) const BLOCK: usize = 1 << 12;

/// The folds of a repeat that are evaluated, and the rows of each.
pub(crate) struct Folds<'a> {
    data: &'a Dataset,
    plan: &'a Plan,
    splits: &'a Splits,
    /// For each fold of the first repeat, which a search evaluates.
    bins: Vec<SharedBins>,
    /// Whether the trials of a search share them.
    is_shared: bool,
}

/// The result of a trial.
#[derive(Debug)]
pub(crate) struct Evaluated {
    /// In the order of repeats, then folds. Fewer than all if it was not continued, none if the time ended it.
    pub(crate) folds: Vec<ScoredFold>,
    /// The rounds that the model of all rows has, if the family was watched.
    pub(crate) rounds: Option<u32>,
    /// By fold that was evaluated, for pruning: greater is better.
    pub(crate) worth: Vec<f64>,
    /// Whether it was not continued.
    pub(crate) pruned: bool,
    /// Whether that is because the time was over.
    pub(crate) cut: bool,
    /// Folds that were fitted, including those that were not needed. It depends on the threads; nothing that is kept may.
    pub(crate) fits: usize,
    /// Why a fold was not fitted.
    pub(crate) failure: Option<TrainError>,
}

/// What the scores of a fold are made of.
enum FittedFold {
    /// Its scores are known.
    Scored(ScoredFold),
    /// Its model can grow, and its rounds are chosen once all folds are fitted.
    Growing {
        model: Box<dyn GrowingModel>,
        /// The log loss of the rows after each round; empty if their weights are all 0.
        curve: Vec<f64>,
        rows: Vec<usize>,
    },
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
            is_shared: Size::new(data.len(), &data.schema, plan).is_shared(),
        }
    }

    /// Evaluates these trials on all folds of these repeats. With `search` they are trials of a search: watched if they have rounds, and
    /// ended by it.
    pub(crate) fn evaluate(
        &self,
        trials: &[Arc<dyn TrainableFamily>],
        repeats: std::ops::Range<usize>,
        search: Option<Ends<'_>>,
        threads: usize,
        progress: &Progress<'_>,
    ) -> Result<Vec<Evaluated>, TrainError> {
        let tasks: Vec<(usize, usize)> = repeats
            .flat_map(|repeat| (0..self.plan.folds).map(move |fold| (repeat, fold)))
            .collect();
        let board = Board::new(
            trials.len(),
            Rules {
                tasks: tasks.len(),
                ends: search,
                // A fitted fold that shares nothing holds its rows until the rounds of its trial are chosen.
                in_turn: search.is_some() && !self.is_shared,
                choose_rounds: &choose_rounds,
            },
        );
        let work = || {
            while let Some(work) = board.take() {
                match work {
                    Work::Fit { trial, task } => {
                        let family = &*trials[trial];
                        let number = search.and_then(|search| Some(search.first? + trial));
                        progress.starts(family, number, tasks[task], self.data.len());
                        let fitted = guarded(|| self.fit_fold(family, tasks[task], search.is_some()));
                        progress.done(1);
                        board.fitted(trial, task, fitted);
                    }
                    Work::Finish {
                        trial,
                        task,
                        fitted,
                        rounds,
                    } => {
                        let finish = || self.finish_fold(&*trials[trial], tasks[task], fitted, rounds);
                        board.finished(trial, task, guarded(finish));
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.clamp(1, (trials.len() * tasks.len()).max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let outcomes = board.into_outcomes().map(|outcome| match outcome {
            Ok(outcome) => Ok(Evaluated {
                pruned: outcome.folds.len() < tasks.len(),
                folds: outcome.folds,
                rounds: outcome.rounds,
                worth: outcome.worth,
                fits: outcome.fits,
                cut: outcome.cut,
                failure: None,
            }),
            // In a search a trial that cannot be fitted is a bad trial; an exported model has to be right in any case.
            Err(error) if search.is_some() && !matches!(error, TrainError::Parity { .. }) => {
                Ok(Evaluated::failed(error))
            }
            Err(error) => Err(error),
        });
        outcomes.collect()
    }

    fn fit_fold(
        &self,
        family: &dyn TrainableFamily,
        (repeat, fold): (usize, usize),
        is_search: bool,
    ) -> Result<Fitted<FittedFold>, TrainError> {
        let (tested, kept) = self.splits.split(repeat, fold);
        let weights = self.plan.weighting.of_rows(self.data, &kept);
        let is_shared = is_search && repeat == 0 && self.is_shared;
        let rows = TrainingRows {
            sample: Sample {
                weights: weights.as_deref(),
                ..Sample::of(self.data, &kept)
            },
            shared: self.bins.get(fold).filter(|_| is_shared),
        };
        let failed = |source| failure_of(family, (repeat, fold), source);
        let tested_weights = self.plan.weighting.of_rows(self.data, &tested);
        // The rows that stop a fit are weighted like the training rows: otherwise it would stop at the probabilities of unweighted rows.
        let watched_rows = Sample {
            weights: tested_weights.as_deref(),
            ..Sample::of(self.data, &tested)
        };
        if is_search
            && let Some(Watched { mut model, curve }) =
                family.fit_watched(rows, watched_rows).map_err(failed)?
        {
            let rounds = lowest(&curve) as u32 + 1;
            let scores = model.score(rounds, watched_rows).map_err(failed)?;
            // The mean over rows of no weight is NaN in one library and 0 in the other.
            let has_weight = watched_rows
                .weights
                .is_none_or(|weights| weights.iter().any(|weight| *weight > 0.0));
            return Ok(Fitted {
                worth: self.worth(&tested, &scores),
                fitted: FittedFold::Growing {
                    model,
                    curve: if has_weight { curve } else { Vec::new() },
                    rows: tested,
                },
            });
        }
        let fitted = family.fit(rows).map_err(failed)?;
        let scored = self.score_fold(family, &*fitted, (repeat, fold), tested)?;
        Ok(Fitted {
            worth: self.worth(&scored.rows, &scored.scores),
            fitted: FittedFold::Scored(scored),
        })
    }

    /// The scores of a fold whose rounds are chosen.
    fn finish_fold(
        &self,
        family: &dyn TrainableFamily,
        task: (usize, usize),
        fitted: FittedFold,
        rounds: Option<u32>,
    ) -> Result<ScoredFold, TrainError> {
        match fitted {
            FittedFold::Scored(scored) => Ok(scored),
            FittedFold::Growing { model, curve, rows } => {
                let rounds = rounds.unwrap_or(curve.len().max(1) as u32);
                let model = model.finish(rounds);
                let model = model.map_err(|source| failure_of(family, task, source))?;
                self.score_fold(family, &*model, task, rows)
            }
        }
    }

    /// The scores of the rows that a fold tests, by the exported model, which was compared with the fitted one on them.
    fn score_fold(
        &self,
        family: &dyn TrainableFamily,
        model: &dyn FittedModel,
        (repeat, fold): (usize, usize),
        rows: Vec<usize>,
    ) -> Result<ScoredFold, TrainError> {
        check_parity(family, model, self.data, &rows)?;
        Ok(ScoredFold {
            repeat,
            fold,
            scores: score_rows(model.scorer(), self.data, &rows),
            rows,
        })
    }

    /// The rows that a fold tests, and its model, fitted once more.
    pub(crate) fn fit_again(
        &self,
        family: &dyn TrainableFamily,
        task: (usize, usize),
    ) -> Result<(Vec<usize>, Box<dyn FittedModel>), TrainError> {
        let (tested, kept) = self.splits.split(task.0, task.1);
        let weights = self.plan.weighting.of_rows(self.data, &kept);
        let sample = Sample {
            weights: weights.as_deref(),
            ..Sample::of(self.data, &kept)
        };
        let model = family.fit(sample.into());
        Ok((tested, model.map_err(|source| failure_of(family, task, source))?))
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
}

/// Other threads wait for what a thread has taken, so a panic is returned as a failure.
fn guarded<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(TrainError::Lost))
}

fn failure_of(family: &dyn TrainableFamily, task: (usize, usize), source: FitError) -> TrainError {
    TrainError::Fold {
        family: family.served().name(),
        repeat: task.0 + 1,
        fold: task.1 + 1,
        source,
    }
}

/// The rounds of the model of all rows, if the family has rounds, and those of each fold's model: where the mean curve of the others is
/// lowest.
fn choose_rounds(found: &[&FittedFold]) -> Rounds {
    let curves = found.iter().filter_map(|fitted| match fitted {
        FittedFold::Growing { curve, .. } => Some(curve.as_slice()),
        FittedFold::Scored(_) => None,
    });
    let curves: Vec<&[f64]> = curves.collect();
    let of_all = (!curves.is_empty()).then(|| best_rounds(&curves, None));
    let of_folds = (0..curves.len()).map(|at| best_rounds(&curves, Some(at)));
    (of_all, of_folds.collect())
}

/// The number of rounds at which the mean of the curves is lowest; one curve may be left out.
///
/// A curve that ended keeps its last value. If its library found no further split, that is exact. If the loss stopped falling, it is the
/// last value that was measured. The best value would forget the rise since then: the mean would fall where a curve ends, and more rounds
/// would look better without evidence. A loss that rose may rise further unseen, so a round counts only if at least half of the curves are
/// known there. Neither the shortest curve nor a single long one sets the number.
fn best_rounds(curves: &[&[f64]], without: Option<usize>) -> u32 {
    let mut counted = find_measured(curves, without);
    if counted.is_empty() {
        // There is no other one: its own is the only evidence.
        counted = find_measured(curves, None);
    }
    let longest = counted.iter().map(|curve| curve.len()).max().unwrap_or(0);
    let known: Vec<usize> = counted.iter().map(|curve| count_known(curve)).collect();
    let mean: Vec<f64> = (0..longest)
        .take_while(|at| 2 * known.iter().filter(|rounds| *rounds > at).count() >= known.len())
        .map(|at| {
            let losses = counted.iter().filter_map(|curve| loss_after(curve, at));
            losses.sum::<f64>()
        })
        .collect();
    lowest(&mean) as u32 + 1
}

/// The curves that say which round is best, but one. A fold whose rows have no weight has none.
fn find_measured<'a>(curves: &[&'a [f64]], without: Option<usize>) -> Vec<&'a [f64]> {
    let others = curves.iter().enumerate().filter(|(at, _)| Some(*at) != without);
    let measured = others.filter(|(_, curve)| !curve.is_empty() && !curve.iter().any(|loss| loss.is_nan()));
    measured.map(|(_, curve)| *curve).collect()
}

/// The number of rounds whose loss is known: all if no later round changes the model. Without a split LightGBM ends, and XGBoost repeats
/// the same loss.
fn count_known(curve: &[f64]) -> usize {
    let mut since_lowest = curve.iter().skip(lowest(curve));
    if !has_stopped_falling(curve, PATIENCE) || since_lowest.all(|loss| Some(loss) == curve.last()) {
        return usize::MAX;
    }
    curve.len()
}

/// The loss after the round at this index: the last one if the curve ended before.
fn loss_after(curve: &[f64], at: usize) -> Option<f64> {
    curve.get(at).or(curve.last()).copied()
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
            cut: false,
            fits: 0,
            failure: Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelward_crds::Family;

    use super::*;
    use crate::{
        data::row_columns::Weights,
        family::{self, Parameter, Settings},
        fit::train::tests::{data, plan},
    };

    /// A loss that falls up to this index and rises after it, by this much per round.
    fn valley(lowest: usize, length: usize, slope: f64) -> Vec<f64> {
        (0..length)
            .map(|at| 1.0 + slope * (at.abs_diff(lowest) as f64 - lowest as f64))
            .collect()
    }

    #[test]
    fn the_rounds_of_a_fold_are_those_of_the_others() {
        let curves: [&[f64]; 3] = [&[3.0, 1.0, 2.0, 9.0], &[3.0, 2.0, 1.0], &[3.0, 2.0, 1.0, 5.0]];
        assert_eq!(best_rounds(&curves, None), 3);
        assert_eq!(best_rounds(&curves, Some(0)), 3);
        assert_eq!(best_rounds(&curves[..2], Some(1)), 2);
        assert_eq!(best_rounds(&curves[..1], Some(0)), 2, "alone it has no others");
    }

    #[test]
    fn folds_that_find_no_split_do_not_bound_the_rounds_of_the_others() {
        let (constant, long) = (vec![0.7], valley(40, 71, 0.01));
        let few: [&[f64]; 3] = [&constant, &long, &long];
        assert_eq!(best_rounds(&few, None), 41);
        assert_eq!(best_rounds(&few, Some(0)), 41);
        assert_eq!(best_rounds(&few, Some(1)), 41);
        let most: [&[f64]; 4] = [&constant, &constant, &constant, &long];
        assert_eq!(best_rounds(&most, None), 41, "their loss is known in every round");
        let flat = vec![0.7; 31];
        let most: [&[f64]; 4] = [&flat, &flat, &flat, &long];
        assert_eq!(best_rounds(&most, None), 41, "XGBoost goes on without a split");
        assert_eq!(best_rounds(&[&constant, &constant], None), 1);
    }

    #[test]
    fn a_fold_that_overfits_first_does_not_bound_the_rounds_of_the_others() {
        let (short, long) = (valley(5, 36, 0.01), valley(60, 91, 0.01));
        assert_eq!(best_rounds(&[&short, &long, &long, &long], None), 61);
        assert_eq!(best_rounds(&[&short, &long], None), 61);
    }

    #[test]
    fn a_single_fold_that_goes_on_falling_does_not_choose_the_rounds_of_all() {
        let (short, falling) = (valley(5, 36, 0.001), valley(1000, 1000, 0.0009));
        assert_eq!(best_rounds(&[&short, &short, &short, &short, &falling], None), 6);
    }

    #[test]
    fn a_rise_before_the_end_of_a_curve_is_not_forgotten() {
        // One rises by 0.3 until it ends, and the other falls by less than that in all its rounds.
        let (short, slow) = (valley(5, 36, 0.01), valley(99, 100, 0.003));
        assert_eq!(best_rounds(&[&short, &slow], None), 6);
    }

    #[test]
    fn a_curve_of_rows_without_weight_is_left_out() {
        let (long, not_numbers) = (valley(40, 71, 0.01), vec![f64::NAN; 31]);
        let useless: [&[f64]; 2] = [&[], &not_numbers];
        for nothing in useless {
            assert_eq!(best_rounds(&[nothing, &long], None), 41);
            assert_eq!(best_rounds(&[nothing, &long], Some(0)), 41);
            assert_eq!(best_rounds(&[nothing, &long], Some(1)), 41, "its own is left");
            assert_eq!(best_rounds(&[nothing], None), 1);
        }
    }

    #[test]
    fn a_fold_whose_rows_have_no_weight_chooses_no_rounds() {
        let (mut data, plan) = (data(), plan());
        let splits = Splits::new(&data, &plan).unwrap();
        let (without_weight, _) = splits.split(0, 0);
        let weight = |row: usize| f32::from(u8::from(!without_weight.contains(&row)));
        data.row_columns.weights = Some(Weights {
            column: "w".to_owned(),
            of_row: (0..data.len()).map(weight).collect(),
        });
        let folds = Folds::new(&data, &plan, &splits);
        let trials = [Family::XGBoost, Family::LightGBM].map(|of| {
            let family = family::of(of, &Settings::default());
            family.with(&[("learning_rate", Parameter::Number(0.05))])
        });
        let ends = Ends {
            best: &[],
            first: None,
            is_over: None,
        };
        let progress = Progress::new(&plan, &|_| ());
        let found = folds.evaluate(&trials, 0..1, Some(ends), 2, &progress).unwrap();
        for evaluated in found {
            assert!(evaluated.failure.is_none(), "{evaluated:?}");
            assert!(evaluated.rounds > Some(1), "{evaluated:?}");
        }
    }
}
