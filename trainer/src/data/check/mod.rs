//! From text cells to typed rows, with every rule that the data breaks.
//!
//! | rule | what breaks it |
//! |---|---|
//! | `Files` | a dataset of too many files |
//! | `Sha256` | the source does not have the digest that the spec pins |
//! | `Encoding`, `Csv`, `Parquet`, `Header`, `ColumnCount`, `TooManyColumns`, `TooManyRows` | it is not the table that the spec describes |
//! | `Empty` | no rows |
//! | `UnknownColumn` | target, a feature or an excluded column that the table does not have |
//! | `Columns` | a dataset that has other columns than the first one |
//! | `NoFeatures` | nothing is left to learn from |
//! | `Type` | a value that is not a number in a numeric column; a column that mixes numbers and words without being declared |
//! | `Notation` | nearly all words of a column are numbers in another notation, such as a decimal comma |
//! | `Identifier` | words that differ in nearly every row of a column that is not declared |
//! | `Range`, `Category` | a value outside what the spec declares |
//! | `Required`, `MissingRatio`, `AllMissing` | too many rows without a value |
//! | `TooManyCategories` | more than 256 words in a categorical column: an identifier rather than a category |
//! | `Group` | rows without a value in the column of `validation.groupBy` |
//! | `Weight` | weights that are missing, not numbers, negative or too large, or 0 in every row of a class |
//! | `Time` | times that are missing, or not written in one of the known forms |
//! | `Target` | a row whose target is missing or cannot be read; more than two values that the spec does not list |
//! | `Transform` | a declared transform that does not fit the features |
//! | `OneClass`, `ClassCount` | a class with no rows, or with fewer than there are folds |
//!
//! A column that the spec does not declare is `Numeric` if every value is a number, even if there are few distinct ones:
//! the data does not show whether 0, 1, 2 are codes or amounts. Declare codes `Categorical`.
//!
//! Several datasets are one table: their rows follow each other, and a column is inferred and checked over all of them.
//! Only the format of a file (header, delimiter, what means missing) and the order of its columns are its own. If
//! there are several, a violation of values names the dataset that it is in.

mod broken;
mod categorical;
mod cells;
mod column;
mod leak;
mod missing_words;
mod names;
mod numeric;
mod parts;
mod report;
mod row_columns;
mod seen;
mod suspicion;
mod table_warnings;
mod target;
#[cfg(test)]
mod tests;

use modelward_crds::TrainingSource;
use modelward_model::{FeatureSchema, Missing};
use modelward_wire::Violation;
use serde::Serialize;

pub use self::{
    categorical::MAX_CATEGORIES,
    parts::{OwnedPart, Part},
    report::{ColumnReport, ColumnWarning, Refusal, TargetValue, WarningRule},
    target::{class_of, too_few_rows},
};
use crate::data::{
    check::{
        cells::Column,
        column::{CheckedColumn, check_column},
        leak::find_leaks,
        names::check_names,
        parts::Parts,
        row_columns::check_row_columns,
        seen::Seen,
        table_warnings::find_table_warnings,
        target::check_target,
    },
    dataset::Dataset,
    row_columns::RowColumns,
    violation::violation,
};
use crate::transform::{Problem, find_problems};

/// The result of a check that found nothing wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The rows.
    pub dataset: Dataset,
    /// What is in each feature's column, and then in that of the target.
    pub columns: Vec<ColumnReport>,
}

/// What is in a column of a table that no spec describes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// What is in it.
    #[serde(flatten)]
    pub report: ColumnReport,
    /// Why it cannot be a feature as it is.
    pub refusals: Vec<Violation>,
    /// Why its kind could not be inferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Words among numbers that usually mean "missing".
    pub missing_words: Vec<String>,
}

/// What is in each column of a table, as a feature that is not declared. Columns without a name are left out.
pub fn inspect(part: Part<'_>) -> Vec<Inspected> {
    let parts = [part];
    let parts = Parts::new(&parts);
    let names = parts.columns();
    let named = names
        .iter()
        .enumerate()
        .filter(|(at, name)| !name.is_empty() && !names[..*at].contains(name));
    named
        .map(|(_, name)| {
            let column = Column {
                parts: &parts,
                name,
                spec: None,
                cells: parts.cells(name),
            };
            let mut refusals = Vec::new();
            let CheckedColumn { report, refusal, .. } = check_column(&column, &mut refusals);
            let missing_words = match report.numbers {
                0 => Vec::new(),
                _ => Seen::of(&column).spellings(),
            };
            Inspected {
                report,
                refusals,
                refusal,
                missing_words,
            }
        })
        .collect()
}

/// The different values of a column with their rows, the commonest first; empty if there are more than 64.
pub fn count_values(part: Part<'_>, column: &str) -> Vec<(String, u64)> {
    let parts = [part];
    target::count_values(&Parts::new(&parts), column)
}

/// What looks wrong with a table as a whole.
pub fn inspect_table(part: Part<'_>) -> Vec<ColumnWarning> {
    let parts = [part];
    find_table_warnings(&Parts::new(&parts), &RowColumns::default())
}

/// Checks tables against the spec, as one. All violations at once, or typed rows. `tolerances` are the features that
/// `monitoring.tolerances` names.
pub fn check(
    parts: &[Part<'_>],
    training: &TrainingSource,
    tolerances: &[String],
) -> Result<Checked, Vec<Violation>> {
    let parts = Parts::new(parts);
    let mut around = check_around(&parts, training, tolerances)?;
    let features = std::mem::take(&mut around.features);
    let checked = features
        .iter()
        .map(|name| check_feature(&parts, name, training, &mut around.violations))
        .collect();
    around.finish(checked, training)
}

/// Like `check`, for tables that are not needed afterwards. The texts of a column are freed once they are read, so that all texts and
/// all values are never in memory together.
pub fn check_dropping(
    mut parts: Vec<OwnedPart<'_>>,
    training: &TrainingSource,
    tolerances: &[String],
) -> Result<Checked, Vec<Violation>> {
    let mut around = {
        let all: Vec<Part<'_>> = parts.iter().map(OwnedPart::part).collect();
        check_around(&Parts::new(&all), training, tolerances)?
    };
    let mut checked = Vec::new();
    for name in std::mem::take(&mut around.features) {
        let of_column: Vec<OwnedPart<'_>> = parts.iter_mut().map(|part| part.take_column(&name)).collect();
        let borrowed: Vec<Part<'_>> = of_column.iter().map(OwnedPart::part).collect();
        checked.push(check_feature(
            &Parts::new(&borrowed),
            &name,
            training,
            &mut around.violations,
        ));
    }
    drop(parts);
    around.finish(checked, training)
}

/// What was found outside of the columns of the features.
struct Around {
    /// The names of the features, in the order of the first part.
    features: Vec<String>,
    /// Violations in the names of columns, to which those of the features are added.
    violations: Vec<Violation>,
    /// Violations in the target and in the columns that are not features.
    others: Vec<Violation>,
    labels: Vec<bool>,
    target: ColumnReport,
    row_columns: RowColumns,
    missing: Missing,
}

/// Checks everything but the columns of the features.
fn check_around(
    parts: &Parts<'_>,
    training: &TrainingSource,
    tolerances: &[String],
) -> Result<Around, Vec<Violation>> {
    let mut violations = Vec::new();
    for part in parts.all.iter().filter(|part| part.table.rows.is_empty()) {
        let message = parts.in_file(part.name, "the data has no rows");
        violations.push(violation("", "Empty", message, 1, None));
    }
    check_names(parts, training, tolerances, &mut violations);
    if parts.are_foreign(training) {
        // It is not what the spec describes, so nothing else about it is reported, not even names.
        return Err(violations);
    }
    let names = parts.columns();
    // A column without a name, and a second one of a name, are violations of the header.
    let is_feature = |(at, name): &(usize, &String)| {
        training.is_feature(name) && !name.is_empty() && !names[..*at].contains(name)
    };
    let features = names.iter().enumerate().filter(is_feature);
    let features: Vec<String> = features.map(|(_, name)| name.clone()).collect();
    let mut others = Vec::new();
    if features.is_empty() && !names.is_empty() {
        let message =
            "no column is left to learn from: every one is the target, excluded, or has another role";
        others.push(violation("", "NoFeatures", message, 1, None));
    }
    let (labels, mut target) = check_target(parts, training, &mut others);
    let row_columns = check_row_columns(parts, training, &labels, &mut others);
    target.warnings = find_table_warnings(parts, &row_columns);
    Ok(Around {
        features,
        violations,
        others,
        labels,
        target,
        row_columns,
        missing: parts.missing(),
    })
}

fn check_feature(
    parts: &Parts<'_>,
    name: &str,
    training: &TrainingSource,
    violations: &mut Vec<Violation>,
) -> CheckedColumn {
    let column = Column {
        parts,
        name,
        spec: training.features.iter().find(|feature| feature.name == *name),
        cells: parts.cells(name),
    };
    check_column(&column, violations)
}

// === impl Around ===

impl Around {
    /// The rows of these columns, if nothing is wrong.
    fn finish(
        mut self,
        checked: Vec<CheckedColumn>,
        training: &TrainingSource,
    ) -> Result<Checked, Vec<Violation>> {
        self.violations.append(&mut self.others);
        if !self.violations.is_empty() {
            return Err(self.violations);
        }
        let (mut features, mut columns, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for column in checked {
            features.push(column.feature);
            columns.push(column.report);
            values.push(column.values);
        }
        columns.push(self.target);
        let mut schema = FeatureSchema::new(features)
            .map_err(|error| vec![violation("", "Schema", error.to_string(), 1, None)])?;
        schema.missing = self.missing;
        let problems = find_problems(&training.transforms, &schema);
        if !problems.is_empty() {
            let all = problems
                .into_iter()
                .map(|Problem { transform, message }| violation(&transform, "Transform", message, 1, None));
            return Err(all.collect());
        }
        let dataset = Dataset {
            schema,
            columns: values,
            labels: self.labels,
            row_columns: self.row_columns,
        };
        find_leaks(&dataset, &mut columns);
        Ok(Checked { dataset, columns })
    }
}
