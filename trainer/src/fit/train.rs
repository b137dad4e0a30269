//! Evaluating every family over repeated folds, selecting one, fitting it on all rows.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use modelward_crds::{Gate, MetricName, TrainingSource};
use modelward_model::{Row, Scorer};
use modelward_wire::{Decimal, GateBound, GateResult, MetricValue};

use crate::{
    data::dataset::{Dataset, Sample},
    family::{self, FitError, FittedModel, Parameters, Settings, TrainableFamily},
    fit::{
        folds,
        metrics::{Estimate, Metrics, estimate, metrics, position},
        weights::Weighting,
    },
};

/// Probability from which the class is 1. Metrics and bundle have the same one.
pub const THRESHOLD: f64 = 0.5;

/// Rows that are scored at once: their values are held twice.
const BLOCK: usize = 1 << 12;

/// Rows, at most and evenly spread, on which the model of all rows is compared with what was exported of it.
const COMPARED: usize = 1 << 16;

/// Places behind the point of every number that is reported. Gates compare what is reported, so that a value that
/// reads 0.750000 is never refused by a gate of 0.75.
pub(crate) const PLACES: usize = 6;

/// What to train, taken from the spec.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Families to try, in order of preference where they are equally good.
    pub families: Vec<Arc<dyn TrainableFamily>>,
    /// Folds of each repeat.
    pub folds: usize,
    /// How often the folds are drawn.
    pub repeats: usize,
    /// Seed of the folds.
    pub seed: u64,
    /// The metric that selects.
    pub select_by: MetricName,
    /// How much rows count in a fit.
    pub weighting: Weighting,
}

/// Where a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The family being evaluated, or fitted on all rows.
    pub family: &'static str,
    /// Fits of folds that are done, over all families.
    pub done: usize,
    /// Fits of folds in all.
    pub total: usize,
}

/// What a training made.
#[derive(Debug)]
pub struct Trained {
    /// Every family, evaluated, in the plan's order.
    pub candidates: Vec<Candidate>,
    /// Which of them was selected.
    pub selected: usize,
    /// Its model of all rows.
    pub fitted: Box<dyn FittedModel>,
}

/// One family and how it did on rows that it was not fitted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The family.
    pub family: &'static str,
    /// What it was fitted with.
    pub parameters: Parameters,
    /// Each fold of each repeat, in order.
    pub folds: Vec<FoldOutcome>,
    /// The means over them, in the order of [`MetricName::ALL`].
    pub estimates: Vec<Estimate>,
    /// The same, rounded to what is reported and gated.
    pub reported: Vec<MetricValue>,
}

/// One fold, tested.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldOutcome {
    /// The repeat, from 0.
    pub repeat: usize,
    /// The fold in it, from 0.
    pub fold: usize,
    /// Indices of the rows that were tested, ascending.
    pub rows: Vec<usize>,
    /// Their scores.
    pub scores: Vec<f64>,
    /// The metrics of these scores.
    pub metrics: Metrics,
}

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A fit failed.
    #[error("{family} failed in repeat {repeat}, fold {fold}")]
    Fold {
        /// The family.
        family: &'static str,
        /// The repeat, from 1.
        repeat: usize,
        /// The fold, from 1.
        fold: usize,
        /// Why.
        source: FitError,
    },
    /// The fit on all rows failed.
    #[error("{family} failed on all rows")]
    Whole {
        /// The family.
        family: &'static str,
        /// Why.
        source: FitError,
    },
    /// What was exported scores otherwise than the library that fitted it: a fault of the program.
    #[error("{family}: the exported model does not score as the fitted one")]
    Parity {
        /// The family.
        family: &'static str,
        /// Which row, and by how much.
        source: FitError,
    },
    /// The plan names no family.
    #[error("no family to train")]
    NoFamily,
    /// A metric is not a number of ordinary size.
    #[error("{metric} is {value}, which cannot be reported")]
    Metric {
        /// Its name.
        metric: &'static str,
        /// Its value.
        value: f64,
    },
    /// A worker ended without an answer.
    #[error("a fold was not evaluated")]
    Lost,
}

/// Trains as planned, with this many threads. The result does not depend on their number.
pub fn train(
    data: &Dataset,
    plan: &Plan,
    threads: usize,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Trained, TrainError> {
    let assignment = folds::assign(
        &data.labels,
        &data.first_of_its_values(),
        plan.folds,
        plan.repeats,
        plan.seed,
    );
    let each = plan.folds * plan.repeats;
    let total = each * plan.families.len();
    let mut candidates = Vec::new();
    for (index, family) in plan.families.iter().enumerate() {
        let report = |done| {
            let done = index * each + done;
            progress(Step {
                family: family.served().name(),
                done,
                total,
            });
        };
        candidates.push(evaluate(data, plan, &**family, &assignment, threads, &report)?);
    }
    let selected = select(&candidates, plan.select_by).ok_or(TrainError::NoFamily)?;
    let family = candidates[selected].family;
    progress(Step {
        family,
        done: total,
        total,
    });
    let all: Vec<usize> = (0..data.len()).collect();
    let fitted = fit_rows(data, plan, &*plan.families[selected], &all)
        .map_err(|source| TrainError::Whole { family, source })?;
    let some: Vec<usize> = all
        .iter()
        .copied()
        .step_by(all.len().div_ceil(COMPARED).max(1))
        .collect();
    check_parity(&*plan.families[selected], &*fitted, data, &some)?;
    Ok(Trained {
        candidates,
        selected,
        fitted,
    })
}

/// Evaluates one family on every fold.
fn evaluate(
    data: &Dataset,
    plan: &Plan,
    family: &dyn TrainableFamily,
    assignment: &[Vec<usize>],
    threads: usize,
    report: &(dyn Fn(usize) + Sync),
) -> Result<Candidate, TrainError> {
    let tasks: Vec<(usize, usize)> = (0..plan.repeats)
        .flat_map(|repeat| (0..plan.folds).map(move |fold| (repeat, fold)))
        .collect();
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Result<FoldOutcome, TrainError>>>> =
        Mutex::new(tasks.iter().map(|_| None).collect());
    let work = || {
        while let Some((index, (repeat, fold))) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, *tasks.get(at)?)))
        {
            let outcome = evaluate_fold(data, plan, family, &assignment[repeat], (repeat, fold));
            // Each task has its own place: the order of ends does not matter.
            outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
            report(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let folds = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or(Err(TrainError::Lost)))
        .collect::<Result<Vec<_>, _>>()?;
    let test_to_train = 1.0 / (plan.folds as f64 - 1.0).max(1.0);
    let estimates = (0..MetricName::ALL.len())
        .map(|metric| {
            let values: Vec<f64> = folds.iter().map(|fold| fold.metrics[metric]).collect();
            estimate(&values, test_to_train)
        })
        .collect();
    Candidate::new(family.served().name(), family.parameters(), folds, estimates)
}

fn evaluate_fold(
    data: &Dataset,
    plan: &Plan,
    family: &dyn TrainableFamily,
    assignment: &[usize],
    (repeat, fold): (usize, usize),
) -> Result<FoldOutcome, TrainError> {
    let (tested, kept): (Vec<usize>, Vec<usize>) = (0..data.len()).partition(|row| assignment[*row] == fold);
    let fitted = fit_rows(data, plan, family, &kept).map_err(|source| TrainError::Fold {
        family: family.served().name(),
        repeat: repeat + 1,
        fold: fold + 1,
        source,
    })?;
    check_parity(family, &*fitted, data, &tested)?;
    let scores = score_rows(fitted.scorer(), data, &tested);
    let labels: Vec<bool> = tested.iter().map(|row| data.labels[*row]).collect();
    let metrics = metrics(&labels, &scores, THRESHOLD);
    Ok(FoldOutcome {
        repeat,
        fold,
        rows: tested,
        scores,
        metrics,
    })
}

/// Fits a family on these rows, each with its weight.
fn fit_rows(
    data: &Dataset,
    plan: &Plan,
    family: &dyn TrainableFamily,
    rows: &[usize],
) -> Result<Box<dyn FittedModel>, FitError> {
    let weights = plan.weighting.of_rows(data, rows);
    family.fit(Sample {
        data,
        rows,
        weights: weights.as_deref(),
    })
}

fn check_parity(
    family: &dyn TrainableFamily,
    fitted: &dyn FittedModel,
    data: &Dataset,
    rows: &[usize],
) -> Result<(), TrainError> {
    let sample = Sample {
        data,
        rows,
        weights: None,
    };
    fitted.check_parity(sample).map_err(|source| TrainError::Parity {
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

/// The best candidate; of equally good ones the first.
fn select(candidates: &[Candidate], by: MetricName) -> Option<usize> {
    let value = |candidate: &Candidate| candidate.estimates[position(by)].mean;
    let mut best: Option<usize> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let better = best.is_none_or(|best| {
            let (new, old) = (value(candidate), value(&candidates[best]));
            if by.higher_is_better() {
                new > old
            } else {
                new < old
            }
        });
        if better {
            best = Some(index);
        }
    }
    best
}

// === impl Plan ===

impl Plan {
    /// What a checked spec asks for.
    pub fn new(training: &TrainingSource) -> Self {
        let count = |number: i32| usize::try_from(number).unwrap_or(1).max(1);
        let settings = Settings::new(training);
        Self {
            families: training
                .families
                .iter()
                .map(|of| family::of(*of, &settings))
                .collect(),
            folds: count(training.validation.folds).max(2),
            repeats: count(training.validation.repeats),
            seed: u64::try_from(training.validation.seed).unwrap_or(0),
            select_by: training.select_by,
            weighting: Weighting::new(training.weights.as_ref()),
        }
    }
}

// === impl Candidate ===

impl Candidate {
    fn new(
        family: &'static str,
        parameters: Parameters,
        folds: Vec<FoldOutcome>,
        estimates: Vec<Estimate>,
    ) -> Result<Self, TrainError> {
        let reported = MetricName::ALL.iter().zip(&estimates).map(|(name, estimate)| {
            let rounded = |value| {
                Decimal::rounded(value, PLACES).ok_or(TrainError::Metric {
                    metric: name.as_str(),
                    value,
                })
            };
            Ok(MetricValue {
                name: name.as_str().to_owned(),
                mean: rounded(estimate.mean)?,
                standard_error: rounded(estimate.standard_error)?,
            })
        });
        let reported = reported.collect::<Result<_, TrainError>>()?;
        Ok(Self {
            family,
            parameters,
            folds,
            estimates,
            reported,
        })
    }

    /// The outcome of every gate.
    pub fn gates(&self, gates: &[Gate]) -> Vec<GateResult> {
        gates.iter().map(|gate| self.gate(gate)).collect()
    }

    fn gate(&self, gate: &Gate) -> GateResult {
        let value = self.reported[position(gate.metric)].mean.clone();
        // The spec was checked: exactly one of the two is set.
        let bound = GateBound::of_gate(gate.at_least.as_ref(), gate.at_most.as_ref())
            .unwrap_or_else(|| GateBound::Other(String::new()));
        GateResult {
            metric: gate.metric.as_str().to_owned(),
            passed: bound.holds(&value).unwrap_or(false),
            bound,
            value,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use modelward_crds::Family;
    use modelward_model::{Feature, FeatureSchema, Value};

    use super::*;

    /// Rows in which class 1 is likelier for greater `x` and for category `b`, with missing values.
    pub(crate) fn data() -> Dataset {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::categorical("c", &["a", "b"]),
        ])
        .unwrap();
        let rows: Vec<Row> = (0_u32..60)
            .map(|i| {
                let x = if i % 11 == 0 {
                    Value::Missing
                } else {
                    Value::Number((i * 37 % 60) as f32)
                };
                let c = if i % 13 == 0 {
                    Value::Missing
                } else {
                    Value::Category(i % 2)
                };
                Row::new(vec![x, c])
            })
            .collect();
        let labels = (0_u32..60)
            .map(|i| (i * 37 % 60) + 20 * (i % 2) + (i * 7 % 30) > 50)
            .collect();
        Dataset::from_rows(schema, &rows, labels)
    }

    pub(crate) fn plan() -> Plan {
        Plan {
            families: vec![family::of(Family::LogisticRegression, &Settings::default())],
            folds: 4,
            repeats: 3,
            seed: 7,
            select_by: MetricName::F1,
            weighting: Weighting::Equal,
        }
    }

    #[test]
    fn every_row_is_scored_once_a_repeat_by_a_model_that_has_not_seen_it() {
        let trained = train(&data(), &plan(), 1, &|_| ()).unwrap();
        let candidate = &trained.candidates[0];
        assert_eq!(candidate.folds.len(), 12);
        for repeat in 0..3 {
            let mut rows: Vec<usize> = candidate
                .folds
                .iter()
                .filter(|f| f.repeat == repeat)
                .flat_map(|f| f.rows.clone())
                .collect();
            rows.sort_unstable();
            assert_eq!(rows, (0..60).collect::<Vec<_>>());
        }
        assert!(candidate.estimates[position(MetricName::RocAuc)].mean > 0.75);
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let bits = |threads| {
            let trained = train(&data(), &plan(), threads, &|_| ()).unwrap();
            let scores: Vec<u64> = trained.candidates[0]
                .folds
                .iter()
                .flat_map(|fold| fold.scores.iter().map(|score| score.to_bits()))
                .collect();
            (scores, trained.fitted.files().unwrap())
        };
        assert_eq!(bits(1), bits(5));
    }

    #[test]
    fn progress_reaches_its_end() {
        let last = Mutex::new(None);
        train(&data(), &plan(), 2, &|step| *last.lock().unwrap() = Some(step)).unwrap();
        let last = last.into_inner().unwrap().unwrap();
        assert_eq!((last.done, last.total), (12, 12));
    }

    #[test]
    fn gates_compare_the_number_that_is_reported() {
        let mut candidate = train(&data(), &plan(), 1, &|_| ()).unwrap().candidates.remove(0);
        candidate.estimates[position(MetricName::F1)].mean = 0.749_999_9;
        candidate.estimates[position(MetricName::LogLoss)].mean = 0.5;
        let Candidate {
            family,
            parameters,
            folds,
            estimates,
            ..
        } = candidate;
        let candidate = Candidate::new(family, parameters, folds, estimates).unwrap();
        let gates: Vec<Gate> = serde_json::from_str(
            r#"[{"metric": "F1", "atLeast": "0.75"}, {"metric": "LogLoss", "atMost": "0.49"}]"#,
        )
        .unwrap();
        let found = candidate.gates(&gates);
        assert!(found[0].passed, "{found:?}");
        assert_eq!(found[0].value.as_str(), "0.750000");
        assert!(!found[1].passed);
        assert_eq!(found[1].bound.to_string(), "atMost 0.49");
    }

    #[test]
    fn the_first_of_equally_good_candidates_is_selected() {
        let one = train(&data(), &plan(), 1, &|_| ()).unwrap().candidates.remove(0);
        let mut other = one.clone();
        assert_eq!(select(&[one.clone(), other.clone()], MetricName::F1), Some(0));
        other.estimates[position(MetricName::LogLoss)].mean -= 0.1;
        assert_eq!(
            select(&[one.clone(), other.clone()], MetricName::LogLoss),
            Some(1)
        );
        assert_eq!(select(&[], MetricName::F1), None);
    }
}
