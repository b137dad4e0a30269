//! Damaged samples of every reader, the same on each run: what `make fuzz` does at length, a few seconds of it on each change.

#![expect(clippy::unwrap_used, reason = "a test that names no target has failed")]

use std::time::{Duration, Instant};

use modelward_fuzz::{
    TARGETS, Target, find,
    memory::{Counting, most_held},
    mutate::{Numbers, damage},
    run,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Longer than any input takes on a busy machine, and shorter than an endless loop.
const LONGEST: Duration = Duration::from_secs(20);

/// Damaged inputs of a target.
const INPUTS: usize = 1500;

/// Bytes of the longest input.
const LONGEST_INPUT: usize = 1 << 16;

fn run_in_time(target: &dyn Target, bytes: &[u8]) {
    let begun = Instant::now();
    run(target, bytes);
    let took = begun.elapsed();
    assert!(
        took < LONGEST,
        "{} took {took:?} for {} bytes",
        target.name(),
        bytes.len()
    );
}

/// Runs the samples of a target, and then damaged ones.
fn check_target(name: &str) {
    let target = find(name).unwrap();
    let samples = target.samples();
    assert!(!samples.is_empty(), "{name} has no samples");
    // What is made once is not counted.
    target.run(&[]);
    for sample in &samples {
        run_in_time(target, sample);
    }
    let mut numbers = Numbers::new(7);
    for _ in 0..INPUTS {
        let mut bytes = samples[numbers.below(samples.len())].clone();
        damage(&mut bytes, target.words(), &mut numbers);
        bytes.truncate(LONGEST_INPUT);
        run_in_time(target, &bytes);
    }
}

#[test]
fn damaged_csv_files_are_tables_or_refused_with_a_sentence() {
    check_target("csv");
}

#[test]
fn damaged_parquet_files_are_tables_or_refused_with_a_sentence() {
    check_target("parquet");
}

#[test]
fn damaged_models_of_lightgbm_score_or_are_refused_with_a_place() {
    check_target("lightgbm");
}

#[test]
fn damaged_files_of_an_ensemble_score_or_are_refused_with_their_name() {
    check_target("ensemble");
}

#[test]
fn damaged_models_of_xgboost_in_json_score_or_are_refused_with_a_place() {
    check_target("xgboost-json");
}

#[test]
fn damaged_models_of_xgboost_in_ubjson_score_or_are_refused_with_a_place() {
    check_target("xgboost-ubjson");
}

#[test]
fn damaged_onnx_files_score_or_are_refused_with_a_sentence() {
    check_target("onnx");
}

#[test]
fn a_bundle_with_a_damaged_file_is_opened_or_refused_with_the_name_of_a_file() {
    check_target("bundle");
}

#[test]
fn a_snapshot_with_a_damaged_file_is_opened_or_refused_with_the_name_of_a_file() {
    check_target("snapshot");
}

#[test]
fn damaged_specs_are_read_or_refused_with_a_sentence() {
    check_target("spec");
}

#[test]
fn every_target_is_in_this_file() {
    let this = include_str!("mutated.rs");
    for target in TARGETS {
        assert!(
            this.contains(&format!("check_target(\"{}\")", target.name())),
            "{}",
            target.name()
        );
    }
}

#[test]
fn memory_that_is_held_is_counted() {
    let held = most_held(|| {
        let mut bytes = vec![1_u8; 100_000];
        bytes.shrink_to(50_000);
        bytes.extend(vec![2; 60_000]);
        drop(bytes);
        drop(vec![3_u8; 30_000]);
    });
    assert!((150_000..400_000).contains(&held), "{held}");
    assert_eq!(most_held(|| ()), 0);
}
