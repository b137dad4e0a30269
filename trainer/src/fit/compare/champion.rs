//! What the bundle of the champion says about the rows.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use modelward_crds::Champion;
use modelward_model::{
    Bundle, Cell, FeatureKind, FeatureSchema, Row, TargetInfo, Value, VerifiedDir, bundle::file,
    math::shortest,
};
use modelward_wire::ManifestKind;
use serde::Deserialize;

use crate::{data::dataset::Dataset, fit::compare::error::CompareError};

/// One line of the champion's file.
#[derive(Debug, Deserialize)]
struct Line {
    row: u64,
    row_hash: String,
    repeat: usize,
    /// None for a row that no fold tested.
    fold: Option<usize>,
    /// Likewise.
    score: Option<f64>,
}

/// What is read of `metrics.json`.
#[derive(Debug, Deserialize)]
struct MetricsPart {
    /// None of an imported model.
    #[serde(default)]
    candidates: Vec<CandidatePart>,
}

#[derive(Debug, Deserialize)]
struct CandidatePart {
    family: String,
    #[serde(default)]
    folds: Vec<FoldPart>,
}

#[derive(Debug, Deserialize)]
struct FoldPart {
    repeat: usize,
    fold: usize,
    threshold: Option<f64>,
}

/// The thresholds of the champion.
#[derive(Debug)]
pub(super) struct Thresholds {
    serving: f64,
    /// By repeat and fold, the one that was learned from the other folds.
    of_folds: HashMap<(usize, usize), f64>,
}

/// An answer of the champion to a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) score: f64,
    /// Whether the class is 1.
    pub(super) is_one: bool,
}

/// What the champion's bundle keeps about the rows of one hash that it was trained on.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How many rows they are.
    pub(super) rows: usize,
    /// The answers to the first of them that was tested, by models that had not seen it, in the order of repeats; empty if none was.
    pub(super) answers: Vec<Answer>,
    /// The first of them, as the champion's file numbers rows.
    pub(super) first: u64,
}

/// The champion's bundle, and what it keeps about each row that it was trained on, by hash.
pub(super) struct Opened {
    pub(super) version: String,
    pub(super) bundle: Bundle,
    pub(super) thresholds: Thresholds,
    pub(super) known: HashMap<String, Known>,
}

// === impl Opened ===

impl Opened {
    /// Reads the champion's bundle in `dir`. It has to predict `target`.
    pub(super) fn open(dir: &Path, champion: &Champion, target: &TargetInfo) -> Result<Self, CompareError> {
        let version = champion.version.clone();
        let bundle = match Bundle::open(dir, &champion.bundle) {
            Ok(bundle) => bundle,
            Err(source) => return Err(CompareError::Bundle { version, source }),
        };
        let predicted = &bundle.info().target;
        if predicted != target {
            return Err(CompareError::Target {
                version,
                champion: predicted.positive_when.clone(),
                challenger: target.positive_when.clone(),
            });
        }
        let files = match VerifiedDir::open(dir, Some(&champion.bundle), ManifestKind::Bundle) {
            Ok(files) => files,
            Err(error) => {
                let reason = error.to_string();
                return Err(CompareError::Metrics { version, reason });
            }
        };
        let thresholds = match read_thresholds(&files, &bundle) {
            Ok(thresholds) => thresholds,
            Err(reason) => return Err(CompareError::Metrics { version, reason }),
        };
        // An imported model has no folds, and the rows that it was trained on are not known.
        let known = if bundle.info().imported.is_some() {
            Ok(HashMap::new())
        } else {
            out_of_fold(&files, &thresholds)
        };
        match known {
            Ok(known) => Ok(Self {
                version,
                bundle,
                thresholds,
                known,
            }),
            Err(reason) => Err(CompareError::OutOfFold { version, reason }),
        }
    }

    /// Where each feature of the champion is in the data.
    pub(super) fn places(&self, data: &Dataset) -> Result<BTreeMap<&str, usize>, CompareError> {
        let mut places = BTreeMap::new();
        for name in self.bundle.schema().names() {
            let place = data.schema.names().position(|known| known == name);
            let place = place.ok_or_else(|| CompareError::Feature {
                version: self.version.clone(),
                feature: name.to_owned(),
            })?;
            places.insert(name, place);
        }
        Ok(places)
    }
}

// === impl Thresholds ===

impl Thresholds {
    /// Those in `metrics.json` of the candidate of this family.
    fn read(bytes: &[u8], family: &str, serving: f64) -> serde_json::Result<Self> {
        let metrics: MetricsPart = serde_json::from_slice(bytes)?;
        let selected = metrics
            .candidates
            .iter()
            .find(|candidate| candidate.family == family);
        let folds = selected.into_iter().flat_map(|candidate| &candidate.folds);
        let of_fold = |fold: &FoldPart| Some(((fold.repeat, fold.fold), fold.threshold?));
        Ok(Self {
            serving,
            of_folds: folds.filter_map(of_fold).collect(),
        })
    }

    /// An answer as it is served.
    pub(super) fn answer(&self, score: f64) -> Answer {
        Answer {
            score,
            is_one: score >= self.serving,
        }
    }

    /// An answer to a row that a fold tested. The threshold that serves was learned from this very score: it would favor the champion over
    /// a challenger, whose folds have thresholds of the other folds.
    fn answer_of_fold(&self, repeat: usize, fold: Option<usize>, score: f64) -> Answer {
        let learned = fold.and_then(|fold| self.of_folds.get(&(repeat, fold)));
        Answer {
            score,
            is_one: score >= learned.copied().unwrap_or(self.serving),
        }
    }
}

/// The thresholds of the champion's folds, as far as its bundle has them.
fn read_thresholds(files: &VerifiedDir, bundle: &Bundle) -> Result<Thresholds, String> {
    let bytes = files.read(file::METRICS).map_err(|error| error.to_string())?;
    Thresholds::read(&bytes, &bundle.info().family, bundle.threshold()).map_err(|error| error.to_string())
}

/// What the champion's bundle keeps about each row that it was trained on, by hash.
fn out_of_fold(files: &VerifiedDir, thresholds: &Thresholds) -> Result<HashMap<String, Known>, String> {
    let bytes = files.read(file::OUT_OF_FOLD).map_err(|error| error.to_string())?;
    read_known(&bytes, thresholds)
}

fn read_known(bytes: &[u8], thresholds: &Thresholds) -> Result<HashMap<String, Known>, String> {
    let mut known: HashMap<String, Known> = HashMap::new();
    for (index, line) in csv::Reader::from_reader(bytes).deserialize().enumerate() {
        let line: Line = line.map_err(|error| error.to_string())?;
        let place = index + 1;
        let of_hash = known.entry(line.row_hash).or_insert_with(|| Known {
            first: line.row,
            ..Known::default()
        });
        // Each row has one line per repeat.
        if line.repeat == 0 {
            of_hash.rows += 1;
        }
        let Some(score) = line.score else { continue };
        if !(0.0..=1.0).contains(&score) {
            return Err(format!("line {place} has the score {score}"));
        }
        if of_hash.answers.is_empty() && line.repeat == 0 {
            of_hash.first = line.row;
        }
        if of_hash.first == line.row {
            if of_hash.answers.len() != line.repeat {
                return Err(format!("line {place} is out of order"));
            }
            of_hash
                .answers
                .push(thresholds.answer_of_fold(line.repeat, line.fold, score));
        }
    }
    let lengths = known.values().map(|known| known.answers.len());
    let mut lengths = lengths.filter(|length| *length > 0);
    let repeats = lengths.next().ok_or("it holds no row")?;
    if lengths.any(|length| length != repeats) {
        return Err("some rows have fewer repeats than others".to_owned());
    }
    Ok(known)
}

/// A row of the data as the champion would read it in a request.
pub(super) fn read_row(
    schema: &FeatureSchema,
    places: &BTreeMap<&str, usize>,
    data: &Dataset,
    row: usize,
) -> Result<Row, String> {
    let cells: Vec<Cell<'_>> = schema
        .features
        .iter()
        .map(|feature| {
            places.get(feature.name.as_str()).map_or(Cell::Missing, |at| {
                let value = data.columns[*at].value(row);
                cell(value, &data.schema.features[*at].kind, &feature.kind)
            })
        })
        .collect();
    schema
        .read_cells(&cells)
        .map(|(row, _)| row)
        .map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())
}

fn cell<'a>(value: Value, kind: &'a FeatureKind, wanted: &FeatureKind) -> Cell<'a> {
    match (value, kind) {
        (Value::Number(number), _) => Cell::Number(shortest(number)),
        (Value::Category(index), FeatureKind::Categorical { categories }) => {
            let word = categories.get(index as usize).map_or("", String::as_str);
            match (crate::data::number::number(word), wanted) {
                (Some(number), FeatureKind::Numeric { .. }) => Cell::Number(number),
                _ => Cell::Text(word),
            }
        }
        _ => Cell::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `metrics.json` of two candidates with two folds each, as far as it is read.
    const METRICS: &[u8] = br#"{
        "selected": "XGBoost",
        "candidates": [
            {"family": "LogisticRegression", "threshold": "0.5", "folds": [
                {"repeat": 0, "fold": 0, "threshold": 0.1}, {"repeat": 0, "fold": 1, "threshold": 0.1}]},
            {"family": "XGBoost", "threshold": "0.5", "folds": [
                {"repeat": 0, "fold": 0, "threshold": 0.4}, {"repeat": 0, "fold": 1, "threshold": 0.6}]}
        ]
    }"#;

    fn thresholds(metrics: &[u8]) -> Thresholds {
        Thresholds::read(metrics, "XGBoost", 0.5).unwrap()
    }

    #[test]
    fn a_known_row_is_classified_by_the_threshold_of_its_fold() {
        let lines = b"row,row_hash,repeat,fold,label,score\n1,aa,0,0,1,0.45\n2,bb,0,1,0,0.55\n3,cc,0,,0,\n";
        let known = read_known(lines, &thresholds(METRICS)).unwrap();
        let answer = |hash: &str| known[hash].answers.clone();
        let of = |score, is_one| vec![Answer { score, is_one }];
        assert_eq!(
            answer("aa"),
            of(0.45, true),
            "0.4 is the threshold of the first fold"
        );
        assert_eq!(answer("bb"), of(0.55, false), "0.6 is that of the second");
        assert_eq!(answer("cc"), [], "no fold tested this row");
    }

    #[test]
    fn the_threshold_that_serves_is_used_if_the_bundle_has_no_other() {
        let metrics = br#"{"candidates": [{"family": "XGBoost", "folds": [{"repeat": 0, "fold": 0}]}]}"#;
        for thresholds in [thresholds(metrics), thresholds(br#"{"candidates": []}"#)] {
            assert!(thresholds.answer_of_fold(0, Some(0), 0.5).is_one);
            assert!(!thresholds.answer_of_fold(0, Some(0), 0.45).is_one);
        }
        let of_folds = thresholds(METRICS);
        assert!(!of_folds.answer(0.45).is_one, "a row that is new to the champion");
        assert!(of_folds.answer(0.55).is_one);
    }
}
