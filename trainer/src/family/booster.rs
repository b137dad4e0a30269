//! What the families that XGBoost grows have in common: the fit, the exported model, and the proof that both score alike.

use std::sync::{Mutex, PoisonError};

use modelward_model::{
    FeatureSchema, Scorer,
    family::{
        columns::MODEL_FILE,
        tree::{TreeFile, TreeModel, TreeScorer},
        xgboost::BOOSTER_FILE,
    },
    files::json,
};
use serde::Deserialize;

use super::{
    FitError, FittedModel, ModelReport,
    trees::{self, Answers, Gain, compare_scores},
};
use crate::{
    data::dataset::Sample,
    engine::{
        Matrix,
        xgboost::{Bins, Booster},
    },
};

/// A model as the library has it, and as it was exported.
#[derive(Debug)]
pub(super) struct Grown {
    booster: Booster,
    exported: Vec<u8>,
    pub(super) model: TreeModel,
}

/// A fitted model of a family that XGBoost grows.
#[derive(Debug)]
pub(super) struct FittedBooster {
    /// A prediction changes the library's own caches.
    booster: Mutex<Booster>,
    exported: Vec<u8>,
    schema: FeatureSchema,
    file: TreeFile,
    scorer: TreeScorer,
    sentence: String,
}

/// The part of XGBoost's JSON that says what each split gained.
#[derive(Deserialize)]
struct Exported {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    gradient_booster: GradientBooster,
}

#[derive(Deserialize)]
struct GradientBooster {
    model: Trees,
}

#[derive(Deserialize)]
struct Trees {
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i32>,
    loss_changes: Vec<f64>,
    split_indices: Vec<usize>,
}

/// Grows the trees of so many rounds.
pub(super) fn grow(
    sample: Sample<'_>,
    max_bin: u32,
    parameters: &[(&str, String)],
    rounds: u32,
) -> Result<Grown, FitError> {
    let bins = Bins::new(sample, max_bin)?;
    let mut booster = Booster::new(&bins, parameters)?;
    for _ in 0..rounds {
        booster.boost(&bins)?;
    }
    let exported = booster.to_json()?;
    let model = TreeModel::from_xgboost(&exported, &sample.data.schema)?;
    Ok(Grown {
        booster,
        exported,
        model,
    })
}

// === impl Grown ===

impl Grown {
    /// The fitted model of a family, with what it says of itself and with its scorer.
    pub(super) fn into_fitted(
        self,
        schema: &FeatureSchema,
        file: TreeFile,
        scorer: TreeScorer,
        sentence: String,
    ) -> FittedBooster {
        FittedBooster {
            booster: Mutex::new(self.booster),
            exported: self.exported,
            schema: schema.clone(),
            file,
            scorer,
            sentence,
        }
    }
}

// === impl FittedBooster ===

impl FittedBooster {
    fn answer(&self, matrix: &Matrix) -> Result<Answers, FitError> {
        let booster = self.booster.lock().unwrap_or_else(PoisonError::into_inner);
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
        Ok(Answers {
            raw: wide(booster.margins(matrix)?),
            probabilities: wide(booster.predictions(matrix)?),
        })
    }

    fn gains(&self) -> Result<Vec<Gain>, serde_json::Error> {
        let exported: Exported = serde_json::from_slice(&self.exported)?;
        let mut gains = vec![Gain::default(); self.schema.features.len()];
        for tree in exported.learner.gradient_booster.model.trees {
            let nodes = tree
                .left_children
                .iter()
                .zip(tree.loss_changes)
                .zip(tree.split_indices);
            for ((_, gain), feature) in nodes.filter(|((left, _), _)| **left >= 0) {
                if let Some(of) = gains.get_mut(feature) {
                    of.gain += gain;
                    of.splits += 1;
                }
            }
        }
        Ok(gains)
    }
}

impl FittedModel for FittedBooster {
    fn scorer(&self) -> &dyn Scorer {
        &self.scorer
    }

    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError> {
        compare_scores("XGBoost", sample, self.scorer.model(), |matrix| {
            self.answer(matrix)
        })
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        Ok(vec![
            (MODEL_FILE, json(&self.file)?),
            (BOOSTER_FILE, self.exported.clone()),
        ])
    }

    fn report(&self) -> ModelReport {
        // It was read before as a model: it parses.
        let gains = self.gains().unwrap_or_default();
        trees::report(self.sentence.clone(), &self.schema, &gains)
    }
}
