//! Expectations: what the data must be like before a model is trained on them, with the names and arguments of Great Expectations.

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

/// One expectation of the rows of all datasets together. Its arguments are those of Great Expectations, in camel case. Texts are
/// compared as numbers in a column of numbers. An empty text is a missing value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct Expectation {
    /// Which expectation.
    pub r#type: ExpectationType,
    /// Critical, which it is if absent: rows that do not meet it are not trained on. Warning: it is reported.
    #[serde(default, skip_serializing_if = "Severity::is_critical")]
    pub severity: Severity,
    /// The column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column: Option<String>,
    /// The first column of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_a: Option<String>,
    /// The second column of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column_b: Option<String>,
    /// The columns, in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub column_list: Option<Vec<String>>,
    /// The columns, in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub column_set: Option<Vec<String>>,
    /// The position of the column, the first one being 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4095))]
    pub column_index: Option<i32>,
    /// Whether columnSet names every column. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact_match: Option<bool>,
    /// The number of rows, columns or characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub value: Option<i64>,
    /// The smallest value, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min_value: Option<Decimal>,
    /// The largest value, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max_value: Option<Decimal>,
    /// Whether minValue itself is too small. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_min: Option<bool>,
    /// Whether maxValue itself is too large. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_max: Option<bool>,
    /// The share of values that must be as expected, a decimal number from 0 to 1. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub mostly: Option<Decimal>,
    /// The values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub value_set: Option<Vec<String>>,
    /// The pairs of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub value_pairs_set: Option<Vec<ValuePair>>,
    /// Whether one of several most common values is enough. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ties_okay: Option<bool>,
    /// The type of the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<ValueType>,
    /// The types of which the values have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub type_list: Option<Vec<ValueType>>,
    /// A regular expression of Rust's regex crate that matches a part of the text; ^ and $ match its ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub regex: Option<String>,
    /// Regular expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub regex_list: Option<Vec<String>>,
    /// Whether any or all of regexList must match. Default: Any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_on: Option<MatchOn>,
    /// The format of a date or time, with Python's directives, such as %Y-%m-%d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    pub strftime_format: Option<String>,
    /// The bound, a decimal number of at least 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_AMOUNT).message(AMOUNT))]
    pub threshold: Option<Decimal>,
    /// Whether values below the mean are judged too. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub double_sided: Option<bool>,
    /// The ranges of quantiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub quantile_ranges: Option<Vec<QuantileRange>>,
    /// Whether equal values are as expected. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub or_equal: Option<bool>,
    /// Whether equal neighbours are unexpected. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strictly: Option<bool>,
    /// Which rows are left aside: of a pair BothValuesAreMissing (default), EitherValueIsMissing or Neither; of columnList
    /// AllValuesAreMissing (default), AnyValueIsMissing or Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_row_if: Option<IgnoreRowIf>,
    /// The sum, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub sum_total: Option<Decimal>,
    /// The expected share of each value. The shares add up to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub partition_object: Option<Vec<PartitionShare>>,
    /// The share that all values together have that partitionObject does not name, a decimal number from 0 to 1. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub tail_weight_holdout: Option<Decimal>,
}

/// Values of two columns in one row.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValuePair {
    /// Value of columnA; missing if empty.
    #[schemars(length(max = 128))]
    pub a: String,
    /// Value of columnB; missing if empty.
    #[schemars(length(max = 128))]
    pub b: String,
}

/// The range of a quantile.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.minValue) || has(self.maxValue)").message("at least one of minValue and maxValue must be set"))]
pub struct QuantileRange {
    /// The quantile, a decimal number from 0 to 1.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub quantile: Decimal,
    /// The smallest value, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min_value: Option<Decimal>,
    /// The largest value, a decimal number.
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
    /// Its share, a decimal number from 0 to 1.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub weight: Decimal,
}

words! {
    /// An expectation of Great Expectations.
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
        /// Values are there.
        ExpectColumnValuesToNotBeNull,
        /// Values are missing.
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
        /// The different values are in a set.
        ExpectColumnDistinctValuesToBeInSet,
        /// The different values are those of a set.
        ExpectColumnDistinctValuesToEqualSet,
        /// Every value of a set occurs.
        ExpectColumnDistinctValuesToContainSet,
        /// The most common value is in a set.
        ExpectColumnMostCommonValueToBeInSet,
        /// No value occurs twice.
        ExpectColumnValuesToBeUnique,
        /// The number of different values.
        ExpectColumnUniqueValueCountToBeBetween,
        /// The number of different values by that of all.
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
        /// Texts are dates or times of a format.
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

    /// What an unmet expectation means.
    #[derive(Default, JsonSchema)]
    pub enum Severity {
        /// The data are not valid.
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
        /// Texts.
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

    /// Which rows are left aside.
    #[derive(JsonSchema)]
    pub enum IgnoreRowIf {
        /// Of a pair, both values are missing.
        BothValuesAreMissing,
        /// Of a pair, a value is missing.
        EitherValueIsMissing,
        /// None, of a pair.
        Neither,
        /// Every value is missing.
        AllValuesAreMissing,
        /// A value is missing.
        AnyValueIsMissing,
        /// None.
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
    /// The word of Great Expectations, such as `both_values_are_missing`.
    pub fn snake_case(self) -> String {
        snake_case(self.as_str())
    }
}

/// Every capital letter begins a word.
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
