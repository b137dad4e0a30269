//! `make bench-training`: compares the trainer with Python's libraries in the same run: one fit of each family, the whole selection, and
//! the start of a process. docs/benchmarks.md explains the tables.

mod pairs;
mod selection;
mod side;
mod start;
mod table;
mod worker;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use modelward_crds::Family;
use serde_json::json;

use crate::{
    pairs::{Ratio, median},
    side::Side,
    table::Table,
    worker::{Fit, HESSBOOST},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of the test table, on which the reported AUC is measured. No fit uses them.
const TEST_ROWS: usize = 20_000;

/// Compares the trainer with Python's libraries.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Hidden>,
    /// Python with the packages of tests/differential/requirements.txt.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// The trainer of the same build.
    #[arg(long, default_value = "modelward-trainer")]
    trainer: PathBuf,
    /// Rows of the tables of single fits.
    #[arg(long, value_delimiter = ',', default_values_t = [80_000, 800_000])]
    rows: Vec<usize>,
    /// Rows of the table of the selection.
    #[arg(long, default_value_t = 4_000)]
    selection_rows: usize,
    /// Pairs of each comparison. 10 pairs give an interval of 95%.
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Run only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Run single fits only of these families. The forest takes most of the time.
    #[arg(long, value_delimiter = ',', default_values_t = Family::ALL)]
    families: Vec<Family>,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Fits,
    Selection,
    Start,
}

#[derive(Subcommand)]
enum Hidden {
    /// Fits the family that each line of its input names.
    #[command(hide = true)]
    Serve { folder: PathBuf, rows: String },
}

/// Upper bound of a comparison: the time of the trainer divided by that of the peer.
fn bar(family: Family) -> f64 {
    match family {
        Family::LogisticRegression => 3.0,
        Family::RandomForest => 0.4,
        Family::XGBoost | Family::LightGBM => 1.05,
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Hidden::Serve { folder, rows }) = &arguments.command {
        return worker::serve(folder, rows);
    }
    let folder = std::env::temp_dir().join(format!("modelward-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let ran = run(&arguments, &folder);
    fs::remove_dir_all(&folder)?;
    ran
}

fn run(arguments: &Arguments, folder: &Path) -> anyhow::Result<()> {
    let wants = |part| arguments.only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if wants(Part::Fits) {
        Table::draw(TEST_ROWS, 2).write(folder, "test")?;
        println!(
            "One fit, seconds of one processor (medians), pairs: {}\n",
            arguments.pairs
        );
        println!(
            "| rows | family | trainer | peer | ratio | 95% interval | bar | | AUC | peer's | peak MiB | peer's |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
        for rows in &arguments.rows {
            figures.push(compare_fits(arguments, folder, *rows)?);
        }
        println!();
    }
    if wants(Part::Start) {
        figures.push(start::compare(&arguments.trainer, folder, arguments.pairs)?);
    }
    if wants(Part::Selection) {
        figures.push(selection::compare(arguments, folder)?);
    }
    if let Some(output) = &arguments.output {
        fs::write(output, serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(())
}

fn compare_fits(arguments: &Arguments, folder: &Path, rows: usize) -> anyhow::Result<serde_json::Value> {
    let name = rows.to_string();
    Table::draw(rows, 1).write(folder, &name)?;
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/peer.py");
    let mut figures = Vec::new();
    let mut families: Vec<(&str, Option<Family>)> = arguments
        .families
        .iter()
        .map(|family| (family.as_str(), Some(*family)))
        .collect();
    if cfg!(feature = "rivals") && arguments.families.contains(&Family::XGBoost) {
        families.push((HESSBOOST, None));
    }
    for (family, of) in families {
        // New processes, so that each peak is that of one family.
        let mut ours = Side::start(
            Command::new(std::env::current_exe()?)
                .arg("serve")
                .arg(folder)
                .arg(&name),
        )?;
        let mut theirs = Side::start(Command::new(&arguments.python).arg(&peer).arg(folder).arg(&name))?;
        let theirs_fits = if of.is_some() {
            family
        } else {
            Family::XGBoost.as_str()
        };
        // The first fit of a process loads libraries.
        ours.fit(family)?;
        theirs.fit(theirs_fits)?;
        let mut taken: Vec<(Fit, Fit)> = Vec::new();
        for pair in 0..arguments.pairs {
            // The sides take turns in going first, so that drift affects both equally.
            taken.push(if pair % 2 == 0 {
                let first = ours.fit(family)?;
                (first, theirs.fit(theirs_fits)?)
            } else {
                let first = theirs.fit(theirs_fits)?;
                (ours.fit(family)?, first)
            });
        }
        let seconds = |side: fn(&(Fit, Fit)) -> f64| {
            let mut seconds: Vec<f64> = taken.iter().map(side).collect();
            seconds.sort_unstable_by(f64::total_cmp);
            median(&seconds).unwrap_or(f64::NAN)
        };
        let (ours_seconds, theirs_seconds) = (seconds(|pair| pair.0.cpu), seconds(|pair| pair.1.cpu));
        let ratio = Ratio::of(taken.iter().map(|(ours, theirs)| ours.cpu / theirs.cpu).collect())
            .context("there are no pairs")?;
        let (ours, theirs) = *taken.last().context("there are no pairs")?;
        let bar = of.map(bar);
        println!(
            "| {rows} | {family} | {ours_seconds:.3} | {theirs_seconds:.3} | {:.3} | {:.3} to {:.3} | {} | {} | {:.4} | {:.4} | {:.0} | {:.0} |",
            ratio.median,
            ratio.low,
            ratio.high,
            bar.map_or(String::new(), |bar| bar.to_string()),
            bar.map_or("", |bar| verdict(ratio, bar)),
            ours.auc,
            theirs.auc,
            ours.peak,
            theirs.peak,
        );
        figures.push(json!({
            "rows": rows, "family": family, "seconds": ours_seconds, "peer": theirs_seconds,
            "ratio": ratio.median, "low": ratio.low, "high": ratio.high, "bar": bar,
            "auc": ours.auc, "peerAuc": theirs.auc, "peakMiB": ours.peak, "peerPeakMiB": theirs.peak,
        }));
    }
    Ok(json!({ "fits": figures }))
}

/// A bar is met if the upper end of the interval does not exceed it.
fn verdict(ratio: Ratio, bar: f64) -> &'static str {
    if ratio.high <= bar { "met" } else { "not met" }
}
