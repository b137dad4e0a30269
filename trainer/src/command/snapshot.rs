//! `snapshot`: datasets are read, checked and frozen.

use modelward_wire::{JobResult, JobStage, ManifestKind, Verdict};

use crate::{
    command::{
        arguments::SnapshotArgs,
        checks::{other_snapshot, read_spec},
        temporary::Temporary,
    },
    data::freeze::{Frozen, freeze},
    ledger::Ledger,
    spec,
};

pub(super) async fn take_snapshot(args: &SnapshotArgs, ledger: Option<&Ledger>) -> anyhow::Result<JobResult> {
    let version = match read_spec(&args.spec, JobStage::Snapshot)? {
        Ok(version) => version,
        Err(result) => return Ok(result),
    };
    let training = &version.training;
    let (builder, rows, sources) = match freeze(&version, &args.source, &args.publish.reach()).await? {
        Frozen::Built(builder, rows, sources) => (builder, rows, sources),
        Frozen::Ended(result) => return Ok(result),
    };
    let digest = builder.manifest()?.2;
    if let Some(result) = other_snapshot(training, &digest, JobStage::Snapshot) {
        return Ok(result);
    }
    let temporary = Temporary::new()?;
    let dir = args.out.clone().unwrap_or_else(|| temporary.join("snapshot"));
    let (_, digest) = builder.write(&dir)?;
    if let Some(ledger) = ledger {
        ledger.publish(&dir, ManifestKind::Snapshot).await?;
    }
    let names: Vec<String> = training.datasets().map(spec::source_name).collect();
    let message = format!("froze {rows} rows of {} as {}", names.join(" + "), digest.short());
    let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, message);
    result.digest = Some(digest);
    result.rows = Some(rows);
    result.sources = sources;
    Ok(result)
}
