//! Checks of the features in a file.

use std::collections::HashSet;

use super::error::TreeError;
use crate::schema::FeatureSchema;

/// Refuses features with the names of the schema in another order. Other names are ignored, because the libraries generate
/// names and forbid characters that a schema allows.
pub(super) fn check_order(
    field: &'static str,
    names: &[impl AsRef<str>],
    schema: &FeatureSchema,
) -> Result<(), TreeError> {
    let known: HashSet<&str> = schema.names().collect();
    let names = || names.iter().map(AsRef::as_ref);
    if names().all(|name| known.contains(name)) && !names().eq(schema.names()) {
        let what = "they are not in the order of the schema";
        return Err(TreeError::field(field, what));
    }
    Ok(())
}

/// Checks that a model has as many features as the schema.
pub(super) fn check_count(
    field: &'static str,
    found: usize,
    schema: &FeatureSchema,
) -> Result<(), TreeError> {
    let expected = schema.features.len();
    if found == expected {
        return Ok(());
    }
    Err(TreeError::field(
        field,
        format!("the model has {found} features, but the schema has {expected}"),
    ))
}
