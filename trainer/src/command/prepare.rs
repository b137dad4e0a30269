//! `prepare`: the files that an image trains on.

use std::process::ExitCode;

use anyhow::bail;
use modelward_wire::{JobResult, JobStage, Verdict};

use crate::{
    command::{
        arguments::PrepareArgs, checks::read_spec, open_snapshot::open_snapshot, temporary::Temporary,
        trained::training_rows,
    },
    custom::exchange::{self, Request},
    fit::plan::Plan,
    ledger::Ledger,
    report,
};

/// The exit code if the spec or the data are refused.
const REFUSED: u8 = 2;

pub(super) async fn prepare_files(args: &PrepareArgs, ledger: Option<&Ledger>) -> anyhow::Result<ExitCode> {
    let version = match read_spec(&args.spec, JobStage::Fit)? {
        Ok(version) => version,
        Err(result) => return refuse(&result, args),
    };
    let Some(trainer) = &version.training.custom_trainer else {
        let message = "the spec has no source.training.customTrainer: modelward-trainer fit trains it";
        return refuse(
            &JobResult::new(JobStage::Fit, Verdict::SpecInvalid, message),
            args,
        );
    };
    let temporary = Temporary::new()?;
    let fetch = args.publish.fetch(args.size);
    let snapshot = match open_snapshot(&args.rows, &version, &fetch, ledger, &temporary).await? {
        Ok(snapshot) => snapshot,
        Err(result) => return refuse(&result, args),
    };
    let plan = Plan::new(&version.training);
    let (_, rows) = training_rows(&snapshot.data, &plan)?;
    let request = Request {
        model: &version.model,
        target: &snapshot.info.target.column,
        format: trainer.format,
        seed: plan.seed,
    };
    exchange::write(&snapshot.data.of_rows(&rows), &request, &args.out)?;
    tracing::info!(
        rows = rows.len(),
        held_out = snapshot.data.len() - rows.len(),
        "wrote the files that {} trains on to {}",
        trainer.image,
        args.out.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Ends with the message of a verdict. In a Pod, the image then does not run.
fn refuse(result: &JobResult, args: &PrepareArgs) -> anyhow::Result<ExitCode> {
    tracing::warn!(verdict = ?result.verdict, "{}", result.message);
    if args.publish.publish
        && let Err(error) = report::write_termination(&args.publish.termination_log, result)
    {
        bail!(
            "{}; the termination message was not written: {error}",
            result.message
        );
    }
    Ok(ExitCode::from(REFUSED))
}
