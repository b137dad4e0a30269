//! Trees of LightGBM and XGBoost, read from the files of the libraries and walked by the same code.
//!
//! Raw scores have the same bits as in the library that wrote the file: thresholds, missing values and categories are treated
//! the same, and leaves are added in the same order and precision. A [`Row`](crate::Row) has numbers in single precision. For a
//! comparison the library gets the same: a number unchanged, a category as its index in the schema, a missing value as NaN,
//! and an unknown category as -1 (in no set of either library).
//!
//! | | LightGBM | XGBoost |
//! |---|---|---|
//! | goes left | `x <= threshold`, in a set | `x < threshold`, not in a set |
//! | missing number | depending on the node: its default side, or as 0 | its default side |
//! | missing category | right | its default side |
//! | unknown category | right | left |
//! | leaves | double precision, starting at 0 | single precision, starting at the margin of the base score |

mod build;
mod columns;
mod error;
mod features;
pub(super) mod files;
mod forest;
mod lightgbm;
mod model;
mod outline;
mod output;
mod ubjson;
mod xgboost;

pub use self::{
    error::TreeError,
    files::{TREE_FORMAT, TreeFile, TreeFileError, TreeScorer},
    forest::Forest,
    lightgbm::strip_lightgbm,
    model::TreeModel,
    outline::{OutlineFeature, OutlineKind},
    output::Output,
    ubjson::UbjsonError,
};

/// The models of `tests/trees`.
#[cfg(test)]
pub(super) mod fixture {
    use std::{fs, path::Path};

    use crate::schema::FeatureSchema;

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
