//! The arguments of an expectation.

use modelward_crds::{Argument, Expectation, IgnoreRowIf, MatchOn, ValueType};
use modelward_wire::Decimal;
use serde_json::{Map, Value, json};

use crate::data::{
    expectations::frame::{Frame, whole},
    violation::cut,
};

/// The share of values that must be as expected.
pub(super) fn mostly(given: &Expectation) -> f64 {
    given.mostly.as_ref().map_or(1.0, Decimal::to_f64)
}

/// The column of a violation; empty if it is about the whole table or several columns.
pub(super) fn main_column(given: &Expectation) -> &str {
    given
        .column
        .as_deref()
        .or(given.column_a.as_deref())
        .unwrap_or_default()
}

/// The columns, for messages.
pub(super) fn columns(given: &Expectation) -> String {
    if let (Some(a), Some(b)) = (&given.column_a, &given.column_b) {
        return format!("{a}, {b}");
    }
    match (&given.column, &given.column_list) {
        (Some(column), _) => column.clone(),
        (None, Some(columns)) => cut(&columns.join(", "), 120),
        (None, None) => String::new(),
    }
}

/// The arguments besides the columns of a row, for messages: `minValue 0, maxValue 10`. Empty if the type says all.
pub(super) fn expected(given: &Expectation) -> String {
    let value = serde_json::to_value(given).unwrap_or_default();
    let shown = given
        .given()
        .into_iter()
        .filter(|argument| !matches!(argument, Argument::Column | Argument::ColumnA | Argument::ColumnB));
    let texts: Vec<String> = shown
        .filter_map(|argument| Some(format!("{argument} {}", plain(value.get(argument.as_str())?))))
        .collect();
    texts.join(", ")
}

/// A value in a sentence.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, 60),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().take(8).map(plain).collect();
            let more = if values.len() > 8 { ", …" } else { "" };
            format!("[{}{more}]", texts.join(", "))
        }
        Value::Object(fields) => {
            let texts: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            texts.join(" ")
        }
        Value::Null => "missing".to_owned(),
        other => other.to_string(),
    }
}

/// The arguments as Great Expectations has them, without those that are its defaults. Values have the type of their column.
pub(super) fn kwargs(given: &Expectation, frame: &mut Frame<'_>) -> Map<String, Value> {
    let mut kwargs = Map::new();
    for argument in given.given() {
        if is_default(given, argument) {
            continue;
        }
        if let Some((name, value)) = kwarg(given, argument, frame) {
            kwargs.insert(name.to_owned(), value);
        }
    }
    if given.r#type.allows(Argument::DoubleSided) {
        kwargs.insert(
            "double_sided".to_owned(),
            given.double_sided.unwrap_or(true).into(),
        );
    }
    kwargs
}

/// Whether an argument is set to its default.
fn is_default(given: &Expectation, argument: Argument) -> bool {
    let is = |number: &Option<Decimal>, default: f64| {
        number.as_ref().is_some_and(|number| number.to_f64() == default)
    };
    match argument {
        Argument::StrictMin => given.strict_min == Some(false),
        Argument::StrictMax => given.strict_max == Some(false),
        Argument::ExactMatch => given.exact_match == Some(true),
        Argument::Mostly => is(&given.mostly, 1.0),
        Argument::TailWeightHoldout => is(&given.tail_weight_holdout, 0.0),
        Argument::MatchOn => given.match_on == Some(MatchOn::Any),
        Argument::IgnoreRowIf => matches!(
            given.ignore_row_if,
            Some(IgnoreRowIf::BothValuesAreMissing | IgnoreRowIf::AllValuesAreMissing)
        ),
        _ => false,
    }
}

fn kwarg(given: &Expectation, argument: Argument, frame: &mut Frame<'_>) -> Option<(&'static str, Value)> {
    let decimal = |number: &Option<Decimal>| number.as_ref().map(decimal);
    Some(match argument {
        Argument::Column => ("column", json!(given.column)),
        Argument::ColumnA => ("column_A", json!(given.column_a)),
        Argument::ColumnB => ("column_B", json!(given.column_b)),
        Argument::ColumnList => ("column_list", json!(given.column_list)),
        Argument::ColumnSet => ("column_set", json!(given.column_set)),
        Argument::ColumnIndex => ("column_index", json!(given.column_index)),
        Argument::ExactMatch => ("exact_match", json!(given.exact_match)),
        Argument::Value => ("value", json!(given.value)),
        Argument::MinValue => ("min_value", decimal(&given.min_value)?),
        Argument::MaxValue => ("max_value", decimal(&given.max_value)?),
        Argument::StrictMin => ("strict_min", json!(given.strict_min)),
        Argument::StrictMax => ("strict_max", json!(given.strict_max)),
        Argument::Mostly => ("mostly", decimal(&given.mostly)?),
        Argument::ValueSet => {
            let values = given.value_set.iter().flatten();
            let value = |text: &String| typed(frame, given.column.as_deref(), text);
            ("value_set", values.map(value).collect())
        }
        Argument::ValuePairsSet => {
            let pairs = given.value_pairs_set.iter().flatten();
            let a: Vec<Value> = pairs
                .clone()
                .map(|pair| typed(frame, given.column_a.as_deref(), &pair.a))
                .collect();
            let b: Vec<Value> = pairs
                .map(|pair| typed(frame, given.column_b.as_deref(), &pair.b))
                .collect();
            let pairs = a.into_iter().zip(b).map(|(a, b)| json!([a, b]));
            ("value_pairs_set", pairs.collect())
        }
        Argument::TiesOkay => ("ties_okay", json!(given.ties_okay)),
        Argument::ValueType => ("type_", json!(given.value_type.map(type_name))),
        Argument::TypeList => {
            let types = given.type_list.iter().flatten();
            (
                "type_list",
                types.map(|word| Value::from(type_name(*word))).collect(),
            )
        }
        Argument::Regex => ("regex", json!(given.regex)),
        Argument::RegexList => ("regex_list", json!(given.regex_list)),
        Argument::MatchOn => {
            let word = given.match_on.map(|word| match word {
                MatchOn::Any => "any",
                MatchOn::All => "all",
            });
            ("match_on", json!(word))
        }
        Argument::StrftimeFormat => ("strftime_format", json!(given.strftime_format)),
        Argument::Threshold => ("threshold", decimal(&given.threshold)?),
        Argument::DoubleSided => ("double_sided", json!(given.double_sided)),
        Argument::QuantileRanges => ("quantile_ranges", quantile_ranges(given)),
        Argument::OrEqual => ("or_equal", json!(given.or_equal)),
        Argument::Strictly => ("strictly", json!(given.strictly)),
        Argument::IgnoreRowIf => {
            let word = given.ignore_row_if.map(IgnoreRowIf::snake_case);
            ("ignore_row_if", json!(word))
        }
        Argument::SumTotal => ("sum_total", decimal(&given.sum_total)?),
        Argument::PartitionObject => ("partition_object", partition_object(given, frame)),
        Argument::TailWeightHoldout => ("tail_weight_holdout", decimal(&given.tail_weight_holdout)?),
    })
}

fn quantile_ranges(given: &Expectation) -> Value {
    let ranges = given.quantile_ranges.iter().flatten();
    let quantiles: Vec<Value> = ranges.clone().map(|range| decimal(&range.quantile)).collect();
    let ends = ranges.map(|range| {
        let end = |end: &Option<Decimal>| end.as_ref().map_or(Value::Null, decimal);
        json!([end(&range.min_value), end(&range.max_value)])
    });
    json!({"quantiles": quantiles, "value_ranges": ends.collect::<Vec<_>>()})
}

fn partition_object(given: &Expectation, frame: &mut Frame<'_>) -> Value {
    let shares = given.partition_object.iter().flatten();
    let weights: Vec<Value> = shares.clone().map(|share| decimal(&share.weight)).collect();
    let values: Vec<Value> = shares
        .map(|share| typed(frame, given.column.as_deref(), &share.value))
        .collect();
    json!({"values": values, "weights": weights})
}

/// A text of the spec as the column has its values.
fn typed(frame: &mut Frame<'_>, column: Option<&str>, text: &str) -> Value {
    match column.map(|name| frame.column(name)) {
        Some(Ok(column)) => column.json_of(text),
        _ if text.is_empty() => Value::Null,
        _ => text.into(),
    }
}

fn type_name(word: ValueType) -> &'static str {
    match word {
        ValueType::Int => "int",
        ValueType::Int64 => "int64",
        ValueType::Float => "float",
        ValueType::Float64 => "float64",
        ValueType::Str => "str",
    }
}

/// A decimal number in JSON.
pub(super) fn decimal(number: &Decimal) -> Value {
    whole(number.as_str()).map_or_else(|| number.to_f64().into(), Value::from)
}
