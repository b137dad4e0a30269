//! Gradient boosting by LightGBM: `model.json` and `lightgbm.txt`, the text that LightGBM itself writes and reads.
//!
//! The score is 1 / (1 + exp(-sigmoid * raw)) in double precision. The raw score has the bits of the library; the
//! exponential is that of `libm`, so that it has the same bits on any machine.
//!
//! ```python
//! lightgbm.Booster(model_file="lightgbm.txt").predict(X)
//! ```
//!
//! `X` has the features in the order of `model.json`, numbers in single precision, categories as their indices in
//! `schema.json`, and NaN for what is missing.

use std::sync::Arc;

use super::{
    Family, FamilyError, FamilyFiles, Scorer,
    columns::MODEL_FILE,
    tree::{Output, TreeFile, TreeFileError, TreeModel, TreeScorer, files::Kind},
};
use crate::schema::FeatureSchema;

/// The family's name in the API and in `model.json`.
pub const LIGHTGBM: &str = "LightGBM";

/// The library's own file.
pub const TEXT_FILE: &str = "lightgbm.txt";

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct LightGbm;

const KIND: Kind = Kind {
    name: LIGHTGBM,
    files: &[MODEL_FILE, TEXT_FILE],
    read: TreeModel::from_lightgbm,
    accepts: |output| matches!(output, Output::Sigmoid(_)),
    objectives: "binary",
};

// === impl LightGbm ===

impl Family for LightGbm {
    fn name(&self) -> &'static str {
        LIGHTGBM
    }

    fn files(&self) -> &'static [&'static str] {
        KIND.files
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        KIND.load(files, schema)
    }
}

impl LightGbm {
    /// A scorer of a model for `schema`, checked as one that is read from a bundle.
    pub fn scorer(
        schema: &FeatureSchema,
        file: &TreeFile,
        model: TreeModel,
    ) -> Result<TreeScorer, TreeFileError> {
        KIND.scorer(schema, file, model)
    }
}
