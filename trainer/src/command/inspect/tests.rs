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
        "numbers the rows",
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

/// Rows of an age, a second column and a class, with this header.
fn rows(header: &str, count: usize, cell: impl Fn(usize) -> String) -> String {
    use std::fmt::Write as _;
    (0..count).fold(format!("{header}\n"), |mut csv, row| {
        let left = usize::from(row * 7 % 10 > 4);
        writeln!(csv, "{},{},{left}", 20 + row * 13 % 50, cell(row)).unwrap();
        csv
    })
}

#[test]
fn a_column_that_gives_the_target_away_is_named_and_the_draft_still_trains() {
    let csv = rows("age,code,left", 60, |row| {
        (10 + usize::from(row * 7 % 10 > 4)).to_string()
    });
    let inspection = inspect(csv.as_bytes(), &args(Some("left"))).unwrap();
    let table = shown(&inspection);
    assert!(
        table.contains("warning, Leak: its value alone separates the classes"),
        "{table}"
    );
    assert!(!is_refused(&inspection), "{table}");
    let csv = rows("age,code,left", 60, |row| (row * 31 % 17).to_string());
    let inspection = inspect(csv.as_bytes(), &args(Some("left"))).unwrap();
    assert!(!shown(&inspection).contains("Leak"));
}

#[test]
fn a_header_of_numbers_comes_with_a_warning_and_what_to_do() {
    let csv = rows("31,7,0", 60, |row| (row % 5).to_string());
    let inspection = inspect(csv.as_bytes(), &args(None)).unwrap();
    let table = shown(&inspection);
    for part in [
        "warning, Header: the names of all columns are numbers",
        "set csv.header: false",
        "--columns NAME,NAME",
    ] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
    let mut named = args(None);
    named.columns = ["age", "visits", "left"].map(str::to_owned).to_vec();
    let inspection = inspect(csv.as_bytes(), &named).unwrap();
    assert_eq!((inspection.rows, inspection.warnings.len()), (61, 0));
}

#[test]
fn a_target_of_numbers_gets_class_1_above_0_only_where_they_are_grades_and_with_a_warning() {
    let grades = rows("age,num,x", 60, |row| (row % 5).to_string());
    let inspection = inspect(grades.as_bytes(), &args(Some("num"))).unwrap();
    let table = shown(&inspection);
    let warning = "warning, ClassOne: has 5 different numbers, and the draft makes those above 0 class 1 (48 rows): decide";
    assert!(table.contains(warning), "{table}");
    assert!(draft(&inspection).contains("positiveWhen: {greaterThan: \"0\"}"));
    for cell in [
        |row: usize| format!("{row}.25"),
        |row: usize| (row % 20).to_string(),
        |row: usize| (row % 3 + 1).to_string(),
    ] {
        let inspection = inspect(rows("age,num,x", 60, cell).as_bytes(), &args(Some("num"))).unwrap();
        let text = draft(&inspection);
        assert!(text.contains("# DECIDE: above which number"), "{text}");
        assert!(
            spec::parse(&text)
                .unwrap()
                .training
                .target
                .positive_when
                .is_none(),
            "{text}"
        );
        assert!(is_refused(&inspection));
    }
}

#[test]
fn true_is_class_1_of_truth_values_whichever_is_rarer() {
    for (rarer, commoner, positive) in [
        ("False", "true", "true"),
        ("TRUE", "FALSE", "TRUE"),
        ("no", "yes", "no"),
    ] {
        let csv = rows("age,done,x", 60, |row| {
            [commoner, commoner, rarer][row % 3].to_owned()
        });
        let inspection = inspect(csv.as_bytes(), &args(Some("done"))).unwrap();
        let training = spec::parse(&draft(&inspection)).unwrap().training;
        assert_eq!(
            training.target.positive_when.unwrap().equals.as_deref(),
            Some(positive)
        );
    }
}

/// A Parquet file with a column of doubles and one of truth values.
fn parquet_file() -> Vec<u8> {
    use parquet::{
        data_type::{BoolType, DoubleType},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };
    let schema = parse_message_type("message rows { required double age; required boolean done; }").unwrap();
    let properties = WriterProperties::builder().build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema.into(), properties.into()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let ages: Vec<f64> = (0..60).map(|row| f64::from(row * 13 % 50)).collect();
    let done: Vec<bool> = (0..60).map(|row| row % 3 > 0).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<DoubleType>()
        .write_batch(&ages, None, None)
        .unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<BoolType>().write_batch(&done, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn a_parquet_file_has_no_delimiter_and_no_key_of_a_csv_file() {
    let inspection = inspect(&parquet_file(), &args(None)).unwrap();
    let table = shown(&inspection);
    assert!(
        table.starts_with("my Data.csv: 60 rows, 2 columns, Parquet\n"),
        "{table}"
    );
    assert!(!is_refused(&inspection), "{table}");
    let text = draft(&inspection);
    assert!(
        text.contains("key: my-data.parquet}") && !text.contains("csv:"),
        "{text}"
    );
    let training = spec::parse(&text).unwrap().training;
    assert_eq!(
        training.target.positive_when.unwrap().equals.as_deref(),
        Some("true")
    );
}

#[test]
fn a_column_that_is_there_twice_is_named_and_all_columns_are_counted() {
    let inspection = inspect(b"x,x,y\n1,2,0\n2,3,1\n", &args(None)).unwrap();
    let table = shown(&inspection);
    assert!(table.contains("2 rows, 3 columns"), "{table}");
    assert!(
        table.contains("refused, Header: x: the header names the column \"x\" twice"),
        "{table}"
    );
}

#[test]
fn numbers_that_are_one_32_bit_float_are_excluded_for_that_reason_and_refused_columns_are_counted() {
    let csv = rows("age,id,left", 60, |row| {
        (10_000_000_000_000_000_u64 + row as u64 * 7 % 60).to_string()
    });
    let inspection = inspect(csv.as_bytes(), &args(None)).unwrap();
    let table = shown(&inspection);
    assert!(!table.contains("Constant"), "{table}");
    let text = draft(&inspection);
    assert!(
        text.contains("# its 60 different values are all the same as 32-bit floats"),
        "{text}"
    );
    assert_eq!(spec::parse(&text).unwrap().training.exclude, ["id"]);
    let some = rows("age,seen,left", 60, |row| (1_767_225_600 + row * row).to_string());
    let some = inspect(some.as_bytes(), &args(None)).unwrap();
    assert!(spec::parse(&draft(&some)).unwrap().training.exclude.is_empty());

    let csv = rows("age,price,left", 60, |row| format!("€{}.50", row % 20));
    let inspection = inspect(csv.as_bytes(), &args(None)).unwrap();
    let price = &inspection.columns[1];
    assert_eq!((price.refusals.len(), price.report.distinct), (1, 20));
    // A refused column of two values is no guess of the target.
    let csv = rows("age,class,price", 60, |row| (row % 2).to_string())
        .replace(",0\n", ",€5\n")
        .replace(",1\n", ",€6\n");
    let inspection = inspect(csv.as_bytes(), &args(None)).unwrap();
    assert_eq!(inspection.columns[2].report.distinct, 2);
    assert_eq!(inspection.target.unwrap().column, "class");
    // Numbers that are no floats at all do not fall together.
    let csv = rows("age,huge,left", 60, |row| format!("{}e307", row + 40));
    let huge = &inspect(csv.as_bytes(), &args(None)).unwrap().columns[1];
    assert_eq!((huge.report.warnings.len(), huge.report.distinct), (0, 60));
}

#[test]
fn a_terminal_gets_no_control_characters_of_a_file() {
    let csv = rows("n\u{1b}[31mred,\"a\u{202e}b\nc\",\u{1b}]0;pwn\u{7}", 60, |row| {
        ["\u{1b}[2Jv1", "\u{202e}v2"][row % 2].to_owned()
    });
    let inspection = inspect(csv.as_bytes(), &args(None)).unwrap();
    for text in [shown(&inspection), draft(&inspection)] {
        let hidden = text.chars().find(|letter| letter.is_control() && *letter != '\n');
        assert_eq!(hidden, None, "{text}");
    }
    let table = shown(&inspection);
    assert!(!table.contains('\u{202e}'), "{table}");
    for part in [
        "n\\u{1b}[31mred",
        "a\\u{202e}b\\nc",
        "target: \\u{1b}]0;pwn\\u{7}",
    ] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
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
