//! Jobs and commands that a signal ends before their result.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use modelward_trainer::command::INTERRUPTED;
use modelward_wire::{JobResult, JobStage, Progress, Verdict};

use crate::{
    ledger::{Ledger, TRAINER},
    text,
};

/// How soon a process has to end after SIGTERM, also on a busy machine: half of the time that a Pod has.
const SOON: Duration = Duration::from_secs(15);

/// Rows of six numbers, whose class depends on two of them.
fn rows(path: &Path, count: u32) {
    let mut csv = "a,b,c,d,e,f,y\n".to_owned();
    for row in 0..count {
        let cell = |factor: u32| row.wrapping_mul(factor).wrapping_mul(2_654_435_761) >> 18;
        let y = u32::from(cell(3) + cell(7) > 16_000);
        let _ = writeln!(
            csv,
            "{},{},{},{},{},{},{y}",
            cell(3),
            cell(7),
            cell(11),
            cell(13),
            cell(17),
            cell(19)
        );
    }
    std::fs::write(path, csv).unwrap();
}

/// A spec of these rows, with these lines more in its training.
fn spec(dir: &Path, lines: &str) -> PathBuf {
    let text = format!(
        "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: long-1}}\nspec:\n  model: long\n  serving: \
         {{access: Open}}\n  source:\n    training:\n      dataset: {{configMap: {{name: d, key: d.csv}}}}\n      target: \
         {{column: y}}\n{lines}"
    );
    let path = dir.join("spec.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Fits of a minute each, in the library of LightGBM.
const LONG: &str = "      families: [LightGBM]\n      validation: {folds: 5, repeats: 1}\n      hyperparameters: {lightgbm: {nEstimators: \
                    10000, numLeaves: 255, minDataInLeaf: 1}}\n";

/// Waits until this holds, for half a minute at most.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what} did not come about"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .unwrap()
            .success()
    );
}

/// Names of what is in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether the ledger has heard of a fold that is being fitted.
fn fits(ledger: &Ledger) -> bool {
    let state = ledger.state.lock().unwrap();
    let progress = state.posted.get("jobs/hospital/11111111-2222/progress");
    progress.is_some_and(|bytes| {
        let progress: Progress = serde_json::from_slice(bytes).unwrap();
        progress.step.starts_with("cross-validating")
    })
}

#[test]
fn a_job_that_is_stopped_within_a_fit_ends_soon_and_says_so_with_its_stage() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), LONG));
    rows(&data, 20_000);
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    let digest = result.digest.unwrap().to_string();
    // Several times: the libraries are loaded and their threads run while the process ends.
    for _ in 0..3 {
        ledger.state.lock().unwrap().posted.clear();
        let mut command = ledger.command(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        until("a fit", || fits(&ledger));
        let sent = Instant::now();
        send("-TERM", &child);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(INTERRUPTED), "{status}");
        assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
        let said = std::fs::read(ledger.termination_log()).unwrap();
        let said: JobResult = serde_json::from_slice(&said).unwrap();
        assert_eq!((said.stage, said.verdict), (JobStage::Fit, Verdict::Interrupted));
        assert!(said.message.contains("stopped by a signal"), "{}", said.message);
        assert!(said.digest.is_none());
        assert_eq!(names(ledger.dir.path()), ["termination-log", "token"]);
        let state = ledger.state.lock().unwrap();
        assert!(
            !state.posted.keys().any(|path| path.ends_with("/result")),
            "no result was recorded"
        );
    }
}

#[test]
fn a_job_that_is_stopped_after_its_fit_keeps_its_result_and_ends_with_success() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let lines = "      families: [LightGBM]\n      validation: {folds: 2, repeats: 1}\n";
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), lines));
    rows(&data, 500);
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    let digest = result.digest.unwrap().to_string();
    {
        let mut state = ledger.state.lock().unwrap();
        state.has_no_database = true;
        state.calls.clear();
    }
    let mut command = ledger.command(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    until("a result that the ledger does not take", || {
        let state = ledger.state.lock().unwrap();
        state.calls.iter().any(|call| call.ends_with("/result"))
    });
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let left = std::fs::read(ledger.termination_log()).unwrap();
    let left: JobResult = serde_json::from_slice(&left).unwrap();
    assert_eq!((left.stage, left.verdict), (JobStage::Fit, Verdict::Succeeded));
    assert!(left.digest.is_some());
    assert_eq!(names(ledger.dir.path()), ["termination-log", "token"]);
}

#[test]
fn a_job_whose_log_is_read_by_no_program_any_more_ends_soon_too() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), LONG));
    rows(&data, 20_000);
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    let digest = result.digest.unwrap().to_string();
    let mut command = ledger.command(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    until("a fit", || fits(&ledger));
    drop(child.stderr.take());
    let sent = Instant::now();
    send("-TERM", &child);
    until("its end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(INTERRUPTED));
    assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
    assert!(ledger.termination_log().is_file());
}

#[test]
fn a_command_that_is_stopped_while_it_reads_ends_soon_too() {
    let temp = tempfile::tempdir().unwrap();
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), LONG));
    rows(&data, 400_000);
    let out = temp.path().join("snapshot");
    let mut child = Command::new(TRAINER)
        .args(["snapshot", "--spec", text(&spec), "--source", text(&data)])
        .args(["--out", text(&out)])
        .env("TMPDIR", temp.path())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    until("a handler of SIGTERM", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        caught.is_some_and(|mask| mask & 1 << 14 != 0)
    });
    let sent = Instant::now();
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(INTERRUPTED));
    assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
    assert_eq!(names(temp.path()), ["d.csv", "spec.yaml"]);
}

#[test]
fn what_a_killed_run_left_is_never_used() {
    let temp = tempfile::tempdir().unwrap();
    let lines = "      families: [LightGBM]\n      validation: {folds: 2, repeats: 1}\n";
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), lines));
    rows(&data, 500);
    let fit = |out: &Path| {
        let mut command = Command::new(TRAINER);
        command
            .args(["fit", "--spec", text(&spec), "--source", text(&data)])
            .args(["--out", text(out)])
            .env("TMPDIR", temp.path())
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        command
    };
    let (whole, killed) = (temp.path().join("whole"), temp.path().join("killed"));
    assert_eq!(fit(&whole).status().unwrap().code(), Some(0));
    let mut child = fit(&killed).spawn().unwrap();
    until("its temporary files", || {
        let own = temp.path().join(format!("modelward-trainer-{}", child.id()));
        own.is_dir() || child.try_wait().unwrap().is_some()
    });
    send("-KILL", &child);
    assert_eq!(child.wait().unwrap().code(), None);
    assert!(!killed.exists());
    // Killed while it wrote: half of a file is there under a temporary name.
    let part = temp.path().join(".killed.part");
    std::fs::create_dir(&part).unwrap();
    std::fs::write(part.join("bundle.json"), "{\"family\":").unwrap();
    std::fs::write(part.join("of-an-earlier-run"), "x").unwrap();
    assert_eq!(fit(&killed).status().unwrap().code(), Some(0));
    assert!(!part.exists());
    assert_eq!(names(&killed), names(&whole));
    let manifest = |dir: &Path| std::fs::read(dir.join("manifest.json")).unwrap();
    assert_eq!(manifest(&killed), manifest(&whole));
}

/// A search of two families in four rounds.
const SEARCH: &str = "      families: [XGBoost, LightGBM]\n      validation: {folds: 3, repeats: 2}\n      search: {trials: 26, \
                      seed: 5}\n      hyperparameters: {xgboost: {nEstimators: 60}, lightgbm: {nEstimators: 60}}\n";

/// Rounds of the search that the ledger keeps.
fn kept(ledger: &Ledger) -> usize {
    let state = ledger.state.lock().unwrap();
    state
        .posted
        .keys()
        .filter(|path| path.contains("/rounds/"))
        .count()
}

#[test]
fn a_job_that_comes_after_an_interrupted_one_goes_on_behind_its_rounds_and_makes_the_same_bundle() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), SEARCH));
    rows(&data, 3000);
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    let snapshot = result.digest.unwrap().to_string();
    let fit = |threads| {
        let arguments = ["fit", "--spec", text(&spec), "--snapshot", &snapshot];
        let mut command = ledger.command(&arguments);
        command.args(["--threads", threads]).stderr(Stdio::piped());
        command
    };
    assert_eq!(fit("2").output().unwrap().status.code(), Some(0));
    let whole = ledger.recorded();
    assert!(whole.digest.is_some(), "{}", whole.message);
    assert_eq!(kept(&ledger), 0, "the rounds of a published bundle are deleted");
    for (rounds, threads) in [(1, "2"), (3, "1")] {
        let mut child = fit("2").spawn().unwrap();
        until("a round", || kept(&ledger) >= rounds);
        send("-TERM", &child);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(INTERRUPTED), "{status}");
        let before = kept(&ledger);
        assert!((rounds..4).contains(&before), "{before}");
        ledger.state.lock().unwrap().calls.clear();
        let output = fit(threads).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(ledger.recorded(), whole);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(log.contains("an earlier Job evaluated the trials up to"), "{log}");
        let calls = ledger.state.lock().unwrap().calls.clone();
        let puts = calls
            .iter()
            .filter(|call| call.starts_with("PUT") && call.contains("/rounds/"));
        assert_eq!(puts.count(), 4 - before, "{calls:?}");
        assert_eq!(kept(&ledger), 0);
    }
}

#[test]
fn a_ledger_that_keeps_no_rounds_fails_no_training_and_is_named_once() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let (data, spec) = (temp.path().join("d.csv"), spec(temp.path(), SEARCH));
    rows(&data, 500);
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    let snapshot = result.digest.unwrap().to_string();
    ledger.state.lock().unwrap().refuses_rounds = true;
    let mut command = ledger.command(&["fit", "--spec", text(&spec), "--snapshot", &snapshot]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        log.matches("rounds of the search are no longer kept").count(),
        1,
        "{log}"
    );
    let calls = ledger.state.lock().unwrap().calls.clone();
    let searches = calls.iter().filter(|call| call.contains("/searches")).count();
    assert_eq!(searches, 1, "it is left alone: {calls:?}");
    assert!(ledger.recorded().digest.is_some());
}
