//! A model of trees, from a library's file to a probability.

use super::{
    error::TreeError,
    forest::Forest,
    lightgbm,
    outline::{OutlineFeature, of_lightgbm},
    output::Output,
    ubjson, xgboost,
};
use crate::schema::{FeatureSchema, Row};

/// A model of trees: the forest, and what becomes of its sum.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeModel {
    forest: Forest,
    output: Output,
}

// === impl TreeModel ===

impl TreeModel {
    /// Reads a model of LightGBM in its text format: `objective=binary`, one class, no linear trees, no `average_output`.
    ///
    /// Features are those of the schema in its order, categories their indices there. What follows `end of trees` is not
    /// read.
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

    /// The features that a text of LightGBM states, in order.
    pub fn outline_lightgbm(bytes: &[u8]) -> Result<Vec<OutlineFeature>, TreeError> {
        of_lightgbm(bytes)
    }

    /// The features that a file of XGBoost in JSON or UBJSON states, in order.
    pub fn outline_xgboost(bytes: &[u8]) -> Result<Vec<OutlineFeature>, TreeError> {
        xgboost::outline(bytes)
    }

    /// A file of XGBoost in UBJSON as JSON, every number with its bits. A number that JSON cannot hold becomes `null`, which no
    /// reader of models takes.
    pub fn xgboost_json(ubjson: &[u8]) -> Result<Vec<u8>, TreeError> {
        let value: serde_json::Value = ubjson::from_slice(ubjson).map_err(TreeError::Ubjson)?;
        Ok(value.to_string().into_bytes())
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
