//! Columns that are neither features nor the target.

use modelward_crds::TrainingSource;
use modelward_wire::Violation;

use crate::data::{
    check::{
        broken::Broken,
        parts::{Cell, Parts, Place},
    },
    row_columns::{Groups, RowColumns, TimeFormat, Times, Weights},
    violation::violation,
};

/// The libraries add up weights, and their products with those of classes, as 32-bit floats.
const MAX_WEIGHT: f64 = 1e15;

/// The values of these columns. Each row must have one. `labels` are the classes, if all could be read.
pub(super) fn check_row_columns(
    parts: &Parts<'_>,
    training: &TrainingSource,
    labels: &[bool],
    violations: &mut Vec<Violation>,
) -> RowColumns {
    let groups = training.validation.group_by.as_ref();
    let weights = training
        .weights
        .as_ref()
        .and_then(|weights| weights.column.as_ref());
    RowColumns {
        groups: groups.map(|column| read_groups(parts, column, violations)),
        weights: weights.map(|column| read_weights(parts, column, labels, violations)),
        times: training
            .validation
            .time_split
            .as_ref()
            .map(|split| read_times(parts, &split.column, violations)),
    }
}

fn read_groups(parts: &Parts<'_>, column: &str, violations: &mut Vec<Violation>) -> Groups {
    let cells = parts.cells(column);
    check_missing(parts, &cells, column, ("Group", "validation.groupBy"), violations);
    let present = cells
        .iter()
        .filter_map(|(place, cell)| cell.map(|cell| parts.notation(place.0).category(cell)));
    Groups::of_values(column, present)
}

fn read_weights(
    parts: &Parts<'_>,
    column: &str,
    labels: &[bool],
    violations: &mut Vec<Violation>,
) -> Weights {
    let cells = parts.cells(column);
    let before = violations.len();
    check_missing(parts, &cells, column, ("Weight", "weights.column"), violations);
    let (mut no_number, mut negative, mut too_large) =
        (Broken::default(), Broken::default(), Broken::default());
    let mut of_row = Vec::with_capacity(cells.len());
    for (place, cell) in &cells {
        let Some(cell) = cell else { continue };
        let Some(number) = parts.notation(place.0).number(cell) else {
            no_number.add(*place, cell);
            continue;
        };
        let weight = number as f32;
        if number < 0.0 {
            negative.add(*place, cell);
        } else if number > MAX_WEIGHT {
            too_large.add(*place, cell);
        }
        // No weight is -0.
        of_row.push(weight + 0.0);
    }
    no_number.push(violations, parts, column, "Weight", |cell, _| {
        format!("{cell} is not a number; weights are numbers of at least 0")
    });
    negative.push(violations, parts, column, "Weight", |cell, _| {
        format!("{cell} is negative; a weight is at least 0")
    });
    too_large.push(violations, parts, column, "Weight", |cell, _| {
        format!("{cell} is greater than {MAX_WEIGHT:e}, the greatest weight that is read; divide all weights by one number")
    });
    if violations.len() == before && of_row.len() == labels.len() {
        check_class_weights(column, labels, &of_row, violations);
    }
    Weights {
        column: column.to_owned(),
        of_row,
    }
}

fn read_times(parts: &Parts<'_>, column: &str, violations: &mut Vec<Violation>) -> Times {
    let cells = parts.cells(column);
    check_missing(
        parts,
        &cells,
        column,
        ("Time", "validation.timeSplit"),
        violations,
    );
    let number = |place: Place, cell: &str| parts.notation(place.0).number(cell);
    let mut present = cells
        .iter()
        .filter_map(|(place, cell)| cell.map(|cell| (*place, cell)));
    // The first value that is a time sets the form of all.
    let format = present.find_map(|(place, cell)| TimeFormat::recognise(cell, number(place, cell)));
    let mut unreadable = Broken::default();
    let mut of_row = Vec::with_capacity(cells.len());
    for (place, cell) in &cells {
        let Some(cell) = cell else { continue };
        match format.and_then(|format| format.read(cell, number(*place, cell))) {
            Some(time) => of_row.push(time),
            None => unreadable.add(*place, cell),
        }
    }
    unreadable.push(violations, parts, column, "Time", |cell, _| match format {
        Some(format) => format!(
            "{cell} is not a time in the form of the first one, {}; write all in one form",
            format.as_str()
        ),
        None => format!(
            "{cell} is not a time; write date and time with an offset (2026-01-31T08:30:00Z) or without one (in UTC), dates (2026-01-31), or seconds since 1970"
        ),
    });
    Times {
        column: column.to_owned(),
        format: format.unwrap_or(TimeFormat::Date),
        of_row,
    }
}

/// A class in which no row counts cannot be learnt.
fn check_class_weights(column: &str, labels: &[bool], weights: &[f32], violations: &mut Vec<Violation>) {
    for class in [false, true] {
        let of_class = || labels.iter().zip(weights).filter(|(label, _)| **label == class);
        let count = of_class().count() as u64;
        if count > 0 && of_class().all(|(_, weight)| *weight == 0.0) {
            let row = labels
                .iter()
                .position(|label| *label == class)
                .map(|row| row as u64 + 1);
            let message = format!(
                "every row of class {} has the weight 0; a class that counts nothing cannot be learnt",
                u8::from(class)
            );
            violations.push(violation(column, "Weight", message, count, row));
        }
    }
}

fn check_missing(
    parts: &Parts<'_>,
    cells: &[Cell<'_>],
    column: &str,
    (rule, field): (&str, &str),
    violations: &mut Vec<Violation>,
) {
    let mut absent = Broken::default();
    for (place, _) in cells.iter().filter(|(_, cell)| cell.is_none()) {
        absent.add(*place, "");
    }
    absent.push(violations, parts, column, rule, |_, count| {
        let rows = if count == 1 { "row has" } else { "rows have" };
        format!("{count} {rows} no value in the column of {field}; add the values, or remove the rows from the source")
    });
}
