//! The snapshot that a fit reads, checked against its spec.

use anyhow::Context as _;
use modelward_wire::{JobResult, JobStage};

use crate::{
    command::{
        arguments::RowsArgs,
        checks::{check_splits, contradiction, other_snapshot},
        temporary::Temporary,
    },
    data::{
        freeze::{Frozen, freeze},
        snapshot::{self, Snapshot},
        source::Fetch,
    },
    ledger::Ledger,
    spec::Spec,
};

/// The snapshot; `Err` in the inner result if the data cannot be used, or are not those that the spec asks for.
pub(super) async fn open_snapshot(
    rows: &RowsArgs,
    version: &Spec,
    fetch: &Fetch,
    ledger: Option<&Ledger>,
    temporary: &Temporary,
) -> anyhow::Result<Result<Snapshot, JobResult>> {
    let (dir, digest) = match (&rows.snapshot, rows.snapshot_dir.as_deref()) {
        (Some(digest), _) => {
            let ledger = ledger.context("--snapshot needs --publish and the ledger's address")?;
            let dir = temporary.join("snapshot");
            ledger.fetch(digest, &dir).await?;
            (dir, Some(*digest))
        }
        (None, Some(dir)) => (dir.to_owned(), None),
        (None, None) => {
            let dir = temporary.join("snapshot");
            match freeze(version, &rows.source, fetch).await? {
                Frozen::Built(built) => (dir.clone(), Some(built.files.write(&dir)?.1)),
                Frozen::Ended(result) => return Ok(Err(of_fit(result))),
            }
        }
    };
    let name = dir.display().to_string();
    let snapshot =
        snapshot::open(&dir, digest.as_ref()).with_context(|| format!("cannot open the snapshot {name}"))?;
    let other = other_snapshot(&version.training, &snapshot.digest, JobStage::Fit);
    let wrong = other
        .or_else(|| contradiction(version, &snapshot))
        .or_else(|| check_splits(&version.training, &snapshot.data));
    Ok(match wrong {
        Some(result) => Err(of_fit(result)),
        None => Ok(snapshot),
    })
}

fn of_fit(mut result: JobResult) -> JobResult {
    result.stage = JobStage::Fit;
    result
}
