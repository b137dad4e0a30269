//! What every test has: a name, what it looks at, a p-value of "no change", and the size of the change.

use std::fmt;

use modelward_wire::DriftAspect;

use crate::{bins::FeatureBins, counts::FeatureCount, sides::Sides};

/// A test of whether one feature is in a span of windows what it was in the reference.
///
/// It computes with `+ - * / sqrt` and `libm` alone, so that the same counts give the same bits on any machine. It never
/// panics, whatever counts it is given.
pub trait DriftTest: fmt::Debug + Sync {
    /// Its name in judgements and reports, in lower case with hyphens. Kept judgements have it: it never changes.
    fn name(&self) -> &'static str;

    /// What of a feature it looks at.
    fn aspect(&self) -> DriftAspect;

    /// Its share of the level of a feature with these bins, relative to the other tests'; 0 where it says nothing about them.
    fn weight(&self, bins: &FeatureBins) -> f64;

    /// How much of that there is on each side, for readers.
    fn counts(&self, samples: &Samples<'_>) -> Sides;

    /// The natural logarithm of a p-value of "both sides are samples of one law", or of an upper bound of it. `None` where it
    /// cannot tell.
    ///
    /// For every level u, P(p ≤ u) ≤ u where both sides are samples of one law, whatever the law is. It may be far from exact
    /// where that cannot matter, above `log_level`.
    fn log_p(&self, samples: &Samples<'_>, log_level: f64) -> Option<f64>;

    /// How large the change is. `None` where there is too little on one side to tell.
    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size>;
}

/// The counts of one feature on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// What both were counted in.
    pub bins: &'a FeatureBins,
    /// The reference; as many slots as the bins have.
    pub reference: &'a FeatureCount,
    /// Rows of the reference by which the bins were not chosen; `None` where all of them were used for that.
    pub unchosen: Option<&'a FeatureCount>,
    /// The windows; as many slots as the bins have.
    pub window: &'a FeatureCount,
}

/// How far two sides are apart. All numbers are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// The effect, a difference of probabilities from 0 to 1: tolerances are on this scale.
    pub estimate: f64,
    /// A lower bound of the true effect that holds with the confidence that was asked for, from 0 to the estimate.
    pub lower: f64,
    /// An upper bound, from the estimate to 1.
    pub upper: f64,
}

// === impl Samples ===

impl Samples<'_> {
    /// Whether the bins were there before any row of the reference was counted.
    pub fn bins_are_fixed(&self) -> bool {
        // The same counts, as `Reference::unchosen` gives them: to compare them slot by slot would take longer than the tests.
        self.unchosen
            .is_some_and(|unchosen| std::ptr::eq(unchosen, self.reference))
    }

    /// Whether a slot of a categorical feature holds words that were not known when the categories were chosen: the last slot, and
    /// categories that only rows by which they were not chosen have.
    pub fn is_unseen(&self, slot: usize) -> bool {
        let last = self.bins.slots() - 1;
        slot == last
            || !self.bins_are_fixed()
                && self
                    .unchosen
                    .is_some_and(|unchosen| unchosen.values[slot] == self.reference.values[slot])
    }
}
