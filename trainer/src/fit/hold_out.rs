//! Which rows are held out of the evaluation: no search, fold, calibration or threshold sees them.
//!
//! | folds | held out |
//! |---|---|
//! | of rows, of groups | parts that no fold separates, in a shuffled order, as long as no class has more than its share |
//! | in the order of time | the latest rows; rows of one time are on one side |

use crate::{
    data::row_columns::Times,
    fit::{
        folds::{SplitMix64, mix},
        grouped::Part,
        in_time::behind_equal_times,
        split_error::SplitError,
    },
};

/// The random stream of these draws; no repeat of the folds, no comparison and no correction has the same.
const STREAM: u64 = 1_004;

/// The rows of drawn parts that are this share of all, ascending.
pub(super) fn draw(parts: &[Part], share: f64, seed: u64) -> Result<Vec<usize>, SplitError> {
    let mut order: Vec<&Part> = parts.iter().collect();
    SplitMix64::new(mix(seed) ^ mix(STREAM)).shuffle(&mut order);
    let wanted = [0, 1].map(|class| {
        let total: usize = parts.iter().map(|part| part.of_class[class]).sum();
        (total as f64 * share).round() as usize
    });
    let mut taken = [0, 0];
    let mut rows = Vec::new();
    for part in order {
        if (0..2).all(|class| taken[class] + part.of_class[class] <= wanted[class]) {
            for (taken, count) in taken.iter_mut().zip(part.of_class) {
                *taken += count;
            }
            rows.extend_from_slice(&part.rows);
        }
    }
    if let Some(class) = taken.iter().position(|count| *count == 0) {
        return Err(SplitError::HeldOut { class: class as u8 });
    }
    rows.sort_unstable();
    Ok(rows)
}

/// The latest rows that are this share of all, ascending.
pub(super) fn latest(times: &Times, labels: &[bool], share: f64) -> Result<Vec<usize>, SplitError> {
    let of_row = &times.of_row;
    let mut order: Vec<usize> = (0..of_row.len()).collect();
    order.sort_by_key(|row| of_row[*row]);
    let start = order.len() - (order.len() as f64 * share).round() as usize;
    let start = behind_equal_times(&order, of_row, start);
    let mut rows = order.split_off(start.min(order.len()));
    for class in [false, true] {
        if !rows.iter().any(|row| labels[*row] == class) {
            return Err(SplitError::HeldOut {
                class: u8::from(class),
            });
        }
    }
    rows.sort_unstable();
    Ok(rows)
}
