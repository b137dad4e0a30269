//! A family after transforms.

use std::sync::Arc;

use modelward_model::Family;

use crate::{
    data::dataset::Sample,
    engine::TrainingRows,
    family::{
        Complexity, Dimension, FitError, FittedModel, Parameter, Parameters, TrainableFamily, Watched, Widths,
    },
    transform::{
        contract::{ColumnOutline, TransformError},
        model::{GrowingTransformed, TransformedModel, derive},
        pipeline::{FittedRows, Transforms},
    },
};

/// A family whose rows go through transforms, which are fitted on the rows that it is fitted on.
#[derive(Clone, Debug)]
pub struct TransformedFamily {
    family: Arc<dyn TrainableFamily>,
    transforms: Arc<Transforms>,
}

// === impl TransformedFamily ===

impl TransformedFamily {
    /// The family after these transforms.
    pub fn new(family: Arc<dyn TrainableFamily>, transforms: Arc<Transforms>) -> Self {
        Self { family, transforms }
    }

    /// The transforms, fitted on these rows: once for all fits that share them.
    fn fit_transforms(&self, rows: TrainingRows<'_>) -> Result<Arc<FittedRows>, TransformError> {
        let fit = || self.transforms.fit(rows.sample);
        match rows.shared {
            Some(shared) => shared.derived(fit),
            None => Ok(Arc::new(fit()?)),
        }
    }
}

/// The rows as the family is fitted on them.
fn derived<'a>(fitted: &'a FittedRows, rows: TrainingRows<'a>) -> TrainingRows<'a> {
    TrainingRows {
        sample: Sample {
            data: &fitted.data,
            rows: &fitted.rows,
            weights: rows.sample.weights,
        },
        shared: rows.shared,
    }
}

impl TrainableFamily for TransformedFamily {
    fn served(&self) -> &'static dyn Family {
        self.family.served()
    }

    fn complexity(&self) -> Complexity {
        self.family.complexity()
    }

    fn parameters(&self) -> Parameters {
        self.family.parameters()
    }

    fn space(&self) -> Vec<Dimension> {
        self.family.space()
    }

    fn widths(&self, columns: &[ColumnOutline]) -> Widths {
        let left = self.transforms.outline(columns);
        Widths {
            derived: left.len(),
            ..self.family.widths(&left)
        }
    }

    fn with(&self, values: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily> {
        Arc::new(Self {
            family: self.family.with(values),
            transforms: Arc::clone(&self.transforms),
        })
    }

    fn fit_watched(&self, rows: TrainingRows<'_>, tested: Sample<'_>) -> Result<Option<Watched>, FitError> {
        let fitted = self.fit_transforms(rows)?;
        let data = derive(&fitted.derivation, tested);
        let all: Vec<usize> = (0..data.len()).collect();
        let tested = Sample {
            data: &data,
            rows: &all,
            weights: tested.weights,
        };
        let watched = self.family.fit_watched(derived(&fitted, rows), tested)?;
        Ok(watched.map(|watched| Watched {
            model: Box::new(GrowingTransformed::new(Arc::clone(&fitted), watched.model)),
            curve: watched.curve,
        }))
    }

    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let fitted = self.fit_transforms(rows)?;
        let model = self.family.fit(derived(&fitted, rows))?;
        Ok(Box::new(TransformedModel::new(&fitted, model)))
    }
}
