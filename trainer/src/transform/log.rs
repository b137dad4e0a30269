//! The natural logarithm: nothing is learnt.

use modelward_crds::TransformSpec;
use modelward_model::transform::{self as served, Fitted};

use super::contract::{ColumnOutline, Inputs, TransformKind, round_to_value};

/// The number that is added first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    offset: f64,
}

// === impl Log ===

impl Log {
    pub(super) fn new(spec: &TransformSpec) -> Self {
        Self {
            offset: spec.offset.as_ref().map_or(0.0, round_to_value),
        }
    }
}

impl TransformKind for Log {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        inputs.iter().try_for_each(|input| input.check_numeric())?;
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, _inputs: &Inputs<'_>) -> Result<Fitted, String> {
        Ok(Fitted::Log(served::Log { offset: self.offset }))
    }
}
