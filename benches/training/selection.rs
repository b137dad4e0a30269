//! Compares the whole selection, from the file to the bundle, with the same selection written with Python's libraries: four families, a
//! search and folds.
//!
//! The trainer goes first. Its bundle lists the trials, the number of folds of each, and the fold of each row. The peer evaluates the same
//! trials on the same folds, so it does not have to search.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use modelward_crds::MetricName;
use modelward_trainer::{
    data::snapshot,
    fit::{plan::Plan, train},
};
use serde_json::{Value, json};

use crate::{
    Arguments,
    pairs::{Ratio, median},
    table::Table,
    verdict,
};

/// Trials over all families.
const TRIALS: usize = 30;

const FOLDS: usize = 5;

/// Number of parallel fits, for both sides.
const THREADS: &str = "2";

/// Upper bound of the time of the trainer divided by that of the peer.
const BAR: f64 = 0.5;

/// Maximum difference of the areas under the curve.
const AUC_BAR: f64 = 0.002;

/// How often memory is sampled.
const SAMPLED_EVERY: Duration = Duration::from_millis(50);

/// The cost of one run of a side.
struct Run {
    seconds: f64,
    /// Peak memory of the process and its children, in MiB.
    peak: f64,
}

/// Runs the selection of both sides, in turn.
pub(crate) fn compare(arguments: &Arguments, folder: &Path) -> anyhow::Result<Value> {
    let (csv, spec, bundle) = (
        folder.join("rows.csv"),
        folder.join("spec.yaml"),
        folder.join("selected"),
    );
    Table::draw(arguments.selection_rows, 4).write_csv(&csv)?;
    fs::write(&spec, self::spec(TRIALS))?;
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("training/selection_peer.py");
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.pairs {
        if bundle.exists() {
            fs::remove_dir_all(&bundle)?;
        }
        ours.push(measure(
            Command::new(&arguments.trainer)
                .args(["fit", "--threads", THREADS, "--spec"])
                .args([&spec, Path::new("--source"), &csv, Path::new("--out"), &bundle])
                .env("RUST_LOG", "warn"),
        )?);
        theirs.push(measure(
            Command::new(&arguments.python)
                .args([&peer, &csv, &bundle, &folder.join("peer.json")])
                .arg(THREADS)
                .envs(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"].map(|name| (name, "1"))),
        )?);
        ratios.extend(
            ours.last()
                .zip(theirs.last())
                .map(|(ours, theirs)| ours.seconds / theirs.seconds),
        );
    }
    let ratio = Ratio::of(ratios).context("there are no pairs")?;
    let read = |file: &Path| -> anyhow::Result<Value> { Ok(serde_json::from_slice(&fs::read(file)?)?) };
    let (selected, peer) = (
        read(&bundle.join("metrics.json"))?,
        read(&folder.join("peer.json"))?,
    );
    println!(
        "The whole selection: 4 families, {TRIALS} trials, {FOLDS} folds, {} rows, {THREADS} threads; file to bundle\n",
        arguments.selection_rows
    );
    println!("| | seconds (median) | peak MiB |\n|---|---|---|");
    for (name, runs) in [("trainer", &ours), ("peer", &theirs)] {
        println!(
            "| {name} | {:.1} | {:.0} |",
            seconds(runs),
            runs.iter().fold(0.0, |peak: f64, run| peak.max(run.peak))
        );
    }
    println!(
        "\nratio {:.3}, 95% interval {:.3} to {:.3}, bar {BAR}: {}\n",
        ratio.median,
        ratio.low,
        ratio.high,
        verdict(ratio, BAR)
    );
    let shares = shares(&spec, &csv, folder, &arguments.trainer)?;
    let families = print_families(&selected, &peer, &shares);
    Ok(json!({
        "selection": {
            "rows": arguments.selection_rows, "seconds": seconds(&ours), "peer": seconds(&theirs), "bar": BAR,
            "ratio": ratio.median, "low": ratio.low, "high": ratio.high, "families": families,
        }
    }))
}

/// A spec with this number of trials.
pub(crate) fn spec(trials: usize) -> String {
    format!(
        "apiVersion: modelward.io/v1alpha1
kind: ModelVersion
metadata: {{name: bench-1}}
spec:
  model: bench
  source:
    training:
      dataset: {{configMap: {{name: rows, key: rows.csv}}}}
      target: {{column: target, positiveWhen: {{equals: \"1\"}}}}
      families: [LogisticRegression, RandomForest, XGBoost, LightGBM]
      validation: {{folds: {FOLDS}, repeats: 1, seed: 7}}
      search: {{trials: {trials}, seed: 1}}
      selectBy: RocAuc
  serving: {{access: Open}}
"
    )
}

/// Runs a side and measures it.
fn measure(command: &mut Command) -> anyhow::Result<Run> {
    let begun = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut peak = 0.0_f64;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = peak.max(memory_of(&child));
        thread::sleep(SAMPLED_EVERY);
    };
    ensure!(
        status.success(),
        "{} failed: {status}",
        command.get_program().display()
    );
    Ok(Run {
        seconds: begun.elapsed().as_secs_f64(),
        peak,
    })
}

/// Memory of a process and its children, in MiB. Processes that have ended are ignored.
fn memory_of(child: &Child) -> f64 {
    let mut waiting = vec![child.id()];
    let mut kib = 0.0;
    while let Some(process) = waiting.pop() {
        let at = format!("/proc/{process}");
        let status = fs::read_to_string(format!("{at}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib += resident.unwrap_or(0.0);
        let started = fs::read_to_string(format!("{at}/task/{process}/children")).unwrap_or_default();
        waiting.extend(started.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    kib / 1024.0
}

fn seconds(runs: &[Run]) -> f64 {
    let mut seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    median(&seconds).unwrap_or(f64::NAN)
}

/// Seconds of fits by family, from one more selection in this process: on each thread from the start of a fit to the start of the next.
fn shares(spec: &Path, csv: &Path, folder: &Path, trainer: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let frozen_at = folder.join("shared");
    let frozen = Command::new(trainer)
        .args(["snapshot", "--spec"])
        .args([spec, Path::new("--source"), csv, Path::new("--out"), &frozen_at])
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .status()?;
    ensure!(frozen.success(), "the snapshot failed");
    let version = modelward_trainer::spec::read(spec)?;
    let data = snapshot::open(&frozen_at, None)?.data;
    let begun: Mutex<BTreeMap<String, f64>> = Mutex::default();
    let running: Mutex<Vec<(ThreadId, String, Instant)>> = Mutex::default();
    let note = |what: &str| {
        let Ok(mut running) = running.lock() else { return };
        let (thread, now) = (thread::current().id(), Instant::now());
        if let Some(at) = running.iter().position(|(of, ..)| *of == thread) {
            let (_, family, since) = running.remove(at);
            if let Ok(mut begun) = begun.lock() {
                *begun.entry(family).or_default() += (now - since).as_secs_f64();
            }
        }
        let family = what
            .strip_prefix("cross-validating ")
            .and_then(|what| what.split(',').next());
        running.extend(family.map(|family| (thread, family.to_owned(), now)));
    };
    train::train(&data, &Plan::new(&version.training), THREADS.parse()?, &|step| {
        note(&step.what);
    })?;
    Ok(begun.into_inner().unwrap_or_default())
}

/// Prints a line for each family and returns the figures.
fn print_families(selected: &Value, peer: &Value, shares: &BTreeMap<String, f64>) -> Vec<Value> {
    let all: f64 = shares.values().sum();
    println!(
        "| family | share of the trainer's fits | peer's share | RocAuc of its best trial | peer's | within {AUC_BAR} |"
    );
    println!("|---|---|---|---|---|---|");
    let peer_all: f64 = peer["seconds"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, value)| value.as_f64())
        .sum();
    let mut families = Vec::new();
    for candidate in selected["candidates"].as_array().into_iter().flatten() {
        let Some(name) = candidate["family"].as_str() else {
            continue;
        };
        let metrics = candidate["metrics"].as_array().into_iter().flatten();
        let auc = metrics
            .filter(|metric| metric["name"] == MetricName::RocAuc.as_str())
            .find_map(|metric| metric["mean"].as_f64())
            .unwrap_or(f64::NAN);
        let theirs = peer["auc"][name].as_f64().unwrap_or(f64::NAN);
        let share = shares.get(name).copied().unwrap_or(0.0) / all;
        let their_share = peer["seconds"][name].as_f64().unwrap_or(0.0) / peer_all;
        let is_near = (auc - theirs).abs() <= AUC_BAR;
        println!(
            "| {name} | {:.0}% | {:.0}% | {auc:.4} | {theirs:.4} | {} |",
            share * 100.0,
            their_share * 100.0,
            if is_near {
                "yes"
            } else if auc > theirs {
                "higher"
            } else {
                "no"
            }
        );
        families.push(json!({ "family": name, "share": share, "peerShare": their_share, "auc": auc, "peerAuc": theirs }));
    }
    println!();
    families
}
