//! A random forest that was trained by XGBoost: `model.json` and `xgboost.json`.
//!
//! The trees are those of one round with `num_parallel_tree`, `reg:squarederror`, `base_score` 0, `lambda` 0 and `eta` 1.
//! XGBoost divides each leaf by the number of trees, so the sum of the leaves is their mean. The score is this sum, in single
//! precision and in the order of the trees, clamped to 0 and 1 because of rounding.

use std::sync::Arc;

use super::{
    Family, FamilyError, FamilyFiles, Scorer,
    columns::MODEL_FILE,
    tree::{Output, TreeFile, TreeFileError, TreeModel, TreeScorer, files::Kind},
};
use crate::schema::FeatureSchema;

/// The family's name in the API and in `model.json`.
pub const RANDOM_FOREST: &str = "RandomForest";

/// The file of the library.
pub const BOOSTER_FILE: &str = "xgboost.json";

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct RandomForest;

const KIND: Kind = Kind {
    name: RANDOM_FOREST,
    files: &[MODEL_FILE, BOOSTER_FILE],
    read: TreeModel::from_xgboost,
    accepts: |output| matches!(output, Output::Clamp),
    objectives: "reg:squarederror",
};

// === impl RandomForest ===

impl Family for RandomForest {
    fn name(&self) -> &'static str {
        RANDOM_FOREST
    }

    fn files(&self) -> &'static [&'static str] {
        KIND.files
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        KIND.load(files, schema)
    }
}

impl RandomForest {
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
        let (schema, bytes) = fixture::read("forest.json");
        let model = TreeModel::from_xgboost(&bytes, &schema).unwrap();
        let file = TreeFile::new(RANDOM_FOREST, &schema, &model);
        RandomForest::scorer(&schema, &file, model).unwrap();
        let files = [(MODEL_FILE, json(&file).unwrap()), (BOOSTER_FILE, bytes)];
        conformance::check(&RandomForest, &schema, &files).unwrap();
    }
}
