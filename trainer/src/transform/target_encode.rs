//! The rate of class 1 of the category, smoothed towards the overall rate: scikit-learn's `TargetEncoder`.
//!
//! For the rows of a category with weights w, their sum W, the rate p of class 1 among them and the overall rate q:
//!
//! ```text
//! smoothing m:  (m q + W p) / (m + W)
//! without:      a p + (1 - a) q,   a = V W / (V W + S / W),   V the variance of the classes of all rows, S = Σ w (y - p)²
//! ```
//!
//! D. Micci-Barreca, A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and Prediction Problems, SIGKDD
//! Explorations 3(1), 2001: equations 7, and 5 with 6. With equal weights these are the numbers of scikit-learn 1.9.
//!
//! A training row must not be encoded by its own class: a family would trust the column more than it deserves, the more the rarer the
//! category. So the training rows are cut into parts, and each part is encoded by the others. Rows that are scored are encoded by all
//! training rows.
//!
//! If the parts are few groups, their rates differ, and the rate of the other parts is lower for a part with a higher rate: a family would
//! learn the reverse of what scored rows have. Then q is the rate of all training rows, the same number in each part. So the rows of a
//! single group, which no other part encodes, have one value, from which a family learns nothing.

use modelward_crds::TransformSpec;
use modelward_model::transform::{ByCategory, Fitted, Transform as _};
use modelward_model::{FeatureKind, Value};
use modelward_wire::Decimal;

use super::{
    contract::{ColumnOutline, Inputs, TransformKind},
    cross_fit::PARTS,
};
use crate::data::dataset::Values;

/// How many rows of the overall rate are added to each category; by the variances if it is not set.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetEncode {
    smoothing: Option<f64>,
}

/// Weights of the rows of a category, by class.
#[derive(Clone, Copy, Debug, Default)]
struct Sums([f64; 2]);

// === impl Sums ===

impl Sums {
    fn all(self) -> f64 {
        self.0[0] + self.0[1]
    }

    /// The rate of class 1; NaN if nothing counts.
    fn rate(self) -> f64 {
        self.0[1] / self.all()
    }

    /// The sum of the squared differences from the rate.
    fn squares(self) -> f64 {
        let rate = self.rate();
        self.0[0] * rate * rate + self.0[1] * (1.0 - rate) * (1.0 - rate)
    }
}

// === impl TargetEncode ===

impl TargetEncode {
    pub(super) fn new(spec: &TransformSpec) -> Self {
        Self {
            smoothing: spec.smoothing.as_ref().map(Decimal::to_f64),
        }
    }

    /// The encodings by these rows, smoothed towards a rate, or otherwise towards their own.
    fn learn(
        self,
        inputs: &Inputs<'_>,
        towards: Option<f64>,
        is_meant: impl Fn(usize) -> bool,
    ) -> ByCategory {
        let count = inputs.categories().len();
        // Missing values are one more category.
        let mut sums = vec![Sums::default(); count + 1];
        let mut overall = Sums::default();
        for (row, index) in inputs
            .indices()
            .iter()
            .enumerate()
            .filter(|(row, _)| is_meant(*row))
        {
            let weight = inputs.weights.map_or(1.0, |weights| f64::from(weights[row]));
            let class = usize::from(inputs.labels[row]);
            overall.0[class] += weight;
            let place = if *index == Values::MISSING {
                count
            } else {
                *index as usize
            };
            if let Some(sums) = sums.get_mut(place) {
                sums.0[class] += weight;
            }
        }
        let own = if overall.all() > 0.0 { overall.rate() } else { 0.0 };
        let rate = towards.unwrap_or(own);
        let variance = overall.squares() / overall.all();
        let mut values: Vec<f64> = sums
            .into_iter()
            .map(|sums| self.smooth(sums, rate, variance).clamp(0.0, 1.0))
            .collect();
        ByCategory {
            missing: values.pop().unwrap_or(rate),
            values,
            unknown: rate,
        }
    }

    /// The encoding of a category.
    fn smooth(self, sums: Sums, overall: f64, variance: f64) -> f64 {
        let all = sums.all();
        let smoothed = if let Some(rows) = self.smoothing {
            (rows * overall + sums.0[1]) / (rows + all)
        } else {
            let own = variance * all / (variance * all + sums.squares() / all);
            own * sums.rate() + (1.0 - own) * overall
        };
        // No row of the category counts, or all rows are of one class.
        if smoothed.is_nan() { overall } else { smoothed }
    }
}

impl TransformKind for TargetEncode {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        for input in inputs {
            input.check_categorical()?;
        }
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        Ok(Fitted::TargetEncode(self.learn(inputs, None, |_| true)))
    }

    fn is_cross_fitted(&self) -> bool {
        true
    }

    fn cross_fit(&self, inputs: &Inputs<'_>) -> Option<Values> {
        let parts = &inputs.parts.of_row;
        let towards = inputs
            .parts
            .are_few_groups
            .then(|| self.learn(inputs, None, |_| true).unknown);
        let of_parts: Vec<ByCategory> = (0..PARTS)
            .map(|part| self.learn(inputs, towards, |row| parts.get(row) != Some(&part)))
            .collect();
        let column = inputs.columns.first()?;
        let mut made = Values::empty(&FeatureKind::Numeric { min: None, max: None });
        let mut value: Vec<Value> = Vec::with_capacity(1);
        for (row, part) in parts.iter().enumerate() {
            value.clear();
            of_parts.get(*part)?.apply(&[column.value(row)], &mut value);
            made.push(value.first().copied().unwrap_or(Value::Missing));
        }
        Some(made)
    }
}
