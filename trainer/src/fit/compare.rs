//! Whether a new model is not worse than the one that serves, on the same rows.
//!
//! The challenger is judged by its out-of-fold scores. The champion is judged by its own out-of-fold scores on rows that it
//! was trained on, which its bundle keeps by the rows' hashes, and by the score that it serves on every other row. (By what
//! it serves on rows that it has seen, a champion that remembers them would beat every challenger.)
//!
//! ```text
//!  d  = m(challenger) − m(champion)     on the rows; turned for LogLoss and Brier, so that more is better
//!  d* = the same on as many rows, drawn with replacement; both models on the same draw; 2,000 draws
//!  lower bound = the 100th smallest d*  the 5% percentile (Efron and Tibshirani 1993, chapter 13)
//!  passed where the lower bound is at or above −margin
//! ```
//!
//! A row has a score for each repeat of the folds, of one model each. Classes are counted, losses averaged and areas under
//! the curve averaged over the repeats: the mean of the scores would be a model that neither of the two is.
//!
//! It is done once over all rows and once over those alone that the champion has not seen. Draws are whole numbers of a
//! seeded generator and sums have one order: the same data and spec give the same bound, bit for bit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use modelward_crds::{Champion, MetricName};
use modelward_model::{
    Bundle, BundleError, Cell, FeatureKind, FeatureSchema, FilesError, Row, TargetInfo, Value, VerifiedDir,
    bundle::file,
    math::{ln, shortest},
};
use modelward_wire::{ComparedRows, Decimal, Digest, GateBound, GateResult, ManifestKind};
use serde::{Deserialize, Serialize};

use crate::{
    data::dataset::Dataset,
    fit::{
        folds::{SplitMix64, mix},
        train::{Candidate, PLACES, THRESHOLD},
    },
};

/// Draws of the bootstrap.
pub const RESAMPLES: usize = 2_000;

/// Of so many draws, the 5% percentile is the one of this index.
const LOWER: usize = RESAMPLES / 20 - 1;

/// Scores that are ranked a draw, at most: of larger data, the first repeats alone have their area under the curve.
const RANKED: usize = 2_000_000;

/// Why two models cannot be compared. The same spec and data would fail again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The champion's bundle cannot be opened.
    #[error("the bundle of {version} cannot be opened")]
    Bundle {
        /// The champion's name.
        version: String,
        /// Why.
        source: BundleError,
    },
    /// Its out-of-fold scores cannot be read.
    #[error("{} of {version} cannot be used: {reason}", file::OUT_OF_FOLD)]
    OutOfFold {
        /// The champion's name.
        version: String,
        /// What is wrong.
        reason: String,
    },
    /// The two predict different things.
    #[error("{version} predicts {champion}, the spec asks for {challenger}: they cannot be compared")]
    Target {
        /// The champion's name.
        version: String,
        /// What it predicts.
        champion: String,
        /// What the challenger predicts.
        challenger: String,
    },
    /// The data lack a feature of the champion.
    #[error(
        "{version} takes the feature {feature:?}, which the data do not have as one: the two cannot be compared on the same \
         rows; keep the feature, or leave notWorseThan out"
    )]
    Feature {
        /// The champion's name.
        version: String,
        /// The feature.
        feature: String,
    },
    /// The champion would refuse a row.
    #[error("{version} refuses row {row} of the data: {reason}")]
    Refused {
        /// The champion's name.
        version: String,
        /// The row, the first being 1.
        row: usize,
        /// Why.
        reason: String,
    },
    /// A difference is not a number of ordinary size.
    #[error("the difference from {version} is {value}, which cannot be reported")]
    Value {
        /// The champion's name.
        version: String,
        /// The value.
        value: f64,
    },
}

/// The champion, with what it says of the rows.
#[derive(Clone, Debug)]
pub struct Opponent {
    champion: Champion,
    scores: Scores,
    new_rows: Vec<usize>,
}

/// The scores of one model.
#[derive(Clone, Debug)]
struct Scores {
    threshold: f64,
    /// Each repeat's score of each row.
    repeats: Vec<Vec<f64>>,
}

/// What came of comparing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Name of the champion.
    pub version: String,
    /// Its bundle.
    pub bundle: Digest,
    /// The metric.
    pub metric: &'static str,
    /// How much worse the challenger may be.
    pub margin: Decimal,
    /// Draws of the bootstrap.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// All rows, then the new ones where there are any.
    pub on: Vec<Outcome>,
}

/// What came of comparing on some rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Which rows.
    pub rows: ComparedRows,
    /// How many.
    pub count: usize,
    /// The champion's metric on them.
    pub champion: f64,
    /// The challenger's.
    pub challenger: f64,
    /// The lower bound of the difference, more being better; rounded as it is gated.
    pub lower_bound: Decimal,
    /// Whether it is at or above minus the margin.
    pub passed: bool,
}

/// What a metric needs to know of one model's scores, so that a draw costs one pass over the rows.
enum Tally {
    /// How many of the repeats call each row 1, and how many repeats there are.
    Called(Vec<u64>, u64),
    /// The mean loss of each row.
    Losses(Vec<f64>),
    /// For each repeat, the rows by rising score, and whether each has a greater score than the one before.
    Ranked(Vec<Vec<(usize, bool)>>),
}

/// One line of the champion's file.
#[derive(Debug, Deserialize)]
struct Line {
    row: u64,
    row_hash: String,
    repeat: usize,
    score: f64,
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
        let repeats = known.values().next().map_or(1, Vec::len);
        let mut scores = vec![Vec::with_capacity(data.len()); repeats];
        let mut new_rows = Vec::new();
        for row in 0..data.len() {
            let hash = data.row_hash_of(row, &taken);
            if let Some(known) = known.get(&hash) {
                for (scores, score) in scores.iter_mut().zip(known) {
                    scores.push(*score);
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
        let mut on = vec![self.outcome(ComparedRows::All, &all, labels, &challenger, metric, seed)?];
        if !self.new_rows.is_empty() {
            on.push(self.outcome(
                ComparedRows::New,
                &self.new_rows,
                labels,
                &challenger,
                metric,
                seed,
            )?);
        }
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
            passed: reaches(&lower_bound, &self.champion.margin),
            lower_bound,
        })
    }
}

/// The lower bound of challenger minus champion, more being better.
fn lower_bound(tallies: &[Tally; 2], labels: &[bool], metric: MetricName, seed: u64) -> f64 {
    let [champion, challenger] = tallies;
    let mut random = SplitMix64::new(seed);
    let mut times = vec![0_u64; labels.len()];
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            times.fill(0);
            for _ in 0..labels.len() {
                times[random.below(labels.len() as u64) as usize] += 1;
            }
            let difference =
                challenger.value(metric, labels, &times) - champion.value(metric, labels, &times);
            if metric.higher_is_better() {
                difference
            } else {
                -difference
            }
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    differences[LOWER]
}

/// Whether a difference is at or above minus the margin, both as they are written.
fn reaches(difference: &Decimal, margin: &Decimal) -> bool {
    format!("-{margin}")
        .parse::<Decimal>()
        .is_ok_and(|least| *difference >= least)
}

/// The champion's scores of each row by models that had not seen it: those of its first row of each hash, in the order of
/// repeats.
fn out_of_fold(dir: &Path, digest: &Digest) -> Result<HashMap<String, Vec<f64>>, String> {
    let text = |error: FilesError| error.to_string();
    let bytes = VerifiedDir::open(dir, Some(digest), ManifestKind::Bundle)
        .and_then(|dir| dir.read(file::OUT_OF_FOLD))
        .map_err(text)?;
    let mut known: HashMap<String, (u64, Vec<f64>)> = HashMap::new();
    for (index, line) in csv::Reader::from_reader(bytes.as_slice())
        .deserialize()
        .enumerate()
    {
        let line: Line = line.map_err(|error| error.to_string())?;
        let place = index + 1;
        if !(0.0..=1.0).contains(&line.score) {
            return Err(format!("line {place} has the score {}", line.score));
        }
        let (row, scores) = known.entry(line.row_hash).or_insert((line.row, Vec::new()));
        // A row that is there twice has two scores a repeat.
        if *row == line.row {
            if scores.len() != line.repeat {
                return Err(format!("line {place} is out of order"));
            }
            scores.push(line.score);
        }
    }
    let mut lengths = known.values().map(|(_, scores)| scores.len());
    let repeats = lengths.next().ok_or("it holds no row")?;
    if lengths.any(|length| length != repeats) {
        return Err("some rows have fewer repeats than others".to_owned());
    }
    Ok(known
        .into_iter()
        .map(|(hash, (_, scores))| (hash, scores))
        .collect())
}

/// A row of the data as the champion would read it in a request.
fn read_row(
    schema: &FeatureSchema,
    places: &BTreeMap<&str, usize>,
    data: &Dataset,
    row: usize,
) -> Result<Row, String> {
    let values = data.rows[row].values();
    let cells: Vec<Cell<'_>> = schema
        .features
        .iter()
        .map(|feature| {
            places.get(feature.name.as_str()).map_or(Cell::Missing, |at| {
                cell(values[*at], &data.schema.features[*at].kind, &feature.kind)
            })
        })
        .collect();
    schema
        .read_cells(&cells)
        .map(|(row, _)| row)
        .map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())
}

fn cell<'a>(value: Value, kind: &'a FeatureKind, wanted: &FeatureKind) -> Cell<'a> {
    match (value, kind) {
        (Value::Number(number), _) => Cell::Number(shortest(number)),
        (Value::Category(index), FeatureKind::Categorical { categories }) => {
            let word = categories.get(index as usize).map_or("", String::as_str);
            match (crate::data::number::number(word), wanted) {
                (Some(number), FeatureKind::Numeric { .. }) => Cell::Number(number),
                _ => Cell::Text(word),
            }
        }
        _ => Cell::Missing,
    }
}

// === impl Scores ===

impl Scores {
    fn out_of_fold(rows: usize, candidate: &Candidate) -> Self {
        let count = candidate.folds.iter().map(|fold| fold.repeat + 1).max();
        let mut repeats = vec![vec![0.0; rows]; count.unwrap_or(0)];
        for fold in &candidate.folds {
            for (row, score) in fold.rows.iter().zip(&fold.scores) {
                repeats[fold.repeat][*row] = *score;
            }
        }
        Self {
            threshold: THRESHOLD,
            repeats,
        }
    }
}

// === impl Tally ===

impl Tally {
    fn new(scores: &Scores, rows: &[usize], labels: &[bool], metric: MetricName) -> Self {
        let repeats = &scores.repeats;
        let mean_loss = |loss: fn(bool, f64) -> f64| {
            let of = |(row, label): (&usize, &bool)| {
                let sum: f64 = repeats.iter().map(|scores| loss(*label, scores[*row])).sum();
                sum / repeats.len() as f64
            };
            Self::Losses(rows.iter().zip(labels).map(of).collect())
        };
        match metric {
            MetricName::Accuracy | MetricName::Precision | MetricName::Recall | MetricName::F1 => {
                let called = |row: &usize| {
                    let ones = repeats.iter().filter(|repeat| repeat[*row] >= scores.threshold);
                    ones.count() as u64
                };
                Self::Called(rows.iter().map(called).collect(), repeats.len() as u64)
            }
            MetricName::LogLoss => mean_loss(|label, score| {
                let score = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
                -ln(if label { score } else { 1.0 - score })
            }),
            MetricName::Brier => mean_loss(|label, score| {
                let error = score - f64::from(u8::from(label));
                error * error
            }),
            MetricName::RocAuc => {
                let most = (RANKED / rows.len().max(1)).max(1);
                Self::Ranked(
                    repeats
                        .iter()
                        .take(most)
                        .map(|scores| ranked(scores, rows))
                        .collect(),
                )
            }
        }
    }

    /// The metric where each row is there so many times.
    fn value(&self, metric: MetricName, labels: &[bool], times: &[u64]) -> f64 {
        match self {
            Self::Called(called, repeats) => {
                let (mut tp, mut fp, mut positives, mut rows) = (0, 0, 0, 0);
                for ((label, called), times) in labels.iter().zip(called).zip(times) {
                    rows += times * repeats;
                    if *label {
                        positives += times * repeats;
                        tp += times * called;
                    } else {
                        fp += times * called;
                    }
                }
                let ratio = |part: u64, whole: u64| {
                    if whole == 0 {
                        0.0
                    } else {
                        part as f64 / whole as f64
                    }
                };
                match metric {
                    MetricName::Accuracy => ratio(tp + (rows - positives - fp), rows),
                    MetricName::Precision => ratio(tp, tp + fp),
                    MetricName::Recall => ratio(tp, positives),
                    _ => ratio(2 * tp, positives + tp + fp),
                }
            }
            Self::Losses(losses) => {
                let (mut sum, mut rows) = (0.0, 0);
                for (loss, times) in losses.iter().zip(times) {
                    sum += loss * *times as f64;
                    rows += times;
                }
                sum / rows.max(1) as f64
            }
            Self::Ranked(repeats) => {
                let areas: f64 = repeats.iter().map(|order| area(order, labels, times)).sum();
                areas / repeats.len().max(1) as f64
            }
        }
    }
}

/// Indices of `rows` by rising score, and whether each begins a new one.
fn ranked(scores: &[f64], rows: &[usize]) -> Vec<(usize, bool)> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| scores[rows[*a]].total_cmp(&scores[rows[*b]]));
    let begins = |at: usize| at == 0 || scores[rows[order[at]]] > scores[rows[order[at - 1]]];
    order
        .iter()
        .enumerate()
        .map(|(at, row)| (*row, begins(at)))
        .collect()
}

/// The area under the curve, ties counted half, where each row is there so many times; one half where a class is absent.
fn area(order: &[(usize, bool)], labels: &[bool], times: &[u64]) -> f64 {
    let (mut halves, mut below, mut up, mut down) = (0_u128, 0_u128, 0_u128, 0_u128);
    let (mut positives, mut negatives) = (0_u128, 0_u128);
    for (row, begins) in order {
        if *begins {
            halves += up * (2 * below + down);
            below += down;
            (up, down) = (0, 0);
        }
        let times = u128::from(times[*row]);
        if labels[*row] {
            up += times;
            positives += times;
        } else {
            down += times;
            negatives += times;
        }
    }
    halves += up * (2 * below + down);
    if positives == 0 || negatives == 0 {
        return 0.5;
    }
    halves as f64 / (2 * positives * negatives) as f64
}

// === impl Comparison ===

impl Comparison {
    /// Each outcome as a gate.
    pub fn gates(&self) -> Vec<GateResult> {
        let gate = |outcome: &Outcome| GateResult {
            metric: self.metric.to_owned(),
            bound: GateBound::NotWorseThan {
                version: self.version.clone(),
                margin: self.margin.clone(),
                rows: outcome.rows,
            },
            value: outcome.lower_bound.clone(),
            passed: outcome.passed,
        };
        self.on.iter().map(gate).collect()
    }

    /// What failed, in words.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        self.on.iter().filter(|outcome| !outcome.passed).map(|outcome| {
            let count = outcome.count;
            let rows = match outcome.rows {
                ComparedRows::All => format!("all {count} rows"),
                ComparedRows::New => format!("{count} new rows"),
            };
            format!(
                "on {rows} {} {:.4} against {}'s {:.4}: the lower bound of the difference, {:.4}, is under -{}",
                self.metric,
                outcome.challenger,
                self.version,
                outcome.champion,
                outcome.lower_bound.to_f64(),
                self.margin
            )
        })
    }

    /// What passed, in words.
    pub fn passed(&self) -> String {
        let bounds = self.on.iter().map(|outcome| {
            let bound = outcome.lower_bound.to_f64();
            format!("{bound:.4} on {}", outcome.rows.phrase())
        });
        let bounds = bounds.collect::<Vec<_>>().join(", ");
        let has_new_rows = self.on.iter().any(|outcome| outcome.rows == ComparedRows::New);
        let skipped = if has_new_rows {
            String::new()
        } else {
            format!(
                "; {} was trained on every row, so new rows were not compared",
                self.version
            )
        };
        format!(
            "not worse than {} (lower bound of the difference {bounds}){skipped}",
            self.version
        )
    }
}

/// Which draws these rows have; the folds of no repeat have the same.
fn stream(rows: ComparedRows) -> u64 {
    match rows {
        ComparedRows::All => 1_001,
        ComparedRows::New => 1_002,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fit::metrics::{metrics, position};

    fn scores(repeats: Vec<Vec<f64>>) -> Scores {
        Scores {
            threshold: 0.5,
            repeats,
        }
    }

    fn bound(champion: &Scores, challenger: &Scores, labels: &[bool], metric: MetricName, seed: u64) -> f64 {
        let rows: Vec<usize> = (0..labels.len()).collect();
        let tallies = [champion, challenger].map(|scores| Tally::new(scores, &rows, labels, metric));
        lower_bound(&tallies, labels, metric, seed)
    }

    /// Labels, and scores that are right in `right` of ten rows.
    fn sample(rows: usize, right: usize) -> (Vec<bool>, Scores) {
        let labels: Vec<bool> = (0..rows).map(|row| row % 2 == 0).collect();
        let score = |row: usize| {
            if (row * 7 % 10 < right) == labels[row] {
                0.9
            } else {
                0.1
            }
        };
        (labels.clone(), scores(vec![(0..rows).map(score).collect()]))
    }

    #[test]
    fn a_model_is_exactly_as_good_as_itself_by_every_metric() {
        let (labels, one) = sample(200, 8);
        for metric in MetricName::ALL {
            assert_eq!(bound(&one, &one, &labels, metric, 7), 0.0, "{metric:?}");
        }
    }

    #[test]
    fn a_worse_model_is_below_zero_and_a_better_one_above_by_every_metric() {
        let ((labels, good), (_, bad)) = (sample(400, 9), sample(400, 6));
        for metric in MetricName::ALL {
            let (worse, better) = (
                bound(&good, &bad, &labels, metric, 7),
                bound(&bad, &good, &labels, metric, 7),
            );
            assert!(worse < -0.1 && better > 0.1, "{metric:?}: {worse}, {better}");
        }
    }

    #[test]
    fn the_bound_is_pinned_so_that_other_draws_are_noticed() {
        let ((labels, good), (_, other)) = (sample(60, 9), sample(60, 8));
        let found = bound(&good, &other, &labels, MetricName::Accuracy, 7);
        assert_eq!(found, bound(&good, &other, &labels, MetricName::Accuracy, 7));
        // The difference is -6 of 60 rows; a standard error of sqrt(0.1 * 0.9 / 60) makes the bound about -0.164.
        assert_eq!(format!("{found:.6}"), "-0.166667");
    }

    #[test]
    fn the_bound_lies_below_the_true_difference_in_about_19_of_20_samples() {
        // Both models err independently in 2 of 10 rows: the true difference is 0.
        let mut random = SplitMix64::new(3);
        let mut below = 0;
        for seed in 0..200 {
            let labels = vec![true; 100];
            let mut model = || -> Scores {
                let score = |random: &mut SplitMix64| if random.below(10) < 8 { 0.9 } else { 0.1 };
                scores(vec![(0..100).map(|_| score(&mut random)).collect()])
            };
            let (champion, challenger) = (model(), model());
            below += u32::from(bound(&champion, &challenger, &labels, MetricName::Recall, seed) <= 0.0);
        }
        // 190 are expected, with a standard deviation of 3.1; a percentile bound is a little short for 100 rows.
        assert!((175..=199).contains(&below), "{below}");
    }

    #[test]
    fn the_margin_is_compared_as_it_is_written() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert!(reaches(&decimal("-0.030000"), &decimal("0.03")));
        assert!(!reaches(&decimal("-0.030001"), &decimal("0.03")));
        assert!(reaches(&decimal("0.000000"), &decimal("0")));
    }

    proptest! {
        #[test]
        fn a_tally_where_each_row_is_there_once_is_the_metric(
            rows in prop::collection::vec((any::<bool>(), 0_u8..9), 1..40)
        ) {
            let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
            let one: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 8.0).collect();
            let all: Vec<usize> = (0..rows.len()).collect();
            let expected = metrics(&labels, &one, 0.5);
            // Two equal repeats are one model.
            let both = scores(vec![one.clone(), one]);
            for metric in MetricName::ALL {
                let found = Tally::new(&both, &all, &labels, metric).value(metric, &labels, &vec![1; rows.len()]);
                prop_assert!((found - expected[position(metric)]).abs() < 1e-12, "{:?}", metric);
            }
        }

        #[test]
        fn a_row_that_is_there_twice_counts_twice(
            rows in prop::collection::vec((any::<bool>(), 0_u8..9, 0_u64..3), 1..20)
        ) {
            let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
            let one: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 8.0).collect();
            let times: Vec<u64> = rows.iter().map(|row| row.2).collect();
            let all: Vec<usize> = (0..rows.len()).collect();
            let drawn: Vec<usize> = all.iter().flat_map(|row| vec![*row; times[*row] as usize]).collect();
            let of = |values: &[f64]| drawn.iter().map(|row| values[*row]).collect::<Vec<_>>();
            let drawn_labels: Vec<bool> = drawn.iter().map(|row| labels[*row]).collect();
            let expected = metrics(&drawn_labels, &of(&one), 0.5);
            for metric in MetricName::ALL {
                let tally = Tally::new(&scores(vec![one.clone()]), &all, &labels, metric);
                let found = tally.value(metric, &labels, &times);
                prop_assert!((found - expected[position(metric)]).abs() < 1e-12, "{:?}", metric);
            }
        }
    }
}
