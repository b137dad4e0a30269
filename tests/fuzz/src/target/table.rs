//! A file of rows, from its bytes to the columns of a training.

use std::sync::LazyLock;

use modelward_crds::CsvFormat;
use modelward_trainer::{
    data::{
        check::{Part, check, inspect},
        file,
        violation::Quote,
    },
    spec::{self, Spec},
};
use serde_json::json;

/// How many ways there are to say how a file is written.
pub(super) const FORMATS: u8 = 128;

/// A spec for each of them.
static SPECS: LazyLock<Vec<Spec>> = LazyLock::new(|| (0..FORMATS).filter_map(make_spec).collect());

fn make_spec(way: u8) -> Option<Spec> {
    let has = |bit: u8| way & 1 << bit != 0;
    let delimiter = [",", ";", "|", "\t"][usize::from(way & 3)];
    let mut csv = json!({
        "delimiter": delimiter,
        "header": !has(2),
        "decimal": if has(3) { "," } else { "." },
    });
    if has(2) {
        csv["columns"] = json!(["age", "plan", "y"]);
    }
    if has(4) {
        csv["thousands"] = json!(if has(3) { "." } else { "," });
    }
    if has(5) {
        csv["missing"] = json!(["NA", "-999", "?"]);
    }
    let mut training = json!({
        "dataset": {"configMap": {"name": "d", "key": "d.csv"}, "csv": csv},
        "target": {"column": "y"},
        "validation": {"folds": 2, "repeats": 1},
    });
    if has(6) {
        training["target"] = json!({"column": "y", "positiveWhen": {"greaterThan": "0.5"}});
        training["features"] = json!([
            {"name": "age", "kind": "Numeric", "range": {"min": "0", "max": "120"}, "maxMissingRatio": "0.5"},
            {"name": "plan", "kind": "Categorical"},
        ]);
        training["exclude"] = json!(["row"]);
    }
    let object = json!({
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "fuzz-1"},
        "spec": {"model": "fuzz", "source": {"training": training}, "serving": {"access": "Open"}},
    });
    spec::parse(&object.to_string()).ok()
}

/// Reads a file that is said to be written in this way, checks it and looks at its columns. What is accepted is whole.
pub(super) fn check_table(way: u8, bytes: &[u8]) {
    let spec = &SPECS[usize::from(way % FORMATS)];
    let quote = if way < FORMATS { Quote::Yes } else { Quote::No };
    let format: &CsvFormat = &spec.training.dataset.csv;
    let (table, violations) = file::read(bytes, format, quote);
    for violation in &violations {
        assert!(!violation.message.is_empty(), "{violation:?}");
    }
    assert!(!table.columns.is_empty() || !violations.is_empty() || table.rows.is_empty());
    for row in table.rows.iter() {
        assert_eq!(row.iter().count(), table.columns.len());
    }
    let part = Part {
        name: "d.csv",
        table: &table,
        format,
        quote,
    };
    match check(&[part], &spec.training, &[]) {
        Ok(checked) => {
            let data = &checked.dataset;
            assert_eq!(data.labels.len(), table.rows.len());
            assert!(data.columns.iter().all(|column| column.len() == data.len()));
            assert_eq!(checked.columns.len(), data.columns.len() + 1);
        }
        Err(found) => {
            assert!(!found.is_empty(), "it is refused without a reason");
            assert!(
                found.iter().all(|violation| !violation.message.is_empty()),
                "{found:?}"
            );
        }
    }
    drop(inspect(part));
}
