use modelward_crds::{Argument, TrainingSource};
use modelward_wire::Violation;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::data::{file, table::Table};

pub(super) fn training(more: &Value) -> TrainingSource {
    let mut spec = json!({
        "dataset": {"configMap": {"name": "d", "key": "d.csv"}, "csv": {"missing": ["?"]}},
        "target": {"column": "y"},
    });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

pub(super) fn table(csv: &str, training: &TrainingSource) -> Table {
    let (table, violations) = file::read(csv.as_bytes(), &training.dataset.csv, Quote::Yes);
    assert!(violations.is_empty(), "{violations:?}");
    table
}

fn part<'a>(name: &'a str, table: &'a Table, training: &'a TrainingSource, quote: Quote) -> Part<'a> {
    Part {
        name,
        table,
        format: &training.dataset.csv,
        quote,
    }
}

pub(super) fn run(csv: &str, training: &TrainingSource) -> Validation {
    let table = table(csv, training);
    evaluate_all(&[part("d.csv", &table, training, Quote::Yes)], training).unwrap()
}

fn expectations(list: &Value) -> TrainingSource {
    training(&json!({"expectations": list}))
}

const CSV: &str = "age,sex,y\n40,m,0\n41,f,1\n900,x,0\n?,m,1\n";

#[test]
fn a_violation_says_what_was_expected_and_what_was_observed_and_where() {
    let spec = expectations(&json!([
        {"type": "ExpectColumnValuesToBeBetween", "column": "age", "minValue": "0", "maxValue": "120"},
        {"type": "ExpectColumnMeanToBeBetween", "column": "age", "maxValue": "60"},
        {"type": "ExpectColumnToExist", "column": "weight"},
        {"type": "ExpectColumnMeanToBeBetween", "column": "sex", "maxValue": "60"},
        {"type": "ExpectColumnValuesToBeInSet", "column": "sex", "valueSet": ["m", "f"], "severity": "Warning"},
        {"type": "ExpectTableRowCountToEqual", "value": 4},
    ]));
    let found = run(CSV, &spec);
    let message = |violation: &Violation| format!("{}: {}", violation.column, violation.message);
    let messages: Vec<String> = found.violations.iter().map(message).collect();
    assert_eq!(
        messages,
        [
            "age: ExpectColumnValuesToBeBetween: 1 of 3 values not as expected, such as 900.0; expected minValue 0, maxValue 120",
            "age: ExpectColumnMeanToBeBetween: mean 327.0; expected maxValue 60",
            "weight: ExpectColumnToExist: there is no such column",
            "sex: ExpectColumnMeanToBeBetween: the column \"sex\" does not hold numbers; expected maxValue 60",
        ]
    );
    assert_eq!(found.violations[0].rule, RULE);
    assert_eq!(
        (found.violations[0].count, found.violations[0].example_row),
        (1, Some(3))
    );
    assert_eq!(found.warnings.len(), 1);
    assert_eq!((found.evaluated, found.failed), (6, 5));
}

#[test]
fn what_features_imply_is_reported_and_is_no_second_violation() {
    let spec = training(&json!({"features": [
        {"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "120"}, "maxMissingRatio": "0.1"},
        {"name": "sex", "kind": "Categorical", "categories": ["m", "f"], "required": true},
    ]}));
    let found = run(CSV, &spec);
    assert_eq!(found.violations, []);
    assert_eq!(found.implied.len(), 3, "{:?}", found.implied);
    let result: Value = serde_json::from_slice(&found.json).unwrap();
    assert_eq!(result["results"].as_array().unwrap().len(), 4);
    assert_eq!(
        result["results"][0]["expectation_config"]["meta"]["from"],
        "features"
    );
    assert_eq!(
        result["results"][1]["expectation_config"]["kwargs"]["mostly"],
        0.9
    );
}

#[test]
fn nothing_is_evaluated_without_expectations_and_nothing_of_an_address_is_quoted() {
    let spec = expectations(&json!([
        {"type": "ExpectColumnValuesToBeInSet", "column": "sex", "valueSet": ["m", "f"]},
        {"type": "ExpectColumnMaxToBeBetween", "column": "age", "maxValue": "100"},
        {"type": "ExpectColumnMostCommonValueToBeInSet", "column": "secret", "valueSet": ["q"]},
        {"type": "ExpectColumnDistinctValuesToBeInSet", "column": "secret", "valueSet": ["q"]},
        {"type": "ExpectColumnPairValuesToBeEqual", "columnA": "secret", "columnB": "sex"},
        {"type": "ExpectCompoundColumnsToBeUnique", "columnList": ["secret", "sex"]},
        {"type": "ExpectColumnKlDivergenceToBeLessThan", "column": "secret", "threshold": "1",
         "partitionObject": [{"value": "q", "weight": "1"}]},
    ]));
    let csv = "age,sex,secret,y\n40,hidden1,hidden2,0\n777,hidden1,hidden2,1\n";
    let table = table(csv, &spec);
    let none = training(&json!({}));
    let quoted = [part("d.csv", &table, &none, Quote::Yes)];
    assert!(validate(&quoted, &none).unwrap().is_none());

    let parts = [part("https://example.org/d.csv", &table, &spec, Quote::No)];
    let found = validate(&parts, &spec).unwrap().unwrap();
    let json = String::from_utf8(found.json).unwrap();
    let messages = format!("{:?}", found.violations);
    assert_eq!(found.violations.len(), 7, "{messages}");
    for text in [&json, &found.html, &messages] {
        assert!(!text.contains("hidden"), "{text}");
    }
    assert!(!messages.contains("777"), "{messages}");

    // Without the target it may be anything.
    let other = TrainingSource {
        target: training(&json!({"target": {"column": "z"}})).target,
        ..spec.clone()
    };
    assert!(validate(&parts, &other).unwrap().is_none());
}

#[test]
fn the_page_has_what_is_not_met_first_and_escapes_the_data() {
    let spec = expectations(&json!([
        {"type": "ExpectColumnToExist", "column": "sex"},
        {"type": "ExpectColumnValuesToMatchRegex", "column": "sex", "regex": "^[a-z]$"},
    ]));
    let html = run("sex,y\n<script>alert(1)</script>,0\nm,1\n", &spec).html;
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
    let place = |name: &str| html.find(name).unwrap();
    assert!(place("ExpectColumnValuesToMatchRegex") < place("ExpectColumnToExist"));
    assert!(html.contains("1 of 2 expectations are not met"));
}

#[test]
fn rows_of_several_datasets_are_one_table_and_the_file_of_the_first_row_is_named() {
    let spec = expectations(&json!([
        {"type": "ExpectColumnValuesToBeUnique", "column": "id"},
        {"type": "ExpectColumnMaxToBeBetween", "column": "id", "maxValue": "2"},
    ]));
    let (one, two) = (table("id,y\n1,0\n2,1\n", &spec), table("y,id\n0,3\n1,3\n", &spec));
    let parts = [
        part("one", &one, &spec, Quote::Yes),
        part("two", &two, &spec, Quote::Yes),
    ];
    let found = evaluate_all(&parts, &spec).unwrap();
    assert!(
        found.violations[0].message.contains("the first in two"),
        "{:?}",
        found.violations
    );
    assert_eq!(found.violations[0].example_row, Some(1));
    assert_eq!(found.violations.len(), 2);
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_the_place_in_the_list() {
    let mut wrong = Vec::new();
    let spec = expectations(&json!([
        {"type": "ExpectColumnToExist"},
        {"type": "ExpectColumnValuesToMatchRegex", "column": "a", "regex": "(?=a)"},
        {"type": "ExpectColumnValuesToMatchStrftimeFormat", "column": "a", "strftimeFormat": "%Q"},
        {"type": "ExpectColumnMinToBeBetween", "column": "a", "minValue": "2", "maxValue": "1"},
        {"type": "ExpectColumnKlDivergenceToBeLessThan", "column": "a", "threshold": "1",
         "partitionObject": [{"value": "q", "weight": "0.5"}]},
        {"type": "ExpectColumnPairValuesToBeEqual", "columnA": "a", "columnB": "a"},
        {"type": "ExpectColumnValuesToNotBeNull", "column": "a", "mostly": "2"},
    ]));
    check::check(&spec, &mut wrong);
    assert_eq!(wrong.len(), 7, "{wrong:#?}");
    assert_eq!(wrong[0], "expectations[0]: ExpectColumnToExist needs column");
    assert!(wrong[1].contains("look-around"), "{}", wrong[1]);
}

/// The table of the documentation, a line a type.
fn documented(kind: ExpectationType) -> String {
    let list = |arguments: &[Argument], separator: &str| {
        let names: Vec<String> = arguments.iter().map(|argument| format!("`{argument}`")).collect();
        names.join(separator)
    };
    let arguments = kind.arguments();
    let needs = [list(arguments.needs, ", "), list(arguments.needs_one_of, " or ")];
    let needs: Vec<&str> = needs
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    format!(
        "| {kind} | {} | {} |",
        needs.join(", "),
        list(arguments.takes, ", ")
    )
}

#[test]
fn the_documentation_has_every_expectation_with_its_arguments() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/expectations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<String> = ExpectationType::ALL.map(documented).to_vec();
    assert!(
        text.contains(&lines.join("\n")),
        "docs/expectations.md has not these lines:\n{}",
        lines.join("\n")
    );
}

/// Any expectation with the arguments that its type needs and takes, which may make no sense.
fn any_expectation() -> impl Strategy<Value = Value> {
    let text = "[a-c0-9.?é -]{0,4}";
    let column = prop_oneof!["[abc]", Just("nowhere".to_owned())];
    let number = prop_oneof!["-?[0-9]{1,3}", "0[.][0-9]{1,3}"];
    let several = prop::collection::vec(column.clone(), 1..4);
    let texts = prop::collection::vec(text, 1..5);
    let parts = (
        column,
        several,
        number,
        texts,
        any::<[bool; 4]>(),
        0..ExpectationType::ALL.len(),
    );
    parts.prop_map(|(column, several, number, texts, flags, at)| {
        let kind = ExpectationType::ALL[at];
        let share = if flags[0] { "0.5" } else { "1" };
        let pairs: Vec<Value> = texts.iter().map(|text| json!({"a": text, "b": column})).collect();
        let weight = json!([{"value": texts[0], "weight": "1"}]);
        let quantiles = json!([{"quantile": share, "minValue": number}]);
        let all = json!({
            "column": column, "columnA": column, "columnB": several[0], "columnList": several, "columnSet": several,
            "columnIndex": 1, "exactMatch": flags[1], "value": 2, "minValue": number, "strictMin": flags[2],
            "mostly": share, "valueSet": texts, "valuePairsSet": pairs, "tiesOkay": flags[3], "valueType": "Int",
            "typeList": ["Str", "Float"], "regex": texts[0], "regexList": texts, "matchOn": "All",
            "strftimeFormat": "%Y-%m", "threshold": "1.5", "doubleSided": flags[1], "quantileRanges": quantiles,
            "orEqual": flags[2], "strictly": flags[3], "sumTotal": number, "partitionObject": weight,
            "tailWeightHoldout": share,
        });
        let mut one = json!({"type": kind});
        for argument in Argument::ALL {
            if kind.allows(argument) && !all[argument.as_str()].is_null() {
                one[argument.as_str()] = all[argument.as_str()].clone();
            }
        }
        one
    })
}

proptest! {
    #[test]
    fn no_expectation_of_any_table_panics(
        list in prop::collection::vec(any_expectation(), 1..12),
        rows in prop::collection::vec("([0-9]{1,3}|[?]||-1e300|1e308|é|9007199254740993),(a||[0-9.]{1,3}),[a-z0-9]{0,2},[01]", 0..12),
    ) {
        let spec = expectations(&json!(list));
        let csv = format!("a,b,c,y\n{}\n", rows.join("\n"));
        let (table, _) = file::read(csv.as_bytes(), &spec.dataset.csv, Quote::Yes);
        for quote in [Quote::Yes, Quote::No] {
            let found = evaluate_all(&[part("d", &table, &spec, quote)], &spec).unwrap();
            prop_assert_eq!(found.evaluated, list.len());
            let result: Value = serde_json::from_slice(&found.json).unwrap();
            prop_assert_eq!(result["results"].as_array().unwrap().len(), list.len());
        }
    }

    #[test]
    fn suggestions_are_valid_and_are_met_by_any_reference(
        rows in prop::collection::vec("(-?[0-9]{1,4}[.][0-9]|[?]|),[a-z]{1,2},[0-9]{1,2},[01]", 1..60),
    ) {
        let spec = training(&json!({}));
        let csv = format!("a,b,c,y\n{}\n", rows.join("\n"));
        let table = table(&csv, &spec);
        let parts = [part("d", &table, &spec, Quote::Yes)];
        let suggested = suggest(&parts, &spec);
        let spec = TrainingSource { expectations: suggested, ..spec.clone() };
        let mut wrong = Vec::new();
        check::check(&spec, &mut wrong);
        prop_assert_eq!(wrong, Vec::<String>::new());
        let found = evaluate_all(&parts, &spec).unwrap();
        prop_assert_eq!(found.failed, 0, "{:?} {:?}", found.violations, found.warnings);
    }
}
