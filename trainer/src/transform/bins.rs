//! The interval in which a number lies: scikit-learn's `KBinsDiscretizer`.

use modelward_crds::{Binning, TransformSpec};
use modelward_model::transform::{self as served, Fitted};

use super::{
    contract::{ColumnOutline, Inputs, TransformKind, round_to_value},
    quantile::quantile,
};

/// Bins by quantiles that are at most this wide are dropped, as in scikit-learn.
const LEAST_WIDTH: f64 = 1e-8;

/// Given bounds, or how they are learnt.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    edges: Option<Vec<f64>>,
    count: u32,
    binning: Binning,
}

// === impl Bins ===

impl Bins {
    pub(super) fn new(spec: &TransformSpec) -> Self {
        let edges = spec.edges.as_ref();
        Self {
            edges: edges.map(|edges| edges.iter().map(round_to_value).collect()),
            count: spec
                .bins
                .and_then(|bins| u32::try_from(bins).ok())
                .unwrap_or(1)
                .max(1),
            binning: spec.binning.unwrap_or_default(),
        }
    }

    /// The bounds between bins; none if all numbers are equal or there are none.
    fn learn(&self, sorted: &[f64]) -> Vec<f64> {
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
            return Vec::new();
        };
        let steps = 0..=self.count;
        let mut edges: Vec<f64> = match self.binning {
            Binning::Quantile => {
                let apart = 100.0 / f64::from(self.count);
                // In the steps of NumPy's linspace and percentile, so that the last bit of a share is the same.
                let shares = steps.map(|step| f64::from(step) * apart / 100.0);
                shares.filter_map(|share| quantile(sorted, share)).collect()
            }
            Binning::Uniform => {
                let apart = (last - first) / f64::from(self.count);
                steps.map(|step| first + f64::from(step) * apart).collect()
            }
        };
        // The one before it stays, as in scikit-learn. Values are in single precision: none lies between bounds that are equal there.
        let mut wide = Vec::with_capacity(edges.len());
        let mut before: Option<f64> = None;
        for edge in edges.drain(..) {
            let is_wide =
                self.binning == Binning::Uniform || before.is_none_or(|before| edge - before > LEAST_WIDTH);
            let differs = wide.last().is_none_or(|last: &f64| (*last as f32) < edge as f32);
            if is_wide && differs {
                wide.push(edge);
            }
            before = Some(edge);
        }
        let inner = 1..wide.len().saturating_sub(1).max(1);
        wide.get(inner).unwrap_or_default().to_vec()
    }
}

impl TransformKind for Bins {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        inputs.iter().try_for_each(|input| input.check_numeric())?;
        Ok(vec![ColumnOutline::categorical(name, None)])
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        let edges = if let Some(edges) = &self.edges {
            edges.clone()
        } else {
            let mut sorted = inputs.numbers();
            sorted.sort_by(f64::total_cmp);
            self.learn(&sorted)
        };
        Ok(Fitted::Bins(served::Bins { edges }))
    }
}
