//! Evaluating families over repeated folds, selecting one, fitting it on all rows.

use std::{sync::Arc, time::Instant};

use modelward_model::{Row, Scorer};

use crate::{
    data::dataset::Dataset,
    family::{FittedModel, TrainableFamily},
    fit::{
        candidate::{Candidate, ScoredTrial, apply},
        error::TrainError,
        evaluate::Folds,
        fit_rows::fit_rows,
        held_out::{HeldOutOutcome, measure},
        importance::{self, Importance},
        kept::RoundStore,
        labels::Labels,
        optimism::{Corrected, correct},
        plan::Plan,
        progress::{Progress, Step},
        search::{Found, KEPT_SCORES, Searched, Trial, search},
        selected::{Selected, select_candidate},
        splits::Splits,
    },
};

/// What a training made.
#[derive(Debug)]
pub struct Trained {
    /// Every family, evaluated, the simplest first; of a search the best trial of each. After them the ensemble, if there is one.
    pub candidates: Vec<Candidate>,
    /// Which of them was selected.
    pub selected: usize,
    /// Why, in words.
    pub reason: String,
    /// Whether a metric selected it: not if an ensemble is always used.
    pub is_by_metric: bool,
    /// Its model of all rows, before calibration.
    pub fitted: Box<dyn FittedModel>,
    /// The selecting metric, corrected for the selection among candidates or trials.
    pub corrected: Option<Corrected>,
    /// The importance of each feature to the selected candidate; absent if no fold tests rows of both classes.
    pub importance: Option<Importance>,
    /// How the selected candidate performed on the rows that were held out.
    pub held_out: Option<HeldOutOutcome>,
    /// Every trial of a search.
    pub trials: Vec<Trial>,
    /// Whether the same data, spec and program give the same result: not if a time limit ended a search.
    pub reproducible: bool,
}

/// Trains as planned, with this many threads. The result does not depend on their number.
pub fn train(
    data: &Dataset,
    plan: &Plan,
    threads: usize,
    report: &(dyn Fn(Step) + Sync),
) -> Result<Trained, TrainError> {
    train_behind(data, plan, threads, report, None)
}

/// Like [`train`], after the rounds of the search that this store has. The result does not depend on them either.
pub fn train_behind(
    data: &Dataset,
    plan: &Plan,
    threads: usize,
    report: &(dyn Fn(Step) + Sync),
    store: Option<&dyn RoundStore>,
) -> Result<Trained, TrainError> {
    let splits = Splits::new(data, plan)?;
    let folds = Folds::new(data, plan, &splits);
    let progress = Progress::new(plan, report);
    let begun = Instant::now();
    let found = match plan.search {
        Some(wanted) => {
            let on = Searched {
                data,
                plan,
                splits: &splits,
                folds: &folds,
                threads,
                progress: &progress,
                kept_scores: KEPT_SCORES,
                now: &|| begun.elapsed(),
            };
            search(&on, wanted, store)?
        }
        None => Found::without_search(plan),
    };
    let families = found.best.len();
    let begun = found.best.into_iter().chain(found.second.into_iter().flatten());
    let mut trials = evaluate_repeats(&folds, begun.collect(), plan, threads, &progress)?;
    let second = trials.split_off(families);
    let labels = Labels::new(&data.labels, &splits);
    let mut candidates = Vec::new();
    for trial in &mut trials {
        let (name, parameters) = (trial.family.served().name(), trial.family.parameters());
        candidates.push(Candidate::new(name, parameters, labels, &trial.scored, plan)?);
        if plan.ensemble.is_none() {
            // With many rows they are large, and the candidate has its own.
            trial.scored = Vec::new();
        }
    }
    let Selected {
        candidates,
        selection,
        family,
        is_by_metric,
    } = select_candidate(trials, candidates, second, labels, plan)?;
    let compared: Vec<&Candidate> = if found.complete.is_empty() {
        candidates.iter().collect()
    } else {
        // What a search did not try is compared with its trials.
        let ensemble = candidates
            .iter()
            .filter(|candidate| !candidate.members.is_empty());
        found.complete.iter().chain(ensemble).collect()
    };
    // If an ensemble is always used, no metric selects it.
    let groups = plan.groups(&data.row_columns);
    let corrected = is_by_metric
        .then(|| correct(&compared, &data.labels, groups, plan.select_by, plan.seed))
        .flatten();

    let family = &*family;
    progress.finish("measuring the importance of features");
    let importance = importance::measure(data, plan, &folds, family, threads)?;
    progress.finish(&format!("fitting {} on all rows", family.served().name()));
    let held_out = measure(data, plan, &splits, family, &candidates[selection.selected])?;
    let all: Vec<usize> = (0..data.len()).collect();
    let fitted = fit_rows(data, plan, family, all)?;
    Ok(Trained {
        candidates,
        selected: selection.selected,
        reason: selection.reason,
        is_by_metric,
        fitted,
        corrected,
        importance,
        held_out,
        trials: found.trials,
        reproducible: !found.cut_short,
    })
}

/// Trials with their scores of all repeats. A search has evaluated the first one.
fn evaluate_repeats(
    folds: &Folds<'_>,
    trials: Vec<ScoredTrial>,
    plan: &Plan,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<Vec<ScoredTrial>, TrainError> {
    let families: Vec<Arc<dyn TrainableFamily>> =
        trials.iter().map(|trial| Arc::clone(&trial.family)).collect();
    let begun = usize::from(plan.search.is_some());
    let evaluated = folds.evaluate(&families, begun..plan.repeats, None, threads, progress)?;
    let with_scores = trials
        .into_iter()
        .zip(evaluated)
        .map(|(trial, evaluated)| ScoredTrial {
            family: trial.family,
            scored: trial.scored.into_iter().chain(evaluated.folds).collect(),
        });
    Ok(with_scores.collect())
}

// === impl Trained ===

impl Trained {
    /// The candidate that was selected.
    pub fn candidate(&self) -> &Candidate {
        &self.candidates[self.selected]
    }

    /// What a server scores rows with: the model, calibrated.
    pub fn scorer(&self) -> impl Scorer + '_ {
        Calibrated(self)
    }
}

/// The scores of a trained model, calibrated.
#[derive(Debug)]
struct Calibrated<'a>(&'a Trained);

impl Scorer for Calibrated<'_> {
    fn score(&self, row: &Row) -> f64 {
        apply(
            self.0.candidate().calibration.as_ref(),
            self.0.fitted.scorer().score(row),
        )
    }
}

// === impl Found ===

impl Found {
    /// Each family once, nothing evaluated yet.
    fn without_search(plan: &Plan) -> Self {
        Self {
            trials: Vec::new(),
            best: plan
                .families
                .iter()
                .map(|family| ScoredTrial {
                    family: Arc::clone(family),
                    scored: Vec::new(),
                })
                .collect(),
            second: Vec::new(),
            complete: Vec::new(),
            cut_short: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use modelward_crds::{CalibrationMethod, Family, MetricName};
    use modelward_model::{Feature, FeatureSchema, Value};

    use super::*;
    use crate::{
        family::{self, Settings},
        fit::{
            candidate::ScoredFold,
            metrics::position,
            plan::{SearchPlan, SplitBy},
            threshold::ThresholdRule,
            weights::Weighting,
        },
    };

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
            split_by: SplitBy::Rows,
            held_out: None,
            select_by: MetricName::F1,
            weighting: Weighting::Equal,
            calibration: CalibrationMethod::None,
            threshold: ThresholdRule::default(),
            search: None,
            ensemble: None,
        }
    }

    /// The folds of one repeat of so many rows, dealt in turn, with these scores.
    pub(crate) fn scored_folds(
        rows: usize,
        folds: usize,
        mut score: impl FnMut(usize) -> f64,
    ) -> Vec<ScoredFold> {
        let of_fold = |fold| {
            let rows: Vec<usize> = (fold..rows).step_by(folds).collect();
            ScoredFold {
                repeat: 0,
                fold,
                scores: rows.iter().map(|row| score(*row)).collect(),
                rows,
            }
        };
        (0..folds).map(of_fold).collect()
    }

    fn plan_of_all(trials: usize) -> Plan {
        Plan {
            families: Family::ALL.map(|of| family::of(of, &Settings::default())).into(),
            repeats: 2,
            select_by: MetricName::LogLoss,
            search: Some(SearchPlan {
                trials,
                seed: 3,
                time_limit: None,
            }),
            ..plan()
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
        let bits = |plan: &Plan, threads| {
            let trained = train(&data(), plan, threads, &|_| ()).unwrap();
            let folds = trained.candidates.iter().flat_map(|candidate| &candidate.folds);
            let scores: Vec<u64> = folds
                .flat_map(|fold| fold.scores.iter().map(|score| score.to_bits()))
                .collect();
            (scores, trained.trials.clone(), trained.fitted.files().unwrap())
        };
        assert_eq!(bits(&plan(), 1), bits(&plan(), 5));
        assert_eq!(bits(&plan_of_all(14), 1), bits(&plan_of_all(14), 3));
    }

    #[test]
    fn a_search_tries_every_family_records_every_trial_and_is_not_worse_than_the_defaults() {
        let found = train(&data(), &plan_of_all(20), 2, &|_| ()).unwrap();
        assert_eq!(found.trials.len(), 20);
        assert!(found.reproducible);
        let families: Vec<&str> = found.trials[..4].iter().map(|trial| trial.family).collect();
        assert_eq!(families, Family::NAMES);
        assert_eq!(found.candidates.len(), 4);
        for (at, candidate) in found.candidates.iter().enumerate() {
            let of_family = found
                .trials
                .iter()
                .filter(|trial| trial.family == candidate.family);
            let best = of_family
                .filter_map(|trial| trial.value)
                .fold(f64::INFINITY, f64::min);
            assert!(best <= found.trials[at].value.unwrap(), "{candidate:?}");
        }
        let pruned = found.trials.iter().filter(|trial| trial.value.is_none()).count();
        assert!(pruned > 0 && pruned < 16, "{pruned} of 20");
        assert!(found.corrected.unwrap().candidates > 4);
    }

    #[test]
    fn a_time_limit_ends_a_search_after_a_trial_of_each_family_and_says_so() {
        let mut plan = plan_of_all(50);
        plan.search = plan.search.map(|search| SearchPlan {
            time_limit: Some(std::time::Duration::ZERO),
            ..search
        });
        let found = train(&data(), &plan, 2, &|_| ()).unwrap();
        assert_eq!(found.trials.len(), 4);
        assert!(!found.reproducible);
    }

    #[test]
    fn calibrated_scores_are_what_serves() {
        let plan = Plan {
            calibration: CalibrationMethod::Platt,
            ..plan()
        };
        let trained = train(&data(), &plan, 1, &|_| ()).unwrap();
        let calibration = trained.candidate().calibration.clone().unwrap();
        let row = data().row(3);
        let expected = calibration.apply(trained.fitted.scorer().score(&row));
        assert_eq!(trained.scorer().score(&row), expected);
    }

    #[test]
    fn progress_reaches_its_end() {
        for plan in [plan(), plan_of_all(9)] {
            let last = Mutex::new(None);
            train(&data(), &plan, 2, &|step| *last.lock().unwrap() = Some(step)).unwrap();
            let last = last.into_inner().unwrap().unwrap();
            assert_eq!(last.done, last.total);
        }
    }
}
