//! The counts in the ledger.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, words},
    story::{SOON, Story},
    wait::until,
};

/// Time limit for Pods to report their counts.
const REPORTED: Duration = Duration::from_secs(40);
/// Longer than Pods take to report their counts.
const AT_REST: Duration = Duration::from_secs(7);

/// Rows of a model that the ledger has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Rows that are judged.
    pub rows: u64,
    /// Synthetic and repeated rows, and rows over the limit of a Pod.
    pub aside: u64,
}

// === impl Cluster ===

impl Cluster {
    /// The result of a query in PostgreSQL, one row per line, without a header.
    async fn query(&self, sql: &str) -> Result<String> {
        let exec = [
            "exec",
            "--namespace",
            &self.system,
            "modelward-postgresql-0",
            "--",
        ];
        let psql = ["psql", "--username", "modelward", "--dbname", "modelward"];
        let words_alone = ["--no-align", "--tuples-only", "--field-separator", " ", "-c", sql];
        let output = self
            .kubectl(None, &[&exec[..], &psql, &words_alone].concat())
            .await?;
        ensure!(output.status.success(), "{sql}: {}", words(&output));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

// === impl Counted ===

impl Counted {
    /// All rows.
    pub fn sum(self) -> u64 {
        self.rows + self.aside
    }
}

// === impl Story ===

impl Story {
    /// The ledger's counts of a model.
    pub async fn counted(&self, model: &str) -> Result<Counted> {
        let sql = format!(
            "SELECT coalesce(sum(rows), 0), coalesce(sum(synthetic + repeated + over_limit), 0)
             FROM counts WHERE namespace = '{}' AND model = '{model}'",
            self.namespace
        );
        let answer = self.cluster.query(&sql).await?;
        let (rows, aside) = answer.split_once(' ').with_context(|| answer.clone())?;
        Ok(Counted {
            rows: rows.parse()?,
            aside: aside.parse()?,
        })
    }

    /// Waits until the ledger has counted this many rows of a model, no more and no fewer.
    pub async fn awaits_count(&self, model: &str, sum: u64) -> Result<Counted> {
        let mut last = None;
        let counted = until("every row is counted once", REPORTED, async || {
            let counted = self.counted(model).await?;
            last = Some(counted);
            Ok((counted.sum() == sum).then_some(counted))
        })
        .await;
        counted
            .with_context(|| format!("the ledger has counted {last:?} of {model}, and {sum} were answered"))
    }

    /// The ledger's counts of a model, once they have not increased for longer than Pods take to report.
    pub async fn settled_count(&self, model: &str) -> Result<u64> {
        let mut before = self.counted(model).await?;
        let mut since = Instant::now();
        until(&format!("the counts of {model} are at rest"), SOON, async || {
            let now = self.counted(model).await?;
            if now != before {
                (before, since) = (now, Instant::now());
            }
            Ok((since.elapsed() > AT_REST).then_some(now.sum()))
        })
        .await
    }

    /// The uids of the Pods that did not close their counts of windows that began at this time or later and that ended longer ago
    /// than this duration.
    pub async fn unclosed_since(
        &self,
        model: &str,
        begin: Timestamp,
        lateness_seconds: i32,
    ) -> Result<BTreeSet<String>> {
        let sql = format!(
            "SELECT DISTINCT pod_uid FROM counts
             WHERE namespace = '{}' AND model = '{model}' AND NOT closed AND window_start >= to_timestamp({})
               AND window_start + make_interval(secs => window_seconds + {lateness_seconds}) < now()",
            self.namespace,
            begin.as_second()
        );
        let answer = self.cluster.query(&sql).await?;
        Ok(answer.lines().map(str::to_owned).collect())
    }
}
