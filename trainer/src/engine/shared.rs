//! What several fits on the rows of one fold share: the rows after declared transforms, and of each library one set of bins for each
//! number of bins.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{EngineError, lightgbm, xgboost};
use crate::{
    data::dataset::Sample,
    transform::{FittedRows, TransformError},
};

/// Bins of the rows of one sample, and of the rows that are evaluated during a fit on it. Made when they are first requested.
#[derive(Debug, Default)]
pub struct SharedBins {
    xgboost: Made<xgboost::Bins>,
    lightgbm: Made<lightgbm::Bins>,
    derived: Mutex<Option<Arc<FittedRows>>>,
}

/// The rows that a family is fitted on.
#[derive(Clone, Copy, Debug)]
pub struct TrainingRows<'a> {
    /// The rows, with their weights.
    pub sample: Sample<'a>,
    /// What other fits on the same rows and weights share with this one.
    pub shared: Option<&'a SharedBins>,
}

/// By the number of bins, and whether they are of the rows that are evaluated.
type Made<T> = Mutex<BTreeMap<(u32, bool), Arc<T>>>;

// === impl SharedBins ===

impl SharedBins {
    /// The rows after the declared transforms, which are the same for all fits.
    pub fn derived(
        &self,
        fit: impl FnOnce() -> Result<FittedRows, TransformError>,
    ) -> Result<Arc<FittedRows>, TransformError> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*derived {
            return Ok(Arc::clone(found));
        }
        let new = Arc::new(fit()?);
        *derived = Some(Arc::clone(&new));
        Ok(new)
    }

    /// XGBoost's bins of the sample.
    pub fn xgboost(&self, sample: Sample<'_>, max_bin: u32) -> Result<Arc<xgboost::Bins>, EngineError> {
        find_or_make(&self.xgboost, (max_bin, false), || {
            xgboost::Bins::new(sample, max_bin)
        })
    }

    /// XGBoost's bins of the rows that are evaluated.
    pub fn xgboost_tested(
        &self,
        tested: Sample<'_>,
        reference: &xgboost::Bins,
        max_bin: u32,
    ) -> Result<Arc<xgboost::Bins>, EngineError> {
        find_or_make(&self.xgboost, (max_bin, true), || {
            xgboost::Bins::of_reference(tested, reference)
        })
    }

    /// LightGBM's bins of the sample.
    pub fn lightgbm(&self, sample: Sample<'_>, max_bin: u32) -> Result<Arc<lightgbm::Bins>, EngineError> {
        find_or_make(&self.lightgbm, (max_bin, false), || {
            lightgbm::Bins::new(sample, max_bin)
        })
    }

    /// LightGBM's bins of the rows that are evaluated.
    pub fn lightgbm_tested(
        &self,
        tested: Sample<'_>,
        reference: &lightgbm::Bins,
        max_bin: u32,
    ) -> Result<Arc<lightgbm::Bins>, EngineError> {
        find_or_make(&self.lightgbm, (max_bin, true), || {
            lightgbm::Bins::of_reference(tested, reference)
        })
    }
}

// === impl TrainingRows ===

impl<'a> From<Sample<'a>> for TrainingRows<'a> {
    fn from(sample: Sample<'a>) -> Self {
        Self { sample, shared: None }
    }
}

impl TrainingRows<'_> {
    /// XGBoost's bins of these rows.
    pub(crate) fn xgboost_bins(self, max_bin: u32) -> Result<Arc<xgboost::Bins>, EngineError> {
        match self.shared {
            Some(shared) => shared.xgboost(self.sample, max_bin),
            None => Ok(Arc::new(xgboost::Bins::new(self.sample, max_bin)?)),
        }
    }

    /// LightGBM's bins of these rows.
    pub(crate) fn lightgbm_bins(self, max_bin: u32) -> Result<Arc<lightgbm::Bins>, EngineError> {
        match self.shared {
            Some(shared) => shared.lightgbm(self.sample, max_bin),
            None => Ok(Arc::new(lightgbm::Bins::new(self.sample, max_bin)?)),
        }
    }
}

/// The lock is held during the making, so that bins are made once.
fn find_or_make<T>(
    made: &Made<T>,
    key: (u32, bool),
    make: impl FnOnce() -> Result<T, EngineError>,
) -> Result<Arc<T>, EngineError> {
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = made.get(&key) {
        return Ok(Arc::clone(found));
    }
    let new = Arc::new(make()?);
    made.insert(key, Arc::clone(&new));
    Ok(new)
}
