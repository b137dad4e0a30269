//! What the card says about the data.

use modelward_model::{FeatureKind, TransformFile};
use modelward_wire::{SourceRecord, Word as _};

use crate::{data::snapshot::Snapshot, family::ModelReport};

/// Categories of a feature that are listed, at most.
const CATEGORIES: usize = 12;

/// The rows and columns that the model was trained on.
pub(super) struct DataPart<'a> {
    pub(super) rows: u64,
    pub(super) positive_rows: u64,
    /// The share of class 1.
    pub(super) rate: String,
    pub(super) snapshot: String,
    pub(super) sources: &'a [SourceRecord],
    pub(super) excluded: String,
    pub(super) features: Vec<CardFeature<'a>>,
    pub(super) warnings: Vec<Warning<'a>>,
    pub(super) expectations: Option<Expectations<'a>>,
}

/// A feature as the schema has it.
pub(super) struct CardFeature<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    pub(super) values: String,
    pub(super) required: bool,
    pub(super) missing: String,
    pub(super) imputed: Option<String>,
}

/// What looks wrong with a column and was accepted.
pub(super) struct Warning<'a> {
    pub(super) column: &'a str,
    pub(super) rule: &'static str,
    pub(super) message: &'a str,
}

/// What the expectations of the spec found.
pub(super) struct Expectations<'a> {
    pub(super) evaluated: usize,
    pub(super) unmet: Vec<Unmet<'a>>,
}

/// An expectation that the data does not meet.
pub(super) struct Unmet<'a> {
    pub(super) kind: &'a str,
    pub(super) columns: String,
    pub(super) severity: &'a str,
    /// Rows that are not as expected, of how many; empty if it is not about rows.
    pub(super) found: String,
}

// === impl DataPart ===

impl<'a> DataPart<'a> {
    pub(super) fn of(
        snapshot: &'a Snapshot,
        report: &ModelReport,
        transforms: Option<&TransformFile>,
    ) -> Self {
        let info = &snapshot.info;
        Self {
            rows: info.rows,
            positive_rows: info.positive_rows,
            rate: percent(info.positive_rows, info.rows),
            snapshot: snapshot.digest.to_string(),
            sources: &info.sources,
            excluded: info.excluded.join(", "),
            features: features(snapshot, report, transforms),
            warnings: warnings(snapshot),
            expectations: expectations(snapshot),
        }
    }
}

fn features<'a>(
    snapshot: &'a Snapshot,
    report: &ModelReport,
    transforms: Option<&TransformFile>,
) -> Vec<CardFeature<'a>> {
    let is_replaced = |name: &String| {
        let mut all = transforms.into_iter().flat_map(|file| &file.transforms);
        all.any(|transform| !transform.keep && transform.columns.contains(name))
    };
    let features = snapshot.data.schema.features.iter();
    let of_feature = |feature: &'a modelward_model::Feature| {
        let (kind, values) = match &feature.kind {
            FeatureKind::Numeric { min, max } => {
                let end = |end: &Option<f64>| end.map_or("…".to_owned(), |end| end.to_string());
                ("Numeric", format!("{} to {}", end(min), end(max)))
            }
            FeatureKind::Categorical { categories } => ("Categorical", list(categories)),
        };
        let mut columns = snapshot.info.columns.iter();
        let column = columns.find(|column| column.name == feature.name);
        let missing = |missing: u64| match missing {
            0 => "0".to_owned(),
            some => format!("{some} ({})", percent(some, snapshot.info.rows)),
        };
        CardFeature {
            name: &feature.name,
            kind,
            values,
            required: feature.required,
            missing: column.map_or("unknown".to_owned(), |column| missing(column.missing)),
            imputed: match report.imputed.get(&feature.name) {
                Some(value) => Some(match feature.kind {
                    FeatureKind::Numeric { .. } => single(value),
                    FeatureKind::Categorical { .. } => value.clone(),
                }),
                None => is_replaced(&feature.name).then(|| "as transformed".to_owned()),
            },
        }
    };
    features.map(of_feature).collect()
}

fn warnings(snapshot: &Snapshot) -> Vec<Warning<'_>> {
    let columns = snapshot.info.columns.iter();
    let of_column = columns.flat_map(|column| {
        column.warnings.iter().map(|warning| Warning {
            column: &column.name,
            rule: warning.rule.text(),
            message: &warning.message,
        })
    });
    of_column.collect()
}

fn expectations(snapshot: &Snapshot) -> Option<Expectations<'_>> {
    let outline = snapshot.expectations.as_ref()?;
    let unmet = outline.results.iter().filter(|result| !result.success);
    Some(Expectations {
        evaluated: outline.results.len(),
        unmet: unmet
            .map(|result| Unmet {
                kind: &result.expectation_config.r#type,
                columns: result.expectation_config.columns(),
                severity: &result.expectation_config.severity,
                found: result.unexpected().map_or(String::new(), |(unexpected, of)| {
                    format!("{unexpected} of {of} rows")
                }),
            })
            .collect(),
    })
}

/// A number in single precision, in which numbers are read: further digits mean nothing.
fn single(text: &str) -> String {
    text.parse::<f32>()
        .map_or_else(|_| text.to_owned(), |number| number.to_string())
}

/// The categories, or the first of them with the number of the others.
fn list(categories: &[String]) -> String {
    let first = &categories[..categories.len().min(CATEGORIES)];
    let others = categories.len() - first.len();
    if others == 0 {
        return first.join(", ");
    }
    format!("{} and {others} more", first.join(", "))
}

/// A share with one place.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.1}%", 100.0 * part as f64 / whole.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imputed_numbers_have_the_digits_of_single_precision_and_many_categories_are_cut() {
        assert_eq!(["0.02800000086426735", "29.5"].map(single), ["0.028", "29.5"]);
        let categories: Vec<String> = (0..15).map(|at| at.to_string()).collect();
        assert_eq!(
            list(&categories),
            "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"
        );
        assert_eq!(list(&categories[..2]), "0, 1");
    }
}
