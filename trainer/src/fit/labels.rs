//! The classes of rows, and whether they are known when other rows are tested.
//!
//! In the order of time, a class is known only after the gap of `validation.timeSplit`. The fits of folds leave the rows within the gap out;
//! calibrations, thresholds and weights of an ensemble have to leave their scores out too.

use crate::fit::splits::Splits;

/// The classes of rows, and whether they are known when other rows are tested.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The class of each row.
    pub of_row: &'a [bool],
    /// The order of time; none if every class is known at any time.
    splits: Option<&'a Splits>,
}

// === impl Labels ===

impl<'a> Labels<'a> {
    /// The classes of rows that are split like this.
    pub fn new(of_row: &'a [bool], splits: &'a Splits) -> Self {
        Self {
            of_row,
            splits: Some(splits),
        }
    }

    /// Classes that are known at any time.
    #[cfg(test)]
    pub(crate) fn at_any_time(of_row: &'a [bool]) -> Self {
        Self { of_row, splits: None }
    }

    /// Whether the class of a row is known when these rows are tested.
    pub(crate) fn known_before(self, tested: &[usize]) -> impl Fn(usize) -> bool + 'a {
        let last = self.splits.and_then(|splits| splits.known_until(tested));
        move |row| last.is_none_or(|(times, until)| times[row] <= until)
    }

    /// The rows that are held out, if some classes of other rows are not known before them.
    pub(crate) fn held_out_in_time(self) -> Option<&'a [usize]> {
        self.splits.and_then(Splits::held_out_in_time)
    }
}
