//! Trees of LightGBM and XGBoost, read from the libraries' own files and walked by one kernel.
//!
//! Raw scores have the bits of the library that made the file: thresholds, missing values and categories decide alike, and
//! leaves are added in its order and precision. A [`Row`] has numbers in single precision, and so has what the library
//! is given for a comparison: a number as it is, a category as its index in the schema, a missing value as NaN, an
//! unknown category as -1 (in no set of either library).
//!
//! | | LightGBM | XGBoost |
//! |---|---|---|
//! | goes left | `x <= threshold`, in a set | `x < threshold`, not in a set |
//! | missing number | as the node says: its default side, or as 0 | its default side |
//! | missing category | right | its default side |
//! | unknown category | right | left |
//! | leaves | double precision from 0 | single precision from the base score's margin |

mod build;
mod columns;
pub(super) mod files;
mod forest;
mod lightgbm;
mod ubjson;
mod xgboost;

pub use self::{
    files::{TREE_FORMAT, TreeFile, TreeFileError, TreeScorer},
    forest::Forest,
    lightgbm::strip_lightgbm,
    ubjson::UbjsonError,
};

use std::collections::HashSet;

use crate::{
    math::{sigmoid, sigmoid_single},
    schema::{FeatureSchema, Row},
};

/// A model of trees: the forest, and what becomes of its sum.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    forest: Forest,
    output: Output,
}

/// What a raw score becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// LightGBM's `binary`: the logistic function of the raw score times this number, in double precision.
    Sigmoid(f64),
    /// XGBoost's `binary:logistic` and `reg:logistic`: the logistic function in single precision.
    SigmoidSingle,
    /// XGBoost's `reg:squarederror`: the raw score itself, limited to 0 and 1.
    Clamp,
}

/// Why a file of trees is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A line of a text. The first is 1.
    #[error("line {line}: {what}")]
    Line {
        /// Which.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A field of a file.
    #[error("{field}: {what}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A tree. The first is 0, as in the file.
    #[error("tree {tree}: {what}")]
    Tree {
        /// Which.
        tree: usize,
        /// What is wrong.
        what: String,
    },
    /// A node of a tree. The root is 0, as in the file; in LightGBM's text leaves are counted after all nodes that split.
    #[error("tree {tree}, node {node}: {what}")]
    Node {
        /// The tree.
        tree: usize,
        /// The node.
        node: usize,
        /// What is wrong.
        what: String,
    },
    /// The whole file.
    #[error("{0}")]
    File(String),
    /// It is not JSON of the right form.
    #[error("does not parse as a model of XGBoost in JSON")]
    Json(#[source] serde_json::Error),
    /// It is not UBJSON of the right form.
    #[error("does not parse as a model of XGBoost in UBJSON")]
    Ubjson(#[source] UbjsonError),
}

// === impl TreeModel ===

impl TreeModel {
    /// Reads a model of LightGBM in its text format: `objective=binary`, one class, no linear trees, no `average_output`.
    ///
    /// Features are those of the schema in its order, categories their indices there. What follows `end of trees` is not
    /// read.
    pub fn from_lightgbm(bytes: &[u8], schema: &FeatureSchema) -> Result<Self, TreeError> {
        lightgbm::read(bytes, schema)
    }

    /// Reads a model of XGBoost in JSON or UBJSON: booster `gbtree`, one target, and the objective `binary:logistic`,
    /// `reg:logistic` or `reg:squarederror`.
    ///
    /// Features are those of the schema in its order, categories their indices there.
    pub fn from_xgboost(bytes: &[u8], schema: &FeatureSchema) -> Result<Self, TreeError> {
        xgboost::read(bytes, schema)
    }

    /// The raw score: of LightGBM in double precision, of XGBoost the margin, a number of single precision.
    pub fn raw(&self, row: &Row) -> f64 {
        self.forest.raw(row)
    }

    /// Appends the raw score of each row, faster than one by one and with the same bits.
    pub fn raw_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.forest.raw_rows(rows, out);
    }

    /// The probability of class 1, within 0 and 1.
    pub fn probability(&self, row: &Row) -> f64 {
        self.output.apply(self.raw(row))
    }

    /// Appends the probability of each row: the same bits as of [`Self::probability`].
    pub fn probabilities(&self, rows: &[Row], out: &mut Vec<f64>) {
        let first = out.len();
        self.raw_rows(rows, out);
        for score in &mut out[first..] {
            *score = self.output.apply(*score);
        }
    }

    /// What becomes of a raw score.
    pub fn output(&self) -> Output {
        self.output
    }

    /// How many trees it has.
    pub fn trees(&self) -> usize {
        self.forest.trees()
    }
}

// === impl Output ===

impl Output {
    /// The probability that a raw score stands for.
    pub fn apply(self, raw: f64) -> f64 {
        match self {
            Self::Sigmoid(factor) => sigmoid(factor * raw),
            Self::SigmoidSingle => f64::from(sigmoid_single(raw as f32)),
            Self::Clamp => raw.clamp(0.0, 1.0),
        }
    }
}

// === impl TreeError ===

impl TreeError {
    fn line(line: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Line { line, what }
    }

    fn field(field: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Field { field, what }
    }

    fn tree(tree: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Tree { tree, what }
    }

    fn node(tree: usize, node: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Node { tree, node, what }
    }

    fn file(what: impl Into<String>) -> Self {
        Self::File(what.into())
    }
}

/// Refuses features that have the schema's names in another order. Other names say nothing: the libraries make names up,
/// and forbid characters that a schema allows.
fn check_order(
    field: &'static str,
    names: &[impl AsRef<str>],
    schema: &FeatureSchema,
) -> Result<(), TreeError> {
    let known: HashSet<&str> = schema.names().collect();
    let names = || names.iter().map(AsRef::as_ref);
    if names().all(|name| known.contains(name)) && !names().eq(schema.names()) {
        let what = "they are those of the schema in another order";
        return Err(TreeError::field(field, what));
    }
    Ok(())
}

/// Checks that a model has as many features as the schema.
fn check_count(field: &'static str, found: usize, schema: &FeatureSchema) -> Result<(), TreeError> {
    let expected = schema.features.len();
    if found == expected {
        return Ok(());
    }
    Err(TreeError::field(
        field,
        format!("the model has {found} features, the schema has {expected}"),
    ))
}

/// The models of `tests/trees`.
#[cfg(test)]
pub(super) mod fixture {
    use std::{fs, path::Path};

    use super::FeatureSchema;

    pub(in crate::family) fn read(model: &str) -> (FeatureSchema, Vec<u8>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/trees")
            .join(model);
        let case = fs::read(path.with_extension("case.json")).unwrap();
        let case: serde_json::Value = serde_json::from_slice(&case).unwrap();
        let schema = serde_json::from_value(case["schema"].clone()).unwrap();
        (schema, fs::read(path).unwrap())
    }
}
