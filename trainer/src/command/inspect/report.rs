//! What `inspect` found.

use modelward_crds::CsvFormat;
use modelward_wire::Violation;
use serde::Serialize;

use crate::data::check::Inspected;

/// What is in a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inspection {
    pub(super) file: String,
    pub(super) rows: u64,
    /// How it was read.
    pub(super) csv: CsvFormat,
    /// What is wrong with its form.
    pub(super) refusals: Vec<Violation>,
    pub(super) columns: Vec<Inspected>,
    /// The column to predict, as named or guessed, with its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<TargetGuess>,
}

/// A column to predict.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetGuess {
    pub(super) column: String,
    /// Whether the command line names it.
    pub(super) named: bool,
    /// The different values with their rows, the commonest first; nothing where there are many.
    pub(super) values: Vec<(String, u64)>,
}
