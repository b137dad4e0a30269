//! Whether the results that a snapshot has answer the expectations of a spec that names it.

use modelward_crds::{Expectation, Severity};
use serde_json::{Map, Value};

use crate::data::{
    expectations::{
        frame::Frame,
        given::{columns, kwargs},
        outline::{Outline, OutlineResult},
    },
    number::number,
};

/// Why a snapshot with these results does not meet the expectations, whose rows it no longer has as text: it has no result for one of
/// them, or a critical one failed.
pub fn find_unanswered(expectations: &[Expectation], outline: Option<&Outline>) -> Option<String> {
    let results = outline.map_or(&[][..], |outline| outline.results.as_slice());
    expectations
        .iter()
        .find_map(|given| explain_unanswered(given, results))
}

fn explain_unanswered(given: &Expectation, results: &[OutlineResult]) -> Option<String> {
    // Without a table, values of the spec stay texts.
    let asked = kwargs(given, &mut Frame::new(&[]));
    let is_it = |result: &&OutlineResult| {
        let config = &result.expectation_config;
        config.r#type == given.r#type.snake_case() && have_same_fields(&asked, &config.kwargs)
    };
    let found: Vec<&OutlineResult> = results.iter().filter(is_it).collect();
    let is_met = found.iter().any(|result| result.success);
    let columns = match columns(given) {
        names if names.is_empty() => String::new(),
        names => format!(" ({names})"),
    };
    match given.severity {
        _ if found.is_empty() => Some(format!(
            "the snapshot was taken without the expectation {}{columns}",
            given.r#type
        )),
        Severity::Critical if !is_met => Some(format!(
            "the snapshot does not meet the critical expectation {}{columns}",
            given.r#type
        )),
        _ => None,
    }
}

fn have_same_fields(asked: &Map<String, Value>, kept: &Map<String, Value>) -> bool {
    let same = |(name, value): (&String, &Value)| kept.get(name).is_some_and(|kept| is_same(value, kept));
    asked.len() == kept.len() && asked.iter().all(same)
}

/// Whether an argument of the spec is the one of a result, in which values have the type of their column.
fn is_same(asked: &Value, kept: &Value) -> bool {
    match (asked, kept) {
        (Value::Number(asked), Value::Number(kept)) => are_close(asked.as_f64(), kept.as_f64()),
        (Value::String(asked), Value::Number(kept)) => are_close(number(asked), kept.as_f64()),
        (Value::Array(asked), Value::Array(kept)) => {
            asked.len() == kept.len() && asked.iter().zip(kept).all(|(asked, kept)| is_same(asked, kept))
        }
        (Value::Object(asked), Value::Object(kept)) => have_same_fields(asked, kept),
        _ => asked == kept,
    }
}

/// Whether numbers are equal, but for the last digit that JSON may lose.
fn are_close(asked: Option<f64>, kept: Option<f64>) -> bool {
    asked
        .zip(kept)
        .is_some_and(|(asked, kept)| (asked - kept).abs() <= asked.abs() * 1e-12)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(results: &Value) -> Outline {
        serde_json::from_value(json!({"results": results})).unwrap()
    }

    fn explain(expectation: Value, outline: &Outline) -> Option<String> {
        let expectation: Expectation = serde_json::from_value(expectation).unwrap();
        find_unanswered(&[expectation], Some(outline))
    }

    #[test]
    fn an_expectation_is_answered_by_a_result_of_the_same_arguments() {
        let outline = found(&json!([
            {
                "success": true,
                "expectation_config": {
                    "type": "expect_column_values_to_be_in_set",
                    "kwargs": {"column": "code", "value_set": [1, 2.5], "mostly": 0.9},
                    "severity": "critical",
                },
            },
            {
                "success": false,
                "expectation_config": {
                    "type": "expect_table_row_count_to_equal",
                    "kwargs": {"value": 61},
                    "severity": "warning",
                },
            },
        ]));
        let codes = |values: &[&str]| {
            json!({
                "type": "ExpectColumnValuesToBeInSet",
                "column": "code",
                "valueSet": values,
                "mostly": "0.90",
            })
        };
        assert_eq!(explain(codes(&["1.0", "2.5"]), &outline), None);
        assert_eq!(
            explain(codes(&["1", "2"]), &outline).unwrap(),
            "the snapshot was taken without the expectation ExpectColumnValuesToBeInSet (code)"
        );
        let count =
            |severity: &str| json!({"type": "ExpectTableRowCountToEqual", "value": 61, "severity": severity});
        assert_eq!(explain(count("Warning"), &outline), None);
        assert_eq!(
            explain(count("Critical"), &outline).unwrap(),
            "the snapshot does not meet the critical expectation ExpectTableRowCountToEqual"
        );
        assert_eq!(find_unanswered(&[], None), None);
    }
}
