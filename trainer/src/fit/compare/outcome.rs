//! What came of comparing.

use modelward_wire::{ComparedRows, Decimal, Digest, GateBound, GateResult};
use serde::Serialize;

/// What came of comparing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Name of the champion.
    pub version: String,
    /// Its bundle.
    pub bundle: Digest,
    /// The metric.
    pub metric: &'static str,
    /// How much worse the challenger may be.
    pub margin: Decimal,
    /// Draws of the bootstrap.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// All rows, then the new ones where there are any.
    pub on: Vec<Outcome>,
}

/// What came of comparing on some rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Which rows.
    pub rows: ComparedRows,
    /// How many.
    pub count: usize,
    /// The champion's metric on them.
    pub champion: f64,
    /// The challenger's.
    pub challenger: f64,
    /// The lower bound of the difference, more being better; rounded as it is gated.
    pub lower_bound: Decimal,
    /// Whether it is at or above minus the margin.
    pub passed: bool,
}

// === impl Comparison ===

impl Comparison {
    /// Each outcome as a gate.
    pub fn gates(&self) -> Vec<GateResult> {
        let gate = |outcome: &Outcome| GateResult {
            metric: self.metric.to_owned(),
            bound: GateBound::NotWorseThan {
                version: self.version.clone(),
                margin: self.margin.clone(),
                rows: outcome.rows,
            },
            value: outcome.lower_bound.clone(),
            passed: outcome.passed,
        };
        self.on.iter().map(gate).collect()
    }

    /// What failed, in words.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        self.on.iter().filter(|outcome| !outcome.passed).map(|outcome| {
            let count = outcome.count;
            let rows = match outcome.rows {
                ComparedRows::All => format!("all {count} rows"),
                ComparedRows::New => format!("{count} new rows"),
            };
            format!(
                "on {rows} {} {:.4} against {}'s {:.4}, and may be up to {:.4} worse; the margin allows {}",
                self.metric,
                outcome.challenger,
                self.version,
                outcome.champion,
                -outcome.lower_bound.to_f64(),
                self.margin
            )
        })
    }

    /// What passed, in words.
    pub fn passed(&self) -> String {
        let bounds = self.on.iter().map(|outcome| {
            let bound = outcome.lower_bound.to_f64();
            format!("{bound:.4} on {}", outcome.rows.phrase())
        });
        let bounds = bounds.collect::<Vec<_>>().join(", ");
        let has_new_rows = self.on.iter().any(|outcome| outcome.rows == ComparedRows::New);
        let skipped = if has_new_rows {
            String::new()
        } else {
            format!(
                "; {} was trained on every row, so new rows were not compared",
                self.version
            )
        };
        format!(
            "not worse than {} (lower bound of the difference {bounds}){skipped}",
            self.version
        )
    }
}
