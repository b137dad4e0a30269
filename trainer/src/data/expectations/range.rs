//! Values in a range, near the mean, and in order.

use modelward_crds::Expectation;
use modelward_wire::Decimal;

use crate::data::expectations::{
    aggregate::{mean, standard_deviation},
    contract::Evaluate,
    found::{Found, Tally, is_between},
    frame::Frame,
    raised::Raised,
};

pub(super) struct ValuesToBeBetween;
pub(super) struct ValueZScoresToBeLessThan;

/// Values that follow each other.
pub(super) struct InOrder {
    is_increasing: bool,
}

pub(super) const INCREASING: InOrder = InOrder { is_increasing: true };
pub(super) const DECREASING: InOrder = InOrder { is_increasing: false };

impl Evaluate for ValuesToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let numbers = column.numbers()?;
        let tally = Tally::of(column.present(), |row| is_between(numbers[row], given));
        Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
    }
}

impl Evaluate for ValueZScoresToBeLessThan {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let numbers = column.numbers()?;
        let mean = mean(column.present_numbers()?).unwrap_or(f64::NAN);
        let deviation = standard_deviation(column.present_numbers()?).unwrap_or(f64::NAN);
        let threshold = given.threshold.as_ref().map_or(0.0, Decimal::to_f64);
        let is_expected = |row: usize| {
            let score = (numbers[row] - mean) / deviation;
            // If the values do not vary, there is no score, and nothing is unexpected.
            deviation == 0.0
                || score.is_nan()
                || if given.double_sided == Some(false) {
                    score < threshold
                } else {
                    score.abs() < threshold
                }
        };
        let tally = Tally::of(column.present(), is_expected);
        Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
    }
}

impl Evaluate for InOrder {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let numbers = column.numbers()?;
        let strictly = given.strictly == Some(true);
        let mut tally = Tally::default();
        let mut last: Option<f64> = None;
        for row in column.present() {
            let number = numbers[row];
            let in_order = last.is_none_or(|last| {
                let (low, high) = if self.is_increasing {
                    (last, number)
                } else {
                    (number, last)
                };
                low < high || (low == high && !strictly)
            });
            if !in_order {
                tally.add(row);
            }
            last = Some(number);
        }
        Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
    }
}
