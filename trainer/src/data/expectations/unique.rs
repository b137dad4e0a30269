//! Values that differ.

use modelward_crds::Expectation;

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, Tally, between},
    frame::Frame,
    raised::Raised,
    set::count,
};

pub(super) struct ValuesToBeUnique;
pub(super) struct UniqueValueCountToBeBetween;
pub(super) struct ProportionOfUniqueValuesToBeBetween;

impl Evaluate for ValuesToBeUnique {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let counts = count(&column);
        let is_single = |row: usize| counts.get(&column.key(row)).is_none_or(|(count, _)| *count == 1);
        let tally = Tally::of(column.present(), is_single);
        Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
    }
}

impl Evaluate for UniqueValueCountToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let distinct = count(&column).len();
        let found = between(Some((distinct as f64, distinct.into())), given);
        Ok(found.with_observed(format!("{distinct} different values")))
    }
}

impl Evaluate for ProportionOfUniqueValuesToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let (distinct, present) = (count(&column).len(), column.present().count());
        let share = if present == 0 {
            0.0
        } else {
            distinct as f64 / present as f64
        };
        let found = between(Some((share, share.into())), given);
        Ok(found.with_observed(format!("{distinct} different values of {present}")))
    }
}
