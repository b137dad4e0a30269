//! The columns that a walk compares: one number for each feature and each way in which nodes treat its missing values.
//!
//! So a node has one comparison and no branch for missing values: its column has a number that goes the correct way.
//! Each column exists once, even if many nodes use it.

use std::collections::HashMap;

use crate::schema::{Feature, FeatureKind, FeatureSchema, Row, Value};

/// LightGBM treats numbers up to this, which is 1e-35 in single precision, as 0.
const ZERO: f32 = 1e-35;

/// An unknown category as a number. Neither library finds it in a set, so LightGBM goes right and XGBoost goes left.
const UNKNOWN: f32 = -1.0;

/// Categories are numbers in single precision, which represents all integers only up to this.
const MAX_CATEGORIES: usize = 1 << 24;

/// How nodes treat a feature. Numbers go left if they are at most the threshold, so minus infinity goes left and NaN goes
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum View {
    /// Missing goes right.
    MissingRight,
    /// Missing goes left.
    MissingLeft,
    /// Missing is 0.
    MissingIsZero,
    /// Missing is 0, and both go right.
    ZeroRight,
    /// Missing is 0, and both go left.
    ZeroLeft,
    /// The bits of the code of a category, which is its bit in a [`CategorySet`].
    Code,
}

/// The categories of a feature that go right, as bits: missing, unknown, then each category.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CategorySet(Vec<u32>);

/// The columns of a forest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Columns {
    columns: Vec<Column>,
    tiny_is_zero: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    feature: usize,
    view: View,
    /// `None` for a numeric feature.
    categories: Option<u32>,
}

/// Collects the columns that nodes need.
pub(super) struct ColumnsBuilder<'a> {
    schema: &'a FeatureSchema,
    columns: Columns,
    places: HashMap<(usize, View), u32>,
}

// === impl CategorySet ===

impl CategorySet {
    /// An empty set for a feature with this number of categories.
    pub(super) fn new(categories: usize) -> Self {
        Self(vec![0; (categories + 2).div_ceil(32)])
    }

    pub(super) fn send_missing_right(&mut self) {
        self.set_bit(0);
    }

    /// Adds a category of the feature.
    pub(super) fn send_right(&mut self, category: usize) {
        self.set_bit(category + 2);
    }

    /// Swaps the categories that go left and right.
    pub(super) fn invert(&mut self) {
        for word in &mut self.0 {
            *word = !*word;
        }
    }

    pub(super) fn words(&self) -> &[u32] {
        &self.0
    }

    fn set_bit(&mut self, bit: usize) {
        if let Some(word) = self.0.get_mut(bit / 32) {
            *word |= 1 << (bit % 32);
        }
    }
}

// === impl ColumnsBuilder ===

impl<'a> ColumnsBuilder<'a> {
    pub(super) fn new(schema: &'a FeatureSchema, tiny_is_zero: bool) -> Self {
        Self {
            schema,
            columns: Columns {
                columns: Vec::new(),
                tiny_is_zero,
            },
            places: HashMap::new(),
        }
    }

    /// The index in a filled row. The error says what is wrong with the feature.
    pub(super) fn find_or_add(&mut self, feature: usize, view: View) -> Result<u32, String> {
        if let Some(place) = self.places.get(&(feature, view)) {
            return Ok(*place);
        }
        let categories = match self.find_feature(feature)?.kind {
            FeatureKind::Numeric { .. } => None,
            FeatureKind::Categorical { .. } => Some(self.count_categories(feature)? as u32),
        };
        self.columns.columns.push(Column {
            feature,
            view,
            categories,
        });
        // Index 0 is for leaves.
        let place = self.columns.columns.len() as u32;
        self.places.insert((feature, view), place);
        Ok(place)
    }

    /// How many categories a feature has.
    pub(super) fn count_categories(&self, feature: usize) -> Result<usize, String> {
        let feature = self.find_feature(feature)?;
        match &feature.kind {
            FeatureKind::Categorical { categories } if categories.len() < MAX_CATEGORIES => {
                Ok(categories.len())
            }
            FeatureKind::Categorical { .. } => {
                Err(format!("feature {:?} has too many categories", feature.name))
            }
            FeatureKind::Numeric { .. } => Err(format!(
                "it splits by categories, but feature {:?} is numeric",
                feature.name
            )),
        }
    }

    pub(super) fn finish(self) -> Columns {
        self.columns
    }

    fn find_feature(&self, feature: usize) -> Result<&'a Feature, String> {
        self.schema.features.get(feature).ok_or_else(|| {
            format!(
                "it splits by feature {feature}, but the schema has {}",
                self.schema.features.len()
            )
        })
    }
}

// === impl Columns ===

impl Columns {
    /// Length of a filled row.
    pub(super) fn width(&self) -> usize {
        self.columns.len() + 1
    }

    /// Fills the first [`Self::width`] numbers of `out`.
    pub(super) fn fill(&self, row: &Row, out: &mut [f32]) {
        let Some((first, out)) = out.split_first_mut() else {
            return;
        };
        // Leaves compare with it and always go left.
        *first = f32::NEG_INFINITY;
        let values = row.values();
        for (column, out) in self.columns.iter().zip(out) {
            let value = values.get(column.feature).copied().unwrap_or(Value::Missing);
            *out = match column.view {
                View::Code => f32::from_bits(column.code_of(value)),
                view => {
                    let number = column.number_of(value);
                    if self.tiny_is_zero && number.abs() <= ZERO {
                        zero_as(view)
                    } else if number.is_nan() {
                        missing_as(view)
                    } else {
                        number
                    }
                }
            };
        }
    }
}

fn zero_as(view: View) -> f32 {
    match view {
        View::ZeroRight => f32::NAN,
        View::ZeroLeft => f32::NEG_INFINITY,
        _ => 0.0,
    }
}

fn missing_as(view: View) -> f32 {
    match view {
        View::MissingIsZero => 0.0,
        View::MissingLeft | View::ZeroLeft => f32::NEG_INFINITY,
        _ => f32::NAN,
    }
}

// === impl Column ===

impl Column {
    /// The value as a number, or NaN if it is missing.
    fn number_of(self, value: Value) -> f32 {
        match (self.categories, value) {
            (None, Value::Number(number)) => number,
            (Some(count), Value::Category(index)) if index < count => index as f32,
            (None, _) | (_, Value::Missing) => f32::NAN,
            (Some(_), _) => UNKNOWN,
        }
    }

    /// The bit of the value in a set.
    fn code_of(self, value: Value) -> u32 {
        match (self.categories, value) {
            (_, Value::Missing) => 0,
            (Some(count), Value::Category(index)) if index < count => index + 2,
            _ => 1,
        }
    }
}
