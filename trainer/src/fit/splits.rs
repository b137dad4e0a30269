//! Which rows each model is fitted on and which it is tested on.

use crate::{
    data::dataset::Dataset,
    fit::{
        folds, grouped, in_time,
        plan::{Plan, SplitBy},
    },
};

/// Which rows each model is fitted on and which it is tested on.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// By repeat, the fold in which each row is tested, or [`NEVER`].
    tested: Vec<Vec<usize>>,
    in_time: Option<InTime>,
}

/// Which rows come before those that are tested.
#[derive(Clone, Debug, PartialEq)]
struct InTime {
    of_row: Vec<i64>,
    /// By fold, the last time of rows that its model is fitted on.
    until: Vec<i64>,
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

// === impl Splits ===

impl Splits {
    /// Splits these rows as planned.
    pub fn new(data: &Dataset, plan: &Plan) -> Result<Self, SplitError> {
        let first = || data.first_of_its_values();
        let tested = match plan.split_by {
            SplitBy::Rows => folds::assign(&data.labels, &first(), plan.folds, plan.repeats, plan.seed),
            SplitBy::Groups => {
                let groups = data.row_columns.groups.as_ref().ok_or(SplitError::NoGroups)?;
                grouped::assign(groups, &data.labels, &first(), plan)?
            }
            SplitBy::Time { gap } => {
                let times = data.row_columns.times.as_ref().ok_or(SplitError::NoTimes)?;
                let blocks = in_time::cut(times, &data.labels, plan.folds, gap)?;
                let fold = |block: usize| block.checked_sub(1).unwrap_or(NEVER);
                return Ok(Self {
                    tested: vec![blocks.of_row.into_iter().map(fold).collect(); plan.repeats],
                    in_time: Some(InTime {
                        of_row: times.of_row.clone(),
                        until: blocks.until,
                    }),
                });
            }
        };
        Ok(Self {
            tested,
            in_time: None,
        })
    }

    /// The rows that are tested in a fold, and those that its model is fitted on.
    pub fn split(&self, repeat: usize, fold: usize) -> (Vec<usize>, Vec<usize>) {
        let tested = &self.tested[repeat];
        let rows = 0..tested.len();
        let Some(in_time) = &self.in_time else {
            return rows.partition(|row| tested[*row] == fold);
        };
        let is_before = |row: &usize| in_time.of_row[*row] <= in_time.until[fold];
        (
            rows.clone().filter(|row| tested[*row] == fold).collect(),
            rows.filter(is_before).collect(),
        )
    }
}
