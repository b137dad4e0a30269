//! The Modelward operator: reconciler, ledger and migrations in one binary. This file is wiring only.

mod args;
mod operator;
mod telemetry;

use std::process::ExitCode;

use args::Command;
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One provider for every client and server in this process, before the first of them is made.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = args::Args::parse();
    telemetry::init(args.log_format);
    match run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => Box::pin(operator::run(*args)).await,
        Command::Ledger(args) => Ok(modelward_ledger::serve(args.into(), operator::terminated()).await?),
        Command::Migrate(args) => Ok(modelward_ledger::migrate(args.into()).await?),
    }
}
