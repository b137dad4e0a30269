use proptest::prelude::*;

use super::*;
use crate::{command::arguments::SizeArgs, spec};

fn args(target: Option<&str>) -> InspectArgs {
    InspectArgs {
        file: "my Data.csv".into(),
        delimiter: None,
        decimal: None,
        thousands: None,
        columns: Vec::new(),
        missing: Vec::new(),
        target: target.map(str::to_owned),
        spec_out: None,
        json: false,
        size: SizeArgs { max_dataset_mib: 1 },
    }
}

fn draft(inspection: &Inspection) -> String {
    let mut out = Vec::new();
    write_draft(&mut out, inspection).unwrap();
    String::from_utf8(out).unwrap()
}

fn shown(inspection: &Inspection) -> String {
    let mut out = Vec::new();
    write_table(&mut out, inspection).unwrap();
    String::from_utf8(out).unwrap()
}

/// A file as a spreadsheet of a country with decimal commas writes it, with most of what is wrong with such files.
fn spreadsheet() -> String {
    use std::fmt::Write as _;
    (0..60).fold(";code;weight;price;note;left\n".to_owned(), |mut csv, row| {
        let weight = if row % 5 == 0 {
            "NA".to_owned()
        } else {
            format!("{},5", row % 17)
        };
        let left = if row % 3 == 0 { "ja" } else { "nein" };
        writeln!(csv, "{row};K-{row};{weight};{},25;same;{left}", 100 + row % 13).unwrap();
        csv
    })
}

#[test]
fn delimiter_decimal_and_target_are_guessed_and_the_draft_trains() {
    let csv = spreadsheet();
    let inspection = inspect(csv.as_bytes(), &args(None)).unwrap();
    assert_eq!(
        (inspection.csv.delimiter.as_str(), inspection.csv.decimal.as_str()),
        (";", ",")
    );
    assert_eq!(inspection.target.as_ref().unwrap().column, "left");
    let table = shown(&inspection);
    for part in [
        "60 rows, 6 columns",
        "column 1 of the header has no name",
        "an identifier; list the column in exclude",
        "set csv.missing: [\"NA\"]",
        "has the same value in all 60 rows",
        "counts the rows",
        "\"ja\": 20 rows",
    ] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }

    let draft = draft(&inspection);
    let version = spec::parse(&draft).unwrap_or_else(|error| panic!("{error}\n{draft}"));
    assert_eq!(version.model, "my-data");
    let training = &version.training;
    assert_eq!(
        training.target.positive_when.as_ref().unwrap().equals.as_deref(),
        Some("ja")
    );
    let mut excluded = training.exclude.clone();
    excluded.sort();
    assert_eq!(excluded, ["code", "column_1", "note"]);
    let (table, found) = file::read(csv.as_bytes(), &training.dataset.csv, Quote::Yes);
    assert_eq!(found, []);
    let part = Part {
        name: "d",
        table: &table,
        format: &training.dataset.csv,
        quote: Quote::Yes,
    };
    let checked = check::check(&[part], training, &[]).unwrap();
    let names: Vec<&str> = checked.dataset.schema.names().collect();
    assert_eq!(names, ["weight", "price"]);
    assert_eq!(checked.columns[0].missing, 12);
}

#[test]
fn a_target_of_more_values_lists_the_others_and_an_unknown_one_is_named() {
    let csv = "x,y\n1,yes\n2,no\n3,YES\n4,no\n5,no\n6,yes\n";
    let inspection = inspect(csv.as_bytes(), &args(Some("y"))).unwrap();
    let text = draft(&inspection);
    let version = spec::parse(&text).unwrap();
    assert_eq!(version.training.target.negative_values, ["no", "yes"], "{text}");
    let error = inspect(csv.as_bytes(), &args(Some("Y"))).unwrap_err().to_string();
    assert!(error.contains("did you mean \"y\"?"), "{error}");
}

#[test]
fn what_is_no_table_is_an_error_with_its_reason() {
    let error = inspect(b"<html>", &args(None)).unwrap_err().to_string();
    assert!(error.contains("web page"), "{error}");
    let error = inspect(b"a,b\n1,\"x\n2,y\n", &args(None))
        .unwrap_err()
        .to_string();
    assert!(error.contains("opens in line 2 is never closed"), "{error}");
    assert!(inspect(b"", &args(None)).is_err());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic_and_every_draft_is_a_valid_spec(
        text in "[ab1,;\"\n\r?é .%$NA-]{0,120}|(a;b,c\n)([0-9]{1,3},[0-9]{1,2};[ab?]{1,2}\n){0,30}", bytes: Vec<u8>
    ) {
        let _ = inspect(&bytes, &args(None));
        if let Ok(inspection) = inspect(text.as_bytes(), &args(None)) {
            shown(&inspection);
            let names = inspection.columns.iter().map(|column| column.report.name.as_str());
            let text = draft(&inspection);
            if names.clone().count() > 0 && names.clone().all(|name| !name.is_empty()) {
                let parsed = spec::parse(&text);
                prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed, text);
            }
        }
    }
}
