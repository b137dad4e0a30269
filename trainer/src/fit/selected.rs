//! Selecting a candidate, which may be an ensemble of the others.

use std::sync::Arc;

use modelward_crds::EnsembleUse;

use crate::{
    family::{Complexity, TrainableFamily},
    fit::{
        candidate::{Candidate, ScoredTrial},
        ensemble::{Vote, make_ensemble},
        error::TrainError,
        labels::Labels,
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

/// Selects among the best trials of all families, each with its candidate, and the ensemble of them and of further trials, if one is
/// wanted. A family has one further trial at most; they are in the order of the best.
pub(super) fn select_candidate(
    trials: Vec<ScoredTrial>,
    mut candidates: Vec<Candidate>,
    further: Vec<ScoredTrial>,
    labels: Labels<'_>,
    plan: &Plan,
) -> Result<Selected, TrainError> {
    let mut families: Vec<Arc<dyn TrainableFamily>> =
        trials.iter().map(|trial| Arc::clone(&trial.family)).collect();
    let (selection, is_by_metric) = match plan.ensemble {
        None => (select_by_metric(&candidates, &families, plan), true),
        Some(wanted) => {
            // The simplest family first, its best trial before its second.
            let mut further = further.into_iter().peekable();
            let mut eligible = Vec::new();
            for best in trials {
                let family = best.family.served().name();
                eligible.push(best);
                eligible.extend(further.next_if(|trial| trial.family.served().name() == family));
            }
            match make_ensemble(&eligible, labels, plan, wanted)? {
                Vote::One(member) => match wanted.use_when {
                    EnsembleUse::IfBetter => {
                        let selection = select_by_metric(&candidates, &families, plan);
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
                        EnsembleUse::IfBetter => (select_by_metric(&candidates, &families, plan), true),
                        EnsembleUse::Always => (select_ensemble(&candidates, plan.select_by), false),
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

fn select_by_metric(
    candidates: &[Candidate],
    families: &[Arc<dyn TrainableFamily>],
    plan: &Plan,
) -> Option<Selection> {
    let complexities: Vec<Complexity> = families.iter().map(|family| family.complexity()).collect();
    select(candidates, &complexities, plan.select_by, plan.test_to_train())
}

#[cfg(test)]
mod tests {
    use modelward_crds::{Family, MetricName};

    use super::*;
    use crate::{
        family::{self, Settings},
        fit::{
            plan::EnsemblePlan,
            train::tests::{plan, scored_folds},
        },
    };

    const ROWS: usize = 120;

    fn is_one(row: usize) -> bool {
        (row / 3).is_multiple_of(2)
    }

    /// A trial of this family, which gives a row of class 1 this score, and one of class 0 its opposite.
    fn trial(of: Family, score: fn(usize) -> f64) -> ScoredTrial {
        let score = |row| {
            if is_one(row) { score(row) } else { 1.0 - score(row) }
        };
        ScoredTrial {
            family: family::of(of, &Settings::default()),
            scored: scored_folds(ROWS, 4, score),
        }
    }

    fn selected(trials: Vec<ScoredTrial>, second: Option<ScoredTrial>, use_when: EnsembleUse) -> Selected {
        let plan = Plan {
            repeats: 1,
            select_by: MetricName::LogLoss,
            ensemble: Some(EnsemblePlan {
                max_members: 4,
                use_when,
            }),
            ..plan()
        };
        let labels: Vec<bool> = (0..ROWS).map(is_one).collect();
        let candidates = trials.iter().map(|trial| {
            let (name, parameters) = (trial.family.served().name(), trial.family.parameters());
            Candidate::new(
                name,
                parameters,
                Labels::at_any_time(&labels),
                &trial.scored,
                &plan,
            )
            .unwrap()
        });
        let candidates = candidates.collect();
        let labels = Labels::at_any_time(&labels);
        select_candidate(trials, candidates, second.into_iter().collect(), labels, &plan).unwrap()
    }

    #[test]
    fn where_one_model_has_all_weight_there_is_no_ensemble_and_the_reason_says_so() {
        let trials = || {
            vec![
                trial(Family::LogisticRegression, |_| 0.5),
                trial(Family::XGBoost, |_| 0.9),
            ]
        };
        let better = selected(trials(), None, EnsembleUse::IfBetter);
        assert_eq!(better.candidates.len(), 2);
        assert_eq!((better.selection.selected, better.is_by_metric), (1, true));
        assert_eq!(
            better.selection.reason,
            "XGBoost LogLoss 0.1054 is the best of 2 candidates; there is no ensemble, because all the weight of the vote \
             falls on XGBoost"
        );
        let always = selected(trials(), None, EnsembleUse::Always);
        assert_eq!((always.selection.selected, always.is_by_metric), (1, false));
        assert_eq!(always.family.served().name(), "XGBoost");
        assert_eq!(
            always.selection.reason,
            "XGBoost has all the weight of the vote, so it serves alone and there is no ensemble"
        );
    }

    #[test]
    fn an_ensemble_comes_behind_all_families_and_has_the_second_trial_behind_the_best_of_its_family() {
        // Each knows something of a third of the rows.
        let trials = vec![
            trial(Family::LogisticRegression, |row| [0.95, 0.5, 0.5][row % 3]),
            trial(Family::XGBoost, |row| [0.5, 0.95, 0.5][row % 3]),
        ];
        let second = trial(Family::XGBoost, |row| [0.5, 0.5, 0.95][row % 3]);
        let found = selected(trials, Some(second), EnsembleUse::IfBetter);
        let families: Vec<&str> = found
            .candidates
            .iter()
            .map(|candidate| candidate.family)
            .collect();
        assert_eq!(families, ["LogisticRegression", "XGBoost", "Ensemble"]);
        let members: Vec<&str> = found.candidates[2]
            .members
            .iter()
            .map(|member| member.family)
            .collect();
        assert_eq!(members, ["LogisticRegression", "XGBoost", "XGBoost"]);
        assert_eq!(
            found.family.served().name(),
            "Ensemble",
            "{}",
            found.selection.reason
        );
        assert!(
            found.selection.reason.ends_with("is the best of 3 candidates"),
            "{}",
            found.selection.reason
        );
    }
}
