//! Whether data has the features of a version that is to be retrained on it.
//!
//! A version that an action creates answers the same requests as the one before it. So the data must give it the same features, of the
//! same kinds; a user has to decide which of two files is better, before an approval.

use std::path::Path;

use modelward_crds::Champion;
use modelward_model::{Bundle, Feature, FeatureKind, FeatureSchema};
use modelward_wire::Violation;

use crate::{data::violation::violation, fit::compare::error::CompareError};

/// The violations of a snapshot with this schema. The champion's bundle is in `dir`.
pub fn check_features(
    dir: &Path,
    champion: &Champion,
    schema: &FeatureSchema,
) -> Result<Vec<Violation>, CompareError> {
    let bundle = Bundle::open(dir, &champion.bundle).map_err(|source| CompareError::Bundle {
        version: champion.version.clone(),
        source,
    })?;
    Ok(find_differences(&champion.version, bundle.schema(), schema))
}

fn find_differences(version: &str, known: &FeatureSchema, found: &FeatureSchema) -> Vec<Violation> {
    let find = |schema: &FeatureSchema, name: &str| -> Option<Feature> {
        schema
            .features
            .iter()
            .find(|feature| feature.name == name)
            .cloned()
    };
    let mut violations = Vec::new();
    let mut add =
        |name: &str, message: String| violations.push(violation(name, "Features", message, 1, None));
    for feature in &known.features {
        let name = &feature.name;
        match find(found, name) {
            None => add(
                name,
                format!("{version} takes this feature, and the data does not have it; add the column"),
            ),
            Some(other) if kind_of(&other) != kind_of(feature) => add(
                name,
                format!(
                    "{version} takes this feature as {}, and the data has it as {}; correct the source, or declare its kind in a \
                     version that you create",
                    kind_of(feature),
                    kind_of(&other)
                ),
            ),
            Some(_) => {}
        }
    }
    for feature in &found.features {
        if find(known, &feature.name).is_none() {
            let message = format!(
                "the data has this column, and {version} does not take it as a feature; remove the column, or create a new version \
                 that takes it"
            );
            add(&feature.name, message);
        }
    }
    violations
}

fn kind_of(feature: &Feature) -> &'static str {
    match feature.kind {
        FeatureKind::Numeric { .. } => "Numeric",
        FeatureKind::Categorical { .. } => "Categorical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(features: Vec<Feature>) -> FeatureSchema {
        FeatureSchema::new(features).unwrap()
    }

    #[test]
    fn features_that_are_absent_new_or_of_another_kind_are_named() {
        let known = schema(vec![
            Feature::numeric("age"),
            Feature::categorical("plan", &["a"]),
            Feature::numeric("income"),
        ]);
        let found = schema(vec![
            Feature::numeric("plan"),
            Feature::numeric("age"),
            Feature::numeric("visits"),
        ]);
        let violations = find_differences("heart-1", &known, &found);
        let named: Vec<&str> = violations
            .iter()
            .map(|violation| violation.column.as_str())
            .collect();
        assert_eq!(named, ["plan", "income", "visits"]);
        assert!(
            violations[0]
                .message
                .contains("as Categorical, and the data has it as Numeric")
        );
        assert!(violations.iter().all(|violation| violation.rule == "Features"));
        assert_eq!(find_differences("heart-1", &known, &known), []);
    }

    #[test]
    fn the_order_of_features_and_their_categories_may_differ() {
        let known = schema(vec![
            Feature::numeric("age"),
            Feature::categorical("plan", &["a"]),
        ]);
        let found = schema(vec![
            Feature::categorical("plan", &["b"]),
            Feature::numeric("age"),
        ]);
        assert_eq!(find_differences("heart-1", &known, &found), []);
    }
}
