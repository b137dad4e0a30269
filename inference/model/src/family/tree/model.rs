//! A model of trees: reads a library's file and computes probabilities.

use super::{
    error::TreeError,
    forest::Forest,
    lightgbm,
    outline::{OutlineFeature, of_lightgbm},
    output::Output,
    ubjson, xgboost,
};
use crate::schema::{FeatureSchema, Row};

/// A model of trees: the forest, and the function of its sum.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    forest: Forest,
    output: Output,
}

// === impl TreeModel ===

impl TreeModel {
    /// Reads a model of LightGBM in its text format: `objective=binary`, one class, no linear trees, no `average_output`.
    ///
    /// Features are those of the schema in its order, categories are their indices there. The text after `end of trees` is
    /// not read.
    pub fn from_lightgbm(bytes: &[u8], schema: &FeatureSchema) -> Result<Self, TreeError> {
        let (forest, output) = lightgbm::read(bytes, schema)?;
        Ok(Self { forest, output })
    }

    /// Reads a model of XGBoost in JSON or UBJSON: booster `gbtree`, one target, and the objective `binary:logistic`,
    /// `reg:logistic` or `reg:squarederror`.
    ///
    /// Features are those of the schema in its order, categories their indices there.
    pub fn from_xgboost(bytes: &[u8], schema: &FeatureSchema) -> Result<Self, TreeError> {
        let (forest, output) = xgboost::read(bytes, schema)?;
        Ok(Self { forest, output })
    }

    /// The features in a text of LightGBM, in order.
    pub fn outline_lightgbm(bytes: &[u8]) -> Result<Vec<OutlineFeature>, TreeError> {
        of_lightgbm(bytes)
    }

    /// The features in a file of XGBoost in JSON or UBJSON, in order.
    pub fn outline_xgboost(bytes: &[u8]) -> Result<Vec<OutlineFeature>, TreeError> {
        xgboost::outline(bytes)
    }

    /// Converts a UBJSON file of XGBoost to JSON. Every number keeps its bits. A number that JSON cannot represent becomes `null`,
    /// which readers of models refuse.
    pub fn xgboost_json(ubjson: &[u8]) -> Result<Vec<u8>, TreeError> {
        let value: serde_json::Value = ubjson::from_slice(ubjson).map_err(TreeError::Ubjson)?;
        Ok(value.to_string().into_bytes())
    }

    /// The raw score: double precision for LightGBM, the margin in single precision for XGBoost.
    pub fn raw(&self, row: &Row) -> f64 {
        self.forest.raw(row)
    }

    /// Appends the raw score of each row, with the same bits as [`Self::raw`] but faster.
    pub fn raw_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.forest.raw_rows(rows, out);
    }

    /// The probability of class 1, within 0 and 1.
    pub fn probability(&self, row: &Row) -> f64 {
        self.output.apply(self.raw(row))
    }

    /// Appends the probability of each row, with the same bits as [`Self::probability`].
    pub fn probabilities(&self, rows: &[Row], out: &mut Vec<f64>) {
        let first = out.len();
        self.raw_rows(rows, out);
        for score in &mut out[first..] {
            *score = self.output.apply(*score);
        }
    }

    /// The function from raw scores to probabilities.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.forest.trees()
    }
}
