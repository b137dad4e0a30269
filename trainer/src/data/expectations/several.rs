//! Several columns of a row.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use modelward_crds::{Expectation, IgnoreRowIf};
use modelward_wire::Decimal;
use serde_json::{Map, Value};

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, Tally},
    frame::{Column, Frame, Key},
    raised::Raised,
};

pub(super) struct CompoundColumnsToBeUnique;
pub(super) struct ValuesToBeUniqueWithinRecord;
pub(super) struct MulticolumnSumToEqual;

/// Columns that are judged together, which are in memory together.
struct Several<'a> {
    columns: Vec<Rc<Column<'a>>>,
    rows: Vec<usize>,
}

impl<'a> Several<'a> {
    fn read(frame: &mut Frame<'a>, given: &Expectation) -> Result<Self, Raised> {
        let names = given.column_list.iter().flatten();
        let columns = names
            .map(|name| frame.column(name))
            .collect::<Result<Vec<_>, Raised>>()?;
        let ignore = given.ignore_row_if.unwrap_or(IgnoreRowIf::AllValuesAreMissing);
        let is_judged = |row: &usize| {
            let mut missing = columns.iter().map(|column| column.is_missing(*row));
            match ignore {
                IgnoreRowIf::AnyValueIsMissing => !missing.any(|missing| missing),
                IgnoreRowIf::AllValuesAreMissing => !missing.all(|missing| missing),
                _ => true,
            }
        };
        let rows = (0..frame.rows()).filter(is_judged).collect();
        Ok(Self { columns, rows })
    }

    fn keys(&self, row: usize) -> impl Iterator<Item = Key<'a>> + '_ {
        self.columns.iter().map(move |column| column.key(row))
    }

    fn judge(&self, frame: &Frame<'_>, given: &Expectation, is_expected: impl Fn(usize) -> bool) -> Found {
        let tally = Tally::of(self.rows.iter().copied(), is_expected);
        let mut found = tally.finish(frame, given, self.rows.len(), |row| {
            self.columns.iter().map(|column| column.json(row)).collect()
        });
        // Listed rows have the names of the columns; counted ones their order.
        if let Some(Value::Array(rows)) = found.result.get_mut("partial_unexpected_list") {
            for row in rows {
                let values = row.as_array().cloned().unwrap_or_default();
                let named: Map<String, Value> = self
                    .columns
                    .iter()
                    .map(|column| column.name.to_owned())
                    .zip(values)
                    .collect();
                *row = Value::Object(named);
            }
        }
        found
    }
}

impl Evaluate for CompoundColumnsToBeUnique {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let several = Several::read(frame, given)?;
        let mut counts: HashMap<Vec<Key<'_>>, usize> = HashMap::new();
        for row in &several.rows {
            *counts.entry(several.keys(*row).collect()).or_default() += 1;
        }
        let is_single = |row: usize| {
            let keys: Vec<Key<'_>> = several.keys(row).collect();
            counts.get(&keys).is_none_or(|count| *count == 1)
        };
        Ok(several.judge(frame, given, is_single))
    }
}

impl Evaluate for ValuesToBeUniqueWithinRecord {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let several = Several::read(frame, given)?;
        let differ = |row: usize| {
            let different: HashSet<Key<'_>> = several.keys(row).collect();
            different.len() == several.columns.len()
        };
        Ok(several.judge(frame, given, differ))
    }
}

impl Evaluate for MulticolumnSumToEqual {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let several = Several::read(frame, given)?;
        let numbers = several
            .columns
            .iter()
            .map(|column| column.numbers())
            .collect::<Result<Vec<_>, Raised>>()?;
        let total = given.sum_total.as_ref().map_or(f64::NAN, Decimal::to_f64);
        // Added up in the order of the columns, as NumPy does. A missing number makes a sum that equals nothing.
        let is_total = |row: usize| numbers.iter().fold(0.0, |sum, column| sum + column[row]) == total;
        Ok(several.judge(frame, given, is_total))
    }
}
