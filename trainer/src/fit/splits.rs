//! Which rows each model is fitted on and which it is tested on.

use crate::{
    data::dataset::Dataset,
    fit::{
        folds, grouped,
        plan::{Plan, SplitBy},
    },
};

/// Which rows each model is fitted on and which it is tested on.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// By repeat, the fold in which each row is tested.
    tested: Vec<Vec<usize>>,
}

/// Why rows cannot be split as planned. The same data and plan would fail again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The data lack the column.
    #[error("the data have no column of groups; take a new snapshot")]
    NoGroups,
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
        let first = data.first_of_its_values();
        let tested = match plan.split_by {
            SplitBy::Rows => folds::assign(&data.labels, &first, plan.folds, plan.repeats, plan.seed),
            SplitBy::Groups => {
                let groups = data.row_columns.groups.as_ref().ok_or(SplitError::NoGroups)?;
                grouped::assign(groups, &data.labels, &first, plan)?
            }
        };
        Ok(Self { tested })
    }

    /// The rows that are tested in a fold, and those that its model is fitted on.
    pub fn split(&self, repeat: usize, fold: usize) -> (Vec<usize>, Vec<usize>) {
        let tested = &self.tested[repeat];
        (0..tested.len()).partition(|row| tested[*row] == fold)
    }
}
