//! The reference that traffic is compared with.

use serde::{Deserialize, Serialize};

use crate::{
    Bins, BinsError, Counts, CountsError, Observed, RowError, bins::chooses_bins, counts::FeatureCount,
    season::Phases,
};

/// The bins of a model's features and score, and the counts of the training data in them. The content of a bundle's
/// reference file.
///
/// The scores are out of fold. Scores of rows that a model was fitted on are too extreme, and all later scores would
/// look like drift in comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// The bins.
    pub bins: Bins,
    /// The counts in them.
    pub counts: Counts,
    /// Which of the counted rows were used to choose the bins.
    #[serde(default)]
    pub chosen_by: ChosenBy,
    /// The counts by phase, if the reference is a season of traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
}

/// Which rows of a reference were used to choose its bins. Those rows are not an unbiased sample of how full the bins are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rows", content = "others", rename_all_fields = "camelCase")]
pub enum ChosenBy {
    /// All rows, as in the first format. Single cells cannot be compared.
    #[default]
    All,
    /// One half. Has the counts of each feature in the other half, or `None` if the user declared the bins.
    Half(Vec<Option<FeatureCount>>),
    /// No rows. The bins existed before, as for an accepted window.
    None,
}

/// Why a reference may not be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// The bins are invalid.
    #[error("the reference's bins cannot be used")]
    Bins(#[from] BinsError),
    /// The counts do not belong to these bins, or are inconsistent.
    #[error("the reference's counts cannot be used")]
    Counts(#[from] CountsError),
}

// === impl Reference ===

impl Reference {
    /// Counts the rows of the training data, each with its score and class, in bins that [half of the rows](chooses_bins) chose.
    /// `declared` says for each feature whether the user declared its bins.
    pub fn of_rows<R>(
        bins: Bins,
        declared: &[bool],
        rows: impl IntoIterator<Item = (R, f64, u8)>,
    ) -> Result<Self, RowError>
    where
        R: IntoIterator<Item = Observed> + Clone,
        R::IntoIter: ExactSizeIterator + Clone,
    {
        let mut counts = Counts::new(&bins);
        let mut others = Counts::new(&bins);
        for (index, (row, score, class)) in rows.into_iter().enumerate() {
            if !chooses_bins(index) {
                others.add_row(&bins, row.clone(), score, class)?;
            }
            counts.add_row(&bins, row, score, class)?;
        }
        let others = others.features.features.into_iter().zip(declared);
        Ok(Self {
            bins,
            counts,
            chosen_by: ChosenBy::Half(
                others
                    .map(|(others, declared)| (!declared).then_some(others))
                    .collect(),
            ),
            phases: None,
        })
    }

    /// Checks what serde cannot check. Call it on everything that was read.
    pub fn check(&self) -> Result<(), ReferenceError> {
        self.bins.check()?;
        self.counts.check(&self.bins)?;
        if let Some(phases) = &self.phases {
            phases.check(&self.bins, &self.counts.features)?;
        }
        if let ChosenBy::Half(others) = &self.chosen_by {
            let fits = others.len() == self.bins.features.len()
                && others
                    .iter()
                    .zip(&self.counts.features.features)
                    .all(|(other, all)| {
                        other.as_ref().is_none_or(|other| {
                            other.values.len() == all.values.len()
                                && other
                                    .values
                                    .iter()
                                    .zip(&all.values)
                                    .all(|(other, all)| other <= all)
                                && other.missing <= all.missing
                        })
                    });
            if !fits {
                return Err(
                    CountsError::Shape("the rows by which the bins were not chosen".to_owned()).into(),
                );
            }
        }
        Ok(())
    }

    /// The counts of a feature in rows that were not used to choose its bins, or `None` if there are none.
    pub fn unchosen(&self, feature: usize) -> Option<&FeatureCount> {
        let all = &self.counts.features.features[feature];
        match &self.chosen_by {
            ChosenBy::All => None,
            ChosenBy::Half(others) => others[feature].as_ref().or(Some(all)),
            ChosenBy::None => Some(all),
        }
    }
}
