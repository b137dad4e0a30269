//! Gradient boosting by XGBoost: `model.json` and `xgboost.json`, the JSON that XGBoost itself writes and reads.
//!
//! The score is the logistic function of the margin in single precision, by the same steps as in the library.
//!
//! ```python
//! xgboost.Booster(model_file="xgboost.json").inplace_predict(X)
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
pub const XGBOOST: &str = "XGBoost";

/// The library's own file.
pub const BOOSTER_FILE: &str = "xgboost.json";

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct Xgboost;

const KIND: Kind = Kind {
    name: XGBOOST,
    files: &[MODEL_FILE, BOOSTER_FILE],
    read: TreeModel::from_xgboost,
    accepts: |output| matches!(output, Output::SigmoidSingle),
    objectives: "binary:logistic and reg:logistic",
};

// === impl Xgboost ===

impl Family for Xgboost {
    fn name(&self) -> &'static str {
        XGBOOST
    }

    fn files(&self) -> &'static [&'static str] {
        KIND.files
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        KIND.load(files, schema)
    }
}

impl Xgboost {
    /// A scorer of a model for `schema`, checked as one that is read from a bundle.
    pub fn scorer(
        schema: &FeatureSchema,
        file: &TreeFile,
        model: TreeModel,
    ) -> Result<TreeScorer, TreeFileError> {
        KIND.scorer(schema, file, model)
    }
}
