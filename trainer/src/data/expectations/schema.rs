//! The columns of the table, and their types.

use std::collections::BTreeSet;

use modelward_crds::{Expectation, ValueType};
use serde_json::{Map, Value, json};

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, between, is_count},
    frame::{Frame, Kind},
    raised::Raised,
};

pub(super) struct ColumnToExist;
pub(super) struct ColumnCountToEqual;
pub(super) struct ColumnCountToBeBetween;
pub(super) struct ColumnsToMatchSet;
pub(super) struct ColumnsToMatchOrderedList;
pub(super) struct ValuesToBeOfType;
pub(super) struct ValuesToBeInTypeList;

impl Evaluate for ColumnToExist {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let names = frame.names();
        // Great Expectations does not look at the position 0.
        let at = given.column_index.filter(|index| *index > 0);
        let success = match (&given.column, at) {
            (Some(column), Some(at)) => names.get(at as usize) == Some(column),
            (Some(column), None) => names.contains(column),
            (None, _) => false,
        };
        let observed = match (success, at) {
            (true, _) => "it exists",
            (false, None) => "there is no such column",
            (false, Some(_)) => "there is another column at that position",
        };
        Ok(Found::new(success, json!({})).with_observed(observed))
    }
}

impl Evaluate for ColumnCountToEqual {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let count = frame.names().len();
        let found = Found::observed(is_count(count, given), &count.into());
        Ok(found.with_observed(format!("{count} columns")))
    }
}

impl Evaluate for ColumnCountToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let count = frame.names().len();
        let found = between(Some((count as f64, count.into())), given);
        Ok(found.with_observed(format!("{count} columns")))
    }
}

impl Evaluate for ColumnsToMatchSet {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let actual: BTreeSet<&str> = frame.names().iter().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = given.column_set.iter().flatten().map(String::as_str).collect();
        let unexpected: Vec<&str> = actual.difference(&wanted).copied().collect();
        let missing: Vec<&str> = wanted.difference(&actual).copied().collect();
        let mut result = json!({"observed_value": actual});
        let observed = format!(
            "not expected: {}; missing: {}",
            unexpected.join(", "),
            missing.join(", ")
        );
        let success = missing.is_empty() && (unexpected.is_empty() || given.exact_match == Some(false));
        let mut mismatched = Map::new();
        if !unexpected.is_empty() {
            mismatched.insert("unexpected".to_owned(), json!(unexpected));
        }
        if !missing.is_empty() {
            mismatched.insert("missing".to_owned(), json!(missing));
        }
        if !mismatched.is_empty() {
            result["details"] = json!({"mismatched": mismatched});
        }
        Ok(Found::new(success, result).with_observed(observed))
    }
}

impl Evaluate for ColumnsToMatchOrderedList {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let actual = frame.names();
        let wanted = given.column_list.as_deref().unwrap_or_default();
        let mismatched: Vec<Value> = (0..actual.len().max(wanted.len()))
            .filter(|at| actual.get(*at) != wanted.get(*at))
            .map(|at| json!({"Expected Column Position": at, "Expected": wanted.get(at), "Found": actual.get(at)}))
            .collect();
        let mut result = json!({"observed_value": actual});
        let success = mismatched.is_empty();
        let observed = format!("{} columns are not in their place", mismatched.len());
        if !success {
            result["details"] = json!({"mismatched": mismatched});
        }
        Ok(Found::new(success, result).with_observed(observed))
    }
}

impl Evaluate for ValuesToBeOfType {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        of_types(frame, given, given.value_type.as_slice())
    }
}

impl Evaluate for ValuesToBeInTypeList {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        of_types(frame, given, given.type_list.as_deref().unwrap_or_default())
    }
}

fn of_types(frame: &mut Frame<'_>, given: &Expectation, types: &[ValueType]) -> Result<Found, Raised> {
    let kind = frame.column(given.column.as_deref().unwrap_or_default())?.kind;
    let (name, known) = match kind {
        Kind::Integer => ("int64", [ValueType::Int, ValueType::Int64].as_slice()),
        Kind::Float => ("float64", [ValueType::Float, ValueType::Float64].as_slice()),
        Kind::Text => ("str", [ValueType::Str].as_slice()),
    };
    let success = types.iter().any(|word| known.contains(word));
    Ok(Found::observed(success, &name.into()).with_observed(format!("a column of {name}")))
}
