//! Names of columns that a library refuses, or that look like something else.

use std::fs;

use serde_json::{Value, json};

use crate::{assert_refused, fit, rows, trained};

/// As they are in the header: quoted where CSV needs it.
const STRANGE: [&str; 36] = [
    "a[b]",
    "a<b",
    "a>b",
    "\"a,b\"",
    "a\\b",
    "a:b",
    "{a}",
    "a b",
    "a\tb",
    "\"a\"\"b\"",
    "a'b",
    "\u{1f600}",
    "a\u{200b}b",
    "a/b",
    "a=b",
    "%s",
    "../x",
    "\"a\nb\"",
    "\u{1}a",
    "\u{7f}",
    "a\u{202e}b",
    "-",
    "null",
    "nan",
    "true",
    "1e5",
    "Column_0",
    "f0",
    "label",
    "__proto__",
    "<script>",
    "${x}",
    "\u{1d518}",
    "\u{301}",
    "a\u{301}b",
    "\u{feff}b",
];

fn cell(row: usize) -> String {
    ["p", "q", "r"][row % 3].to_owned()
}

#[test]
fn every_name_is_trained_on_by_every_family_and_its_models_are_read_as_their_libraries_read_them() {
    let plain = trained(rows(60, "a,plain,y", cell), &json!({}));
    for name in STRANGE {
        let ended = trained(rows(60, &format!("a,{name},y"), cell), &json!({}));
        assert_eq!(ended.result.metrics, plain.result.metrics, "{name:?}");
        let schema: Value =
            serde_json::from_slice(&fs::read(ended.bundle().join("schema.json")).unwrap()).unwrap();
        assert_eq!(schema["features"].as_array().unwrap().len(), 2, "{name:?}");
    }
}

#[test]
fn the_model_files_of_a_library_have_no_names_that_it_could_refuse() {
    let name = "a[b]<c>, \"d\": \\e {f}\u{1f600}";
    let quoted = format!("a,\"{}\",y", name.replace('"', "\"\""));
    for (family, file) in [
        ("RandomForest", "xgboost.json"),
        ("XGBoost", "xgboost.json"),
        ("LightGBM", "lightgbm.txt"),
    ] {
        let ended = trained(
            rows(60, &quoted, cell),
            &json!({"families": [family], "hyperparameters": null}),
        );
        let text = fs::read_to_string(ended.bundle().join(file)).unwrap();
        assert!(!text.contains("a[b]") && !text.contains('\u{1f600}'), "{family}");
        let model: Value =
            serde_json::from_slice(&fs::read(ended.bundle().join("model.json")).unwrap()).unwrap();
        assert_eq!(model["features"], json!(["a", name]), "{family}");
    }
}

#[test]
fn a_name_that_is_there_twice_in_any_unicode_form_is_refused() {
    for (header, column) in [("a,a,y", "a"), ("a, a ,y", "a"), ("\u{e9},e\u{301},y", "\u{e9}")] {
        assert_refused(
            rows(40, header, |at| (at % 7).to_string()),
            &json!({}),
            "Header",
            column,
            &format!("the header names the column {column:?} twice"),
        );
    }
    // Two names that differ in case are two.
    trained(rows(40, "A,a,y", |at| (at % 7).to_string()), &json!({}));
}

#[test]
fn the_target_is_found_in_either_unicode_form() {
    for (header, target) in [("a,x,e\u{301}", "\u{e9}"), ("a,x,\u{e9}", "e\u{301}")] {
        let file = rows(40, header, |at| (at % 7).to_string());
        let ended = trained(file, &json!({"target": {"column": target}}));
        let info: Value =
            serde_json::from_slice(&fs::read(ended.bundle().join("bundle.json")).unwrap()).unwrap();
        assert_eq!(info["target"]["column"], "\u{e9}");
    }
    // A feature that has the name of the target in the other form is the target again.
    let file = rows(40, "a,e\u{301},\u{e9}", |at| (at % 2).to_string());
    let ended = fit(file, &json!({"target": {"column": "e\u{301}"}}));
    let found = ended
        .result
        .violations
        .iter()
        .any(|one| one.message == "the header names the column \"\u{e9}\" twice");
    assert!(found, "{:#?}", ended.result);
}

#[test]
fn columns_that_a_spec_names_and_the_data_lack_are_listed() {
    let file = || rows(40, "a,x,y", |at| (at % 7).to_string());
    let groups = json!({"folds": 2, "repeats": 1, "groupBy": "nope"});
    for (fields, what) in [
        (json!({"exclude": ["nope"]}), "exclude"),
        (json!({"validation": groups}), "validation.groupBy"),
        (
            json!({"features": [{"name": "nope", "kind": "Numeric"}]}),
            "features",
        ),
        (json!({"weights": {"column": "nope"}}), "weights.column"),
    ] {
        let message = format!(
            "{what} names the column \"nope\", which the data does not have. Columns of the data: a, x, y"
        );
        assert_refused(file(), &fields, "UnknownColumn", "nope", &message);
    }
}

#[test]
fn data_with_nothing_to_learn_from_are_refused() {
    let file = rows(40, "a,x,y", |at| (at % 7).to_string());
    let message = "no column is left to learn from: every one is the target, excluded, or has another role";
    assert_refused(file, &json!({"exclude": ["a", "x"]}), "NoFeatures", "", message);
}
