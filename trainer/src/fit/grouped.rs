//! Repeated stratified folds that separate no group.
//!
//! For repeat r, a generator is seeded as for folds of rows. The groups in the order of their first rows are dealt by [`deal_parts`].
//!
//! Groups that have a row with the same values go together, unless that makes a part that is larger than a fold and than every group:
//! if many rows are equal by chance, most groups would be joined.

use crate::{
    data::row_columns::Groups,
    fit::{deal::deal_parts, folds::SplitMix64, plan::Plan, split_error::SplitError},
};

/// Groups that go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Indices of their rows, ascending.
    pub(super) rows: Vec<usize>,
    /// How many of them are of each class.
    pub(super) of_class: [usize; 2],
}

/// The fold, from 0, in which each row is tested; one list per repeat. `first` has for each row the first one with the same values.
pub(super) fn assign(
    groups: &Groups,
    labels: &[bool],
    first: &[usize],
    plan: &Plan,
) -> Result<Vec<Vec<usize>>, SplitError> {
    let parts = parts(groups, labels, first, plan.folds);
    for class in [0, 1] {
        let with_class = parts.iter().filter(|part| part.of_class[class] > 0).count();
        if with_class < plan.folds {
            return Err(SplitError::TooFewGroups {
                column: groups.column.clone(),
                groups: with_class,
                class: class as u8,
                folds: plan.folds,
            });
        }
    }
    let repeats = 0..plan.repeats;
    repeats
        .map(|repeat| {
            let mut random = SplitMix64::of_repeat(plan.seed, repeat as u64);
            assign_once(&parts, labels.len(), plan.folds, &mut random).map_err(|(fold, class)| {
                SplitError::OneClass {
                    column: groups.column.clone(),
                    folds: plan.folds,
                    repeat: repeat + 1,
                    fold: fold + 1,
                    class,
                }
            })
        })
        .collect()
}

/// The fold of each row; the error is a fold and the class that it lacks.
pub(super) fn assign_once(
    parts: &[Part],
    rows: usize,
    folds: usize,
    random: &mut SplitMix64,
) -> Result<Vec<usize>, (usize, u8)> {
    let of_class: Vec<[usize; 2]> = parts.iter().map(|part| part.of_class).collect();
    let mut filled = vec![[0_usize; 2]; folds];
    let mut fold_of = vec![0; rows];
    for (part, fold) in parts.iter().zip(deal_parts(&of_class, folds, random)) {
        for (filled, count) in filled[fold].iter_mut().zip(part.of_class) {
            *filled += count;
        }
        for row in &part.rows {
            fold_of[*row] = fold;
        }
    }
    for (fold, filled) in filled.iter().enumerate() {
        if let Some(class) = filled.iter().position(|count| *count == 0) {
            return Err((fold, class as u8));
        }
    }
    Ok(fold_of)
}

/// What no fold separates, in the order of first rows.
pub(super) fn parts(groups: &Groups, labels: &[bool], first: &[usize], folds: usize) -> Vec<Part> {
    let alone = collect(groups.of_row.iter().map(|group| *group as usize), labels);
    let mut links = Links::new(groups.names.len());
    for (row, same) in first.iter().enumerate() {
        links.join(groups.of_row[row] as usize, groups.of_row[*same] as usize);
    }
    let joined: Vec<usize> = groups
        .of_row
        .iter()
        .map(|group| links.find(*group as usize))
        .collect();
    let joined = collect(joined.into_iter(), labels);
    let largest = |parts: &[Part]| parts.iter().map(|part| part.rows.len()).max().unwrap_or(0);
    let bound = largest(&alone).max(labels.len().div_ceil(folds.max(1)));
    if largest(&joined) > bound { alone } else { joined }
}

/// The rows of each key, in the order in which keys first occur.
pub(super) fn collect(keys: impl Iterator<Item = usize>, labels: &[bool]) -> Vec<Part> {
    let mut places = std::collections::HashMap::new();
    let mut parts: Vec<Part> = Vec::new();
    for (row, key) in keys.enumerate() {
        let place = *places.entry(key).or_insert_with(|| {
            parts.push(Part::default());
            parts.len() - 1
        });
        parts[place].rows.push(row);
        parts[place].of_class[usize::from(labels[row])] += 1;
    }
    parts
}

/// Sets of groups that go together.
struct Links(Vec<usize>);

// === impl Links ===

impl Links {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn find(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.find(one), self.find(other));
        // Towards the first, so that the result does not depend on the order of joins.
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, collections::BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::fit::train::tests::plan;

    fn groups(of_row: &[u32]) -> Groups {
        Groups::of_values(
            "patient",
            of_row.iter().map(|group| Cow::Owned(group.to_string())),
        )
    }

    fn apart(rows: usize) -> Vec<usize> {
        (0..rows).collect()
    }

    #[test]
    fn no_group_is_in_two_folds_and_classes_are_even() {
        // Groups of 1 to 9 rows, a third of class 1.
        let of_row: Vec<u32> = (0..60)
            .flat_map(|group| vec![group; 1 + group as usize % 9])
            .collect();
        let labels: Vec<bool> = (0..of_row.len()).map(|row| row * 7 % 3 == 0).collect();
        let folds = assign(&groups(&of_row), &labels, &apart(of_row.len()), &plan()).unwrap();
        assert_eq!(folds.len(), 3);
        assert_ne!(folds[0], folds[1], "each repeat is another draw");
        for fold in &folds {
            let pairs: BTreeSet<(u32, usize)> = of_row.iter().copied().zip(fold.iter().copied()).collect();
            assert_eq!(pairs.len(), 60);
            for class in [false, true] {
                let total = labels.iter().filter(|label| **label == class).count();
                for k in 0..4 {
                    let count = (0..labels.len())
                        .filter(|row| fold[*row] == k && labels[*row] == class)
                        .count();
                    assert!(count.abs_diff(total / 4) <= 3, "{count} of {total}");
                }
            }
        }
    }

    #[test]
    fn groups_with_equal_rows_go_together_unless_most_would_hang_together() {
        let of_row: Vec<u32> = (0..40).collect();
        let labels: Vec<bool> = (0..40).map(|row| row % 2 == 0).collect();
        let mut first = apart(40);
        first[9] = 2;
        first[30] = 9;
        let folds = assign(
            &groups(&of_row),
            &labels,
            &[&first[..30], &[2], &first[31..]].concat(),
            &plan(),
        )
        .unwrap();
        for fold in folds {
            assert!(fold[2] == fold[9] && fold[2] == fold[30]);
        }
        let by_chance: Vec<usize> = (0..40).map(|row| row % 2).collect();
        assert!(assign(&groups(&of_row), &labels, &by_chance, &plan()).is_ok());
    }

    #[test]
    fn fewer_groups_than_folds_or_a_fold_without_a_class_are_refused() {
        let labels: Vec<bool> = (0..30).map(|row| row % 3 == 0).collect();
        let three: Vec<u32> = (0..30).map(|row| row / 10).collect();
        let refused = assign(&groups(&three), &labels, &apart(30), &plan()).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("has 3 groups with rows of class 0, and 4 folds need"),
            "{refused}"
        );
        // Class 1 in a large group and three small ones that the large groups of class 0 leave to one fold.
        let parts: Vec<Part> = [[9, 1], [9, 0], [9, 0], [9, 0]]
            .into_iter()
            .map(|of_class| Part {
                rows: (0..of_class[0] + of_class[1]).collect(),
                of_class,
            })
            .collect();
        let found = assign_once(&parts, 10, 4, &mut SplitMix64::new(1));
        assert_eq!(found.unwrap_err().1, 1);
    }

    proptest! {
        #[test]
        fn every_row_has_a_fold_that_is_its_groups(
            rows in prop::collection::vec((0_u32..30, any::<bool>(), 0_usize..200), 8..200), seed: u64
        ) {
            let of_row: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let first: Vec<usize> = rows.iter().enumerate()
                .map(|(at, row)| rows[..at].iter().position(|other| other.2 == row.2).unwrap_or(at)).collect();
            let plan = Plan { seed, folds: 3, ..plan() };
            if let Ok(folds) = assign(&groups(&of_row), &labels, &first, &plan) {
                for fold in folds {
                    for (row, group) in of_row.iter().enumerate() {
                        let leader = of_row.iter().position(|other| other == group).unwrap();
                        prop_assert!(fold[row] < 3 && fold[row] == fold[leader]);
                    }
                }
            }
        }
    }
}
