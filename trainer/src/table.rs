//! A CSV file as text cells.

use csv::{ReaderBuilder, StringRecord, Trim};
use modelward_crds::CsvFormat;
use modelward_wire::Violation;

use crate::violation::violation;

/// A file may not have more columns: a missing line break makes millions.
const MAX_COLUMNS: usize = 4096;

/// The rows of a file that have as many cells as there are columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<TableRow>,
}

/// One row of a file.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// Its number, the first data row being 1. Blank lines do not count.
    pub number: u64,
    /// Its cells, without surrounding blanks.
    pub cells: StringRecord,
}

/// Reads a table. What breaks the form is a violation; what could be read is returned beside it.
pub fn read(bytes: &[u8], format: &CsvFormat) -> (Table, Vec<Violation>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return (Table::default(), vec![not_utf8(bytes, error.valid_up_to())]),
    };
    let delimiter = format.delimiter.as_bytes().first().copied().unwrap_or(b',');
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(Trim::All)
        .from_reader(text.as_bytes());

    let mut violations = Vec::new();
    let mut columns = if format.header {
        None
    } else {
        Some(format.columns.clone())
    };
    let mut rows = Vec::new();
    let mut number = 0;
    let mut wrong_count: Option<(u64, u64, usize)> = None;
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                violations.push(violation("", "Csv", error.to_string(), 1, Some(number + 1)));
                break;
            }
        };
        let Some(columns) = &columns else {
            columns = Some(record.iter().map(str::to_owned).collect());
            continue;
        };
        if record.len() == 1 && columns.len() > 1 && record.get(0) == Some("") {
            continue;
        }
        number += 1;
        if record.len() == columns.len() {
            rows.push(TableRow {
                number,
                cells: record,
            });
        } else {
            let first = wrong_count.get_or_insert((0, number, record.len()));
            first.0 += 1;
        }
    }
    let columns = columns.unwrap_or_default();
    if let Some((count, row, found)) = wrong_count {
        let message = format!(
            "found {found} values in a row, expected {} (one for each column); check delimiter and quotes",
            columns.len()
        );
        violations.push(violation("", "ColumnCount", message, count, Some(row)));
    }
    check_columns(&columns, format, &mut violations);
    (Table { columns, rows }, violations)
}

fn check_columns(columns: &[String], format: &CsvFormat, violations: &mut Vec<Violation>) {
    if columns.len() > MAX_COLUMNS {
        let message = format!(
            "the file has {} columns, at most {MAX_COLUMNS} are read",
            columns.len()
        );
        violations.push(violation("", "TooManyColumns", message, 1, None));
        return;
    }
    for (index, name) in columns.iter().enumerate() {
        if name.is_empty() {
            let message = format!("column {} of the header has no name", index + 1);
            violations.push(violation("", "Header", message, 1, None));
        } else if columns[..index].contains(name) {
            let message = "the header names this column twice".to_owned();
            violations.push(violation(name, "Header", message, 1, None));
        }
    }
    if format.header && !format.columns.is_empty() && format.columns != columns {
        let at = format
            .columns
            .iter()
            .zip(columns)
            .position(|(expected, found)| expected != found);
        let at = at.unwrap_or_else(|| format.columns.len().min(columns.len()));
        let name = |names: &[String]| {
            names
                .get(at)
                .map_or("nothing".to_owned(), |name| format!("{name:?}"))
        };
        let message = format!(
            "the header differs from csv.columns: column {} is {}, expected {}",
            at + 1,
            name(columns),
            name(&format.columns)
        );
        violations.push(violation("", "Header", message, 1, None));
    }
}

fn not_utf8(bytes: &[u8], position: usize) -> Violation {
    let line = bytes[..position].split(|byte| *byte == b'\n').count();
    let message = format!(
        "the file is not UTF-8 text (byte {} in line {line}); save it as UTF-8, uncompressed",
        position + 1
    );
    violation("", "Encoding", message, 1, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> CsvFormat {
        CsvFormat::default()
    }

    #[test]
    fn a_table_with_header_blank_lines_and_byte_order_mark_is_read() {
        let (table, violations) = read("\u{feff}a, b\r\n1, 2 \r\n\r\n  \r\n3,4\r\n".as_bytes(), &header());
        assert!(violations.is_empty(), "{violations:?}");
        assert_eq!(table.columns, ["a", "b"]);
        let rows: Vec<Vec<&str>> = table.rows.iter().map(|row| row.cells.iter().collect()).collect();
        assert_eq!(rows, [["1", "2"], ["3", "4"]]);
        assert_eq!(table.rows[1].number, 2);
    }

    #[test]
    fn rows_of_another_length_are_counted_and_the_first_one_is_named() {
        let (table, violations) = read(b"a,b\n1,2\n1\n1,2,3\n5,6\n", &header());
        assert_eq!(table.rows.len(), 2);
        assert_eq!(violations[0].rule, "ColumnCount");
        assert_eq!((violations[0].count, violations[0].example_row), (2, Some(2)));
    }

    #[test]
    fn a_header_that_is_not_the_declared_one_is_a_violation() {
        let format = CsvFormat {
            columns: vec!["a".into(), "c".into()],
            ..header()
        };
        let (_, violations) = read(b"a,b\n1,2\n", &format);
        assert!(
            violations[0]
                .message
                .contains("column 2 is \"b\", expected \"c\""),
            "{violations:?}"
        );
        let (_, violations) = read(b"a,a,\n1,2,3\n", &header());
        assert_eq!(violations.len(), 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_a_violation_with_their_line() {
        let (_, violations) = read(b"a,b\n1,\xff\n", &header());
        assert_eq!(violations[0].rule, "Encoding");
        assert!(
            violations[0].message.contains("line 2"),
            "{}",
            violations[0].message
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, header: bool, tab: bool) {
            let columns = if header { vec![] } else { vec!["a".into(), "b".into()] };
            let delimiter = if tab { "\t" } else { "," }.into();
            let format = CsvFormat { header, columns, missing: vec![], delimiter };
            let (table, _) = read(&bytes, &format);
            for row in table.rows { prop_assert_eq!(row.cells.len(), table.columns.len()); }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ab1,;\"\n\r?é ]{0,80}") {
            read(text.as_bytes(), &header());
        }
    }
}
