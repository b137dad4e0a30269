//! Gradient boosting by XGBoost: `model.json` and `xgboost.json`, the JSON format of XGBoost.
//!
//! The score is the logistic function of the margin in single precision, with the same steps as in the library.
//!
//! ```python
//! xgboost.Booster(model_file="xgboost.json").inplace_predict(X)
//! ```
//!
//! `X` has the features in the order of `model.json`, numbers in single precision, categories as their indices in
//! `schema.json`, and NaN for missing values.

use std::sync::Arc;

use super::{
    Family, FamilyError, FamilyFiles, Scorer,
    columns::MODEL_FILE,
    tree::{Output, TreeFile, TreeFileError, TreeModel, TreeScorer, files::Kind},
};
use crate::schema::FeatureSchema;

/// The family's name in the API and in `model.json`.
pub const XGBOOST: &str = "XGBoost";

/// The file of the library.
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
    /// A scorer of a model for `schema`, with the same checks as one from a bundle.
    pub fn scorer(
        schema: &FeatureSchema,
        file: &TreeFile,
        model: TreeModel,
    ) -> Result<TreeScorer, TreeFileError> {
        KIND.scorer(schema, file, model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::{conformance, tree::fixture},
        files::json,
    };

    #[test]
    fn the_family_does_what_is_asked_of_every_one() {
        let (schema, bytes) = fixture::read("xgboost-deep.json");
        let model = TreeModel::from_xgboost(&bytes, &schema).unwrap();
        let file = TreeFile::new(XGBOOST, &schema, &model);
        Xgboost::scorer(&schema, &file, model).unwrap();
        let files = [(MODEL_FILE, json(&file).unwrap()), (BOOSTER_FILE, bytes)];
        conformance::check(&Xgboost, &schema, &files).unwrap();
    }

    #[test]
    fn a_forest_is_not_of_the_family() {
        let (schema, bytes) = fixture::read("forest.json");
        let model = TreeModel::from_xgboost(&bytes, &schema).unwrap();
        let file = TreeFile::new(XGBOOST, &schema, &model);
        let files = [(MODEL_FILE, json(&file).unwrap()), (BOOSTER_FILE, bytes)];
        let error = Xgboost
            .load(&FamilyFiles::of_bytes(&Xgboost, &files), &schema)
            .unwrap_err();
        assert_eq!(error.file(), Some(BOOSTER_FILE));
        let error = Xgboost::scorer(&schema, &file, model).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("objective: it does not belong to the family XGBoost"),
            "{error}"
        );
    }
}
