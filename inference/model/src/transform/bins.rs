//! The interval in which a number lies.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_numeric, only_number};
use crate::schema::{Feature, FeatureKind, Value};

/// The interval in which a number lies, as a category: `below 3`, `3 to 5`, `from 5`. A missing number stays missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bins {
    /// The bounds between intervals, ascending. A bound belongs to the interval above it. Given ones are numbers of single precision; bundles
    /// of earlier trainers have others, which are applied as they are, so that such a model answers as it was measured.
    pub edges: Vec<f64>,
}

impl Bins {
    /// The names of the intervals, with their bounds in single precision. `all` if there is only one interval.
    fn labels(&self) -> Vec<String> {
        let edges: Vec<f32> = self.edges.iter().map(|edge| *edge as f32).collect();
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
            return vec!["all".to_owned()];
        };
        let mut labels = vec![format!("below {first}")];
        labels.extend(edges.windows(2).map(|ends| format!("{} to {}", ends[0], ends[1])));
        labels.push(format!("from {last}"));
        labels
    }
}

impl Transform for Bins {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_numeric(inputs)?;
        let singles = self.edges.iter().map(|edge| *edge as f32);
        if !singles.clone().all(f32::is_finite) {
            return Err(Misfit::Number("edges"));
        }
        if !singles.is_sorted_by(|a, b| a < b) {
            return Err(Misfit::Edges);
        }
        Ok(vec![Feature {
            kind: FeatureKind::Categorical {
                categories: self.labels(),
            },
            ..Feature::numeric(name)
        }])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let bin = only_number(inputs).map(|x| self.edges.partition_point(|edge| *edge <= x));
        out.push(bin.map_or(Value::Missing, |bin| Value::Category(bin as u32)));
    }
}
