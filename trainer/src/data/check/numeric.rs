//! Columns of numbers.

use modelward_crds::ValueRange;
use modelward_model::{FeatureKind, math::shortest};
use modelward_wire::{Decimal, Violation};

use crate::data::{
    check::{broken::Broken, cells::Column, seen::Seen},
    dataset::Values,
};

/// The numbers of a column, and their range.
pub(super) fn read_numbers(
    column: &Column<'_>,
    seen: &Seen<'_>,
    violations: &mut Vec<Violation>,
) -> (FeatureKind, Values) {
    let range = column.spec.and_then(|spec| spec.range.as_ref());
    let (mut no_number, mut too_large, mut outside) =
        (Broken::default(), Broken::default(), Broken::default());
    let mut ends: Option<(f32, f32)> = None;
    let mut values = Vec::with_capacity(column.cells.len());
    for (row, cell) in &column.cells {
        values.push(f32::NAN);
        let Some(cell) = cell else { continue };
        let Some(exact) = column.number(*row, cell) else {
            no_number.add(*row, cell);
            continue;
        };
        let value = exact as f32;
        if !value.is_finite() {
            too_large.add(*row, cell);
            continue;
        }
        if range.is_some_and(|range| !contains(range, exact)) {
            outside.add(*row, cell);
        }
        ends = Some(ends.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
        if let Some(last) = values.last_mut() {
            *last = value;
        }
    }
    let name = column.name;
    if no_number.count() > 0 && seen.check_notation(column, violations) {
        no_number = Broken::default();
    }
    no_number.push(violations, column.parts, name, "Type", |cell, _| {
        format!(
            "{cell} is not a number; if it means \"missing\", add it to csv.missing; if it is a code, declare the \
             feature Categorical"
        )
    });
    too_large.push(violations, column.parts, name, "Type", |cell, _| {
        format!("{cell} is beyond the range of a 32-bit float (about ±3.4e38)")
    });
    outside.push(violations, column.parts, name, "Range", |cell, _| {
        format!(
            "{cell} is outside the declared range {}",
            range.map(range_text).unwrap_or_default()
        )
    });
    // A declared bound takes precedence: a value that the contract allows is not worth a warning when serving.
    let end = |declared: Option<&Decimal>, seen: Option<f32>| {
        declared.map(Decimal::to_f64).or_else(|| seen.map(shortest))
    };
    let min = end(
        range.and_then(|range| range.min.as_ref()),
        ends.map(|ends| ends.0),
    );
    let max = end(
        range.and_then(|range| range.max.as_ref()),
        ends.map(|ends| ends.1),
    );
    (FeatureKind::Numeric { min, max }, Values::Numbers(values))
}

fn contains(range: &ValueRange, number: f64) -> bool {
    range.min.as_ref().is_none_or(|min| number >= min.to_f64())
        && range.max.as_ref().is_none_or(|max| number <= max.to_f64())
}

fn range_text(range: &ValueRange) -> String {
    match (&range.min, &range.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("from {min}"),
        (None, Some(max)) => format!("up to {max}"),
        (None, None) => String::new(),
    }
}
