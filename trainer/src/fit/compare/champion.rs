//! What the bundle of the champion says about the rows.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use modelward_crds::Champion;
use modelward_model::{
    Bundle, Cell, FeatureKind, FeatureSchema, FilesError, Row, TargetInfo, Value, VerifiedDir, bundle::file,
    math::shortest,
};
use modelward_wire::{Digest, ManifestKind};
use serde::Deserialize;

use crate::{data::dataset::Dataset, fit::compare::error::CompareError};

/// One line of the champion's file.
#[derive(Debug, Deserialize)]
struct Line {
    row: u64,
    row_hash: String,
    repeat: usize,
    /// None for a row that no fold tested.
    score: Option<f64>,
}

/// What the champion's bundle keeps about the rows of one hash that it was trained on.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How many rows they are.
    pub(super) rows: usize,
    /// The scores of the first of them that was tested, by models that had not seen it, in the order of repeats; empty if none was.
    pub(super) scores: Vec<f64>,
    /// The first of them, as the champion's file numbers rows.
    pub(super) first: u64,
}

/// The champion's bundle, and what it keeps about each row that it was trained on, by hash.
pub(super) struct Opened {
    pub(super) version: String,
    pub(super) bundle: Bundle,
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
        match out_of_fold(dir, &champion.bundle) {
            Ok(known) => Ok(Self {
                version,
                bundle,
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

/// What the champion's bundle keeps about each row that it was trained on, by hash.
fn out_of_fold(dir: &Path, digest: &Digest) -> Result<HashMap<String, Known>, String> {
    let text = |error: FilesError| error.to_string();
    let bytes = VerifiedDir::open(dir, Some(digest), ManifestKind::Bundle)
        .and_then(|dir| dir.read(file::OUT_OF_FOLD))
        .map_err(text)?;
    let mut known: HashMap<String, Known> = HashMap::new();
    for (index, line) in csv::Reader::from_reader(bytes.as_slice())
        .deserialize()
        .enumerate()
    {
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
        if of_hash.scores.is_empty() && line.repeat == 0 {
            of_hash.first = line.row;
        }
        if of_hash.first == line.row {
            if of_hash.scores.len() != line.repeat {
                return Err(format!("line {place} is out of order"));
            }
            of_hash.scores.push(score);
        }
    }
    let lengths = known.values().map(|known| known.scores.len());
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
