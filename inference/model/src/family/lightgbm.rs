//! Gradient boosting by LightGBM: `model.json` and `lightgbm.txt`, the text format of LightGBM.
//!
//! The score is 1 / (1 + exp(-sigmoid * raw)) in double precision. The raw score has the same bits as in the library. The
//! exponential is that of `libm`, so it has the same bits on any machine.
//!
//! ```python
//! lightgbm.Booster(model_file="lightgbm.txt").predict(X)
//! ```
//!
//! `X` has the features in the order of `model.json`, numbers in single precision, categories as their indices in
//! `schema.json`, and NaN for missing values.
//!
//! A bundle has the text only up to `end of trees` ([`strip_lightgbm`](super::tree::strip_lightgbm)), which LightGBM can
//! read. The rest of LightGBM's files is for readers and depends on the number of threads.

use std::sync::Arc;

use super::{
    Family, FamilyError, FamilyFiles, Scorer,
    columns::MODEL_FILE,
    tree::{Output, TreeFile, TreeFileError, TreeModel, TreeScorer, files::Kind},
};
use crate::schema::FeatureSchema;

/// The family's name in the API and in `model.json`.
pub const LIGHTGBM: &str = "LightGBM";

/// The file of the library.
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
        family::{
            conformance,
            tree::{fixture, strip_lightgbm},
        },
        files::json,
    };

    #[test]
    fn the_family_does_what_is_asked_of_every_one() {
        let (schema, bytes) = fixture::read("lightgbm-dart.txt");
        // The text after the trees is not read, so truncation is not noticed there.
        let bytes = strip_lightgbm(&bytes).to_vec();
        let model = TreeModel::from_lightgbm(&bytes, &schema).unwrap();
        let file = TreeFile::new(LIGHTGBM, &schema, &model);
        LightGbm::scorer(&schema, &file, model).unwrap();
        let files = [(MODEL_FILE, json(&file).unwrap()), (TEXT_FILE, bytes)];
        conformance::check(&LightGbm, &schema, &files).unwrap();
    }

    #[test]
    fn a_model_file_that_is_not_of_the_trees_is_refused_with_its_name() {
        let (schema, bytes) = fixture::read("lightgbm-dart.txt");
        let model = TreeModel::from_lightgbm(&bytes, &schema).unwrap();
        let mut file = TreeFile::new(LIGHTGBM, &schema, &model);
        file.trees = 8;
        let files = [(MODEL_FILE, json(&file).unwrap()), (TEXT_FILE, bytes)];
        let load = LightGbm.load(&FamilyFiles::of_bytes(&LightGbm, &files), &schema);
        let error = load.unwrap_err();
        assert_eq!(error.file(), Some(MODEL_FILE));
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "model has 8 trees, found 9");
        file.features.swap(0, 1);
        let error = LightGbm::scorer(&schema, &file, model).unwrap_err();
        assert!(error.to_string().contains("the schema gives"), "{error}");
    }
}
