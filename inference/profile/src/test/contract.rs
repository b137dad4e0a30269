//! The trait of all tests: a name, an aspect, a p-value of "no change", and the size of the change.

use std::fmt;

use modelward_wire::DriftAspect;

use crate::{bins::FeatureBins, counts::FeatureCount, sides::Sides};

/// A test whether one feature is the same in a span of windows as in the reference.
///
/// It computes only with `+ - * / sqrt` and `libm`, so that the same counts give the same bits on any machine. It never
/// panics, for any counts.
pub trait DriftTest: fmt::Debug + Sync {
    /// Its name in judgements and reports, in lower case with hyphens. It never changes, because stored judgements have it.
    fn name(&self) -> &'static str;

    /// The aspect of a feature that it tests.
    fn aspect(&self) -> DriftAspect;

    /// Its share of the level of a feature with these bins, relative to the other tests. 0 if it does not apply to them.
    fn weight(&self, bins: &FeatureBins) -> f64;

    /// The number of tested items on each side, for readers.
    fn counts(&self, samples: &Samples<'_>) -> Sides;

    /// The natural logarithm of a p-value of "both sides are samples of the same distribution", or of an upper bound of it.
    /// `None` if the test cannot decide.
    ///
    /// If both sides are samples of the same distribution, P(p ≤ u) ≤ u for every level u, for any distribution. Above
    /// `log_level` it may be far from exact, because it does not matter there.
    fn log_p(&self, samples: &Samples<'_>, log_level: f64) -> Option<f64>;

    /// How large the change is. `None` if one side has too little data.
    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size>;
}

/// The counts of one feature on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The bins of both.
    pub bins: &'a FeatureBins,
    /// The reference, with as many slots as the bins have.
    pub reference: &'a FeatureCount,
    /// Rows of the reference that were not used to choose the bins. `None` if all rows were used.
    pub unchosen: Option<&'a FeatureCount>,
    /// The windows, with as many slots as the bins have.
    pub window: &'a FeatureCount,
}

/// How far two sides are apart. All numbers are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// The effect, a difference of probabilities from 0 to 1. Tolerances have the same scale.
    pub estimate: f64,
    /// A lower bound of the true effect that holds with the given confidence, from 0 to the estimate.
    pub lower: f64,
    /// An upper bound, from the estimate to 1.
    pub upper: f64,
}

// === impl Samples ===

impl Samples<'_> {
    /// Whether the bins existed before any row of the reference was counted.
    pub fn bins_are_fixed(&self) -> bool {
        // Compares pointers, as set by `Reference::unchosen`. Comparing all slots would take longer than the tests.
        self.unchosen
            .is_some_and(|unchosen| std::ptr::eq(unchosen, self.reference))
    }

    /// Whether a slot of a categorical feature has categories that were unknown when the categories were chosen: the last slot, and
    /// categories that occur only in rows that were not used to choose them.
    pub fn is_unseen(&self, slot: usize) -> bool {
        let last = self.bins.slots() - 1;
        slot == last
            || !self.bins_are_fixed()
                && self
                    .unchosen
                    .is_some_and(|unchosen| unchosen.values[slot] == self.reference.values[slot])
    }
}
