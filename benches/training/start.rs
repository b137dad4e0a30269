//! The time from the start of a trainer process to its first fit.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{pairs::median, selection, table::Table};

/// Rows of the table, about as many as in the sample data.
const ROWS: usize = 300;

/// Upper bound in milliseconds.
const BAR: f64 = 50.0;

/// Starts the trainer on a snapshot this many times.
pub(crate) fn compare(trainer: &Path, folder: &Path, times: usize) -> anyhow::Result<Value> {
    let (csv, spec, snapshot) = (
        folder.join("small.csv"),
        folder.join("small.yaml"),
        folder.join("snapshot"),
    );
    Table::draw(ROWS, 5).write_csv(&csv)?;
    std::fs::write(&spec, selection::spec(1))?;
    let frozen = Command::new(trainer)
        .args(["snapshot", "--spec"])
        .args([&spec, Path::new("--source"), &csv, Path::new("--out"), &snapshot])
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", trainer.display()))?;
    ensure!(frozen.success(), "the snapshot failed");
    let mut taken = Vec::new();
    for _ in 0..times {
        let out = folder.join("started");
        taken.push(until_first_fit(
            Command::new(trainer)
                .args(["fit", "--threads", "1", "--spec"])
                .args([
                    &spec,
                    Path::new("--snapshot-dir"),
                    &snapshot,
                    Path::new("--out"),
                    &out,
                ]),
        )?);
    }
    taken.sort_unstable_by(f64::total_cmp);
    let (middle, worst) = (
        median(&taken).context("it was never started")?,
        taken[taken.len() - 1],
    );
    println!(
        "Process start to first fit: median {middle:.0} ms, worst of {times} {worst:.0} ms; bar {BAR} ms\n"
    );
    Ok(json!({ "startMilliseconds": middle, "worstMilliseconds": worst, "bar": BAR }))
}

/// Milliseconds until the log reports the first fit of a fold. Then the process is killed.
fn until_first_fit(command: &mut Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut child = command
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = BufReader::new(child.stderr.take().context("no log")?);
    let mut taken = None;
    for line in log.lines() {
        if line?.contains("cross-validating") {
            taken = Some(begun.elapsed().as_secs_f64() * 1000.0);
            break;
        }
    }
    // It may have ended already.
    let _ = child.kill();
    child.wait()?;
    taken.context("the trainer ended before its first fit")
}
