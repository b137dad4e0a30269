//! One column: its kind, its values, and what is missing.

use std::collections::BTreeSet;

use modelward_crds::FeatureKind as SpecKind;
use modelward_model::{Feature, FeatureKind, canonical_category};
use modelward_wire::{Decimal, Violation};
use serde::{Deserialize, Serialize};

use crate::data::{
    check::{
        broken::Broken, categorical::read_categories, cells::Column, numeric::read_numbers, parts::MAX_NAME,
    },
    dataset::Values,
    number::number,
    violation::{cut, violation},
};

/// What is in a feature's column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// `Numeric` or `Categorical`.
    pub kind: String,
    /// Whether the spec says so; it was inferred otherwise.
    pub declared: bool,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: u64,
}

/// What is in a column, as a feature and its values.
pub(super) fn check_column(
    column: &Column<'_>,
    violations: &mut Vec<Violation>,
) -> (Feature, ColumnReport, Values) {
    let present = column.present().count();
    let missing = column.cells.len() - present;
    check_missing(column, present, missing, violations);
    let (kind, values) = match infer_kind(column, present, violations) {
        SpecKind::Numeric => read_numbers(column, violations),
        SpecKind::Categorical => read_categories(column, violations),
    };
    let distinct = match &values {
        Values::Categories(_) => column
            .present()
            .map(|(_, cell)| canonical_category(cell))
            .collect::<BTreeSet<_>>()
            .len(),
        Values::Numbers(numbers) => {
            let present = numbers.iter().filter(|number| !number.is_nan());
            let bits = present.map(|number| (number + 0.0).to_bits());
            bits.collect::<BTreeSet<_>>().len()
        }
    };
    let report = ColumnReport {
        name: column.name.to_owned(),
        kind: match kind {
            FeatureKind::Numeric { .. } => "Numeric".to_owned(),
            FeatureKind::Categorical { .. } => "Categorical".to_owned(),
        },
        declared: column.spec.is_some(),
        missing: missing as u64,
        distinct: distinct as u64,
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

/// The declared kind, or the one that most values have.
fn infer_kind(column: &Column<'_>, present: usize, violations: &mut Vec<Violation>) -> SpecKind {
    if let Some(spec) = column.spec {
        return spec.kind;
    }
    let mut words = Broken::default();
    for (row, cell) in column.present() {
        if number(cell).is_none() {
            words.add(row, cell);
        }
    }
    let count = words.count();
    if count == 0 {
        return SpecKind::Numeric;
    }
    let numbers = present as u64 - count;
    if numbers >= count {
        words.push(violations, column.parts, column.name, "Type", |cell, count| {
            format!(
                "{numbers} values are numbers and {count} are not, such as {cell}; where it means \"missing\", add it to \
                 csv.missing; where it is a code, declare the feature Categorical"
            )
        });
    }
    SpecKind::Categorical
}
