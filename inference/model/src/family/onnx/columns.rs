//! The columns of a table in a graph: each is a feature with the steps that are applied to it.
//!
//! A step changes each column independently, so no table is created: a model requests a column of a row and gets its number. Steps are
//! computed in double precision, as in scikit-learn.

use super::{error::OnnxError, file::Node};
use crate::schema::{Row, Value};

/// Maximum number of all columns of a graph.
const MAX_COLUMNS: usize = 1 << 18;

/// Maximum number of steps of a column.
const MAX_STEPS: usize = 64;

/// Maximum size of a constant, so that results are finite.
pub(super) const MAX_NUMBER: f64 = 1e100;

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) feature: usize,
    steps: Vec<Step>,
}

/// A step: what is done to a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A missing number (NaN) is replaced by this one.
    Fill(f64),
    /// A number is replaced by another.
    Replace(f64, f64),
    /// `(x - offset) * scale`.
    Scale {
        offset: f64,
        scale: f64,
    },
    Add(f64),
    Multiply(f64),
    Divide(f64),
    /// A constant minus the number.
    SubtractFrom(f64),
    /// Conversion to single precision.
    Narrow,
}

/// Counts the columns that a graph creates.
#[derive(Default)]
pub(super) struct Budget(usize);

// === impl Column ===

impl Column {
    pub(super) fn new(feature: usize) -> Self {
        Self {
            feature,
            steps: Vec::new(),
        }
    }

    fn push(&mut self, node: &Node<'_>, step: Step) -> Result<(), OnnxError> {
        let numbers = match step {
            Step::Fill(number) | Step::Add(number) | Step::Multiply(number) | Step::SubtractFrom(number) => {
                [number, 1.0]
            }
            Step::Replace(from, to) => [from, to],
            Step::Scale { offset, scale } => [offset, scale],
            Step::Divide(number) => [number, 1.0 / number],
            Step::Narrow => [1.0, 1.0],
        };
        if numbers
            .iter()
            .any(|number| !number.is_finite() || number.abs() > MAX_NUMBER)
        {
            return Err(node.fail("it has a number that is not finite or larger than 1e100, or divides by 0"));
        }
        if self.steps.len() == MAX_STEPS {
            return Err(node.fail(format!("a column has more than {MAX_STEPS} steps")));
        }
        self.steps.push(step);
        Ok(())
    }

    /// The number of a row, or NaN if it is missing.
    pub(super) fn value(&self, row: &Row) -> f64 {
        let mut number = match row.values().get(self.feature) {
            Some(Value::Number(number)) => f64::from(*number),
            _ => f64::NAN,
        };
        for step in &self.steps {
            number = step.apply(number);
        }
        number
    }

    /// Whether a step replaces a missing value.
    pub(super) fn fills(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Fill(_)))
    }
}

// === impl Step ===

impl Step {
    fn apply(self, number: f64) -> f64 {
        match self {
            Self::Fill(fill) if number.is_nan() => fill,
            Self::Fill(_) => number,
            Self::Replace(from, to) => {
                if number == from {
                    to
                } else {
                    number
                }
            }
            Self::Scale { offset, scale } => (number - offset) * scale,
            Self::Add(other) => number + other,
            Self::Multiply(other) => number * other,
            Self::Divide(other) => number / other,
            Self::SubtractFrom(other) => other - number,
            Self::Narrow => f64::from(number as f32),
        }
    }
}

/// Adds a step to each column, with one number for each column or one for all.
pub(super) fn take_steps(
    node: &Node<'_>,
    mut columns: Vec<Column>,
    lists: &[&[f64]],
    step: impl Fn(&[f64]) -> Step,
) -> Result<Vec<Column>, OnnxError> {
    let width = columns.len();
    if let Some(list) = lists.iter().find(|list| ![1, width].contains(&list.len())) {
        return Err(node.fail(format!("it has {} numbers for {width} columns", list.len())));
    }
    let mut numbers = vec![0.0; lists.len()];
    for (at, column) in columns.iter_mut().enumerate() {
        for (number, list) in numbers.iter_mut().zip(lists) {
            *number = list[if list.len() == 1 { 0 } else { at }];
        }
        column.push(node, step(&numbers))?;
    }
    Ok(columns)
}

// === impl Budget ===

impl Budget {
    pub(super) fn spend(&mut self, node: &Node<'_>, columns: usize) -> Result<(), OnnxError> {
        self.0 += columns;
        if self.0 > MAX_COLUMNS {
            return Err(node.fail(format!("the graph makes more than {MAX_COLUMNS} columns")));
        }
        Ok(())
    }
}
