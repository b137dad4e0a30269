//! Expectations that the data must meet before a model is trained on it, with the names and arguments of Great Expectations.

mod arguments;

use kube::KubeSchema;
use modelward_wire::{Decimal, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::arguments::{Argument, Arguments};
use crate::model_version::{
    expectations::arguments::rules,
    rules::{AMOUNT, IS_AMOUNT, IS_NUMBER, IS_SHARE, NUMBER, SHARE},
};

/// An expectation about the rows of all datasets together. Its arguments are those of Great Expectations, in camel case. In a numeric
/// column, strings are compared as numbers. An empty string is a missing value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct Expectation {
    /// Type of the expectation.
    pub r#type: ExpectationType,
    /// What happens if the expectation is not met. Critical (the default): the data is rejected. Warning: it is reported.
    #[serde(default, skip_serializing_if = "Severity::is_critical")]
    pub severity: Severity,
    /// Name of the column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column: Option<String>,
    /// First column of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_a: Option<String>,
    /// Second column of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_b: Option<String>,
    /// Names of the columns, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub column_list: Option<Vec<String>>,
    /// Names of the columns, in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub column_set: Option<Vec<String>>,
    /// Position of the column, starting at 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4095))]
    pub column_index: Option<i32>,
    /// Whether columnSet must list every column. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_match: Option<bool>,
    /// Number of rows, columns or characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub value: Option<i64>,
    /// Smallest allowed value, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min_value: Option<Decimal>,
    /// Largest allowed value, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max_value: Option<Decimal>,
    /// Whether values must be greater than minValue, not equal to it. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_min: Option<bool>,
    /// Whether values must be less than maxValue, not equal to it. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_max: Option<bool>,
    /// Share of the values that must meet the expectation, as a decimal number from 0 to 1. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub mostly: Option<Decimal>,
    /// Set of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub value_set: Option<Vec<String>>,
    /// Set of pairs of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub value_pairs_set: Option<Vec<ValuePair>>,
    /// Whether it is enough that one of several equally common values is in the set. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ties_okay: Option<bool>,
    /// Type of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<ValueType>,
    /// Types that the values may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub type_list: Option<Vec<ValueType>>,
    /// Regular expression of Rust's regex crate. It may match any part of the string; ^ and $ match its ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub regex: Option<String>,
    /// Regular expressions, as in regex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub regex_list: Option<Vec<String>>,
    /// Whether at least one of regexList must match (Any) or all of them (All). Default: Any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_on: Option<MatchOn>,
    /// Format of a date or time, with the directives of Python, such as %Y-%m-%d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    pub strftime_format: Option<String>,
    /// Upper bound, as a decimal number of at least 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub threshold: Option<Decimal>,
    /// Whether values below the mean are also checked. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub double_sided: Option<bool>,
    /// Quantiles, each with its range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub quantile_ranges: Option<Vec<QuantileRange>>,
    /// Whether equal values meet the expectation. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub or_equal: Option<bool>,
    /// Whether equal consecutive values violate the expectation. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strictly: Option<bool>,
    /// Which rows are ignored. For a pair: BothValuesAreMissing (default), EitherValueIsMissing or Neither. For columnList:
    /// AllValuesAreMissing (default), AnyValueIsMissing or Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_row_if: Option<IgnoreRowIf>,
    /// Expected sum, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub sum_total: Option<Decimal>,
    /// Expected share of each value. The shares add up to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub partition_object: Option<Vec<PartitionShare>>,
    /// Total share of the values that partitionObject does not list, as a decimal number from 0 to 1. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub tail_weight_holdout: Option<Decimal>,
}

/// Values of two columns in a row.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValuePair {
    /// Value of columnA. An empty string is a missing value.
    #[schemars(length(max = 128))]
    pub a: String,
    /// Value of columnB. An empty string is a missing value.
    #[schemars(length(max = 128))]
    pub b: String,
}

/// A quantile and its range. At least one of minValue and maxValue must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.minValue) || has(self.maxValue)").message("at least one of minValue and maxValue must be set"))]
pub struct QuantileRange {
    /// Quantile, as a decimal number from 0 to 1.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub quantile: Decimal,
    /// Smallest allowed value of the quantile, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min_value: Option<Decimal>,
    /// Largest allowed value of the quantile, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max_value: Option<Decimal>,
}

/// The expected share of a value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartitionShare {
    /// The value.
    #[schemars(length(min = 1, max = 128))]
    pub value: String,
    /// Share of the value, as a decimal number from 0 to 1.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub weight: Decimal,
}

words! {
    /// A type of expectation, named as in Great Expectations.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum ExpectationType {
        /// The table has the column.
        ExpectColumnToExist,
        /// The number of columns.
        ExpectTableColumnCountToEqual,
        /// The number of columns.
        ExpectTableColumnCountToBeBetween,
        /// The columns, in any order.
        ExpectTableColumnsToMatchSet,
        /// The columns, in their order.
        ExpectTableColumnsToMatchOrderedList,
        /// The type of the column.
        ExpectColumnValuesToBeOfType,
        /// The type of the column.
        ExpectColumnValuesToBeInTypeList,
        /// The number of rows.
        ExpectTableRowCountToEqual,
        /// The number of rows.
        ExpectTableRowCountToBeBetween,
        /// No value is missing.
        ExpectColumnValuesToNotBeNull,
        /// All values are missing.
        ExpectColumnValuesToBeNull,
        /// Every value is in a range.
        ExpectColumnValuesToBeBetween,
        /// The smallest value.
        ExpectColumnMinToBeBetween,
        /// The largest value.
        ExpectColumnMaxToBeBetween,
        /// The mean.
        ExpectColumnMeanToBeBetween,
        /// The median.
        ExpectColumnMedianToBeBetween,
        /// The standard deviation of a sample.
        ExpectColumnStdevToBeBetween,
        /// The sum.
        ExpectColumnSumToBeBetween,
        /// Quantiles, each the nearest value.
        ExpectColumnQuantileValuesToBeBetween,
        /// Distances from the mean, in standard deviations.
        ExpectColumnValueZScoresToBeLessThan,
        /// No value is smaller than the one before it.
        ExpectColumnValuesToBeIncreasing,
        /// No value is greater than the one before it.
        ExpectColumnValuesToBeDecreasing,
        /// Every value is in a set.
        ExpectColumnValuesToBeInSet,
        /// No value is in a set.
        ExpectColumnValuesToNotBeInSet,
        /// The distinct values are in a set.
        ExpectColumnDistinctValuesToBeInSet,
        /// The distinct values are those of a set.
        ExpectColumnDistinctValuesToEqualSet,
        /// Every value of a set occurs.
        ExpectColumnDistinctValuesToContainSet,
        /// The most common value is in a set.
        ExpectColumnMostCommonValueToBeInSet,
        /// No value occurs twice.
        ExpectColumnValuesToBeUnique,
        /// The number of distinct values.
        ExpectColumnUniqueValueCountToBeBetween,
        /// The number of distinct values divided by the number of all values.
        ExpectColumnProportionOfUniqueValuesToBeBetween,
        /// No combination of values occurs twice.
        ExpectCompoundColumnsToBeUnique,
        /// The values of a row differ.
        ExpectSelectColumnValuesToBeUniqueWithinRecord,
        /// A regular expression matches.
        ExpectColumnValuesToMatchRegex,
        /// A regular expression does not match.
        ExpectColumnValuesToNotMatchRegex,
        /// Regular expressions match.
        ExpectColumnValuesToMatchRegexList,
        /// Strings are dates or times in a format.
        ExpectColumnValuesToMatchStrftimeFormat,
        /// The number of characters.
        ExpectColumnValueLengthsToBeBetween,
        /// The number of characters.
        ExpectColumnValueLengthsToEqual,
        /// One column is greater than another.
        ExpectColumnPairValuesAToBeGreaterThanB,
        /// Two columns are equal.
        ExpectColumnPairValuesToBeEqual,
        /// The values of two columns are in a set of pairs.
        ExpectColumnPairValuesToBeInSet,
        /// The sum of a row.
        ExpectMulticolumnSumToEqual,
        /// The divergence of the shares of values from the expected ones.
        ExpectColumnKlDivergenceToBeLessThan,
    }

    /// What happens if an expectation is not met.
    #[derive(Default, JsonSchema)]
    pub enum Severity {
        /// The data is rejected.
        #[default]
        Critical,
        /// It is reported.
        Warning,
    }

    /// How a column is read.
    #[derive(JsonSchema)]
    pub enum ValueType {
        /// Whole numbers, none missing.
        Int,
        /// Whole numbers, none missing.
        Int64,
        /// Numbers.
        Float,
        /// Numbers.
        Float64,
        /// Strings.
        Str,
    }

    /// How many of several regular expressions must match.
    #[derive(JsonSchema)]
    pub enum MatchOn {
        /// One.
        Any,
        /// Every one.
        All,
    }

    /// Which rows are ignored.
    #[derive(JsonSchema)]
    pub enum IgnoreRowIf {
        /// Rows in which both values of a pair are missing.
        BothValuesAreMissing,
        /// Rows in which a value of a pair is missing.
        EitherValueIsMissing,
        /// No rows, for a pair.
        Neither,
        /// Rows in which all values are missing.
        AllValuesAreMissing,
        /// Rows in which a value is missing.
        AnyValueIsMissing,
        /// No rows.
        Never,
    }
}

// === impl Severity ===

impl Severity {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_critical(&self) -> bool {
        *self == Self::Critical
    }
}

// === impl ExpectationType ===

impl ExpectationType {
    /// The name in Great Expectations, such as `expect_column_to_exist`.
    pub fn snake_case(self) -> String {
        snake_case(self.as_str())
    }
}

// === impl IgnoreRowIf ===

impl IgnoreRowIf {
    /// The value in Great Expectations, such as `both_values_are_missing`.
    pub fn snake_case(self) -> String {
        snake_case(self.as_str())
    }
}

/// Converts CamelCase to snake_case. Every capital letter begins a word.
fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 16);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_snake_case_are_those_of_great_expectations() {
        for (kind, name) in [
            (ExpectationType::ExpectColumnToExist, "expect_column_to_exist"),
            (
                ExpectationType::ExpectColumnPairValuesAToBeGreaterThanB,
                "expect_column_pair_values_a_to_be_greater_than_b",
            ),
            (
                ExpectationType::ExpectColumnKlDivergenceToBeLessThan,
                "expect_column_kl_divergence_to_be_less_than",
            ),
            (
                ExpectationType::ExpectColumnValueZScoresToBeLessThan,
                "expect_column_value_z_scores_to_be_less_than",
            ),
        ] {
            assert_eq!(kind.snake_case(), name);
        }
    }

    #[test]
    fn an_expectation_is_critical_unless_it_says_otherwise_and_has_no_unknown_argument() {
        let read = |text: &str| serde_json::from_str::<Expectation>(text);
        let one = read(r#"{"type": "ExpectColumnToExist", "column": "a"}"#).unwrap();
        assert_eq!(one.severity, Severity::Critical);
        assert!(read(r#"{"type": "ExpectColumnToExist", "colunm": "a"}"#).is_err());
        assert!(read(r#"{"type": "ExpectColumnToExit", "column": "a"}"#).is_err());
    }
}
