//! Blocks of rows in the order of time.
//!
//! The rows in order are cut into one block more than there are folds, of about the same size. Rows of equal time are in one block: a cut
//! within them moves after them. The model of a fold is fitted on all rows before the block that it is tested on, except those within the
//! gap. If one model, which was fitted before all of these rows, is measured on parts of them, there are as many blocks as parts.

use crate::{data::row_columns::Times, fit::split_error::SplitError};

/// The blocks of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// The block of each row, the first being 0.
    pub(super) of_row: Vec<usize>,
    /// By fold, the last time of rows that its model is fitted on.
    pub(super) until: Vec<i64>,
}

/// The first position in this order of times, from `start` on, at which a cut separates no rows of equal time.
pub(super) fn behind_equal_times(order: &[usize], of_row: &[i64], mut start: usize) -> usize {
    while start > 0 && start < order.len() && of_row[order[start]] == of_row[order[start - 1]] {
        start += 1;
    }
    start
}

/// The last time at which a class is known when rows from this time on are tested. Rows of equal time are on one side.
pub(super) fn known_until(first: i64, gap: i64) -> i64 {
    first.saturating_sub(gap.max(1))
}

/// Cuts these rows into one block more than folds, with this gap in microseconds.
pub(super) fn cut(times: &Times, labels: &[bool], folds: usize, gap: i64) -> Result<Blocks, SplitError> {
    let (of_row, first_times) = cut_blocks(times, folds + 1).ok_or_else(|| SplitError::TooFewTimes {
        column: times.column.clone(),
        blocks: folds + 1,
    })?;
    let until = first_times[1..].iter().map(|first| known_until(*first, gap));
    let blocks = Blocks {
        of_row,
        until: until.collect(),
    };
    check_classes(times, labels, &blocks)?;
    Ok(blocks)
}

/// The part of each of these rows, which are held out, the first part being 0. No model is fitted on any of them.
pub(super) fn cut_parts(times: &Times, labels: &[bool], parts: usize) -> Result<Vec<usize>, SplitError> {
    let (of_row, _) = cut_blocks(times, parts).ok_or_else(|| SplitError::TooFewHeldOutTimes {
        column: times.column.clone(),
        parts,
    })?;
    let mut has = vec![[false; 2]; parts];
    for (label, part) in labels.iter().zip(&of_row) {
        has[*part][usize::from(*label)] = true;
    }
    for (part, has) in has.iter().enumerate() {
        if let Some(class) = has.iter().position(|has| !has) {
            return Err(SplitError::OneClassHeldOut {
                column: times.column.clone(),
                part: part + 1,
                parts,
                class: class as u8,
            });
        }
    }
    Ok(of_row)
}

/// The block of each row, the first being 0, and the first time of each block. `None` if too many times are equal for this many blocks.
fn cut_blocks(times: &Times, blocks: usize) -> Option<(Vec<usize>, Vec<i64>)> {
    let of_row = &times.of_row;
    let mut order: Vec<usize> = (0..of_row.len()).collect();
    order.sort_by_key(|row| of_row[*row]);
    let mut starts = vec![0];
    for block in 1..blocks {
        let start = behind_equal_times(&order, of_row, order.len() * block / blocks);
        if start >= order.len() || starts.last().is_some_and(|last| start <= *last) {
            return None;
        }
        starts.push(start);
    }
    let mut block_of = vec![0; order.len()];
    for (block, start) in starts.iter().enumerate() {
        for row in &order[*start..] {
            block_of[*row] = block;
        }
    }
    let first_times = starts.iter().filter_map(|start| order.get(*start));
    Some((block_of, first_times.map(|row| of_row[*row]).collect()))
}

/// Both classes have to be on both sides of each fold.
fn check_classes(times: &Times, labels: &[bool], blocks: &Blocks) -> Result<(), SplitError> {
    for (fold, until) in blocks.until.iter().enumerate() {
        for class in [false, true] {
            let has = |is_meant: &dyn Fn(usize) -> bool| {
                (0..labels.len()).any(|row| labels[row] == class && is_meant(row))
            };
            let side = if !has(&|row| blocks.of_row[row] == fold + 1) {
                "tested"
            } else if !has(&|row| times.of_row[row] <= *until) {
                "fitted"
            } else {
                continue;
            };
            return Err(SplitError::OneClassInTime {
                column: times.column.clone(),
                fold: fold + 1,
                side,
                class: u8::from(class),
            });
        }
    }
    Ok(())
}

/// The rows that calibration, threshold and ensemble weights for tested rows are learnt from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier<'a> {
    /// The fold or part of each row.
    pub(super) of_row: &'a [usize],
    /// Only rows of lower folds or parts have scores to learn from.
    pub(super) before: usize,
    /// The last time at which a class is known.
    pub(super) until: i64,
}

/// Both classes have to be known among the earlier rows.
pub(super) fn check_known(
    times: &Times,
    labels: &[bool],
    earlier: Earlier<'_>,
    what: &str,
) -> Result<(), SplitError> {
    for class in [false, true] {
        let is_known = |row: usize| {
            labels[row] == class && earlier.of_row[row] < earlier.before && times.of_row[row] <= earlier.until
        };
        if !(0..labels.len()).any(is_known) {
            return Err(SplitError::NothingKnown {
                column: times.column.clone(),
                what: what.to_owned(),
                class: u8::from(class),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::row_columns::TimeFormat;

    fn times(of_row: Vec<i64>) -> Times {
        Times {
            column: "day".into(),
            format: TimeFormat::EpochSeconds,
            of_row,
        }
    }

    #[test]
    fn a_fold_is_tested_on_the_block_after_those_of_its_model() {
        let labels: Vec<bool> = (0..20).map(|row| row % 2 == 0).collect();
        let of_row: Vec<i64> = (0..20).rev().map(|row| row * 10).collect();
        let blocks = cut(&times(of_row), &labels, 4, 0).unwrap();
        let expected: Vec<usize> = (0..20).rev().map(|row| row / 4).collect();
        assert_eq!(blocks.of_row, expected);
        assert_eq!(blocks.until, [39, 79, 119, 159]);
        let of_row: Vec<i64> = (0..20).map(|row| row * 10).collect();
        assert_eq!(
            cut(&times(of_row), &labels, 4, 15).unwrap().until,
            [25, 65, 105, 145]
        );
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let labels: Vec<bool> = (0..20).map(|row| row % 2 == 0).collect();
        let refused = |of_row: Vec<i64>, labels: &[bool], gap| {
            cut(&times(of_row), labels, 4, gap).unwrap_err().to_string()
        };
        let text = refused((0..20).map(|row| row / 6).collect(), &labels, 0);
        assert!(text.contains("cannot be cut into 5 blocks"), "{text}");
        let text = refused((0..20).collect(), &labels, 4);
        assert!(text.contains("fold 1 is fitted on no row of class 0"), "{text}");
        let late: Vec<bool> = (0..20).map(|row| row % 2 == 0 && row < 16).collect();
        let text = refused((0..20).collect(), &late, 0);
        assert!(text.contains("fold 4 is tested on no row of class 1"), "{text}");
    }

    #[test]
    fn parts_of_held_out_rows_are_as_many_blocks_as_parts_and_none_is_a_training_block() {
        let labels: Vec<bool> = (0..20).map(|row| row % 2 == 0).collect();
        let of_row: Vec<i64> = (0..20).rev().map(|row| row * 10).collect();
        let parts = cut_parts(&times(of_row), &labels, 4).unwrap();
        let expected: Vec<usize> = (0..20).rev().map(|row| row / 5).collect();
        assert_eq!(parts, expected);
        let refused = |of_row: Vec<i64>, labels: &[bool]| {
            let error = cut_parts(&times(of_row), labels, 4).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            refused((0..20).map(|row| row / 9).collect(), &labels),
            "the held-out rows cannot be cut into 4 parts by the times in \"day\", too many are equal; lower validation.folds or choose a greater \
             validation.heldOut.fraction"
        );
        let late: Vec<bool> = (0..20).map(|row| row % 2 == 0 && row >= 5).collect();
        assert_eq!(
            refused((0..20).collect(), &late),
            "in the order of \"day\", part 1 of 4 of the held-out rows has no row of class 1; lower validation.folds or choose a greater \
             validation.heldOut.fraction"
        );
    }

    proptest! {
        #[test]
        fn no_time_is_on_both_sides(of_row in prop::collection::vec(0_i64..60, 10..150), folds in 2_usize..6, gap in 0_i64..9) {
            let labels: Vec<bool> = (0..of_row.len()).map(|row| row % 2 == 0).collect();
            if let Ok(blocks) = cut(&times(of_row.clone()), &labels, folds, gap) {
                for (fold, until) in blocks.until.iter().enumerate() {
                    let tested = (0..of_row.len()).filter(|row| blocks.of_row[*row] == fold + 1);
                    let first = tested.map(|row| of_row[row]).min().unwrap();
                    prop_assert!(*until < first && first - until >= gap);
                }
            }
        }
    }
}
