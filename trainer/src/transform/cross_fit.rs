//! The parts of the training rows of one fit, each of which is encoded by the others.
//!
//! They are drawn as folds are: each has its share of each class, and what no fold separates (groups of `validation.groupBy`, otherwise rows
//! with the same values) is in one part, so that a row is not encoded by its own twin. Few groups cannot be dealt like that: they are dealt
//! to at most as many parts as there are groups, whose shares of the classes are as even as whole groups allow.

use std::collections::HashMap;

use super::contract::Parts;
use crate::{
    data::dataset::Dataset,
    fit::{
        deal::deal_parts,
        folds::{SplitMix64, assign, mix},
    },
};

/// Parts of the training rows, as many as scikit-learn's `TargetEncoder` has.
pub(super) const PARTS: usize = 5;

/// The random stream of these draws; no repeat of the folds, no comparison and no correction has the same.
const STREAM: u64 = 1_006;

/// The part of each row.
pub(super) fn assign_parts(rows: &Dataset, seed: u64) -> Parts {
    let seed = mix(seed) ^ mix(STREAM);
    let labels = &rows.labels;
    let first = match &rows.row_columns.groups {
        Some(groups) => first_of_its_group(&groups.of_row),
        None => rows.kept_together(),
    };
    if rows.row_columns.groups.is_some() && !are_enough(&first, labels) {
        return Parts {
            of_row: deal_groups(&first, labels, seed),
            are_few_groups: true,
        };
    }
    let drawn = assign(labels, &first, PARTS, 1, seed);
    Parts {
        of_row: drawn.into_iter().next().unwrap_or_default(),
        are_few_groups: false,
    }
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

/// Whether each part gets a group of each class, by the class of its first row: otherwise [`assign`] would deal rows one by one.
fn are_enough(first: &[usize], labels: &[bool]) -> bool {
    [false, true].into_iter().all(|class| {
        let leads = |row: &usize| first[*row] == *row && labels[*row] == class;
        (0..first.len()).filter(leads).count() >= PARTS
    })
}

/// The part of each row, in as many parts as there are groups, at most [`PARTS`].
fn deal_groups(first: &[usize], labels: &[bool], seed: u64) -> Vec<usize> {
    let mut places = HashMap::new();
    let mut of_class: Vec<[usize; 2]> = Vec::new();
    let mut group_of = Vec::with_capacity(first.len());
    for (first, label) in first.iter().zip(labels) {
        let group = *places.entry(*first).or_insert_with(|| {
            of_class.push([0; 2]);
            of_class.len() - 1
        });
        of_class[group][usize::from(*label)] += 1;
        group_of.push(group);
    }
    let part_of = deal_parts(&of_class, of_class.len().min(PARTS), &mut SplitMix64::new(seed));
    group_of.into_iter().map(|group| part_of[group]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn few_groups_are_in_as_many_parts_at_most_and_no_group_is_in_two() {
        for groups in 1..=8 {
            let first: Vec<usize> = (0..48).map(|row| row % groups).collect();
            let labels: Vec<bool> = (0..48).map(|row| row % 5 < 2).collect();
            let part = deal_groups(&first, &labels, 7);
            assert!((0..48).all(|row| part[row] == part[first[row]]), "{part:?}");
            let parts: BTreeSet<usize> = part.into_iter().collect();
            assert_eq!(parts.len(), groups.min(PARTS));
        }
    }
}
