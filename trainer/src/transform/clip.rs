//! Bounds on values: given ones, or quantiles of the training rows.

use modelward_crds::TransformSpec;
use modelward_model::transform::{self as served, Fitted};
use modelward_wire::Decimal;

use super::{
    contract::{ColumnOutline, Inputs, TransformKind},
    quantile::quantile,
};

/// Where the bounds come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clip {
    min: Bound,
    max: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    Absent,
    Value(f64),
    Quantile(f64),
}

// === impl Bound ===

impl Bound {
    fn new(value: Option<&Decimal>, share: Option<&Decimal>) -> Self {
        match (value, share) {
            (Some(value), _) => Self::Value(value.to_f64()),
            (None, Some(share)) => Self::Quantile(share.to_f64()),
            (None, None) => Self::Absent,
        }
    }

    /// The bound; without numbers there is no quantile.
    fn learn(self, sorted: &[f64]) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Value(value) => Some(value),
            Self::Quantile(share) => quantile(sorted, share),
        }
    }
}

// === impl Clip ===

impl Clip {
    pub(super) fn new(spec: &TransformSpec) -> Self {
        Self {
            min: Bound::new(spec.min_value.as_ref(), spec.min_quantile.as_ref()),
            max: Bound::new(spec.max_value.as_ref(), spec.max_quantile.as_ref()),
        }
    }
}

impl TransformKind for Clip {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        inputs.iter().try_for_each(|input| input.check_numeric())?;
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        let mut sorted = inputs.numbers();
        sorted.sort_by(f64::total_cmp);
        let (min, mut max) = (self.min.learn(&sorted), self.max.learn(&sorted));
        if let Some((least, greatest)) = min.zip(max).filter(|(min, max)| min > max) {
            // A given 0.7 is above the quantile of rows that have 0.7, and as 32-bit floats, which values are, they are equal.
            if least as f32 > greatest as f32 {
                return Err(format!(
                    "has the least value {least} and the greatest value {greatest}: the least one must not exceed the greatest"
                ));
            }
            max = min;
        }
        Ok(Fitted::Clip(served::Clip { min, max }))
    }
}
