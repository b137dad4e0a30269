//! The vote of several trials as one more candidate.
//!
//! Weights and calibrations are learnt from out-of-fold scores, so they are cross-fitted as thresholds are: for each fold, the members are
//! calibrated, weighted and given a threshold by the scores of the other folds of its repeat (in the order of time, of rows of earlier folds
//! whose classes are known by then). No part of what answers a row of the fold has seen its class. What serves is learnt from the scores of all folds.

use std::sync::Arc;

use modelward_model::Calibration;

use crate::{
    family::{
        TrainableFamily,
        ensemble::{EnsembleFamily, Member},
    },
    fit::{
        calibrate::calibrate,
        candidate::{Candidate, CandidateMember, FoldOutcome, ScoredFold, ScoredTrial, apply, gather},
        error::TrainError,
        labels::Labels,
        plan::{EnsemblePlan, Plan},
        vote::{choose_weights, weighted_mean},
    },
};

/// The result of the vote.
#[derive(Debug)]
pub(crate) enum Vote {
    /// Several trials have a weight.
    Ensemble {
        candidate: Box<Candidate>,
        family: EnsembleFamily,
    },
    /// One trial has all the weight, of this family.
    One(&'static str),
}

/// What is learnt from the scores of some folds.
struct Learnt {
    /// For each eligible trial.
    calibrations: Vec<Option<Calibration>>,
    weights: Vec<u32>,
    /// The classes of the rows of these folds, and their probabilities.
    labels: Vec<bool>,
    probabilities: Vec<f64>,
}

/// What is the same for all folds.
#[derive(Clone, Copy)]
struct Case<'a> {
    eligible: &'a [ScoredTrial],
    labels: Labels<'a>,
    plan: &'a Plan,
    wanted: EnsemblePlan,
}

/// The ensemble of these trials, which have the same folds of all repeats. At least one is needed.
pub(crate) fn make_ensemble(
    eligible: &[ScoredTrial],
    labels: Labels<'_>,
    plan: &Plan,
    wanted: EnsemblePlan,
) -> Result<Vote, TrainError> {
    let case = Case {
        eligible,
        labels,
        plan,
        wanted,
    };
    let serving = case.learn(|_, _| true);
    let mut members = (0..eligible.len()).filter(|at| serving.weights[*at] > 0);
    let first = members.clone().next().ok_or(TrainError::NoFamily)?;
    if members.clone().count() == 1 {
        return Ok(Vote::One(eligible[first].family.served().name()));
    }
    let folds = (0..eligible[0].scored.len()).filter(|at| plan.measures(eligible[0].scored[*at].fold));
    let folds: Vec<FoldOutcome> = folds.map(|at| case.judge_fold(at, &serving)).collect();
    let described = members.clone().map(|at| CandidateMember {
        family: eligible[at].family.served().name(),
        weight: serving.weights[at],
        parameters: eligible[at].family.parameters(),
        calibration: serving.calibrations[at].clone(),
    });
    let described: Vec<CandidateMember> = described.collect();
    let of_member = |at: usize| Member {
        family: Arc::clone(&eligible[at].family),
        weight: serving.weights[at],
        calibration: serving.calibrations[at].clone(),
    };
    let family = EnsembleFamily::new(members.by_ref().map(of_member).collect());
    Ok(Vote::Ensemble {
        candidate: Box::new(Candidate {
            members: described,
            threshold: plan.threshold.choose(&serving.labels, &serving.probabilities),
            ..Candidate::of_folds(family.served().name(), family.parameters(), folds, plan)?
        }),
        family,
    })
}

// === impl Case ===

impl Case<'_> {
    /// Learns calibrations and weights from the rows of folds that `is_meant` selects.
    fn learn(&self, is_meant: impl Fn(&ScoredFold, usize) -> bool) -> Learnt {
        let (mut labels, mut calibrations, mut of_trials) = (Vec::new(), Vec::new(), Vec::new());
        for trial in self.eligible {
            let (classes, mut scores) = gather(self.labels.of_row, &trial.scored, &is_meant);
            let calibration = calibrate(self.plan.calibration, &classes, &scores);
            for score in &mut scores {
                *score = apply(calibration.as_ref(), *score);
            }
            // The same for each trial.
            labels = classes;
            calibrations.push(calibration);
            of_trials.push(scores);
        }
        let weights = choose_weights(&labels, &of_trials, self.plan.select_by, self.wanted.max_members);
        let probabilities =
            (0..labels.len()).map(|row| weighted_mean(&weights, of_trials.iter().map(|of| of[row])));
        Learnt {
            probabilities: probabilities.collect(),
            calibrations,
            weights,
            labels,
        }
    }

    /// The outcome of one fold, for which everything is learnt from the other folds of its repeat.
    fn judge_fold(&self, at: usize, serving: &Learnt) -> FoldOutcome {
        let this = &self.eligible[0].scored[at];
        let is_known = self.labels.known_before(&this.rows);
        let learnt = self.learn(|other, row| {
            other.repeat == this.repeat && self.plan.learns_from(this.fold, other.fold) && is_known(row)
        });
        let threshold = self.plan.threshold.choose(&learnt.labels, &learnt.probabilities);
        let scores = self.score_fold(at, &learnt);
        FoldOutcome {
            served: Some(self.score_fold(at, serving)),
            ..FoldOutcome::of(this, self.labels.of_row, scores, threshold.to_f64())
        }
    }

    /// The vote on the rows of a fold.
    fn score_fold(&self, at: usize, learnt: &Learnt) -> Vec<f64> {
        let rows = 0..self.eligible[0].scored[at].rows.len();
        let vote = |row: usize| {
            let trials = self.eligible.iter().zip(&learnt.calibrations);
            let probabilities =
                trials.map(|(trial, calibration)| apply(calibration.as_ref(), trial.scored[at].scores[row]));
            weighted_mean(&learnt.weights, probabilities)
        };
        rows.map(vote).collect()
    }
}

#[cfg(test)]
mod tests;
