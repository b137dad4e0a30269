//! Freezing the bins that traffic will be counted in, and counting the training data in them.

use modelward_model::{FeatureKind, FeatureSchema, Row, Value};
use modelward_profile::{Bins, BinsError, Counts, FeatureBins, Observed, Reference, RowError, ScoreBins};

use crate::{
    dataset::Dataset,
    train::{Candidate, THRESHOLD},
};

/// Why the training data cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A column has no bins.
    #[error("a column or the scores cannot be cut into bins")]
    Bins(#[from] BinsError),
    /// A row does not fit the bins that were made of it.
    #[error("a row cannot be counted")]
    Row(#[from] RowError),
}

/// The bins of these rows, and their counts in them.
///
/// Each row has the score that the first repeat's folds gave it: out of fold, and of one model. A mean over repeats
/// would have a narrower distribution than the scores that a server gives.
pub fn reference(data: &Dataset, candidate: &Candidate) -> Result<Reference, ReferenceError> {
    let scores = out_of_fold_scores(data.len(), candidate);
    let bins = Bins::new(
        feature_bins(&data.schema, &data.rows)?,
        ScoreBins::from_out_of_fold(&scores)?,
    )?;
    let mut counts = Counts::new(&bins);
    for (row, score) in data.rows.iter().zip(&scores) {
        let observed = row.values().iter().map(|value| observed(*value));
        counts.add_row(&bins, observed, *score, u8::from(*score >= THRESHOLD))?;
    }
    Ok(Reference { bins, counts })
}

fn feature_bins(schema: &FeatureSchema, rows: &[Row]) -> Result<Vec<FeatureBins>, BinsError> {
    let bins = schema
        .features
        .iter()
        .enumerate()
        .map(|(index, feature)| match &feature.kind {
            FeatureKind::Numeric { .. } => {
                let column: Vec<f32> = rows.iter().map(|row| number(row.values().get(index))).collect();
                FeatureBins::numeric(&feature.name, &column)
            }
            FeatureKind::Categorical { categories } => {
                Ok(FeatureBins::categorical(&feature.name, categories))
            }
        });
    bins.collect()
}

/// The score of each row by the first repeat's model that has not seen it.
fn out_of_fold_scores(rows: usize, candidate: &Candidate) -> Vec<f64> {
    let mut scores = vec![0.0; rows];
    for fold in candidate.folds.iter().filter(|fold| fold.repeat == 0) {
        for (row, score) in fold.rows.iter().zip(&fold.scores) {
            scores[*row] = *score;
        }
    }
    scores
}

fn number(value: Option<&Value>) -> f32 {
    match value {
        Some(Value::Number(number)) => *number,
        _ => f32::NAN,
    }
}

fn observed(value: Value) -> Observed {
    match value {
        Value::Number(number) => Observed::Number(number),
        Value::Category(category) => Observed::Category(category),
        Value::Unknown => Observed::NewCategory,
        Value::Missing => Observed::Missing,
    }
}

#[cfg(test)]
mod tests {
    use modelward_crds::{Family, MetricName};
    use modelward_model::Feature;
    use modelward_profile::{DriftVerdict, Rule, judge};

    use super::*;
    use crate::train::{Plan, train};

    fn data() -> Dataset {
        let rows = (0..200_u16).map(|at| {
            let age = if at % 10 == 0 {
                Value::Missing
            } else {
                Value::Number(f32::from(at * 7 % 101))
            };
            Row::new(vec![age, Value::Category(u32::from(at % 3))])
        });
        Dataset {
            schema: FeatureSchema::new(vec![
                Feature::numeric("age"),
                Feature::categorical("cp", &["1", "2", "3"]),
            ])
            .unwrap(),
            rows: rows.collect(),
            labels: (0..200).map(|at| at * 7 % 101 > 50).collect(),
        }
    }

    fn made() -> Reference {
        let data = data();
        let plan = Plan {
            families: vec![Family::LogisticRegression],
            folds: 5,
            repeats: 2,
            seed: 7,
            select_by: MetricName::F1,
        };
        let trained = train(&data, &plan, 1, &|_| ()).unwrap();
        reference(&data, &trained.candidates[0]).unwrap()
    }

    #[test]
    fn every_training_row_is_counted_once_and_the_counts_fit_the_bins() {
        let made = made();
        made.check().unwrap();
        assert_eq!(made.counts.answered(), Some(200));
        assert_eq!(made.counts.features.features[0].missing, 20);
    }

    #[test]
    fn training_data_do_not_drift_from_themselves() {
        let made = made();
        let judged = judge(&made.bins, &made.counts, &made.counts, &Rule::default()).unwrap();
        assert_eq!(judged.verdict, DriftVerdict::NoDrift);
    }

    #[test]
    fn a_reference_survives_its_text_bit_for_bit() {
        let made = made();
        let text = serde_json::to_string(&made).unwrap();
        let read: Reference = serde_json::from_str(&text).unwrap();
        assert_eq!(read, made);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
