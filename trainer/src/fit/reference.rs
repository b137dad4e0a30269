//! Freezing the bins that traffic will be counted in, and counting the training data in them; or taking over a window of
//! traffic that was accepted as the new normal.
//!
//! | | features | score |
//! |---|---|---|
//! | training data | bins and counts of all rows | bins and counts of their out-of-fold scores |
//! | accepted window | bins and counts of the window | bins and counts of the out-of-fold scores of the new rows |
//!
//! With old and new rows together every new one would drift forever: a mixture is like neither of its parts.

use modelward_crds::AcceptedWindow;
use modelward_model::{FeatureKind, FeatureSchema, Value, sha256};
use modelward_profile::{
    Bins, BinsError, Counts, FeatureBins, Observed, Phases, Reference, RowError, ScoreBins,
    bins::{BinKind, chooses_bins},
    counts::FeatureCounts,
};

use crate::{
    data::{
        dataset::{Dataset, Values},
        violation::cut,
    },
    fit::candidate::Candidate,
};

/// Why the training data cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A column has no bins.
    #[error("a column or the scores cannot be cut into bins")]
    Bins(#[from] BinsError),
    /// A row does not fit the bins that were made of it.
    #[error("a row cannot be counted")]
    Row(#[from] RowError),
}

/// With fewer new rows than these, the distribution of scores is that of all rows.
const LEAST_NEW_ROWS: usize = 30;

/// Why a window cannot be the reference. The same spec and window would fail again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// They have other bytes than the spec names.
    #[error("the window's counts are {found}, the spec names {expected}")]
    Digest {
        /// What they are.
        found: modelward_wire::Digest,
        /// What was asked for.
        expected: modelward_wire::Digest,
    },
    /// They cannot be parsed.
    #[error("the window's counts do not parse")]
    Parse(#[from] serde_json::Error),
    /// They do not fit their bins.
    #[error(transparent)]
    Reference(#[from] modelward_profile::ReferenceError),
    /// They are of more or fewer rows than the spec says.
    #[error("the window's counts are of {found} rows, the spec says {expected}")]
    Rows {
        /// What they are of.
        found: u64,
        /// What was asked for.
        expected: i64,
    },
    /// Most of their rows are outside of the bins, so a later change would not be seen.
    #[error(
        "more than half of the window's rows have values of {0} outside of the bins: such a window cannot be the reference"
    )]
    Outside(String),
    /// They are of other features than the data have.
    #[error(
        "the window counts the features {window}, the data have {data}: a window can be the reference of a version with the \
         same features only"
    )]
    Features {
        /// The window's.
        window: String,
        /// The data's.
        data: String,
    },
}

/// A window of traffic that was accepted, with its counts.
#[derive(Clone, Debug)]
pub struct Window {
    /// What the spec says about it.
    pub accepted: AcceptedWindow,
    reference: Reference,
}

/// The bins of these rows, and their counts in them.
///
/// Each row has the score that the first repeat's folds gave it: out of fold, and of one model. A mean over repeats
/// would have a narrower distribution than the scores that a server gives. The categories of `declared` features are the user's
/// own; all other bins are chosen by half of the rows.
pub fn reference(
    data: &Dataset,
    candidate: &Candidate,
    declared: &[String],
) -> Result<Reference, ReferenceError> {
    let scores = out_of_fold_scores(data.len(), candidate);
    let scored: Vec<f64> = scores.iter().copied().flatten().collect();
    let bins = Bins::new(feature_bins(data)?, ScoreBins::from_out_of_fold(&scored)?)?;
    let names = data.schema.features.iter().map(|feature| &feature.name);
    let declared: Vec<bool> = names.map(|name| declared.contains(name)).collect();
    let threshold = candidate.threshold.to_f64();
    let rows = scores.iter().enumerate().map(|(row, score)| {
        let values = data.values(row).map(observed);
        let score = score.unwrap_or(threshold);
        (values, score, u8::from(score >= threshold))
    });
    let mut made = Reference::of_rows(bins, &declared, rows)?;
    if scored.len() < data.len() {
        // All rows have features; of those that no fold tested there is no score.
        made.counts.score = count_scores(&made.bins, &scored, threshold)?.score;
    }
    Ok(made)
}

/// The bins of these rows and of the scores of a model that has no folds, and their counts in them. `declared` says for each feature
/// whether its categories are named.
pub fn reference_of_scores(
    data: &Dataset,
    scores: &[f64],
    threshold: f64,
    declared: &[bool],
) -> Result<Reference, ReferenceError> {
    let bins = Bins::new(feature_bins(data)?, ScoreBins::from_out_of_fold(scores)?)?;
    let rows = scores.iter().enumerate().map(|(row, score)| {
        let values = data.values(row).map(observed);
        (values, *score, u8::from(*score >= threshold))
    });
    Ok(Reference::of_rows(bins, declared, rows)?)
}

/// Counts of these scores, with features that are missing.
fn count_scores(bins: &Bins, scores: &[f64], threshold: f64) -> Result<Counts, RowError> {
    let mut counts = Counts::new(bins);
    let nothing = vec![Observed::Missing; bins.features.len()];
    for score in scores {
        counts.add_row(
            bins,
            nothing.iter().copied(),
            *score,
            u8::from(*score >= threshold),
        )?;
    }
    Ok(counts)
}

impl Window {
    /// Checks the counts against what the spec says about them, and against the features that will be counted.
    pub fn read(
        bytes: &[u8],
        accepted: &AcceptedWindow,
        schema: &FeatureSchema,
    ) -> Result<Self, WindowError> {
        let found = sha256(bytes);
        if found != accepted.counts {
            return Err(WindowError::Digest {
                found,
                expected: accepted.counts,
            });
        }
        let reference: Reference = serde_json::from_slice(bytes)?;
        reference.check()?;
        let rows = reference.counts.features.rows;
        if i64::try_from(rows) != Ok(accepted.rows) {
            return Err(WindowError::Rows {
                found: rows,
                expected: accepted.rows,
            });
        }
        let outside = reference.counts.outside(&reference.bins);
        if !outside.is_empty() {
            return Err(WindowError::Outside(cut(&outside.join(", "), 160)));
        }
        let window: Vec<(&str, &str)> = reference
            .bins
            .features
            .iter()
            .map(|feature| match feature.bins {
                BinKind::Numeric { .. } => (feature.name.as_str(), "Numeric"),
                BinKind::Categorical { .. } => (feature.name.as_str(), "Categorical"),
            })
            .collect();
        let data: Vec<(&str, &str)> = schema
            .features
            .iter()
            .map(|feature| match feature.kind {
                FeatureKind::Numeric { .. } => (feature.name.as_str(), "Numeric"),
                FeatureKind::Categorical { .. } => (feature.name.as_str(), "Categorical"),
            })
            .collect();
        if window != data {
            let text = |features: &[(&str, &str)]| {
                let each = features.iter().map(|(name, kind)| format!("{name} ({kind})"));
                cut(&each.collect::<Vec<_>>().join(", "), 160)
            };
            return Err(WindowError::Features {
                window: text(&window),
                data: text(&data),
            });
        }
        Ok(Self {
            accepted: accepted.clone(),
            reference,
        })
    }

    /// The reference of a version: the window's features, and the out-of-fold scores of the rows that are new in it.
    pub fn with_scores(
        &self,
        rows: usize,
        new_rows: &[usize],
        candidate: &Candidate,
    ) -> Result<Reference, ReferenceError> {
        let all = out_of_fold_scores(rows, candidate);
        let of_new: Vec<f64> = new_rows.iter().filter_map(|row| all[*row]).collect();
        let scores: Vec<f64> = if of_new.len() < LEAST_NEW_ROWS {
            all.into_iter().flatten().collect()
        } else {
            of_new
        };
        let bins = Bins::new(
            self.reference.bins.features.clone(),
            ScoreBins::from_out_of_fold(&scores)?,
        )?;
        let mut counts = count_scores(&bins, &scores, candidate.threshold.to_f64())?;
        // Refused rows are never accepted: clients have to correct them, and a rate of them would hide more of them.
        counts.features = without_type_errors(&self.reference.counts.features);
        let phases = self.reference.phases.as_ref().map(|phases| Phases {
            counts: phases.counts.iter().map(without_type_errors).collect(),
            ..phases.clone()
        });
        Ok(Reference {
            bins,
            counts,
            chosen_by: self.reference.chosen_by.clone(),
            phases,
        })
    }
}

fn without_type_errors(counts: &FeatureCounts) -> FeatureCounts {
    let mut counts = counts.clone();
    for feature in &mut counts.features {
        feature.type_errors = 0;
    }
    counts
}

fn feature_bins(data: &Dataset) -> Result<Vec<FeatureBins>, BinsError> {
    let features = data.schema.features.iter().zip(&data.columns);
    let bins = features.map(|(feature, column)| match (&feature.kind, column) {
        (FeatureKind::Categorical { categories }, _) => {
            Ok(FeatureBins::categorical(&feature.name, categories))
        }
        (FeatureKind::Numeric { .. }, Values::Numbers(column)) => {
            let choosing = column.iter().enumerate().filter(|(row, _)| chooses_bins(*row));
            let choosing: Vec<f32> = choosing.map(|(_, value)| *value).collect();
            FeatureBins::chosen_by(&feature.name, column, &choosing)
        }
        // No dataset has one: a column is made by the kind of its feature.
        (FeatureKind::Numeric { .. }, Values::Categories(_)) => {
            FeatureBins::chosen_by(&feature.name, &[], &[])
        }
    });
    bins.collect()
}

/// The score of each row by the first repeat's model that has not seen it; none for a row that no fold tested.
fn out_of_fold_scores(rows: usize, candidate: &Candidate) -> Vec<Option<f64>> {
    let mut scores = vec![None; rows];
    for fold in candidate.folds.iter().filter(|fold| fold.repeat == 0) {
        // Traffic is scored by one calibration, and not by one a fold.
        let of_fold = fold.served.as_ref().unwrap_or(&fold.scores);
        for (row, score) in fold.rows.iter().zip(of_fold) {
            scores[*row] = Some(*score);
        }
    }
    scores
}

fn observed(value: Value) -> Observed {
    match value {
        Value::Number(number) => Observed::Number(number),
        Value::Category(category) => Observed::Category(category),
        Value::Unknown => Observed::NewCategory,
        Value::Missing => Observed::Missing,
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, Row};
    use modelward_profile::{Rule, WindowCounts, judge};
    use modelward_wire::DriftVerdict;

    use super::*;
    use crate::fit::{
        plan::Plan,
        train::{tests::plan, train},
    };

    fn data() -> Dataset {
        let rows = (0..200_u16).map(|at| {
            let age = if at % 10 == 0 {
                Value::Missing
            } else {
                Value::Number(f32::from(at * 7 % 101))
            };
            Row::new(vec![age, Value::Category(u32::from(at % 3))])
        });
        let schema = FeatureSchema::new(vec![
            Feature::numeric("age"),
            Feature::categorical("cp", &["1", "2", "3"]),
        ]);
        Dataset::from_rows(
            schema.unwrap(),
            &rows.collect::<Vec<_>>(),
            (0..200).map(|at| at * 7 % 101 > 50).collect(),
        )
    }

    fn made() -> Reference {
        let data = data();
        let plan = Plan {
            folds: 5,
            repeats: 2,
            ..plan()
        };
        let trained = train(&data, &plan, 1, &|_| ()).unwrap();
        reference(&data, &trained.candidates[0], &[]).unwrap()
    }

    #[test]
    fn every_training_row_is_counted_once_and_the_counts_fit_the_bins() {
        let made = made();
        made.check().unwrap();
        assert_eq!(made.counts.answered(), Some(200));
        assert_eq!(made.counts.features.features[0].missing, 20);
    }

    #[test]
    fn training_data_do_not_drift_from_themselves() {
        let made = made();
        let windows = [WindowCounts {
            from: 0,
            to: 3600,
            counts: &made.counts,
        }];
        let judged = judge(&made, &windows, &Rule::default()).unwrap();
        assert_eq!(judged.verdict, DriftVerdict::NoDrift);
    }

    #[test]
    fn a_reference_survives_its_text_bit_for_bit() {
        let made = made();
        let text = serde_json::to_string(&made).unwrap();
        let read: Reference = serde_json::from_str(&text).unwrap();
        assert_eq!(read, made);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
