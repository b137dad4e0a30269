//! What every kind of transform has.

use std::fmt;

use crate::schema::{Feature, FeatureKind, Value};

/// A transform with what it learnt.
pub trait Transform: fmt::Debug {
    /// The columns that it makes of columns of these kinds, the first one under its name. Checks every number and length, so that
    /// [`Self::apply`] cannot fail.
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit>;

    /// Appends a value for each of [`Self::columns`]. A value of another kind is missing or unknown, an index out of range is unknown:
    /// never a panic.
    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>);
}

/// Why a transform does not fit the columns that it reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// It reads another number of columns.
    #[error("it names {found} columns, and reads {expected}")]
    Inputs {
        /// Columns that it names.
        found: usize,
        /// Columns that its kind reads.
        expected: usize,
    },
    /// A column of categories.
    #[error("it takes numbers, the column has categories")]
    NotNumeric,
    /// A column of numbers.
    #[error("it takes categories, the column has numbers")]
    NotCategorical,
    /// A number that is not finite, or out of its range.
    #[error("{0} is not finite, or not in its range")]
    Number(&'static str),
    /// Not one entry for each category.
    #[error("{field} has {found} entries for {expected} categories")]
    Count {
        /// Its name in the file.
        field: &'static str,
        /// Entries.
        found: usize,
        /// Categories of the column.
        expected: usize,
    },
    /// A category that is not where the file says.
    #[error("category {0:?} is not among those of the column, or not at its place")]
    Category(String),
    /// Bounds between bins that are not ascending in single precision.
    #[error("edges are not ascending, or equal as 32-bit floats")]
    Edges,
}

/// The value of a number: missing if single precision does not hold it.
pub(super) fn rounded(number: f64) -> Value {
    let single = number as f32;
    if single.is_finite() {
        Value::Number(single)
    } else {
        Value::Missing
    }
}

/// The number of a value in double precision, if it is one.
pub(super) fn number(value: Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(f64::from(number)),
        Value::Category(_) | Value::Unknown | Value::Missing => None,
    }
}

/// The number of the only input, if it is one.
pub(super) fn only_number(inputs: &[Value]) -> Option<f64> {
    inputs.first().copied().and_then(number)
}

/// The only input is a column of numbers.
pub(super) fn check_numeric(inputs: &[&FeatureKind]) -> Result<(), Misfit> {
    check_count(inputs, 1)?;
    check_numbers(inputs)
}

/// Both inputs are columns of numbers.
pub(super) fn check_pair(inputs: &[&FeatureKind]) -> Result<(), Misfit> {
    check_count(inputs, 2)?;
    check_numbers(inputs)
}

/// The categories of the only input.
pub(super) fn categories<'a>(inputs: &[&'a FeatureKind]) -> Result<&'a [String], Misfit> {
    check_count(inputs, 1)?;
    match inputs {
        [FeatureKind::Categorical { categories }] => Ok(categories),
        _ => Err(Misfit::NotCategorical),
    }
}

/// There are so many inputs.
pub(super) fn check_count(inputs: &[&FeatureKind], expected: usize) -> Result<(), Misfit> {
    if inputs.len() == expected {
        return Ok(());
    }
    Err(Misfit::Inputs {
        found: inputs.len(),
        expected,
    })
}

fn check_numbers(inputs: &[&FeatureKind]) -> Result<(), Misfit> {
    let are_numbers = inputs
        .iter()
        .all(|kind| matches!(kind, FeatureKind::Numeric { .. }));
    if are_numbers {
        Ok(())
    } else {
        Err(Misfit::NotNumeric)
    }
}
