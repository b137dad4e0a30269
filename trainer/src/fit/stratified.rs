//! Repeated stratified folds of rows, with equal rows in one fold.
//!
//! [`folds::assign`] deals rows class by class. That is not stratified if equal rows have both classes, or if one set of equal rows is
//! larger than a fold: a fold may then lack a class. Such rows are dealt as groups are, by the counts of both classes. If a class has
//! fewer different rows than there are folds, or some fold would still lack it, its rows are dealt one by one.

use crate::fit::{
    folds::{self, SplitMix64},
    grouped::{self, Part},
};

/// The fold, from 0, in which each row is tested; one list per repeat. `first` has for each row the first one with the same values.
/// Each fold has both classes if each class has at least as many rows as there are folds.
pub(crate) fn assign(
    labels: &[bool],
    first: &[usize],
    folds: usize,
    repeats: usize,
    seed: u64,
) -> Vec<Vec<usize>> {
    let is_mixed = first
        .iter()
        .zip(labels)
        .any(|(first, label)| labels[*first] != *label);
    if !is_mixed {
        let dealt = folds::assign(labels, first, folds, repeats, seed);
        if dealt
            .iter()
            .all(|fold_of| have_both_classes(fold_of, labels, folds))
        {
            return dealt;
        }
    }
    deal_by_counts(labels, first, folds, repeats, seed)
}

fn have_both_classes(fold_of: &[usize], labels: &[bool], folds: usize) -> bool {
    let mut has = vec![[false; 2]; folds];
    for (fold, label) in fold_of.iter().zip(labels) {
        has[*fold][usize::from(*label)] = true;
    }
    has.iter().all(|has| *has == [true; 2])
}

fn deal_by_counts(
    labels: &[bool],
    first: &[usize],
    folds: usize,
    repeats: usize,
    seed: u64,
) -> Vec<Vec<usize>> {
    let mut one_by_one = [false, true].map(|class| count_different(labels, first, class) < folds);
    loop {
        let parts = collect_parts(labels, first, one_by_one);
        let dealt: Result<Vec<Vec<usize>>, (usize, u8)> = (0..repeats)
            .map(|repeat| {
                let mut random = SplitMix64::of_repeat(seed, repeat as u64);
                grouped::assign_once(&parts, labels.len(), folds, &mut random)
            })
            .collect();
        match dealt {
            Ok(dealt) => return dealt,
            Err((_, class)) if !one_by_one[usize::from(class)] => one_by_one[usize::from(class)] = true,
            // The class has fewer rows than there are folds.
            Err(_) => {
                let apart: Vec<usize> = (0..labels.len()).collect();
                return folds::assign(labels, &apart, folds, repeats, seed);
            }
        }
    }
}

/// Different values of the rows of a class.
fn count_different(labels: &[bool], first: &[usize], class: bool) -> usize {
    let mut seen = vec![false; labels.len()];
    for (first, _) in first.iter().zip(labels).filter(|(_, label)| **label == class) {
        seen[*first] = true;
    }
    seen.into_iter().filter(|seen| *seen).count()
}

/// Equal rows, without those of the classes that are dealt one by one.
fn collect_parts(labels: &[bool], first: &[usize], one_by_one: [bool; 2]) -> Vec<Part> {
    let key = |row: usize| {
        if one_by_one[usize::from(labels[row])] {
            labels.len() + row
        } else {
            first[row]
        }
    };
    grouped::collect((0..labels.len()).map(key), labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows of each class in each fold.
    fn counts(fold_of: &[usize], labels: &[bool], folds: usize) -> Vec<[usize; 2]> {
        let mut counts = vec![[0; 2]; folds];
        for (fold, label) in fold_of.iter().zip(labels) {
            counts[*fold][usize::from(*label)] += 1;
        }
        counts
    }

    #[test]
    fn a_class_whose_rows_all_equal_a_row_of_the_other_class_is_in_every_fold() {
        // 90 different rows of class 0, then ten of class 1 that equal the first of them.
        let labels: Vec<bool> = (0..100).map(|row| row >= 90).collect();
        let first: Vec<usize> = (0..100).map(|row| if row >= 90 { 0 } else { row }).collect();
        for fold_of in assign(&labels, &first, 5, 3, 7) {
            assert_eq!(counts(&fold_of, &labels, 5), [[18, 2]; 5]);
        }
    }

    #[test]
    fn equal_rows_of_both_classes_are_in_one_fold_and_classes_are_even() {
        // Each of 150 combinations has several rows; those of class 1 are in 30 of them.
        let first: Vec<usize> = (0..900).map(|row| row % 150).collect();
        let labels: Vec<bool> = (0..900).map(|row| row % 5 == 0 && row >= 150).collect();
        for fold_of in assign(&labels, &first, 5, 2, 7) {
            assert!((0..900).all(|row| fold_of[row] == fold_of[first[row]]));
            for [zeros, ones] in counts(&fold_of, &labels, 5) {
                assert!(
                    zeros.abs_diff(150) <= 12 && ones.abs_diff(30) <= 5,
                    "{zeros} {ones}"
                );
            }
        }
    }

    #[test]
    fn equal_rows_that_are_more_than_a_fold_leave_no_fold_without_a_class() {
        // A thousand equal rows of class 0 beside a hundred different ones of each class.
        let labels: Vec<bool> = (0..1200).map(|row| row >= 1100).collect();
        let first: Vec<usize> = (0..1200).map(|row| if row < 1000 { 0 } else { row }).collect();
        for fold_of in assign(&labels, &first, 5, 3, 7) {
            assert!(
                (0..1000).all(|row| fold_of[row] == fold_of[0]),
                "they stay together"
            );
            for [zeros, ones] in counts(&fold_of, &labels, 5) {
                assert!(zeros > 0 && ones == 20, "{zeros} {ones}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_fold_has_both_classes(
            rows in prop::collection::vec((0_usize..12, any::<bool>()), 20..200), folds in 2_usize..8, seed: u64
        ) {
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let first: Vec<usize> = rows.iter().enumerate()
                .map(|(at, row)| rows[..at].iter().position(|other| other.0 == row.0).unwrap_or(at)).collect();
            let fewest = [false, true].map(|class| labels.iter().filter(|label| **label == class).count());
            prop_assume!(fewest.iter().all(|rows| *rows >= folds));
            for fold_of in assign(&labels, &first, folds, 2, seed) {
                prop_assert!(have_both_classes(&fold_of, &labels, folds));
            }
        }
    }
}
