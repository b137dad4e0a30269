//! Selecting a candidate, which may be an ensemble of the others.

use std::sync::Arc;

use modelward_crds::EnsembleUse;

use crate::{
    family::TrainableFamily,
    fit::{
        candidate::{Candidate, ScoredTrial},
        ensemble::{Vote, make_ensemble},
        error::TrainError,
        plan::Plan,
        select::{Selection, select, select_ensemble, select_one_member, without_ensemble},
    },
};

/// What was selected.
pub(super) struct Selected {
    pub(super) candidates: Vec<Candidate>,
    pub(super) selection: Selection,
    /// The selected family, which may be an ensemble.
    pub(super) family: Arc<dyn TrainableFamily>,
    /// Whether candidates were compared by the selecting metric.
    pub(super) is_by_metric: bool,
}

/// Selects among the best trials of all families, each with its candidate, and the ensemble of them and of further trials, one by family at most, where
/// one is wanted.
pub(super) fn select_candidate(
    trials: Vec<ScoredTrial>,
    mut candidates: Vec<Candidate>,
    further: Vec<Option<ScoredTrial>>,
    labels: &[bool],
    plan: &Plan,
) -> Result<Selected, TrainError> {
    let (by, test_to_train) = (plan.select_by, plan.test_to_train());
    let mut families: Vec<Arc<dyn TrainableFamily>> =
        trials.iter().map(|trial| Arc::clone(&trial.family)).collect();
    let (selection, is_by_metric) = match plan.ensemble {
        None => (select(&candidates, by, test_to_train), true),
        Some(wanted) => {
            // The simplest family first, its best trial before its second.
            let mut further = further.into_iter();
            let of_families = trials
                .into_iter()
                .flat_map(|best| std::iter::once(best).chain(further.next().flatten()));
            let eligible: Vec<ScoredTrial> = of_families.collect();
            match make_ensemble(&eligible, labels, plan, wanted)? {
                Vote::One(member) => match wanted.use_when {
                    EnsembleUse::IfBetter => {
                        let selection = select(&candidates, by, test_to_train);
                        (
                            selection.map(|selection| without_ensemble(&selection, member)),
                            true,
                        )
                    }
                    EnsembleUse::Always => (select_one_member(&candidates, member), false),
                },
                Vote::Ensemble { candidate, family } => {
                    candidates.push(*candidate);
                    families.push(Arc::new(family));
                    match wanted.use_when {
                        EnsembleUse::IfBetter => (select(&candidates, by, test_to_train), true),
                        EnsembleUse::Always => (select_ensemble(&candidates, by), false),
                    }
                }
            }
        }
    };
    let selection = selection.ok_or(TrainError::NoFamily)?;
    Ok(Selected {
        family: Arc::clone(&families[selection.selected]),
        candidates,
        selection,
        is_by_metric,
    })
}
