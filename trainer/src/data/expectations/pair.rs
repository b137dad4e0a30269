//! Two columns of a row.

use std::{collections::HashSet, rc::Rc};

use modelward_crds::{Expectation, IgnoreRowIf};
use serde_json::json;

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, Tally},
    frame::{Column, Frame},
    raised::Raised,
};

pub(super) struct PairValuesAToBeGreaterThanB;
pub(super) struct PairValuesToBeEqual;
pub(super) struct PairValuesToBeInSet;

struct Pair<'a> {
    a: Rc<Column<'a>>,
    b: Rc<Column<'a>>,
}

impl<'a> Pair<'a> {
    fn read(frame: &mut Frame<'a>, given: &Expectation) -> Result<Self, Raised> {
        Ok(Self {
            a: frame.column(given.column_a.as_deref().unwrap_or_default())?,
            b: frame.column(given.column_b.as_deref().unwrap_or_default())?,
        })
    }

    fn judge(
        &self,
        frame: &Frame<'_>,
        given: &Expectation,
        ignore: IgnoreRowIf,
        is_expected: impl Fn(usize) -> bool,
    ) -> Found {
        let is_judged = |row: &usize| {
            let missing = (self.a.is_missing(*row), self.b.is_missing(*row));
            match ignore {
                IgnoreRowIf::EitherValueIsMissing => missing == (false, false),
                IgnoreRowIf::BothValuesAreMissing => missing != (true, true),
                _ => true,
            }
        };
        let rows = || (0..self.a.len()).filter(is_judged);
        let tally = Tally::of(rows(), is_expected);
        tally.finish(frame, given, rows().count(), |row| {
            json!([self.a.json(row), self.b.json(row)])
        })
    }
}

impl Evaluate for PairValuesAToBeGreaterThanB {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let pair = Pair::read(frame, given)?;
        let (a, b) = (&pair.a, &pair.b);
        let or_equal = given.or_equal == Some(true);
        let ignore = given.ignore_row_if.unwrap_or(IgnoreRowIf::BothValuesAreMissing);
        if a.is_numeric() != b.is_numeric() {
            // Without a row that has both values there is nothing to compare.
            if a.present().any(|row| !b.is_missing(row)) {
                let message = format!("{:?} and {:?} do not have the same type", a.name, b.name);
                return Err(Raised(message));
            }
            return Ok(pair.judge(frame, given, ignore, |_| false));
        }
        if !a.is_numeric() {
            let (left, right) = (a.texts()?, b.texts()?);
            let is_greater = |row: usize| match (left[row], right[row]) {
                (Some(a), Some(b)) => a > b || (or_equal && a == b),
                _ => false,
            };
            return Ok(pair.judge(frame, given, ignore, is_greater));
        }
        let (left, right) = (a.numbers()?, b.numbers()?);
        let is_greater = |row: usize| left[row] > right[row] || (or_equal && left[row] == right[row]);
        Ok(pair.judge(frame, given, ignore, is_greater))
    }
}

impl Evaluate for PairValuesToBeEqual {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let pair = Pair::read(frame, given)?;
        let ignore = given.ignore_row_if.unwrap_or(IgnoreRowIf::BothValuesAreMissing);
        // A missing value equals nothing.
        let is_equal = |row: usize| !pair.a.is_missing(row) && pair.a.key(row) == pair.b.key(row);
        Ok(pair.judge(frame, given, ignore, is_equal))
    }
}

impl Evaluate for PairValuesToBeInSet {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let pair = Pair::read(frame, given)?;
        let ignore = given.ignore_row_if.unwrap_or(IgnoreRowIf::BothValuesAreMissing);
        let pairs = given.value_pairs_set.iter().flatten();
        let set: HashSet<_> = pairs
            .map(|known| (pair.a.key_of(&known.a), pair.b.key_of(&known.b)))
            .collect();
        let is_in_set = |row: usize| set.contains(&(pair.a.key(row), pair.b.key(row)));
        Ok(pair.judge(frame, given, ignore, is_in_set))
    }
}
