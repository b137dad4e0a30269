//! The trainer's command line.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Parser as _;
use modelward_trainer::command::{Cli, clean_up, run};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 128 and the number of SIGTERM, as a shell would say it.
const TERMINATED: i32 = 143;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    // Two providers of TLS in one process would make the first use fail; this one is the only one.
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
    runtime.block_on(async {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
                ended = run(cli) => code(ended),
                _ = terminate.recv() => stop(),
                _ = interrupt.recv() => stop(),
            },
            _ => code(run(cli).await),
        }
    })
}

fn code(ended: anyhow::Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    })
}

/// Ends at once: a fit of a large table would go on for minutes. What is half-written has a temporary name.
fn stop() -> ExitCode {
    tracing::warn!("stopped by a signal before the result");
    clean_up();
    std::process::exit(TERMINATED)
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    if std::env::var("MODELWARD_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
