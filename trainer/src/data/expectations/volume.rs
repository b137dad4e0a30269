//! The number of rows.

use modelward_crds::Expectation;

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, between, is_count},
    frame::Frame,
    raised::Raised,
};

pub(super) struct RowCountToEqual;
pub(super) struct RowCountToBeBetween;

impl Evaluate for RowCountToEqual {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let rows = frame.rows();
        let found = Found::observed(is_count(rows, given), &rows.into());
        Ok(found.with_observed(format!("{rows} rows")))
    }
}

impl Evaluate for RowCountToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let rows = frame.rows();
        let found = between(Some((rows as f64, rows.into())), given);
        Ok(found.with_observed(format!("{rows} rows")))
    }
}
