//! Columns of the data with a role other than feature or target.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use modelward_wire::{JobResult, Verdict};
use serde_json::Value;

use crate::{ledger::Ledger, text};

/// Rows of 80 patients with 1 to 5 visits each, whose values are much alike; a weight and a date of each visit.
fn visits() -> String {
    let mut csv = "patient,day,weight,x,z,y\n".to_owned();
    let mut row = 0_u32;
    for patient in 0..80_u32 {
        for visit in 0..=patient % 5 {
            let x = patient * 37 % 80 * 10 + visit;
            let y = u32::from(patient * 37 % 80 + patient * 7 % 30 > 55);
            let day = row * 11 % 28 + 1;
            let _ = writeln!(
                csv,
                "P{patient},2026-01-{day:02},{},{x},{},{y}",
                1 + row % 3,
                row * 13 % 17
            );
            row += 1;
        }
    }
    csv
}

/// A spec of these data with these lines more in its training.
fn spec(dir: &Path, training: &str) -> PathBuf {
    let text = format!(
        "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: visits-1}}\nspec:\n  model: visits\n  source:\n    \
         training:\n      dataset: {{configMap: {{name: visits, key: visits.csv}}}}\n      target: {{column: y}}\n{training}\n  serving: \
         {{access: Open}}\n"
    );
    let path = dir.join("spec.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Both Jobs: the result of the last one, and the files of the bundle.
fn run(csv: &str, training: &str) -> (JobResult, Option<BTreeMap<&'static str, String>>) {
    run_with(&Ledger::start(), csv, training)
}

/// Both Jobs, with this ledger.
fn run_with(
    ledger: &Ledger,
    csv: &str,
    training: &str,
) -> (JobResult, Option<BTreeMap<&'static str, String>>) {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("visits.csv");
    std::fs::write(&data, csv).unwrap();
    let spec = spec(temp.path(), training);
    let (output, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    assert!(output.status.success());
    if result.verdict != Verdict::Succeeded {
        return (result, None);
    }
    let snapshot = result.digest.unwrap().to_string();
    let (output, result) = ledger.run(&["fit", "--spec", text(&spec), "--snapshot", &snapshot]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bundle = ledger.kept(&result.digest.unwrap());
    let names = [
        "schema.json",
        "metrics.json",
        "out-of-fold.csv",
        "reference.json",
        "model-card.html",
    ];
    let files = names.map(|name| (name, std::fs::read_to_string(bundle.join(name)).unwrap()));
    let trees = std::fs::read_to_string(bundle.join("xgboost.json"));
    let trees = trees.map(|text| ("xgboost.json", text));
    (result, Some(files.into_iter().chain(trees).collect()))
}

fn json(files: &BTreeMap<&str, String>, name: &str) -> Value {
    serde_json::from_str(&files[name]).unwrap()
}

/// The folds in which the rows of each line of the data are tested, by repeat.
fn folds(files: &BTreeMap<&str, String>) -> Vec<(usize, usize, usize)> {
    let lines = files["out-of-fold.csv"].lines().skip(1);
    let of_line = lines.map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (
            cells[2].parse().unwrap(),
            cells[0].parse().unwrap(),
            cells[3].parse().unwrap(),
        )
    });
    of_line.collect()
}

#[test]
fn no_patient_is_in_two_folds_of_a_job_that_groups_by_patient() {
    let csv = visits();
    let (result, files) = run(
        &csv,
        "      exclude: [day, weight]\n      validation: {folds: 4, repeats: 3, seed: 5, groupBy: patient}",
    );
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    let files = files.unwrap();
    let schema = json(&files, "schema.json");
    let features: Vec<&str> = schema["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    assert_eq!(features, ["x", "z"]);
    let patients: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    let mut fold_of = BTreeMap::new();
    for (repeat, row, fold) in folds(&files) {
        let of_patient = *fold_of.entry((repeat, patients[row - 1])).or_insert(fold);
        assert_eq!(of_patient, fold, "row {row}");
    }
    assert_eq!(fold_of.len(), 3 * 80);
    let metrics = json(&files, "metrics.json");
    assert_eq!(metrics["folds"]["kind"], "repeated stratified folds of groups");
    assert_eq!(
        metrics["folds"]["group"],
        serde_json::json!({"column": "patient", "groups": 80})
    );
}

#[test]
fn many_new_rows_of_one_patient_are_not_enough_for_a_job_that_groups_by_patient() {
    let ledger = Ledger::start();
    let training =
        "      exclude: [day, weight]\n      validation: {folds: 4, repeats: 2, seed: 5, groupBy: patient}";
    let (champion, _) = run_with(&ledger, &visits(), training);
    let mut csv = visits();
    for visit in 0..40_u32 {
        let (x, z, y) = (1_000 + visit, visit % 17, visit % 2);
        let _ = writeln!(csv, "P900,2026-01-01,1,{x},{z},{y}");
    }
    let bundle = champion.digest.unwrap();
    let compared = format!("{training}\n      notWorseThan: {{version: visits-0, bundle: \"{bundle}\"}}");
    let (result, files) = run_with(&ledger, &csv, &compared);
    assert_eq!(result.verdict, Verdict::GatesFailed, "{}", result.message);
    assert!(
        result.message.contains(
            "there are not enough groups by patient to compare with visits-0: 40 new rows of 1 group, "
        ),
        "{}",
        result.message
    );
    let metrics = json(&files.unwrap(), "metrics.json");
    let comparison = &metrics["notWorseThan"];
    assert_eq!(comparison["groupedBy"], "patient");
    assert_eq!(comparison["on"][0]["groups"]["count"], 81);
    assert_eq!(comparison["on"][1]["groups"]["count"], 1);
}

#[test]
fn a_row_of_weight_two_counts_as_the_row_twice_and_one_of_weight_zero_not_at_all() {
    // The model of all rows: folds differ, because equal rows go together.
    let plain = "      exclude: [patient, day, weight]\n      validation: {folds: 2, repeats: 1}";
    let weighted = "      exclude: [patient, day]\n      validation: {folds: 2, repeats: 1}\n      weights: {column: weight}";
    let mut repeated = String::new();
    let mut with_weights = String::new();
    for (at, line) in visits().lines().enumerate() {
        let weight = if at == 0 { 1 } else { at % 4 % 3 };
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        for _ in 0..weight {
            let _ = writeln!(repeated, "{line}");
        }
        if at > 0 {
            cells[2] = weight.to_string();
        }
        let _ = writeln!(with_weights, "{}", cells.join(","));
    }
    let family =
        "\n      families: [XGBoost]\n      hyperparameters: {xgboost: {nEstimators: 5, maxDepth: 2}}";
    let (result, files) = run(&with_weights, &format!("{weighted}{family}"));
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    let files = files.unwrap();
    let metrics = json(&files, "metrics.json");
    assert_eq!(
        metrics["folds"]["weight"],
        serde_json::json!({"column": "weight", "zeros": 120})
    );
    assert!(json(&files, "schema.json")["features"].as_array().unwrap().len() == 2);
    let (_, same) = run(&repeated, &format!("{plain}{family}"));
    let (_, unweighted) = run(&with_weights, &format!("{plain}{family}"));
    let tree = |files: &BTreeMap<&str, String>| -> Vec<f64> {
        let model = &json(files, "xgboost.json")["learner"]["gradient_booster"]["model"];
        let conditions = model["trees"][0]["split_conditions"].as_array().unwrap();
        conditions.iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let differ = |one: &[f64], other: &[f64]| {
        one.iter()
            .zip(other)
            .any(|(one, other)| (one - other).abs() > 1e-5)
    };
    let (found, same) = (tree(&files), tree(&same.unwrap()));
    assert!(
        found.len() == same.len() && !differ(&found, &same),
        "{found:?} {same:?}"
    );
    let unweighted = tree(&unweighted.unwrap());
    assert!(differ(&found, &unweighted), "{found:?} {unweighted:?}");
}

#[test]
fn weights_that_are_none_are_refused_with_their_rows() {
    let training = "      exclude: [patient, day]\n      validation: {folds: 2, repeats: 1}\n      weights: {column: weight}";
    let with = |change: &dyn Fn(usize, &str) -> Option<&'static str>| {
        let lines = visits();
        let lines = lines.lines().enumerate().map(|(at, line)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            if at > 0
                && let Some(weight) = change(at, cells[5])
            {
                cells[2] = weight;
            }
            cells.join(",")
        });
        let (result, _) = run(&(lines.collect::<Vec<_>>().join("\n") + "\n"), training);
        assert_eq!(result.verdict, Verdict::DataInvalid, "{}", result.message);
        let of = |found: &modelward_wire::Violation| {
            (
                found.rule.clone(),
                found.message.clone(),
                found.count,
                found.example_row,
            )
        };
        result.violations.iter().map(of).collect::<Vec<_>>()
    };
    let bad = ["", "-1", "NaN", "1e60"];
    let found = with(&|at, _| ((5..9).contains(&at)).then(|| bad[at - 5]));
    let words = [
        "has no value in the column of weights.column",
        "\"NaN\" is not a number",
        "\"-1\" is negative",
        "is greater than 1e15",
    ];
    assert_eq!(found.len(), 4, "{found:?}");
    for ((rule, message, count, row), (word, at)) in found.iter().zip(words.iter().zip([5, 7, 6, 8])) {
        assert_eq!(
            (rule.as_str(), *count, *row),
            ("Weight", 1, Some(at)),
            "{message}"
        );
        assert!(message.contains(word), "{message}");
    }
    let found = with(&|_, _| Some("0"));
    assert!(
        found.len() == 2 && found[0].1.contains("every row of class 0 has the weight 0"),
        "{found:?}"
    );
    let found = with(&|_, class| (class == "1").then_some("0"));
    assert!(
        found.len() == 1 && found[0].1.contains("every row of class 1"),
        "{found:?}"
    );
}

#[test]
fn a_row_without_a_group_and_too_few_groups_are_refused_before_anything_is_fitted() {
    let training = "      exclude: [day, weight]\n      validation: {folds: 4, repeats: 1, groupBy: patient}";
    let (result, _) = run(&visits().replace("\nP7,", "\n,"), training);
    assert_eq!(result.verdict, Verdict::DataInvalid);
    let found = &result.violations[0];
    assert_eq!((found.rule.as_str(), found.column.as_str()), ("Group", "patient"));
    assert_eq!((found.count, found.example_row), (3, Some(19)), "{found:?}");

    let three = visits().lines().fold(String::new(), |mut csv, line| {
        let (patient, rest) = line.split_once(',').unwrap();
        let number = patient
            .strip_prefix('P')
            .map(|digits| digits.parse::<u32>().unwrap_or(0) % 3);
        let _ = writeln!(
            csv,
            "{},{rest}",
            number.map_or(patient.to_owned(), |number| format!("P{number}"))
        );
        csv
    });
    let (result, _) = run(&three, training);
    assert_eq!(result.verdict, Verdict::DataInvalid);
    assert_eq!(result.violations[0].rule, "Folds");
    assert!(
        result.violations[0]
            .message
            .contains("has 3 groups with rows of class 0, and 4 folds need at least 4"),
        "{}",
        result.message
    );
}

/// Each line of the file: the row, its fold and its score.
fn out_of_fold(files: &BTreeMap<&str, String>) -> Vec<(usize, Option<usize>, Option<f64>)> {
    let lines = files["out-of-fold.csv"].lines().skip(1);
    let of_line = lines.map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[2], "0", "one repeat");
        (
            cells[0].parse().unwrap(),
            cells[3].parse().ok(),
            cells[5].parse().ok(),
        )
    });
    of_line.collect()
}

const IN_TIME: &str = "      exclude: [patient, weight]\n      validation: {folds: 4, repeats: 1, timeSplit: {column: day, gapSeconds: 86400}}";

#[test]
fn a_job_in_the_order_of_time_tests_later_rows_and_leaves_the_first_block_without_scores() {
    let csv = visits();
    let (result, files) = run(&csv, IN_TIME);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    assert!(result.message.contains("mean of 4 folds"), "{}", result.message);
    let files = files.unwrap();
    let days: Vec<&str> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap())
        .collect();
    let rows = out_of_fold(&files);
    assert_eq!(rows.len(), days.len(), "every row has a line");
    let (mut last, mut first) = (BTreeMap::new(), BTreeMap::new());
    for (row, fold, score) in &rows {
        assert_eq!(fold.is_some(), score.is_some());
        let block = fold.map_or(0, |fold| fold + 1);
        let day = days[row - 1];
        last.entry(block)
            .and_modify(|last: &mut &str| *last = day.max(last))
            .or_insert(day);
        first
            .entry(block)
            .and_modify(|first: &mut &str| *first = day.min(first))
            .or_insert(day);
    }
    assert_eq!(last.len(), 5);
    assert!(
        (1..5).all(|block| last[&(block - 1)] < first[&block]),
        "{first:?} {last:?}"
    );
    let metrics = json(&files, "metrics.json");
    assert!(
        metrics["folds"]["kind"]
            .as_str()
            .unwrap()
            .contains("in the order of time")
    );
    let time = &metrics["folds"]["time"];
    assert_eq!(
        (&time["column"], &time["format"]),
        (&"day".into(), &"Date".into())
    );
    assert_eq!(
        (&time["first"], &time["last"]),
        (&"2026-01-01T00:00:00Z".into(), &"2026-01-28T00:00:00Z".into())
    );
    // All rows have features in the reference, those that were tested have scores.
    let reference = json(&files, "reference.json");
    let tested = rows.iter().filter(|(_, fold, _)| fold.is_some()).count();
    assert!(tested < rows.len());
    assert_eq!(reference["counts"]["features"]["rows"], rows.len());
    assert_eq!(reference["counts"]["score"]["rows"], tested);
    assert!(files["model-card.html"].contains("blocks of rows in the order of the column &#34;day&#34;"));
}

#[test]
fn what_is_learnt_from_scores_is_learnt_from_earlier_blocks_and_the_first_is_not_measured() {
    let learning = format!(
        "{IN_TIME}\n      calibration: Platt\n      threshold: {{maximise: F1}}\n      families: [LogisticRegression, XGBoost]\n      search: {{trials: 6, seed: 1}}"
    );
    let (result, files) = run(&visits(), &learning);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    assert!(result.message.contains("mean of 3 folds"), "{}", result.message);
    let files = files.unwrap();
    let folds: std::collections::BTreeSet<usize> = out_of_fold(&files)
        .iter()
        .filter_map(|(_, fold, _)| *fold)
        .collect();
    assert_eq!(folds, [1, 2, 3].into());
    assert!(json(&files, "metrics.json")["corrected"]["corrected"].is_number());
}

#[test]
fn times_that_are_none_or_of_another_form_and_other_seeds_of_trouble_are_refused() {
    let with = |from: &str, to: &str| run(&visits().replacen(from, to, 1), IN_TIME).0;
    for (to, word) in [
        ("P0,,", "has no value in the column of validation.timeSplit"),
        (
            "P0,2026-01-01T00:00:00Z,",
            "is not a time in the form of the first one, Rfc3339",
        ),
        (
            "P0,first,",
            "\"first\" is not a time in the form of the first one, Date",
        ),
    ] {
        let result = with("P0,2026-01-01,", to);
        assert_eq!(
            (result.verdict, result.violations[0].rule.as_str()),
            (Verdict::DataInvalid, "Time")
        );
        assert!(result.violations[0].message.contains(word), "{}", result.message);
    }
    let csv = visits();
    let one_day = csv.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        if cells[1] != "day" {
            cells[1] = if cells[1] < "2026-01-15" {
                "2026-01-01"
            } else {
                "2026-01-02"
            };
        }
        cells.join(",") + "\n"
    });
    let (result, _) = run(&one_day.collect::<String>(), IN_TIME);
    assert_eq!(
        (result.verdict, result.violations[0].rule.as_str()),
        (Verdict::DataInvalid, "Folds")
    );
    let (result, _) = run(&visits(), &IN_TIME.replace("repeats: 1", "repeats: 3"));
    assert_eq!(result.verdict, Verdict::SpecInvalid, "{}", result.message);
}

#[test]
fn rows_that_are_held_out_are_in_no_fold_and_measured_once_whatever_the_folds_are() {
    let csv = visits();
    let column = |at: usize| -> Vec<&str> {
        csv.lines()
            .skip(1)
            .map(|line| line.split(',').nth(at).unwrap())
            .collect()
    };
    for (validation, exclude) in [
        ("repeats: 2", "patient, day, weight"),
        ("repeats: 2, groupBy: patient", "day, weight"),
        ("repeats: 1, timeSplit: {column: day}", "patient, weight"),
    ] {
        let training = format!(
            "      exclude: [{exclude}]\n      validation: {{folds: 3, {validation}, heldOut: {{fraction: '0.25'}}}}\n      threshold: {{maximise: F1}}"
        );
        let (result, files) = run(&csv, &training);
        assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
        assert!(
            result.message.contains("rows that were held out"),
            "{}",
            result.message
        );
        let files = files.unwrap();
        let held_out = &json(&files, "metrics.json")["heldOut"];
        let rows = usize::try_from(held_out["rows"].as_u64().unwrap()).unwrap();
        assert!((45..=61).contains(&rows), "{rows} of 240");
        assert!(
            held_out["metrics"]["RocAuc"].as_f64().unwrap() > 0.6,
            "{held_out}"
        );
        let tested: std::collections::BTreeSet<usize> = folds_of_tested(&files);
        if !validation.contains("timeSplit") {
            assert_eq!(tested.len(), 240 - rows);
        }
        let (patients, days) = (column(0), column(1));
        let out = |row: &usize| !tested.contains(row);
        if validation.contains("groupBy") {
            let of = |is_out: bool| -> std::collections::BTreeSet<&str> {
                (1..=240)
                    .filter(|row| out(row) == is_out)
                    .map(|row| patients[row - 1])
                    .collect()
            };
            assert!(of(true).is_disjoint(&of(false)));
        }
        if validation.contains("timeSplit") {
            let last = tested.iter().map(|row| days[row - 1]).max().unwrap();
            assert_eq!(days.iter().filter(|day| **day > last).count(), rows);
        }
        assert!(files["model-card.html"].contains("On rows that were held out"));
    }
}

/// The rows that a fold tested.
fn folds_of_tested(files: &BTreeMap<&str, String>) -> std::collections::BTreeSet<usize> {
    let lines = files["out-of-fold.csv"].lines().skip(1);
    let tested = lines.filter(|line| line.split(',').nth(3) != Some(""));
    tested
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect()
}
