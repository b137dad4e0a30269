//! `make verdicts`: prints the tables of docs/verdicts.md, one line per row, and finally how many rows are over nominal.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use modelward_verdicts::{
    refused, seasons,
    tables::{self, LOOKS, Row},
    traffic,
};

/// Simulates lives of versions.
#[derive(Parser)]
struct Arguments {
    /// Versions per row.
    #[arg(long, default_value_t = 200)]
    versions: u64,
    /// Maximum number of windows of a life.
    #[arg(long, default_value_t = 720)]
    windows: usize,
    /// Only rows with names that contain this. Applies to false alarms, and to changes of repeating traffic, of the amount of
    /// traffic and of refused rows.
    #[arg(long)]
    only: Option<String>,
    /// Only the comparison with a champion.
    #[arg(long, conflicts_with = "only")]
    comparisons: bool,
}

/// Comparisons per version, because a comparison is fast.
const RUNS_A_VERSION: u64 = 5;

fn main() -> ExitCode {
    let Arguments {
        versions,
        windows,
        only,
        comparisons,
    } = Arguments::parse();
    let started = Instant::now();
    let (mut rows, mut over) = (0, 0);
    let mut print = |row: Row| {
        rows += 1;
        over += usize::from(row.is_over());
        println!("{row} | {:.0} s", started.elapsed().as_secs_f64());
    };
    if comparisons {
        tables::comparisons(versions * RUNS_A_VERSION, &mut print);
        return ExitCode::from(u8::from(over > 0));
    }
    println!("# False alarms of versions on whose traffic nothing changes");
    let name = only.as_deref().unwrap_or_default();
    tables::false_alarms(name, versions, windows, &mut print);
    seasons::false_alarms(name, versions, windows, &mut print);
    traffic::false_alarms(name, versions, windows, &mut print);
    refused::false_alarms(name, versions, windows, &mut print);
    println!("# How soon a change is reported");
    seasons::power(name, versions, &LOOKS, &mut print);
    traffic::power(name, versions, &LOOKS, &mut print);
    refused::power(name, versions, &LOOKS, &mut print);
    if only.is_some() {
        return ExitCode::from(u8::from(over > 0));
    }
    tables::power(versions, &mut print);
    println!("# Changes under the tolerance");
    tables::tolerated(versions.div_ceil(10), windows.min(168), &mut print);
    println!("# Challengers that pass notWorseThan");
    tables::comparisons(versions * RUNS_A_VERSION, &mut print);
    println!("# How long a judgement takes");
    tables::speed(|name, milliseconds| println!("{name} | {milliseconds:.1} ms"));
    println!("{over} of {rows} rows are over nominal");
    if over == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
