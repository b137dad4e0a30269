//! A verdict with all its numbers, in the form that is stored.

use modelward_wire::{DriftAspect, DriftVerdict};
use serde::{Deserialize, Serialize};

use crate::{number::Exact, rule::Rule, sides::Sides};

/// The format that this code writes.
pub const JUDGEMENT_FORMAT: u32 = 3;

/// A verdict with all its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judgement {
    /// [`JUDGEMENT_FORMAT`].
    pub format: u32,
    /// `Drift` if any comparison has this verdict.
    pub verdict: DriftVerdict,
    /// Rows of the reference and of the newest window.
    pub rows: Sides,
    /// One entry for each feature, in the order of the bins.
    pub features: Vec<FeatureJudgement>,
    /// The scores.
    pub score: Comparison,
    /// The rate of rows that are refused for a reason other than the type of a value. Absent in judgements of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Comparison>,
    /// The amount of traffic, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Comparison>,
    /// The rule that was applied.
    pub rule: Rule,
}

/// The judgement of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureJudgement {
    /// Its name.
    pub name: String,
    /// One entry for each test that applies to the feature, in the order of [`crate::test::ALL`].
    pub tests: Vec<TestJudgement>,
}

/// The result of one test of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestJudgement {
    /// Name of the test.
    pub test: String,
    /// The aspect of the feature that it tests.
    pub aspect: DriftAspect,
    /// The comparison.
    pub comparison: Comparison,
}

/// The comparison of the reference with the span of windows that has the most evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// `Drift` if the change is significant and its lower bound is at least the tolerance.
    pub verdict: DriftVerdict,
    /// Number of the newest windows that are compared together.
    pub windows: u64,
    /// Number of compared items: present values, values outside, missing values, refused rows or scores.
    pub counts: Sides,
    /// The tolerance that the lower bound was compared with.
    pub tolerance: Exact<f64>,
    /// −log of the p-value of "no change", or a lower bound of it. Absent if there is too little data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_evidence: Option<Exact<f64>>,
    /// −log of the level, which `log_evidence` must reach.
    pub log_threshold: Exact<f64>,
    /// How large the change is. Absent if it would not even be significant in a single test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// How large a difference is, with confidence bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Effect {
    /// The estimate. It is biased upwards if there are few rows.
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
    /// Whether any of the tests found drift.
    pub fn drifted(&self) -> bool {
        self.tests
            .iter()
            .any(|test| test.comparison.verdict == DriftVerdict::Drift)
    }

    /// The comparison of the test with this name.
    pub fn comparison(&self, test: &str) -> Option<&Comparison> {
        let found = self.tests.iter().find(|judged| judged.test == test)?;
        Some(&found.comparison)
    }
}

// === impl Comparison ===

impl Comparison {
    /// Whether the change is significant, regardless of its size.
    pub fn has_changed(&self) -> bool {
        self.log_evidence
            .is_some_and(|evidence| evidence >= self.log_threshold)
    }
}
