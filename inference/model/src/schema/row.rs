//! One row in the form that a model scores.

/// One value for each feature, in the order of the schema. Equal rows have equal bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub(super) values: Vec<Value>,
}

/// The value of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A finite number of a numeric feature.
    Number(f32),
    /// Index of a category of a categorical feature.
    Category(u32),
    /// A category that is not in the training data.
    Unknown,
    /// No value.
    Missing,
}

// === impl Row ===

impl Row {
    /// A row with values that match a schema, such as those of a snapshot.
    ///
    /// Numbers that are not finite become missing.
    pub fn new(mut values: Vec<Value>) -> Self {
        for value in &mut values {
            if matches!(value, Value::Number(number) if !number.is_finite()) {
                *value = Value::Missing;
            }
        }
        Self { values }
    }

    /// The values in the order of the schema.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
