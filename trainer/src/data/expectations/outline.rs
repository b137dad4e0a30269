//! The part of [`VALIDATION`](super::VALIDATION) that a model card needs.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The results of the expectations of a snapshot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Outline {
    /// One an expectation.
    pub results: Vec<OutlineResult>,
}

/// The result of one expectation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OutlineResult {
    /// Whether it is met.
    pub success: bool,
    /// What was found.
    #[serde(default)]
    pub result: Map<String, Value>,
    /// What is expected.
    pub expectation_config: OutlineConfig,
}

/// What is expected. The arguments have values from the spec, and none from the data.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OutlineConfig {
    /// Its name, in snake case.
    pub r#type: String,
    /// Its arguments.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
    /// `critical` or `warning`.
    pub severity: String,
}

// === impl OutlineResult ===

impl OutlineResult {
    /// How many rows are not as expected, and of how many, if it is about rows.
    pub fn unexpected(&self) -> Option<(u64, u64)> {
        let count = |name: &str| self.result.get(name).and_then(Value::as_u64);
        Some((count("unexpected_count")?, count("element_count")?))
    }
}

// === impl OutlineConfig ===

impl OutlineConfig {
    /// The columns that it is about, joined by commas; empty if it is about the table.
    pub fn columns(&self) -> String {
        let named = |name: &str| self.kwargs.get(name).and_then(Value::as_str).map(str::to_owned);
        let listed = self.kwargs.get("column_list").and_then(Value::as_array);
        let listed = listed
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned);
        let columns = ["column", "column_A", "column_B"].into_iter().filter_map(named);
        columns.chain(listed).collect::<Vec<String>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_expectation_is_about_and_how_many_rows_miss_it_are_read_back() {
        let outline: Outline = serde_json::from_value(serde_json::json!({
            "success": false,
            "results": [
                {
                    "success": false,
                    "expectation_config": {
                        "type": "expect_column_pair_values_to_be_equal",
                        "kwargs": {"column_A": "a", "column_B": "b", "mostly": 0.9},
                        "severity": "warning",
                    },
                    "result": {"element_count": 303, "unexpected_count": 2},
                },
                {
                    "success": true,
                    "expectation_config": {
                        "type": "expect_compound_columns_to_be_unique",
                        "kwargs": {"column_list": ["x", "y"]},
                        "severity": "critical",
                    },
                    "result": {},
                },
            ],
        }))
        .unwrap();
        let [pair, several] = &outline.results[..] else {
            unreachable!("two results")
        };
        assert_eq!(pair.expectation_config.columns(), "a, b");
        assert_eq!(pair.unexpected(), Some((2, 303)));
        assert_eq!(several.expectation_config.columns(), "x, y");
        assert_eq!(several.unexpected(), None);
    }
}
