//! From text cells to typed rows, with every rule that the data breaks.
//!
//! | rule | what breaks it |
//! |---|---|
//! | `Sha256` | the source has not the digest that the spec pins |
//! | `Encoding`, `Csv`, `Header`, `ColumnCount`, `TooManyColumns` | it is not the table that the spec describes |
//! | `Empty` | no rows |
//! | `UnknownColumn` | target, a feature or an excluded column that the table does not have |
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

use std::collections::{BTreeMap, BTreeSet};

use modelward_crds::{
    FeatureKind as SpecKind, FeatureSpec, PositiveWhen, Target, TrainingSource, ValueRange,
};
use modelward_model::{Feature, FeatureKind, FeatureSchema, Row, Value, canonical_category, math::shortest};
use modelward_wire::{Decimal, Violation};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::Dataset,
    table::Table,
    violation::{cut, violation},
};

/// More distinct words than this are an identifier, not a category.
pub const MAX_CATEGORIES: usize = 256;

/// Values from the data are quoted up to this many characters.
const MAX_QUOTED: usize = 40;

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

/// Checks a table against the spec. All violations at once, or typed rows.
pub fn check(table: &Table, training: &TrainingSource) -> Result<Checked, Vec<Violation>> {
    let mut violations = Vec::new();
    if table.rows.is_empty() {
        let message = "the data has no rows";
        violations.push(violation("", "Empty", message, 1, None));
    }
    check_names(table, training, &mut violations);

    let missing: BTreeSet<&str> = training
        .dataset
        .csv
        .missing
        .iter()
        .map(|text| text.trim())
        .collect();
    let mut features = Vec::new();
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for (index, name) in table.columns.iter().enumerate() {
        if *name == training.target.column
            || training.exclude.contains(name)
            || table.columns[..index].contains(name)
        {
            continue;
        }
        let spec = training.features.iter().find(|feature| feature.name == *name);
        let column = Column {
            name,
            spec,
            cells: cells(table, index, &missing),
        };
        let (feature, report, column) = column.check(&mut violations);
        features.push(feature);
        columns.push(report);
        values.push(column);
    }
    if features.is_empty() && !table.columns.is_empty() {
        let message = "no column is left to learn from: every one is the target or excluded";
        violations.push(violation("", "NoFeatures", message, 1, None));
    }
    let labels = check_target(table, training, &missing, &mut violations);

    if !violations.is_empty() {
        return Err(violations);
    }
    let schema = FeatureSchema::new(features)
        .map_err(|error| vec![violation("", "Schema", error.to_string(), 1, None)])?;
    let rows = (0..table.rows.len())
        .map(|row| Row::new(values.iter().map(|column| column[row]).collect()))
        .collect();
    Ok(Checked {
        dataset: Dataset { schema, rows, labels },
        columns,
    })
}

/// The finite number in a cell: digits with sign, point and exponent, and nothing else (no `inf`, no `NaN`).
pub fn number(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn check_names(table: &Table, training: &TrainingSource, violations: &mut Vec<Violation>) {
    // Without any column the file is empty or unreadable: which names are absent says nothing then.
    if table.columns.is_empty() {
        return;
    }
    let named = std::iter::once((&training.target.column, "target"))
        .chain(
            training
                .features
                .iter()
                .map(|feature| (&feature.name, "features")),
        )
        .chain(training.exclude.iter().map(|name| (name, "exclude")));
    for (name, place) in named {
        if !table.columns.contains(name) {
            let known = cut(&table.columns.join(", "), 160);
            let message = format!("{place} names a column that the data does not have; it has {known}");
            violations.push(violation(name, "UnknownColumn", message, 1, None));
        }
    }
}

fn cells<'a>(table: &'a Table, index: usize, missing: &BTreeSet<&str>) -> Vec<(u64, Option<&'a str>)> {
    let present = |text: &&str| !text.is_empty() && !missing.contains(text);
    table
        .rows
        .iter()
        .map(|row| (row.number, row.cells.get(index).filter(present)))
        .collect()
}

/// One column while it is checked.
struct Column<'a> {
    name: &'a str,
    spec: Option<&'a FeatureSpec>,
    cells: Vec<(u64, Option<&'a str>)>,
}

/// Rows that break one rule: how many, the first one, its value.
#[derive(Default)]
struct Broken<'a> {
    count: u64,
    first: Option<(u64, &'a str)>,
}

// === impl Column ===

impl<'a> Column<'a> {
    fn present(&self) -> impl Iterator<Item = (u64, &'a str)> + '_ {
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
            violations.push(violation(self.name, rule, message, missing as u64, example));
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
        if words.count == 0 {
            return SpecKind::Numeric;
        }
        let numbers = present as u64 - words.count;
        if numbers >= words.count {
            let (row, cell) = words.first.unwrap_or_default();
            let message = format!(
                "{numbers} values are numbers and {} are not, such as {}; add that text to csv.missing, or declare the \
                 feature Categorical",
                words.count,
                quoted(cell)
            );
            violations.push(violation(self.name, "Type", message, words.count, Some(row)));
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
        no_number.push(violations, name, "Type", |cell, _| {
            format!("{cell} is not a number")
        });
        too_large.push(violations, name, "Type", |cell, _| {
            format!("{cell} is beyond the range of a 32-bit float (about ±3.4e38)")
        });
        outside.push(violations, name, "Range", |cell, _| {
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
        unknown.push(violations, self.name, "Category", |cell, _| {
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
    table: &Table,
    training: &TrainingSource,
    missing: &BTreeSet<&str>,
    violations: &mut Vec<Violation>,
) -> Vec<bool> {
    let target = &training.target;
    let Some(index) = table.columns.iter().position(|name| *name == target.column) else {
        return Vec::new();
    };
    let (mut absent, mut unreadable) = (Broken::default(), Broken::default());
    let mut labels = Vec::with_capacity(table.rows.len());
    for (row, cell) in cells(table, index, missing) {
        match cell {
            None => absent.add(row, ""),
            Some(cell) => match class(cell, target) {
                Some(class) => labels.push(class),
                None => unreadable.add(row, cell),
            },
        }
    }
    let readable = absent.count == 0 && unreadable.count == 0;
    absent.push(violations, &target.column, "Target", |_, count| {
        format!("{count} rows miss the target; remove them from the source")
    });
    unreadable.push(violations, &target.column, "Target", |cell, _| {
        match &target.positive_when {
            Some(_) => format!("{cell} is not a number, so it cannot be compared with greaterThan"),
            None => {
                format!("{cell} is neither 0 nor 1; say in target.positiveWhen which rows are of class 1")
            }
        }
    });
    if table.rows.is_empty() || !readable {
        return labels;
    }
    let positives = labels.iter().filter(|label| **label).count();
    let folds = usize::try_from(training.validation.folds).unwrap_or(0);
    let rule = crate::spec::positive_when(target);
    for (class, count) in [(1, positives), (0, labels.len() - positives)] {
        if count == 0 {
            let message = format!(
                "every row is of class {}; class 1 is where {}, both classes are needed",
                1 - class,
                cut(&rule, 80)
            );
            violations.push(violation(
                &target.column,
                "OneClass",
                message,
                labels.len() as u64,
                None,
            ));
        } else if count < folds {
            let message = format!("class {class} has {count} rows, {folds} folds need at least {folds}");
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
    fn add(&mut self, row: u64, cell: &'a str) {
        self.count += 1;
        self.first.get_or_insert((row, cell));
    }

    fn push(
        self,
        violations: &mut Vec<Violation>,
        column: &str,
        rule: &str,
        message: impl Fn(String, u64) -> String,
    ) {
        if let Some((row, cell)) = self.first {
            let message = message(quoted(cell), self.count);
            violations.push(violation(column, rule, message, self.count, Some(row)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::table;

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
        let (table, violations) = table::read(csv.as_bytes(), &training.dataset.csv);
        assert!(violations.is_empty(), "{violations:?}");
        check(&table, training)
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
    fn every_violation_is_told_at_once_with_column_rule_count_and_row() {
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

    #[test]
    fn numbers_are_plain_and_finite() {
        assert_eq!(number("-1.5e2"), Some(-150.0));
        assert_eq!(number("+7"), Some(7.0));
        for text in [
            "", "NaN", "inf", "infinity", "1e999", "0x10", "1_000", "1,5", "e", "٣",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_table_makes_it_panic(text in "[axy01.?\\-e,\"\n ]{0,60}|(x,y\n)([0-9?a]{1,2},[01?]\n){0,8}") {
            let spec = training(&json!([{"name": "x", "kind": "Numeric"}]));
            let (table, _) = table::read(text.as_bytes(), &spec.dataset.csv);
            match check(&table, &spec) {
                Ok(checked) => prop_assert_eq!(checked.dataset.rows.len(), checked.dataset.labels.len()),
                Err(violations) => prop_assert!(!violations.is_empty()),
            }
        }
    }
}
