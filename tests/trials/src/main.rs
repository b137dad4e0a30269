//! Runs the trials, prints the results, and fails if there is a violation.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use modelward_trials::{
    story::Story,
    trial::{self, Selection},
    world::World,
};

/// Cuts the operator's connection at every write and checks whether the end state differs.
#[derive(Parser)]
struct Args {
    /// Number of trials, spread evenly over all.
    #[arg(long)]
    sample: Option<usize>,
    /// Only this story: approved, rejected or expired.
    #[arg(long)]
    story: Option<String>,
    /// Only the cuts of this write.
    #[arg(long)]
    only: Option<usize>,
    /// Only writes like this one: "POST modelversions".
    #[arg(long)]
    site: Option<String>,
    /// Number of concurrent trials.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Succeeds at the first violation, and fails if there is none.
    #[arg(long)]
    expect_violations: bool,
    /// Directory for wrong end states.
    #[arg(long)]
    states: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // RUST_LOG=warn shows the operators' logs.
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
