//! The features of a model, and how rows are read.
//!
//! ```text
//! {"age": 63, "sex": 1, …}  ──read_json──►  Row + warnings   or all errors of the row
//! [Cell::Number(63.0), …]   ──read_cells─►
//! ```
//!
//! | value | result |
//! |---|---|
//! | `null`, an absent name, an empty text, NaN, a text of [`Missing`] | missing: imputed; an error if the feature is `required` |
//! | a number outside the range | scored unchanged, with a warning |
//! | a category that is not in the training data | scored with all its indicators 0, with a warning |
//! | a wrong type, an unknown name, infinity, a number outside the range of `f32` | an error |
//!
//! A boolean is a wrong type, except for a categorical feature with the categories `true`/`false` or `t`/`f` (ignoring case)
//! or only `0` and `1`. There it is another spelling of one of these.
//!
//! As a category, a number is its shortest decimal in its own type: see [`Cell`].

mod category;
mod cell;
mod feature;
mod problem;
mod read;
mod row;
#[cfg(test)]
mod tests;

pub use category::{canonical_category, is_truth, truth_category};
pub use cell::{Cell, Missing, number};
pub use feature::{Feature, FeatureKind, FeatureSchema, SCHEMA_FORMAT, SchemaError, normalize_name};
pub use problem::{RowError, Warning};
pub use row::{Row, Value};
