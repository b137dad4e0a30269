//! A verdict with all the numbers behind it, as it is written and kept.

use modelward_wire::{DriftAspect, DriftVerdict};
use serde::{Deserialize, Serialize};

use crate::{number::Exact, rule::Rule, sides::Sides};

/// The format that this code writes.
pub const JUDGEMENT_FORMAT: u32 = 3;

/// A verdict with all the numbers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judgement {
    /// [`JUDGEMENT_FORMAT`].
    pub format: u32,
    /// `Drift` where any comparison of a feature or of the score is.
    pub verdict: DriftVerdict,
    /// Rows of the reference and of the newest window.
    pub rows: Sides,
    /// One entry a feature, in the order of the bins.
    pub features: Vec<FeatureJudgement>,
    /// The scores.
    pub score: Comparison,
    /// How many rows are refused for a reason other than the type of a value. Judgements of earlier releases do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Comparison>,
    /// The amount of traffic, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Comparison>,
    /// The rule that was followed.
    pub rule: Rule,
}

/// The judgement of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureJudgement {
    /// Its name.
    pub name: String,
    /// One entry for each test that says something about the feature, in the order of [`crate::test::ALL`].
    pub tests: Vec<TestJudgement>,
}

/// What one test says of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestJudgement {
    /// Name of the test.
    pub test: String,
    /// What of the feature it looked at.
    pub aspect: DriftAspect,
    /// What it found.
    pub comparison: Comparison,
}

/// What came of comparing the reference with the span of windows that has most evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// `Drift` where the change is past chance and its lower bound is at or over the tolerance.
    pub verdict: DriftVerdict,
    /// How many of the newest windows are compared together.
    pub windows: u64,
    /// What was compared: present values, values outside, missing values, refused rows or scores.
    pub counts: Sides,
    /// The tolerance that the lower bound was held against.
    pub tolerance: Exact<f64>,
    /// −log of the p-value of "no change", or a lower bound of it; absent where there is too little to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_evidence: Option<Exact<f64>>,
    /// −log of the level: what `log_evidence` must reach.
    pub log_threshold: Exact<f64>,
    /// How large the change is; absent where it is not past chance even by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// How large a difference is, and how sure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Effect {
    /// The estimate; too large by chance where rows are few.
    pub estimate: Exact<f64>,
    /// Its lower confidence bound.
    pub lower: Exact<f64>,
    /// Its upper confidence bound.
    pub upper: Exact<f64>,
}

// === impl Judgement ===

impl Judgement {
    /// The features that drifted, in the order of the bins.
    pub fn drifted(&self) -> impl Iterator<Item = &FeatureJudgement> {
        self.features.iter().filter(|feature| feature.drifted())
    }
}

// === impl FeatureJudgement ===

impl FeatureJudgement {
    /// Whether it drifted by any of the tests.
    pub fn drifted(&self) -> bool {
        self.tests
            .iter()
            .any(|test| test.comparison.verdict == DriftVerdict::Drift)
    }

    /// What the test of this name found.
    pub fn comparison(&self, test: &str) -> Option<&Comparison> {
        let found = self.tests.iter().find(|judged| judged.test == test)?;
        Some(&found.comparison)
    }
}

// === impl Comparison ===

impl Comparison {
    /// Whether the change is past chance, however small it is.
    pub fn has_changed(&self) -> bool {
        self.log_evidence
            .is_some_and(|evidence| evidence >= self.log_threshold)
    }
}
