//! Quotes that open and do not close where they should: the rest of a file becomes one cell, without an error.

use csv::StringRecord;

/// This many delimiters within one cell, in lines that each have as many as the table, are rows and not text.
const ENOUGH_DELIMITERS: usize = 6;

/// A quote that takes lines into one cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenQuote {
    /// Its position in the record's bytes.
    pub(super) opened: usize,
    /// Line breaks in the cell.
    pub(super) lines: u64,
    /// Whether another quote closes it.
    closed: bool,
}

/// The state of a reader of one record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a cell.
    Start,
    /// In a cell without quotes, or after those of one.
    Plain,
    Quoted,
    /// After a quote within a quoted cell: its end, or the first of two.
    Quote,
}

/// The quote of a record that was not meant to enclose what it does. `bytes` are those of the record, `fields` the number of columns.
pub(super) fn check_quotes(
    bytes: &[u8],
    record: &StringRecord,
    fields: usize,
    delimiter: u8,
) -> Option<OpenQuote> {
    if !bytes.contains(&b'"') {
        return None;
    }
    let mut state = State::Start;
    let (mut opened, mut lines) = (0, 0);
    let mut worst: Option<OpenQuote> = None;
    for (at, byte) in bytes.iter().enumerate() {
        state = match (state, *byte) {
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, byte) => {
                let crlf = byte == b'\r' && bytes.get(at + 1) == Some(&b'\n');
                lines += u64::from(byte == b'\n' || byte == b'\r' && !crlf);
                State::Quoted
            }
            (State::Quote, b'"') => State::Quoted,
            (State::Start, b'"') => {
                (opened, lines) = (at, 0);
                State::Quoted
            }
            (_, byte) if byte == delimiter => State::Start,
            // Blank lines before the record.
            (State::Start, b'\n' | b'\r') => State::Start,
            (State::Quote, byte) if lines > 0 && !byte.is_ascii_whitespace() => {
                // Text after the closing quote: it was the opening one of another cell.
                worst.get_or_insert(OpenQuote {
                    opened,
                    lines,
                    closed: true,
                });
                State::Plain
            }
            _ => State::Plain,
        };
    }
    if state == State::Quoted {
        return Some(OpenQuote {
            opened,
            lines: lines.max(1),
            closed: false,
        });
    }
    worst.or_else(|| {
        let cell = record.iter().find(|cell| holds_rows(cell, fields, delimiter))?;
        let first = bytes.iter().position(|byte| *byte == b'"')?;
        // The cell is found by the line that it begins with.
        let head = cell.lines().next().unwrap_or_default().as_bytes();
        let start = bytes
            .windows(head.len() + 1)
            .position(|window| window[0] == b'"' && window[1..] == *head);
        Some(OpenQuote {
            opened: start.unwrap_or(first),
            lines: cell.lines().count() as u64 - 1,
            closed: true,
        })
    })
}

/// Whether each whole line within a cell has as many delimiters as a row of the table.
fn holds_rows(cell: &str, fields: usize, delimiter: u8) -> bool {
    if fields < 2 || !cell.contains(['\n', '\r']) {
        return false;
    }
    let lines: Vec<&str> = cell.split(['\n', '\r']).filter(|line| !line.is_empty()).collect();
    let [_, inner @ .., _] = lines.as_slice() else {
        return false;
    };
    let count = |line: &&str| line.bytes().filter(|byte| *byte == delimiter).count();
    let delimiters = fields - 1;
    inner.len() * delimiters >= ENOUGH_DELIMITERS && inner.iter().all(|line| count(line) == delimiters)
}

// === impl OpenQuote ===

impl OpenQuote {
    /// What is wrong, with the line in which the quote opens.
    pub(super) fn message(&self, line: u64) -> String {
        let Self { lines, .. } = self;
        let what = if self.closed {
            format!("takes the next {lines} lines into one cell, and the quote of another cell closes it")
        } else {
            "is never closed, so that the rest of the file is one cell".to_owned()
        };
        format!(
            "the quote that opens in line {line} {what}; close it, or remove it; within a quoted cell a quote is written twice (\"\")"
        )
    }
}
