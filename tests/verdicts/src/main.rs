//! `make verdicts`: prints the tables of docs/verdicts.md, one line a row, and last how many rows are over nominal.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use modelward_verdicts::tables::{self, Row};

/// Simulates lives of versions.
#[derive(Parser)]
struct Arguments {
    /// Versions a row.
    #[arg(long, default_value_t = 200)]
    versions: u64,
    /// Windows of a life, at most.
    #[arg(long, default_value_t = 720)]
    windows: usize,
    /// Only false alarms, and of these the rows whose names contain this.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> ExitCode {
    let Arguments {
        versions,
        windows,
        only,
    } = Arguments::parse();
    let started = Instant::now();
    let (mut rows, mut over) = (0, 0);
    let mut print = |row: Row| {
        rows += 1;
        over += usize::from(row.is_over());
        println!("{row} | {:.0} s", started.elapsed().as_secs_f64());
    };
    println!("# False alarms of versions on whose traffic nothing changes");
    tables::false_alarms(only.as_deref().unwrap_or_default(), versions, windows, &mut print);
    if only.is_some() {
        return ExitCode::SUCCESS;
    }
    println!("# How soon a shift is reported, after a quiet month");
    tables::power(versions, &mut print);
    println!("# Changes under the tolerance");
    tables::tolerated(versions.div_ceil(10), windows.min(168), &mut print);
    println!("# How long a judgement takes");
    tables::speed(|name, milliseconds| println!("{name} | {milliseconds:.1} ms"));
    println!("{over} of {rows} rows are over nominal");
    if over == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
