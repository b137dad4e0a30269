//! What `inspect` found.

use modelward_crds::CsvFormat;
use modelward_wire::Violation;
use serde::Serialize;

use crate::data::check::{ColumnWarning, Inspected};

/// What is in a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inspection {
    pub(super) file: String,
    pub(super) rows: u64,
    /// Columns of the file, including those without a name and those with the name of another one.
    pub(super) column_count: u64,
    pub(super) format: FileFormat,
    /// How it was read.
    pub(super) csv: CsvFormat,
    /// What is wrong with its form.
    pub(super) refusals: Vec<Violation>,
    /// What looks wrong with it as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<ColumnWarning>,
    pub(super) columns: Vec<Inspected>,
    /// The column to predict, as named or guessed, with its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<TargetGuess>,
    /// Why a training with the draft would refuse the data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) draft_refusals: Vec<Violation>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum FileFormat {
    Csv,
    Parquet,
}

/// A column to predict.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetGuess {
    pub(super) column: String,
    /// Whether the command line names it.
    pub(super) named: bool,
    /// The distinct values with their rows, the most common first; empty if there are many.
    pub(super) values: Vec<(String, u64)>,
    /// What looks wrong with it, or with the rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<ColumnWarning>,
}
