//! Trees of LightGBM and XGBoost, read from the libraries' own files and walked by one kernel.
//!
//! Raw scores have the bits of the library that made the file: thresholds, missing values and categories decide alike, and
//! leaves are added in its order and precision. A [`Row`](crate::Row) has numbers in single precision, and so has what the library
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
