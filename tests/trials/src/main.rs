//! Runs the trials, prints what came of them, and fails where anything was violated.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use modelward_trials::{
    story::Story,
    trial::{self, Selection},
    world::World,
};

/// Cuts the operator off at every write and looks whether anything differs in the end.
#[derive(Parser)]
struct Args {
    /// So many trials, spread evenly over all.
    #[arg(long)]
    sample: Option<usize>,
    /// One story alone: approved, rejected or expired.
    #[arg(long)]
    story: Option<String>,
    /// The cuts of one write alone.
    #[arg(long)]
    only: Option<usize>,
    /// Writes like this one alone: "POST modelversions".
    #[arg(long)]
    site: Option<String>,
    /// Trials at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Ends well at the first violation, and badly where there is none.
    #[arg(long)]
    expect_violations: bool,
    /// Directory for end states that are not as they should be.
    #[arg(long)]
    states: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // RUST_LOG=warn lets the operators speak.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<ExitCode> {
    let stories = match &args.story {
        None => Story::ALL.to_vec(),
        Some(name) => {
            let known = Story::ALL.into_iter().find(|story| story.as_str() == name);
            vec![known.with_context(|| format!("there is no story {name:?}: approved, rejected, expired"))?]
        }
    };
    let selection = Selection {
        stories,
        sample: args.sample,
        only: args.only,
        site: args.site,
        jobs: args.jobs,
        hasty: args.expect_violations,
        states: args.states,
    };
    let world = World::build().await?;
    let report = trial::run(&world, &selection).await?;
    println!("{report}");
    let violated = report.violations() > 0;
    Ok(if violated == args.expect_violations {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
