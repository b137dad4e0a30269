//! A CSV file as text cells.

use std::io::{self, Read};

use csv::{Reader, ReaderBuilder, StringRecord, Trim};
use modelward_crds::CsvFormat;
use modelward_model::normalize_name;
use modelward_wire::{Digest, Violation};

pub use crate::data::violation::Quote;
use crate::data::{
    header::{check_columns, rename_columns, too_many_columns},
    quotes::check_quotes,
    rows::Rows,
    scan::{MAX_RECORD, Place, Scan, Scanned},
    violation::violation,
};

/// Bytes that are parsed at once.
const BUFFER: usize = 1 << 16;

/// The most rows that are read from a file: each takes memory besides its cells, and there could be a billion without cells.
pub(super) const MAX_ROWS: usize = 1 << 24;

/// The rows of a file that have as many cells as there are columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Rows,
}

/// What a file that was read to its end holds.
#[derive(Debug)]
pub struct Parsed {
    /// What could be read.
    pub table: Table,
    /// What breaks its form.
    pub violations: Vec<Violation>,
    /// The digest of all of its bytes.
    pub sha256: Digest,
    /// Number of its bytes.
    pub size: u64,
}

/// The records of a file, before their form is checked as a whole.
struct Records {
    columns: Vec<String>,
    rows: Rows,
    violations: Vec<Violation>,
    /// Rows of another length: how many, the first one and its length.
    wrong_count: Option<(u64, u64, usize)>,
}

/// Reads a table. What breaks the format is a violation; what could be read is returned with it.
pub fn read(bytes: &[u8], format: &CsvFormat, quote: Quote) -> (Table, Vec<Violation>) {
    match read_stream(bytes, format, quote) {
        Ok(parsed) => (parsed.table, parsed.violations),
        Err(error) => {
            let found = violation("", "Csv", error.to_string(), 1, None);
            (Table::default(), vec![found])
        }
    }
}

/// Like `read`, while the bytes arrive. All of them are read, whatever they are.
pub fn read_stream(bytes: impl Read, format: &CsvFormat, quote: Quote) -> io::Result<Parsed> {
    let delimiter = format.delimiter.as_bytes().first().copied().unwrap_or(b',');
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(Trim::All)
        .buffer_capacity(BUFFER)
        .from_reader(Scan::new(bytes, delimiter));
    let read = read_records(&mut reader, format, quote);
    let scanned = reader.into_inner().finish()?;
    let not_text = match (other_format(&scanned.head), scanned.wrong, scanned.zero) {
        (Some(message), ..) => Some(violation("", "Csv", message, 1, None)),
        (None, Some(place), _) => Some(not_utf8(place)),
        (None, None, Some(place)) => Some(has_zero_byte(place)),
        (None, None, None) => None,
    };
    let (table, violations) = match (not_text, read) {
        (Some(found), _) | (None, Err(found)) => (Table::default(), vec![found]),
        (None, Ok(read)) => read.finish(format, quote, &scanned),
    };
    Ok(Parsed {
        table,
        violations,
        sha256: scanned.sha256,
        size: scanned.size,
    })
}

/// The records of a file; a violation if nothing can be said about its rows.
fn read_records(
    reader: &mut Reader<Scan<impl Read>>,
    format: &CsvFormat,
    quote: Quote,
) -> Result<Records, Violation> {
    let delimiter = format.delimiter.as_bytes().first().copied().unwrap_or(b',');
    let mut violations = Vec::new();
    let mut columns = if format.header {
        None
    } else {
        let names = format.columns.iter();
        Some(names.map(|name| normalize_name(name).into_owned()).collect())
    };
    let mut rows = Rows::default();
    let mut number = 0;
    let mut wrong_count: Option<(u64, u64, usize)> = None;
    let mut record = StringRecord::new();
    loop {
        let read = reader.read_record(&mut record);
        let end = reader.position().byte();
        let scan = reader.get_mut();
        if scan.is_too_long() {
            return Err(too_long_record(scan.line(0)));
        }
        match read {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                violations.push(violation("", "Csv", error.to_string(), 1, Some(number + 1)));
                break;
            }
        }
        let fields = columns.as_ref().map_or(record.len(), Vec::len);
        if let Some(found) = check_quotes(scan.record(end), &record, fields, delimiter) {
            let line = scan.line(found.opened);
            let row = columns.is_some().then_some(number + 1);
            // The rows of the file are then not known, so nothing more can be said about it.
            return Err(violation("", "Csv", found.message(line), found.lines, row));
        }
        scan.begin_record(end);
        // A line of blanks is not a header.
        let is_blank = record.len() == 1 && record.get(0) == Some("");
        let Some(columns) = &columns else {
            if is_blank {
                continue;
            }
            if let Some(found) = too_many_columns(record.len()) {
                return Err(found);
            }
            let names = record.iter().map(|name| normalize_name(name).into_owned());
            let names: Vec<String> = names.collect();
            columns = Some(rename_columns(names, format, quote, &mut violations));
            continue;
        };
        if is_blank && columns.len() > 1 {
            continue;
        }
        number += 1;
        if number > MAX_ROWS as u64 {
            return Err(too_many_rows());
        }
        if record.len() == columns.len() {
            rows.push(number, &record);
        } else {
            let first = wrong_count.get_or_insert((0, number, record.len()));
            first.0 += 1;
        }
    }
    Ok(Records {
        columns: columns.unwrap_or_default(),
        rows,
        violations,
        wrong_count,
    })
}

// === impl Records ===

impl Records {
    /// The table of these records, with what breaks its form.
    fn finish(self, format: &CsvFormat, quote: Quote, scanned: &Scanned) -> (Table, Vec<Violation>) {
        let Self {
            columns,
            mut rows,
            mut violations,
            wrong_count,
        } = self;
        let delimiter = other_delimiter(scanned, columns.len());
        if let Some((count, row, found)) = wrong_count {
            let expected = columns.len();
            let way_out = match &delimiter {
                Some(other) => format!("the lines hold {other}: set csv.delimiter: {other}"),
                None => "check csv.delimiter and the quotes in that row".to_owned(),
            };
            let message = format!(
                "found {found} values in row {row}, expected {expected} (one for each column); {way_out}"
            );
            violations.push(violation("", "ColumnCount", message, count, Some(row)));
        } else if let (true, Some(other)) = (format.header, &delimiter) {
            let message =
                format!("the header is one column, and it holds {other}: set csv.delimiter: {other}");
            violations.push(violation("", "Header", message, 1, None));
        }
        if !format.header && is_header(&columns, &rows, &format.missing) {
            rows = without_first(&rows);
            let message = "the first row holds names of columns, and csv.header is false: set csv.header: true and leave \
                           csv.columns out, or remove that row";
            violations.push(violation("", "Header", message, 1, Some(1)));
        }
        check_columns(&columns, format, quote, &mut violations);
        (Table { columns, rows }, violations)
    }
}

/// What kind of file begins with these bytes, if it is not a table at all. None of them are quoted.
fn other_format(text: &[u8]) -> Option<&'static str> {
    let next = |at: usize| text.get(at).copied().unwrap_or_default();
    match next(0) {
        b'<' if matches!(next(1), b'!' | b'?') || next(1).is_ascii_alphabetic() => Some(
            "this is a web page (HTML) or XML, not CSV: a login page, an error page or a page about the file; give \
             the file itself, or the address that downloads it (\"raw\" or \"download\") without a login",
        ),
        b'{' if matches!(next(1), b'"' | b'\n' | b'\r' | b' ' | b'}') => {
            Some("this is JSON, not CSV; name the address of the CSV file itself, or write the data as CSV")
        }
        b'[' if matches!(next(1), b'{' | b'[' | b'\n' | b'\r') => {
            Some("this is JSON, not CSV; name the address of the CSV file itself, or write the data as CSV")
        }
        b'P' if text.starts_with(b"PK\x03\x04") => Some(
            "this is a zip archive or an Excel workbook, not CSV; save the sheet as CSV (UTF-8), uncompressed",
        ),
        0x1f if next(1) == 0x8b => Some("this is compressed with gzip, not CSV; decompress it (gunzip)"),
        _ => None,
    }
}

/// The delimiter that the first line seems to have, in quotes, if another one reads it as one column.
fn other_delimiter(scanned: &Scanned, columns: usize) -> Option<String> {
    let (separator, count, own) = scanned.separators?;
    let found_columns = count + 1;
    // Quoted as YAML reads it.
    (own == 0 && found_columns > 1 && (columns == 1 || columns as u64 == found_columns))
        .then(|| format!("{:?}", char::from(separator).to_string()))
}

/// Whether the first row holds names: those of the columns, or words in several columns in which all other rows hold numbers.
fn is_header(columns: &[String], rows: &Rows, missing: &[String]) -> bool {
    let Some(first) = rows.get(0) else { return false };
    let equal = columns
        .iter()
        .zip(first.iter())
        .filter(|(name, cell)| name.eq_ignore_ascii_case(cell))
        .count();
    if equal * 2 > columns.len() {
        return true;
    }
    let is_missing = |cell: &str| cell.is_empty() || missing.iter().any(|text| text.trim() == cell);
    let is_number = |cell: &str| crate::data::number::number(cell).is_some();
    let is_numeric = |at: usize| {
        let mut cells = rows
            .column(at)
            .skip(1)
            .filter_map(|(_, cell)| cell)
            .filter(|cell| !is_missing(cell))
            .peekable();
        cells.peek().is_some() && cells.all(is_number)
    };
    let mut numeric = 0;
    for (at, cell) in first.iter().enumerate() {
        if is_number(cell) || is_missing(cell) {
            return false;
        }
        numeric += usize::from(is_numeric(at));
    }
    rows.len() > 2 && numeric >= 2
}

fn without_first(rows: &Rows) -> Rows {
    let mut others = Rows::default();
    for row in rows.iter().skip(1) {
        others.push(row.number(), row.iter());
    }
    others
}

/// The violation of a file that has more rows than are read.
pub(super) fn too_many_rows() -> Violation {
    let message =
        format!("the file has more than {MAX_ROWS} rows, the most that are read; take a sample of them");
    violation("", "TooManyRows", message, 1, None)
}

fn too_long_record(line: u64) -> Violation {
    let message = format!(
        "the row that begins in line {line} has more than {MAX_RECORD} bytes: most probably a quote opens in it and is never closed; \
         close it, or remove it"
    );
    violation("", "Csv", message, 1, None)
}

fn has_zero_byte(Place { byte, line }: Place) -> Violation {
    let message = format!(
        "byte {} in line {line} is zero, which is not text: the file is damaged, or it is UTF-16 or not a table; save it as UTF-8 text",
        byte + 1
    );
    violation("", "Encoding", message, 1, None)
}

fn not_utf8(Place { byte, line }: Place) -> Violation {
    let message = format!(
        "the file is not UTF-8 text (byte {} in line {line}); save it as UTF-8, uncompressed",
        byte + 1
    );
    violation("", "Encoding", message, 1, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], format: &CsvFormat) -> (Table, Vec<Violation>) {
        super::read(bytes, format, Quote::Yes)
    }

    fn bare(columns: &[&str]) -> CsvFormat {
        CsvFormat {
            header: false,
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            ..CsvFormat::default()
        }
    }

    #[test]
    fn a_header_line_where_none_is_declared_is_found_and_not_taken_for_a_row() {
        for (text, columns) in [
            ("age,sex,y\n63,M,1\n41,F,0\n", ["age", "sex", "y"]),
            // Other names than the declared ones: words over columns of numbers.
            (
                "years,weight,disease\n63,71.5,1\n41,60,0\n50,?,1\n",
                ["age", "kg", "y"],
            ),
        ] {
            let format = CsvFormat {
                missing: vec!["?".into()],
                ..bare(&columns)
            };
            let (table, violations) = read(text.as_bytes(), &format);
            assert_eq!(violations.len(), 1, "{violations:?}");
            assert_eq!(violations[0].rule, "Header");
            assert!(
                violations[0].message.contains("set csv.header: true"),
                "{violations:?}"
            );
            assert_eq!(table.rows.get(0).unwrap().get(0), Some("63"));
        }
        for text in [
            "63,M,1\n41,F,0\n50,F,1\n",
            "unknown,M,1\n41,F,0\n50,F,1\n",
            "M,a,b\nF,c,d\nM,e,f\n",
            "",
        ] {
            assert_eq!(read(text.as_bytes(), &bare(&["age", "sex", "y"])).1, [], "{text}");
        }
    }

    #[test]
    fn what_is_no_csv_at_all_is_named_and_not_quoted() {
        for (bytes, word) in [
            (
                b"<!DOCTYPE html><title>secret</title>".as_slice(),
                "web page (HTML)",
            ),
            (b"\xef\xbb\xbf \n<html>secret", "web page (HTML)"),
            (b"<?xml version='1.0'?><Error>secret</Error>", "XML"),
            (b"{\"token\": \"secret\"}", "JSON"),
            (b"[\n {\"token\": \"secret\"}]", "JSON"),
            (b"PK\x03\x04secret", "Excel"),
            (b"\x1f\x8bsecret", "gunzip"),
        ] {
            let (table, violations) = read(bytes, &header());
            assert!(table.columns.is_empty());
            let [one] = violations.as_slice() else {
                panic!("{violations:?}")
            };
            assert!(
                one.message.contains(word) && !one.message.contains("secret"),
                "{one:?}"
            );
            assert!(!one.message.ends_with('…'), "{one:?}");
        }
        // Comparisons are no markup.
        assert_eq!(read(b"<5,>5\n1,2\n", &header()).1, []);
    }

    #[test]
    fn another_delimiter_is_recognised_and_the_message_says_which() {
        let (_, violations) = read(b"age;sex;y\n63;M;1\n", &header());
        assert!(
            violations[0].message.contains(r#"set csv.delimiter: ";""#),
            "{violations:?}"
        );
        let (_, violations) = read(b"63\tM\t1\n41\tF\t0\n", &bare(&["age", "sex", "y"]));
        assert!(violations[0].message.contains("found 1 values"), "{violations:?}");
        assert!(
            violations[0].message.contains(r#"set csv.delimiter: "\t""#),
            "{violations:?}"
        );
        assert_eq!(read(b"only\n1\n", &header()).1, []);
    }

    #[test]
    fn nothing_of_an_address_is_quoted() {
        let format = CsvFormat {
            columns: vec!["a".into(), "b".into()],
            ..header()
        };
        let (_, violations) = super::read(b"secret,secret\n1,2\n", &format, Quote::No);
        assert_eq!(violations.len(), 2, "{violations:?}");
        for violation in violations {
            let text = format!("{violation:?}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    fn header() -> CsvFormat {
        CsvFormat::default()
    }

    #[test]
    fn a_table_with_header_blank_lines_and_byte_order_mark_is_read() {
        let (table, violations) = read("\u{feff}a, b\r\n1, 2 \r\n\r\n  \r\n3,4\r\n".as_bytes(), &header());
        assert!(violations.is_empty(), "{violations:?}");
        assert_eq!(table.columns, ["a", "b"]);
        let rows: Vec<Vec<&str>> = table.rows.iter().map(|row| row.iter().collect()).collect();
        assert_eq!(rows, [["1", "2"], ["3", "4"]]);
        assert_eq!(table.rows.get(1).unwrap().number(), 2);
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

    #[test]
    fn columns_are_renamed_by_name_and_by_position() {
        let rename = |from: Option<&str>, position, to: &str| modelward_crds::ColumnRename {
            from: from.map(str::to_owned),
            position,
            to: to.to_owned(),
        };
        let format = CsvFormat {
            rename: vec![
                rename(None, Some(1), "row"),
                rename(Some("How old?"), None, "age"),
            ],
            columns: vec!["row".into(), "age".into(), "y".into()],
            ..header()
        };
        let (table, violations) = read(b",How old?,y\n1,2,0\n", &format);
        assert_eq!(violations, []);
        assert_eq!(table.columns, ["row", "age", "y"]);
        let format = CsvFormat {
            rename: vec![
                rename(None, Some(9), "row"),
                rename(Some("How odl?"), None, "age"),
            ],
            ..header()
        };
        let (_, violations) = read(b"x,How old?,y\n1,2,0\n", &format);
        let messages: Vec<&str> = violations.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "csv.rename names column 9, and the header has 3 columns",
                "csv.rename names the column \"How odl?\", which the header does not have; did you mean \"How old?\"?",
            ]
        );
    }

    #[test]
    fn a_quote_that_takes_rows_into_a_cell_is_found_with_its_line_and_a_long_text_is_none() {
        for (text, line) in [
            ("a,b\n1,\"x\n2,y\n", 2),
            ("\"a,b\n1,x\n2,y\n", 1),
            ("a,b\r\n\r\n1,x\r\n2,\"y\r\n3,z\r\n", 4),
            ("a,b\r1,x\r2,\"y\r", 3),
            ("a,b\n\"m\nn\",2\n3,\"x\n4,\"y\"\n", 4),
            ("a,b,c,d\n1,2,3,\"4\n1,2,3,4\n1,2,3,4\n1,2,3,4\"\n", 2),
        ] {
            let (table, violations) = read(text.as_bytes(), &header());
            assert!(table.columns.is_empty(), "{text:?}");
            let [found] = violations.as_slice() else {
                panic!("{text:?} {violations:?}")
            };
            assert_eq!(found.rule, "Csv");
            let opens = format!("the quote that opens in line {line} ");
            assert!(found.message.starts_with(&opens), "{text:?}: {}", found.message);
        }
        for text in [
            "a,b\n1,\"x\n\n\"\"y\"\" and, z\nend\"\n",
            "a,b\n1,\"first, of all\nand then, this\nand so, on\nend\"\n2,\"\"\n",
            "a,b\n5\" disk,x\n\"5\" disk\",y\n",
            "\"a\n(EUR)\",b\n1,2\n",
            "a,b\n1,\"x\"",
        ] {
            assert_eq!(read(text.as_bytes(), &header()).1, [], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, header: bool, tab: bool) {
            let columns = if header { vec![] } else { vec!["a".into(), "b".into()] };
            let delimiter = if tab { "\t" } else { "," }.into();
            let format = CsvFormat { header, columns, delimiter, ..CsvFormat::default() };
            let (table, _) = read(&bytes, &format);
            for row in table.rows.iter() { prop_assert_eq!(row.iter().count(), table.columns.len()); }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ab1,;\"\n\r?é ]{0,80}") {
            read(text.as_bytes(), &header());
            read(text.as_bytes(), &bare(&["a", "b"]));
        }
    }
}
