//! L2-regularised logistic regression on imputed, standardised and one-hot encoded columns: the minimum by [`newton`](super::newton).

use std::sync::Arc;

use modelward_model::{
    Encoder, Family, FamilyFiles, Scorer, Transforms,
    encode::TRANSFORMS_FILE,
    family::{
        columns::{HeadError, MODEL_FILE},
        logistic::{self as served, LogisticModel, LogisticScorer, ModelError},
    },
    files::json,
};

use modelward_wire::Decimal;

use super::{
    Complexity, Dimension, FitError, FittedModel, ModelReport, Parameter, Parameters, Settings,
    TrainableFamily, Widths,
    newton::{Problem, SolveError, solve},
};
use crate::{
    data::dataset::Sample,
    engine::TrainingRows,
    family::{
        design::{self, Design},
        encode,
    },
    transform::ColumnOutline,
};

/// The family with its parameter.
#[derive(Clone, Copy, Debug)]
pub struct LogisticRegression {
    /// The inverse strength of the regularisation, as in scikit-learn.
    pub c: f64,
    /// Whether a spec sets it.
    pub is_given: bool,
}

/// What a search varies: TabArena's space.
const SPACE: [Dimension; 1] = [Dimension::log("c", 0.1, 1000.0)];

#[derive(Debug)]
struct FittedLogistic {
    transforms: Transforms,
    model: LogisticModel,
    scorer: LogisticScorer,
}

/// Why no model was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogisticError {
    /// There is no minimum, or it was not reached.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// The result cannot be served.
    #[error("the fitted model is not valid")]
    Model(#[from] ModelError),
}

// === impl LogisticRegression ===

impl LogisticRegression {
    /// The family with the settings of a spec.
    pub fn new(settings: &Settings) -> Self {
        let parameters = settings.hyperparameters.logistic_regression.as_ref();
        let c = parameters.and_then(|parameters| parameters.c.as_ref());
        Self {
            c: c.map_or(1.0, Decimal::to_f64),
            is_given: c.is_some(),
        }
    }
}

impl TrainableFamily for LogisticRegression {
    fn served(&self) -> &'static dyn Family {
        &served::LogisticRegression
    }

    fn complexity(&self) -> Complexity {
        Complexity::Linear
    }

    fn parameters(&self) -> Parameters {
        Parameters::new([
            ("penalty", Parameter::Text("l2")),
            ("c", Parameter::Number(self.c)),
        ])
    }

    fn space(&self) -> Vec<Dimension> {
        self.parameters().free(&SPACE)
    }

    fn widths(&self, columns: &[ColumnOutline]) -> Widths {
        Widths {
            columns: columns.len(),
            derived: 0,
            encoded: columns.iter().map(ColumnOutline::encoded_width).sum(),
        }
    }

    fn with(&self, values: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily> {
        let mut changed = *self;
        for (name, value) in values {
            if let ("c", Parameter::Number(c)) = (*name, value) {
                changed.c = *c;
            }
        }
        Arc::new(changed)
    }

    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        Ok(Box::new(FittedLogistic::new(rows.sample, self.c)?))
    }
}

// === impl FittedLogistic ===

impl FittedLogistic {
    fn new(sample: Sample<'_>, c: f64) -> Result<Self, LogisticError> {
        let schema = &sample.data.schema;
        let transforms = encode::fit(sample);
        let encoder = Encoder::new(schema, &transforms)
            .map_err(HeadError::from)
            .map_err(ModelError::from)?;
        let held = design::hold(&encoder, sample);
        let found = solve(Problem {
            x: match &held {
                Some(columns) => Design::Held(columns),
                None => Design::Encoded(&encoder, sample),
            },
            labels: &sample.labels(),
            weights: sample.weights,
            alpha: 1.0 / c,
        })?;
        let model = LogisticModel::new(schema, found.coef, found.intercept, c);
        let scorer = LogisticScorer::new(schema, &transforms, &model)?;
        Ok(Self {
            transforms,
            model,
            scorer,
        })
    }
}

impl FittedModel for FittedLogistic {
    fn scorer(&self) -> &dyn Scorer {
        &self.scorer
    }

    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError> {
        let files = self.files()?;
        let family = &served::LogisticRegression;
        let read = family.load(&FamilyFiles::of_bytes(family, &files), &sample.data.schema)?;
        for row in sample.rows {
            let values = sample.data.row(*row);
            let (found, expected) = (read.score(&values), self.scorer.score(&values));
            if found.to_bits() != expected.to_bits() {
                return Err(
                    format!("row {} scores {expected:e}, and {found:e} by the files", row + 1).into(),
                );
            }
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        Ok(vec![
            (TRANSFORMS_FILE, json(&self.transforms)?),
            (MODEL_FILE, json(&self.model)?),
        ])
    }

    fn report(&self) -> ModelReport {
        let LogisticModel {
            columns,
            coef: [coef],
            intercept: [intercept],
            c,
            ..
        } = &self.model;
        let rows = columns
            .iter()
            .zip(coef)
            .map(|(column, coefficient)| vec![column.clone(), format!("{coefficient:.4}")]);
        ModelReport {
            sentence: format!(
                "The table shows the coefficients of the log-odds; the intercept is {intercept:.4}. Numbers are standardised, so their coefficients are \
                 per standard deviation; categories have an indicator each. The fit is L2-regularised with C = {c}."
            ),
            headings: vec!["Column", "Coefficient"],
            rows: rows.collect(),
            imputed: encode::imputed(&self.transforms),
        }
    }
}
