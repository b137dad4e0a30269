//! Which features a model takes, and how a row of them is read.
//!
//! ```text
//! {"age": 63, "sex": 1, …}  ──read_json──►  Row + warnings   or every error of the row at once
//! [Cell::Number(63.0), …]   ──read_cells─►
//! ```
//!
//! | what comes | what happens |
//! |---|---|
//! | `null`, an absent name, an empty text, NaN, what [`Missing`] has | missing: imputed, unless the feature is `required`, then an error |
//! | a number outside the range | scored as it is, with a warning |
//! | a category that training never saw | scored with all its indicators 0, with a warning |
//! | a wrong type, an unknown name, infinity, a number beyond `f32` | an error |
//!
//! A boolean is a wrong type, but for a categorical feature whose categories are `true`/`false` or `t`/`f` (in any case) or
//! whose every category is `0` or `1`: there it is one of these words in another spelling.
//!
//! A number is a category by its shortest decimal in its own type: see [`Cell`].

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
