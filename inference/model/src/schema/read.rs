//! Reads a row, with every warning and every error of it.

use serde_json::{Map, Value as Json};

use crate::schema::{
    category::{bool_category, canonical_category, number_category},
    feature::{Feature, FeatureKind, FeatureSchema},
    problem::{MAX_QUOTED, Quoted, RowError, Warning},
    row::{Cell, Row, Value},
};

/// A row with more errors than this is cut: the first ones say enough.
const MAX_ERRORS: usize = 32;

/// Reads the values of one row, keeping every warning and error.
struct Reader {
    values: Vec<Value>,
    warnings: Vec<Warning>,
    errors: Vec<RowError>,
}

// === impl FeatureSchema ===

impl FeatureSchema {
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

// === impl Reader ===

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
