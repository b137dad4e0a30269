//! The champion, and the comparison with it.

use std::{collections::BTreeSet, path::Path};

use modelward_crds::{Champion, MetricName};
use modelward_model::TargetInfo;
use modelward_wire::{ComparedRows, Decimal};

use crate::{
    data::{dataset::Dataset, row_columns::Groups},
    fit::{
        candidate::{Candidate, PLACES},
        compare::{
            bootstrap::{RESAMPLES, lower_bound},
            champion::{Opened, read_row},
            error::CompareError,
            new_rows::Seen,
            outcome::{Comparison, Evidence, GroupCounts, Outcome},
            tally::{Scores, Tally},
        },
        folds::mix,
        resample::Units,
    },
};

/// The champion, with its scores of the rows.
#[derive(Clone, Debug)]
pub struct Opponent {
    champion: Champion,
    scores: Scores,
    /// Whether each row has a score that can be compared. A row that the champion was fitted on and never tested on has none.
    has_score: Vec<bool>,
    new_rows: Vec<usize>,
}

/// What is compared with the champion, on any rows.
struct Challenge<'a> {
    labels: &'a [bool],
    groups: Option<&'a Groups>,
    scores: &'a Scores,
    metric: MetricName,
    seed: u64,
}

// === impl Opponent ===

impl Opponent {
    /// Reads the champion's bundle in `dir` and its scores of these rows, which come from files of this many rows each.
    pub fn open(
        dir: &Path,
        champion: &Champion,
        target: &TargetInfo,
        data: &Dataset,
        files: impl IntoIterator<Item = usize>,
    ) -> Result<Self, CompareError> {
        let opened = Opened::open(dir, champion, target)?;
        let (bundle, known) = (&opened.bundle, &opened.known);
        let places = opened.places(data)?;
        let taken: BTreeSet<&str> = places.keys().copied().collect();
        let lengths = known.values().map(|known| known.answers.len());
        let repeats = lengths.max().unwrap_or(1).max(1);
        let mut has_score = Vec::with_capacity(data.len());
        let mut scores = Scores::without_rows(repeats, data.len());
        let mut new_rows = Vec::new();
        let mut seen = Seen::new(known);
        let ends = files.into_iter().scan(0, |end, rows| {
            *end += rows;
            Some(*end)
        });
        let ends: BTreeSet<usize> = ends.collect();
        for row in 0..data.len() {
            if ends.contains(&row) {
                seen.next_file();
            }
            let hash = data.row_hash_of(row, &taken);
            if seen.is_new(&hash) {
                new_rows.push(row);
            }
            // For a further row with the same values, the champion has learnt from one of them.
            let of_hash = known.get(&hash);
            has_score.push(of_hash.is_none_or(|known| !known.answers.is_empty()));
            if let Some(known) = of_hash.filter(|known| !known.answers.is_empty()) {
                scores.push_row(known.answers.iter().map(|answer| (answer.score, answer.is_one)));
                continue;
            }
            let read =
                read_row(bundle.schema(), &places, data, row).map_err(|reason| CompareError::Refused {
                    version: champion.version.clone(),
                    row: row + 1,
                    reason,
                })?;
            let served = opened.thresholds.answer(bundle.score(&read));
            scores.push_row(std::iter::repeat_n((served.score, served.is_one), repeats));
        }
        Ok(Self {
            champion: champion.clone(),
            scores,
            has_score,
            new_rows,
        })
    }

    /// A champion that gives these scores to the rows, one per row, and was trained on none of them.
    pub fn of_scores(champion: Champion, threshold: f64, scores: Vec<f64>) -> Self {
        Self {
            champion,
            new_rows: (0..scores.len()).collect(),
            has_score: vec![true; scores.len()],
            scores: Scores::by_threshold(threshold, vec![scores]),
        }
    }

    /// The rows that the champion was not trained on.
    pub fn new_rows(&self) -> &[usize] {
        &self.new_rows
    }

    /// Compares the challenger with the champion by this metric. If folds separate no group, groups are drawn and counted in place of rows.
    pub fn compare(
        &self,
        labels: &[bool],
        groups: Option<&Groups>,
        challenger: &Candidate,
        metric: MetricName,
        seed: u64,
    ) -> Result<Comparison, CompareError> {
        let mut all = challenger.scored_rows();
        all.retain(|row| self.has_score[*row]);
        let is_compared = |row: &&usize| all.binary_search(row).is_ok();
        let new: Vec<usize> = self.new_rows.iter().filter(is_compared).copied().collect();
        let scores = Scores::out_of_fold(labels.len(), challenger);
        let challenge = Challenge {
            labels,
            groups,
            scores: &scores,
            metric,
            seed,
        };
        let on = vec![
            self.outcome(ComparedRows::All, &all, &challenge)?,
            self.outcome(ComparedRows::New, &new, &challenge)?,
        ];
        Ok(Comparison {
            version: self.champion.version.clone(),
            bundle: self.champion.bundle,
            metric: metric.as_str(),
            margin: self.champion.margin.clone(),
            resamples: RESAMPLES,
            seed,
            grouped_by: groups.map(|groups| groups.column.clone()),
            on,
        })
    }

    fn outcome(
        &self,
        which: ComparedRows,
        rows: &[usize],
        challenge: &Challenge<'_>,
    ) -> Result<Outcome, CompareError> {
        let Challenge {
            groups, metric, seed, ..
        } = *challenge;
        let labels: Vec<bool> = rows.iter().map(|row| challenge.labels[*row]).collect();
        let tallies =
            [&self.scores, challenge.scores].map(|scores| Tally::new(scores, rows, &labels, metric));
        let differing = count_differing(&self.scores, challenge.scores, rows, <[usize]>::len);
        let group_counts = groups.map(|groups| GroupCounts {
            count: groups.count_of(rows),
            differing: count_differing(&self.scores, challenge.scores, rows, |rows| groups.count_of(rows)),
        });
        let evidence = match group_counts {
            Some(groups) => Evidence::of(which, groups.count, groups.differing),
            None => Evidence::of(which, rows.len(), differing),
        };
        let once = vec![1; rows.len()];
        let [champion, challenger] =
            [&tallies[0], &tallies[1]].map(|tally| tally.value(metric, &labels, &once));
        let mut units = Units::new(rows, groups);
        let seed = mix(seed) ^ mix(stream(which));
        let lower = lower_bound(&tallies, &labels, &mut units, metric, seed);
        let lower_bound = Decimal::rounded(lower, PLACES).ok_or_else(|| CompareError::Value {
            version: self.champion.version.clone(),
            value: lower,
        })?;
        Ok(Outcome {
            rows: which,
            count: rows.len(),
            champion,
            challenger,
            differing,
            groups: group_counts,
            evidence,
            passed: evidence == Evidence::Enough && reaches(&lower_bound, &self.champion.margin),
            lower_bound,
        })
    }
}

/// Counts the rows on which the two models answer with different classes: the mean over the repeats, rounded down.
fn count_differing(
    champion: &Scores,
    challenger: &Scores,
    rows: &[usize],
    count: impl Fn(&[usize]) -> usize,
) -> usize {
    let pairs = champion.called.iter().cycle().zip(&challenger.called);
    let differ = |(one, other): (&Vec<bool>, &Vec<bool>)| {
        let differs = |row: &usize| one[*row] != other[*row];
        let differing: Vec<usize> = rows.iter().copied().filter(differs).collect();
        count(&differing)
    };
    pairs.map(differ).sum::<usize>() / challenger.called.len().max(1)
}

/// Whether a difference is at or above minus the margin, both as they are written.
pub(super) fn reaches(difference: &Decimal, margin: &Decimal) -> bool {
    format!("-{margin}")
        .parse::<Decimal>()
        .is_ok_and(|least| *difference >= least)
}

/// The random stream for these rows; no repeat of the folds has the same.
fn stream(rows: ComparedRows) -> u64 {
    match rows {
        ComparedRows::All => 1_001,
        ComparedRows::New => 1_002,
    }
}
