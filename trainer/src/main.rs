//! The trainer's command line.

use std::{process::ExitCode, sync::Arc};

use clap::Parser as _;
use modelward_service::{LogFormat, Termination, start_log};
use modelward_trainer::command::{Cli, Interruption, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(log_format());
    // With two TLS providers in one process rustls could not choose one, and the first use would fail: this one is set.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let interruption = Arc::new(Interruption::new(&cli));
    let ended = runtime.block_on(async {
        if let Ok(termination) = Termination::listen() {
            let interruption = Arc::clone(&interruption);
            // In a separate task: a command may keep its thread busy for minutes.
            tokio::spawn(async move {
                termination.asked().await;
                interruption.stop();
            });
        }
        run(cli, &interruption).await
    });
    interruption.conclude();
    code(ended)
}

fn code(ended: anyhow::Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    })
}

/// The log format from the variable that the other programs use too; the trainer has no flag for it.
fn log_format() -> LogFormat {
    if std::env::var("MODELWARD_LOG_FORMAT").is_ok_and(|format| format == "json") {
        LogFormat::Json
    } else {
        LogFormat::Text
    }
}
