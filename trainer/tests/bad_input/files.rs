//! Files that are no tables, or strange ones.

use serde_json::json;

use crate::{assert_refused, class, fit, refused, rows, trained};

const NO_ROWS: &str = "the data has no rows";

#[test]
fn a_file_without_rows_is_said_to_have_none() {
    for file in ["", "\n\n\r\n\r\r\n", "  \n \n\t\n", "a,x,y\n", "\u{feff}"] {
        assert_refused(file, &json!({}), "Empty", "", NO_ROWS);
    }
}

#[test]
fn a_file_of_one_row_lacks_a_class() {
    let ended = fit("a,x,y\n1,2,1\n", &json!({}));
    let messages: Vec<&str> = ended
        .result
        .violations
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "class 1 has 1 row, but 2 folds need at least 2: add rows of that class",
            "every row is of class 1; a row is of class 1 if y is 1, and both classes are needed; the column's values are \"1\"",
        ]
    );
}

#[test]
fn a_zero_byte_is_named_with_its_place() {
    let message = "byte 3 in line 1 is zero, which is not text: the file is damaged, or it is UTF-16 or not a table; save it as UTF-8 text";
    assert_refused("a,\0,y\n1,2,1\n", &json!({}), "Encoding", "", message);
    let (rule, _, message) = refused(
        rows(40, "a,x,y", |at| if at == 3 { "1\0".into() } else { "2".into() }),
        &json!({}),
    );
    assert_eq!(rule, "Encoding");
    assert!(message.starts_with("byte 31 in line 5 is zero"), "{message}");
    assert_eq!(refused(vec![0; 5000], &json!({})).0, "Encoding");
}

#[test]
fn other_encodings_are_named_with_the_first_byte_that_is_none_of_utf_8() {
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain("a,x,y\n".encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let message = "the file is not UTF-8 text (byte 1 in line 1); save it as UTF-8, uncompressed";
    assert_refused(utf16, &json!({}), "Encoding", "", message);
    let latin: Vec<u8> = b"a,x,y\n1,caf\xe9,1\n".to_vec();
    let message = "the file is not UTF-8 text (byte 12 in line 2); save it as UTF-8, uncompressed";
    assert_refused(latin, &json!({}), "Encoding", "", message);
}

#[test]
fn line_breaks_of_every_system_and_a_byte_order_mark_are_no_matter() {
    let file = rows(40, "a,x,y", |at| (at % 7).to_string());
    let of = |file: String| trained(file, &json!({})).result.metrics;
    let expected = of(file.clone());
    assert_eq!(of(file.replace('\n', "\r\n")), expected);
    assert_eq!(of(file.replace('\n', "\r")), expected);
    assert_eq!(of(format!("\u{feff}{file}")), expected);
    assert_eq!(
        of(format!("\n  \n{}\n\n", file.replacen('\n', "\n\n", 9))),
        expected
    );
}

/// So many columns of numbers, and the class.
fn wide(columns: usize, count: usize) -> String {
    let line = |cell: &dyn Fn(usize) -> String, last: String| {
        let cells: Vec<String> = (1..columns).map(cell).chain([last]).collect();
        cells.join(",") + "\n"
    };
    let rows = (0..count).map(|at| line(&|column| (at * column % 7).to_string(), class(at).to_string()));
    std::iter::once(line(&|column| format!("c{column}"), "y".to_owned()))
        .chain(rows)
        .collect()
}

#[test]
fn as_many_columns_as_are_allowed_are_trained_on() {
    let few =
        json!({"families": ["LightGBM"], "hyperparameters": {"lightgbm": {"nEstimators": 2, "maxDepth": 2}}});
    let ended = trained(wide(4096, 12), &few);
    assert_eq!(ended.result.rows, Some(12));
}

#[test]
fn more_columns_than_are_allowed_are_counted_at_once() {
    for columns in [4097, 100_000] {
        let message = format!("the file has {columns} columns, at most 4096 are read");
        assert_refused(wide(columns, 4), &json!({}), "TooManyColumns", "", &message);
    }
}

#[test]
fn a_cell_of_ten_megabytes_is_no_category_no_number_no_name_and_no_class() {
    let long = "z".repeat(10_000_000);
    let place = |row: usize| {
        if row == 3 {
            long.clone()
        } else {
            ["p", "q"][row % 2].to_owned()
        }
    };
    let message = "a value has 10000000 characters, and a category has at most 1024; correct it in the source, or list the column in exclude";
    assert_refused(rows(40, "a,x,y", place), &json!({}), "Category", "x", message);
    trained(rows(40, "a,x,y", place), &json!({"exclude": ["x"]}));

    let digits = "9".repeat(10_000_000);
    let (rule, column, message) = refused(crate::with_cell(&digits), &json!({}));
    assert_eq!((rule.as_str(), column.as_str()), ("Type", "x"));
    assert!(
        message.contains("59 values are numbers and 1 are not") && message.len() < 400,
        "{message}"
    );

    let (rule, _, message) = refused(rows(40, &format!("a,{long},y"), |at| at.to_string()), &json!({}));
    assert_eq!(rule, "Header");
    assert!(
        message.contains("has 10000000 characters, at most 128 are allowed"),
        "{message}"
    );

    let target = rows(40, "a,x,y", |at| (at % 7).to_string()).replacen(",0\n", &format!(",{digits}\n"), 1);
    let (rule, column, message) = refused(target, &json!({}));
    assert_eq!((rule.as_str(), column.as_str()), ("Target", "y"));
    assert!(
        message.contains("is neither 0 nor 1") && message.len() < 400,
        "{message}"
    );
}

#[test]
fn a_quoted_cell_of_ten_megabytes_of_lines_is_named_with_its_line() {
    let long = format!("\"{}\"", "z\n".repeat(5_000_000));
    let file = rows(
        40,
        "a,x,y",
        |at| if at == 3 { long.clone() } else { "p".to_owned() },
    );
    let (rule, _, message) = refused(file, &json!({}));
    assert_eq!(rule, "Category", "{message}");
}
