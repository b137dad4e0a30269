//! Maps the values that were scored to the values that are counted.

use modelward_model::{FeatureKind, FeatureSchema, Row, Value};
use modelward_profile::{Bins, Observed, bins::BinKind};

/// Where each feature of the bins is in a row, and the names of its categories.
///
/// The bins may come from an accepted window of a version with another schema. Categories are therefore joined by name,
/// and a category that the bins do not have is counted as new.
#[derive(Debug)]
pub struct Columns(Box<[Column]>);

#[derive(Debug)]
struct Column {
    at: usize,
    /// For each category of the schema.
    categories: Box<[Observed]>,
}

// === impl Columns ===

impl Columns {
    /// Joins bins to a schema. The error says why this is not possible.
    pub fn new(bins: &Bins, schema: &FeatureSchema) -> Result<Self, String> {
        let column = |feature: &modelward_profile::FeatureBins| {
            let name = &feature.name;
            let at = schema
                .names()
                .position(|known| known == name)
                .ok_or_else(|| format!("it counts {name:?}, which is not a feature of the model"))?;
            let kind = schema.features.get(at).map(|feature| &feature.kind);
            match (kind, &feature.bins) {
                (Some(FeatureKind::Numeric { .. }), BinKind::Numeric { .. }) => Ok(Column {
                    at,
                    categories: Box::default(),
                }),
                (
                    Some(FeatureKind::Categorical { categories }),
                    BinKind::Categorical { categories: known },
                ) => {
                    let observed = |word: &String| match known.iter().position(|other| other == word) {
                        Some(index) => Observed::Category(index as u32),
                        None => Observed::NewCategory,
                    };
                    Ok(Column {
                        at,
                        categories: categories.iter().map(observed).collect(),
                    })
                }
                _ => Err(format!("it counts {name:?} as another kind than the model has")),
            }
        };
        bins.features
            .iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The values of a row in the order of the bins. Allocates nothing.
    pub fn observe<'a>(&'a self, row: &'a Row) -> impl ExactSizeIterator<Item = Observed> + Clone + 'a {
        let values = row.values();
        self.0.iter().map(|column| match values.get(column.at) {
            Some(Value::Number(number)) => Observed::Number(*number),
            Some(Value::Category(index)) => column
                .categories
                .get(*index as usize)
                .copied()
                .unwrap_or(Observed::NewCategory),
            Some(Value::Unknown) => Observed::NewCategory,
            Some(Value::Missing) | None => Observed::Missing,
        })
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::Feature;
    use modelward_profile::{FeatureBins, ScoreBins};

    use super::*;

    fn schema() -> FeatureSchema {
        FeatureSchema::new(vec![
            Feature::numeric("age"),
            Feature::categorical("thal", &["3", "6", "7"]),
        ])
        .unwrap()
    }

    fn bins(features: Vec<FeatureBins>) -> Bins {
        Bins::new(features, ScoreBins::from_out_of_fold(&[0.2, 0.8]).unwrap()).unwrap()
    }

    #[test]
    fn features_and_categories_are_joined_by_name_in_any_order() {
        let bins = bins(vec![
            FeatureBins::categorical("thal", ["7", "3"]),
            FeatureBins::numeric("age", &[40.0, 60.0]).unwrap(),
        ]);
        let columns = Columns::new(&bins, &schema()).unwrap();
        let observed = |thal| {
            let row = Row::new(vec![Value::Number(50.0), thal]);
            columns.observe(&row).collect::<Vec<_>>()
        };
        let age = Observed::Number(50.0);
        assert_eq!(observed(Value::Category(0)), [Observed::Category(1), age]);
        assert_eq!(observed(Value::Category(1)), [Observed::NewCategory, age]);
        assert_eq!(observed(Value::Category(2)), [Observed::Category(0), age]);
        assert_eq!(observed(Value::Unknown), [Observed::NewCategory, age]);
        assert_eq!(observed(Value::Missing), [Observed::Missing, age]);
    }

    #[test]
    fn bins_of_another_model_are_refused_with_the_feature() {
        let other = bins(vec![FeatureBins::categorical("cp", ["1"])]);
        assert!(
            Columns::new(&other, &schema())
                .unwrap_err()
                .contains("\"cp\", which is not a feature")
        );
        let kind = bins(vec![FeatureBins::categorical("age", ["1"])]);
        assert!(
            Columns::new(&kind, &schema())
                .unwrap_err()
                .contains("\"age\" as another kind")
        );
    }
}
