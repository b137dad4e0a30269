//! From text cells to typed rows, with every rule that the data breaks.
//!
//! | rule | what breaks it |
//! |---|---|
//! | `Sha256` | the source has not the digest that the spec pins |
//! | `Encoding`, `Csv`, `Header`, `ColumnCount`, `TooManyColumns` | it is not the table that the spec describes |
//! | `Empty` | no rows |
//! | `UnknownColumn` | target, a feature or an excluded column that the table does not have |
//! | `Columns` | a dataset that has other columns than the first one |
//! | `NoFeatures` | nothing is left to learn from |
//! | `Type` | a value that is no number in a numeric column; a column that mixes numbers and words without being declared |
//! | `Range`, `Category` | a value outside what the spec declares |
//! | `Required`, `MissingRatio`, `AllMissing` | too many rows without a value |
//! | `TooManyCategories` | more than 256 words in a categorical column: an identifier rather than a category |
//! | `Target` | a row whose target is missing or cannot be read |
//! | `OneClass`, `ClassCount` | a class with no rows, or with fewer than there are folds |
//!
//! A column that the spec does not declare is `Numeric` where every value is a number, however few distinct ones
//! there are: whether 0, 1, 2 are codes or amounts is not in the data. Declare codes `Categorical`.
//!
//! Several datasets are one table: their rows follow each other, and a column is inferred and checked over all of them.
//! Only how a file is written (header, delimiter, what means missing) and the order of its columns is its own. Where
//! there are several, a violation of values names the dataset that it is in.

use std::collections::{BTreeMap, BTreeSet};

use modelward_crds::{
    FeatureKind as SpecKind, FeatureSpec, PositiveWhen, Target, TrainingSource, ValueRange,
};
use modelward_model::{Feature, FeatureKind, FeatureSchema, Row, Value, canonical_category, math::shortest};
use modelward_wire::{Decimal, Violation};
use serde::{Deserialize, Serialize};

use crate::data::{
    dataset::Dataset,
    near::did_you_mean,
    number::number,
    table::{Quote, Table},
    violation::{cut, violation},
};

/// More distinct words than this are an identifier, not a category.
pub const MAX_CATEGORIES: usize = 256;

/// Values from the data are quoted up to this many characters.
const MAX_QUOTED: usize = 40;

/// Names of datasets are given up to this many characters.
const MAX_NAME: usize = 60;

/// One file that rows were read from.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// How violations name it.
    pub name: &'a str,
    /// Its rows.
    pub table: &'a Table,
    /// Texts that mean "missing" in it, beside the empty text.
    pub missing: &'a [String],
    /// Whether its content may be quoted.
    pub quote: Quote,
}

/// What a check that found nothing wrong has made of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The rows.
    pub dataset: Dataset,
    /// What is in each feature's column.
    pub columns: Vec<ColumnReport>,
}

/// What is in a feature's column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// `Numeric` or `Categorical`.
    pub kind: String,
    /// Whether the spec says so; it was inferred otherwise.
    pub declared: bool,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: u64,
}

/// Checks tables against the spec, as one. All violations at once, or typed rows. `tolerances` are the features that
/// `monitoring.tolerances` names.
pub fn check(
    parts: &[Part<'_>],
    training: &TrainingSource,
    tolerances: &[String],
) -> Result<Checked, Vec<Violation>> {
    let source = Source::new(parts);
    let mut violations = Vec::new();
    for part in parts.iter().filter(|part| part.table.rows.is_empty()) {
        let message = source.in_file(part.name, "the data has no rows");
        violations.push(violation("", "Empty", message, 1, None));
    }
    source.check_names(training, tolerances, &mut violations);
    if source.is_foreign(training) {
        // It is not what the spec describes, so nothing more of it is reported, not even names.
        return Err(violations);
    }

    let names = source.columns();
    let mut features = Vec::new();
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if *name == training.target.column || training.exclude.contains(name) || names[..index].contains(name)
        {
            continue;
        }
        let spec = training.features.iter().find(|feature| feature.name == *name);
        let column = Column {
            source: &source,
            name,
            spec,
            cells: source.cells(name),
        };
        let (feature, report, column) = column.check(&mut violations);
        features.push(feature);
        columns.push(report);
        values.push(column);
    }
    if features.is_empty() && !names.is_empty() {
        let message = "no column is left to learn from: every one is the target or excluded";
        violations.push(violation("", "NoFeatures", message, 1, None));
    }
    let labels = check_target(&source, training, &mut violations);

    if !violations.is_empty() {
        return Err(violations);
    }
    let schema = FeatureSchema::new(features)
        .map_err(|error| vec![violation("", "Schema", error.to_string(), 1, None)])?;
    let rows = (0..labels.len())
        .map(|row| Row::new(values.iter().map(|column| column[row]).collect()))
        .collect();
    Ok(Checked {
        dataset: Dataset { schema, rows, labels },
        columns,
    })
}

/// Where a cell is: the dataset's index, and the number of the row in it.
type Place = (usize, u64);

/// A cell, `None` where it is missing.
type Cell<'a> = (Place, Option<&'a str>);

/// All parts, as one table.
struct Source<'a> {
    parts: &'a [Part<'a>],
    missing: Vec<BTreeSet<&'a str>>,
}

/// One column while it is checked.
struct Column<'a> {
    source: &'a Source<'a>,
    name: &'a str,
    spec: Option<&'a FeatureSpec>,
    cells: Vec<Cell<'a>>,
}

/// Rows that break one rule.
#[derive(Default)]
struct Broken<'a> {
    /// One entry a dataset that has such rows: its index, how many, the first one, its value.
    parts: Vec<(usize, u64, u64, &'a str)>,
}

// === impl Source ===

impl<'a> Source<'a> {
    fn new(parts: &'a [Part<'a>]) -> Self {
        let missing = |part: &Part<'a>| part.missing.iter().map(|text| text.trim()).collect();
        Self {
            parts,
            missing: parts.iter().map(missing).collect(),
        }
    }

    /// The columns, in the first part's order.
    fn columns(&self) -> &'a [String] {
        self.parts.first().map_or(&[], |part| &part.table.columns)
    }

    /// The message, with the dataset's name before it where there are several.
    fn in_file(&self, name: &str, message: &str) -> String {
        if self.parts.len() > 1 {
            format!("{}: {message}", cut(name, MAX_NAME))
        } else {
            message.to_owned()
        }
    }

    fn quote(&self, part: usize) -> Quote {
        self.parts.get(part).map_or(Quote::No, |part| part.quote)
    }

    fn name(&self, part: usize) -> &'a str {
        self.parts.get(part).map_or("", |part| part.name)
    }

    /// Whether a part comes from an address and lacks the target: it may be anything but the dataset.
    fn is_foreign(&self, training: &TrainingSource) -> bool {
        let target = &training.target.column;
        let foreign = |part: &Part<'_>| part.quote == Quote::No && !part.table.columns.contains(target);
        self.parts.iter().any(foreign)
    }

    fn check_names(&self, training: &TrainingSource, tolerances: &[String], violations: &mut Vec<Violation>) {
        let first = self.columns();
        // Without any column a file is empty or unreadable: which names are absent says nothing then.
        if self.parts.iter().any(|part| part.table.columns.is_empty()) {
            return;
        }
        let features = training.features.iter();
        let named = std::iter::once((&training.target.column, "target"))
            .chain(features.map(|feature| (&feature.name, "features")));
        let absent = named.filter(|(name, _)| !first.contains(name));
        let anywhere = |name: &String| self.parts.iter().any(|part| part.table.columns.contains(name));
        let excluded = training.exclude.iter().map(|name| (name, "exclude"));
        let is_feature = |name: &&String| {
            first.contains(name) && **name != training.target.column && !training.exclude.contains(name)
        };
        let tolerated = tolerances
            .iter()
            .filter(|name| !is_feature(name))
            .map(|name| (name, "monitoring.tolerances"));
        let is_foreign = self.is_foreign(training);
        let looks_like_values = first.iter().filter(|name| number(name).is_some()).count() * 2 > first.len();
        for (name, place) in absent
            .chain(excluded.filter(|(name, _)| !anywhere(name)))
            .chain(tolerated)
        {
            let (meant, known) = if is_foreign {
                (String::new(), format!("it has {} columns", first.len()))
            } else {
                let meant = did_you_mean(name, first.iter().map(String::as_str));
                (meant, format!("it has {}", cut(&first.join(", "), 120)))
            };
            let what = if place == "monitoring.tolerances" {
                "a feature that the model does not have"
            } else {
                "a column that the data does not have"
            };
            let message = if place == "target" && looks_like_values {
                "target names a column that the data does not have; the first line looks like values, not names: set \
                 csv.header: false and name the columns in csv.columns"
                    .to_owned()
            } else {
                format!("{place} names {what}{meant}; {known}")
            };
            violations.push(violation(name, "UnknownColumn", message, 1, None));
        }
        if is_foreign {
            return;
        }
        for part in self.parts.iter().skip(1) {
            let columns = &part.table.columns;
            let wanted = |name: &&String| !training.exclude.contains(name);
            let (first_name, name) = (cut(self.name(0), MAX_NAME), cut(part.name, MAX_NAME));
            for absent in first.iter().filter(wanted).filter(|name| !columns.contains(name)) {
                let message = format!("{name} lacks this column, which {first_name} has");
                violations.push(violation(absent, "Columns", message, 1, None));
            }
            for more in columns.iter().filter(wanted).filter(|name| !first.contains(name)) {
                let message = format!("{name} has this column, which {first_name} lacks; exclude it");
                violations.push(violation(more, "Columns", message, 1, None));
            }
        }
    }

    /// The cells of a column, of every part that has it.
    fn cells(&self, column: &str) -> Vec<Cell<'a>> {
        let mut cells = Vec::new();
        for (at, (part, missing)) in self.parts.iter().zip(&self.missing).enumerate() {
            let Some(index) = part.table.columns.iter().position(|name| name == column) else {
                continue;
            };
            let present = |text: &&str| !text.is_empty() && !missing.contains(text);
            let rows = part.table.rows.iter();
            cells.extend(rows.map(|row| ((at, row.number), row.cells.get(index).filter(present))));
        }
        cells
    }
}

// === impl Column ===

impl<'a> Column<'a> {
    fn present(&self) -> impl Iterator<Item = (Place, &'a str)> + '_ {
        self.cells
            .iter()
            .filter_map(|(row, cell)| cell.map(|cell| (*row, cell)))
    }

    fn check(&self, violations: &mut Vec<Violation>) -> (Feature, ColumnReport, Vec<Value>) {
        let present = self.present().count();
        let missing = self.cells.len() - present;
        self.check_missing(present, missing, violations);
        let (kind, values) = match self.kind(present, violations) {
            SpecKind::Numeric => self.numeric(violations),
            SpecKind::Categorical => self.categorical(violations),
        };
        let distinct = match &kind {
            FeatureKind::Categorical { .. } => self
                .present()
                .map(|(_, cell)| canonical_category(cell))
                .collect::<BTreeSet<_>>()
                .len(),
            FeatureKind::Numeric { .. } => {
                let bits = values.iter().filter_map(|value| match value {
                    Value::Number(number) => Some((number + 0.0).to_bits()),
                    _ => None,
                });
                bits.collect::<BTreeSet<_>>().len()
            }
        };
        let report = ColumnReport {
            name: self.name.to_owned(),
            kind: match kind {
                FeatureKind::Numeric { .. } => "Numeric".to_owned(),
                FeatureKind::Categorical { .. } => "Categorical".to_owned(),
            },
            declared: self.spec.is_some(),
            missing: missing as u64,
            distinct: distinct as u64,
        };
        let required = self.spec.is_some_and(|spec| spec.required);
        (
            Feature {
                name: self.name.to_owned(),
                required,
                kind,
            },
            report,
            values,
        )
    }

    fn check_missing(&self, present: usize, missing: usize, violations: &mut Vec<Violation>) {
        let rows = self.cells.len();
        if rows == 0 || missing == 0 {
            return;
        }
        let example = self
            .cells
            .iter()
            .find(|(_, cell)| cell.is_none())
            .map(|(row, _)| *row);
        let mut push = |rule, message: String| {
            let (message, row) = match example {
                Some((part, row)) if self.source.parts.len() > 1 => {
                    let name = cut(self.source.name(part), MAX_NAME);
                    (format!("{message}; the first one is in {name}"), Some(row))
                }
                _ => (message, example.map(|(_, row)| row)),
            };
            violations.push(violation(self.name, rule, message, missing as u64, row));
        };
        if present == 0 {
            push(
                "AllMissing",
                "every row misses this column; exclude it or repair the source".to_owned(),
            );
        }
        let Some(spec) = self.spec else { return };
        if spec.required {
            push(
                "Required",
                format!("{missing} of {rows} rows miss a feature that is declared required"),
            );
        }
        if let Some(most) = &spec.max_missing_ratio
            && exceeds(missing, rows, most)
        {
            let ratio = missing as f64 / rows as f64;
            push(
                "MissingRatio",
                format!("{missing} of {rows} rows ({ratio:.4}) miss it, declared is at most {most}"),
            );
        }
    }

    fn kind(&self, present: usize, violations: &mut Vec<Violation>) -> SpecKind {
        if let Some(spec) = self.spec {
            return spec.kind;
        }
        let mut words = Broken::default();
        for (row, cell) in self.present() {
            if number(cell).is_none() {
                words.add(row, cell);
            }
        }
        let count = words.count();
        if count == 0 {
            return SpecKind::Numeric;
        }
        let numbers = present as u64 - count;
        if numbers >= count {
            words.push(violations, self.source, self.name, "Type", |cell, count| {
                format!(
                    "{numbers} values are numbers and {count} are not, such as {cell}; where it means \"missing\", add it to \
                     csv.missing; where it is a code, declare the feature Categorical"
                )
            });
        }
        SpecKind::Categorical
    }

    fn numeric(&self, violations: &mut Vec<Violation>) -> (FeatureKind, Vec<Value>) {
        let range = self.spec.and_then(|spec| spec.range.as_ref());
        let (mut no_number, mut too_large, mut outside) =
            (Broken::default(), Broken::default(), Broken::default());
        let mut ends: Option<(f32, f32)> = None;
        let mut values = Vec::with_capacity(self.cells.len());
        for (row, cell) in &self.cells {
            values.push(Value::Missing);
            let Some(cell) = cell else { continue };
            let Some(exact) = number(cell) else {
                no_number.add(*row, cell);
                continue;
            };
            let value = exact as f32;
            if !value.is_finite() {
                too_large.add(*row, cell);
                continue;
            }
            if range.is_some_and(|range| !contains(range, exact)) {
                outside.add(*row, cell);
            }
            ends = Some(ends.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
            if let Some(last) = values.last_mut() {
                *last = Value::Number(value);
            }
        }
        let name = self.name;
        no_number.push(violations, self.source, name, "Type", |cell, _| {
            format!(
                "{cell} is not a number; where it means \"missing\", add it to csv.missing; where it is a code, declare the \
                 feature Categorical"
            )
        });
        too_large.push(violations, self.source, name, "Type", |cell, _| {
            format!("{cell} is beyond the range of a 32-bit float (about ±3.4e38)")
        });
        outside.push(violations, self.source, name, "Range", |cell, _| {
            format!(
                "{cell} is outside the declared range {}",
                range.map(range_text).unwrap_or_default()
            )
        });
        // A declared end wins: what the contract allows is not worth a warning when serving.
        let end = |declared: Option<&Decimal>, seen: Option<f32>| {
            declared.map(Decimal::to_f64).or_else(|| seen.map(shortest))
        };
        let min = end(
            range.and_then(|range| range.min.as_ref()),
            ends.map(|ends| ends.0),
        );
        let max = end(
            range.and_then(|range| range.max.as_ref()),
            ends.map(|ends| ends.1),
        );
        (FeatureKind::Numeric { min, max }, values)
    }

    fn categorical(&self, violations: &mut Vec<Violation>) -> (FeatureKind, Vec<Value>) {
        let words: Vec<_> = self
            .cells
            .iter()
            .map(|(_, cell)| cell.map(canonical_category))
            .collect();
        let declared = self.spec.and_then(|spec| spec.categories.as_ref());
        let categories: Vec<String> = if let Some(declared) = declared {
            declared
                .iter()
                .map(|category| canonical_category(category).into_owned())
                .collect()
        } else {
            let distinct: BTreeSet<&str> = words.iter().flatten().map(AsRef::as_ref).collect();
            if distinct.len() > MAX_CATEGORIES {
                let message = format!(
                    "{} different words, at most {MAX_CATEGORIES} are a category; exclude the column if it is an identifier",
                    distinct.len()
                );
                violations.push(violation(
                    self.name,
                    "TooManyCategories",
                    message,
                    distinct.len() as u64,
                    None,
                ));
            }
            ordered(distinct)
        };
        let index: BTreeMap<&str, u32> = categories
            .iter()
            .enumerate()
            .map(|(index, word)| (word.as_str(), index as u32))
            .collect();
        let mut unknown = Broken::default();
        let mut values = Vec::with_capacity(words.len());
        for ((row, cell), word) in self.cells.iter().zip(&words) {
            values.push(match (word, cell) {
                (Some(word), Some(cell)) => index.get(word.as_ref()).map_or_else(
                    || {
                        unknown.add(*row, cell);
                        Value::Unknown
                    },
                    |index| Value::Category(*index),
                ),
                _ => Value::Missing,
            });
        }
        unknown.push(violations, self.source, self.name, "Category", |cell, _| {
            format!(
                "{cell} is none of the declared categories {}",
                cut(&categories.join(", "), 120)
            )
        });
        (FeatureKind::Categorical { categories }, values)
    }
}

/// Numbers in their own order, then words in that of their bytes.
fn ordered(words: BTreeSet<&str>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    words.sort_by(|a, b| match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    });
    words
}

fn check_target(
    source: &Source<'_>,
    training: &TrainingSource,
    violations: &mut Vec<Violation>,
) -> Vec<bool> {
    let target = &training.target;
    let (mut absent, mut unreadable) = (Broken::default(), Broken::default());
    let cells = source.cells(&target.column);
    let mut labels = Vec::with_capacity(cells.len());
    for (row, cell) in cells {
        match cell {
            None => absent.add(row, ""),
            Some(cell) => match class(cell, target) {
                Some(class) => labels.push(class),
                None => unreadable.add(row, cell),
            },
        }
    }
    let readable = absent.count() == 0 && unreadable.count() == 0;
    absent.push(violations, source, &target.column, "Target", |_, count| {
        format!("{count} rows miss the target; remove them from the source")
    });
    unreadable.push(
        violations,
        source,
        &target.column,
        "Target",
        |cell, _| match &target.positive_when {
            Some(_) => format!(
                "{cell} is not a number, so it cannot be compared with greaterThan; name the value of class 1 in \
                 target.positiveWhen.equals, or remove these rows"
            ),
            None => format!(
                "{cell} is neither 0 nor 1; name the value of class 1 in target.positiveWhen.equals, or the number that it is \
                 above in target.positiveWhen.greaterThan"
            ),
        },
    );
    if labels.is_empty() || !readable {
        return labels;
    }
    let positives = labels.iter().filter(|label| **label).count();
    let folds = usize::try_from(training.validation.folds).unwrap_or(0);
    let rule = crate::spec::positive_when(target);
    for (class, count) in [(1, positives), (0, labels.len() - positives)] {
        if count == 0 {
            let message = format!(
                "every row is of class {}; class 1 is where {}, both classes are needed{}",
                1 - class,
                cut(&rule, 80),
                values_words(source, &target.column)
            );
            violations.push(violation(
                &target.column,
                "OneClass",
                message,
                labels.len() as u64,
                None,
            ));
        } else if count < folds {
            let message = format!(
                "class {class} has {count} rows, {folds} folds need at least {folds}: add rows of that class, or lower \
                 validation.folds"
            );
            violations.push(violation(
                &target.column,
                "ClassCount",
                message,
                count as u64,
                None,
            ));
        }
    }
    labels
}

/// The values of a column, where they may be quoted and are few.
fn values_words(source: &Source<'_>, column: &str) -> String {
    let values: BTreeSet<&str> = source
        .cells(column)
        .into_iter()
        .filter_map(|(_, cell)| cell)
        .collect();
    let may_quote = source.parts.iter().all(|part| part.quote == Quote::Yes);
    if !may_quote || values.is_empty() || values.len() > 3 {
        return String::new();
    }
    let quoted: Vec<_> = values
        .iter()
        .map(|value| format!("{:?}", cut(value, 32)))
        .collect();
    format!("; the column's values are {}", quoted.join(", "))
}

/// The class that a target's cell says, `None` where it cannot be read.
fn class(cell: &str, target: &Target) -> Option<bool> {
    match &target.positive_when {
        Some(PositiveWhen {
            greater_than: Some(bound),
            ..
        }) => number(cell).map(|number| number > bound.to_f64()),
        Some(PositiveWhen {
            equals: Some(text), ..
        }) => Some(canonical_category(cell) == canonical_category(text)),
        _ => match canonical_category(cell).as_ref() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        },
    }
}

fn exceeds(missing: usize, rows: usize, most: &Decimal) -> bool {
    missing as f64 > most.to_f64() * rows as f64
}

fn contains(range: &ValueRange, number: f64) -> bool {
    range.min.as_ref().is_none_or(|min| number >= min.to_f64())
        && range.max.as_ref().is_none_or(|max| number <= max.to_f64())
}

fn range_text(range: &ValueRange) -> String {
    match (&range.min, &range.max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("from {min}"),
        (None, Some(max)) => format!("up to {max}"),
        (None, None) => String::new(),
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", cut(text, MAX_QUOTED))
}

// === impl Broken ===

impl<'a> Broken<'a> {
    fn add(&mut self, (part, row): Place, cell: &'a str) {
        // Cells come part by part.
        match self.parts.last_mut() {
            Some((last, count, ..)) if *last == part => *count += 1,
            _ => self.parts.push((part, 1, row, cell)),
        }
    }

    fn count(&self) -> u64 {
        self.parts.iter().map(|(_, count, ..)| count).sum()
    }

    fn push(
        self,
        violations: &mut Vec<Violation>,
        source: &Source<'_>,
        column: &str,
        rule: &str,
        message: impl Fn(String, u64) -> String,
    ) {
        for (part, count, row, cell) in self.parts {
            let shown = match source.quote(part) {
                Quote::Yes => quoted(cell),
                Quote::No => format!("the value of row {row}"),
            };
            let message = source.in_file(source.name(part), &message(shown, count));
            violations.push(violation(column, rule, message, count, Some(row)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::data::table;

    fn training(features: &serde_json::Value) -> TrainingSource {
        let spec = json!({
            "dataset": {"configMap": {"name": "d", "key": "d.csv"}, "csv": {"missing": ["?"]}},
            "target": {"column": "y"},
            "features": features,
            "validation": {"folds": 2, "repeats": 1},
        });
        serde_json::from_value(spec).unwrap()
    }

    fn run(csv: &str, training: &TrainingSource) -> Result<Checked, Vec<Violation>> {
        let (table, violations) = table::read(csv.as_bytes(), &training.dataset.csv, Quote::Yes);
        assert!(violations.is_empty(), "{violations:?}");
        check(&[part("d.csv", &table, training)], training, &[])
    }

    fn part<'a>(name: &'a str, table: &'a Table, training: &'a TrainingSource) -> Part<'a> {
        Part {
            name,
            table,
            missing: &training.dataset.csv.missing,
            quote: Quote::Yes,
        }
    }

    fn message_of(csv: &str, training: &TrainingSource, tolerances: &[&str], quote: Quote) -> String {
        let (table, violations) = table::read(csv.as_bytes(), &training.dataset.csv, quote);
        assert!(violations.is_empty(), "{violations:?}");
        let tolerances: Vec<String> = tolerances.iter().map(|name| (*name).to_owned()).collect();
        let part = Part {
            quote,
            ..part("d.csv", &table, training)
        };
        let violations = check(&[part], training, &tolerances).unwrap_err();
        let lines = violations
            .iter()
            .map(|violation| format!("{}: {}", violation.column, violation.message));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_name_that_is_not_there_comes_with_the_one_that_was_meant() {
        let mut spec = training(&json!([{"name": "Chol", "kind": "Numeric"}]));
        spec.exclude = vec!["patient_id".into()];
        let message = message_of(
            "chol,patient-id,y\n1,a,0\n2,b,1\n3,a,0\n4,b,1\n",
            &spec,
            &[],
            Quote::Yes,
        );
        assert!(message.contains(r#"did you mean "chol"?"#), "{message}");
        assert!(message.contains(r#"did you mean "patient-id"?"#), "{message}");
        assert!(message.contains("it has chol, patient-id, y"), "{message}");
    }

    #[test]
    fn a_tolerance_of_a_feature_that_does_not_exist_is_refused_with_the_names_that_do() {
        let spec = training(&json!([]));
        let csv = "age,chol,y\n1,2,0\n2,3,1\n3,4,0\n4,5,1\n";
        let message = message_of(csv, &spec, &["age", "cholesterol", "y"], Quote::Yes);
        assert!(
            message.starts_with("cholesterol: monitoring.tolerances names a feature"),
            "{message}"
        );
        assert!(message.contains("it has age, chol, y"), "{message}");
        // The target is no feature.
        assert!(message.contains("\ny: monitoring.tolerances"), "{message}");
    }

    #[test]
    fn a_first_line_of_values_is_no_header_and_the_message_says_what_to_set() {
        let message = message_of("63,1,0\n41,0,1\n50,1,0\n", &training(&json!([])), &[], Quote::Yes);
        assert!(message.contains("set csv.header: false"), "{message}");
    }

    #[test]
    fn nothing_of_an_address_is_quoted_neither_names_nor_values() {
        let spec = training(&json!([{"name": "secrets", "kind": "Numeric"}]));
        let message = message_of("secret-a,secret-b\nsecret-c,secret-d\n", &spec, &[], Quote::No);
        assert!(message.contains("it has 2 columns"), "{message}");
        assert!(!message.contains("secret-"), "{message}");
        // With the target it is the dataset: its columns are named, its values are not quoted.
        let message = message_of(
            "x,secrets,y\n1,secret-a,0\n2,3,maybe\n4,5,1\n",
            &spec,
            &[],
            Quote::No,
        );
        assert!(
            message.contains("secrets: the value of row 1 is not a number"),
            "{message}"
        );
        assert!(
            message.contains("y: the value of row 2 is neither 0 nor 1"),
            "{message}"
        );
        assert!(
            !message.contains("secret-a") && !message.contains("maybe"),
            "{message}"
        );
    }

    fn rules(csv: &str, training: &TrainingSource) -> Vec<String> {
        let violations = run(csv, training).unwrap_err();
        violations
            .iter()
            .map(|v| format!("{}/{}/{}", v.column, v.rule, v.count))
            .collect()
    }

    #[test]
    fn kinds_are_inferred_and_numbers_stay_numbers_however_few_there_are() {
        let csv = "age,sex,code,y\n63.5,M,1,0\n?,F,0,1\n41,M,1.0,0\n39,?,0,1.0\n";
        let checked = run(csv, &training(&json!([{"name": "code", "kind": "Categorical"}]))).unwrap();
        let features = &checked.dataset.schema.features;
        assert_eq!(
            features[0].kind,
            FeatureKind::Numeric {
                min: Some(39.0),
                max: Some(63.5)
            }
        );
        assert_eq!(features[1].kind, Feature::categorical("sex", &["F", "M"]).kind);
        assert_eq!(features[2].kind, Feature::categorical("code", &["0", "1"]).kind);
        assert_eq!(checked.dataset.labels, [false, true, false, true]);
        assert_eq!(checked.dataset.rows[1].values()[0], Value::Missing);
        assert_eq!(checked.dataset.rows[2].values()[2], Value::Category(1));
        assert_eq!((checked.columns[0].missing, checked.columns[0].distinct), (1, 3));
        let undeclared = run(csv, &training(&json!([]))).unwrap();
        assert_eq!(undeclared.columns[2].kind, "Numeric");
    }

    #[test]
    fn every_violation_is_reported_at_once_with_column_rule_count_and_row() {
        let spec = training(&json!([
            {"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "120"}},
            {"name": "sex", "kind": "Categorical", "categories": ["M", "F"]},
            {"name": "bp", "kind": "Numeric", "required": true, "maxMissingRatio": "0.2"},
            {"name": "nope", "kind": "Numeric"},
        ]));
        let csv = "age,sex,bp,empty,y\n200,M,1,?,0\nold,X,?,,1\n130,F,?,,1\n1e39,M,1,,0\n";
        let violations = run(csv, &spec).unwrap_err();
        let found: Vec<_> = violations
            .iter()
            .map(|v| (v.column.as_str(), v.rule.as_str(), v.count, v.example_row))
            .collect();
        assert_eq!(
            found,
            [
                ("nope", "UnknownColumn", 1, None),
                ("age", "Type", 1, Some(2)),
                ("age", "Type", 1, Some(4)),
                ("age", "Range", 2, Some(1)),
                ("sex", "Category", 1, Some(2)),
                ("bp", "Required", 2, Some(2)),
                ("bp", "MissingRatio", 2, Some(2)),
                ("empty", "AllMissing", 4, Some(1)),
            ]
        );
        assert!(
            violations[4].message.contains("\"X\""),
            "{}",
            violations[4].message
        );
    }

    #[test]
    fn a_column_that_mixes_numbers_and_words_must_be_declared() {
        let csv = "x,y\n1,0\n2,1\nNA,0\n4,1\n";
        assert_eq!(rules(csv, &training(&json!([]))), ["x/Type/1"]);
        run(csv, &training(&json!([{"name": "x", "kind": "Categorical"}]))).unwrap();
    }

    #[test]
    fn the_target_must_be_there_in_every_row_and_have_two_classes_with_enough_rows() {
        let spec = training(&json!([]));
        assert_eq!(rules("x,y\n1,0\n2,?\n3,2\n", &spec), ["y/Target/1", "y/Target/1"]);
        assert_eq!(rules("x,y\n1,0\n2,0\n3,0\n", &spec), ["y/OneClass/3"]);
        assert_eq!(rules("x,y\n1,0\n2,0\n3,1\n", &spec), ["y/ClassCount/1"]);
        assert_eq!(rules("x,z\n1,0\n2,0\n3,1\n", &spec), ["y/UnknownColumn/1"]);
        assert_eq!(rules("x,y\n", &spec), ["/Empty/1"]);
        assert_eq!(rules("y\n0\n0\n1\n1\n", &spec), ["/NoFeatures/1"]);
    }

    #[test]
    fn a_target_is_compared_as_the_spec_says() {
        let mut spec = training(&json!([]));
        spec.target =
            serde_json::from_value(json!({"column": "y", "positiveWhen": {"greaterThan": "0"}})).unwrap();
        let checked = run("x,y\n1,0\n2,4\n3,0.0\n4,1e0\n", &spec).unwrap();
        assert_eq!(checked.dataset.labels, [false, true, false, true]);
        assert_eq!(rules("x,y\n1,0\n2,sick\n", &spec), ["y/Target/1"]);
        spec.target =
            serde_json::from_value(json!({"column": "y", "positiveWhen": {"equals": "2"}})).unwrap();
        let checked = run("x,y\n1,2.0\n2,no\n3,2\n4,1\n", &spec).unwrap();
        assert_eq!(checked.dataset.labels, [true, false, true, false]);
    }

    #[test]
    fn a_value_of_class_1_that_no_row_has_is_answered_with_the_values_that_are_there() {
        let mut spec = training(&json!([]));
        spec.target =
            serde_json::from_value(json!({"column": "y", "positiveWhen": {"equals": "Yes"}})).unwrap();
        let violations = run("x,y\n1,yes\n2,no\n3,yes\n", &spec).unwrap_err();
        let words = &violations[0].message;
        assert!(
            words.ends_with("the column's values are \"no\", \"yes\""),
            "{words}"
        );
    }

    /// Two files of the spec's datasets; what means missing in the second is its own.
    fn both(one: &str, other: &str, training: &TrainingSource) -> Result<Checked, Vec<Violation>> {
        let columns = vec!["y".into(), "sex".into(), "age".into()];
        let bare = modelward_crds::CsvFormat {
            header: false,
            columns,
            missing: vec!["-9".into()],
            ..training.dataset.csv.clone()
        };
        let (first, found) = table::read(one.as_bytes(), &training.dataset.csv, Quote::Yes);
        assert!(found.is_empty(), "{found:?}");
        let (second, found) = table::read(other.as_bytes(), &bare, Quote::Yes);
        assert!(found.is_empty(), "{found:?}");
        let second = Part {
            name: "second",
            table: &second,
            missing: &bare.missing,
            quote: Quote::Yes,
        };
        check(&[part("first", &first, training), second], training, &[])
    }

    #[test]
    fn rows_of_two_files_follow_each_other_whatever_the_order_of_their_columns() {
        let spec = training(&json!([{"name": "sex", "kind": "Categorical"}]));
        let one = "age,sex,y\n63.0,1.0,0\n?,0.0,1\n";
        let checked = both(one, "0,1,40\n1,2,-9\n", &spec).unwrap();
        let data = &checked.dataset;
        let numbers: Vec<Value> = data.rows.iter().map(|row| row.values()[0]).collect();
        let expected = [
            Value::Number(63.0),
            Value::Missing,
            Value::Number(40.0),
            Value::Missing,
        ];
        assert_eq!(numbers, expected);
        assert_eq!(
            data.schema.features[1].kind,
            Feature::categorical("sex", &["0", "1", "2"]).kind
        );
        assert_eq!(data.labels, [false, true, false, true]);
        // The same patient written in the other way is the same row.
        let again = both(one, "0,1,63\n1,0,-9\n", &spec).unwrap().dataset;
        assert_eq!(
            (again.row_hash(0), again.row_hash(1)),
            (again.row_hash(2), again.row_hash(3))
        );
    }

    #[test]
    fn a_violation_names_the_file_where_there_are_several() {
        let spec = training(&json!([
            {"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "120"}},
            {"name": "sex", "kind": "Categorical", "maxMissingRatio": "0.2"},
        ]));
        let violations = both(
            "age,sex,y\n63,1,0\n130,0,1\n",
            "0,-9,200\n1,1,old\n0,-9,300\n",
            &spec,
        )
        .unwrap_err();
        let found: Vec<_> = violations
            .iter()
            .map(|v| {
                format!(
                    "{} {} {} {:?}: {}",
                    v.column, v.rule, v.count, v.example_row, v.message
                )
            })
            .collect();
        let starts = [
            "age Type 1 Some(2): second: \"old\"",
            "age Range 1 Some(2): first: \"130\"",
            "age Range 2 Some(1): second: \"200\"",
            "sex MissingRatio 2 Some(1): 2 of 5 rows",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}, expected {start}");
        }
        assert!(found[3].ends_with("the first one is in second"), "{}", found[3]);
    }

    #[test]
    fn files_of_other_columns_are_no_one_table() {
        let spec = training(&json!([]));
        let violations = both("age,bp,y\n63,1,0\n40,2,1\n", "0,1,40\n1,1,50\n", &spec).unwrap_err();
        let found: Vec<_> = violations
            .iter()
            .map(|v| (v.column.as_str(), v.rule.as_str()))
            .collect();
        assert_eq!(found, [("bp", "Columns"), ("sex", "Columns")]);
        let mut excluding = spec;
        excluding.exclude = vec!["bp".into(), "sex".into()];
        let checked = both("age,bp,y\n63,1,0\n40,2,1\n", "0,1,40\n1,1,50\n", &excluding).unwrap();
        assert_eq!(checked.dataset.len(), 4);
    }

    #[test]
    fn an_identifier_is_no_category() {
        use std::fmt::Write as _;
        let csv = (0..600).fold("id,y\n".to_owned(), |mut csv, row| {
            writeln!(csv, "p{row},{}", row % 2).unwrap();
            csv
        });
        assert_eq!(rules(&csv, &training(&json!([]))), ["id/TooManyCategories/600"]);
        let mut spec = training(&json!([]));
        spec.exclude = vec!["id".into()];
        assert_eq!(rules(&csv, &spec), ["/NoFeatures/1"]);
    }

    #[test]
    fn categories_are_ordered_as_numbers_where_they_are_numbers() {
        let words = BTreeSet::from(["10", "9", "-1", "b", "a"]);
        assert_eq!(ordered(words), ["-1", "9", "10", "a", "b"]);
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(text in "[axy01.?\\-e,\"\n ]{0,60}|(x,y\n)([0-9?a]{1,2},[01?]\n){0,8}") {
            let spec = training(&json!([{"name": "x", "kind": "Numeric"}]));
            let (table, _) = table::read(text.as_bytes(), &spec.dataset.csv, Quote::Yes);
            match check(&[part("d.csv", &table, &spec)], &spec, &[]) {
                Ok(checked) => prop_assert_eq!(checked.dataset.rows.len(), checked.dataset.labels.len()),
                Err(violations) => prop_assert!(!violations.is_empty()),
            }
        }
    }
}
