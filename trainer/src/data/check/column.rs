//! One column: its kind, its values, what is missing, and what looks wrong.

use modelward_crds::FeatureKind as SpecKind;
use modelward_model::{Feature, FeatureKind};
use modelward_wire::{Decimal, Violation};

use crate::data::{
    check::{
        broken::Broken,
        categorical::read_categories,
        cells::Column,
        numeric::read_numbers,
        parts::MAX_NAME,
        report::{ColumnReport, Refusal, WarningRule},
        seen::Seen,
        suspicion::{check_identifier, find_suspicions},
    },
    dataset::Values,
    violation::{cut, violation},
};

/// A column that was checked.
pub(super) struct CheckedColumn {
    pub(super) feature: Feature,
    pub(super) report: ColumnReport,
    pub(super) values: Values,
    /// Why its kind could not be inferred.
    pub(super) refusal: Option<Refusal>,
}

/// What is in a column, as a feature and its values.
pub(super) fn check_column(column: &Column<'_>, violations: &mut Vec<Violation>) -> CheckedColumn {
    let seen = Seen::of(column);
    let missing = seen.missing() as usize;
    check_missing(column, column.cells.len() - missing, missing, violations);
    let before = violations.len();
    let inferred = infer_kind(column, &seen, violations);
    let (kind, values) = match inferred {
        Ok(SpecKind::Numeric) => read_numbers(column, &seen, violations),
        Ok(SpecKind::Categorical) => read_categories(column, &seen, violations),
        Err(_) => (
            FeatureKind::Numeric { min: None, max: None },
            Values::Numbers(Vec::new()),
        ),
    };
    let was_read = violations.len() == before;
    check_identifier(column, &seen, &kind, &values, violations);
    let warnings = if was_read {
        find_suspicions(column, &seen, &kind, &values)
    } else {
        Vec::new()
    };
    // As 32-bit floats there may be fewer.
    let fall_together = warnings
        .iter()
        .any(|warning| warning.rule == WarningRule::FallTogether);
    let distinct = if was_read && !fall_together {
        values.count_distinct()
    } else {
        column.count_distinct()
    };
    let report = ColumnReport {
        name: column.name.to_owned(),
        kind: match kind {
            FeatureKind::Numeric { .. } => "Numeric".to_owned(),
            FeatureKind::Categorical { .. } => "Categorical".to_owned(),
        },
        declared: column.spec.is_some(),
        missing: missing as u64,
        distinct,
        numbers: seen.numbers(),
        words: seen.words(),
        warnings,
        examples: seen.examples,
        values: Vec::new(),
    };
    let required = column.spec.is_some_and(|spec| spec.required);
    CheckedColumn {
        feature: Feature {
            name: column.name.to_owned(),
            required,
            kind,
        },
        report,
        values,
        refusal: inferred.err(),
    }
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
            "every row lacks a value in this column; exclude it or correct the source".to_owned(),
        );
    }
    let Some(spec) = column.spec else { return };
    if spec.required {
        push(
            "Required",
            format!("{missing} of {rows} rows lack a feature that is declared required"),
        );
    }
    if let Some(most) = &spec.max_missing_ratio
        && exceeds(missing, rows, most)
    {
        let ratio = missing as f64 / rows as f64;
        push(
            "MissingRatio",
            format!("{missing} of {rows} rows ({ratio:.4}) lack a value, at most {most} is declared"),
        );
    }
}

fn exceeds(missing: usize, rows: usize, most: &Decimal) -> bool {
    missing as f64 > most.to_f64() * rows as f64
}

/// The declared kind, or the one that the values have; an error if it has to be declared or the values have to be corrected first.
fn infer_kind(
    column: &Column<'_>,
    seen: &Seen<'_>,
    violations: &mut Vec<Violation>,
) -> Result<SpecKind, Refusal> {
    if let Some(spec) = column.spec {
        return Ok(spec.kind);
    }
    let (numbers, count) = (seen.numbers(), seen.words());
    if count == 0 {
        return Ok(SpecKind::Numeric);
    }
    if seen.check_notation(column, violations) {
        return Err(Refusal::Notation);
    }
    if numbers > 0 && seen.other_words() == 0 {
        seen.check_spellings(column, violations);
        return Err(Refusal::MissingWords);
    }
    if seen.numbers_in_any_notation() * 2 < numbers + count {
        return Ok(SpecKind::Categorical);
    }
    let mut words = Broken::default();
    for (row, cell) in column.present() {
        if column.number(row, cell).is_none() {
            words.add(row, cell);
        }
    }
    words.push(violations, column.parts, column.name, "Type", |cell, count| {
        format!(
            "{numbers} values are numbers and {count} are not, such as {cell}; if it means \"missing\", add it to \
             csv.missing; if it is a code, declare the feature Categorical"
        )
    });
    Err(Refusal::Mixed)
}
