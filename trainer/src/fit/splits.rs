//! Which rows each model is fitted on and which it is tested on.

use std::collections::HashMap;

use crate::{
    data::{dataset::Dataset, row_columns::RowColumns},
    fit::{
        folds, grouped, held_out, in_time,
        plan::{Plan, SplitBy},
    },
};

/// Which rows each model is fitted on and which it is tested on.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// By repeat, the fold in which each row is tested, or [`NEVER`].
    tested: Vec<Vec<usize>>,
    in_time: Option<InTime>,
    /// Rows that are in no fold, ascending.
    held_out: Vec<usize>,
}

/// Which rows come before those that are tested.
#[derive(Clone, Debug, PartialEq)]
struct InTime {
    of_row: Vec<i64>,
    /// By fold, the last time of rows that its model is fitted on.
    until: Vec<i64>,
    /// At least so much later is what is tested.
    gap: i64,
}

/// The fold of a row that is not tested.
const NEVER: usize = usize::MAX;

/// Why rows cannot be split as planned. The same data and plan would fail again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The data lack the column.
    #[error("the data have no column of groups; take a new snapshot")]
    NoGroups,
    /// The data lack the column.
    #[error("the data have no column of times; take a new snapshot")]
    NoTimes,
    /// Nothing of a class would be held out.
    #[error(
        "validation.heldOut would have no row of class {class}; choose a greater fraction, or add rows of that class"
    )]
    HeldOut {
        /// The class.
        class: u8,
    },
    /// Too little of a class would be left for the folds.
    #[error(
        "validation.heldOut leaves {rows} rows of class {class}, and {folds} folds need at least {folds}: add rows of that class, or lower one of the two"
    )]
    Left {
        /// The class.
        class: u8,
        /// How many rows of it are left.
        rows: usize,
        /// How many folds there are.
        folds: usize,
    },
    /// There are too few different times.
    #[error(
        "the rows cannot be cut into {blocks} blocks by the times in {column:?}, too many are equal; lower validation.folds"
    )]
    TooFewTimes {
        /// The column.
        column: String,
        /// How many blocks there would be.
        blocks: usize,
    },
    /// A fold has one class only on one side.
    #[error(
        "in the order of {column:?}, fold {fold} is {side} on no row of class {class}; lower validation.folds or validation.timeSplit.gapSeconds"
    )]
    OneClassInTime {
        /// The column.
        column: String,
        /// The fold, from 1.
        fold: usize,
        /// What it lacks the class for: it is `tested` or `fitted` on such rows.
        side: &'static str,
        /// The class.
        class: u8,
    },
    /// There are too few groups.
    #[error(
        "{column:?} has {groups} groups with rows of class {class}, and {folds} folds need at least {folds}: lower \
         validation.folds, or add groups"
    )]
    TooFewGroups {
        /// The column.
        column: String,
        /// How many groups have rows of the class.
        groups: usize,
        /// The class.
        class: u8,
        /// How many folds there are.
        folds: usize,
    },
    /// A fold has rows of one class only.
    #[error(
        "the groups of {column:?} cannot be dealt to {folds} folds so that each has both classes: fold {fold} of repeat {repeat} has no \
         row of class {class}; lower validation.folds"
    )]
    OneClass {
        /// The column.
        column: String,
        /// How many folds there are.
        folds: usize,
        /// The repeat, from 1.
        repeat: usize,
        /// The fold, from 1.
        fold: usize,
        /// The class.
        class: u8,
    },
}

/// The rows that are held out, ascending.
fn hold_out(data: &Dataset, first: &[usize], share: f64, plan: &Plan) -> Result<Vec<usize>, SplitError> {
    let columns = &data.row_columns;
    match plan.split_by {
        SplitBy::Time { .. } => {
            let times = columns.times.as_ref().ok_or(SplitError::NoTimes)?;
            held_out::latest(times, &data.labels, share)
        }
        SplitBy::Groups => {
            let groups = columns.groups.as_ref().ok_or(SplitError::NoGroups)?;
            let parts = grouped::parts(groups, &data.labels, first, plan.folds);
            held_out::draw(&parts, share, plan.seed)
        }
        SplitBy::Rows => {
            let together = grouped::collect(first.iter().copied(), &data.labels);
            let largest = together.iter().map(|part| part.rows.len()).max().unwrap_or(0);
            // Rows of few different values cannot be held out whole.
            let parts = if largest as f64 > data.len() as f64 * share {
                grouped::collect(0..data.len(), &data.labels)
            } else {
                together
            };
            held_out::draw(&parts, share, plan.seed)
        }
    }
}

/// For each of the rest, the place in it of the first one with the same values.
fn renumber(first: &[usize], rest: &[usize]) -> Vec<usize> {
    let mut places = HashMap::new();
    let places = rest
        .iter()
        .enumerate()
        .map(|(place, row)| *places.entry(first[*row]).or_insert(place));
    places.collect()
}

// === impl Splits ===

impl Splits {
    /// Splits these rows as planned.
    pub fn new(data: &Dataset, plan: &Plan) -> Result<Self, SplitError> {
        let first = match plan.split_by {
            SplitBy::Time { .. } => Vec::new(),
            SplitBy::Rows | SplitBy::Groups => data.first_of_its_values(),
        };
        let Some(share) = plan.held_out else {
            return Self::of_rows(&data.row_columns, &data.labels, &first, plan);
        };
        let held_out = hold_out(data, &first, share, plan)?;
        let rest: Vec<usize> = (0..data.len())
            .filter(|row| held_out.binary_search(row).is_err())
            .collect();
        let labels: Vec<bool> = rest.iter().map(|row| data.labels[*row]).collect();
        for class in [false, true] {
            let rows = labels.iter().filter(|label| **label == class).count();
            if rows < plan.folds {
                return Err(SplitError::Left {
                    class: u8::from(class),
                    rows,
                    folds: plan.folds,
                });
            }
        }
        let first = if first.is_empty() {
            first
        } else {
            renumber(&first, &rest)
        };
        let of_rest = Self::of_rows(&data.row_columns.of_rows(&rest), &labels, &first, plan)?;
        let spread = |of_rest: &Vec<usize>| {
            let mut tested = vec![NEVER; data.len()];
            for (row, fold) in rest.iter().zip(of_rest) {
                tested[*row] = *fold;
            }
            tested
        };
        Ok(Self {
            tested: of_rest.tested.iter().map(spread).collect(),
            in_time: of_rest.in_time.map(|in_time| InTime {
                of_row: data
                    .row_columns
                    .times
                    .as_ref()
                    .map_or(Vec::new(), |times| times.of_row.clone()),
                ..in_time
            }),
            held_out,
        })
    }

    /// Splits these rows, none of them held out.
    fn of_rows(
        columns: &RowColumns,
        labels: &[bool],
        first: &[usize],
        plan: &Plan,
    ) -> Result<Self, SplitError> {
        let (tested, in_time) = match plan.split_by {
            SplitBy::Rows => (
                folds::assign(labels, first, plan.folds, plan.repeats, plan.seed),
                None,
            ),
            SplitBy::Groups => {
                let groups = columns.groups.as_ref().ok_or(SplitError::NoGroups)?;
                (grouped::assign(groups, labels, first, plan)?, None)
            }
            SplitBy::Time { gap } => {
                let times = columns.times.as_ref().ok_or(SplitError::NoTimes)?;
                let blocks = in_time::cut(times, labels, plan.folds, gap)?;
                let fold = |block: usize| block.checked_sub(1).unwrap_or(NEVER);
                let in_time = InTime {
                    of_row: times.of_row.clone(),
                    until: blocks.until,
                    gap,
                };
                let tested: Vec<usize> = blocks.of_row.into_iter().map(fold).collect();
                (vec![tested; plan.repeats], Some(in_time))
            }
        };
        Ok(Self {
            tested,
            in_time,
            held_out: Vec::new(),
        })
    }

    /// The rows that are held out, and those that the model that is measured on them is fitted on, if any are held out.
    pub fn held_out(&self) -> Option<(&[usize], Vec<usize>)> {
        if self.held_out.is_empty() {
            return None;
        }
        let count = self.tested.first().map_or(0, Vec::len);
        let mut others: Vec<usize> = (0..count)
            .filter(|row| self.held_out.binary_search(row).is_err())
            .collect();
        if let Some(in_time) = &self.in_time {
            let first = self.held_out.iter().map(|row| in_time.of_row[*row]).min();
            let until = first.unwrap_or(i64::MAX).saturating_sub(in_time.gap.max(1));
            others.retain(|row| in_time.of_row[*row] <= until);
        }
        Some((&self.held_out, others))
    }

    /// The rows that are tested in a fold, and those that its model is fitted on.
    pub fn split(&self, repeat: usize, fold: usize) -> (Vec<usize>, Vec<usize>) {
        let tested = &self.tested[repeat];
        let rows = 0..tested.len();
        let Some(in_time) = &self.in_time else {
            // What is in no fold is held out.
            return rows
                .filter(|row| tested[*row] != NEVER)
                .partition(|row| tested[*row] == fold);
        };
        let is_before = |row: &usize| in_time.of_row[*row] <= in_time.until[fold];
        (
            rows.clone().filter(|row| tested[*row] == fold).collect(),
            rows.filter(is_before).collect(),
        )
    }
}
