//! A fitted model after transforms.

use std::sync::Arc;

use modelward_model::{Derivation, Row, Scorer, TransformFile};

use crate::{
    data::{
        dataset::{Dataset, Sample, Values},
        row_columns::RowColumns,
    },
    family::{FitError, FittedModel, GrowingModel, ModelReport},
    transform::pipeline::FittedRows,
};

/// A model of derived rows that takes rows as in requests.
#[derive(Debug)]
pub(super) struct TransformedModel {
    file: TransformFile,
    derivation: Derivation,
    model: Box<dyn FittedModel>,
}

/// A model of derived rows while it grows.
#[derive(Debug)]
pub(super) struct GrowingTransformed {
    fitted: Arc<FittedRows>,
    model: Box<dyn GrowingModel>,
}

/// The derived columns of these rows, as a server would derive them.
pub(super) fn derive(derivation: &Derivation, sample: Sample<'_>) -> Dataset {
    let schema = derivation.schema().clone();
    let mut columns: Vec<Values> = schema
        .features
        .iter()
        .map(|feature| Values::empty(&feature.kind))
        .collect();
    for row in sample.rows {
        let derived = derivation.derive(&sample.data.row(*row));
        for (column, value) in columns.iter_mut().zip(derived.values()) {
            column.push(*value);
        }
    }
    Dataset {
        schema,
        columns,
        labels: sample.labels(),
        row_columns: RowColumns::default(),
    }
}

// === impl GrowingTransformed ===

impl GrowingTransformed {
    pub(super) fn new(fitted: Arc<FittedRows>, model: Box<dyn GrowingModel>) -> Self {
        Self { fitted, model }
    }
}

impl GrowingModel for GrowingTransformed {
    fn score(&mut self, rounds: u32, sample: Sample<'_>) -> Result<Vec<f64>, FitError> {
        let derived = derive(&self.fitted.derivation, sample);
        let rows: Vec<usize> = (0..derived.len()).collect();
        self.model.score(rounds, Sample::of(&derived, &rows))
    }

    fn finish(self: Box<Self>, rounds: u32) -> Result<Box<dyn FittedModel>, FitError> {
        let model = self.model.finish(rounds)?;
        Ok(Box::new(TransformedModel::new(&self.fitted, model)))
    }
}

// === impl TransformedModel ===

impl TransformedModel {
    pub(super) fn new(fitted: &FittedRows, model: Box<dyn FittedModel>) -> Self {
        Self {
            file: fitted.file.clone(),
            derivation: fitted.derivation.clone(),
            model,
        }
    }
}

impl Scorer for TransformedModel {
    fn score(&self, row: &Row) -> f64 {
        self.derivation.score(self.model.scorer(), row)
    }

    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.derivation.score_rows(self.model.scorer(), rows, out);
    }
}

impl FittedModel for TransformedModel {
    fn scorer(&self) -> &dyn Scorer {
        self
    }

    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError> {
        let derived = derive(&self.derivation, sample);
        let rows: Vec<usize> = (0..derived.len()).collect();
        self.model
            .check_parity(Sample::of(&derived, &rows))
            .map_err(|error| format!("{error} (counted among the rows that were compared)").into())
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        self.model.files()
    }

    fn transforms(&self) -> Option<&TransformFile> {
        Some(&self.file)
    }

    fn report(&self) -> ModelReport {
        self.model.report()
    }
}
