//! Derives the row that a family sees from the row of a request.

use std::sync::Arc;

use super::{
    contract::Misfit,
    file::{Fitted, TRANSFORM_FORMAT, TransformFile},
};
use crate::{
    family::Scorer,
    schema::{Feature, FeatureKind, FeatureSchema, Row, SchemaError, Value},
};

/// Number of rows that are derived together for batch scoring.
const BLOCK: usize = 64;

/// Maximum number of columns, including features and derived columns.
const MAX_COLUMNS: usize = 8192;

/// Transforms that match their schema, ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivation {
    /// Number of columns before the first transform.
    features: usize,
    steps: Vec<Step>,
    /// The remaining columns, in order.
    seen: Vec<usize>,
    /// Number of all columns, including features and derived columns.
    width: usize,
    schema: FeatureSchema,
}

/// A transform, and the indices of the columns that it reads.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    inputs: Vec<usize>,
    fitted: Fitted,
}

/// A scorer for rows of requests, over a model of derived rows. A score allocates only the derived row.
#[derive(Clone, Debug)]
pub struct DerivedScorer {
    derivation: Derivation,
    scorer: Arc<dyn Scorer>,
}

/// Why transforms do not match their schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DerivationError {
    /// It has a format that this program does not know.
    #[error("transforms have format {0}, this program reads format {TRANSFORM_FORMAT}")]
    Format(u32),
    /// A column does not exist.
    #[error(
        "transform {transform:?} reads {column:?}, which is neither a feature nor a column of an earlier transform, or was replaced"
    )]
    Input {
        /// The transform's name.
        transform: String,
        /// The column.
        column: String,
    },
    /// The name of a column is already used.
    #[error("transform {transform:?} makes the column {column:?}, which already exists")]
    Name {
        /// The transform's name.
        transform: String,
        /// The column.
        column: String,
    },
    /// A transform does not fit the columns that it reads.
    #[error("transform {transform:?} does not fit: {reason}")]
    Misfit {
        /// The transform's name.
        transform: String,
        /// Why.
        reason: Misfit,
    },
    /// There are too many columns.
    #[error("transforms make {0} columns, at most {MAX_COLUMNS} are read")]
    TooMany(usize),
    /// The remaining columns are not a valid schema.
    #[error("the columns after the transforms are not a valid schema: {0}")]
    Schema(SchemaError),
}

// === impl Derivation ===

impl Derivation {
    /// Checks that transforms match the schema of the features.
    pub fn new(schema: &FeatureSchema, file: &TransformFile) -> Result<Self, DerivationError> {
        if file.format != TRANSFORM_FORMAT {
            return Err(DerivationError::Format(file.format));
        }
        let mut columns: Vec<Feature> = schema.features.clone();
        let mut seen: Vec<usize> = (0..columns.len()).collect();
        let mut steps = Vec::new();
        for transform in &file.transforms {
            let find = |name: &String| seen.iter().copied().find(|at| columns[*at].name == *name);
            let input = |name| {
                find(name).ok_or_else(|| DerivationError::Input {
                    transform: transform.name.clone(),
                    column: name.clone(),
                })
            };
            let inputs: Vec<usize> = transform.columns.iter().map(input).collect::<Result<_, _>>()?;
            let kinds: Vec<&FeatureKind> = inputs.iter().map(|at| &columns[*at].kind).collect();
            let made = transform.fitted.transform().columns(&transform.name, &kinds);
            let made = made.map_err(|reason| DerivationError::Misfit {
                transform: transform.name.clone(),
                reason,
            })?;
            let is_taken = |made: &&Feature| columns.iter().any(|column| column.name == made.name);
            if let Some(twice) = made.iter().find(is_taken) {
                return Err(DerivationError::Name {
                    transform: transform.name.clone(),
                    column: twice.name.clone(),
                });
            }
            if !transform.keep {
                seen.retain(|at| !inputs.contains(at));
            }
            seen.extend(columns.len()..columns.len() + made.len());
            columns.extend(made);
            if columns.len() > MAX_COLUMNS {
                return Err(DerivationError::TooMany(columns.len()));
            }
            steps.push(Step {
                inputs,
                fitted: transform.fitted.clone(),
            });
        }
        let left = seen.iter().map(|at| columns[*at].clone()).collect();
        Ok(Self {
            features: schema.features.len(),
            width: columns.len(),
            schema: FeatureSchema::new(left).map_err(DerivationError::Schema)?,
            steps,
            seen,
        })
    }

    /// The columns that a family sees: the remaining features, then the derived columns.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// The row that a family sees. If a row is too short, the rest counts as missing.
    pub fn derive(&self, row: &Row) -> Row {
        let mut values = Vec::with_capacity(self.width);
        values.extend(row.values().iter().take(self.features));
        values.resize(self.features, Value::Missing);
        let mut read = Vec::with_capacity(2);
        for step in &self.steps {
            read.clear();
            read.extend(step.inputs.iter().map(|at| values[*at]));
            step.fitted.transform().apply(&read, &mut values);
        }
        Row::new(self.seen.iter().map(|at| values[*at]).collect())
    }

    /// The score of a row of a request, by a scorer of derived rows.
    pub fn score(&self, scorer: &dyn Scorer, row: &Row) -> f64 {
        scorer.score(&self.derive(row))
    }

    /// Appends the score of each row; see [`Self::score`].
    pub fn score_rows(&self, scorer: &dyn Scorer, rows: &[Row], out: &mut Vec<f64>) {
        for rows in rows.chunks(BLOCK) {
            let derived: Vec<Row> = rows.iter().map(|row| self.derive(row)).collect();
            scorer.score_rows(&derived, out);
        }
    }
}

// === impl DerivedScorer ===

impl DerivedScorer {
    /// A scorer for rows of requests, over a scorer of derived rows.
    pub fn new(derivation: Derivation, scorer: Arc<dyn Scorer>) -> Self {
        Self { derivation, scorer }
    }
}

impl Scorer for DerivedScorer {
    fn score(&self, row: &Row) -> f64 {
        self.derivation.score(&*self.scorer, row)
    }

    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        self.derivation.score_rows(&*self.scorer, rows, out);
    }
}
