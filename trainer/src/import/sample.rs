//! The reference sample: a few rows with the scores that the model must give them.

use modelward_crds::{CsvFormat, FeatureKind as SpecKind, FeatureSpec, Target};
use modelward_model::{
    Cell, Feature, FeatureKind, FeatureSchema, Missing, Row, canonical_category, family::tree::OutlineKind,
};

use crate::{
    data::{
        check::class_of,
        near::did_you_mean,
        number::{FileCell, Notation, read_cell},
        rows::RowCells,
        table::Table,
        violation::{Quote, cut},
    },
    import::contract::{ImportError, OutlineEntry},
};

/// Rows that a sample may have.
pub const ROWS: std::ops::RangeInclusive<usize> = 10..=100_000;

/// The most bytes that its file may have.
pub const MAX_BYTES: u64 = 256 << 20;

/// Categories that a feature may have.
const MAX_CATEGORIES: usize = 10_000;

/// The column of expected probabilities, unless another is named.
pub const EXPECTED: &str = "expected";

/// The column of expected raw scores, unless another is named.
pub const EXPECTED_RAW: &str = "expected_raw";

/// What the columns of a sample are.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// How the file is written.
    pub csv: Option<&'a CsvFormat>,
    /// What is predicted, if the sample has it.
    pub target: Option<&'a Target>,
    /// Features that a spec declares.
    pub features: &'a [FeatureSpec],
    /// Columns that are left out.
    pub exclude: &'a [String],
    /// The column of expected probabilities.
    pub expected: Option<&'a str>,
    /// The column of expected raw scores.
    pub raw: Option<&'a str>,
    /// Whether messages may quote what the file holds.
    pub quote: Quote,
}

/// A sample that fits a model.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The features of the model, in its order.
    pub schema: FeatureSchema,
    /// The rows. Each is complete.
    pub rows: Vec<Row>,
    /// The number of each row in the file.
    pub numbers: Vec<u64>,
    /// The class of each row, if it is known.
    pub labels: Vec<Option<bool>>,
    /// The expected probability of class 1, if the sample has them.
    pub expected: Option<Vec<f64>>,
    /// The expected raw score, if the sample has them.
    pub raw: Option<Vec<f64>>,
    /// The features whose categories a spec or the model names.
    pub declared: Vec<bool>,
    /// Values outside the ranges of training and unknown categories.
    pub warnings: usize,
}

/// The positions of the columns of a table.
struct Places {
    /// For each feature of the model, in its order.
    features: Vec<usize>,
    target: Option<usize>,
    expected: Option<usize>,
    raw: Option<usize>,
}

fn refuse<T>(what: impl Into<String>) -> Result<T, ImportError> {
    Err(ImportError::Refused(what.into()))
}

// === impl Sample ===

impl Sample {
    /// Reads the rows of a table for a model with these features.
    pub fn read(table: &Table, outline: &[OutlineEntry], columns: &Columns<'_>) -> Result<Self, ImportError> {
        let places = Places::find(table, outline, columns)?;
        let default = CsvFormat::default();
        let csv = columns.csv.unwrap_or(&default);
        let notation = Notation::of(csv);
        let missing = notation.missing(&csv.missing);
        let mut features = Vec::with_capacity(outline.len());
        for (entry, place) in outline.iter().zip(&places.features) {
            let name = &table.columns[*place];
            let spec = columns.features.iter().find(|spec| spec.name == *name);
            features.push(make_feature(name, entry, spec)?);
        }
        let mut schema = FeatureSchema::new(features)?;
        schema.missing = missing.clone();
        let mut sample = Self {
            declared: schema
                .features
                .iter()
                .map(|feature| matches!(feature.kind, FeatureKind::Categorical { .. }))
                .collect(),
            schema,
            rows: Vec::with_capacity(table.rows.len()),
            numbers: table.rows.iter().map(RowCells::number).collect(),
            labels: Vec::with_capacity(table.rows.len()),
            expected: None,
            raw: None,
            warnings: 0,
        };
        for row in table.rows.iter() {
            sample.read_row(row, &places, notation, &missing, columns.quote)?;
            let target = places.target.zip(columns.target);
            sample.labels.push(match target {
                Some((place, target)) => read_label(row, place, target, notation, columns.quote)?,
                None => None,
            });
        }
        let numbers = |place: Option<usize>| {
            place
                .map(|place| read_numbers(table, place, notation, columns.quote))
                .transpose()
        };
        sample.expected = numbers(places.expected)?;
        sample.raw = numbers(places.raw)?;
        sample.check_expected(table, &places)?;
        Ok(sample)
    }

    fn read_row(
        &mut self,
        row: RowCells<'_>,
        places: &Places,
        notation: Notation,
        missing: &Missing,
        quote: Quote,
    ) -> Result<(), ImportError> {
        let features = self.schema.features.iter().zip(&places.features);
        let found: Vec<FileCell<'_>> = features
            .map(|(feature, place)| {
                let text = row.get(*place).unwrap_or_default();
                read_cell(&feature.kind, text, notation, missing)
            })
            .collect();
        let cells: Vec<Cell<'_>> = found.iter().map(FileCell::as_cell).collect();
        match self.schema.read_cells(&cells) {
            Ok((read, warnings)) => {
                self.warnings += warnings.len();
                self.rows.push(read);
                Ok(())
            }
            Err(errors) => {
                let first = errors.first().map(|error| match quote {
                    Quote::Yes => self.schema.describe_error(error),
                    Quote::No => "a value does not fit its feature".to_owned(),
                });
                refuse(format!(
                    "row {} of the sample: {}",
                    row.number(),
                    first.unwrap_or_default()
                ))
            }
        }
    }

    fn check_expected(&self, table: &Table, places: &Places) -> Result<(), ImportError> {
        let (Some(expected), Some(place)) = (&self.expected, places.expected) else {
            return Ok(());
        };
        let outside = expected.iter().position(|score| !(0.0..=1.0).contains(score));
        match outside {
            None => Ok(()),
            Some(at) => refuse(format!(
                "row {} of the sample: {:?} is {}, which is not a probability; raw scores are in the column {EXPECTED_RAW:?}",
                self.numbers[at], table.columns[place], expected[at]
            )),
        }
    }
}

fn read_label(
    row: RowCells<'_>,
    place: usize,
    target: &Target,
    notation: Notation,
    quote: Quote,
) -> Result<Option<bool>, ImportError> {
    let text = row.get(place).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    match class_of(target, text, notation) {
        Some(class) => Ok(Some(class)),
        None => refuse(format!(
            "row {} of the sample: the target {:?} is {}, which is not a class; give 0 and 1, or target.positiveWhen in a spec",
            row.number(),
            target.column,
            show(text, quote)
        )),
    }
}

fn read_numbers(
    table: &Table,
    place: usize,
    notation: Notation,
    quote: Quote,
) -> Result<Vec<f64>, ImportError> {
    let number = |row: RowCells<'_>| {
        let text = row.get(place).unwrap_or_default();
        notation.number(text).map_or_else(
            || {
                refuse(format!(
                    "row {} of the sample: {:?} is {}, which is not a number; every row needs its expected score",
                    row.number(),
                    table.columns[place],
                    show(text, quote)
                ))
            },
            Ok,
        )
    };
    table.rows.iter().map(number).collect()
}

// === impl Places ===

impl Places {
    fn find(table: &Table, outline: &[OutlineEntry], columns: &Columns<'_>) -> Result<Self, ImportError> {
        if !ROWS.contains(&table.rows.len()) {
            return refuse(format!(
                "the sample has {} rows; give from {} to {}",
                table.rows.len(),
                ROWS.start(),
                ROWS.end()
            ));
        }
        let place = |name: &str| table.columns.iter().position(|column| column == name);
        let is_excluded = |name: &str| columns.exclude.iter().any(|excluded| excluded == name);
        let named = |name: Option<&str>, usual: &str| match name {
            Some(name) => place(name)
                .map(Some)
                .ok_or_else(|| absent(name, table, columns.quote)),
            None if is_excluded(usual) => Ok(None),
            None => Ok(place(usual)),
        };
        let (expected, raw) = (
            named(columns.expected, EXPECTED)?,
            named(columns.raw, EXPECTED_RAW)?,
        );
        if expected.is_none() && raw.is_none() {
            return refuse(format!(
                "the sample has no column of expected scores: add {EXPECTED:?} with the probabilities of class 1 that the model \
                 gives where it was trained, or name the column with --expected or sample.expected; it has {}",
                list(&table.columns, columns.quote)
            ));
        }
        let target = columns.target.and_then(|target| place(&target.column));
        let taken = [expected, raw, target];
        let rest: Vec<usize> = (0..table.columns.len())
            .filter(|at| !taken.contains(&Some(*at)) && !is_excluded(&table.columns[*at]))
            .collect();
        Ok(Self {
            features: find_features(table, outline, &rest, columns.quote)?,
            target,
            expected,
            raw,
        })
    }
}

/// The column of each feature: by its name if the model has names, otherwise in the order of the sample.
fn find_features(
    table: &Table,
    outline: &[OutlineEntry],
    rest: &[usize],
    quote: Quote,
) -> Result<Vec<usize>, ImportError> {
    let names: Vec<String> = rest.iter().map(|at| table.columns[*at].clone()).collect();
    if outline.iter().any(|entry| entry.name.is_none()) {
        if outline.len() != rest.len() {
            return refuse(format!(
                "the model has {} features without names, the sample has {} columns besides the expected scores: {}; list columns that \
                 are not features with --exclude, and the target with --target",
                outline.len(),
                rest.len(),
                list(&names, quote)
            ));
        }
        return Ok(rest.to_vec());
    }
    let mut found = Vec::with_capacity(outline.len());
    for name in outline.iter().filter_map(|entry| entry.name.as_deref()) {
        let place = rest
            .iter()
            .copied()
            .find(|at| table.columns[*at] == name)
            .or_else(|| {
                // Libraries write `_` for characters that they do not allow in names.
                let mut alike = rest
                    .iter()
                    .copied()
                    .filter(|at| mangle(&table.columns[*at]) == mangle(name));
                alike.next().filter(|_| alike.next().is_none())
            });
        let Some(place) = place.filter(|place| !found.contains(place)) else {
            return refuse(format!(
                "the model has the feature {name:?}, the sample has no such column{}; it has {}",
                hint(name, &names, quote),
                list(&names, quote)
            ));
        };
        found.push(place);
    }
    if let Some(extra) = rest.iter().find(|at| !found.contains(at)) {
        let features: Vec<String> = outline.iter().filter_map(|entry| entry.name.clone()).collect();
        return refuse(format!(
            "the sample has the column {}, which is not a feature of the model; the model has {}; list it with --exclude, or name it \
             as --target",
            show(&table.columns[*extra], quote),
            list(&features, Quote::Yes)
        ));
    }
    Ok(found)
}

fn absent(name: &str, table: &Table, quote: Quote) -> ImportError {
    ImportError::Refused(format!(
        "the sample has no column {name:?}{}; it has {}",
        hint(name, &table.columns, quote),
        list(&table.columns, quote)
    ))
}

/// A text of the file, if it may be quoted.
fn show(text: &str, quote: Quote) -> String {
    match quote {
        Quote::Yes => format!("{:?}", cut(text, 40)),
        Quote::No => "a text that is not shown, because the sample comes from an address".to_owned(),
    }
}

fn hint(name: &str, known: &[String], quote: Quote) -> String {
    match quote {
        Quote::Yes => did_you_mean(name, known.iter().map(String::as_str)),
        Quote::No => String::new(),
    }
}

/// The name as an exporter writes it.
fn mangle(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// Names, the first 20 of them.
fn list(names: &[String], quote: Quote) -> String {
    if quote == Quote::No {
        return "names that are not shown, because the sample comes from an address".to_owned();
    }
    let shown = names[..names.len().min(20)].join(", ");
    match names.len() {
        0 => "no columns".to_owned(),
        count if count > 20 => format!("{shown} and {} more", count - 20),
        _ => shown,
    }
}

fn make_feature(
    name: &str,
    entry: &OutlineEntry,
    spec: Option<&FeatureSpec>,
) -> Result<Feature, ImportError> {
    let kind = match (&entry.kind, spec.map(|spec| spec.kind)) {
        (OutlineKind::Numeric(_), Some(SpecKind::Categorical)) => {
            return refuse(format!(
                "the model takes numbers for the feature {name:?}, the spec declares it Categorical: declare it Numeric"
            ));
        }
        (OutlineKind::Categorical { .. }, Some(SpecKind::Numeric)) => {
            return refuse(format!(
                "the model splits the feature {name:?} by categories, the spec declares it Numeric: declare it Categorical with its \
                 categories in the order of their codes"
            ));
        }
        (OutlineKind::Numeric(range), _) => {
            let declared = spec.and_then(|spec| spec.range.as_ref());
            let (min, max) = match declared {
                Some(range) => (
                    range.min.as_ref().map(modelward_wire::Decimal::to_f64),
                    range.max.as_ref().map(modelward_wire::Decimal::to_f64),
                ),
                None => range.map_or((None, None), |(min, max)| (Some(min), Some(max))),
            };
            FeatureKind::Numeric { min, max }
        }
        (OutlineKind::Categorical { codes, words }, _) => {
            let declared = spec.and_then(|spec| spec.categories.as_ref());
            let declared = declared.map(|list| {
                list.iter()
                    .map(|word| canonical_category(word).into_owned())
                    .collect()
            });
            let categories: Vec<String> = declared.or_else(|| words.clone()).unwrap_or_else(|| {
                (0..(*codes).clamp(1, MAX_CATEGORIES + 1))
                    .map(|code| code.to_string())
                    .collect()
            });
            if categories.len() < *codes || categories.len() > MAX_CATEGORIES {
                return refuse(format!(
                    "the feature {name:?} has {} categories for {codes} codes of the model; list one for each code, in their order, \
                     and at most {MAX_CATEGORIES}",
                    categories.len()
                ));
            }
            FeatureKind::Categorical { categories }
        }
    };
    Ok(Feature {
        name: name.to_owned(),
        required: entry.required || spec.is_some_and(|spec| spec.required),
        kind,
    })
}
