//! Expectations that no data can meet, or that say nothing.

use std::collections::BTreeSet;

use modelward_crds::{Expectation, TrainingSource};
use modelward_wire::Decimal;

use crate::data::expectations::{strftime::Format, string::compile};

/// A spec has at most this many expectations.
const MAX_EXPECTATIONS: usize = 200;

/// Adds what is wrong with the expectations of a spec.
pub fn check(training: &TrainingSource, wrong: &mut Vec<String>) {
    let expectations = &training.expectations;
    if expectations.len() > MAX_EXPECTATIONS {
        wrong.push(format!(
            "expectations has {} entries, at most {MAX_EXPECTATIONS} are evaluated",
            expectations.len()
        ));
    }
    for (index, given) in expectations.iter().enumerate() {
        let mut problems = given.problems();
        check_bounds(given, &mut problems);
        check_texts(given, &mut problems);
        check_columns(given, &mut problems);
        check_partition(given, &mut problems);
        let named = problems
            .into_iter()
            .map(|problem| format!("expectations[{index}]: {} {problem}", given.r#type));
        wrong.extend(named);
    }
}

fn check_bounds(given: &Expectation, problems: &mut Vec<String>) {
    let over = |min: &Option<Decimal>, max: &Option<Decimal>| {
        min.as_ref().zip(max.as_ref()).is_some_and(|(min, max)| min > max)
    };
    if over(&given.min_value, &given.max_value) {
        problems.push("has a minValue above its maxValue".to_owned());
    }
    let is_share = |share: &Decimal| (0.0..=1.0).contains(&share.to_f64());
    let shares = [
        ("mostly", &given.mostly),
        ("tailWeightHoldout", &given.tail_weight_holdout),
    ];
    for (name, share) in shares {
        if let Some(share) = share.as_ref().filter(|share| !is_share(share)) {
            problems.push(format!("has {name} {share}, it must be between 0 and 1"));
        }
    }
    if given
        .threshold
        .as_ref()
        .is_some_and(|threshold| threshold.to_f64() < 0.0)
    {
        problems.push("has a threshold below 0".to_owned());
    }
    for range in given.quantile_ranges.iter().flatten() {
        if !is_share(&range.quantile) {
            problems.push(format!(
                "has the quantile {}, it must be between 0 and 1",
                range.quantile
            ));
        }
        if over(&range.min_value, &range.max_value) {
            problems.push(format!(
                "has a minValue above the maxValue of quantile {}",
                range.quantile
            ));
        }
    }
}

fn check_texts(given: &Expectation, problems: &mut Vec<String>) {
    for regex in given.regex.iter().chain(given.regex_list.iter().flatten()) {
        if let Err(error) = compile(regex) {
            problems.push(format!(
                "has a regular expression that cannot be used: {}",
                error.0
            ));
        }
    }
    if let Some(Err(problem)) = given.strftime_format.as_deref().map(Format::new) {
        problems.push(format!("cannot be evaluated: {problem}"));
    }
    let lists = [
        ("columnList", &given.column_list),
        ("columnSet", &given.column_set),
        ("valueSet", &given.value_set),
        ("regexList", &given.regex_list),
    ];
    for (name, list) in lists {
        if list.as_ref().is_some_and(Vec::is_empty) {
            problems.push(format!("has an empty {name}"));
        }
    }
}

fn check_columns(given: &Expectation, problems: &mut Vec<String>) {
    if given.column_a.is_some() && given.column_a == given.column_b {
        problems.push("has the same column twice".to_owned());
    }
    let mut seen = BTreeSet::new();
    let columns = given.column_list.iter().flatten();
    if let Some(twice) = columns.into_iter().find(|column| !seen.insert(*column)) {
        problems.push(format!("has the column {twice:?} twice"));
    }
}

fn check_partition(given: &Expectation, problems: &mut Vec<String>) {
    let Some(shares) = &given.partition_object else {
        return;
    };
    let total: f64 = shares.iter().map(|share| share.weight.to_f64()).sum();
    // As NumPy compares, for Great Expectations.
    if (total - 1.0).abs() > 1e-5 + 1e-8 {
        problems.push(format!("has weights that add up to {total}, not to 1"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = shares.iter().find(|share| !seen.insert(&share.value)) {
        problems.push(format!("has the value {:?} twice", twice.value));
    }
}
