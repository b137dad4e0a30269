//! The trait of all transforms.

use std::fmt;

use crate::schema::{Feature, FeatureKind, Value};

/// A fitted transform.
pub trait Transform: fmt::Debug {
    /// The columns that it makes from columns of these kinds. The first one has the name of the transform. Checks every number and
    /// length, so that [`Self::apply`] cannot fail.
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit>;

    /// Appends a value for each of [`Self::columns`]. A value of another kind counts as missing or unknown, and an index out of range as
    /// unknown. It never panics.
    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>);
}

/// Why a transform does not fit the columns that it reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// It has a wrong number of columns.
    #[error("it names {found} columns, but reads {expected}")]
    Inputs {
        /// Number of columns that it names.
        found: usize,
        /// Number of columns that its kind reads.
        expected: usize,
    },
    /// The column has categories.
    #[error("it takes numbers, but the column has categories")]
    NotNumeric,
    /// The column has numbers.
    #[error("it takes categories, but the column has numbers")]
    NotCategorical,
    /// A number is not finite, or is out of its range.
    #[error("{0} is not finite, or not in its range")]
    Number(&'static str),
    /// There is not one entry for each category.
    #[error("{field} has {found} entries for {expected} categories")]
    Count {
        /// Its name in the file.
        field: &'static str,
        /// Number of entries.
        found: usize,
        /// Number of categories of the column.
        expected: usize,
    },
    /// A category does not have the index that the file states.
    #[error("category {0:?} is not among those of the column, or not at its place")]
    Category(String),
    /// The bounds between bins are not ascending in single precision.
    #[error("edges are not ascending, or equal as 32-bit floats")]
    Edges,
}

/// The value of a number. It is missing if it does not fit into single precision.
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

/// Checks that the only input is a column of numbers.
pub(super) fn check_numeric(inputs: &[&FeatureKind]) -> Result<(), Misfit> {
    check_count(inputs, 1)?;
    check_numbers(inputs)
}

/// Checks that both inputs are columns of numbers.
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

/// Checks the number of inputs.
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
