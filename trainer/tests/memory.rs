//! The peak memory of a snapshot stays far below what its file, its texts and its values take together.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const ROWS: u64 = 150_000;

const SPEC: &str = r#"
apiVersion: modelward.io/v1alpha1
kind: ModelVersion
metadata: {name: large-1}
spec:
  model: large
  source:
    training:
      dataset: {configMap: {name: large, key: large.csv}}
      target: {column: y, positiveWhen: {equals: "1"}}
      validation: {folds: 2, repeats: 1, seed: 7}
  serving: {access: Open}
"#;

/// Rows of 29 columns of numbers, in few digits and in many, and of words.
fn write_table(path: &Path) -> u64 {
    let mut csv = String::new();
    (0..28).for_each(|at| write!(csv, "x{at},").unwrap());
    csv.push_str("word,y\n");
    let mut state = 7_u64;
    for row in 0..ROWS {
        for at in 0..28_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let digits = at % 7;
            let number = (state >> 40) as f64 / f64::from(10_u32.pow(digits));
            write!(csv, "{number:.*},", digits as usize).unwrap();
        }
        writeln!(csv, "branch {},{}", state >> 58, row % 2).unwrap();
    }
    fs::write(path, &csv).unwrap();
    csv.len() as u64
}

/// Waits for the end of a process. Returns the peak of its memory, in bytes.
fn wait_with_peak(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0_u64) << 10);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(ended.success(), "{ended}");
    peak
}

#[test]
fn a_snapshot_holds_the_texts_of_a_file_and_neither_the_file_nor_all_values_beside_them() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name);
    let size = write_table(&path("large.csv"));
    fs::write(path("spec.yaml"), SPEC).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
        .args(["snapshot", "--spec"])
        .arg(path("spec.yaml"))
        .arg("--source")
        .arg(path("large.csv"))
        .arg("--out")
        .arg(path("snapshot"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let peak = wait_with_peak(child);
    // The texts are the file without its commas, and four bytes a cell. 24 MiB are the program's own.
    let (cells, mib) = (ROWS * 30, 1 << 20);
    let bound = 24 * mib + (size + 4 * cells) * 5 / 4;
    assert!(
        peak > size,
        "{} MiB of a file of {} MiB were not measured",
        peak / mib,
        size / mib
    );
    assert!(
        peak < bound,
        "the peak is {} MiB of a file of {} MiB, expected at most {}",
        peak / mib,
        size / mib,
        bound / mib
    );
}
