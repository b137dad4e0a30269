//! How a model that is there already does on the held-out rows, which it was not fitted on.
//!
//! They are cut into as many parts as there are folds. Calibration and threshold of a part are learnt from the others, as those of folds are. One
//! model scores all parts, and no two have a row in common: the standard error of a mean over them is that of independent values.

use crate::{
    data::dataset::Dataset,
    family::{FittedModel, Parameters},
    fit::{
        candidate::{Candidate, ScoredFold},
        error::TrainError,
        evaluate::score_rows,
        importance,
        plan::Plan,
        select::select,
        splits::Splits,
        train::Trained,
    },
};

/// Measures a model of this family on the held-out rows.
pub fn measure_model(
    data: &Dataset,
    plan: &Plan,
    splits: &Splits,
    fitted: Box<dyn FittedModel>,
    family: &'static str,
) -> Result<Trained, TrainError> {
    let parts = splits.parts_of_held_out(data, plan)?;
    let scored: Vec<ScoredFold> = parts
        .iter()
        .enumerate()
        // In the order of time, the first block is in no part.
        .map(|(fold, rows)| ScoredFold {
            repeat: 0,
            fold,
            scores: score_rows(fitted.scorer(), data, rows),
            rows: rows.clone(),
        })
        .collect();
    let candidate = Candidate::new(family, Parameters::new([]), &data.labels, &scored, plan)?;
    let candidates = vec![candidate];
    let selection = select(&candidates, plan.select_by, plan.test_to_train()).ok_or(TrainError::NoFamily)?;
    Ok(Trained {
        importance: importance::measure_scorer(data, plan, &parts, fitted.scorer()),
        selected: selection.selected,
        reason: selection.reason,
        candidates,
        fitted,
        corrected: None,
        held_out: None,
        trials: Vec::new(),
        // What made the model is not this program.
        reproducible: false,
    })
}
