//! What the check of a column reports.

use modelward_wire::words;
use serde::{Deserialize, Serialize};

/// What is in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// `Numeric` or `Categorical`, or `Target` of the one that is predicted.
    pub kind: String,
    /// Whether the spec declares it; otherwise it was inferred.
    pub declared: bool,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: u64,
    /// Values that are numbers as the file writes them.
    #[serde(default)]
    pub numbers: u64,
    /// Values that are not numbers.
    #[serde(default)]
    pub words: u64,
    /// The first different values, at most five and cut; none of a source that may not be quoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// What looks wrong with it, and is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ColumnWarning>,
    /// The different values of the target with their rows, if they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<TargetValue>,
}

/// What looks wrong with a column that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnWarning {
    /// What it is.
    pub rule: WarningRule,
    /// One sentence, with what to do.
    pub message: String,
    /// Rows that are concerned.
    pub count: u64,
}

words! {
    /// Why the kind of a column cannot be inferred.
    pub enum Refusal {
        /// Its words are numbers in another notation.
        Notation,
        /// Its words usually mean "missing", and all other values are numbers.
        MissingWords,
        /// It mixes numbers and words.
        Mixed,
    }

    /// What may look wrong with a column.
    pub enum WarningRule {
        /// Categories that usually mean "missing".
        MissingWords,
        /// Categories that differ only in upper and lower case or in blanks.
        Spellings,
        /// A declared feature whose words differ in nearly every row, or whole numbers that differ in every row.
        Identifier,
        /// Numbers that count the rows.
        RowNumber,
        /// Dates.
        Date,
        /// Sentences.
        FreeText,
        /// One value in every row.
        Constant,
        /// One value, and missing cells.
        OneValue,
        /// Different numbers that are equal as 32-bit floats.
        FallTogether,
        /// Codes that JavaScript and other programs cannot hold as numbers.
        LargeCodes,
        /// Names of columns that are numbers: the header may be a row of data.
        Header,
        /// Numbers of `validation.timeSplit` that are not times, judging by their size.
        NoTimes,
        /// Groups of `validation.groupBy` that have one row each, except for a few.
        SingleRows,
        /// `inspect` guessed which numbers of the target are class 1.
        ClassOne,
        /// A column that alone separates the classes.
        Leak,
        /// Rows that have the values of another one.
        Repeats,
    }
}

/// A value of the target that rows have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetValue {
    /// The value in its canonical spelling, cut to 40 characters.
    pub value: String,
    /// How many rows have it.
    pub rows: u64,
    /// Their class.
    pub class: u8,
}
