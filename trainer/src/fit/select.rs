//! Selecting one candidate.
//!
//! The best is the one with the best mean. A simpler family ([`Complexity`]) is preferred if its difference from the best is within one
//! standard error of that difference, by the same folds and corrected for the rows that they share (Nadeau and Bengio 2003): such a small
//! difference is as likely chance (the rule of one standard error, Breiman et al. 1984).

use std::cmp::Ordering;

use modelward_crds::MetricName;

use crate::{
    family::Complexity,
    fit::{
        candidate::Candidate,
        metrics::{estimate, four_places, position},
    },
};

/// Which candidate was selected, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Its index.
    pub selected: usize,
    /// Why, in words.
    pub reason: String,
}

/// Selects the only candidate, which comes first.
pub(crate) fn select_only(candidate: &Candidate) -> Selection {
    Selection {
        selected: 0,
        reason: format!("{} is the only candidate", candidate.family),
    }
}

/// Selects among candidates, each with the complexity of its family; `None` without candidates. Of several that are simpler than the best
/// and tie with it, the simplest is selected, and of equally simple ones the best.
pub(crate) fn select(
    candidates: &[Candidate],
    complexities: &[Complexity],
    by: MetricName,
    test_to_train: f64,
) -> Option<Selection> {
    if let [only] = candidates {
        return Some(select_only(only));
    }
    let best = find_best(candidates, by)?;
    let is_tied = |at: &usize| {
        let (mean, error) = difference(&candidates[best], &candidates[*at], by, test_to_train);
        mean <= error
    };
    let simplest = (0..candidates.len())
        .filter(|at| complexities[*at] < complexities[best])
        .filter(is_tied)
        .reduce(|one, other| match complexities[one].cmp(&complexities[other]) {
            Ordering::Greater => other,
            Ordering::Equal if is_better(&candidates[other], &candidates[one], by) => other,
            Ordering::Less | Ordering::Equal => one,
        });
    let show = |at: usize| show(&candidates[at], by);
    Some(match simplest {
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
            "{}; there is no ensemble, because all the weight of the vote falls on {member}",
            selection.reason
        ),
        ..*selection
    }
}

/// Selects the one member that has all the weight, if an ensemble is always used: the candidate of its family.
pub(crate) fn select_one_member(candidates: &[Candidate], member: &str) -> Option<Selection> {
    let selected = candidates
        .iter()
        .position(|candidate| candidate.family == member)?;
    Some(Selection {
        selected,
        reason: format!(
            "{member} has all the weight of the vote, so it serves alone and there is no ensemble"
        ),
    })
}

/// Selects the last candidate, an ensemble that is always used. `None` without candidates.
pub(crate) fn select_ensemble(candidates: &[Candidate], by: MetricName) -> Option<Selection> {
    let (ensemble, others) = candidates.split_last()?;
    let best = find_best(others, by)?;
    Some(Selection {
        selected: others.len(),
        reason: format!(
            "{} is always used, as the spec asks: {} {}; the best single model is {}",
            ensemble.family,
            by.as_str(),
            four_places(mean(ensemble, by)),
            show(&others[best], by)
        ),
    })
}

/// The first of the candidates with the best mean.
fn find_best(candidates: &[Candidate], by: MetricName) -> Option<usize> {
    (0..candidates.len()).reduce(|best, at| {
        if is_better(&candidates[at], &candidates[best], by) {
            at
        } else {
            best
        }
    })
}

fn is_better(one: &Candidate, other: &Candidate, by: MetricName) -> bool {
    let (one, other) = (mean(one, by), mean(other, by));
    if by.higher_is_better() {
        one > other
    } else {
        one < other
    }
}

fn mean(candidate: &Candidate, by: MetricName) -> f64 {
    candidate.estimates[position(by)].mean
}

fn show(candidate: &Candidate, by: MetricName) -> String {
    format!(
        "{} {} {}",
        candidate.family,
        by.as_str(),
        four_places(mean(candidate, by))
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::train::{
        tests::{data, plan},
        train,
    };

    const BY: MetricName = MetricName::LogLoss;

    /// A candidate of this family with the log loss of another, changed by these amounts in turn over its folds.
    fn changed(other: &Candidate, family: &'static str, by: [f64; 2]) -> Candidate {
        let at = position(BY);
        let mut changed = Candidate {
            family,
            ..other.clone()
        };
        for (fold, by) in changed.folds.iter_mut().zip(by.into_iter().cycle()) {
            fold.metrics[at] += by;
        }
        let values: Vec<f64> = changed.folds.iter().map(|fold| fold.metrics[at]).collect();
        changed.estimates[at] = estimate(&values, 1.0 / 3.0);
        changed
    }

    fn candidate() -> Candidate {
        train(&data(), &plan(), 1, &|_| ()).unwrap().candidates.remove(0)
    }

    #[test]
    fn a_simpler_family_is_selected_where_the_best_is_hardly_better() {
        let one = candidate();
        let complexities = [Complexity::Linear, Complexity::BoostedTrees];
        // Better on average, and as often worse.
        let tied = [one.clone(), changed(&one, "XGBoost", [0.4, -0.6])];
        let tied = select(&tied, &complexities, BY, 1.0 / 3.0).unwrap();
        assert_eq!(tied.selected, 0);
        assert!(
            tied.reason.contains("within one standard error"),
            "{}",
            tied.reason
        );
        let clear = [one.clone(), changed(&one, "XGBoost", [-0.1, -0.1])];
        assert_eq!(select(&clear, &complexities, BY, 1.0 / 3.0).unwrap().selected, 1);
    }

    #[test]
    fn of_equally_simple_families_the_better_one_is_selected() {
        let one = candidate();
        let tied = [
            changed(&one, "XGBoost", [0.0, 0.0]),
            changed(&one, "LightGBM", [0.4, -0.4001]),
            changed(&one, "Ensemble", [-0.4, 0.3999]),
        ];
        let two = &tied[..2];
        let boosted = [Complexity::BoostedTrees; 2];
        assert_eq!(select(two, &boosted, BY, 1.0 / 3.0).unwrap().selected, 1);
        // Also where both are simpler than the best.
        let all = [
            Complexity::BoostedTrees,
            Complexity::BoostedTrees,
            Complexity::Ensemble,
        ];
        let better = changed(&tied[2], "Ensemble", [-0.1, -0.1]);
        let found = select(&[two, &[better]].concat(), &all, BY, 1.0 / 3.0).unwrap();
        assert_eq!(found.selected, 1, "{}", found.reason);
    }

    #[test]
    fn one_candidate_is_selected_and_none_of_none() {
        let one = [candidate()];
        let selected = select(&one, &[Complexity::Linear], BY, 0.25).unwrap();
        assert!(selected.reason.contains("only candidate"));
        assert_eq!(select(&[], &[], BY, 0.25), None);
    }
}
