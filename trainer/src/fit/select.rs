//! Selecting one candidate.
//!
//! The best is the one with the best mean. A simpler family is preferred where its difference from the best is within one standard error of that
//! difference, by the same folds and corrected for the rows that they share (Nadeau and Bengio 2003): so small a difference is as likely
//! chance (the rule of one standard error, Breiman et al. 1984).

use modelward_crds::MetricName;

use crate::fit::{
    candidate::Candidate,
    metrics::{estimate, position},
};

/// Which candidate was selected, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Its index.
    pub selected: usize,
    /// Why, in words.
    pub reason: String,
}

/// Selects among candidates that are in the order of their families, the simplest first; `None` of none.
pub(crate) fn select(candidates: &[Candidate], by: MetricName, test_to_train: f64) -> Option<Selection> {
    let best = find_best(candidates, by)?;
    let is_tied = |at: &usize| {
        let (mean, error) = difference(&candidates[best], &candidates[*at], by, test_to_train);
        mean <= error
    };
    let simplest = (0..best)
        .filter(|at| candidates[*at].family != candidates[best].family)
        .find(is_tied);
    let show = |at: usize| show(&candidates[at], by);
    Some(match simplest {
        _ if candidates.len() == 1 => Selection {
            selected: best,
            reason: format!("{} is the only candidate", candidates[best].family),
        },
        Some(at) => {
            let (mean, error) = difference(&candidates[best], &candidates[at], by, test_to_train);
            Selection {
                selected: at,
                reason: format!(
                    "{} is simpler than the best, {}: they differ by {mean:.4}, within one standard error of {error:.4}",
                    show(at),
                    show(best)
                ),
            }
        }
        None => Selection {
            selected: best,
            reason: format!("{} is the best of {} candidates", show(best), candidates.len()),
        },
    })
}

/// Adds that there is no ensemble, because the vote has one member, of this family.
pub(crate) fn without_ensemble(selection: &Selection, member: &str) -> Selection {
    Selection {
        reason: format!(
            "{}; there is no ensemble, because all weight of the vote falls on {member}",
            selection.reason
        ),
        ..*selection
    }
}

/// Selects the one member on which all weight falls, where an ensemble is always used: the candidate of its family.
pub(crate) fn select_one_member(candidates: &[Candidate], member: &str) -> Option<Selection> {
    let selected = candidates
        .iter()
        .position(|candidate| candidate.family == member)?;
    Some(Selection {
        selected,
        reason: format!("{member} has all weight of the vote, so that it is no ensemble but this one model"),
    })
}

/// Selects the last candidate, an ensemble that is always used. `None` of none.
pub(crate) fn select_ensemble(candidates: &[Candidate], by: MetricName) -> Option<Selection> {
    let (ensemble, others) = candidates.split_last()?;
    let best = find_best(others, by)?;
    Some(Selection {
        selected: others.len(),
        reason: format!(
            "{} is always used, as the spec asks; the best single model is {}",
            show(ensemble, by),
            show(&others[best], by)
        ),
    })
}

/// The first of the candidates with the best mean.
fn find_best(candidates: &[Candidate], by: MetricName) -> Option<usize> {
    let is_better = |new: usize, old: usize| {
        let (new, old) = (mean(&candidates[new], by), mean(&candidates[old], by));
        if by.higher_is_better() {
            new > old
        } else {
            new < old
        }
    };
    (0..candidates.len()).reduce(|best, at| if is_better(at, best) { at } else { best })
}

fn mean(candidate: &Candidate, by: MetricName) -> f64 {
    candidate.estimates[position(by)].mean
}

fn show(candidate: &Candidate, by: MetricName) -> String {
    format!("{} {} {:.4}", candidate.family, by.as_str(), mean(candidate, by))
}

/// By how much one candidate is better than another, and the standard error of that.
fn difference(one: &Candidate, other: &Candidate, by: MetricName, test_to_train: f64) -> (f64, f64) {
    let sign = if by.higher_is_better() { 1.0 } else { -1.0 };
    let pairs = one.folds.iter().zip(&other.folds);
    let differences: Vec<f64> = pairs
        .map(|(one, other)| sign * (one.metrics[position(by)] - other.metrics[position(by)]))
        .collect();
    let found = estimate(&differences, test_to_train);
    (found.mean, found.standard_error)
}
