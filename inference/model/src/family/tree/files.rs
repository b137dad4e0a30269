//! The common parts of the families of trees: `model.json`, which belongs to the library's file, and scoring.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{error::TreeError, model::TreeModel, output::Output};
use crate::{
    family::{
        FamilyError, FamilyFiles, Scorer,
        columns::{CLASSES, Head, HeadError, MODEL_FILE},
    },
    schema::{FeatureSchema, Row},
};

/// The format that this code writes and reads.
pub const TREE_FORMAT: u32 = 1;

/// The content of `model.json`: what the library's file does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TreeFile {
    /// [`TREE_FORMAT`].
    pub format: u32,
    /// The name of the family.
    pub family: String,
    /// The two classes, `[0, 1]`. Scores are probabilities of the second.
    pub classes: [u8; 2],
    /// Names of the features, which have only numbers in the library's file.
    pub features: Vec<String>,
    /// Number of trees.
    pub trees: usize,
}

/// A model that is ready to score.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeScorer(TreeModel);

/// Why `model.json`, the library's file and the family do not match.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeFileError {
    /// The common fields of a model file.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The library's file has another number of trees.
    #[error("model has {stated} trees, found {found}")]
    Count {
        /// In `model.json`.
        stated: usize,
        /// In the library's file.
        found: usize,
    },
    /// The library's file.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// A family of trees of one library.
#[derive(Clone, Copy, Debug)]
pub(in crate::family) struct Kind {
    pub(in crate::family) name: &'static str,
    /// [`MODEL_FILE`] and the file of the library.
    pub(in crate::family) files: &'static [&'static str; 2],
    pub(in crate::family) read: fn(&[u8], &FeatureSchema) -> Result<TreeModel, TreeError>,
    /// Whether a model with this output belongs to the family.
    pub(in crate::family) accepts: fn(Output) -> bool,
    /// Its objectives, for messages.
    pub(in crate::family) objectives: &'static str,
}

// === impl TreeFile ===

impl TreeFile {
    /// The description of a model of this family.
    pub fn new(family: &str, schema: &FeatureSchema, model: &TreeModel) -> Self {
        Self {
            format: TREE_FORMAT,
            family: family.to_owned(),
            classes: CLASSES,
            features: schema.names().map(ToOwned::to_owned).collect(),
            trees: model.trees(),
        }
    }

    fn check(&self, family: &'static str, schema: &FeatureSchema) -> Result<(), HeadError> {
        let head = Head {
            format: self.format,
            family: &self.family,
            classes: self.classes,
            columns: &self.features,
        };
        head.check_features(family, TREE_FORMAT, schema)
    }
}

// === impl TreeFileError ===

impl TreeFileError {
    fn into_family_error(self, library_file: &'static str) -> FamilyError {
        match self {
            Self::Tree(error) => FamilyError::invalid(library_file, error),
            error => FamilyError::invalid(MODEL_FILE, error),
        }
    }
}

// === impl TreeScorer ===

impl TreeScorer {
    /// The model.
    pub fn model(&self) -> &TreeModel {
        &self.0
    }
}

impl Scorer for TreeScorer {
    fn score(&self, row: &Row) -> f64 {
        self.0.probability(row)
    }

    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.0.probabilities(rows, out);
    }
}

// === impl Kind ===

impl Kind {
    pub(in crate::family) fn load(
        &self,
        files: &FamilyFiles<'_>,
        schema: &FeatureSchema,
    ) -> Result<Arc<dyn Scorer>, FamilyError> {
        let [model_file, library_file] = *self.files;
        let file: TreeFile = files.parse(model_file)?;
        // Checked before the library's file is read, which may be large and have another schema.
        let scorer = match file.check(self.name, schema) {
            Ok(()) => {
                let bytes = files.bytes(library_file)?;
                (self.read)(&bytes, schema)
                    .map_err(TreeFileError::from)
                    .and_then(|model| self.scorer(schema, &file, model))
            }
            Err(error) => Err(error.into()),
        };
        match scorer {
            Ok(scorer) => Ok(Arc::new(scorer)),
            Err(error) => Err(error.into_family_error(library_file)),
        }
    }

    pub(in crate::family) fn scorer(
        &self,
        schema: &FeatureSchema,
        file: &TreeFile,
        model: TreeModel,
    ) -> Result<TreeScorer, TreeFileError> {
        file.check(self.name, schema)?;
        if !(self.accepts)(model.output()) {
            let what = format!(
                "it does not belong to the family {}, which has {}",
                self.name, self.objectives
            );
            return Err(TreeError::field("objective", what).into());
        }
        if file.trees != model.trees() {
            return Err(TreeFileError::Count {
                stated: file.trees,
                found: model.trees(),
            });
        }
        Ok(TreeScorer(model))
    }
}
