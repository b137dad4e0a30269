//! The outcome of a comparison.

use modelward_wire::{ComparedRows, Decimal, Digest, GateBound, GateResult};
use serde::Serialize;

use crate::fit::metrics::four_places;

/// The outcome of a comparison.
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
    /// The column whose groups are drawn and counted in place of rows, if folds separate no group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grouped_by: Option<String>,
    /// All rows, then the new ones.
    pub on: Vec<Outcome>,
}

/// The outcome of a comparison on some rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Which rows.
    pub rows: ComparedRows,
    /// How many.
    pub count: usize,
    /// The champion's metric on them, pooled over the folds.
    pub champion: f64,
    /// The challenger's, pooled over the folds.
    pub challenger: f64,
    /// On how many of them the two answer with different classes; the mean over the repeats, rounded down.
    pub differing: usize,
    /// Their groups, if groups are counted in place of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupCounts>,
    /// Whether they are enough evidence.
    pub evidence: Evidence,
    /// The lower bound of the difference; higher is better. Rounded as it is gated.
    pub lower_bound: Decimal,
    /// Whether they are enough evidence, and the bound is at or above minus the margin.
    pub passed: bool,
}

/// The groups of compared rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    /// How many.
    pub count: usize,
    /// In how many of them the two answer a row with different classes; the mean over the repeats, rounded down.
    pub differing: usize,
}

/// Whether rows are enough evidence that a challenger is not worse. On one row, or on rows on which both answer alike, every challenger
/// is as good: their bootstrap has no spread. The same holds for one group, whose rows are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Evidence {
    /// They are.
    Enough,
    /// There are too few of them, or too few on which the two differ.
    NotEnough,
}

/// New rows that a comparison needs, or groups with new rows if groups are drawn: a percentile bound of fewer is too near.
pub const LEAST_NEW_ROWS: usize = 30;
/// Rows among them on which the two answer with different classes, or groups with such a row.
pub const LEAST_DIFFERING: usize = 10;

// === impl Evidence ===

impl Evidence {
    /// Of rows, or of groups if groups are drawn. There is no minimum for all rows together, only for the new ones among them.
    pub(super) const fn of(rows: ComparedRows, count: usize, differing: usize) -> Self {
        match rows {
            ComparedRows::New if count < LEAST_NEW_ROWS || differing < LEAST_DIFFERING => Self::NotEnough,
            ComparedRows::New | ComparedRows::All => Self::Enough,
        }
    }
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

    /// A message for each part that failed.
    pub fn failed(&self) -> impl Iterator<Item = String> {
        self.on.iter().filter(|outcome| !outcome.passed).map(|outcome| {
            let count = outcome.count;
            let rows = match outcome.rows {
                ComparedRows::All => format!("all {count} rows"),
                ComparedRows::New => format!("{count} new rows"),
            };
            if let (Evidence::NotEnough, Some(groups), Some(column)) =
                (outcome.evidence, outcome.groups, &self.grouped_by)
            {
                let noun = if groups.count == 1 { "group" } else { "groups" };
                return format!(
                    "there are not enough groups by {column} to compare with {}: {count} new rows of {} {noun}, and the two differ in {} \
                     of them; at least {LEAST_NEW_ROWS} and {LEAST_DIFFERING} groups are needed: add rows of new groups",
                    self.version, groups.count, groups.differing
                );
            }
            if outcome.evidence == Evidence::NotEnough {
                return format!(
                    "there are not enough rows to compare with {}: {count} new rows, and the two differ on {} of them; at least \
                     {LEAST_NEW_ROWS} and {LEAST_DIFFERING} are needed: add new rows",
                    self.version, outcome.differing
                );
            }
            format!(
                "on {rows} {} {} (pooled) against {}'s {}, and may be up to {} worse; the margin allows {}",
                self.metric,
                four_places(outcome.challenger),
                self.version,
                four_places(outcome.champion),
                outcome.lower_bound.as_str().trim_start_matches('-'),
                self.margin
            )
        })
    }

    /// A message for what passed.
    pub fn passed(&self) -> String {
        let bounds = self.on.iter().map(|outcome| {
            let bound = four_places(outcome.lower_bound.to_f64());
            format!("{bound} on {}", outcome.rows.phrase())
        });
        let bounds = bounds.collect::<Vec<_>>().join(", ");
        format!(
            "not worse than {} (lower bound of the difference {bounds})",
            self.version
        )
    }
}
