//! One number divided by another, and one number times another: nothing is learnt.

use modelward_model::transform::{self as served, Fitted};

use super::contract::{ColumnOutline, Inputs, TransformKind};

/// The result of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// The first divided by the second.
    Ratio,
    /// The first times the second.
    Product,
}

impl TransformKind for Pair {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        inputs.iter().try_for_each(|input| input.check_numeric())?;
        if let [a, b] = inputs
            && *self == Self::Ratio
            && a.name == b.name
        {
            return Err(format!("divides {:?} by itself", a.name));
        }
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, _inputs: &Inputs<'_>) -> Result<Fitted, String> {
        Ok(match self {
            Self::Ratio => Fitted::Ratio(served::Ratio {}),
            Self::Product => Fitted::Product(served::Product {}),
        })
    }
}
