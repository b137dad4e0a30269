//! The client that the tests run inside a cluster: `modelward-load send`, `replay`, `train` and `stop`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use modelward_load::{
    LoadArgs, STOP_FILE,
    replay::{self, ReplayArgs},
    train::{self, TrainArgs},
};

#[derive(Parser)]
#[command(version, about = "The client that Modelward's tests run inside a cluster.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends requests at a fixed rate, independently of the earlier ones, and counts each.
    Send(LoadArgs),
    /// Sends each row of a CSV file once, in a seeded order.
    Replay(ReplayArgs),
    /// Runs as the program of a custom trainer: `source.training.customTrainer`.
    Train(TrainArgs),
    /// Ends a `send` in the same container. For `kubectl exec`, because the image has no shell.
    Stop {
        /// The file given to `send --stop-file`.
        #[arg(long, default_value = STOP_FILE)]
        stop_file: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Send(args) => modelward_load::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Train(args) => train::run(args),
        Command::Stop { stop_file } => stop(&stop_file),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn stop(file: &std::path::Path) -> anyhow::Result<ExitCode> {
    std::fs::write(file, b"").with_context(|| format!("failed to write {}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}
