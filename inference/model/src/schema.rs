//! Which features a model takes, and how a row of them is read.
//!
//! ```text
//! {"age": 63, "sex": 1, …}  ──read_json──►  Row + warnings   or every error of the row at once
//! [Cell::Number(63.0), …]   ──read_cells─►
//! ```
//!
//! | what comes | what happens |
//! |---|---|
//! | `null`, an absent name, NaN in a cell | missing: imputed, unless the feature is `required`, then an error |
//! | a number outside the range | scored as it is, with a warning |
//! | a category that training never saw | scored with all its indicators 0, with a warning |
//! | a wrong type, an unknown name, infinity, a number beyond `f32` | an error |
//!
//! A boolean is a wrong type, but for a categorical feature whose categories are `true`/`false` (in any case) or
//! whose every category is `0` or `1`: there it is one of these words in another spelling.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The format that this code writes, and the only one that it reads.
pub const SCHEMA_FORMAT: u32 = 1;

/// A row with more errors than this is cut: the first ones say enough.
const MAX_ERRORS: usize = 32;

/// Names and texts from outside are quoted up to this many characters.
const MAX_QUOTED: usize = 80;

/// A message lists at most this many names or categories, each cut to [`MAX_LISTED_CHARS`], and counts the rest.
const MAX_LISTED: usize = 20;

/// Characters of a name or category in a list.
const MAX_LISTED_CHARS: usize = 32;

/// The features of a model, in the order in which it takes them. The content of `schema.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureSchema {
    /// [`SCHEMA_FORMAT`].
    pub format: u32,
    /// The features; names are unique.
    pub features: Vec<Feature>,
}

/// One input of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// Its name in requests.
    pub name: String,
    /// Whether a row without it is refused.
    pub required: bool,
    /// What it holds.
    #[serde(flatten)]
    pub kind: FeatureKind,
}

/// What a feature holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum FeatureKind {
    /// Numbers, read as `f32`.
    Numeric {
        /// Least value that training saw, or that the spec declares.
        min: Option<f64>,
        /// Greatest value, likewise.
        max: Option<f64>,
    },
    /// One of a set of words.
    Categorical {
        /// The words in [canonical](canonical_category) form; their order is that of the model's columns.
        categories: Vec<String>,
    },
}

/// One value a feature, in the schema's order. Equal rows have equal bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    values: Vec<Value>,
}

/// The value of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A finite number of a numeric feature.
    Number(f32),
    /// Index of a category of a categorical feature.
    Category(u32),
    /// A category that training never saw.
    Unknown,
    /// No value.
    Missing,
}

/// One value as a table or tensor gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Missing,
    /// A number; NaN is missing.
    Number(f64),
    /// A word. It is a wrong type for a numeric feature: readers of text files parse numbers first.
    Text(&'a str),
    /// True or false.
    Bool(bool),
}

/// What a caller should know about a row that was scored all the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// A number outside what training saw.
    OutOfRange {
        /// The feature's name.
        feature: String,
        /// The number.
        value: f32,
        /// The least one known.
        min: Option<f64>,
        /// The greatest one known.
        max: Option<f64>,
    },
    /// A category that training never saw.
    UnknownCategory {
        /// The feature's name.
        feature: String,
        /// The category, canonical, cut to 80 characters.
        value: String,
    },
}

/// Why a row cannot be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row names what the model does not take.
    #[error("unknown feature {}", Quoted(name))]
    UnknownFeature {
        /// The name, cut to 200 characters.
        name: String,
    },
    /// A value of another type.
    #[error("{} must be {expected}, found {found}", Quoted(feature))]
    WrongType {
        /// The feature's name.
        feature: String,
        /// What was there, such as `the text "old"`.
        found: String,
        /// What belongs there, such as `a number`.
        expected: &'static str,
    },
    /// An infinite number, or one that a 32-bit float cannot hold.
    #[error(
        "{} is {value}, beyond the range of a 32-bit float (about ±3.4e38)",
        Quoted(feature)
    )]
    TooLarge {
        /// The feature's name.
        feature: String,
        /// The number.
        value: f64,
    },
    /// A required feature has no value.
    #[error("{} is required and has no value", Quoted(feature))]
    Required {
        /// The feature's name.
        feature: String,
    },
    /// A row of cells of another length than the schema.
    #[error("the row has {found} values, the model takes {expected}")]
    Count {
        /// Cells that were given.
        found: usize,
        /// Features of the schema.
        expected: usize,
    },
}

/// What is wrong with a schema itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// It has a format that this program does not know.
    #[error("schema has format {0}, this program reads format {SCHEMA_FORMAT}")]
    Format(u32),
    /// It has no features.
    #[error("schema has no features")]
    Empty,
    /// Two features of one name, or one without a name.
    #[error("feature name {0:?} is empty or there twice")]
    Name(String),
    /// A range whose ends are not finite or not in order.
    #[error("feature {0:?} has a range that is not finite or not in order")]
    Range(String),
    /// Categories that are not canonical or there twice.
    #[error("feature {0:?} has category {1:?} twice or not in its canonical form")]
    Category(String, String),
}

// === impl FeatureSchema ===

impl FeatureSchema {
    /// A checked schema of these features.
    pub fn new(features: Vec<Feature>) -> Result<Self, SchemaError> {
        let schema = Self {
            format: SCHEMA_FORMAT,
            features,
        };
        schema.check()?;
        Ok(schema)
    }

    /// Checks what serde cannot. Call it on everything that was read.
    pub fn check(&self) -> Result<(), SchemaError> {
        if self.format != SCHEMA_FORMAT {
            return Err(SchemaError::Format(self.format));
        }
        if self.features.is_empty() {
            return Err(SchemaError::Empty);
        }
        for (index, feature) in self.features.iter().enumerate() {
            let name = &feature.name;
            if name.is_empty() || self.features[..index].iter().any(|other| other.name == *name) {
                return Err(SchemaError::Name(name.clone()));
            }
            match &feature.kind {
                FeatureKind::Numeric { min, max } => {
                    let finite = |end: &Option<f64>| end.is_none_or(f64::is_finite);
                    let ordered = min.zip(*max).is_none_or(|(min, max)| min <= max);
                    if !finite(min) || !finite(max) || !ordered {
                        return Err(SchemaError::Range(name.clone()));
                    }
                }
                FeatureKind::Categorical { categories } => {
                    for (index, category) in categories.iter().enumerate() {
                        if canonical_category(category) != *category || categories[..index].contains(category)
                        {
                            return Err(SchemaError::Category(name.clone(), category.clone()));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }

    /// Reads a flat object of named features. On failure, every error of the row (the first 32).
    pub fn read_json(&self, object: &Map<String, Json>) -> Result<(Row, Vec<Warning>), Vec<RowError>> {
        let mut reader = Reader::new(self);
        let mut present = 0;
        for feature in &self.features {
            match object.get(&feature.name) {
                None => reader.push(feature, Cell::Missing),
                Some(value) => {
                    present += 1;
                    match value {
                        Json::Null => reader.push(feature, Cell::Missing),
                        Json::Bool(value) => reader.push(feature, Cell::Bool(*value)),
                        Json::String(text) => reader.push(feature, Cell::Text(text)),
                        Json::Number(number) => match number.as_f64() {
                            Some(value) => reader.push(feature, Cell::Number(value)),
                            // No double holds it: only with serde_json's arbitrary precision.
                            None => reader.fail(RowError::TooLarge {
                                feature: feature.name.clone(),
                                value: f64::INFINITY,
                            }),
                        },
                        Json::Array(_) => reader.wrong_type(feature, "an array".into()),
                        Json::Object(_) => reader.wrong_type(feature, "an object".into()),
                    }
                }
            }
        }
        if present < object.len() {
            for name in object
                .keys()
                .filter(|name| !self.names().any(|known| known == **name))
                .take(MAX_ERRORS)
            {
                reader.fail(RowError::UnknownFeature {
                    name: name.chars().take(200).collect(),
                });
            }
        }
        reader.finish()
    }

    /// Reads one cell a feature, in the schema's order. On failure, every error of the row (the first 32).
    pub fn read_cells(&self, cells: &[Cell<'_>]) -> Result<(Row, Vec<Warning>), Vec<RowError>> {
        if cells.len() != self.features.len() {
            return Err(vec![RowError::Count {
                found: cells.len(),
                expected: self.features.len(),
            }]);
        }
        let mut reader = Reader::new(self);
        for (feature, cell) in self.features.iter().zip(cells) {
            reader.push(feature, *cell);
        }
        reader.finish()
    }

    /// The first names, each cut, and how many more there are.
    pub fn list_names(&self) -> String {
        listed(self.features.iter().map(|feature| feature.name.as_str()))
    }

    /// A warning in one sentence, with the categories that the feature has. Bounded in length, whatever was sent.
    pub fn describe_warning(&self, warning: &Warning) -> String {
        let kind = self
            .features
            .iter()
            .find(|feature| feature.name == warning.feature())
            .map(|feature| &feature.kind);
        match (warning, kind) {
            (Warning::UnknownCategory { .. }, Some(FeatureKind::Categorical { categories })) => {
                let known = listed(categories.iter().map(String::as_str));
                format!("{warning} (known: {known})")
            }
            _ => warning.to_string(),
        }
    }

    /// An error in one sentence, with the names that the model takes. Bounded in length, whatever was sent.
    pub fn describe_error(&self, error: &RowError) -> String {
        match error {
            RowError::UnknownFeature { .. } => format!("{error}; expected one of {}", self.list_names()),
            _ => error.to_string(),
        }
    }

    /// The row as the flat object that [`Self::read_json`] reads back to it; a missing value is left out, an
    /// unknown category too (its word is not in the row).
    pub fn write_json(&self, row: &Row) -> Map<String, Json> {
        let mut object = Map::new();
        for (feature, value) in self.features.iter().zip(&row.values) {
            let json = match (value, &feature.kind) {
                (Value::Number(number), _) => Json::from(crate::math::shortest(*number)),
                (Value::Category(index), FeatureKind::Categorical { categories }) => {
                    match categories.get(*index as usize) {
                        Some(category) => Json::from(category.as_str()),
                        None => continue,
                    }
                }
                _ => continue,
            };
            object.insert(feature.name.clone(), json);
        }
        object
    }
}

/// Reads the values of one row, keeping every warning and error.
struct Reader {
    values: Vec<Value>,
    warnings: Vec<Warning>,
    errors: Vec<RowError>,
}

impl Reader {
    fn new(schema: &FeatureSchema) -> Self {
        Self {
            values: Vec::with_capacity(schema.features.len()),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn push(&mut self, feature: &Feature, cell: Cell<'_>) {
        let cell = match cell {
            Cell::Number(number) if number.is_nan() => Cell::Missing,
            other => other,
        };
        match (&feature.kind, cell) {
            (_, Cell::Missing) => {
                if feature.required {
                    self.fail(RowError::Required {
                        feature: feature.name.clone(),
                    });
                } else {
                    self.values.push(Value::Missing);
                }
            }
            (FeatureKind::Numeric { min, max }, Cell::Number(number)) => {
                let value = number as f32;
                if !value.is_finite() {
                    return self.fail(RowError::TooLarge {
                        feature: feature.name.clone(),
                        value: number,
                    });
                }
                // The bounds are cast as the value is: 0.1 is not under a least value of 0.1.
                let low = min.is_some_and(|min| value < min as f32);
                let high = max.is_some_and(|max| value > max as f32);
                if low || high {
                    let feature = feature.name.clone();
                    self.warnings.push(Warning::OutOfRange {
                        feature,
                        value,
                        min: *min,
                        max: *max,
                    });
                }
                self.values.push(Value::Number(value));
            }
            (FeatureKind::Categorical { categories }, Cell::Text(text)) => {
                self.category(feature, categories, &canonical_category(text));
            }
            (FeatureKind::Categorical { categories }, Cell::Number(number)) => {
                if !number.is_finite() {
                    return self.fail(RowError::TooLarge {
                        feature: feature.name.clone(),
                        value: number,
                    });
                }
                self.category(feature, categories, &number_category(number));
            }
            (FeatureKind::Categorical { categories }, Cell::Bool(value)) => {
                match bool_category(categories, value) {
                    Some(word) => self.category(feature, categories, word),
                    None => self.wrong_type(feature, value.to_string()),
                }
            }
            (FeatureKind::Numeric { .. }, Cell::Text(text)) => {
                self.wrong_type(feature, format!("the text {}", Quoted(text)));
            }
            (FeatureKind::Numeric { .. }, Cell::Bool(value)) => self.wrong_type(feature, value.to_string()),
        }
    }

    fn category(&mut self, feature: &Feature, categories: &[String], word: &str) {
        if let Some(index) = categories.iter().position(|known| known == word) {
            self.values.push(Value::Category(index as u32));
        } else {
            self.warnings.push(Warning::UnknownCategory {
                feature: feature.name.clone(),
                value: word.chars().take(MAX_QUOTED).collect(),
            });
            self.values.push(Value::Unknown);
        }
    }

    fn wrong_type(&mut self, feature: &Feature, found: String) {
        let expected = match feature.kind {
            FeatureKind::Numeric { .. } => "a number",
            FeatureKind::Categorical { .. } => "a category (text or number)",
        };
        self.fail(RowError::WrongType {
            feature: feature.name.clone(),
            found,
            expected,
        });
    }

    fn fail(&mut self, error: RowError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn finish(self) -> Result<(Row, Vec<Warning>), Vec<RowError>> {
        if self.errors.is_empty() {
            Ok((Row { values: self.values }, self.warnings))
        } else {
            Err(self.errors)
        }
    }
}

/// The one spelling of a category: without surrounding blanks, and a decimal number without zeros at its end.
///
/// `1`, `1.0` and ` 1.00` are `1`; `-0.0` is `0`; `2.50` is `2.5`. Zeros in front stay (`007` is a code, not 7), as
/// does everything that is not plain digits (`1e3`).
pub fn canonical_category(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if !all_digits(whole) || !all_digits(fraction) {
        return Cow::Borrowed(text);
    }
    let short = if digits.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    // "-0.0" has lost its point by now.
    if short == "-0" {
        Cow::Borrowed("0")
    } else {
        Cow::Borrowed(short)
    }
}

/// The canonical category of a finite number.
fn number_category(number: f64) -> Cow<'static, str> {
    // Codes are small: no allocation for the commonest.
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    if number.fract() == 0.0
        && (0.0..10.0).contains(&number)
        && let Some(text) = SMALL.get(number as usize)
    {
        return Cow::Borrowed(text);
    }
    // `{}` writes neither an exponent nor a trailing ".0".
    Cow::Owned(number.to_string())
}

fn bool_category(categories: &[String], value: bool) -> Option<&str> {
    let word = if value { "true" } else { "false" };
    let is_word = |text: &&String| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if categories.iter().any(|category| is_word(&category)) {
        // Training may have seen only one of the two: the other is an unknown category then, not a wrong type.
        return Some(
            categories
                .iter()
                .find(|known| known.eq_ignore_ascii_case(word))
                .map_or(word, |k| k),
        );
    }
    let digits = !categories.is_empty()
        && categories
            .iter()
            .all(|category| category == "0" || category == "1");
    digits.then_some(if value { "1" } else { "0" })
}

// === impl Feature ===

impl Feature {
    /// A numeric feature without known range that may be missing.
    pub fn numeric(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            required: false,
            kind: FeatureKind::Numeric { min: None, max: None },
        }
    }

    /// A categorical feature that may be missing; the words are made canonical.
    pub fn categorical(name: &str, categories: &[&str]) -> Self {
        let categories = categories
            .iter()
            .map(|word| canonical_category(word).into_owned())
            .collect();
        Self {
            name: name.to_owned(),
            required: false,
            kind: FeatureKind::Categorical { categories },
        }
    }
}

// === impl Row ===

impl Row {
    /// A row of values that are known to fit a schema, such as those of a snapshot.
    ///
    /// A number that is not finite becomes missing.
    pub fn new(mut values: Vec<Value>) -> Self {
        for value in &mut values {
            if matches!(value, Value::Number(number) if !number.is_finite()) {
                *value = Value::Missing;
            }
        }
        Self { values }
    }

    /// The values in the schema's order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

// === impl Warning ===

impl Warning {
    /// The feature that is meant.
    pub fn feature(&self) -> &str {
        match self {
            Self::OutOfRange { feature, .. } | Self::UnknownCategory { feature, .. } => feature,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange {
                feature,
                value,
                min,
                max,
            } => {
                write!(
                    f,
                    "{} is {value}, outside the range known from training (",
                    Quoted(feature)
                )?;
                match (min, max) {
                    (Some(min), Some(max)) => write!(f, "{min} to {max}")?,
                    (Some(min), None) => write!(f, "at least {min}")?,
                    (None, Some(max)) => write!(f, "at most {max}")?,
                    (None, None) => f.write_str("unknown")?,
                }
                f.write_str(")")
            }
            Self::UnknownCategory { feature, value } => write!(
                f,
                "{} is {}, a category unknown from training",
                Quoted(feature),
                Quoted(value)
            ),
        }
    }
}

// === impl RowError ===

impl RowError {
    /// The feature that is meant, or the unknown name; `None` where the whole row is.
    pub fn feature(&self) -> Option<&str> {
        match self {
            Self::UnknownFeature { name: feature, .. }
            | Self::WrongType { feature, .. }
            | Self::TooLarge { feature, .. }
            | Self::Required { feature } => Some(feature),
            Self::Count { .. } => None,
        }
    }
}

/// A text from outside in quotes, escaped and cut.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_QUOTED) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

/// The first names or categories of a list, each cut, and how many more there are.
fn listed<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for name in names.by_ref().take(MAX_LISTED) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        match name.char_indices().nth(MAX_LISTED_CHARS) {
            None => list.push_str(name),
            Some((end, _)) => list.extend([&name[..end], "…"]),
        }
    }
    if names.len() > 0 {
        list.extend([" and ", &names.len().to_string(), " more"]);
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> FeatureSchema {
        let age = Feature {
            required: true,
            kind: FeatureKind::Numeric {
                min: Some(29.0),
                max: Some(77.0),
            },
            ..Feature::numeric("age")
        };
        FeatureSchema::new(vec![
            age,
            Feature::numeric("chol"),
            Feature::categorical("sex", &["0", "1.0"]),
            Feature::categorical("thal", &["3", "6", "7"]),
        ])
        .unwrap()
    }

    fn read(value: Json) -> Result<(Row, Vec<Warning>), Vec<RowError>> {
        let Json::Object(object) = value else {
            unreachable!("tests write objects")
        };
        schema().read_json(&object)
    }

    #[test]
    fn a_good_row_is_read_in_the_order_of_the_schema() {
        let (row, warnings) = read(json!({"thal": 7, "sex": 1, "chol": 233, "age": 63})).unwrap();
        let expected = [
            Value::Number(63.0),
            Value::Number(233.0),
            Value::Category(1),
            Value::Category(2),
        ];
        assert_eq!(row.values(), expected);
        assert_eq!(warnings, []);
    }

    #[test]
    fn spellings_of_one_category_are_one() {
        for thal in [json!(3), json!(3.0), json!("3"), json!("3.0"), json!(" 3.00 ")] {
            let (row, warnings) = read(json!({"age": 63, "thal": thal})).unwrap();
            assert_eq!(row.values()[3], Value::Category(0), "{thal}");
            assert_eq!(warnings, []);
        }
        assert_eq!(canonical_category("-0.0"), "0");
        assert_eq!(canonical_category("2.50"), "2.5");
        assert_eq!(canonical_category("100"), "100");
        assert_eq!(canonical_category("007"), "007");
        assert_eq!(canonical_category("1e3"), "1e3");
        assert_eq!(canonical_category("."), ".");
        assert_eq!(canonical_category("v1.0"), "v1.0");
    }

    #[test]
    fn absent_and_null_are_missing_where_that_is_allowed() {
        let (row, warnings) = read(json!({"age": 63, "chol": null})).unwrap();
        assert_eq!(
            row.values()[1..],
            [Value::Missing, Value::Missing, Value::Missing]
        );
        assert_eq!(warnings, []);
        let errors = read(json!({"age": null})).unwrap_err();
        assert_eq!(
            errors,
            [RowError::Required {
                feature: "age".into()
            }]
        );
        assert_eq!(errors[0].to_string(), r#""age" is required and has no value"#);
    }

    #[test]
    fn an_unknown_category_is_scored_with_a_warning_that_names_it() {
        let (row, warnings) = read(json!({"age": 63, "thal": 2})).unwrap();
        assert_eq!(row.values()[3], Value::Unknown);
        assert_eq!(warnings[0].feature(), "thal");
        assert_eq!(
            schema().describe_warning(&warnings[0]),
            r#""thal" is "2", a category unknown from training (known: 3, 6, 7)"#
        );
    }

    #[test]
    fn a_message_is_short_whatever_the_names_and_categories_are() {
        let categories: Vec<String> = (0..256).map(|i| format!("{i}{}", "é".repeat(400))).collect();
        let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
        let schema = FeatureSchema::new(vec![Feature::categorical("comment", &categories)]).unwrap();
        let row = json!({"comment": "n".repeat(5_000)});
        let (_, warnings) = schema.read_json(row.as_object().unwrap()).unwrap();
        let text = schema.describe_warning(&warnings[0]);
        assert!(text.len() < 2_000, "{}", text.len());
        assert!(text.ends_with(" and 236 more)"), "{text}");

        let features: Vec<Feature> = (0..100)
            .map(|i| Feature::numeric(&format!("{i}{}", "q".repeat(300))))
            .collect();
        let schema = FeatureSchema::new(features).unwrap();
        let row = json!({"x".repeat(5_000): 1});
        let errors = schema.read_json(row.as_object().unwrap()).unwrap_err();
        let text = schema.describe_error(&errors[0]);
        assert!(text.len() < 1_200, "{}", text.len());
        assert!(text.ends_with(" and 80 more"), "{text}");
    }

    #[test]
    fn a_number_out_of_range_is_scored_with_a_warning_that_names_it() {
        let (row, warnings) = read(json!({"age": 120.5})).unwrap();
        assert_eq!(row.values()[0], Value::Number(120.5));
        assert_eq!(
            warnings[0].to_string(),
            r#""age" is 120.5, outside the range known from training (29 to 77)"#
        );
    }

    #[test]
    fn every_error_of_a_row_is_reported_at_once() {
        let errors = read(json!({"age": "old", "chol": [1], "sex": {}, "tahl": 3})).unwrap_err();
        let schema = schema();
        let texts: Vec<_> = errors.iter().map(|error| schema.describe_error(error)).collect();
        assert_eq!(
            texts,
            [
                r#""age" must be a number, found the text "old""#,
                r#""chol" must be a number, found an array"#,
                r#""sex" must be a category (text or number), found an object"#,
                r#"unknown feature "tahl"; expected one of age, chol, sex, thal"#,
            ]
        );
        let names: Vec<_> = errors.iter().map(|error| error.feature().unwrap()).collect();
        assert_eq!(names, ["age", "chol", "sex", "tahl"]);
    }

    #[test]
    fn a_number_that_no_float_of_32_bits_holds_is_refused() {
        let errors = read(json!({"age": 1e39})).unwrap_err();
        assert_eq!(
            errors,
            [RowError::TooLarge {
                feature: "age".into(),
                value: 1e39
            }]
        );
        let cells = [
            Cell::Number(f64::INFINITY),
            Cell::Missing,
            Cell::Missing,
            Cell::Number(f64::NEG_INFINITY),
        ];
        assert_eq!(schema().read_cells(&cells).unwrap_err().len(), 2);
    }

    #[test]
    fn booleans_are_read_only_where_the_categories_are_two_valued() {
        let (row, _) = read(json!({"age": 63, "sex": true})).unwrap();
        assert_eq!(row.values()[2], Value::Category(1));
        assert_eq!(read(json!({"age": 63, "thal": true})).unwrap_err().len(), 1);
        assert_eq!(read(json!({"age": true})).unwrap_err().len(), 1);
        let words = FeatureSchema::new(vec![Feature::categorical("smoker", &["False", "True"])]).unwrap();
        assert_eq!(
            words.read_cells(&[Cell::Bool(true)]).unwrap().0.values(),
            [Value::Category(1)]
        );
    }

    #[test]
    fn cells_are_counted_and_nan_is_missing() {
        assert_eq!(
            schema().read_cells(&[Cell::Missing]).unwrap_err(),
            [RowError::Count {
                found: 1,
                expected: 4
            }]
        );
        let cells = [
            Cell::Number(40.0),
            Cell::Number(f64::NAN),
            Cell::Text("1.0"),
            Cell::Missing,
        ];
        let (row, _) = schema().read_cells(&cells).unwrap();
        assert_eq!(
            row.values(),
            [
                Value::Number(40.0),
                Value::Missing,
                Value::Category(1),
                Value::Missing
            ]
        );
    }

    #[test]
    fn bounds_are_compared_as_floats_of_32_bits() {
        let tenth = Feature {
            kind: FeatureKind::Numeric {
                min: Some(0.1),
                max: Some(0.1),
            },
            ..Feature::numeric("x")
        };
        let schema = FeatureSchema::new(vec![tenth]).unwrap();
        assert_eq!(schema.read_cells(&[Cell::Number(0.1)]).unwrap().1, []);
    }

    #[test]
    fn a_schema_survives_its_json_and_a_broken_one_is_refused() {
        let text = serde_json::to_string(&schema()).unwrap();
        assert_eq!(serde_json::from_str::<FeatureSchema>(&text).unwrap(), schema());
        let twice = FeatureSchema::new(vec![Feature::numeric("a"), Feature::numeric("a")]);
        assert_eq!(twice, Err(SchemaError::Name("a".into())));
        let backwards = Feature {
            kind: FeatureKind::Numeric {
                min: Some(2.0),
                max: Some(1.0),
            },
            ..Feature::numeric("a")
        };
        assert_eq!(
            FeatureSchema::new(vec![backwards]),
            Err(SchemaError::Range("a".into()))
        );
        assert_eq!(FeatureSchema::new(vec![]), Err(SchemaError::Empty));
    }

    #[test]
    fn a_long_name_is_quoted_only_in_part() {
        let errors = read(json!({"age": 1, "é".repeat(5000): 1})).unwrap_err();
        assert!(errors[0].to_string().len() < 400);
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            ".*".prop_map(Json::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec((".*", inner), 0..4)
                    .prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_object_makes_the_reader_panic_and_a_good_row_has_a_value_for_each_feature(
            pairs in prop::collection::vec(("age|chol|sex|thal|.*", any_json()), 0..8)
        ) {
            let object: Map<String, Json> = pairs.into_iter().collect();
            match schema().read_json(&object) {
                Ok((row, warnings)) => {
                    prop_assert_eq!(row.values().len(), 4);
                    for warning in warnings { prop_assert!(!warning.to_string().is_empty()); }
                }
                Err(errors) => {
                    prop_assert!(!errors.is_empty());
                    for error in errors { prop_assert!(!error.to_string().is_empty()); }
                }
            }
        }

        #[test]
        fn a_row_survives_its_json(age: f32, chol: Option<f32>, thal in 0_u32..3) {
            prop_assume!(age.is_finite() && chol.is_none_or(f32::is_finite));
            let chol = chol.map_or(Value::Missing, Value::Number);
            let row = Row::new(vec![Value::Number(age), chol, Value::Missing, Value::Category(thal)]);
            let (again, _) = schema().read_json(&schema().write_json(&row)).unwrap();
            prop_assert_eq!(again, row);
        }

        #[test]
        fn the_canonical_form_is_its_own_canonical_form(text in ".*|-?[0-9]{0,3}\\.?[0-9]{0,3}") {
            let once = canonical_category(&text).into_owned();
            prop_assert_eq!(canonical_category(&once), once.as_str());
        }

        #[test]
        fn a_number_and_its_text_are_one_category(number in -1_000_000_i64..1_000_000, tenths in 0_u8..10) {
            let text = format!("{number}.{tenths}");
            let parsed: f64 = text.parse().unwrap();
            prop_assert_eq!(number_category(if parsed == 0.0 { 0.0 } else { parsed }), canonical_category(&text));
        }
    }
}
