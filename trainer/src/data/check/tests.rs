use std::collections::BTreeSet;

use modelward_model::{Feature, FeatureKind, Value};
use proptest::prelude::*;
use serde_json::json;

use super::{categorical::sort_categories, *};
use crate::data::{
    file,
    table::{Quote, Table},
};

fn training(features: &serde_json::Value) -> TrainingSource {
    let spec = json!({
        "dataset": {"configMap": {"name": "d", "key": "d.csv"}, "csv": {"missing": ["?"]}},
        "target": {"column": "y"},
        "features": features,
        "validation": {"folds": 2, "repeats": 1},
    });
    serde_json::from_value(spec).unwrap()
}

fn run(csv: &str, training: &TrainingSource) -> Result<Checked, Vec<Violation>> {
    let (table, violations) = file::read(csv.as_bytes(), &training.dataset.csv, Quote::Yes);
    assert!(violations.is_empty(), "{violations:?}");
    check(&[part("d.csv", &table, training)], training, &[])
}

fn part<'a>(name: &'a str, table: &'a Table, training: &'a TrainingSource) -> Part<'a> {
    Part {
        name,
        table,
        format: &training.dataset.csv,
        quote: Quote::Yes,
    }
}

fn message_of(csv: &str, training: &TrainingSource, tolerances: &[&str], quote: Quote) -> String {
    let (table, violations) = file::read(csv.as_bytes(), &training.dataset.csv, quote);
    assert!(violations.is_empty(), "{violations:?}");
    let tolerances: Vec<String> = tolerances.iter().map(|name| (*name).to_owned()).collect();
    let part = Part {
        quote,
        ..part("d.csv", &table, training)
    };
    let violations = check(&[part], training, &tolerances).unwrap_err();
    let lines = violations
        .iter()
        .map(|violation| format!("{}: {}", violation.column, violation.message));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_transform_that_does_not_fit_the_columns_is_a_violation_with_its_name() {
    let mut spec = training(&json!([]));
    let transform =
        |column: &str| serde_json::from_value(json!({"name": "t", "type": "Log", "column": column})).unwrap();
    let csv = "age,ward,y\n1,a,0\n2,b,1\n3,a,0\n4,b,1\n";
    spec.transforms = vec![transform("ward")];
    let violations = run(csv, &spec).unwrap_err();
    assert_eq!(
        (violations[0].column.as_str(), violations[0].rule.as_str()),
        ("t", "Transform")
    );
    assert_eq!(
        violations[0].message,
        "takes numbers, and \"ward\" is Categorical"
    );
    spec.transforms = vec![transform("aeg")];
    assert!(
        run(csv, &spec).unwrap_err()[0]
            .message
            .contains("did you mean \"age\"?")
    );
    spec.transforms = vec![transform("age")];
    run(csv, &spec).unwrap();
}

#[test]
fn a_name_that_is_not_there_comes_with_the_one_that_was_meant() {
    let mut spec = training(&json!([{"name": "Chol", "kind": "Numeric"}]));
    spec.exclude = vec!["patient_id".into()];
    let message = message_of(
        "chol,patient-id,y\n1,a,0\n2,b,1\n3,a,0\n4,b,1\n",
        &spec,
        &[],
        Quote::Yes,
    );
    assert!(message.contains(r#"did you mean "chol"?"#), "{message}");
    assert!(message.contains(r#"did you mean "patient-id"?"#), "{message}");
    assert!(
        message.contains("Columns of the data: chol, patient-id, y"),
        "{message}"
    );
}

#[test]
fn a_tolerance_of_a_feature_that_does_not_exist_is_refused_with_the_names_that_do() {
    let spec = training(&json!([]));
    let csv = "age,chol,y\n1,2,0\n2,3,1\n3,4,0\n4,5,1\n";
    let message = message_of(csv, &spec, &["age", "cholesterol", "y"], Quote::Yes);
    assert!(
        message.starts_with("cholesterol: monitoring.tolerances names the feature \"cholesterol\""),
        "{message}"
    );
    assert!(message.contains("Columns of the data: age, chol, y"), "{message}");
    // The target is no feature.
    assert!(message.contains("\ny: monitoring.tolerances"), "{message}");
}

#[test]
fn a_first_line_of_values_is_no_header_and_the_message_says_what_to_set() {
    let message = message_of("63,1,0\n41,0,1\n50,1,0\n", &training(&json!([])), &[], Quote::Yes);
    assert!(message.contains("set csv.header: false"), "{message}");
}

#[test]
fn nothing_of_an_address_is_quoted_neither_names_nor_values() {
    let spec = training(&json!([{"name": "secrets", "kind": "Numeric"}]));
    let message = message_of("secret-a,secret-b\nsecret-c,secret-d\n", &spec, &[], Quote::No);
    assert!(message.contains("The data has 2 columns"), "{message}");
    assert!(!message.contains("secret-"), "{message}");
    // With the target it is the dataset: its columns are named, its values are not quoted.
    let message = message_of(
        "x,secrets,y\n1,secret-a,0\n2,3,maybe\n4,5,1\n",
        &spec,
        &[],
        Quote::No,
    );
    assert!(
        message.contains("secrets: the value of row 1 is not a number"),
        "{message}"
    );
    assert!(
        message.contains("y: the value of row 2 is neither 0 nor 1"),
        "{message}"
    );
    assert!(
        !message.contains("secret-a") && !message.contains("maybe"),
        "{message}"
    );
}

fn rules(csv: &str, training: &TrainingSource) -> Vec<String> {
    let violations = run(csv, training).unwrap_err();
    violations
        .iter()
        .map(|v| format!("{}/{}/{}", v.column, v.rule, v.count))
        .collect()
}

#[test]
fn kinds_are_inferred_and_numbers_stay_numbers_however_few_there_are() {
    let csv = "age,sex,code,y\n63.5,M,1,0\n?,F,0,1\n41,M,1.0,0\n39,?,0,1.0\n";
    let checked = run(csv, &training(&json!([{"name": "code", "kind": "Categorical"}]))).unwrap();
    let features = &checked.dataset.schema.features;
    assert_eq!(
        features[0].kind,
        FeatureKind::Numeric {
            min: Some(39.0),
            max: Some(63.5)
        }
    );
    assert_eq!(features[1].kind, Feature::categorical("sex", &["F", "M"]).kind);
    assert_eq!(features[2].kind, Feature::categorical("code", &["0", "1"]).kind);
    assert_eq!(checked.dataset.labels, [false, true, false, true]);
    assert_eq!(checked.dataset.columns[0].value(1), Value::Missing);
    assert_eq!(checked.dataset.columns[2].value(2), Value::Category(1));
    assert_eq!((checked.columns[0].missing, checked.columns[0].distinct), (1, 3));
    let undeclared = run(csv, &training(&json!([]))).unwrap();
    assert_eq!(undeclared.columns[2].kind, "Numeric");
}

#[test]
fn every_violation_is_reported_at_once_with_column_rule_count_and_row() {
    let spec = training(&json!([
        {"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "120"}},
        {"name": "sex", "kind": "Categorical", "categories": ["M", "F"]},
        {"name": "bp", "kind": "Numeric", "required": true, "maxMissingRatio": "0.2"},
        {"name": "nope", "kind": "Numeric"},
    ]));
    let csv = "age,sex,bp,empty,y\n200,M,1,?,0\nold,X,?,,1\n130,F,?,,1\n1e39,M,1,,0\n";
    let violations = run(csv, &spec).unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|v| (v.column.as_str(), v.rule.as_str(), v.count, v.example_row))
        .collect();
    assert_eq!(
        found,
        [
            ("nope", "UnknownColumn", 1, None),
            ("age", "Type", 1, Some(2)),
            ("age", "Type", 1, Some(4)),
            ("age", "Range", 2, Some(1)),
            ("sex", "Category", 1, Some(2)),
            ("bp", "Required", 2, Some(2)),
            ("bp", "MissingRatio", 2, Some(2)),
            ("empty", "AllMissing", 4, Some(1)),
        ]
    );
    assert!(
        violations[4].message.contains("\"X\""),
        "{}",
        violations[4].message
    );
}

#[test]
fn a_column_that_mixes_numbers_and_words_must_be_declared() {
    let csv = "x,y\n1,0\n2,1\nNA,0\n4,1\n";
    assert_eq!(rules(csv, &training(&json!([]))), ["x/Type/1"]);
    run(csv, &training(&json!([{"name": "x", "kind": "Categorical"}]))).unwrap();
}

#[test]
fn the_target_must_be_there_in_every_row_and_have_two_classes_with_enough_rows() {
    let spec = training(&json!([]));
    assert_eq!(rules("x,y\n1,0\n2,?\n3,2\n", &spec), ["y/Target/1", "y/Target/1"]);
    assert_eq!(rules("x,y\n1,0\n2,0\n3,0\n", &spec), ["y/OneClass/3"]);
    assert_eq!(rules("x,y\n1,0\n2,0\n3,1\n", &spec), ["y/ClassCount/1"]);
    assert_eq!(rules("x,z\n1,0\n2,0\n3,1\n", &spec), ["y/UnknownColumn/1"]);
    assert_eq!(rules("x,y\n", &spec), ["/Empty/1"]);
    assert_eq!(rules("y\n0\n0\n1\n1\n", &spec), ["/NoFeatures/1"]);
}

#[test]
fn a_target_is_compared_as_the_spec_says() {
    let mut spec = training(&json!([]));
    spec.target =
        serde_json::from_value(json!({"column": "y", "positiveWhen": {"greaterThan": "0"}})).unwrap();
    let checked = run("x,y\n1,0\n2,4\n3,0.0\n4,1e0\n", &spec).unwrap();
    assert_eq!(checked.dataset.labels, [false, true, false, true]);
    assert_eq!(rules("x,y\n1,0\n2,sick\n", &spec), ["y/Target/1"]);
    spec.target = serde_json::from_value(json!({"column": "y", "positiveWhen": {"equals": "2"}})).unwrap();
    spec.target.negative_values = vec!["no".into(), "1.0".into()];
    let checked = run("x,y\n1,2.0\n2,no\n3,2\n4,1\n", &spec).unwrap();
    assert_eq!(checked.dataset.labels, [true, false, true, false]);
}

#[test]
fn a_value_of_class_1_that_no_row_has_is_answered_with_the_values_that_are_there() {
    let mut spec = training(&json!([]));
    spec.target = serde_json::from_value(json!({"column": "y", "positiveWhen": {"equals": "Yes"}})).unwrap();
    let violations = run("x,y\n1,yes\n2,no\n3,yes\n", &spec).unwrap_err();
    let words = &violations[0].message;
    assert!(
        words.ends_with("the column's values are \"no\", \"yes\""),
        "{words}"
    );
}

/// Two files of the spec's datasets; what means missing in the second is its own.
fn both(one: &str, other: &str, training: &TrainingSource) -> Result<Checked, Vec<Violation>> {
    let columns = vec!["y".into(), "sex".into(), "age".into()];
    let bare = modelward_crds::CsvFormat {
        header: false,
        columns,
        missing: vec!["-9".into()],
        ..training.dataset.csv.clone()
    };
    let (first, found) = file::read(one.as_bytes(), &training.dataset.csv, Quote::Yes);
    assert!(found.is_empty(), "{found:?}");
    let (second, found) = file::read(other.as_bytes(), &bare, Quote::Yes);
    assert!(found.is_empty(), "{found:?}");
    let second = Part {
        name: "second",
        table: &second,
        format: &bare,
        quote: Quote::Yes,
    };
    check(&[part("first", &first, training), second], training, &[])
}

#[test]
fn rows_of_two_files_follow_each_other_whatever_the_order_of_their_columns() {
    let spec = training(&json!([{"name": "sex", "kind": "Categorical"}]));
    let one = "age,sex,y\n63.0,1.0,0\n?,0.0,1\n";
    let checked = both(one, "0,1,40\n1,2,-9\n", &spec).unwrap();
    let data = &checked.dataset;
    let numbers: Vec<Value> = (0..data.len()).map(|row| data.columns[0].value(row)).collect();
    let expected = [
        Value::Number(63.0),
        Value::Missing,
        Value::Number(40.0),
        Value::Missing,
    ];
    assert_eq!(numbers, expected);
    assert_eq!(
        data.schema.features[1].kind,
        Feature::categorical("sex", &["0", "1", "2"]).kind
    );
    assert_eq!(data.labels, [false, true, false, true]);
    // The same patient written in the other way is the same row.
    let again = both(one, "0,1,63\n1,0,-9\n", &spec).unwrap().dataset;
    assert_eq!(
        (again.row_hash(0), again.row_hash(1)),
        (again.row_hash(2), again.row_hash(3))
    );
}

#[test]
fn a_violation_names_the_file_where_there_are_several() {
    let spec = training(&json!([
        {"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "120"}},
        {"name": "sex", "kind": "Categorical", "maxMissingRatio": "0.2"},
    ]));
    let violations = both(
        "age,sex,y\n63,1,0\n130,0,1\n",
        "0,-9,200\n1,1,old\n0,-9,300\n",
        &spec,
    )
    .unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|v| {
            format!(
                "{} {} {} {:?}: {}",
                v.column, v.rule, v.count, v.example_row, v.message
            )
        })
        .collect();
    let starts = [
        "age Type 1 Some(2): second: \"old\"",
        "age Range 1 Some(2): first: \"130\"",
        "age Range 2 Some(1): second: \"200\"",
        "sex MissingRatio 2 Some(1): 2 of 5 rows",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}, expected {start}");
    }
    assert!(found[3].ends_with("the first one is in second"), "{}", found[3]);
}

#[test]
fn files_of_other_columns_are_no_one_table() {
    let spec = training(&json!([]));
    let violations = both("age,bp,y\n63,1,0\n40,2,1\n", "0,1,40\n1,1,50\n", &spec).unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|v| (v.column.as_str(), v.rule.as_str()))
        .collect();
    assert_eq!(found, [("bp", "Columns"), ("sex", "Columns")]);
    let mut excluding = spec;
    excluding.exclude = vec!["bp".into(), "sex".into()];
    let checked = both("age,bp,y\n63,1,0\n40,2,1\n", "0,1,40\n1,1,50\n", &excluding).unwrap();
    assert_eq!(checked.dataset.len(), 4);
}

#[test]
fn a_declared_category_is_none_that_csv_missing_lists() {
    let declare = |categories: &[&str]| {
        training(&json!([{"name": "sex", "kind": "Categorical", "categories": categories}]))
    };
    let csv = "age,sex,y\n63,1,0\n41,?,1\n50,2,0\n61,1,1\n";
    let violations = run(csv, &declare(&["1", "2", "?"])).unwrap_err();
    let found: Vec<_> = violations
        .iter()
        .map(|found| (found.column.as_str(), found.rule.as_str(), found.message.as_str()))
        .collect();
    let message = "csv.missing and the categories of the feature both have ?; remove it from one of the two, or write another word for it \
                   in the source";
    assert_eq!(found, [("sex", "Category", message)]);
    run(csv, &declare(&["1", "2"])).unwrap();
    // A code is missing as a number.
    let mut spec = declare(&["1", "2", "09"]);
    spec.dataset.csv.missing.push("9".into());
    assert_eq!(rules(csv, &spec), ["sex/Category/1"]);
    // What another file calls missing may be a category of the first.
    let spec = training(&json!([{"name": "sex", "kind": "Categorical", "categories": ["0", "1", "-9"]}]));
    both("age,sex,y\n63,1,0\n41,-9,1\n", "0,1,40\n1,0,-9\n", &spec).unwrap();
}

#[test]
fn an_identifier_is_no_category() {
    use std::fmt::Write as _;
    let csv = (0..600).fold("id,y\n".to_owned(), |mut csv, row| {
        writeln!(csv, "p{row},{}", row % 2).unwrap();
        csv
    });
    assert_eq!(rules(&csv, &training(&json!([]))), ["id/TooManyCategories/600"]);
    let mut spec = training(&json!([]));
    spec.exclude = vec!["id".into()];
    assert_eq!(rules(&csv, &spec), ["/NoFeatures/1"]);
}

#[test]
fn spellings_of_a_truth_value_are_one_category_as_they_are_for_a_server() {
    let rows = (0..40).map(|row| {
        [
            ["True", "false", "true", "False"][row % 4],
            ["0", "1"][row / 4 % 2],
        ]
        .join(",")
    });
    let csv = format!("x,y\n{}\n", rows.collect::<Vec<_>>().join("\n"));
    let mut kinds = Vec::new();
    for features in [
        json!([]),
        json!([{"name": "x", "kind": "Categorical", "categories": ["true", "false"]}]),
    ] {
        let checked = run(&csv, &training(&features)).unwrap();
        let FeatureKind::Categorical { categories } = checked.dataset.schema.features[0].kind.clone() else {
            panic!("x is a column of words");
        };
        let word = |row: usize| match checked.dataset.columns[0].value(row) {
            Value::Category(index) => categories[index as usize].to_ascii_lowercase(),
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 1, 2, 3].map(word), ["true", "false", "true", "false"]);
        kinds.push(categories.clone());
    }
    assert_eq!(kinds[0], ["False", "True"]);
    assert_eq!(kinds[1], ["true", "false"]);
}

#[test]
fn whole_numbers_that_differ_in_every_row_look_like_an_identifier() {
    let rules_of = |rows: u64, number: &dyn Fn(u64) -> String| {
        let lines = (0..rows).map(|row| format!("{},{}", number(row), row % 2));
        let csv = format!("x,y\n{}\n", lines.collect::<Vec<_>>().join("\n"));
        let checked = run(&csv, &training(&json!([]))).unwrap();
        let rules = checked.columns.iter().flat_map(|column| &column.warnings);
        let rules = rules.map(|warning| warning.rule);
        rules
            .filter(|rule| *rule != WarningRule::Repeats)
            .collect::<Vec<_>>()
    };
    let shuffled = |row: u64| (row * 37 % 101 + 1).to_string();
    assert_eq!(rules_of(60, &shuffled), [WarningRule::Identifier]);
    assert_eq!(rules_of(40, &shuffled), [], "amounts of few rows differ too");
    assert_eq!(rules_of(60, &|row| format!("{}.5", row * 37 % 101)), []);
    assert_eq!(
        rules_of(60, &|row| (row * 37 % 53).to_string()),
        [],
        "one is there twice"
    );
    assert_eq!(rules_of(60, &|row| row.to_string()), [WarningRule::RowNumber]);
}

#[test]
fn categories_are_ordered_as_numbers_where_they_are_numbers() {
    let words = BTreeSet::from(["10", "9", "-1", "b", "a"]);
    assert_eq!(sort_categories(words), ["-1", "9", "10", "a", "b"]);
}

proptest! {
    #[test]
    fn no_notation_makes_it_panic(
        text in "(x,y\n)(\"[0-9,.%' \u{2212}$NAae]{0,6}\",[01]\n){0,30}",
        comma: bool, thousands in prop::option::of("[,. '_]"), number: bool
    ) {
        let features = if number { json!([{"name": "x", "kind": "Numeric"}]) } else { json!([]) };
        let mut spec = training(&features);
        spec.dataset.csv.decimal = if comma { "," } else { "." }.into();
        spec.dataset.csv.thousands = thousands.filter(|text| *text != spec.dataset.csv.decimal);
        let (table, _) = file::read(text.as_bytes(), &spec.dataset.csv, Quote::Yes);
        match check(&[part("d.csv", &table, &spec)], &spec, &[]) {
            Ok(checked) => prop_assert_eq!(checked.dataset.len(), checked.dataset.labels.len()),
            Err(violations) => prop_assert!(!violations.is_empty()),
        }
    }

    #[test]
    fn no_table_makes_it_panic(text in "[axy01.?\\-e,\"\n ]{0,60}|(x,y\n)([0-9?a]{1,2},[01?]\n){0,8}") {
        let spec = training(&json!([{"name": "x", "kind": "Numeric"}]));
        let (table, _) = file::read(text.as_bytes(), &spec.dataset.csv, Quote::Yes);
        match check(&[part("d.csv", &table, &spec)], &spec, &[]) {
            Ok(checked) => prop_assert_eq!(checked.dataset.len(), checked.dataset.labels.len()),
            Err(violations) => prop_assert!(!violations.is_empty()),
        }
    }
}
