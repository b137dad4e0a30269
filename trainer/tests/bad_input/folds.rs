//! Too few rows, classes, groups and times for the folds.

use modelward_wire::Verdict;
use serde_json::json;

use crate::{assert_refused, class, fit, rows, trained};

/// Rows of a number and a class.
fn labelled(count: usize, class: impl Fn(usize) -> usize) -> String {
    let rows: String = (0..count)
        .map(|row| format!("{},{}\n", row * 13 % 50, class(row)))
        .collect();
    format!("a,y\n{rows}")
}

#[test]
fn more_folds_than_rows_are_refused() {
    let folds = |folds: u32| json!({"validation": {"folds": folds, "repeats": 1}});
    let ended = fit(labelled(60, class), &folds(50));
    assert_eq!(
        (ended.result.verdict, ended.result.message.as_str()),
        (
            Verdict::SpecInvalid,
            "the spec is not valid: validation.folds is 50, it must be 2 to 20"
        )
    );
    let ended = fit(labelled(10, |row| row % 2), &folds(20));
    let messages: Vec<&str> = ended
        .result
        .violations
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    let few = |class| {
        format!(
            "class {class} has 5 rows, but 20 folds need at least 20: add rows of that class, or lower validation.folds"
        )
    };
    assert_eq!(messages, [few(1), few(0)]);
    // As many as there are.
    trained(labelled(40, |row| row % 2), &folds(20));
    trained(labelled(4, |row| row % 2), &folds(2));
}

#[test]
fn a_class_with_one_row_or_none_is_refused() {
    let message = "class 1 has 1 row, but 2 folds need at least 2: add rows of that class";
    assert_refused(
        labelled(60, |row| usize::from(row == 9)),
        &json!({}),
        "ClassCount",
        "y",
        message,
    );
    let message = "every row is of class 0; a row is of class 1 if y is 1, and both classes are needed; the column's values are \"0\"";
    assert_refused(labelled(60, |_| 0), &json!({}), "OneClass", "y", message);
    trained(labelled(60, |row| usize::from(row == 9 || row == 12)), &json!({}));
}

#[test]
fn a_class_whose_rows_are_all_equal_is_in_every_fold() {
    let file = (0..60).map(|row| {
        format!(
            "{},{}\n",
            if class(row) == 1 { 1 } else { row % 2 + 2 },
            class(row)
        )
    });
    trained(format!("a,y\n{}", file.collect::<String>()), &json!({}));
    let all_equal = (0..60).map(|row| format!("1,{}\n", class(row)));
    trained(format!("a,y\n{}", all_equal.collect::<String>()), &json!({}));
}

#[test]
fn a_feature_that_is_constant_or_missing_in_a_fold_is_trained_on() {
    // Of 20 folds, the models of most see one value of x alone, and some none.
    let folds = json!({"validation": {"folds": 20, "repeats": 1}});
    for value in ["3", "p"] {
        let cell = |row: usize| if row == 0 { value.to_owned() } else { String::new() };
        trained(rows(60, "a,x,y", cell), &folds);
    }
    // In the order of time, x is missing in every row that the model of the first fold is fitted on.
    let file = (0..60).map(|row| {
        let x = if row < 40 {
            String::new()
        } else {
            (row % 7).to_string()
        };
        format!(
            "{x},{},{},{}\n",
            if row < 40 { 5 } else { row },
            1_767_225_600 + row * 86_400,
            class(row)
        )
    });
    let file = format!("x,same,t,y\n{}", file.collect::<String>());
    trained(
        file,
        &json!({"validation": {"folds": 2, "repeats": 1, "timeSplit": {"column": "t"}}}),
    );
}

/// Rows of a number, a group and a class.
fn grouped(group: impl Fn(usize) -> String) -> String {
    let rows: String = (0..60)
        .map(|row| format!("{},{},{}\n", row * 13 % 50, group(row), class(row)))
        .collect();
    format!("a,g,y\n{rows}")
}

#[test]
fn groups_may_be_as_many_as_rows_and_not_fewer_than_folds() {
    let fields = json!({"validation": {"folds": 2, "repeats": 1, "groupBy": "g"}});
    trained(grouped(|row| format!("g{row}")), &fields);
    trained(grouped(|row| format!("{}{}", class(row), row % 2)), &fields);
    let message = "\"g\" has 1 groups with rows of class 0, and 2 folds need at least 2: lower validation.folds, or add groups";
    assert_refused(grouped(|_| "g".to_owned()), &fields, "Folds", "g", message);
    let target = json!({"validation": {"folds": 2, "repeats": 1, "groupBy": "y"}});
    let ended = fit(grouped(|row| row.to_string()), &target);
    assert_eq!(
        ended.result.message,
        "the spec is not valid: validation.groupBy names \"y\", which is the target"
    );
}

#[test]
fn rows_of_one_time_cannot_be_cut() {
    let fields = json!({"validation": {"folds": 2, "repeats": 1, "timeSplit": {"column": "g"}}});
    let message = "the rows cannot be cut into 3 blocks by the times in \"g\", too many are equal; lower validation.folds";
    assert_refused(
        grouped(|_| "2026-01-01".to_owned()),
        &fields,
        "Folds",
        "g",
        message,
    );
}

#[test]
fn a_calibration_that_needs_more_rows_is_refused_and_one_of_separated_classes_is_learnt() {
    let ended = fit(labelled(60, class), &json!({"calibration": "Isotonic"}));
    assert_eq!(
        ended.result.message,
        "calibration: Isotonic needs 1000 rows, the data has 60; with fewer it follows single rows: use Platt or None"
    );
    for (validation, left) in [
        (
            json!({"folds": 2, "repeats": 1, "heldOut": {"fraction": "0.3"}}),
            "840 of 1200 are left without those that are held out (heldOut.fraction is 0.3)",
        ),
        (
            json!({"folds": 3, "repeats": 1, "timeSplit": {"column": "a"}}),
            "900 of 1200 are left without the first of 4 blocks in time, which no model scores",
        ),
    ] {
        let fields = json!({"calibration": "Isotonic", "validation": validation});
        let ended = fit(rows(1200, "a,x,y", |row| row.to_string()), &fields);
        assert_eq!(
            ended.result.message,
            format!(
                "calibration: Isotonic needs 1000 rows, {left}; with fewer it follows single rows: use Platt or None"
            )
        );
    }
    let separated: String = (0..60)
        .map(|row| format!("{}e38,{}\n", class(row), class(row)))
        .collect();
    trained(format!("a,y\n{separated}"), &json!({"calibration": "Platt"}));
}
