//! Transforms, one after the other.

use std::collections::HashMap;

use modelward_crds::TransformSpec;
use modelward_model::{
    Derivation, Feature, FeatureKind, TransformFile, Value,
    transform::{Fitted, FittedTransform, TRANSFORM_FORMAT},
};

use super::{
    contract::{ColumnOutline, Inputs, Parts, TransformError, TransformKind},
    cross_fit::assign_parts,
    kinds,
};
use crate::data::{
    dataset::{Dataset, Sample, Values},
    row_columns::RowColumns,
};

/// The declared transforms of a training, in their order.
#[derive(Debug)]
pub struct Transforms {
    list: Vec<Declared>,
    /// Seed of the parts for cross-fitting.
    seed: u64,
}

#[derive(Debug)]
struct Declared {
    name: String,
    columns: Vec<String>,
    keep: bool,
    kind: Box<dyn TransformKind>,
}

/// Transforms that were fitted on some rows, and these rows as a family is fitted on them.
#[derive(Debug)]
pub struct FittedRows {
    /// What each transform learnt.
    pub file: TransformFile,
    /// The same, ready for use.
    pub derivation: Derivation,
    /// The derived columns of the rows that they were fitted on.
    pub data: Dataset,
    /// The indices of its rows.
    pub rows: Vec<usize>,
}

/// A column of the training rows.
struct Column {
    feature: Feature,
    values: Values,
}

// === impl Transforms ===

impl Transforms {
    /// The transforms of a checked spec.
    pub fn new(specs: &[TransformSpec], seed: u64) -> Self {
        let declared = |spec: &TransformSpec| Declared {
            name: spec.name.clone(),
            columns: spec.inputs().cloned().collect(),
            keep: spec.keep,
            kind: kinds::of(spec),
        };
        Self {
            list: specs.iter().map(declared).collect(),
            seed,
        }
    }

    /// What they leave of these columns, as far as it is known before any row is read.
    pub fn outline(&self, columns: &[ColumnOutline]) -> Vec<ColumnOutline> {
        let mut present = columns.to_vec();
        for declared in &self.list {
            let made = declared.outline(&present);
            if !declared.keep {
                present.retain(|column| !declared.columns.contains(&column.name));
            }
            present.extend(made);
        }
        present
    }

    /// Fits each transform on these rows alone, as the previous ones made them.
    pub fn fit(&self, sample: Sample<'_>) -> Result<FittedRows, TransformError> {
        let schema = &sample.data.schema;
        let raw = gather(sample);
        let parts = if self.list.iter().any(|declared| declared.kind.is_cross_fitted()) {
            assign_parts(&raw, self.seed)
        } else {
            Parts::default()
        };
        let Dataset {
            columns: values,
            labels,
            ..
        } = raw;
        let features = schema.features.iter().cloned().zip(values);
        let mut columns: Vec<Column> = features
            .map(|(feature, values)| Column { feature, values })
            .collect();
        let mut fitted_transforms = Vec::new();
        for declared in &self.list {
            let (fitted, made) = declared.fit(&columns, &labels, sample.weights, &parts)?;
            columns.extend(made);
            fitted_transforms.push(FittedTransform {
                name: declared.name.clone(),
                columns: declared.columns.clone(),
                keep: declared.keep,
                fitted,
            });
        }
        let file = TransformFile {
            format: TRANSFORM_FORMAT,
            transforms: fitted_transforms,
        };
        let derivation = Derivation::new(schema, &file)?;
        let mut by_name: HashMap<String, Values> = columns
            .into_iter()
            .map(|column| (column.feature.name, column.values))
            .collect();
        let left = derivation.schema().names();
        let left = left.map(|name| by_name.remove(name).unwrap_or(Values::Numbers(Vec::new())));
        let data = Dataset {
            columns: left.collect(),
            schema: derivation.schema().clone(),
            labels,
            row_columns: RowColumns::default(),
        };
        Ok(FittedRows {
            rows: (0..data.len()).collect(),
            file,
            derivation,
            data,
        })
    }
}

// === impl Declared ===

impl Declared {
    /// The columns that it would make of these.
    fn outline(&self, columns: &[ColumnOutline]) -> Vec<ColumnOutline> {
        let find = |name: &String| columns.iter().find(|column| column.name == *name);
        let read: Vec<&ColumnOutline> = self.columns.iter().filter_map(find).collect();
        let made = self.kind.outline(&self.name, &read).unwrap_or_default();
        if made.is_empty() {
            // One-hot encoding of categories that are not known yet makes this many columns at most.
            let width: usize = read.iter().map(|column| column.encoded_width()).sum();
            return vec![ColumnOutline::numeric(self.name.as_str()); width];
        }
        made
    }

    /// What it learns from these rows, and the columns that it makes of them.
    fn fit(
        &self,
        columns: &[Column],
        labels: &[bool],
        weights: Option<&[f32]>,
        parts: &Parts,
    ) -> Result<(Fitted, Vec<Column>), TransformError> {
        let find = |name: &String| {
            let found = columns.iter().find(|column| column.feature.name == *name);
            found.ok_or_else(|| TransformError::Input {
                transform: self.name.clone(),
                column: name.clone(),
            })
        };
        let read: Vec<&Column> = self.columns.iter().map(find).collect::<Result<_, _>>()?;
        let kinds: Vec<&FeatureKind> = read.iter().map(|column| &column.feature.kind).collect();
        let inputs = Inputs {
            kinds: kinds.clone(),
            columns: read.iter().map(|column| &column.values).collect(),
            labels,
            weights,
            parts,
        };
        let failed = |problem: String| TransformError::Kind {
            transform: self.name.clone(),
            problem,
        };
        let fitted = self.kind.fit(&inputs).map_err(failed)?;
        let made = fitted.transform().columns(&self.name, &kinds);
        let made = made.map_err(|misfit| failed(format!("does not fit: {misfit}")))?;
        let mut values = apply(&fitted, &inputs, &made);
        if let (Some(own), Some(first)) = (self.kind.cross_fit(&inputs), values.first_mut()) {
            *first = own;
        }
        let made = made.into_iter().zip(values);
        let made = made.map(|(feature, values)| Column { feature, values });
        Ok((fitted, made.collect()))
    }
}

/// The values of a transform's columns in the training rows, as the same rows would have them when they are scored.
fn apply(fitted: &Fitted, inputs: &Inputs<'_>, made: &[Feature]) -> Vec<Values> {
    let mut columns: Vec<Values> = made.iter().map(|feature| Values::empty(&feature.kind)).collect();
    let transform = fitted.transform();
    let (mut read, mut values): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for row in 0..inputs.labels.len() {
        read.clear();
        read.extend(inputs.columns.iter().map(|column| column.value(row)));
        values.clear();
        transform.apply(&read, &mut values);
        for (column, value) in columns.iter_mut().zip(&values) {
            column.push(*value);
        }
    }
    columns
}

/// Only these rows, in their order.
fn gather(sample: Sample<'_>) -> Dataset {
    let Sample { data, rows, .. } = sample;
    Dataset {
        schema: data.schema.clone(),
        columns: data.columns.iter().map(|column| column.of_rows(rows)).collect(),
        labels: sample.labels(),
        row_columns: data.row_columns.of_rows(rows),
    }
}
