//! Missing values.

use modelward_crds::Expectation;

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, Tally},
    frame::Frame,
    raised::Raised,
};

pub(super) struct ValuesToNotBeNull;
pub(super) struct ValuesToBeNull;

impl Evaluate for ValuesToNotBeNull {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        judge(frame, given, false)
    }
}

impl Evaluate for ValuesToBeNull {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        judge(frame, given, true)
    }
}

fn judge(frame: &mut Frame<'_>, given: &Expectation, wanted: bool) -> Result<Found, Raised> {
    let column = frame.column(given.column.as_deref().unwrap_or_default())?;
    let tally = Tally::of(0..column.len(), |row| column.is_missing(row) == wanted);
    Ok(tally.finish_all(frame, given, |row| column.json(row)))
}
