//! How much better the best of several candidates looks than it is.
//!
//! The best mean of many is good by luck too. The bootstrap bias corrected cross-validation (Tsamardinos, Greasidou and Borboudakis 2018,
//! Machine Learning 107) needs no further fit: rows are drawn with replacement, the best candidate is selected by its out-of-fold
//! scores on the drawn rows, and that candidate is measured on the rows that were not drawn. The mean over the draws estimates how good the
//! selection is; with one candidate it estimates the metric itself. If folds separate no group, groups are drawn in place of rows:
//! otherwise rows of a group that selects would also measure.

use modelward_crds::MetricName;
use serde::Serialize;

use crate::{
    data::row_columns::Groups,
    fit::{
        candidate::Candidate,
        compare::tally::{Scores, Tally},
        folds::{SplitMix64, mix},
        resample::Units,
    },
};

/// Draws of the bootstrap for little data, and for much.
const DRAWS: (usize, usize) = (500, 20);

/// The most scores that are processed: with more, there are fewer draws.
const SCORES: usize = 200_000_000;

/// The random stream of these draws; no repeat of the folds and no comparison has the same.
const STREAM: u64 = 1_003;

/// The selecting metric of the best candidate, pooled over the folds of the first repeat, before and after the correction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Corrected {
    /// Candidates among which one was selected.
    pub candidates: usize,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// The best candidate's metric on all rows.
    pub selected: f64,
    /// The mean over the draws of the selected candidate's metric on the rows that were not drawn.
    pub corrected: f64,
    /// The 2.5% and 97.5% percentiles of the same.
    pub interval: [f64; 2],
}

/// Corrects for the selection among these candidates; `None` if there are fewer than two. If rows have groups that go together, groups are
/// drawn.
pub(crate) fn correct(
    candidates: &[&Candidate],
    labels: &[bool],
    groups: Option<&Groups>,
    by: MetricName,
    seed: u64,
) -> Option<Corrected> {
    if candidates.len() < 2 || labels.is_empty() {
        return None;
    }
    let count = labels.len();
    let rows = candidates[0].scored_rows();
    let mut units = Units::new(&rows, groups);
    let labels: &[bool] = &rows.iter().map(|row| labels[*row]).collect::<Vec<_>>();
    let tallies: Vec<Tally> = candidates
        .iter()
        .map(|candidate| Tally::new(&Scores::of_first_repeat(count, candidate), &rows, labels, by))
        .collect();
    let sign = if by.higher_is_better() { 1.0 } else { -1.0 };
    let best_on = |times: &[u64]| {
        let values = tallies
            .iter()
            .map(|tally| tally.value(by, labels, times))
            .enumerate();
        // The first of equally good ones, as they are selected.
        let best = values.reduce(|best, other| {
            if sign * other.1 > sign * best.1 {
                other
            } else {
                best
            }
        });
        best.unwrap_or((0, 0.0))
    };
    let draws = (SCORES / (labels.len() * candidates.len())).clamp(DRAWS.1, DRAWS.0);
    let mut random = SplitMix64::new(mix(seed) ^ mix(STREAM));
    let (mut times, mut left_out) = (vec![0_u64; labels.len()], vec![0_u64; labels.len()]);
    let mut found = Vec::with_capacity(draws);
    let has_both = |times: &[u64]| {
        let has = |class: bool| {
            times
                .iter()
                .zip(labels)
                .any(|(times, label)| *times > 0 && *label == class)
        };
        has(true) && has(false)
    };
    for _ in 0..draws {
        units.draw(&mut random, &mut times);
        for (place, times) in left_out.iter_mut().zip(&times) {
            *place = u64::from(*times == 0);
        }
        // No metric says anything about a single class.
        if !has_both(&times) || !has_both(&left_out) {
            continue;
        }
        let (best, _) = best_on(&times);
        found.push(tallies[best].value(by, labels, &left_out));
    }
    let draws = found.len();
    if draws == 0 {
        return None;
    }
    let corrected = found.iter().sum::<f64>() / draws as f64;
    found.sort_by(f64::total_cmp);
    let percentile = |share: f64| found[((draws - 1) as f64 * share).round() as usize];
    Some(Corrected {
        candidates: candidates.len(),
        draws,
        selected: best_on(&vec![1; labels.len()]).1,
        corrected,
        interval: [percentile(0.025), percentile(0.975)],
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{
        family::Parameters,
        fit::{candidate::ScoredFold, labels::Labels, train::tests::plan},
    };

    /// A candidate whose scores have nothing to do with the classes, or follow them by so much.
    fn candidate(labels: &[bool], signal: f64, random: &mut SplitMix64) -> Candidate {
        let score = |label: &bool| {
            let noise = random.below(1_000_000) as f64 / 1e6;
            (1.0 - signal) * noise + if *label { signal } else { 0.0 }
        };
        let scored = ScoredFold {
            repeat: 0,
            fold: 0,
            rows: (0..labels.len()).collect(),
            scores: labels.iter().map(score).collect(),
        };
        Candidate::new(
            "Any",
            Parameters::new([]),
            Labels::at_any_time(labels),
            &[scored],
            &plan(),
        )
        .unwrap()
    }

    #[test]
    fn the_best_of_many_guesses_is_a_guess_after_the_correction() {
        let labels: Vec<bool> = (0..100).map(|row| row % 3 == 0).collect();
        let mut random = SplitMix64::new(11);
        let (mut before, mut after) = (0.0, 0.0);
        for seed in 0..20 {
            let candidates: Vec<Candidate> = (0..50).map(|_| candidate(&labels, 0.0, &mut random)).collect();
            let of: Vec<&Candidate> = candidates.iter().collect();
            let found = correct(&of, &labels, None, MetricName::RocAuc, seed).unwrap();
            before += found.selected / 20.0;
            after += found.corrected / 20.0;
        }
        assert!(before > 0.62, "fifty guesses look good: {before}");
        assert!((after - 0.5).abs() < 0.04, "and are not: {after}");
    }

    #[test]
    fn a_candidate_that_is_really_better_loses_little() {
        let labels: Vec<bool> = (0..400).map(|row| row % 2 == 0).collect();
        let mut random = SplitMix64::new(5);
        let candidates = [0.0, 0.25, 0.05].map(|signal| candidate(&labels, signal, &mut random));
        let of: Vec<&Candidate> = candidates.iter().collect();
        let found = correct(&of, &labels, None, MetricName::RocAuc, 7).unwrap();
        assert!((found.corrected - found.selected).abs() < 0.01, "{found:?}");
        assert!(found.interval[0] < found.corrected && found.corrected < found.interval[1]);
        assert_eq!(correct(&of[..1], &labels, None, MetricName::RocAuc, 7), None);
    }

    #[test]
    fn guesses_about_groups_of_equal_rows_are_guesses_only_if_groups_are_drawn() {
        // 40 patients of four rows each, which are copies: a candidate guesses once for each patient.
        let patients: Vec<u32> = (0..160).map(|row| row / 4).collect();
        let labels: Vec<bool> = patients.iter().map(|patient| patient % 3 == 0).collect();
        let names = patients.iter().map(|patient| Cow::Owned(patient.to_string()));
        let groups = Groups::of_values("patient", names);
        let mut random = SplitMix64::new(11);
        let mut guess = || {
            let scores: Vec<f64> = (0..40).map(|_| random.below(1_000_000) as f64 / 1e6).collect();
            let scored = ScoredFold {
                repeat: 0,
                fold: 0,
                rows: (0..160).collect(),
                scores: patients.iter().map(|patient| scores[*patient as usize]).collect(),
            };
            let labels = Labels::at_any_time(&labels);
            Candidate::new("Any", Parameters::new([]), labels, &[scored], &plan()).unwrap()
        };
        let (mut by_rows, mut by_groups) = (0.0, 0.0);
        for seed in 0..10 {
            let candidates: Vec<Candidate> = (0..20).map(|_| guess()).collect();
            let of: Vec<&Candidate> = candidates.iter().collect();
            let corrected = |groups| {
                correct(&of, &labels, groups, MetricName::RocAuc, seed)
                    .unwrap()
                    .corrected
            };
            by_rows += corrected(None) / 10.0;
            by_groups += corrected(Some(&groups)) / 10.0;
        }
        assert!(by_rows > 0.6, "rows of a patient select and measure: {by_rows}");
        assert!((by_groups - 0.5).abs() < 0.08, "{by_groups}");
    }
}
