//! How many values a training computes with, as far as it is known before the first fit.

use modelward_model::FeatureSchema;

use crate::{family::Widths, fit::plan::Plan, transform::outline_features};

/// The most values, over the folds of a search, whose bins and derived columns are kept for all trials. The bins of each take one to six
/// bytes in each library.
const SHARED_VALUES: usize = 100_000_000;

/// How many values a training computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows of the data.
    pub(crate) rows: usize,
    /// Features of the data.
    pub(crate) features: usize,
    /// The widest rows that any of the families is fitted on; at least as wide as those of the data.
    pub(crate) widths: Widths,
    /// Folds of a repeat.
    folds: usize,
}

// === impl Size ===

impl Size {
    /// The size of a training as planned on this many rows.
    pub(crate) fn new(rows: usize, schema: &FeatureSchema, plan: &Plan) -> Self {
        let columns = outline_features(schema);
        let features = columns.len();
        let of_data = Widths {
            columns: features,
            ..Widths::default()
        };
        let of_families = plan.families.iter().map(|family| family.widths(&columns));
        Self {
            rows,
            features,
            widths: of_families.fold(of_data, Widths::max),
            folds: plan.folds,
        }
    }

    /// The values that a family reads.
    pub(crate) fn values(&self) -> usize {
        self.rows.saturating_mul(self.widths.columns)
    }

    /// Whether the trials of a search share the bins and derived columns of each fold, which are kept until the end.
    pub(crate) fn is_shared(&self) -> bool {
        self.values().saturating_mul(self.folds) <= SHARED_VALUES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelward_crds::{Family, TransformSpec};
    use modelward_model::Feature;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        family::{self, Settings, TrainableFamily},
        fit::train::tests::plan,
        transform::{TransformedFamily, Transforms},
    };

    /// Two numbers and a category of three words.
    fn schema() -> FeatureSchema {
        FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::numeric("y"),
            Feature::categorical("c", &["a", "b", "d"]),
        ])
        .unwrap()
    }

    /// The widths of 100 rows for this family after these transforms.
    fn widths(of: Family, transforms: Json) -> Widths {
        let specs: Vec<TransformSpec> = serde_json::from_value(transforms).unwrap();
        let family = family::of(of, &Settings::default());
        let family: Arc<dyn TrainableFamily> = if specs.is_empty() {
            family
        } else {
            let transforms = Arc::new(Transforms::new(&specs, 7));
            Arc::new(TransformedFamily::new(family, transforms))
        };
        let plan = Plan {
            families: vec![family],
            ..plan()
        };
        Size::new(100, &schema(), &plan).widths
    }

    #[test]
    fn without_transforms_a_row_has_its_features_and_the_linear_family_encodes_them() {
        let trees = Widths {
            columns: 3,
            derived: 0,
            encoded: 0,
        };
        assert_eq!(widths(Family::LightGBM, json!([])), trees);
        let linear = Widths { encoded: 5, ..trees };
        assert_eq!(widths(Family::LogisticRegression, json!([])), linear);
    }

    #[test]
    fn the_columns_that_transforms_make_are_counted_in_their_order() {
        let transforms = json!([
            {"name": "is", "type": "OneHot", "column": "c"},
            {"name": "a", "type": "Log", "column": "x", "keep": true},
            {"name": "ratio", "type": "Ratio", "columnA": "a", "columnB": "y"},
        ]);
        // x, is=a, is=b, is=d, ratio
        let expected = Widths {
            columns: 5,
            derived: 5,
            encoded: 0,
        };
        assert_eq!(widths(Family::XGBoost, transforms), expected);
    }

    #[test]
    fn bins_count_as_the_most_categories_that_they_may_have() {
        let transforms = json!([{"name": "b", "type": "Bins", "column": "x", "bins": 4}]);
        // y, c, b
        let expected = Widths {
            columns: 3,
            derived: 3,
            encoded: 1 + 3 + 64,
        };
        assert_eq!(widths(Family::LogisticRegression, transforms), expected);
        let transforms = json!([
            {"name": "b", "type": "Bins", "column": "x", "bins": 4},
            {"name": "is", "type": "OneHot", "column": "b"},
        ]);
        assert_eq!(widths(Family::LightGBM, transforms).columns, 2 + 64);
    }

    #[test]
    fn wide_derived_columns_are_not_kept_for_all_trials() {
        let words: Vec<String> = (0..250).map(|word| format!("w{word}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let features = vec![Feature::numeric("x"), Feature::categorical("c", &words)];
        let schema = FeatureSchema::new(features).unwrap();
        let specs: Vec<TransformSpec> =
            serde_json::from_value(json!([{"name": "is", "type": "OneHot", "column": "c"}])).unwrap();
        let transforms = Arc::new(Transforms::new(&specs, 7));
        let family = family::of(Family::LightGBM, &Settings::default());
        let raw = Plan {
            families: vec![Arc::clone(&family)],
            ..plan()
        };
        let derived = Plan {
            families: vec![Arc::new(TransformedFamily::new(family, transforms))],
            ..plan()
        };
        assert!(Size::new(1_000_000, &schema, &raw).is_shared());
        assert!(!Size::new(1_000_000, &schema, &derived).is_shared());
    }
}
