//! The shares of values.

use modelward_crds::Expectation;
use modelward_model::math::ln;
use modelward_wire::Decimal;
use serde_json::{Value, json};

use crate::data::{
    expectations::{
        contract::Evaluate,
        found::{Found, compare},
        frame::Frame,
        raised::Raised,
        set::count,
    },
    table::Quote,
};

pub(super) struct KlDivergenceToBeLessThan;

impl Evaluate for KlDivergenceToBeLessThan {
    /// The Kullback-Leibler divergence of the observed shares from the expected ones, in nats. A value that is not expected has an
    /// equal part of `tailWeightHoldout`; without one the divergence is infinite.
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let mut counts = count(&column);
        let present = column.present().count() as f64;
        let holdout = given.tail_weight_holdout.as_ref().map_or(0.0, Decimal::to_f64);
        let shares = given.partition_object.as_deref().unwrap_or_default();
        let mut values = Vec::new();
        let mut observed = Vec::new();
        let mut expected = Vec::new();
        for share in shares {
            let count = counts.remove(&column.key_of(&share.value));
            values.push(column.json_of(&share.value));
            observed.push(count.map_or(0.0, |(count, _)| count as f64 / present));
            expected.push(share.weight.to_f64());
        }
        let mut others: Vec<(Value, f64)> = counts
            .into_values()
            .map(|(count, row)| (column.json(row), count as f64 / present))
            .collect();
        others.sort_by(|a, b| compare(&a.0, &b.0));
        if !others.is_empty() {
            for weight in &mut expected {
                *weight *= 1.0 - holdout;
            }
        }
        let part = holdout / others.len() as f64;
        for (value, share) in others {
            values.push(value);
            observed.push(share);
            expected.push(part);
        }
        let divergence = divergence(&observed, &expected);
        let threshold = given.threshold.as_ref().map_or(0.0, Decimal::to_f64);
        let value = if divergence.is_finite() {
            divergence.into()
        } else {
            Value::Null
        };
        let mut result = json!({"observed_value": value});
        if frame.quote() == Quote::Yes {
            result["details"] = json!({
                "observed_partition": {"values": values, "weights": observed},
                "expected_partition": {"values": values, "weights": expected},
            });
        }
        let found = Found::new(divergence <= threshold, result);
        Ok(found.with_observed(format!("divergence {divergence:.4}")))
    }
}

/// The divergence of shares that are made to add up to 1.
fn divergence(observed: &[f64], expected: &[f64]) -> f64 {
    let (all_observed, all_expected) = (observed.iter().sum::<f64>(), expected.iter().sum::<f64>());
    let terms = observed.iter().zip(expected).map(|(observed, expected)| {
        let (p, q) = (observed / all_observed, expected / all_expected);
        match () {
            () if p == 0.0 && q >= 0.0 => 0.0,
            () if q == 0.0 => f64::INFINITY,
            () => p * ln(p / q),
        }
    });
    terms.sum()
}
