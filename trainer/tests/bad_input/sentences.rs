//! What the result of a fit says: its numbers, and warnings about settings that cannot be meant.

use std::fs;

use modelward_wire::Verdict;
use serde_json::json;

use crate::{class, fit, trained};

/// Rows of which the class follows a number, but for one in five.
fn noisy(rows: usize) -> String {
    let row = |row: usize| {
        let flip = usize::from(row.is_multiple_of(5));
        format!(
            "{},{},{}\n",
            row * 37 % 101,
            class(row) * 10 + row % 13,
            class(row) ^ flip
        )
    };
    format!("a,x,y\n{}", (0..rows).map(row).collect::<String>())
}

#[test]
fn a_metric_has_the_same_four_places_in_the_message_and_on_the_card() {
    for seed in 0..6 {
        let fields = json!({
            "families": ["LogisticRegression"], "hyperparameters": {}, "validation": {"folds": 3, "repeats": 2, "seed": seed}, "selectBy": "LogLoss",
        });
        let ended = trained(noisy(150), &fields);
        let card = fs::read_to_string(ended.bundle().join("model-card.html")).unwrap();
        let headline = card.split("<dt>LogLoss, out of fold</dt><dd>").nth(1).unwrap();
        let (mean, error) = headline.split_once("</dd>").unwrap().0.split_once(" ± ").unwrap();
        let found = &ended.result.message;
        let expected = format!("LogLoss {mean} (mean of 6 folds, standard error {error})");
        assert!(found.contains(&expected), "{expected}: {found}");
        let reported = &ended
            .result
            .metrics
            .iter()
            .find(|metric| metric.name == "LogLoss")
            .unwrap()
            .mean;
        let difference = (reported.to_f64() - mean.parse::<f64>().unwrap()).abs();
        assert!(difference <= 0.000_051, "{reported} is shown as {mean}");
    }
}

#[test]
fn a_threshold_that_leaves_one_class_is_named_in_the_message() {
    for (threshold, class) in [("0", 1), ("1", 0)] {
        let ended = trained(
            noisy(150),
            &json!({"families": ["LogisticRegression"], "hyperparameters": {}, "threshold": {"value": threshold}}),
        );
        let words = format!(
            "at the threshold {threshold} every measured row gets class {class}; set another threshold"
        );
        assert!(ended.result.message.contains(&words), "{}", ended.result.message);
    }
    let usual = trained(
        noisy(150),
        &json!({"families": ["LogisticRegression"], "hyperparameters": {}}),
    );
    assert!(
        !usual.result.message.contains("every measured row"),
        "{}",
        usual.result.message
    );
}

#[test]
fn a_gate_on_the_wrong_side_of_its_metric_says_which_side_is_better() {
    for (gate, words) in [
        (
            json!({"metric": "LogLoss", "atLeast": "20"}),
            "is under the gate 20; a lower value of this metric is better: set atMost",
        ),
        (
            json!({"metric": "RocAuc", "atMost": "0.01"}),
            "is over the gate 0.01; a higher value of this metric is better: set atLeast",
        ),
    ] {
        let ended = fit(
            noisy(150),
            &json!({"families": ["LogisticRegression"], "hyperparameters": {}, "gates": [gate]}),
        );
        assert_eq!(ended.result.verdict, Verdict::GatesFailed, "{:#?}", ended.result);
        assert!(ended.result.message.contains(words), "{}", ended.result.message);
    }
    let usual = fit(
        noisy(150),
        &json!({"families": ["LogisticRegression"], "hyperparameters": {}, "gates": [{"metric": "RocAuc", "atLeast": "1"}]}),
    );
    assert!(
        usual.result.message.ends_with("is under the gate 1"),
        "{}",
        usual.result.message
    );
}
