//! The place of the category in its order: scikit-learn's `OrdinalEncoder`.

use modelward_crds::TransformSpec;
use modelward_model::{
    canonical_category,
    transform::{self as served, Fitted},
};

use super::contract::{ColumnOutline, Inputs, TransformKind};

/// The order that the spec states, or that of the feature's categories.
#[derive(Clone, Debug)]
pub(super) struct Ordinal {
    order: Option<Vec<String>>,
}

// === impl Ordinal ===

impl Ordinal {
    pub(super) fn new(spec: &TransformSpec) -> Self {
        let order = spec.order.as_ref();
        Self {
            order: order.map(|order| {
                let canonical = |word: &String| canonical_category(word).into_owned();
                order.iter().map(canonical).collect()
            }),
        }
    }

    /// The place of each category.
    fn ranks(&self, categories: &[String]) -> Result<Vec<u32>, String> {
        let Some(order) = &self.order else {
            return Ok((0..categories.len() as u32).collect());
        };
        let place = |category: &String| order.iter().position(|word| word == category);
        let places: Vec<u32> = categories
            .iter()
            .filter_map(place)
            .map(|place| place as u32)
            .collect();
        let absent = categories.len() - places.len();
        // Their words are not quoted: data from an address never is.
        if absent > 0 {
            return Err(format!(
                "has an order without {absent} of the categories of its column; list all of them"
            ));
        }
        Ok(places)
    }
}

impl TransformKind for Ordinal {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        for input in inputs {
            if let Some(categories) = input.check_categorical()? {
                self.ranks(categories)?;
            }
        }
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        Ok(Fitted::Ordinal(served::Ordinal {
            ranks: self.ranks(inputs.categories())?,
        }))
    }
}
