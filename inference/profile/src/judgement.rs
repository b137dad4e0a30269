//! A verdict with all the numbers behind it, as it is written and kept.

use modelward_wire::{DriftAspect, DriftVerdict};
use serde::{Deserialize, Serialize};

use crate::{evidence::FeatureEvidence, number::Exact, rule::Rule, sides::Sides};

/// The format that this code writes. It reads format 1 too.
pub const JUDGEMENT_FORMAT: u32 = 2;

/// A verdict with all the numbers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judgement {
    /// [`JUDGEMENT_FORMAT`].
    pub format: u32,
    /// `Drift` where any feature drifted, and its evidence over time says so too where there is `evidence`.
    pub verdict: DriftVerdict,
    /// Rows of features.
    pub rows: Sides,
    /// One entry a feature, in the order of the bins.
    pub features: Vec<FeatureJudgement>,
    /// The scores, by themselves: they have no say in `verdict`, which is about what came in.
    pub score: Comparison,
    /// What was gathered over time, one entry a feature in the order of the bins; empty where one window is judged by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<FeatureEvidence>,
    /// The rule that was followed.
    pub rule: Rule,
}

/// The judgement of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Written")]
pub struct FeatureJudgement {
    /// Its name.
    pub name: String,
    /// One entry a test, in the order of [`crate::test::ALL`].
    pub tests: Vec<TestJudgement>,
    /// Values outside the range of training, or of categories that it never saw. They are values like others too.
    pub outside: Sides,
    /// Rows that were refused because of a wrong type here.
    pub type_errors: Sides,
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

/// What came of comparing two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// What was found here.
    pub verdict: DriftVerdict,
    /// What was compared: present values, missing values or scores.
    pub counts: Sides,
    /// The tolerance that the lower bound was held against.
    pub tolerance: Exact<f64>,
    /// The effect; absent where there are too few rows.
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
    /// The p-value of "no difference", to 12 places: 0 stands for less than 5e-13.
    pub p_value: Exact<f64>,
    /// The share of false discoveries at which it would be one.
    pub q_value: Exact<f64>,
}

/// A [`FeatureJudgement`] in any format.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    tests: Option<Vec<TestJudgement>>,
    /// Of format 1, which had two tests.
    values: Option<Comparison>,
    /// Of format 1.
    missing: Option<Comparison>,
    outside: Sides,
    type_errors: Sides,
}

// === impl Judgement ===

impl Judgement {
    /// The judgement with what was gathered over time, from [`crate::evidence()`] at [`Rule::ever`]. Drift that is found in the
    /// window, and of which no feature has evidence enough, may be chance: there are too few rows to tell.
    #[must_use]
    pub fn confirmed(mut self, evidence: Vec<FeatureEvidence>) -> Self {
        let has_evidence = |(feature, evidence): (&FeatureJudgement, &FeatureEvidence)| {
            feature.drifted() && feature.name == evidence.name && evidence.alarm
        };
        if self.verdict == DriftVerdict::Drift && !self.features.iter().zip(&evidence).any(has_evidence) {
            self.verdict = DriftVerdict::InsufficientData;
        }
        self.evidence = evidence;
        self
    }

    /// The features that drifted in the window, in the order of the bins.
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

impl TryFrom<Written> for FeatureJudgement {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let former = |test: &str, aspect, comparison| TestJudgement {
            test: test.to_owned(),
            aspect,
            comparison,
        };
        let tests = match (written.tests, written.values, written.missing) {
            (Some(tests), None, None) => tests,
            (None, Some(values), Some(missing)) => vec![
                former("variation", DriftAspect::Values, values),
                former("missing-rate", DriftAspect::MissingRate, missing),
            ],
            _ => return Err("a feature has either `tests` or, in format 1, both `values` and `missing`"),
        };
        Ok(Self {
            name: written.name,
            tests,
            outside: written.outside,
            type_errors: written.type_errors,
        })
    }
}
