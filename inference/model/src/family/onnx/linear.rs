//! LinearClassifier: weighted sums of columns.

use super::{
    columns::{Column, MAX_NUMBER},
    error::OnnxError,
    file::Node,
    sums::Sums,
};
use crate::schema::Row;

/// One or two rows of coefficients, with their intercepts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Linear {
    columns: Vec<Column>,
    /// For class 1.
    one: Weights,
    /// For class 0, if the file has it.
    zero: Option<Weights>,
}

#[derive(Clone, Debug, PartialEq)]
struct Weights {
    coefficients: Vec<f64>,
    intercept: f64,
}

// === impl Linear ===

impl Linear {
    pub(super) fn read(node: &Node<'_>, columns: &[Column]) -> Result<Self, OnnxError> {
        let (coefficients, intercepts) = (node.numbers("coefficients")?, node.numbers("intercepts")?);
        let width = columns.len();
        let rows = coefficients.len() / width.max(1);
        if !(1..=2).contains(&rows) || coefficients.len() != rows * width {
            let what = format!(
                "it has {} coefficients for {width} columns and 2 classes",
                coefficients.len()
            );
            return Err(node.fail(what));
        }
        if ![0, rows].contains(&intercepts.len()) {
            return Err(node.fail(format!(
                "it has {} intercepts for {rows} rows of coefficients",
                intercepts.len()
            )));
        }
        let mut numbers = coefficients.iter().chain(&intercepts);
        if numbers.any(|number| !number.is_finite() || number.abs() > MAX_NUMBER) {
            return Err(node.fail("a coefficient is not finite or larger than 1e100"));
        }
        let weights = |row: usize| Weights {
            coefficients: coefficients[row * width..(row + 1) * width].to_vec(),
            intercept: intercepts.get(row).copied().unwrap_or(0.0),
        };
        Ok(Self {
            columns: columns.to_vec(),
            one: weights(rows - 1),
            zero: (rows == 2).then(|| weights(0)),
        })
    }

    pub(super) fn has_two(&self) -> bool {
        self.zero.is_some()
    }

    pub(super) fn sum(&self, row: &Row) -> Sums {
        let sum = |weights: &Weights| {
            let terms = self.columns.iter().zip(&weights.coefficients);
            terms.fold(weights.intercept, |sum, (column, coefficient)| {
                sum + column.value(row) * coefficient
            })
        };
        match &self.zero {
            None => Sums::One(sum(&self.one)),
            Some(zero) => Sums::Two(sum(zero), sum(&self.one)),
        }
    }

    /// The features without a replacement for missing values.
    pub(super) fn needed(&self) -> Vec<usize> {
        let unfilled = self.columns.iter().filter(|column| !column.fills());
        unfilled.map(|column| column.feature).collect()
    }
}
