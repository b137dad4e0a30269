//! What the families of trees have in common once a library has fitted them: the proof that the exported model scores as the library
//! does, and the table of the model card.

use std::collections::BTreeMap;

use modelward_crds::Monotone;
use modelward_model::{FeatureSchema, family::tree::TreeModel};

use super::{FitError, ModelReport};
use crate::{data::dataset::Sample, engine::Matrix};

/// Rows that are compared at once: their values are held twice.
pub(super) const BLOCK: usize = 1 << 14;

/// What a library answers for the rows of a matrix.
pub(super) struct Answers {
    /// Raw scores.
    pub(super) raw: Vec<f64>,
    /// Probabilities of class 1.
    pub(super) probabilities: Vec<f64>,
}

/// The gain and the number of the splits of one feature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Gain {
    pub(super) gain: f64,
    pub(super) splits: u64,
}

/// A row that a library and its exported model score differently.
#[derive(Debug, thiserror::Error)]
#[error(
    "{library} scores row {row} as {expected:e}, the model that it exported as {found:e}; this is a bug: report it \
     with the release of the image"
)]
pub(super) struct Disparity {
    library: &'static str,
    /// The row, the first being 1.
    row: usize,
    expected: f64,
    found: f64,
}

/// Compares the scores of rows by the library and by the model that it exported: raw scores bit for bit, probabilities to one unit in
/// the last place of a 32-bit float, as their exponential functions differ.
pub(super) fn compare_scores(
    library: &'static str,
    sample: Sample<'_>,
    model: &TreeModel,
    answer: impl Fn(&Matrix) -> Result<Answers, FitError>,
) -> Result<(), FitError> {
    for rows in sample.rows.chunks(BLOCK) {
        let answers = answer(&Matrix::gather(Sample { rows, ..sample }))?;
        let read: Vec<_> = rows.iter().map(|row| sample.data.row(*row)).collect();
        let (mut raw, mut probabilities) = (Vec::new(), Vec::new());
        model.raw_rows(&read, &mut raw);
        model.probabilities(&read, &mut probabilities);
        for (at, row) in rows.iter().enumerate() {
            let disparity = |found, expected| Disparity {
                library,
                row: row + 1,
                expected,
                found,
            };
            if raw[at].to_bits() != answers.raw[at].to_bits() {
                return Err(Box::new(disparity(raw[at], answers.raw[at])));
            }
            let expected = answers.probabilities[at].clamp(0.0, 1.0);
            if !are_neighbours(probabilities[at], expected) {
                return Err(Box::new(disparity(probabilities[at], expected)));
            }
        }
    }
    Ok(())
}

/// Whether two numbers that are not negative are one 32-bit float apart at most.
fn are_neighbours(a: f64, b: f64) -> bool {
    let place = |number: f64| i64::from((number as f32).to_bits());
    (place(a) - place(b)).abs() <= 1
}

/// The table of gains of the model card, the greatest first.
pub(super) fn report(sentence: String, schema: &FeatureSchema, gains: &[Gain]) -> ModelReport {
    let total: f64 = gains.iter().map(|of| of.gain).sum();
    let mut features: Vec<(&str, Gain)> = schema.names().zip(gains.iter().copied()).collect();
    features.sort_by(|a, b| b.1.gain.total_cmp(&a.1.gain));
    let rows = features.into_iter().map(|(name, of)| {
        let share = if total > 0.0 { of.gain / total } else { 0.0 };
        vec![
            name.to_owned(),
            format!("{:.1} %", 100.0 * share),
            of.splits.to_string(),
        ]
    });
    ModelReport {
        sentence,
        headings: vec!["Feature", "Share of the gain", "Splits"],
        rows: rows.collect(),
        imputed: BTreeMap::new(),
    }
}

/// The constraint of each feature as both libraries write it: 1, 0 or -1 in the schema's order; `None` if there is none.
pub(super) fn monotone_constraints(
    schema: &FeatureSchema,
    monotone: &BTreeMap<String, Monotone>,
) -> Option<String> {
    let direction = |name: &str| match monotone.get(name) {
        Some(Monotone::Increasing) => "1",
        Some(Monotone::Decreasing) => "-1",
        None => "0",
    };
    let all: Vec<&str> = schema.names().map(direction).collect();
    all.iter()
        .any(|direction| *direction != "0")
        .then(|| all.join(","))
}

/// A seed as the libraries take it: 31 bits.
pub(super) fn seed_of(seed: u64) -> u64 {
    seed % (1 << 31)
}

#[cfg(test)]
mod tests {
    use modelward_model::Feature;

    use super::*;

    #[test]
    fn probabilities_may_differ_in_the_last_place_of_a_single_float() {
        let next = f32::from_bits(0.3_f32.to_bits() + 1);
        assert!(are_neighbours(f64::from(0.3_f32), f64::from(next)));
        assert!(!are_neighbours(
            f64::from(0.3_f32),
            f64::from(f32::from_bits(next.to_bits() + 1))
        ));
    }

    #[test]
    fn constraints_are_in_the_order_of_the_schema_and_absent_where_there_are_none() {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("a"),
            Feature::numeric("b"),
            Feature::numeric("c"),
        ]);
        let schema = schema.unwrap();
        let mut monotone = BTreeMap::new();
        assert_eq!(monotone_constraints(&schema, &monotone), None);
        monotone.insert("c".to_owned(), Monotone::Decreasing);
        monotone.insert("a".to_owned(), Monotone::Increasing);
        assert_eq!(
            monotone_constraints(&schema, &monotone).as_deref(),
            Some("1,0,-1")
        );
    }

    #[test]
    fn the_table_has_the_greatest_gain_first() {
        let schema = FeatureSchema::new(vec![Feature::numeric("a"), Feature::numeric("b")]).unwrap();
        let gains = [Gain { gain: 1.0, splits: 4 }, Gain { gain: 3.0, splits: 2 }];
        let report = report(String::new(), &schema, &gains);
        assert_eq!(report.rows, [["b", "75.0 %", "2"], ["a", "25.0 %", "4"]]);
    }
}
