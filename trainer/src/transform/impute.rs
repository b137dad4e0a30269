//! A value in place of missing ones: scikit-learn's `SimpleImputer`.

use modelward_crds::{ImputeStrategy, TransformSpec};
use modelward_model::{
    canonical_category,
    transform::{self as served, Filling, Fitted},
};

use super::contract::{ColumnKind, ColumnOutline, Inputs, TransformKind};
use crate::{
    data::number::number,
    family::encode::{frequent_category, median},
};

/// What replaces a missing value, and whether it is marked.
#[derive(Clone, Debug)]
pub(super) struct Impute {
    strategy: ImputeStrategy,
    /// The constant.
    value: String,
    indicator: bool,
}

// === impl Impute ===

impl Impute {
    pub(super) fn new(spec: &TransformSpec) -> Self {
        Self {
            strategy: spec.strategy.unwrap_or(ImputeStrategy::Median),
            value: spec.value.clone().unwrap_or_default(),
            indicator: spec.indicator.unwrap_or_default(),
        }
    }

    /// The constant as a column of categories has it.
    fn constant_category(&self) -> String {
        canonical_category(&self.value).into_owned()
    }

    fn fit_number(&self, inputs: &Inputs<'_>) -> Result<f64, String> {
        let mut present = inputs.numbers();
        Ok(match self.strategy {
            ImputeStrategy::Constant => number(&self.value)
                .ok_or_else(|| format!("has the value {:?}, which is not a number", self.value))?,
            ImputeStrategy::Mean if present.is_empty() => 0.0,
            ImputeStrategy::Mean => present.iter().sum::<f64>() / present.len() as f64,
            ImputeStrategy::Median => {
                present.sort_by(f64::total_cmp);
                median(&present)
            }
            ImputeStrategy::Mode => {
                present.sort_by(f64::total_cmp);
                frequent_number(&present)
            }
        })
    }

    fn fit_category(&self, inputs: &Inputs<'_>) -> Result<Filling, String> {
        let categories = inputs.categories();
        if self.strategy == ImputeStrategy::Constant {
            let name = self.constant_category();
            let place = categories.iter().position(|known| *known == name);
            // A category that does not exist is added after the others.
            let index = place.unwrap_or(categories.len()) as u32;
            return Ok(Filling::Category { name, index });
        }
        let index = frequent_category(categories.len(), inputs.indices().iter().copied());
        match categories.get(index) {
            Some(name) => Ok(Filling::Category {
                name: name.clone(),
                index: index as u32,
            }),
            None => Err("reads a column without any category".to_owned()),
        }
    }
}

impl TransformKind for Impute {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        let [input] = inputs else {
            return Err("reads one column".to_owned());
        };
        let mut made = ColumnOutline {
            name: name.to_owned(),
            kind: input.kind.clone(),
        };
        match (&mut made.kind, self.strategy) {
            (ColumnKind::Numeric, ImputeStrategy::Constant) if number(&self.value).is_none() => {
                return Err(format!(
                    "has the value {:?}, and {:?} is Numeric: write a number",
                    self.value, input.name
                ));
            }
            (ColumnKind::Categorical(_), ImputeStrategy::Median | ImputeStrategy::Mean) => {
                return Err(format!(
                    "has the strategy {}, and {:?} is Categorical: it takes Mode or Constant",
                    self.strategy, input.name
                ));
            }
            (ColumnKind::Categorical(Some(categories)), ImputeStrategy::Constant) => {
                let constant = self.constant_category();
                if !categories.contains(&constant) {
                    categories.push(constant);
                }
            }
            _ => {}
        }
        let mut columns = vec![made];
        if self.indicator {
            columns.push(ColumnOutline::numeric(format!("{name}.missing")));
        }
        Ok(columns)
    }

    /// A column without any value is filled with 0, or with its first category.
    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        let value = match inputs.kinds.first() {
            Some(modelward_model::FeatureKind::Categorical { .. }) => self.fit_category(inputs)?,
            _ => Filling::Number(self.fit_number(inputs)?),
        };
        Ok(Fitted::Impute(served::Impute {
            value,
            indicator: self.indicator,
        }))
    }
}

/// The most frequent of sorted numbers, the smallest of equally frequent ones; 0 without numbers.
fn frequent_number(sorted: &[f64]) -> f64 {
    let (mut best, mut most) = (0.0, 0);
    for equal in sorted.chunk_by(|a, b| a == b) {
        if equal.len() > most {
            (best, most) = (equal[0], equal.len());
        }
    }
    best
}
