//! Cells at the ends of what is a number, a category or a weight.

use std::fmt::Write as _;

use modelward_wire::Verdict;
use serde_json::json;

use crate::{assert_refused, class, fit, refused, rows, trained, with_cell};

fn mixed(cell: &str) -> String {
    format!(
        "59 values are numbers and 1 are not, such as {cell:?}; if it means \"missing\", add it to csv.missing; if it is a code, \
         declare the feature Categorical"
    )
}

#[test]
fn numbers_beyond_32_bit_floats_are_refused_and_the_largest_are_trained_on() {
    for cell in [
        "1e308",
        "-1e308",
        "3.5e38",
        "1000000000000000000000000000000000000000",
    ] {
        let message = format!("{cell:?} is beyond the range of a 32-bit float (about ±3.4e38)");
        assert_refused(with_cell(cell), &json!({}), "Type", "x", &message);
    }
    for cell in [
        "3.4e38",
        "-3.4028234e38",
        "1e-45",
        "1e-46",
        "1e-320",
        "-1e-320",
        "-0",
        "-0.0",
        "1e-99999",
    ] {
        trained(with_cell(cell), &json!({}));
    }
    let ends = ["3.4e38", "-3.4e38", "1e-45", "0"];
    trained(rows(60, "a,x,y", |at| ends[at % 4].to_owned()), &json!({}));
    trained(rows(60, "a,x,y", |at| format!("{}e-45", at % 7)), &json!({}));
    trained(rows(60, "a,x,y", |at| format!("{}e37", at % 7 * 4)), &json!({}));
}

#[test]
fn infinity_is_named_in_each_of_its_spellings() {
    for cell in [
        "inf",
        "-inf",
        "Infinity",
        "+Infinity",
        "INF",
        "∞",
        "1.#INF",
        "1e309",
        "-1E+99999999",
    ] {
        let message = format!(
            "{cell:?} is infinite: remove these values, or add them to csv.missing; if they are codes, declare the feature Categorical"
        );
        assert_refused(with_cell(cell), &json!({}), "Notation", "x", &message);
        let missing =
            json!({"dataset": {"configMap": {"name": "d", "key": "d.csv"}, "csv": {"missing": [cell]}}});
        trained(with_cell(cell), &missing);
    }
}

#[test]
fn what_is_not_a_number_is_named_in_each_of_its_spellings() {
    for cell in ["nan", "NaN", "-nan", "NAN", "1.#IND"] {
        let message = format!(
            "59 values are numbers and 1 are {cell:?}, which usually means \"missing\": set csv.missing: [{cell:?}]; if it is a code, \
             declare the feature Categorical"
        );
        assert_refused(with_cell(cell), &json!({}), "Type", "x", &message);
    }
    for cell in [
        "0x1p3", "1e", "1e+", "e5", "1d5", "\u{661}", "\u{ff11}", "--1", "1.2.3",
    ] {
        assert_refused(with_cell(cell), &json!({}), "Type", "x", &mixed(cell));
    }
}

#[test]
fn constant_columns_are_trained_on_with_a_warning() {
    let ended = trained(rows(60, "a,x,y", |_| "5".to_owned()), &json!({}));
    assert!(
        ended
            .result
            .warnings
            .iter()
            .any(|warning| warning.rule == "Constant" && warning.column == "x")
    );
    // All of them.
    let same = (0..60).fold("a,x,y\n".to_owned(), |mut file, row| {
        writeln!(file, "5,b,{}", class(row)).unwrap();
        file
    });
    trained(same, &json!({}));
}

#[test]
fn a_column_without_any_value_is_refused_whatever_is_declared() {
    let message = "every row lacks a value in this column; exclude it or correct the source";
    for feature in [
        json!([]),
        json!([{"name": "x", "kind": "Numeric"}]),
        json!([{"name": "x", "kind": "Categorical"}]),
        json!([{"name": "x", "kind": "Categorical", "categories": ["p", "q"]}]),
    ] {
        let fields = json!({"features": feature});
        assert_refused(
            rows(60, "a,x,y", |_| String::new()),
            &fields,
            "AllMissing",
            "x",
            message,
        );
    }
}

#[test]
fn a_column_with_one_value_in_one_row_is_missing_in_every_row_of_some_folds_and_trained_on() {
    for value in ["3", "w"] {
        let cell = |at: usize| if at == 7 { value.to_owned() } else { String::new() };
        let ended = trained(rows(60, "a,x,y", cell), &json!({}));
        assert!(
            ended
                .result
                .warnings
                .iter()
                .any(|warning| warning.rule == "OneValue")
        );
    }
}

#[test]
fn as_many_categories_as_are_allowed_are_trained_on_and_more_are_counted() {
    let cell = |count: usize| move |row: usize| format!("c{}", row % count);
    let categorical = json!({"features": [{"name": "x", "kind": "Categorical"}]});
    trained(rows(600, "a,x,y", cell(256)), &json!({}));
    for (count, fields) in [(257, json!({})), (10_000, json!({})), (10_000, categorical)] {
        let message = format!(
            "{count} different words, but a column has at most 256 categories; exclude the column if it is an identifier"
        );
        assert_refused(
            rows(count * 2, "a,x,y", cell(count)),
            &fields,
            "TooManyCategories",
            "x",
            &message,
        );
    }
    // As numbers they are values.
    let boosted = json!({"families": ["LightGBM"], "hyperparameters": {"lightgbm": {"nEstimators": 3}}});
    trained(rows(20_000, "a,x,y", |row| (row % 10_000).to_string()), &boosted);
    let listed: Vec<String> = (0..10_000).map(|at| format!("c{at}")).collect();
    let listed = json!({"features": [{"name": "x", "kind": "Categorical", "categories": listed}]});
    let ended = fit(rows(20, "a,x,y", cell(5)), &listed);
    assert_eq!(ended.result.verdict, Verdict::SpecInvalid);
    assert_eq!(
        ended.result.message,
        "the spec is not valid: feature \"x\" has 10000 categories, at most 256 are read"
    );
}

#[test]
fn categories_may_have_any_characters() {
    let strange = [
        "[a]",
        "<b>",
        "c:d",
        "\u{1f600}",
        "\"\"\"e,f\"\"\"",
        "e\u{301}",
        "\u{e9}",
        "{\\}",
    ];
    trained(
        rows(60, "a,x,y", |row| strange[row % strange.len()].to_owned()),
        &json!({}),
    );
}

/// Rows with a weight each.
fn weighted(weight: impl Fn(usize) -> String) -> String {
    (0..60).fold("a,w,y\n".to_owned(), |mut file, row| {
        writeln!(file, "{},{},{}", row * 13 % 50, weight(row), class(row)).unwrap();
        file
    })
}

#[test]
fn weights_may_be_zero_in_most_rows_and_in_no_class() {
    let fields = json!({"weights": {"column": "w"}});
    trained(weighted(|row| (row % 3).to_string()), &fields);
    trained(weighted(|row| usize::from(row % 7 < 3).to_string()), &fields);
    trained(weighted(|_| "1e-45".to_owned()), &fields);
    trained(weighted(|row| ["1e15", "1"][row % 2].to_owned()), &fields);
    let balanced = json!({"weights": {"column": "w", "classes": "Balanced"}});
    trained(weighted(|row| usize::from(row % 7 < 3).to_string()), &balanced);
    for positive in ["999999999", "0.000000000001"] {
        trained(
            weighted(|_| "1e15".to_owned()),
            &json!({"weights": {"column": "w", "positive": positive}}),
        );
    }
    let ended = fit(weighted(|_| "-0".to_owned()), &fields);
    let messages: Vec<&str> = ended
        .result
        .violations
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    let zero = |class| {
        format!("every row of class {class} has the weight 0; a class that counts nothing cannot be learnt")
    };
    assert_eq!(messages, [zero(0), zero(1)]);
    // No model of a fold may learn from rows of one class alone.
    let ended = fit(weighted(|row| usize::from(row < 4).to_string()), &fields);
    assert!(
        ended
            .result
            .message
            .contains("is fitted on has the weight 0 in \"w\"; lower validation.folds"),
        "{:?}",
        ended.result
    );
}

#[test]
fn weights_that_are_none_are_named() {
    let fields = json!({"weights": {"column": "w"}});
    for (cell, message) in [
        (
            "nan",
            "\"nan\" is not a number; weights are numbers of at least 0",
        ),
        (
            "inf",
            "\"inf\" is not a number; weights are numbers of at least 0",
        ),
        ("-1", "\"-1\" is negative; a weight is at least 0"),
        (
            "3e38",
            "\"3e38\" is greater than 1e15, the greatest weight that is read; divide all weights by one number",
        ),
    ] {
        let file = weighted(|row| if row == 2 { cell } else { "1" }.to_owned());
        assert_refused(file, &fields, "Weight", "w", message);
    }
    let (rule, _, message) = refused(
        weighted(|row| if row == 2 { "" } else { "1" }.to_owned()),
        &fields,
    );
    assert_eq!(rule, "Weight");
    assert!(
        message.starts_with("1 row has no value in the column of weights.column"),
        "{message}"
    );
}
