//! Why rows cannot be split.

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
    /// Nothing of a class would be left for the one model.
    #[error(
        "validation.heldOut leaves no row of class {class} to train on; choose a smaller {smaller}, or add rows of that class"
    )]
    NothingToTrainOn {
        /// The class.
        class: u8,
        /// What may be smaller.
        smaller: &'static str,
    },
    /// Too little of a class is held out for the parts that a model is measured on.
    #[error(
        "validation.heldOut holds {rows} rows of class {class} out, and {folds} parts of them need at least {folds}: choose a greater fraction, add rows of that \
         class, or lower validation.folds"
    )]
    Parts {
        /// The class.
        class: u8,
        /// How many rows of it are held out.
        rows: usize,
        /// How many parts there are.
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
    /// There are too few different times among the held-out rows.
    #[error(
        "the held-out rows cannot be cut into {parts} parts by the times in {column:?}, too many are equal; lower validation.folds or choose a greater \
         validation.heldOut.fraction"
    )]
    TooFewHeldOutTimes {
        /// The column.
        column: String,
        /// How many parts there would be.
        parts: usize,
    },
    /// A part of the held-out rows has one class only.
    #[error(
        "in the order of {column:?}, part {part} of {parts} of the held-out rows has no row of class {class}; lower validation.folds or choose a greater \
         validation.heldOut.fraction"
    )]
    OneClassHeldOut {
        /// The column.
        column: String,
        /// The part, from 1.
        part: usize,
        /// How many parts there are.
        parts: usize,
        /// The class.
        class: u8,
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
    /// No class is known of what calibration, threshold or weights of an ensemble would be learnt from.
    #[error(
        "in the order of {column:?}, calibration, threshold and ensemble weights for {what} have no earlier scored row of class {class} outside of \
         validation.timeSplit.gapSeconds to learn from; lower gapSeconds or validation.folds, or learn none of them: set threshold.value and \
         calibration None, without an ensemble"
    )]
    NothingKnown {
        /// The column.
        column: String,
        /// The tested rows.
        what: String,
        /// The class.
        class: u8,
    },
    /// A model would be fitted on rows of a class that all have the weight 0.
    #[error(
        "every row of class {class} that {model} is fitted on has the weight 0 in {column:?}; lower validation.folds, or give rows of that class \
         a weight"
    )]
    NoWeight {
        /// The column of weights.
        column: String,
        /// The class.
        class: u8,
        /// The model.
        model: String,
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
