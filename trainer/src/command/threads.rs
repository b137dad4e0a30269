//! How many folds are fitted in parallel.
//!
//! A container without a CPU limit sees all processors of its node, and each fit needs its own memory.

use std::{fs, num::NonZero, thread};

use modelward_model::FeatureSchema;

use crate::{
    data::dataset::Dataset,
    family::{Complexity, MAX_HELD, START_ROWS},
    fit::{plan::Plan, search::KEPT_SCORES, size::Size},
};

/// Where the memory limit of a control group is, of version 2 and of version 1.
const LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// A limit above this means none: version 1 states a number of pages that no machine has.
const NO_LIMIT: u64 = 1 << 50;

/// What the program takes without data and fits.
const PROGRAM: u64 = 128 << 20;

/// What a fit takes at least: the model and its export.
const FIT: u64 = 48 << 20;

/// Bytes that a fit takes for each value of its rows: bins, encoded columns and histograms of the largest family.
const FIT_PER_VALUE: u64 = 6;

/// Bytes that the data take for each value: the columns, and the rows as they are scored.
const DATA_PER_VALUE: u64 = 8;

/// Bytes of a derived value: transforms make the columns of each fold's rows.
const DERIVED_VALUE: u64 = 4;

/// Bytes of a value that a solver holds encoded.
const ENCODED_VALUE: u64 = 8;

/// Bytes that the bins of a value take: one or two in LightGBM; in XGBoost two, or five if values are missing.
const BINS_PER_VALUE: u64 = 3;

/// Bytes of a score that is kept, with its row.
const SCORE: u64 = 24;

/// What a training holds in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Demand {
    /// Bytes that are held for any number of threads: the program, the data, and what a search shares and keeps.
    held: u64,
    /// Bytes for each fold that is fitted in parallel.
    of_fit: u64,
}

/// The number of threads for this training: as many as there are processors, and no more than fit into the memory.
pub(super) fn default_threads(data: &Dataset, plan: &Plan) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let demand = estimate_demand(data.len(), &data.schema, plan);
    let threads = memory_limit().map_or(processors, |limit| threads_within(limit, processors, demand));
    if threads < processors {
        tracing::info!(
            threads,
            processors,
            "the memory limit reduces the number of folds that are fitted in parallel"
        );
    }
    threads
}

/// How many processors can fit in parallel within this many bytes; at least one.
fn threads_within(limit: u64, processors: usize, demand: Demand) -> usize {
    let fits = limit.saturating_sub(demand.held) / demand.of_fit.max(1);
    usize::try_from(fits).map_or(processors, |fits| fits.clamp(1, processors))
}

/// What a training as planned on this many rows holds.
fn estimate_demand(rows: usize, schema: &FeatureSchema, plan: &Plan) -> Demand {
    let size = Size::new(rows, schema, plan);
    let values = size.values() as u64;
    let derived = count_bytes(rows, size.widths.derived, DERIVED_VALUE);
    let of_fit = FIT
        .saturating_add(values.saturating_mul(FIT_PER_VALUE))
        .saturating_add(derived)
        .saturating_add(count_encoded_bytes(&size));
    let demand = Demand {
        held: PROGRAM.saturating_add(count_bytes(rows, size.features, DATA_PER_VALUE)),
        of_fit,
    };
    let Some(search) = plan.search else {
        return demand;
    };
    let folds = plan.folds as u64;
    let bins = values.saturating_mul(BINS_PER_VALUE);
    let scores = rows.saturating_mul(search.trials).min(KEPT_SCORES) as u64 * SCORE;
    let families_with = |least: Complexity| {
        let families = plan.families.iter();
        families.filter(|family| family.complexity() >= least).count() as u64
    };
    if size.is_shared() {
        let of_fold = derived.saturating_add(bins.saturating_mul(families_with(Complexity::Trees)));
        let shared = of_fold.saturating_mul(folds);
        return Demand {
            held: demand.held.saturating_add(scores).saturating_add(shared),
            ..demand
        };
    }
    // Until the rounds of a trial are chosen, each of its fitted folds holds its rows. No more trials are begun than there are threads.
    let waiting = if families_with(Complexity::BoostedTrees) > 0 {
        derived.saturating_add(bins).saturating_mul(folds)
    } else {
        0
    };
    Demand {
        held: demand.held.saturating_add(scores),
        of_fit: demand.of_fit.saturating_add(waiting),
    }
}

/// The bytes of the columns that one-hot encoding adds: those that a solver holds, and those of the rows that it starts from.
fn count_encoded_bytes(size: &Size) -> u64 {
    let added = size.widths.encoded.saturating_sub(size.widths.columns);
    let held = size.rows.saturating_mul(added).min(MAX_HELD) as u64;
    (held * ENCODED_VALUE).saturating_add(count_bytes(size.rows.min(START_ROWS), added, ENCODED_VALUE))
}

/// The bytes of so many rows and columns.
fn count_bytes(rows: usize, columns: usize, of_value: u64) -> u64 {
    (rows as u64)
        .saturating_mul(columns as u64)
        .saturating_mul(of_value)
}

/// The memory limit of this process in bytes, if its control group has one.
fn memory_limit() -> Option<u64> {
    LIMITS
        .iter()
        .find_map(|path| parse_limit(&fs::read_to_string(path).ok()?))
}

fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelward_crds::{Family, TransformSpec};
    use modelward_model::Feature;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        family::{self, Settings, TrainableFamily},
        fit::{plan::SearchPlan, train::tests::plan},
        transform::{TransformedFamily, Transforms},
    };

    const GIB: u64 = 1 << 30;

    const SEARCH: SearchPlan = SearchPlan {
        trials: 30,
        seed: 1,
        time_limit: None,
    };

    /// Features without categories, and then categorical ones, of so many categories each.
    fn schema(numbers: usize, words: usize, categories: usize) -> FeatureSchema {
        let known: Vec<String> = (0..categories).map(|category| format!("k{category}")).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let numbers = (0..numbers).map(|at| Feature::numeric(&format!("x{at}")));
        let words = (0..words).map(|at| Feature::categorical(&format!("c{at}"), &known));
        FeatureSchema::new(numbers.chain(words).collect()).unwrap()
    }

    fn plan_of(families: &[Family], search: Option<SearchPlan>) -> Plan {
        let families = families.iter().map(|of| family::of(*of, &Settings::default()));
        Plan {
            families: families.collect(),
            folds: 5,
            search,
            ..plan()
        }
    }

    /// The same after a one-hot encoding of the first four categorical features.
    fn with_one_hot(plan: Plan) -> Plan {
        let of_column = |at| json!({"name": format!("is{at}"), "type": "OneHot", "column": format!("c{at}")});
        let specs: Json = (0..4).map(of_column).collect();
        let specs: Vec<TransformSpec> = serde_json::from_value(specs).unwrap();
        let transforms = Arc::new(Transforms::new(&specs, 7));
        let families = plan.families.into_iter().map(|family| {
            Arc::new(TransformedFamily::new(family, Arc::clone(&transforms))) as Arc<dyn TrainableFamily>
        });
        Plan {
            families: families.collect(),
            ..plan
        }
    }

    /// The threads for a fit of LightGBM on numbers.
    fn threads_of_numbers(limit: u64, processors: usize, rows: usize, columns: usize) -> usize {
        let plan = plan_of(&[Family::LightGBM], None);
        let demand = estimate_demand(rows, &schema(columns, 0, 0), &plan);
        threads_within(limit, processors, demand)
    }

    #[test]
    fn small_data_use_the_processors_that_the_memory_has_room_for() {
        assert_eq!(threads_of_numbers(2 * GIB, 4, 303, 13), 4);
        assert_eq!(
            threads_of_numbers(2 * GIB, 64, 303, 13),
            39,
            "64 fits do not fit into 2 GiB"
        );
        assert_eq!(threads_of_numbers(GIB / 4, 64, 303, 13), 2);
    }

    #[test]
    fn large_data_are_fitted_fewer_folds_at_once_rather_than_not_at_all() {
        assert_eq!(threads_of_numbers(8 * GIB, 16, 10_000_000, 30), 3);
        assert_eq!(threads_of_numbers(2 * GIB, 16, 10_000_000, 30), 1);
        assert_eq!(threads_of_numbers(0, 16, u32::MAX as usize, 1), 1);
    }

    #[test]
    fn categories_count_one_by_one_for_the_family_that_encodes_them() {
        let (rows, schema) = (16_000, schema(0, 10, 256));
        let threads = |of| {
            let demand = estimate_demand(rows, &schema, &plan_of(&[of], None));
            threads_within(GIB, 8, demand)
        };
        assert_eq!(
            threads(Family::LogisticRegression),
            1,
            "a fit holds 250 MiB of encoded columns, and more than half of them again at its start"
        );
        assert_eq!(threads(Family::LightGBM), 8);
    }

    #[test]
    fn numbers_alone_count_the_same_for_all_families() {
        let (rows, schema) = (1_000_000, schema(30, 0, 0));
        let demand = |of| estimate_demand(rows, &schema, &plan_of(&[of], None));
        assert_eq!(
            demand(Family::LogisticRegression),
            Demand {
                held: PROGRAM + 30_000_000 * DATA_PER_VALUE,
                of_fit: FIT + 30_000_000 * FIT_PER_VALUE,
            }
        );
        assert_eq!(demand(Family::LogisticRegression), demand(Family::LightGBM));
    }

    #[test]
    fn the_columns_that_transforms_make_are_counted() {
        let (rows, schema) = (200_000, schema(16, 4, 250));
        let threads = |plan: &Plan| threads_within(7 * GIB, 8, estimate_demand(rows, &schema, plan));
        let raw = plan_of(&[Family::LightGBM], None);
        assert_eq!(threads(&raw), 8);
        // 1,016 columns: 0.8 GB of derived values, and 1.2 GB for the fit on them.
        assert_eq!(threads(&with_one_hot(raw)), 3);
        // In a search the five folds of a trial wait for each other.
        let searched = with_one_hot(plan_of(&[Family::LightGBM], Some(SEARCH)));
        assert_eq!(threads(&searched), 1);
    }

    #[test]
    fn what_a_search_shares_and_keeps_is_subtracted() {
        let (rows, schema) = (1_000_000, schema(20, 0, 0));
        let families = [Family::LogisticRegression, Family::XGBoost, Family::LightGBM];
        let alone = estimate_demand(rows, &schema, &plan_of(&families, None));
        let searched = estimate_demand(rows, &schema, &plan_of(&families, Some(SEARCH)));
        let (bins, scores) = (5 * 2 * 20_000_000 * BINS_PER_VALUE, 16_000_000 * SCORE);
        assert_eq!(searched.held, alone.held + bins + scores);
        assert_eq!(searched.of_fit, alone.of_fit);
        assert_eq!(threads_within(2 * GIB, 16, alone), 10);
        assert_eq!(threads_within(2 * GIB, 16, searched), 5);
    }

    #[test]
    fn folds_without_rounds_do_not_wait_for_each_other() {
        let (rows, schema) = (10_000_000, schema(30, 0, 0));
        let of_fit = |of, search| estimate_demand(rows, &schema, &plan_of(&[of], search)).of_fit;
        let alone = of_fit(Family::RandomForest, None);
        assert_eq!(of_fit(Family::RandomForest, Some(SEARCH)), alone);
        let waiting = 5 * 300_000_000 * BINS_PER_VALUE;
        assert_eq!(of_fit(Family::XGBoost, Some(SEARCH)), alone + waiting);
    }

    #[test]
    fn a_limit_is_a_number_of_bytes_and_none_where_it_is_the_largest_one() {
        assert_eq!(parse_limit("2147483648\n"), Some(2 * GIB));
        for none in ["max\n", "9223372036854771712\n", "", "-1"] {
            assert_eq!(parse_limit(none), None, "{none:?}");
        }
    }
}
