//! What traffic is compared with.

use serde::{Deserialize, Serialize};

use crate::{Bins, BinsError, Counts, CountsError};

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
    /// Checks what serde cannot. Call it on everything that was read.
    pub fn check(&self) -> Result<(), ReferenceError> {
        self.bins.check()?;
        Ok(self.counts.check(&self.bins)?)
    }
}
