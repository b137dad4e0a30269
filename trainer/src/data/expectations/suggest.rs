//! Expectations that a reference file meets, wide enough for other rows of the same distribution.
//!
//! For `n` reference rows and as many new ones of the same distribution, the number of new values beyond the greatest reference
//! value exceeds `k` with a probability of about `2^-(k+1)`, for any distribution. So ranges and sets let [`SPARE`] rows of `n`
//! be outside, through `mostly`, and ranges are a tenth wider than what was seen.

use std::collections::{BTreeMap, HashMap};

use modelward_crds::{Expectation, ExpectationType, Severity, TrainingSource, ValueType};
use modelward_wire::Decimal;

use crate::data::{
    check::Part,
    expectations::{
        aggregate::{mean, standard_deviation},
        frame::{Column, Frame, Key, Kind, with_tables, write_plain},
        implied::{blank, of_column},
        set::count,
        strftime::Format,
    },
};

/// How many of the reference's rows may be outside of a range or a set.
const SPARE: f64 = 10.0;
/// A share below this says nothing.
const LEAST_SHARE: f64 = 0.5;
/// A set has at most this many values, each on average in this many rows.
const MAX_SET: usize = 20;
const ROWS_OF_A_VALUE: usize = 10;
/// Characters of a value in a spec.
const MAX_VALUE: usize = 128;
/// Standard errors by which a mean or a share may differ.
const ERRORS: f64 = 5.0;
/// Fewer rows than these say nothing about uniqueness.
const LEAST_UNIQUE: usize = 30;
/// Most columns that a table may have for a set of their names.
const MAX_COLUMNS: usize = 512;
/// Most expectations of a spec.
const MAX_EXPECTATIONS: usize = 200;

const FORMATS: [&str; 6] = [
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%H:%M:%S",
];

/// Expectations of the reference rows, those of the table first.
pub fn suggest(parts: &[Part<'_>], training: &TrainingSource) -> Vec<Expectation> {
    let tables = write_plain(parts);
    let parts = with_tables(parts, &tables);
    let mut frame = Frame::new(&parts);
    let names = frame.names();
    let mut suggested = Vec::new();
    if names.len() <= MAX_COLUMNS {
        suggested.push(Expectation {
            column_set: Some(names.to_vec()),
            ..blank(ExpectationType::ExpectTableColumnsToMatchSet)
        });
    }
    suggested.push(Expectation {
        severity: Severity::Warning,
        min_value: Decimal::rounded((frame.rows() as f64 / 10.0).ceil(), 0),
        ..blank(ExpectationType::ExpectTableRowCountToBeBetween)
    });
    for name in names {
        if let Ok(column) = frame.column(name) {
            of_one(&column, training, &mut suggested);
        }
    }
    suggested.truncate(MAX_EXPECTATIONS);
    suggested
}

fn of_one(column: &Column<'_>, training: &TrainingSource, suggested: &mut Vec<Expectation>) {
    let present = column.present().count();
    let of = |kind| of_column(kind, column.name);
    if present == 0 {
        return;
    }
    if column.is_numeric() {
        suggested.push(Expectation {
            type_list: Some(vec![ValueType::Int64, ValueType::Float64]),
            ..of(ExpectationType::ExpectColumnValuesToBeInTypeList)
        });
    }
    let missing = column.len() - present;
    let share = 1.0 - upper_share(missing, column.len());
    if share >= LEAST_SHARE {
        suggested.push(Expectation {
            mostly: floor(share),
            ..of(ExpectationType::ExpectColumnValuesToNotBeNull)
        });
    }
    let counts = count(column);
    if counts.len() <= MAX_SET && present >= counts.len() * ROWS_OF_A_VALUE && is_set(column) {
        suggested.push(set_of(column, &counts, present));
    } else if let Some(format) = date_format(column) {
        suggested.push(Expectation {
            strftime_format: Some(format.to_owned()),
            mostly: spared(present, 0),
            ..of(ExpectationType::ExpectColumnValuesToMatchStrftimeFormat)
        });
    } else if counts.len() == present && present >= LEAST_UNIQUE && names_rows(column, training) {
        suggested.push(of(ExpectationType::ExpectColumnValuesToBeUnique));
    } else if column.is_numeric() {
        suggested.extend(range_of(column, present));
        suggested.extend(mean_of(column, present));
    } else {
        suggested.extend(lengths_of(column, present));
    }
}

/// Whether values that all differ identify rows: texts that are not dates, whole numbers in their order, and what the spec excludes.
/// Measurements that happen to differ do not.
fn names_rows(column: &Column<'_>, training: &TrainingSource) -> bool {
    let in_order = || {
        let mut numbers = column.present_numbers().ok()?;
        let mut last = numbers.next()?;
        Some(numbers.all(|number| std::mem::replace(&mut last, number) < number))
    };
    match column.kind {
        Kind::Text => true,
        Kind::Integer => {
            training.exclude.iter().any(|name| name == column.name) || in_order().unwrap_or(false)
        }
        Kind::Float => false,
    }
}

/// Whether few different values are codes: texts or whole numbers that a set can name.
fn is_set(column: &Column<'_>) -> bool {
    match column.present_numbers() {
        Ok(mut numbers) => numbers.all(|number| number.fract() == 0.0),
        Err(_) => column
            .present()
            .all(|row| column.text(row).chars().count() <= MAX_VALUE),
    }
}

/// The share of present values that a range or a set must hold; `seldom` values were seen once.
fn spared(present: usize, seldom: usize) -> Option<Decimal> {
    let share = 1.0 - (SPARE + 2.0 * seldom as f64) / present as f64;
    floor(share.max(0.9))
}

fn set_of(column: &Column<'_>, counts: &HashMap<Key<'_>, (usize, usize)>, present: usize) -> Expectation {
    let seldom = counts.values().filter(|(count, _)| *count == 1).count();
    let sorted: BTreeMap<Key<'_>, usize> = counts.iter().map(|(key, (_, row))| (*key, *row)).collect();
    let mut values: Vec<String> = sorted
        .into_values()
        .map(|row| {
            let text = column.text(row);
            text.strip_suffix(".0")
                .filter(|_| column.is_numeric())
                .unwrap_or(&text)
                .to_owned()
        })
        .collect();
    if column.is_numeric() {
        values.sort_by_key(|text| text.parse::<i64>().unwrap_or(0));
    }
    Expectation {
        value_set: Some(values),
        mostly: spared(present, seldom),
        ..of_column(ExpectationType::ExpectColumnValuesToBeInSet, column.name)
    }
}

fn range_of(column: &Column<'_>, present: usize) -> Option<Expectation> {
    let mut numbers = column.present_numbers().ok()?;
    let first = numbers.next()?;
    let (min, max) = numbers.fold((first, first), |(min, max), number| {
        (f64::min(min, number), f64::max(max, number))
    });
    let margin = (max - min) / 10.0;
    // A range does not reach across zero: amounts stay amounts.
    let low = if min >= 0.0 {
        (min - margin).max(0.0)
    } else {
        min - margin
    };
    let high = if max <= 0.0 {
        (max + margin).min(0.0)
    } else {
        max + margin
    };
    Some(Expectation {
        min_value: Some(outward(low, margin, f64::floor)?),
        max_value: Some(outward(high, margin, f64::ceil)?),
        mostly: spared(present, 0),
        ..of_column(ExpectationType::ExpectColumnValuesToBeBetween, column.name)
    })
}

fn mean_of(column: &Column<'_>, present: usize) -> Option<Expectation> {
    let mean = mean(column.present_numbers().ok()?)?;
    let deviation = standard_deviation(column.present_numbers().ok()?)?;
    let margin = ERRORS * deviation * (2.0 / present as f64).sqrt();
    Some(Expectation {
        severity: Severity::Warning,
        min_value: Some(outward(mean - margin, margin, f64::floor)?),
        max_value: Some(outward(mean + margin, margin, f64::ceil)?),
        ..of_column(ExpectationType::ExpectColumnMeanToBeBetween, column.name)
    })
}

/// The format of a column of dates.
fn date_format(column: &Column<'_>) -> Option<&'static str> {
    let texts = column.texts().ok()?;
    FORMATS.into_iter().find(|name| {
        let format = Format::new(name);
        format.is_ok_and(|format| texts.iter().flatten().all(|text| format.matches(text)))
    })
}

fn lengths_of(column: &Column<'_>, present: usize) -> Option<Expectation> {
    let lengths = column.present().map(|row| column.text(row).chars().count());
    let (min, max) = (lengths.clone().min()?, lengths.max()?);
    Some(Expectation {
        severity: Severity::Warning,
        min_value: Decimal::rounded((min / 2) as f64, 0),
        max_value: Decimal::rounded((max * 2) as f64, 0),
        mostly: spared(present, 0),
        ..of_column(ExpectationType::ExpectColumnValueLengthsToBeBetween, column.name)
    })
}

/// An upper bound of a share (Wilson), wide enough for the share of as many new rows.
fn upper_share(count: usize, of: usize) -> f64 {
    let (n, z) = (of as f64, ERRORS);
    let share = count as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let width = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle + width) / (1.0 + z * z / n)).min(1.0)
}

/// A share with three digits, rounded down.
fn floor(share: f64) -> Option<Decimal> {
    Decimal::rounded((share * 1000.0).floor() / 1000.0, 3)
}

/// A number with two digits of the margin, rounded away from the values.
fn outward(value: f64, margin: f64, round: fn(f64) -> f64) -> Option<Decimal> {
    let mut places = 0;
    let mut unit = 1.0;
    while unit * 10.0 > margin.abs() && places < 9 && margin != 0.0 {
        unit /= 10.0;
        places += 1;
    }
    Decimal::rounded(round(value / unit) * unit, places)
}

/// The suggestions as YAML, to be put under `source.training`.
pub fn yaml(suggested: &[Expectation]) -> serde_json::Result<String> {
    let mut text = "expectations:\n".to_owned();
    for expectation in suggested {
        let value = serde_json::to_value(expectation)?;
        let mut parts = vec![format!("type: {}", expectation.r#type)];
        if expectation.severity != Severity::Critical {
            parts.push(format!("severity: {}", expectation.severity));
        }
        // JSON is YAML: any name of a column is read back unchanged.
        for argument in expectation.given() {
            parts.push(format!("{argument}: {}", value[argument.as_str()]));
        }
        text.push_str("  - {");
        text.push_str(&parts.join(", "));
        text.push_str("}\n");
    }
    Ok(text)
}
