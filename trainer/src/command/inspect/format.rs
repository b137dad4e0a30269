//! The format of a file, guessed from its first lines.

use csv::{ReaderBuilder, Trim};

use crate::data::{
    number::{NOTATIONS, Notation},
    rows::RowCells,
    table::Table,
};

/// Bytes that the delimiter is guessed from.
const HEAD: usize = 64 << 10;

/// Rows that are looked at.
const ROWS: usize = 1000;

/// The delimiter with which most of the first lines have as many fields as the first one; of equal ones, the one with most fields.
pub(super) fn guess_delimiter(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(HEAD)];
    let score = |delimiter: u8| {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .trim(Trim::All)
            .from_reader(head);
        let lengths: Vec<usize> = reader
            .byte_records()
            .take(ROWS)
            .map_while(Result::ok)
            .map(|record| record.len())
            .collect();
        let first = lengths.first().copied().unwrap_or(0);
        let same = lengths.iter().filter(|length| **length == first).count();
        let share = same * 100 / lengths.len().max(1);
        if first > 1 { (share, first) } else { (0, 0) }
    };
    let candidates = [",", ";", "\t", "|"];
    let best = candidates
        .iter()
        .rev()
        .max_by_key(|text| score(text.as_bytes().first().copied().unwrap_or(b',')));
    (*best.unwrap_or(&",")).to_owned()
}

/// The decimal and thousands separators with which most cells are numbers.
pub(super) fn guess_notation(table: &Table) -> (String, Option<String>) {
    let rows = || table.rows.iter().take(ROWS).flat_map(RowCells::iter);
    let count = |notation: Notation| rows().filter(|cell| notation.number(cell).is_some()).count();
    let plain = count(Notation::PLAIN);
    let counts: Vec<(Notation, usize)> = NOTATIONS
        .iter()
        .map(|notation| (*notation, count(*notation)))
        .collect();
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    if most == plain {
        return (".".to_owned(), None);
    }
    let mut best = counts
        .iter()
        .filter(|(_, count)| *count == most)
        .map(|(notation, _)| *notation);
    // A separator that always has three digits after it separates thousands.
    let thousands = |notation: &Notation| {
        *notation
            == Notation {
                decimal: '.',
                thousands: Some(','),
            }
    };
    let all: Vec<Notation> = best.by_ref().collect();
    let chosen = all.iter().find(|notation| thousands(notation)).or(all.first());
    let chosen = chosen.copied().unwrap_or(Notation::PLAIN);
    (
        chosen.decimal.to_string(),
        chosen.thousands.map(|separator| separator.to_string()),
    )
}
