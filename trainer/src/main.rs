//! The trainer's command line.

use std::process::ExitCode;

use clap::Parser as _;
use modelward_service::{LogFormat, Termination, start_log};
use modelward_trainer::command::{Cli, clean_up, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 128 and the number of SIGTERM, as a shell would say it.
const TERMINATED: i32 = 143;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(log_format());
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
        match Termination::listen() {
            Ok(termination) => tokio::select! {
                ended = run(cli) => code(ended),
                () = termination.asked() => stop(),
            },
            Err(_) => code(run(cli).await),
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

/// As the variable of the other programs says; the trainer has no flag for it.
fn log_format() -> LogFormat {
    if std::env::var("MODELWARD_LOG_FORMAT").is_ok_and(|format| format == "json") {
        LogFormat::Json
    } else {
        LogFormat::Text
    }
}
