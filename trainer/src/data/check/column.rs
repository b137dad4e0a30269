//! One column: its kind, its values, what is missing, and what looks wrong.

use modelward_crds::FeatureKind as SpecKind;
use modelward_model::{Feature, FeatureKind};
use modelward_wire::{Decimal, Violation, words};
use serde::{Deserialize, Serialize};

use crate::data::{
    check::{
        broken::Broken,
        categorical::read_categories,
        cells::Column,
        numeric::read_numbers,
        parts::MAX_NAME,
        seen::Seen,
        suspicion::{check_identifier, find_suspicions},
        target::TargetValue,
    },
    dataset::Values,
    violation::{cut, violation},
};

/// What is in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// `Numeric` or `Categorical`, or `Target` of the one that is predicted.
    pub kind: String,
    /// Whether the spec says so; it was inferred otherwise.
    pub declared: bool,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: u64,
    /// Values that are numbers as the file writes them.
    #[serde(default)]
    pub numbers: u64,
    /// Values that are none.
    #[serde(default)]
    pub words: u64,
    /// The first different values, at most five and cut; none of a source that may not be quoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// What looks wrong with it, and is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ColumnWarning>,
    /// The different values of the target with their rows, where they are few.
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
    /// What may look wrong with a column.
    pub enum WarningRule {
        /// Categories that usually mean "missing".
        MissingWords,
        /// Categories that differ in upper and lower case or in blanks only.
        Spellings,
        /// A declared feature whose words differ in nearly every row.
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
    }
}

/// What is in a column, as a feature and its values.
pub(super) fn check_column(
    column: &Column<'_>,
    violations: &mut Vec<Violation>,
) -> (Feature, ColumnReport, Values) {
    let seen = Seen::of(column);
    let missing = seen.missing() as usize;
    check_missing(column, column.cells.len() - missing, missing, violations);
    let (kind, values) = match infer_kind(column, &seen, violations) {
        Some(SpecKind::Numeric) => read_numbers(column, &seen, violations),
        Some(SpecKind::Categorical) => read_categories(column, violations),
        None => (
            FeatureKind::Numeric { min: None, max: None },
            Values::Numbers(Vec::new()),
        ),
    };
    check_identifier(column, &seen, &kind, &values, violations);
    let report = ColumnReport {
        name: column.name.to_owned(),
        kind: match kind {
            FeatureKind::Numeric { .. } => "Numeric".to_owned(),
            FeatureKind::Categorical { .. } => "Categorical".to_owned(),
        },
        declared: column.spec.is_some(),
        missing: missing as u64,
        distinct: values.count_distinct(),
        numbers: seen.numbers(),
        words: seen.words(),
        warnings: find_suspicions(column, &seen, &kind, &values),
        examples: seen.examples,
        values: Vec::new(),
    };
    let required = column.spec.is_some_and(|spec| spec.required);
    (
        Feature {
            name: column.name.to_owned(),
            required,
            kind,
        },
        report,
        values,
    )
}

fn check_missing(column: &Column<'_>, present: usize, missing: usize, violations: &mut Vec<Violation>) {
    let rows = column.cells.len();
    if rows == 0 || missing == 0 {
        return;
    }
    let example = column
        .cells
        .iter()
        .find(|(_, cell)| cell.is_none())
        .map(|(row, _)| *row);
    let mut push = |rule, message: String| {
        let (message, row) = match example {
            Some((part, row)) if column.parts.all.len() > 1 => {
                let name = cut(column.parts.name(part), MAX_NAME);
                (format!("{message}; the first one is in {name}"), Some(row))
            }
            _ => (message, example.map(|(_, row)| row)),
        };
        violations.push(violation(column.name, rule, message, missing as u64, row));
    };
    if present == 0 {
        push(
            "AllMissing",
            "every row misses this column; exclude it or repair the source".to_owned(),
        );
    }
    let Some(spec) = column.spec else { return };
    if spec.required {
        push(
            "Required",
            format!("{missing} of {rows} rows miss a feature that is declared required"),
        );
    }
    if let Some(most) = &spec.max_missing_ratio
        && exceeds(missing, rows, most)
    {
        let ratio = missing as f64 / rows as f64;
        push(
            "MissingRatio",
            format!("{missing} of {rows} rows ({ratio:.4}) miss it, declared is at most {most}"),
        );
    }
}

fn exceeds(missing: usize, rows: usize, most: &Decimal) -> bool {
    missing as f64 > most.to_f64() * rows as f64
}

/// The declared kind, or the one that the values have; `None` where they have to be declared or repaired first.
fn infer_kind(column: &Column<'_>, seen: &Seen<'_>, violations: &mut Vec<Violation>) -> Option<SpecKind> {
    if let Some(spec) = column.spec {
        return Some(spec.kind);
    }
    let (numbers, count) = (seen.numbers(), seen.words());
    if count == 0 {
        return Some(SpecKind::Numeric);
    }
    if seen.check_notation(column, violations) {
        return None;
    }
    if numbers > 0 && seen.other_words() == 0 {
        seen.check_spellings(column, violations);
        return None;
    }
    if seen.numbers_in_any_notation() * 2 < numbers + count {
        return Some(SpecKind::Categorical);
    }
    let mut words = Broken::default();
    for (row, cell) in column.present() {
        if column.number(row, cell).is_none() {
            words.add(row, cell);
        }
    }
    words.push(violations, column.parts, column.name, "Type", |cell, count| {
        format!(
            "{numbers} values are numbers and {count} are not, such as {cell}; where it means \"missing\", add it to \
             csv.missing; where it is a code, declare the feature Categorical"
        )
    });
    None
}
