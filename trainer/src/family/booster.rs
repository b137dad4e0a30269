//! What the families that XGBoost grows have in common: the fit, the exported model, and the proof that both score alike.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use modelward_model::{
    FeatureSchema, Scorer,
    family::{
        columns::MODEL_FILE,
        tree::{TreeFile, TreeFileError, TreeModel, TreeScorer},
        xgboost::BOOSTER_FILE,
    },
    files::json,
};
use serde::Deserialize;

use super::{
    FitError, FittedModel, GrowingModel, ModelReport, Watched,
    contract::PATIENCE,
    trees::{self, Answers, BLOCK, Gain, compare_scores},
};
use crate::{
    data::dataset::Sample,
    engine::{
        Matrix, TrainingRows, has_stopped_falling,
        xgboost::{Bins, Booster},
    },
};

/// Memory for the histograms of nodes, per fit. One that is not kept is computed again.
const HISTOGRAM_BYTES: usize = 64 << 20;

/// Two sums of double precision.
const BYTES_OF_A_BIN: usize = 16;

/// A family that XGBoost grows.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Its name.
    pub(super) name: &'static str,
    /// What loads its files in a server.
    pub(super) scorer: fn(&FeatureSchema, &TreeFile, TreeModel) -> Result<TreeScorer, TreeFileError>,
    /// The sentence of the model card for this many trees.
    pub(super) sentence: fn(usize) -> String,
}

/// A fitted model of such a family: as in the library, and as exported.
#[derive(Debug)]
struct FittedBooster {
    kind: Kind,
    /// A prediction changes the library's own caches.
    booster: Mutex<Booster>,
    exported: Vec<u8>,
    schema: FeatureSchema,
    file: TreeFile,
    scorer: TreeScorer,
}

/// A model that stopped growing, with what it grew from.
#[derive(Debug)]
struct GrowingBooster {
    kind: Kind,
    booster: Booster,
    bins: Arc<Bins>,
    parameters: Vec<(&'static str, String)>,
    schema: FeatureSchema,
}

/// The part of XGBoost's JSON with the gain of each split.
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

/// Grows the trees of this many rounds.
pub(super) fn grow(
    kind: Kind,
    rows: TrainingRows<'_>,
    max_bin: u32,
    parameters: &[(&'static str, String)],
    rounds: u32,
) -> Result<Box<dyn FittedModel>, FitError> {
    let bins = rows.xgboost_bins(max_bin)?;
    let parameters = with_bounded_cache(parameters, rows.sample.data.columns.len(), max_bin);
    let booster = boost(&bins, &parameters, rounds)?;
    Ok(Box::new(FittedBooster::new(
        kind,
        booster,
        &rows.sample.data.schema,
    )?))
}

/// Grows at most this many rounds, with the log loss of other rows after each.
pub(super) fn grow_watched(
    kind: Kind,
    (rows, tested): (TrainingRows<'_>, Sample<'_>),
    max_bin: u32,
    parameters: &[(&'static str, String)],
    rounds: u32,
) -> Result<Watched, FitError> {
    let bins = rows.xgboost_bins(max_bin)?;
    let evaluated = match rows.shared {
        Some(shared) => shared.xgboost_tested(tested, &bins, max_bin)?,
        None => Bins::of_reference(tested, &bins)?.into(),
    };
    let mut parameters = with_bounded_cache(parameters, rows.sample.data.columns.len(), max_bin);
    parameters.push(("eval_metric", "logloss".to_owned()));
    let mut booster = Booster::new(&bins, &parameters)?;
    let mut curve = Vec::new();
    while curve.len() < rounds as usize && !has_stopped_falling(&curve, PATIENCE) {
        booster.boost(&bins)?;
        curve.push(booster.log_loss(&evaluated)?);
    }
    Ok(Watched {
        model: Box::new(GrowingBooster {
            kind,
            booster,
            bins,
            parameters,
            schema: rows.sample.data.schema.clone(),
        }),
        curve,
    })
}

fn boost(bins: &Bins, parameters: &[(&str, String)], rounds: u32) -> Result<Booster, FitError> {
    let mut booster = Booster::new(bins, parameters)?;
    for _ in 0..rounds {
        booster.boost(bins)?;
    }
    Ok(booster)
}

/// The parameters with a bound on the histograms of nodes that are kept: by default 65,536 of them, gigabytes for deep trees.
fn with_bounded_cache(
    parameters: &[(&'static str, String)],
    features: usize,
    max_bin: u32,
) -> Vec<(&'static str, String)> {
    let of_node = features.max(1) * max_bin as usize * BYTES_OF_A_BIN;
    let nodes = (HISTOGRAM_BYTES / of_node).clamp(64, 65_536);
    let mut parameters = parameters.to_vec();
    parameters.push(("max_cached_hist_node", nodes.to_string()));
    parameters
}

// === impl GrowingBooster ===

impl GrowingModel for GrowingBooster {
    fn score(&mut self, rounds: u32, sample: Sample<'_>) -> Result<Vec<f64>, FitError> {
        let mut scores = Vec::with_capacity(sample.rows.len());
        for rows in sample.rows.chunks(BLOCK) {
            let matrix = Matrix::gather(Sample { rows, ..sample });
            let answers = self.booster.predictions(&matrix, rounds)?;
            scores.extend(answers.into_iter().map(f64::from));
        }
        Ok(scores)
    }

    fn finish(self: Box<Self>, rounds: u32) -> Result<Box<dyn FittedModel>, FitError> {
        let booster = if rounds <= self.booster.rounds() {
            self.booster.truncated(rounds)?
        } else {
            // All fits of a thread draw from one generator, which the library seeds when a fit begins: continuing a fit would depend on
            // the fits in between.
            boost(&self.bins, &self.parameters, rounds)?
        };
        Ok(Box::new(FittedBooster::new(self.kind, booster, &self.schema)?))
    }
}

// === impl FittedBooster ===

impl FittedBooster {
    fn new(kind: Kind, booster: Booster, schema: &FeatureSchema) -> Result<Self, FitError> {
        let exported = booster.to_json()?;
        let model = TreeModel::from_xgboost(&exported, schema)?;
        let file = TreeFile::new(kind.name, schema, &model);
        let scorer = (kind.scorer)(schema, &file, model)?;
        Ok(Self {
            kind,
            booster: Mutex::new(booster),
            exported,
            schema: schema.clone(),
            file,
            scorer,
        })
    }

    fn answer(&self, matrix: &Matrix) -> Result<Answers, FitError> {
        let booster = self.booster.lock().unwrap_or_else(PoisonError::into_inner);
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect();
        Ok(Answers {
            raw: wide(booster.margins(matrix)?),
            probabilities: wide(booster.predictions(matrix, booster.rounds())?),
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
        // It was read as a model before, so it can be parsed.
        let gains = self.gains().unwrap_or_default();
        trees::report((self.kind.sentence)(self.file.trees), &self.schema, &gains)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
