//! How much the selected model needs each feature: permutation importance (Breiman 2001) on rows that its models were not fitted on.
//!
//! The models of the folds of the first repeat are fitted again. In the rows that a fold tests, the values of one feature are shuffled, and
//! the area under the curve falls by as much as the model relied on it. Features with the same information replace each other, and each of
//! them alone looks unimportant.

use std::sync::atomic::{AtomicUsize, Ordering};

use modelward_model::{Row, Scorer, Value};
use serde::Serialize;

use crate::{
    data::dataset::Dataset,
    family::TrainableFamily,
    fit::{
        error::TrainError,
        evaluate::{BLOCK, Folds},
        folds::{SplitMix64, mix},
        plan::Plan,
    },
    ranking::Ranking,
};

/// Shuffles of each feature in each fold, for few features and for many.
const SHUFFLES: (usize, usize) = (5, 1);

/// More features than this are many.
const MANY: usize = 100;

/// The most rows that are scored over all folds, features and shuffles; but never fewer rows than [`LEAST_ROWS`] of a fold.
const SCORED: usize = 1_000_000;

const LEAST_ROWS: usize = 500;

/// With more values, only the first fold is fitted again.
const REFITTED: usize = 2_000_000;

/// The random stream of these shuffles; no repeat of the folds, no comparison and no correction has the same.
const STREAM: u64 = 1_004;

/// How much the area under the curve falls when the values of a feature are shuffled.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Importance {
    /// Rows that were scored with shuffled values, over all folds.
    pub rows: usize,
    /// Folds of the first repeat whose models were fitted again.
    pub folds: usize,
    /// Shuffles of each feature in each fold.
    pub shuffles: usize,
    /// One per feature, in the order of the schema.
    pub features: Vec<FeatureImportance>,
}

/// The importance of one feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureImportance {
    /// Its name.
    pub name: String,
    /// The mean fall of the area under the curve over folds and shuffles. Below 0 only by chance.
    pub mean: f64,
    /// The standard deviation of the same.
    pub standard_deviation: f64,
}

/// The result of one fold.
struct OfFold {
    rows: usize,
    /// By feature, then shuffle.
    falls: Vec<Vec<f64>>,
}

/// The importance of each feature to this family; `None` if no fold tests rows of both classes. The number of threads changes nothing.
pub(crate) fn measure(
    data: &Dataset,
    plan: &Plan,
    folds: &Folds<'_>,
    family: &dyn TrainableFamily,
    threads: usize,
) -> Result<Option<Importance>, TrainError> {
    let features = data.columns.len();
    let refitted = if data.len() * features > REFITTED {
        1
    } else {
        plan.folds
    };
    let shuffles = if features > MANY { SHUFFLES.1 } else { SHUFFLES.0 };
    let most_rows = (SCORED / (refitted * features * shuffles).max(1)).max(LEAST_ROWS);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= refitted {
                return done;
            }
            let random = SplitMix64::new(mix(plan.seed) ^ mix(STREAM) ^ mix(fold as u64));
            done.push((
                fold,
                measure_fold(data, folds, family, fold, shuffles, most_rows, random),
            ));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.clamp(1, refitted))
            .map(|_| scope.spawn(work))
            .collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().map_err(|_| TrainError::Lost)?);
        }
        Ok::<_, TrainError>(done)
    })?;
    done.sort_by_key(|(fold, _)| *fold);
    let mut of_folds = Vec::new();
    for (_, of_fold) in done {
        of_folds.extend(of_fold?);
    }
    Ok(summarize(data, &of_folds, shuffles))
}

/// The importance of each feature to this model, on parts of rows that it was not fitted on; `None` if no part has rows of both classes.
pub(crate) fn measure_scorer(
    data: &Dataset,
    plan: &Plan,
    parts: &[Vec<usize>],
    scorer: &dyn Scorer,
) -> Option<Importance> {
    let features = data.columns.len();
    let shuffles = if features > MANY { SHUFFLES.1 } else { SHUFFLES.0 };
    let most_rows = (SCORED / (parts.len() * features * shuffles).max(1)).max(LEAST_ROWS);
    let of_parts: Vec<OfFold> = parts
        .iter()
        .enumerate()
        .filter_map(|(part, rows)| {
            let random = SplitMix64::new(mix(plan.seed) ^ mix(STREAM) ^ mix(part as u64));
            measure_falls(data, rows, scorer, shuffles, most_rows, random)
        })
        .collect();
    summarize(data, &of_parts, shuffles)
}

/// The importance of each feature from the falls of all folds.
fn summarize(data: &Dataset, of_folds: &[OfFold], shuffles: usize) -> Option<Importance> {
    if of_folds.is_empty() {
        return None;
    }
    let of_feature = |(at, feature): (usize, &modelward_model::Feature)| {
        let falls: Vec<f64> = of_folds
            .iter()
            .flat_map(|of| of.falls[at].iter().copied())
            .collect();
        let mean = falls.iter().sum::<f64>() / falls.len() as f64;
        let squares: f64 = falls.iter().map(|fall| (fall - mean) * (fall - mean)).sum();
        FeatureImportance {
            name: feature.name.clone(),
            mean,
            standard_deviation: (squares / (falls.len() as f64 - 1.0).max(1.0)).sqrt(),
        }
    };
    Some(Importance {
        rows: of_folds.iter().map(|of| of.rows).sum(),
        folds: of_folds.len(),
        shuffles,
        features: data.schema.features.iter().enumerate().map(of_feature).collect(),
    })
}

/// Fits the model of a fold of the first repeat again, and shuffles. `None` if the fold tests rows of one class or none.
fn measure_fold(
    data: &Dataset,
    folds: &Folds<'_>,
    family: &dyn TrainableFamily,
    fold: usize,
    shuffles: usize,
    most_rows: usize,
    random: SplitMix64,
) -> Result<Option<OfFold>, TrainError> {
    let (tested, model) = folds.fit_again(family, (0, fold))?;
    Ok(measure_falls(
        data,
        &tested,
        model.scorer(),
        shuffles,
        most_rows,
        random,
    ))
}

/// Shuffles the values of each feature in these rows. `None` if they are of one class or none.
fn measure_falls(
    data: &Dataset,
    tested: &[usize],
    scorer: &dyn Scorer,
    shuffles: usize,
    most_rows: usize,
    mut random: SplitMix64,
) -> Option<OfFold> {
    let apart = tested.len().div_ceil(most_rows).max(1);
    let tested: Vec<usize> = tested.iter().copied().step_by(apart).collect();
    let labels: Vec<bool> = tested.iter().map(|row| data.labels[*row]).collect();
    if !labels.contains(&true) || !labels.contains(&false) {
        return None;
    }
    let area = |shuffled: Option<(usize, &[usize])>| {
        let scores = score(data, &tested, scorer, shuffled);
        Ranking::new(&scores).roc_auc(&labels, |_| 1)
    };
    let whole = area(None);
    // All features get the same shuffles, so that they do not differ by chance.
    let orders: Vec<Vec<usize>> = (0..shuffles)
        .map(|_| shuffle(tested.len(), &mut random))
        .collect();
    let falls_of = |feature| {
        orders
            .iter()
            .map(|order| whole - area(Some((feature, order))))
            .collect()
    };
    Some(OfFold {
        rows: tested.len(),
        falls: (0..data.columns.len()).map(falls_of).collect(),
    })
}

/// The scores of rows, one feature having the values of the rows in another order.
fn score(
    data: &Dataset,
    rows: &[usize],
    scorer: &dyn Scorer,
    shuffled: Option<(usize, &[usize])>,
) -> Vec<f64> {
    let mut scores = Vec::with_capacity(rows.len());
    let mut block = Vec::new();
    for start in (0..rows.len()).step_by(BLOCK) {
        let end = (start + BLOCK).min(rows.len());
        block.clear();
        block.extend((start..end).map(|at| {
            let mut values: Vec<Value> = data.values(rows[at]).collect();
            if let Some((feature, order)) = shuffled {
                values[feature] = data.columns[feature].value(rows[order[at]]);
            }
            Row::new(values)
        }));
        scorer.score_rows(&block, &mut scores);
    }
    scores
}

fn shuffle(count: usize, random: &mut SplitMix64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema};

    use super::*;
    use crate::fit::{splits::Splits, train::tests::plan};

    /// Rows whose class follows `x`, with a feature that has nothing to do with it.
    fn data() -> Dataset {
        let schema = FeatureSchema::new(vec![Feature::numeric("noise"), Feature::numeric("x")]).unwrap();
        let value = |number: u32| Value::Number(number as f32);
        let rows = (0_u32..200).map(|at| Row::new(vec![value(at * 29 % 71), value(at * 37 % 200)]));
        let labels = (0_u32..200).map(|at| at * 37 % 200 + at * 13 % 50 > 125);
        Dataset::from_rows(schema, &rows.collect::<Vec<_>>(), labels.collect())
    }

    fn measured(threads: usize) -> Importance {
        let (data, plan) = (data(), plan());
        let splits = Splits::new(&data, &plan).unwrap();
        let folds = Folds::new(&data, &plan, &splits);
        measure(&data, &plan, &folds, &*plan.families[0], threads)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_feature_that_decides_the_class_is_needed_and_one_of_noise_is_not() {
        let found = measured(1);
        assert_eq!((found.rows, found.folds, found.shuffles), (200, 4, 5));
        assert!(found.features[1].mean > 0.3, "{found:?}");
        assert!(found.features[0].mean.abs() < 0.02, "{found:?}");
        assert_eq!(found.features[1].name, "x");
    }

    #[test]
    fn importance_does_not_depend_on_threads() {
        assert_eq!(measured(1), measured(3));
    }
}
