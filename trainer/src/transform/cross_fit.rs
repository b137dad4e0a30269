//! The parts of the training rows of one fit, each of which is encoded by the others.
//!
//! They are drawn as folds are: each has its share of each class, and what no fold separates (groups of `validation.groupBy`, otherwise rows
//! with the same values) is in one part, so that a row is not encoded by its own twin.

use std::collections::HashMap;

use crate::{
    data::dataset::Dataset,
    fit::folds::{assign, mix},
};

/// Parts of the training rows, as many as scikit-learn's `TargetEncoder` has.
pub(super) const PARTS: usize = 5;

/// The random stream of these draws; no repeat of the folds, no comparison and no correction has the same.
const STREAM: u64 = 1_006;

/// The part of each row.
pub(super) fn assign_parts(rows: &Dataset, seed: u64) -> Vec<usize> {
    let first = match &rows.row_columns.groups {
        Some(groups) => first_of_its_group(&groups.of_row),
        None => rows.kept_together(),
    };
    let drawn = assign(&rows.labels, &first, PARTS, 1, mix(seed) ^ mix(STREAM));
    drawn.into_iter().next().unwrap_or_default()
}

/// For each row, the first one of its group.
fn first_of_its_group(groups: &[u32]) -> Vec<usize> {
    let mut first = HashMap::new();
    let rows = groups
        .iter()
        .enumerate()
        .map(|(row, group)| *first.entry(*group).or_insert(row));
    rows.collect()
}
