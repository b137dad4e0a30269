//! Reads a row, with all of its warnings and errors.

use serde_json::{Map, Value as Json};

use crate::schema::{
    category::canonical_category,
    cell::{Cell, Missing},
    feature::{Feature, FeatureKind, FeatureSchema, normalize_name},
    problem::{MAX_QUOTED, Quoted, RowError, Warning},
    row::{Row, Value},
};

/// Maximum number of reported errors of a row.
const MAX_ERRORS: usize = 32;

/// The value of a name in any Unicode form.
fn find_value<'a>(object: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    object.get(name).or_else(|| {
        if name.is_ascii() {
            return None;
        }
        let normal = normalize_name(name);
        let mut others = object.iter().filter(|(other, _)| !other.is_ascii());
        others
            .find(|(other, _)| normalize_name(other) == normal)
            .map(|(_, value)| value)
    })
}

/// Reads the values of one row and collects all warnings and errors.
struct Reader<'s> {
    missing: &'s Missing,
    values: Vec<Value>,
    warnings: Vec<Warning>,
    errors: Vec<RowError>,
}

// === impl FeatureSchema ===

impl FeatureSchema {
    /// Reads a flat object of named features. On failure it returns the first 32 errors of the row.
    pub fn read_json(&self, object: &Map<String, Json>) -> Result<(Row, Vec<Warning>), Vec<RowError>> {
        let mut reader = Reader::new(self);
        let mut present = 0;
        for feature in &self.features {
            match find_value(object, &feature.name) {
                None => reader.push(feature, Cell::Missing),
                Some(value) => {
                    present += 1;
                    reader.push_json(feature, value);
                }
            }
        }
        if present < object.len() {
            for name in object
                .keys()
                .filter(|name| self.position(name).is_none())
                .take(MAX_ERRORS)
            {
                reader.fail(RowError::UnknownFeature {
                    name: name.chars().take(200).collect(),
                });
            }
        }
        reader.finish()
    }

    /// Reads one cell for each feature, in the order of the schema. On failure it returns the first 32 errors of the row.
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

    /// The row as a flat object that [`Self::read_json`] reads as the same row. Missing values are left out, and also unknown
    /// categories, because their names are not in the row.
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

fn find_category(categories: &[String], cell: Cell<'_>) -> Option<u32> {
    let word = match cell {
        Cell::Number(number) if !number.is_finite() => return None,
        Cell::Single(number) if !number.is_finite() => return None,
        cell => cell.category(categories)?,
    };
    let place = categories.iter().position(|known| *known == word);
    let is_number = word.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let place = match place {
        // A number in a bundle of an earlier version may have another spelling.
        None if is_number => categories
            .iter()
            .position(|known| canonical_category(known) == word),
        place => place,
    };
    Some(place? as u32)
}

// === impl Reader ===

impl<'s> Reader<'s> {
    fn new(schema: &'s FeatureSchema) -> Self {
        Self {
            missing: &schema.missing,
            values: Vec::with_capacity(schema.features.len()),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn push_json(&mut self, feature: &Feature, value: &Json) {
        let cell = match value {
            Json::Null => Cell::Missing,
            Json::Bool(value) => Cell::Bool(*value),
            Json::String(text) => Cell::Text(text),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(integer), ..) => Cell::Integer(integer),
                (None, Some(integer), _) => Cell::Unsigned(integer),
                (None, None, Some(number)) => Cell::Number(number),
                // It does not fit into a double. This happens only with arbitrary precision of serde_json.
                (None, None, None) => Cell::Number(f64::INFINITY),
            },
            Json::Array(_) => return self.wrong_type(feature, "an array".into()),
            Json::Object(_) => return self.wrong_type(feature, "an object".into()),
        };
        self.push(feature, cell);
    }

    fn push(&mut self, feature: &Feature, cell: Cell<'_>) {
        let named = match &feature.kind {
            // A text that another file declares as missing may be a category here.
            FeatureKind::Categorical { categories } => find_category(categories, cell),
            FeatureKind::Numeric { .. } => None,
        };
        if let Some(index) = named {
            return self.values.push(Value::Category(index));
        }
        match cell.present(self.missing) {
            Cell::Missing if feature.required => self.fail(RowError::Required {
                feature: feature.name.clone(),
            }),
            Cell::Missing => self.values.push(Value::Missing),
            cell => match &feature.kind {
                FeatureKind::Numeric { min, max } => self.push_number(feature, (*min, *max), cell),
                FeatureKind::Categorical { categories } => self.push_unknown(feature, categories, cell),
            },
        }
    }

    fn push_number(&mut self, feature: &Feature, (min, max): (Option<f64>, Option<f64>), cell: Cell<'_>) {
        let Some(number) = cell.as_number() else {
            let found = match cell {
                Cell::Text(text) => format!("the text {}", Quoted(text)),
                Cell::Bool(value) => value.to_string(),
                _ => "no number".to_owned(),
            };
            return self.wrong_type(feature, found);
        };
        // As in the trainer: the nearest double, then the nearest float.
        let value = number as f32;
        if !value.is_finite() {
            return self.fail(RowError::TooLarge {
                feature: feature.name.clone(),
                value: number,
            });
        }
        // The bounds are cast like the value, so that 0.1 is not below a minimum of 0.1.
        let low = min.is_some_and(|min| value < min as f32);
        let high = max.is_some_and(|max| value > max as f32);
        if low || high {
            let feature = feature.name.clone();
            self.warnings.push(Warning::OutOfRange {
                feature,
                value,
                min,
                max,
            });
        }
        self.values.push(Value::Number(value));
    }

    /// Adds a value that is not one of the categories.
    fn push_unknown(&mut self, feature: &Feature, categories: &[String], cell: Cell<'_>) {
        if let Some(number) = cell.as_number().filter(|number| !number.is_finite()) {
            return self.fail(RowError::TooLarge {
                feature: feature.name.clone(),
                value: number,
            });
        }
        match cell.category(categories) {
            Some(word) => {
                self.warnings.push(Warning::UnknownCategory {
                    feature: feature.name.clone(),
                    value: word.chars().take(MAX_QUOTED).collect(),
                });
                self.values.push(Value::Unknown);
            }
            None => match cell {
                Cell::Bool(value) => self.wrong_type(feature, value.to_string()),
                _ => self.wrong_type(feature, "no value".to_owned()),
            },
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
