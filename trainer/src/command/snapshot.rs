//! `snapshot`: datasets are read, checked and frozen, and for a retraining its new rows are counted.

use std::path::Path;

use modelward_crds::Champion;
use modelward_service::chain;
use modelward_wire::{JobResult, JobStage, ManifestKind, NewRows, Verdict, Violation};

use crate::{
    command::{
        arguments::SnapshotArgs,
        checks::{check_splits, other_snapshot, read_spec},
        temporary::Temporary,
    },
    data::{
        freeze::{Frozen, freeze, invalid},
        snapshot,
    },
    fit::compare::{check_features, count_new_rows},
    ledger::Ledger,
    spec,
};

pub(super) async fn take_snapshot(args: &SnapshotArgs, ledger: Option<&Ledger>) -> anyhow::Result<JobResult> {
    let version = match read_spec(&args.spec, JobStage::Snapshot)? {
        Ok(version) => version,
        Err(result) => return Ok(result),
    };
    let training = &version.training;
    let built = match freeze(&version, &args.source, &args.publish.fetch(args.size)).await? {
        Frozen::Built(built) => built,
        Frozen::Ended(result) => return Ok(result),
    };
    if let Some(mut result) = check_splits(training, &built.data) {
        result.sources = built.sources;
        result.warnings = built.warnings;
        return Ok(result);
    }
    let rows = built.data.len() as u64;
    drop(built.data);
    let digest = built.files.manifest()?.2;
    if let Some(result) = other_snapshot(training, &digest, JobStage::Snapshot) {
        return Ok(result);
    }
    let temporary = Temporary::new()?;
    let dir = args.out.clone().unwrap_or_else(|| temporary.join("snapshot"));
    let (_, digest) = built.files.write(&dir)?;
    if let Some(ledger) = ledger {
        ledger.publish(&dir, ManifestKind::Snapshot).await?;
    }
    let compared = match (&training.not_worse_than, ledger) {
        (Some(champion), Some(ledger)) if args.count_new_rows => {
            Some(compare_with_champion(&dir, champion, ledger, &temporary).await?)
        }
        _ => None,
    };
    let counted = match compared {
        Some(Compared::OtherFeatures(violations)) => {
            let mut result = invalid(violations);
            result.sources = built.sources;
            result.warnings = built.warnings;
            return Ok(result);
        }
        Some(Compared::Rows(counted)) => Some(counted),
        None => None,
    };
    let names: Vec<String> = training.datasets().map(spec::source_name).collect();
    let mut message = format!("froze {rows} rows of {} as {}", names.join(" + "), digest.short());
    match &counted {
        Some(Ok(counted)) => message = format!("{message}; {} rows are new", counted.rows),
        Some(Err(why)) => message = format!("{message}; new rows were not counted: {why}"),
        None => {}
    }
    let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, message);
    result.digest = Some(digest);
    result.rows = Some(rows);
    result.sources = built.sources;
    result.warnings = built.warnings;
    result.new_rows = counted.and_then(Result::ok);
    Ok(result)
}

/// The snapshot of a retraining compared with the version that serves.
enum Compared {
    /// The data has other features.
    OtherFeatures(Vec<Violation>),
    /// How many of its rows are new, or why they cannot be counted. The data is not at fault: whether the two can be compared is
    /// decided when the model is fitted.
    Rows(Result<NewRows, String>),
}

/// Compares the features of the snapshot in `dir` with the champion's, and counts the rows that it was not trained on.
async fn compare_with_champion(
    dir: &Path,
    champion: &Champion,
    ledger: &Ledger,
    temporary: &Temporary,
) -> anyhow::Result<Compared> {
    let bundle = temporary.join("champion");
    if let Err(error) = ledger.fetch(&champion.bundle, &bundle).await {
        if error.is_not_found() {
            return Ok(Compared::Rows(Err(format!(
                "the bundle {} of {} is not in the artifact store",
                champion.bundle.short(),
                champion.version
            ))));
        }
        return Err(error.into());
    }
    let snapshot = snapshot::open(dir, None)?;
    if let Ok(violations) = check_features(&bundle, champion, &snapshot.data.schema)
        && !violations.is_empty()
    {
        return Ok(Compared::OtherFeatures(violations));
    }
    let files = snapshot.info.rows_of_files();
    let counted = count_new_rows(&bundle, champion, &snapshot.info.target, &snapshot.data, files);
    Ok(Compared::Rows(counted.map_err(|error| chain(&error))))
}
