//! The Modelward operator: reconciler, ledger and migrations in one binary. This file is wiring only.

mod args;
mod operator;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use args::Command;
use clap::Parser as _;
use modelward_service::{Termination, start_log};

/// Time limit for tasks that still run after the work has ended.
const SHUTDOWN: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Every client and server in this process uses this provider, so it is installed before the first of them.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = args::Args::parse();
    start_log(args.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("failed to start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(args.command));
    // A name resolution can block for half a minute and must not delay the exit.
    runtime.shutdown_timeout(SHUTDOWN);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let termination = Termination::listen().context("failed to listen for signals")?;
    match command {
        Command::Run(args) => Box::pin(operator::run(*args, termination)).await,
        Command::Ledger(args) => {
            let asked = async move { termination.asked().await };
            Ok(modelward_ledger::serve(args.into(), asked).await?)
        }
        Command::Migrate(args) => {
            tokio::select! {
                migrated = modelward_ledger::migrate(args.into()) => Ok(migrated?),
                () = termination.asked() => anyhow::bail!("a signal ended the migration before the schema was up to date"),
            }
        }
    }
}
