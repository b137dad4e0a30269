//! What the evaluation of an expectation found.

use std::cmp::Ordering;

use modelward_crds::Expectation;
use serde_json::{Map, Value, json};

use crate::data::{
    expectations::{frame::Frame, given::mostly},
    table::Quote,
};

/// Great Expectations lists this many unexpected values (`partial_unexpected_count`), and this many different values.
pub(super) const LISTED: usize = 20;

/// The result of an expectation.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) success: bool,
    /// As Great Expectations has it.
    pub(super) result: Map<String, Value>,
    /// Rows that are not as expected.
    pub(super) unexpected: u64,
    /// The first of them.
    pub(super) first: Option<usize>,
    /// What was found, as a part of a sentence.
    pub(super) observed: String,
    /// Different values that are not as expected, in the order of their rows.
    pub(super) examples: Vec<Value>,
    /// Whether the sentence names values of the data.
    pub(super) reveals: bool,
}

/// Rows that are not as expected, while they are counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: usize,
    first: Vec<usize>,
}

// === impl Found ===

impl Found {
    pub(super) fn raised() -> Self {
        Self::default()
    }

    /// A success or failure with these fields of the result.
    pub(super) fn new(success: bool, result: Value) -> Self {
        let Value::Object(result) = result else {
            return Self::default();
        };
        Self {
            success,
            result,
            ..Self::default()
        }
    }

    /// A value that was observed.
    pub(super) fn observed(success: bool, value: &Value) -> Self {
        Self::new(success, json!({"observed_value": value}))
    }

    pub(super) fn with_observed(mut self, text: impl Into<String>) -> Self {
        self.observed = text.into();
        self
    }
}

/// Whether a number is between the ends that are given.
pub(super) fn is_between(value: f64, given: &Expectation) -> bool {
    let end = |end: &Option<modelward_wire::Decimal>| end.as_ref().map(modelward_wire::Decimal::to_f64);
    let above = end(&given.min_value).is_none_or(|min| {
        if given.strict_min == Some(true) {
            value > min
        } else {
            value >= min
        }
    });
    let below = end(&given.max_value).is_none_or(|max| {
        if given.strict_max == Some(true) {
            value < max
        } else {
            value <= max
        }
    });
    above && below
}

/// Whether a count is the one that is given.
pub(super) fn is_count(count: usize, given: &Expectation) -> bool {
    given.value.and_then(|value| usize::try_from(value).ok()) == Some(count)
}

/// A number of the table or of a column that must be between ends; none if there is no such number.
pub(super) fn between(value: Option<(f64, Value)>, given: &Expectation) -> Found {
    match value {
        Some((number, json)) => Found::observed(is_between(number, given), &json),
        None => Found::observed(false, &Value::Null).with_observed("no value"),
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, row: usize) {
        self.count += 1;
        if self.first.len() < LISTED {
            self.first.push(row);
        }
    }

    /// Counts the rows among these that are not as expected.
    pub(super) fn of(rows: impl Iterator<Item = usize>, is_expected: impl Fn(usize) -> bool) -> Self {
        let mut tally = Self::default();
        for row in rows.filter(|row| !is_expected(*row)) {
            tally.add(row);
        }
        tally
    }

    /// The result, if `considered` rows were judged and all others are missing.
    pub(super) fn finish(
        self,
        frame: &Frame<'_>,
        given: &Expectation,
        considered: usize,
        value: impl Fn(usize) -> Value,
    ) -> Found {
        let missing = frame.rows() - considered;
        let mut found = self.count_rows(frame, given, considered, value);
        let nonmissing = percent(found.unexpected as usize, considered);
        found
            .result
            .insert("unexpected_percent".into(), nonmissing.clone());
        found
            .result
            .insert("unexpected_percent_nonmissing".into(), nonmissing);
        found.result.insert("missing_count".into(), missing.into());
        found
            .result
            .insert("missing_percent".into(), percent(missing, frame.rows()));
        found.result.insert(
            "unexpected_percent_total".into(),
            percent(found.unexpected as usize, frame.rows()),
        );
        found
    }

    /// The result, if every row was judged: it says nothing about missing values.
    pub(super) fn finish_all(
        self,
        frame: &Frame<'_>,
        given: &Expectation,
        value: impl Fn(usize) -> Value,
    ) -> Found {
        let mut found = self.count_rows(frame, given, frame.rows(), value);
        let share = percent(found.unexpected as usize, frame.rows());
        found.result.insert("unexpected_percent".into(), share);
        found
    }

    fn count_rows(
        self,
        frame: &Frame<'_>,
        given: &Expectation,
        considered: usize,
        value: impl Fn(usize) -> Value,
    ) -> Found {
        let success =
            considered == 0 || (considered as f64 - self.count as f64) / considered as f64 >= mostly(given);
        let mut result = Map::new();
        result.insert("element_count".into(), frame.rows().into());
        result.insert("unexpected_count".into(), self.count.into());
        result.insert("partial_unexpected_index_list".into(), json!(self.first));
        let mut examples = Vec::new();
        if frame.quote() == Quote::Yes {
            let values: Vec<Value> = self.first.iter().map(|row| value(*row)).collect();
            for value in &values {
                if !examples.contains(value) {
                    examples.push(value.clone());
                }
            }
            let counts = count_values(&values)
                .into_iter()
                .map(|(value, count)| json!({"value": value, "count": count}));
            result.insert("partial_unexpected_counts".into(), counts.collect());
            result.insert("partial_unexpected_list".into(), values.into());
        }
        Found {
            success,
            result,
            unexpected: self.count as u64,
            first: self.first.first().copied(),
            observed: format!("{} of {considered} {}", self.count, judged(given, considered)),
            examples,
            reveals: false,
        }
    }
}

/// What is judged: rows of several columns, or the values of one.
fn judged(given: &Expectation, count: usize) -> &'static str {
    match (given.column.is_some(), count) {
        (true, 1) => "value",
        (true, _) => "values",
        (false, 1) => "row",
        (false, _) => "rows",
    }
}

fn percent(count: usize, of: usize) -> Value {
    if of == 0 {
        return Value::Null;
    }
    (count as f64 / of as f64 * 100.0).into()
}

/// Each different value with its number, the most frequent ones first.
fn count_values(values: &[Value]) -> Vec<(Value, usize)> {
    let mut counts: Vec<(Value, usize)> = Vec::new();
    for value in values {
        match counts.iter_mut().find(|(known, _)| known == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value.clone(), 1)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| compare(&a.0, &b.0)));
    counts
}

/// Numbers by value, texts by their letters, lists by their first difference; missing values come last.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            let mut pairs = a.iter().zip(b);
            let differing = pairs.find_map(|(a, b)| Some(compare(a, b)).filter(|order| order.is_ne()));
            differing.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => {
            let number = |number: &serde_json::Number| number.as_f64().unwrap_or(f64::NAN);
            number(a).total_cmp(&number(b))
        }
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null | Value::String(_), _) => Ordering::Greater,
        _ => Ordering::Less,
    }
}
