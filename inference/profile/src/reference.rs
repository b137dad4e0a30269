//! What traffic is compared with.

use serde::{Deserialize, Serialize};

use crate::{
    Bins, BinsError, Counts, CountsError, Observed, RowError, bins::chooses_bins, counts::FeatureCount,
    season::Phases,
};

/// Where a model's features and score are cut, and what was counted there in the data that it was trained on. The
/// content of a bundle's reference file.
///
/// Scores in it are out of fold: scores of rows by models that were fitted on them are too sure of themselves, and
/// everything after them would look like drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// The bins.
    pub bins: Bins,
    /// The counts in them.
    pub counts: Counts,
    /// Which of the counted rows the bins were chosen by.
    #[serde(default)]
    pub chosen_by: ChosenBy,
    /// The counts by phase, if they are those of a season of traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
}

/// Which of a reference's rows its bins were chosen by. Rows by which cells were chosen are no sample of how full they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rows", content = "others", rename_all_fields = "camelCase")]
pub enum ChosenBy {
    /// All of them, as the first format did: single cells cannot be compared.
    #[default]
    All,
    /// One half. What was counted of each feature in the other half; `None` where the bins are the user's own.
    Half(Vec<Option<FeatureCount>>),
    /// None of them: the bins were there before, as those of an accepted window are.
    None,
}

/// Why a reference may not be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// The bins are not whole.
    #[error("the reference's bins cannot be used")]
    Bins(#[from] BinsError),
    /// The counts are not of these bins, or do not add up.
    #[error("the reference's counts cannot be used")]
    Counts(#[from] CountsError),
}

// === impl Reference ===

impl Reference {
    /// The rows of the training data, each with its score and class, counted in bins that [every second row](chooses_bins) chose.
    /// `declared` says of each feature whether its bins are the user's own.
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

    /// Checks what serde cannot. Call it on everything that was read.
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

    /// What was counted of a feature in rows by which its bins were not chosen; `None` where there are none.
    pub fn unchosen(&self, feature: usize) -> Option<&FeatureCount> {
        let all = &self.counts.features.features[feature];
        match &self.chosen_by {
            ChosenBy::All => None,
            ChosenBy::Half(others) => others[feature].as_ref().or(Some(all)),
            ChosenBy::None => Some(all),
        }
    }
}
