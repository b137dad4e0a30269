//! The champion, and the comparison with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use modelward_crds::{Champion, MetricName};
use modelward_model::{Bundle, TargetInfo};
use modelward_wire::{ComparedRows, Decimal};

use crate::{
    data::dataset::Dataset,
    fit::{
        compare::{
            bootstrap::{RESAMPLES, lower_bound},
            champion::{out_of_fold, read_row},
            error::CompareError,
            outcome::{Comparison, Evidence, Outcome},
            tally::{Scores, Tally},
        },
        folds::mix,
        train::{Candidate, PLACES},
    },
};

/// The champion, with what it says of the rows.
#[derive(Clone, Debug)]
pub struct Opponent {
    champion: Champion,
    scores: Scores,
    new_rows: Vec<usize>,
}

// === impl Opponent ===

impl Opponent {
    /// Reads the champion's bundle in `dir` and what it says of these rows.
    pub fn open(
        dir: &Path,
        champion: &Champion,
        target: &TargetInfo,
        data: &Dataset,
    ) -> Result<Self, CompareError> {
        let version = || champion.version.clone();
        let error = |source| CompareError::Bundle {
            version: version(),
            source,
        };
        let bundle = Bundle::open(dir, &champion.bundle).map_err(error)?;
        if bundle.info().target != *target {
            return Err(CompareError::Target {
                version: version(),
                champion: bundle.info().target.positive_when.clone(),
                challenger: target.positive_when.clone(),
            });
        }
        let mut places = BTreeMap::new();
        for name in bundle.schema().names() {
            let place = data.schema.names().position(|known| known == name);
            let place = place.ok_or_else(|| CompareError::Feature {
                version: version(),
                feature: name.to_owned(),
            })?;
            places.insert(name, place);
        }
        let taken: BTreeSet<&str> = places.keys().copied().collect();
        let known = out_of_fold(dir, &champion.bundle).map_err(|reason| CompareError::OutOfFold {
            version: version(),
            reason,
        })?;
        let repeats = known.values().next().map_or(1, |known| known.scores.len());
        let mut scores = vec![Vec::with_capacity(data.len()); repeats];
        let mut new_rows = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for row in 0..data.len() {
            let hash = data.row_hash_of(row, &taken);
            if let Some(known) = known.get(&hash) {
                for (scores, score) in scores.iter_mut().zip(&known.scores) {
                    scores.push(*score);
                }
                // A further patient with the same values is new, and the champion has learnt from one of them.
                let seen = seen.entry(hash).or_default();
                *seen += 1;
                if *seen > known.rows {
                    new_rows.push(row);
                }
                continue;
            }
            let read =
                read_row(bundle.schema(), &places, data, row).map_err(|reason| CompareError::Refused {
                    version: version(),
                    row: row + 1,
                    reason,
                })?;
            let served = bundle.score(&read);
            for scores in &mut scores {
                scores.push(served);
            }
            new_rows.push(row);
        }
        Ok(Self {
            champion: champion.clone(),
            scores: Scores {
                threshold: bundle.threshold(),
                repeats: scores,
            },
            new_rows,
        })
    }

    /// The rows that the champion was not trained on.
    pub fn new_rows(&self) -> &[usize] {
        &self.new_rows
    }

    /// Compares the challenger with the champion by this metric.
    pub fn compare(
        &self,
        labels: &[bool],
        challenger: &Candidate,
        metric: MetricName,
        seed: u64,
    ) -> Result<Comparison, CompareError> {
        let challenger = Scores::out_of_fold(labels.len(), challenger);
        let all: Vec<usize> = (0..labels.len()).collect();
        let on = vec![
            self.outcome(ComparedRows::All, &all, labels, &challenger, metric, seed)?,
            self.outcome(
                ComparedRows::New,
                &self.new_rows,
                labels,
                &challenger,
                metric,
                seed,
            )?,
        ];
        Ok(Comparison {
            version: self.champion.version.clone(),
            bundle: self.champion.bundle,
            metric: metric.as_str(),
            margin: self.champion.margin.clone(),
            resamples: RESAMPLES,
            seed,
            on,
        })
    }

    fn outcome(
        &self,
        which: ComparedRows,
        rows: &[usize],
        labels: &[bool],
        challenger: &Scores,
        metric: MetricName,
        seed: u64,
    ) -> Result<Outcome, CompareError> {
        let labels: Vec<bool> = rows.iter().map(|row| labels[*row]).collect();
        let tallies = [&self.scores, challenger].map(|scores| Tally::new(scores, rows, &labels, metric));
        let differing = differing_rows(&self.scores, challenger, rows);
        let evidence = Evidence::of(which, rows.len(), differing);
        let once = vec![1; rows.len()];
        let [champion, challenger] =
            [&tallies[0], &tallies[1]].map(|tally| tally.value(metric, &labels, &once));
        let lower = lower_bound(&tallies, &labels, metric, mix(seed) ^ mix(stream(which)));
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
            evidence,
            passed: evidence == Evidence::Enough && reaches(&lower_bound, &self.champion.margin),
            lower_bound,
        })
    }
}

/// On how many of these rows the two models answer with different classes: the mean over the repeats, rounded down.
fn differing_rows(champion: &Scores, challenger: &Scores, rows: &[usize]) -> usize {
    let pairs = champion.repeats.iter().cycle().zip(&challenger.repeats);
    let differ = |(one, other): (&Vec<f64>, &Vec<f64>)| {
        let differs =
            |row: &&usize| (one[**row] >= champion.threshold) != (other[**row] >= challenger.threshold);
        rows.iter().filter(differs).count()
    };
    pairs.map(differ).sum::<usize>() / challenger.repeats.len().max(1)
}

/// Whether a difference is at or above minus the margin, both as they are written.
pub(super) fn reaches(difference: &Decimal, margin: &Decimal) -> bool {
    format!("-{margin}")
        .parse::<Decimal>()
        .is_ok_and(|least| *difference >= least)
}

/// Which draws these rows have; the folds of no repeat have the same.
fn stream(rows: ComparedRows) -> u64 {
    match rows {
        ComparedRows::All => 1_001,
        ComparedRows::New => 1_002,
    }
}
