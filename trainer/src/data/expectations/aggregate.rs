//! One number of a column.

use modelward_crds::Expectation;
use modelward_wire::Decimal;
use serde_json::{Value, json};

use crate::data::expectations::{
    contract::Evaluate,
    found::{Found, between},
    frame::{Column, Frame, Kind, whole},
    given::{decimal, plain},
    raised::Raised,
};

/// A number, and as JSON.
type Observed = (f64, Value);

/// A number of a column that must be between ends. None if the column has none.
pub(super) struct Aggregate {
    name: &'static str,
    of: fn(&Column<'_>) -> Result<Option<Observed>, Raised>,
}

pub(super) const MIN: Aggregate = Aggregate {
    name: "minimum",
    of: |column| end(column, |number, best| number < best),
};
pub(super) const MAX: Aggregate = Aggregate {
    name: "maximum",
    of: |column| end(column, |number, best| number > best),
};
pub(super) const MEAN: Aggregate = Aggregate {
    name: "mean",
    of: |column| Ok(mean(column.present_numbers()?).map(float)),
};
pub(super) const MEDIAN: Aggregate = Aggregate {
    name: "median",
    of: |column| Ok(median(&sorted(column)?).map(float)),
};
pub(super) const STDEV: Aggregate = Aggregate {
    name: "standard deviation",
    of: |column| Ok(standard_deviation(column.present_numbers()?).map(float)),
};
pub(super) const SUM: Aggregate = Aggregate {
    name: "sum",
    of: sum_of,
};

pub(super) struct QuantileValuesToBeBetween;

impl Evaluate for Aggregate {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let value = (self.of)(&column)?;
        let observed = value.as_ref().map_or("no value".to_owned(), |(_, json)| {
            format!("{} {}", self.name, plain(json))
        });
        Ok(Found {
            reveals: true,
            ..between(value, given).with_observed(observed)
        })
    }
}

impl Evaluate for QuantileValuesToBeBetween {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let numbers = sorted(&column)?;
        let ranges = given.quantile_ranges.as_deref().unwrap_or_default();
        let mut quantiles = Vec::new();
        let mut values = Vec::new();
        let mut details = Vec::new();
        for range in ranges {
            let value = nearest(&numbers, range.quantile.to_f64());
            let end = |end: &Option<Decimal>| end.as_ref().map(Decimal::to_f64);
            let (min, max) = (end(&range.min_value), end(&range.max_value));
            details.push(value.is_some_and(|value| {
                let near = |end: Option<f64>| end.is_some_and(|end| is_close(value, end));
                let within = min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max);
                near(min) || near(max) || within
            }));
            quantiles.push(decimal(&range.quantile));
            values.push(value.map_or(Value::Null, |value| json_number(&column, value)));
        }
        let success = details.iter().all(|met| *met);
        let observed = format!("quantiles {}", plain(&Value::Array(values.clone())));
        let found = Found::new(
            success,
            json!({
                "observed_value": {"quantiles": quantiles, "values": values},
                "details": {"success_details": details},
            }),
        );
        Ok(Found {
            reveals: true,
            ..found.with_observed(observed)
        })
    }
}

fn float(value: f64) -> (f64, Value) {
    (value, value.into())
}

/// A number of the column: whole if its numbers are.
fn json_number(column: &Column<'_>, value: f64) -> Value {
    match column.kind {
        Kind::Integer => (value as i64).into(),
        _ => value.into(),
    }
}

fn end(column: &Column<'_>, is_better: fn(f64, f64) -> bool) -> Result<Option<Observed>, Raised> {
    let mut best: Option<(f64, usize)> = None;
    let numbers = column.numbers()?;
    for row in column.present() {
        if best.is_none_or(|(best, _)| is_better(numbers[row], best)) {
            best = Some((numbers[row], row));
        }
    }
    Ok(best.map(|(value, row)| (value, column.json(row))))
}

/// Whole numbers are added up exactly.
fn sum_of(column: &Column<'_>) -> Result<Option<Observed>, Raised> {
    if column.kind == Kind::Integer {
        let wholes = column.present().filter_map(|row| whole(&column.text(row)));
        let total: i128 = wholes.map(i128::from).sum();
        let json = i64::try_from(total).map_or_else(|_| Value::from(total as f64), Value::from);
        return Ok(Some((total as f64, json)));
    }
    Ok(Some(float(sum(column.present_numbers()?))))
}

/// A sum that compensates rounding errors (Neumaier).
fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut rest) = (0.0_f64, 0.0);
    for number in numbers {
        let next = total + number;
        rest += if total.abs() >= number.abs() {
            (total - next) + number
        } else {
            (number - next) + total
        };
        total = next;
    }
    // If the sum overflows, the compensation is not a number.
    if total.is_finite() { total + rest } else { total }
}

/// The mean; none without numbers, or if their sum overflows.
pub(super) fn mean(numbers: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = numbers.clone().count();
    Some(sum(numbers) / count as f64).filter(|mean| mean.is_finite())
}

/// The standard deviation of a sample; none for fewer than two numbers.
pub(super) fn standard_deviation(numbers: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = numbers.clone().count();
    let mean = mean(numbers.clone()).filter(|_| count > 1)?;
    let squares = sum(numbers.map(|number| (number - mean) * (number - mean)));
    Some((squares / (count as f64 - 1.0)).sqrt()).filter(|deviation| deviation.is_finite())
}

pub(super) fn sorted(column: &Column<'_>) -> Result<Vec<f64>, Raised> {
    let mut numbers: Vec<f64> = column.present_numbers()?.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    Ok(numbers)
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle - 1)?, upper))
}

/// The value at the position that is nearest to the quantile, an even one if two are.
fn nearest(sorted: &[f64], quantile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    // In the order of operations of pandas, which counts in percent.
    let at = (last as f64 * (quantile * 100.0 / 100.0)).round_ties_even();
    sorted.get((at as usize).min(last)).copied()
}

/// As NumPy has it, with the relative tolerance that Great Expectations sets.
fn is_close(value: f64, end: f64) -> bool {
    (value - end).abs() <= 1e-8 + 1e-4 * end.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_is_not_lost_between_large_ones() {
        assert_eq!(sum([1e16, 1.0, -1e16].into_iter()), 1.0);
        assert_eq!(mean(std::iter::empty()), None);
        assert_eq!(standard_deviation([1.0].into_iter()), None);
        assert_eq!(standard_deviation([1.0, 3.0].into_iter()), Some(2.0_f64.sqrt()));
    }

    #[test]
    fn a_quantile_is_the_nearest_value_and_the_even_position_of_two() {
        let numbers = [10.0, 20.0, 30.0, 40.0];
        assert_eq!(nearest(&numbers, 0.5), Some(30.0));
        assert_eq!(nearest(&numbers[..2], 0.5), Some(10.0));
        assert_eq!(nearest(&numbers, 1.0), Some(40.0));
        assert_eq!(nearest(&[], 0.5), None);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }
}
