//! What every kind of transform has in the trainer: which columns it makes, and how it is fitted.

use std::fmt;

use modelward_model::{DerivationError, FeatureKind, transform::Fitted};
use modelward_wire::Decimal;

use crate::data::dataset::Values;

/// A kind of transform with its arguments.
pub trait TransformKind: fmt::Debug + Send + Sync {
    /// The columns that it makes of such columns under its name, as far as they are known before any row is read; or what is wrong, in
    /// words that follow the transform's name.
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String>;

    /// Learns from the training rows; what is wrong otherwise, in words that follow the transform's name.
    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String>;

    /// Whether the training rows have other values than rows that are scored.
    fn is_cross_fitted(&self) -> bool {
        false
    }

    /// The values of its column in the training rows, if they differ from those that the same rows would have when they are scored.
    fn cross_fit(&self, inputs: &Inputs<'_>) -> Option<Values> {
        let _ = inputs;
        None
    }
}

/// The most bins of a transform `Bins`. How many it makes, and which, is known once it is fitted.
const MOST_BINS: usize = 64;

/// A given number in the precision of values. Values are 32-bit floats, so a cell of 0.7 is a little less than the double 0.7.
pub(super) fn round_to_value(number: &Decimal) -> f64 {
    f64::from(number.to_f64() as f32)
}

/// A column before any row is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnOutline {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Numbers.
    Numeric,
    /// Categories: these, if they are known.
    Categorical(Option<Vec<String>>),
}

/// The training rows, as a transform reads them.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What its columns hold.
    pub kinds: Vec<&'a FeatureKind>,
    /// Its columns, with a value for each training row.
    pub columns: Vec<&'a Values>,
    /// The class of each training row.
    pub labels: &'a [bool],
    /// How much each counts, if they count differently.
    pub weights: Option<&'a [f32]>,
    /// Their parts, for cross-fitting; empty if no transform needs them.
    pub parts: &'a Parts,
}

/// Parts of the training rows, each of which is encoded by the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The part of each row.
    pub of_row: Vec<usize>,
    /// Whether they are made of so few groups that their shares of class 1 may differ.
    pub are_few_groups: bool,
}

/// Why transforms cannot be fitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// A column that does not exist.
    #[error("transform {transform:?} reads {column:?}, which does not exist")]
    Input {
        /// The transform's name.
        transform: String,
        /// The column.
        column: String,
    },
    /// A transform that cannot learn from its column.
    #[error("transform {transform:?} {problem}")]
    Kind {
        /// The transform's name.
        transform: String,
        /// What is wrong.
        problem: String,
    },
    /// What was learnt does not fit the columns.
    #[error(transparent)]
    Derivation(#[from] DerivationError),
}

// === impl ColumnOutline ===

impl ColumnOutline {
    /// A column of numbers.
    pub fn numeric(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: ColumnKind::Numeric,
        }
    }

    /// A column of categories: these, if they are known.
    pub fn categorical(name: impl Into<String>, categories: Option<Vec<String>>) -> Self {
        Self {
            name: name.into(),
            kind: ColumnKind::Categorical(categories),
        }
    }

    /// How many columns it is if it is one-hot encoded; if its categories are not known yet, at most.
    pub fn encoded_width(&self) -> usize {
        match &self.kind {
            ColumnKind::Numeric => 1,
            ColumnKind::Categorical(categories) => categories.as_ref().map_or(MOST_BINS, Vec::len),
        }
    }

    /// What is wrong if it has to hold numbers.
    pub(super) fn check_numeric(&self) -> Result<(), String> {
        match self.kind {
            ColumnKind::Numeric => Ok(()),
            ColumnKind::Categorical(_) => Err(format!("takes numbers, and {:?} is Categorical", self.name)),
        }
    }

    /// Its categories, if they are known; what is wrong if it has numbers.
    pub(super) fn check_categorical(&self) -> Result<Option<&[String]>, String> {
        match &self.kind {
            ColumnKind::Categorical(categories) => Ok(categories.as_deref()),
            ColumnKind::Numeric => Err(format!("takes categories, and {:?} is Numeric", self.name)),
        }
    }
}

// === impl Inputs ===

impl Inputs<'_> {
    /// The numbers of the first column that are not missing, in the order of the rows.
    pub fn numbers(&self) -> Vec<f64> {
        match self.columns.first() {
            Some(Values::Numbers(numbers)) => {
                let present = numbers.iter().filter(|number| !number.is_nan());
                present.map(|number| f64::from(*number)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The indices of the first column's categories, by row.
    pub fn indices(&self) -> &[u32] {
        match self.columns.first() {
            Some(Values::Categories(indices)) => indices,
            _ => &[],
        }
    }

    /// The categories of the first column.
    pub fn categories(&self) -> &[String] {
        match self.kinds.first() {
            Some(FeatureKind::Categorical { categories }) => categories,
            _ => &[],
        }
    }
}
