//! One row, as a model takes it.

/// One value a feature, in the schema's order. Equal rows have equal bits.
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
    /// A category that training never saw.
    Unknown,
    /// No value.
    Missing,
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
