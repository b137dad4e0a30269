//! Files as people write them: each kind of fault is named with what helps, and what helps is tried.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{fmt::Write as _, path::Path, process::Command};

use modelward_trainer::{
    data::{
        check::{Checked, Part, WarningRule, check},
        table::{self, Quote},
    },
    spec,
};
use modelward_wire::Violation;
use serde_json::{Value, json};

/// Rows of invented customers: an age, a second column by the number of the row, and whether they left.
fn customers(name: &str, rows: usize, cell: impl Fn(usize) -> String) -> String {
    (0..rows).fold(format!("age;{name};left\n"), |mut csv, row| {
        let left = usize::from(row * 7 % 10 > 4);
        writeln!(csv, "{};{};{left}", 20 + row * 13 % 50, cell(row)).unwrap();
        csv
    })
}

/// A spec with these fields of the training.
fn version(fields: &Value) -> spec::Spec {
    let mut training = json!({
        "dataset": {"configMap": {"name": "d", "key": "d.csv"}, "csv": {"delimiter": ";"}},
        "target": {"column": "left"},
        "validation": {"folds": 2, "repeats": 1, "seed": 1},
    });
    for (name, value) in fields.as_object().unwrap() {
        if name == "csv" {
            let csv = training["dataset"]["csv"].as_object_mut().unwrap();
            csv.extend(value.as_object().unwrap().clone());
        } else {
            training[name] = value.clone();
        }
    }
    let object = json!({
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "customers-1"},
        "spec": {"model": "customers", "source": {"training": training}, "serving": {"access": "Open"}},
    });
    spec::parse(&object.to_string()).unwrap()
}

fn read(csv: &str, fields: &Value, quote: Quote) -> Result<Checked, Vec<Violation>> {
    let version = version(fields);
    let format = &version.training.dataset.csv;
    let (table, mut violations) = table::read(csv.as_bytes(), format, quote);
    if table.columns.is_empty() {
        return Err(violations);
    }
    let part = Part {
        name: "d.csv",
        table: &table,
        format,
        quote,
    };
    match check(&[part], &version.training, &version.tolerances) {
        Ok(checked) if violations.is_empty() => Ok(checked),
        Ok(_) => Err(violations),
        Err(found) => {
            violations.extend(found);
            Err(violations)
        }
    }
}

/// One kind of fault.
struct Case {
    name: &'static str,
    csv: String,
    /// Rule and part of the one violation.
    rule: &'static str,
    part: &'static str,
    /// What the sentence says to do, as fields of the spec; nothing where the source has to be mended.
    remedy: Option<Value>,
}

fn case(
    name: &'static str,
    csv: String,
    rule: &'static str,
    part: &'static str,
    remedy: Option<Value>,
) -> Case {
    Case {
        name,
        csv,
        rule,
        part,
        remedy,
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let price = |row: usize| 1000 + row * 37 % 7000;
    let codes = Some(json!({"features": [{"name": "amount", "kind": "Categorical"}]}));
    vec![
        case(
            "decimal commas",
            customers("amount", 40, |row| format!("{},5", price(row))),
            "Notation",
            r#"set csv.decimal: ",""#,
            Some(json!({"csv": {"decimal": ","}})),
        ),
        case(
            "points between thousands and a decimal comma",
            customers("amount", 40, |row| format!("1.{:03},50", row * 31 % 999)),
            "Notation",
            r#"set csv.decimal: "," and csv.thousands: ".""#,
            Some(json!({"csv": {"decimal": ",", "thousands": "."}})),
        ),
        case(
            "commas between thousands",
            customers("amount", 40, |row| {
                format!("{},{:03}.5", row % 9 + 1, row * 31 % 999)
            }),
            "Notation",
            r#"set csv.thousands: ",""#,
            Some(json!({"csv": {"thousands": ","}})),
        ),
        case(
            "a comma that may be either",
            customers("amount", 40, |row| {
                format!("{},{:03}", row % 9 + 1, row * 31 % 999)
            }),
            "Notation",
            r#"csv.thousands: "," for thousands, or csv.decimal: "," for decimals"#,
            Some(json!({"csv": {"thousands": ","}})),
        ),
        case(
            "narrow no-break spaces between thousands",
            customers("amount", 40, |row| {
                format!("{}\u{202f}{:03}", row % 9 + 1, row * 31 % 999)
            }),
            "Notation",
            r#"set csv.thousands: " ""#,
            Some(json!({"csv": {"thousands": " "}})),
        ),
        case(
            "underscores between thousands",
            customers("amount", 40, |row| {
                format!("{}_{:03}", row % 9 + 1, row * 31 % 999)
            }),
            "Notation",
            r#"set csv.thousands: "_""#,
            Some(json!({"csv": {"thousands": "_"}})),
        ),
        case(
            "currencies",
            customers("amount", 40, |row| format!("{} €", price(row))),
            "Notation",
            "remove the currency sign in the source",
            None,
        ),
        case(
            "percent",
            customers("amount", 40, |row| format!("{}%", row % 30)),
            "Notation",
            "remove \"%\" in the source",
            codes.clone(),
        ),
        case(
            "hexadecimal numbers",
            customers("amount", 40, |row| format!("0x{:X}", row % 30)),
            "Notation",
            "write them as decimal numbers",
            codes,
        ),
        case(
            "infinity among numbers",
            customers("amount", 40, |row| {
                if row == 3 {
                    "inf".into()
                } else {
                    price(row).to_string()
                }
            }),
            "Notation",
            "add them to csv.missing",
            Some(json!({"csv": {"missing": ["inf"]}})),
        ),
        case(
            "a measurement that most rows miss",
            customers("amount", 40, |row| {
                if row % 5 == 0 {
                    price(row).to_string()
                } else {
                    "NA".into()
                }
            }),
            "Type",
            r#"set csv.missing: ["NA"]"#,
            Some(json!({"csv": {"missing": ["NA"]}})),
        ),
        case(
            "several words for missing",
            customers("amount", 40, |row| match row % 4 {
                0 => price(row).to_string(),
                1 => "n/a".into(),
                2 => "--".into(),
                _ => "unknown".into(),
            }),
            "Type",
            r#"set csv.missing: ["n/a", "--", "unknown"]"#,
            Some(json!({"csv": {"missing": ["n/a", "--", "unknown"]}})),
        ),
        case(
            "an identifier",
            customers("amount", 40, |row| format!("C{row:06}")),
            "Identifier",
            "an identifier; list the column in exclude",
            Some(json!({"exclude": ["amount"]})),
        ),
        case(
            "sentences",
            customers("amount", 40, |row| {
                format!("customer {row} has called and was not happy")
            }),
            "Identifier",
            "free text",
            Some(json!({"exclude": ["amount"]})),
        ),
        case(
            "an unnamed index",
            customers("", 40, |row| (row * 3).to_string()),
            "Header",
            "csv.rename: [{position: 2, to: row}]",
            Some(json!({"csv": {"rename": [{"position": 2, "to": "row"}]}, "exclude": ["row"]})),
        ),
        case(
            "a question as the name of a column",
            customers(&"How satisfied were you? ".repeat(7), 40, |row| {
                (row % 5).to_string()
            }),
            "Header",
            "has 167 characters, at most 128 are allowed",
            Some(
                json!({"csv": {"rename": [{"from": "How satisfied were you? ".repeat(7), "to": "satisfied"}]}}),
            ),
        ),
        case(
            "a quote that is never closed",
            customers("amount", 40, |row| {
                if row == 9 {
                    "\"late".into()
                } else {
                    "on time".into()
                }
            }),
            "Csv",
            "the quote that opens in line 11 is never closed",
            None,
        ),
        case(
            "a quote that the next quoted cell closes",
            customers("amount", 40, |row| {
                if row == 9 || row == 30 {
                    "\"late".into()
                } else {
                    "on time".into()
                }
            }),
            "Csv",
            "the quote that opens in line 11 takes the next 21 lines into one cell",
            None,
        ),
    ]
}

#[test]
fn each_kind_of_fault_is_one_sentence_and_the_way_out_in_it_works() {
    for Case {
        name,
        csv,
        rule,
        part,
        remedy,
    } in cases()
    {
        let violations = read(&csv, &json!({}), Quote::Yes).unwrap_err();
        let [violation] = violations.as_slice() else {
            panic!("{name}: {violations:?}")
        };
        assert_eq!(violation.rule, rule, "{name}: {violation:?}");
        assert!(violation.message.contains(part), "{name}: {violation:?}");
        assert!(!violation.message.ends_with('…'), "{name}: {violation:?}");
        // What comes from an address is not quoted.
        for violation in read(&csv, &json!({}), Quote::No).unwrap_err() {
            let first = csv
                .lines()
                .nth(1)
                .and_then(|line| line.split(';').nth(1))
                .unwrap_or_default();
            let quoted = first.len() > 2 && violation.message.contains(first);
            assert!(!quoted || part.contains(first), "{name}: {violation:?}");
        }
        if let Some(fields) = remedy {
            let read = read(&csv, &fields, Quote::Yes);
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
}

#[test]
fn numbers_in_the_forms_that_programs_write_are_numbers() {
    let forms = ["1e3", "+12", ".5", "7.", "\u{2212}5", "-2E-3", "0012"];
    let csv = customers("amount", 40, |row| forms[row % forms.len()].to_owned());
    let checked = read(&csv, &json!({}), Quote::Yes).unwrap();
    assert_eq!(
        (checked.columns[1].kind.as_str(), checked.columns[1].distinct),
        ("Numeric", 6)
    );
}

#[test]
fn a_sentinel_is_compared_as_a_number_in_the_notation_of_the_file() {
    let csv = customers("amount", 40, |row| match row % 4 {
        0 => "-999".to_owned(),
        1 => "-999,0".to_owned(),
        _ => format!("{row},5"),
    });
    let fields = json!({"csv": {"decimal": ",", "missing": ["-999"]}});
    let checked = read(&csv, &fields, Quote::Yes).unwrap();
    assert_eq!(checked.columns[1].missing, 20);
    assert_eq!(checked.dataset.schema.missing.texts(), ["-999"]);
}

#[test]
fn an_amount_with_points_between_thousands_is_not_the_sentinel_that_it_looks_like() {
    let csv = customers("balance", 40, |row| match row % 4 {
        0 => "-1".to_owned(),
        1 => "-1.000".to_owned(),
        _ => format!("{row}.000,5"),
    });
    let fields = json!({"csv": {"decimal": ",", "thousands": ".", "missing": ["-1"]}});
    let checked = read(&csv, &fields, Quote::Yes).unwrap();
    assert_eq!(checked.columns[1].missing, 10);
    let balance = |row: usize| checked.dataset.row(row).values()[1];
    assert_eq!(balance(0), modelward_model::Value::Missing);
    assert_eq!(balance(1), modelward_model::Value::Number(-1000.0));
}

#[test]
fn a_name_is_one_column_in_each_of_its_unicode_forms() {
    let (composed, apart) = ("\u{e2}ge", "a\u{302}ge");
    let csv = customers(apart, 40, |row| (row % 7).to_string());
    let fields = json!({"features": [{"name": composed, "kind": "Categorical"}]});
    let checked = read(&csv, &fields, Quote::Yes).unwrap();
    assert_eq!(
        (checked.columns[1].name.as_str(), checked.columns[1].declared),
        (composed, true)
    );
    let twice = format!("{composed};{apart};left\n1;2;0\n");
    let violations = read(&twice, &json!({}), Quote::Yes).unwrap_err();
    assert!(
        violations[0]
            .message
            .contains("the header names the column \"âge\" twice"),
        "{violations:?}"
    );
}

#[test]
fn a_target_of_several_spellings_is_refused_until_its_values_are_listed() {
    let spellings = ["Yes", "YES", "No", "no", "pending", "yes"];
    let csv = (0..60).fold("age;left\n".to_owned(), |mut csv, row| {
        writeln!(csv, "{row};{}", spellings[row % 6]).unwrap();
        csv
    });
    let equals = json!({"target": {"column": "left", "positiveWhen": {"equals": "Yes"}}});
    let violations = read(&csv, &equals, Quote::Yes).unwrap_err();
    let [violation] = violations.as_slice() else {
        panic!("{violations:?}")
    };
    assert_eq!((violation.rule.as_str(), violation.count), ("Target", 50));
    for part in [
        "\"YES\", \"yes\" differ from \"Yes\" only in case",
        "\"pending\" (10)",
        "target.negativeValues",
    ] {
        assert!(violation.message.contains(part), "{part}: {violation:?}");
    }
    let listed = json!({"target": {
        "column": "left", "positiveWhen": {"equals": "Yes"}, "negativeValues": ["No", "no", "pending", "YES"],
    }});
    let violations = read(&csv, &listed, Quote::Yes).unwrap_err();
    assert!(
        violations[0].message.contains("\"yes\" is neither"),
        "{violations:?}"
    );
    let all = json!({"target": {
        "column": "left", "positiveWhen": {"equals": "Yes"}, "negativeValues": ["No", "no", "pending", "YES", "yes"],
    }});
    let checked = read(&csv, &all, Quote::Yes).unwrap();
    let report = checked.columns.last().unwrap();
    assert_eq!((report.kind.as_str(), report.values.len()), ("Target", 6));
    assert_eq!(
        (
            report.values[0].value.as_str(),
            report.values[0].rows,
            report.values[0].class
        ),
        ("Yes", 10, 1)
    );
    // One other value needs no list.
    let two = csv
        .replace("YES", "Yes")
        .replace("yes", "Yes")
        .replace("no", "No")
        .replace("pending", "No");
    assert_eq!(read(&two, &equals, Quote::Yes).unwrap().dataset.positives(), 30);
}

#[test]
fn columns_that_look_wrong_and_are_accepted_come_with_a_warning() {
    let one = |csv: &str, fields: Value| {
        let checked = read(csv, &fields, Quote::Yes).unwrap();
        let warnings = checked.columns[1].warnings.clone();
        // Columns that follow the invented target are no matter of these.
        warnings
            .into_iter()
            .filter(|warning| warning.rule != WarningRule::Leak)
            .map(|warning| (warning.rule, warning.message))
            .collect::<Vec<_>>()
    };
    let words = ["pro", "nan", "None", "plus", "-"];
    let missing = customers("plan", 40, |row| words[row % 5].to_owned());
    for (csv, rule, part) in [
        (
            missing.clone(),
            WarningRule::MissingWords,
            "\"None\" (8 rows), \"nan\" (8 rows)",
        ),
        (
            customers("plan", 40, |row| ["Pro", "pro", "plus"][row % 3].to_owned()),
            WarningRule::Spellings,
            "\"Pro\" (14 rows), \"pro\" (13 rows)",
        ),
        (
            customers("number", 40, |row| (row + 7).to_string()),
            WarningRule::RowNumber,
            "exclude it",
        ),
        (
            customers("day", 40, |row| format!("2026-01-{:02}", row % 9 + 1)),
            WarningRule::Date,
            "a date that is not in the data is unknown",
        ),
        (
            customers("day", 40, |row| format!("202601{:02}", row % 28 + 1)),
            WarningRule::Date,
            "days since a date",
        ),
        (
            customers("seen", 40, |row| (1_767_225_600 + row * row).to_string()),
            WarningRule::FallTogether,
            "seconds since 1970; subtract an offset",
        ),
        (
            customers("seen", 40, |row| (1_767_225_600_000 + row * row).to_string()),
            WarningRule::FallTogether,
            "milliseconds since 1970",
        ),
        (
            customers("note", 40, |row| {
                format!("has called number {} of us again", row % 4)
            }),
            WarningRule::FreeText,
            "another sentence is unknown",
        ),
        (
            customers("same", 40, |_| "7".to_owned()),
            WarningRule::Constant,
            "in all 40 rows",
        ),
        (
            customers("reason", 40, |row| {
                if row % 3 == 0 {
                    "price".to_owned()
                } else {
                    String::new()
                }
            }),
            WarningRule::OneValue,
            "one value in 14 rows and none in 26",
        ),
    ] {
        let found = one(&csv, json!({}));
        let fits = |(found, message): &(WarningRule, String)| *found == rule && message.contains(part);
        assert!(found.iter().any(fits), "{rule}: {found:?}");
        assert!(
            found.iter().all(|(_, message)| !message.ends_with('…')),
            "{found:?}"
        );
    }
    let large = customers("branch", 40, |row| {
        (9_007_199_254_740_993_u64 + row as u64 % 3).to_string()
    });
    let declared = json!({"features": [{"name": "branch", "kind": "Categorical"}]});
    assert_eq!(one(&large, declared)[0].0, WarningRule::LargeCodes);
    // Declared categories silence what they answer.
    let listed = json!({"features": [{"name": "plan", "kind": "Categorical", "categories": words}]});
    assert_eq!(one(&missing, listed), []);
    assert_eq!(
        one(&missing, json!({"csv": {"missing": ["nan", "None", "-"]}})),
        []
    );
    assert_eq!(
        one(
            &customers("visits", 40, |row| (row * 3 % 11).to_string()),
            json!({})
        ),
        []
    );
}

#[test]
fn a_report_says_how_a_column_was_read_and_quotes_only_what_may_be_quoted() {
    let csv = customers("plan", 40, |row| ["pro", "plus", ""][row % 3].to_owned());
    let checked = read(&csv, &json!({}), Quote::Yes).unwrap();
    let report = &checked.columns[1];
    assert_eq!(
        (report.kind.as_str(), report.declared, report.missing),
        ("Categorical", false, 13)
    );
    assert_eq!((report.distinct, report.numbers, report.words), (2, 0, 27));
    assert_eq!(report.examples, ["pro", "plus"]);
    let checked = read(&csv, &json!({}), Quote::No).unwrap();
    assert!(checked.columns.iter().all(|column| column.examples.is_empty()));
}

#[test]
fn different_numbers_that_are_one_32_bit_float_are_not_called_constant() {
    let rules = |csv: &str| {
        let checked = read(csv, &json!({}), Quote::Yes).unwrap();
        let report = checked.columns[1].clone();
        let rules: Vec<WarningRule> = report.warnings.iter().map(|warning| warning.rule).collect();
        (report, rules)
    };
    let csv = customers("id", 60, |row| {
        (10_000_000_000_000_000_u64 + row as u64 * 7 % 60).to_string()
    });
    let (report, found) = rules(&csv);
    assert_eq!(found, [WarningRule::FallTogether]);
    let message = "its 60 different values are all the same as 32-bit floats; subtract an offset";
    assert!(report.warnings[0].message.starts_with(message), "{report:?}");
    assert_eq!(report.distinct, 60);
    // Integers that are one double differ.
    let csv = customers("id", 60, |row| (10_u64.pow(18) + row as u64 * 7 % 60).to_string());
    assert_eq!((rules(&csv).1, rules(&csv).0.distinct), (found, 60));
    // Missing cells make it no column of one value.
    let csv = customers("id", 60, |row| match row % 3 {
        0 => String::new(),
        _ => (10_000_000_000_000_000_u64 + row as u64 % 2).to_string(),
    });
    assert_eq!(rules(&csv).1, [WarningRule::FallTogether]);
    let csv = customers("id", 60, |row| (1_767_225_600 + row * row).to_string());
    let (report, _) = rules(&csv);
    assert_eq!(report.distinct, 60);
    assert!(report.warnings[0].message.contains("are only "), "{report:?}");
    let same = customers("id", 60, |_| "10000000000000001".to_owned());
    assert_eq!(rules(&same).1, [WarningRule::Constant]);
    assert_eq!(rules(&same).0.distinct, 1);
}

#[test]
fn dates_of_more_values_than_categories_may_have_come_with_the_advice_about_dates() {
    let csv = customers("day", 400, |row| {
        format!(
            "20{:02}-{:02}-{:02}T08:00:00Z",
            row / 28,
            row % 12 + 1,
            row % 28 + 1
        )
    });
    for features in [json!([]), json!([{"name": "day", "kind": "Categorical"}])] {
        let violations = read(&csv, &json!({"features": features}), Quote::Yes).unwrap_err();
        assert_eq!(violations[0].rule, "TooManyCategories");
        let message = "different words, but a column has at most 256 categories, and these look like dates; list the column in exclude, or write numbers";
        assert!(violations[0].message.contains(message), "{violations:?}");
    }
}

#[test]
fn times_that_are_none_groups_of_single_rows_and_names_that_are_numbers_come_with_a_warning() {
    let warnings = |csv: &str, fields: Value| {
        let checked = read(csv, &fields, Quote::Yes).unwrap();
        let target = checked.columns.last().unwrap().warnings.clone();
        let of_table = target
            .into_iter()
            .filter(|warning| warning.rule != WarningRule::Repeats);
        of_table
            .map(|warning| (warning.rule, warning.message))
            .collect::<Vec<_>>()
    };
    let split = |kind: &str| match kind {
        "time" => json!({"validation": {"folds": 2, "repeats": 1, "timeSplit": {"column": "seen"}}}),
        _ => json!({"validation": {"folds": 2, "repeats": 1, "groupBy": "seen"}}),
    };
    for cell in [
        |row: usize| (30 + row % 50).to_string(),
        |row: usize| format!("0.{row}"),
        |row: usize| (20_260_101 + row % 20).to_string(),
    ] {
        let found = warnings(&customers("seen", 40, cell), split("time"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, WarningRule::NoTimes);
        assert!(
            found[0].1.contains("validation.timeSplit names \"seen\""),
            "{found:?}"
        );
        assert!(!found[0].1.ends_with('…'), "{found:?}");
    }
    let times = customers("seen", 40, |row| (1_767_225_600 + row).to_string());
    assert_eq!(warnings(&times, split("time")), []);
    let days = customers("seen", 40, |row| format!("1970-01-{:02}", row % 28 + 1));
    assert_eq!(warnings(&days, split("time")), []);

    let single = customers("seen", 40, |row| (row / 39 * 38 + row % 39).to_string());
    let found = warnings(&single, split("group"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, WarningRule::SingleRows);
    assert!(!found[0].1.ends_with('…'), "{found:?}");
    let pairs = customers("seen", 40, |row| (row / 2).to_string());
    assert_eq!(warnings(&pairs, split("group")), []);

    let csv = customers("7", 40, |row| (row % 7).to_string());
    let headless = csv.replace("age;7;left", "31;7;0");
    let found = warnings(&headless, json!({"target": {"column": "0"}}));
    assert_eq!(found[0].0, WarningRule::Header, "{found:?}");
    assert_eq!(warnings(&csv, json!({})), []);
}

fn run(arguments: &[&str], input: Option<&Path>) -> (i32, String) {
    let (code, text, _) = run_whole(arguments, input);
    (code, text)
}

/// The exit code and what is written to the standard output and the standard error.
fn run_whole(arguments: &[&str], input: Option<&Path>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"));
    command.args(arguments);
    if let Some(path) = input {
        command.stdin(std::fs::File::open(path).unwrap());
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn what_means_missing_in_training_does_when_scoring_and_the_result_carries_the_warnings() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).display().to_string();
    let csv = customers("plan", 60, |row| ["pro", "plus", "?", "None"][row % 4].to_owned());
    std::fs::write(path("d.csv"), csv).unwrap();
    let spec = "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {name: c-1}\nspec:\n  model: c\n  source:\n    training:\n      \
                dataset: {configMap: {name: c, key: d.csv}, csv: {delimiter: ';', missing: ['?', '-9']}}\n      target: {column: left}\n      \
                validation: {folds: 2, repeats: 1}\n  serving: {access: Open}\n";
    std::fs::write(path("spec.yaml"), spec).unwrap();
    let arguments = [
        "fit",
        "--spec",
        &path("spec.yaml"),
        "--source",
        &path("d.csv"),
        "--out",
        &path("bundle"),
    ];
    let (code, result) = run(&arguments, None);
    assert_eq!(code, 0, "{result}");
    let result: Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["warnings"][0]["rule"], "MissingWords", "{result}");
    assert_eq!(result["warnings"][0]["column"], "plan");

    let rows = r#"[{"age": 40, "plan": null}, {"age": 40, "plan": "?"}, {"age": 40, "plan": ""}, {"age": 40, "plan": "-9.0"},
                   {"age": 40, "plan": -9}, {"age": 40}, {"age": 40, "plan": "pro"}]"#;
    std::fs::write(path("rows.json"), rows).unwrap();
    let (code, scored) = run(
        &["score", "--bundle", &path("bundle"), "--rows", "-"],
        Some(&temp.path().join("rows.json")),
    );
    assert_eq!(code, 0, "{scored}");
    let lines: Vec<Value> = scored
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines[..6].iter().all(|line| *line == lines[0]), "{scored}");
    assert_eq!(lines[0]["warnings"], json!([]));
    assert_ne!(lines[6], lines[0]);

    for (rows, words) in [
        (
            r#"{"age": 1e400}"#,
            "a number is out of range at line 1 column 13",
        ),
        (r#"{"age": 40"#, "the rows are not valid JSON: EOF while parsing"),
    ] {
        std::fs::write(path("rows.json"), rows).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
            .args(["score", "--bundle", &path("bundle"), "--rows", &path("rows.json")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }

    // The rows of the file, without its spec: the bundle knows what is missing.
    std::fs::write(path("rows.csv"), "age,plan\n40,?\n40,\n").unwrap();
    let (_, scored) = run(
        &["score", "--bundle", &path("bundle"), "--csv", &path("rows.csv")],
        None,
    );
    assert!(
        scored
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).unwrap() == lines[0]),
        "{scored}"
    );
}

#[test]
fn inspect_ends_with_2_where_a_column_is_refused_and_with_1_where_nothing_can_be_read() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).display().to_string();
    std::fs::write(
        path("good.csv"),
        customers("visits", 40, |row| (row % 7).to_string()),
    )
    .unwrap();
    std::fs::write(path("bad.csv"), customers("id", 40, |row| format!("C{row}"))).unwrap();
    std::fs::write(path("none.csv"), "<html></html>").unwrap();
    let (code, table) = run(
        &["inspect", &path("good.csv"), "--spec-out", &path("draft.yaml")],
        None,
    );
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("visits  Numeric"), "{table}");
    let arguments = [
        "snapshot",
        "--spec",
        &path("draft.yaml"),
        "--source",
        &path("good.csv"),
        "--out",
        &path("s"),
    ];
    let (code, result) = run(&arguments, None);
    assert_eq!(code, 0, "{result}");
    let (code, report) = run(&["inspect", &path("bad.csv"), "--json"], None);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (code, &report["columns"][1]["refusals"][0]["rule"]),
        (2, &json!("Identifier"))
    );
    assert_eq!(run(&["inspect", &path("none.csv")], None).0, 1);
    assert_eq!(run(&["inspect", &path("absent.csv")], None).0, 1);
}

#[test]
fn score_takes_only_files_with_a_column_for_each_feature_and_suggest_only_files_with_rows() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).display().to_string();
    let csv = customers("plan", 60, |row| ["pro", "plus"][row % 2].to_owned());
    std::fs::write(path("d.csv"), csv).unwrap();
    let spec = "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {name: c-1}\nspec:\n  model: c\n  source:\n    training:\n      \
                dataset: {configMap: {name: c, key: d.csv}, csv: {delimiter: ';'}}\n      target: {column: left}\n      \
                validation: {folds: 2, repeats: 1}\n  serving: {access: Open}\n";
    std::fs::write(path("spec.yaml"), spec).unwrap();
    let (spec, bundle, input) = (path("spec.yaml"), path("bundle"), path("rows.csv"));
    let arguments = [
        "fit",
        "--spec",
        &spec,
        "--source",
        &path("d.csv"),
        "--out",
        &bundle,
    ];
    assert_eq!(run(&arguments, None).0, 0);
    let score = |rows: &str, with_spec: bool| {
        std::fs::write(&input, rows).unwrap();
        let mut arguments = vec!["score", "--bundle", &bundle, "--csv", &input];
        if with_spec {
            arguments.extend(["--spec", &spec]);
        }
        run_whole(&arguments, None)
    };
    for (rows, with_spec, part) in [
        (
            "age\n40\n",
            false,
            "the file has no column \"plan\" (the model takes age, plan); a feature that is missing in every row needs a column of empty cells\n",
        ),
        (
            "Age,plan\n40,pro\n",
            false,
            "no column \"age\" (the model takes age, plan); a feature that is missing in every row needs a column of empty cells; did you mean \"Age\"?",
        ),
        (
            "x\n1\n",
            false,
            "no column \"age\" nor one of 1 more feature (the model",
        ),
        ("", false, "the file is empty"),
        ("age,plan\n", false, "the file has a header and no rows"),
        (
            "age,plan,age\n40,pro,40\n",
            false,
            "the header names the column \"age\" twice; fields of csv are in the dataset of a ModelVersion, which --spec names",
        ),
        (
            "age;plan\n40;pro\n",
            false,
            "set csv.delimiter: \";\"; fields of csv are in the dataset of a ModelVersion, which --spec names",
        ),
        ("age,plan\n40,pro\n", true, "set csv.delimiter: \",\""),
    ] {
        let (code, lines, log) = score(rows, with_spec);
        assert_eq!((code, lines.as_str()), (1, ""), "{rows:?}: {log}");
        assert!(log.contains(part), "{rows:?}: {log}");
        assert!(log.contains("rows.csv"), "{log}");
    }
    let (code, lines, log) = score("plan,other,age\n,x,40\n", false);
    assert_eq!((code, lines.lines().count()), (0, 1), "{log}");
    // A request may leave a feature out.
    std::fs::write(&input, r#"{"age": 40}"#).unwrap();
    assert_eq!(
        run(&["score", "--bundle", &bundle, "--rows", &input], None),
        (0, lines)
    );

    std::fs::write(&input, "age;plan;left\n").unwrap();
    let (code, yaml, log) = run_whole(&["suggest", "--spec", &spec, "--source", &input], None);
    assert_eq!((code, yaml.as_str()), (1, ""), "{log}");
    assert!(log.contains("has no rows"), "{log}");
}

#[test]
fn inspect_ends_with_2_where_a_training_with_its_draft_would_refuse_the_data() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("d.csv");
    let rows = |left: fn(usize) -> String, count: usize| {
        (0..count).fold("age,left\n".to_owned(), |mut csv, row| {
            writeln!(csv, "{},{}", 20 + row * 13 % 50, left(row)).unwrap();
            csv
        })
    };
    for (csv, rule, part) in [
        (
            rows(|_| "1".to_owned(), 40),
            "OneClass",
            "every row is of class 1",
        ),
        (rows(|_| "1".to_owned(), 0), "Empty", "the data has no rows"),
        (
            rows(|row| (row % 2).to_string(), 6),
            "ClassCount",
            "class 1 has 3 rows, but 5 folds",
        ),
        (
            rows(|row| ["0", "1", ""][row.min(40) % 41 / 20].to_owned(), 41),
            "Target",
            "1 row lacks the target; remove it",
        ),
        (
            rows(|row| format!("{row}.5"), 40),
            "Target",
            "is neither 0 nor 1; name the value of class 1",
        ),
        (
            rows(|row| format!("{row}.5"), 200),
            "Target",
            "is neither 0 nor 1; name the value of class 1",
        ),
    ] {
        std::fs::write(&file, csv).unwrap();
        let name = file.display().to_string();
        let (code, report) = run(&["inspect", &name, "--target", "left", "--json"], None);
        assert_eq!(code, 2, "{report}");
        let report: Value = serde_json::from_str(&report).unwrap();
        let found = report["draftRefusals"].as_array().unwrap();
        let fits = |one: &Value| one["rule"] == rule && one["message"].as_str().unwrap().contains(part);
        assert!(found.iter().any(fits), "{rule}: {found:?}");
        let (code, table) = run(&["inspect", &name, "--target", "left"], None);
        assert_eq!(code, 2);
        assert!(
            table.contains("a training with the draft refuses the data:") && table.contains(part),
            "{table}"
        );
    }
}
