//! What every test has: a name, what it looks at, and an estimate with its bounds and its p-value.

use std::fmt;

use modelward_wire::DriftAspect;

use crate::{bins::FeatureBins, counts::FeatureCount, rule::Rule, sides::Sides};

/// A test of whether one feature is in the window what it was in the reference.
///
/// It computes with `+ - * / sqrt` and `libm` alone, so that the same counts give the same bits on any machine. It never
/// panics, whatever counts it is given.
pub trait DriftTest: fmt::Debug + Sync {
    /// Its name in judgements and reports, in lower case with hyphens. Kept judgements have it: it never changes.
    fn name(&self) -> &'static str;

    /// What of a feature it looks at.
    fn aspect(&self) -> DriftAspect;

    /// How much of that there is on each side, for readers.
    fn counts(&self, samples: &Samples<'_>) -> Sides;

    /// How far the sides are apart. `None` where there is too little on one of them to tell.
    ///
    /// Both sides have [`Rule::min_rows`]; a test that needs more than that looks for itself.
    fn compare(&self, samples: &Samples<'_>, rule: &Rule) -> Option<Estimate>;
}

/// The counts of one feature on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// What both were counted in.
    pub bins: &'a FeatureBins,
    /// The reference; as many slots as the bins have.
    pub reference: &'a FeatureCount,
    /// The window; as many slots as the bins have.
    pub window: &'a FeatureCount,
}

/// How far two sides are apart. All numbers are finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The effect, a difference of probabilities from 0 to 1: tolerances are on this scale.
    pub estimate: f64,
    /// A lower bound of the true effect that holds with [`Rule::confidence`], from 0 to the estimate.
    pub lower: f64,
    /// An upper bound, from the estimate to 1.
    pub upper: f64,
    /// The p-value of "no difference", from 0 to 1.
    pub p_value: f64,
}
