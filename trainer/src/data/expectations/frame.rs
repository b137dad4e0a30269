//! The datasets as one table of columns, typed as pandas types a CSV file.
//!
//! A column is *integer* if every cell is a whole number and none is missing, *float* if every present cell is a number, and
//! *text* otherwise. pandas has no missing integers either: whole numbers with a missing one among them become 3.0, 4.0.

use std::{borrow::Cow, fmt::Write as _, rc::Rc};

use modelward_model::Missing;
use serde_json::Value;

use crate::data::{
    check::Part,
    expectations::raised::Raised,
    number::{Notation, number},
    rows::{RowCells, Rows},
    table::{Quote, Table},
};

/// How the cells of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers, none missing.
    Integer,
    /// Numbers.
    Float,
    /// Texts.
    Text,
}

/// All rows.
pub(super) struct Frame<'a> {
    parts: &'a [Part<'a>],
    missing: Vec<Missing>,
    rows: usize,
    /// The column that was read last: expectations of one column mostly follow each other.
    last: Option<Rc<Column<'a>>>,
}

/// One column of the rows.
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// One per row; none if the value is missing.
    cells: Vec<Option<&'a str>>,
    /// One per row, NaN if the value is missing; empty for texts.
    numbers: Vec<f64>,
}

/// A value that is equal to others as in pandas: numbers by value, texts by their letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Missing,
    /// The bits of a number.
    Number(u64),
    /// A whole number that no double represents.
    Whole(i64),
    Text(&'a str),
}

// === impl Frame ===

impl<'a> Frame<'a> {
    pub(super) fn new(parts: &'a [Part<'a>]) -> Self {
        let missing = |part: &Part<'a>| Notation::of(part.format).missing(&part.format.missing);
        Self {
            parts,
            missing: parts.iter().map(missing).collect(),
            rows: parts.iter().map(|part| count_rows(part.table)).sum(),
            last: None,
        }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Names of the columns, in the first part's order.
    pub(super) fn names(&self) -> &'a [String] {
        self.parts.first().map_or(&[], |part| &part.table.columns)
    }

    /// Whether values may be quoted.
    pub(super) fn quote(&self) -> Quote {
        if self.parts.iter().all(|part| part.quote == Quote::Yes) {
            Quote::Yes
        } else {
            Quote::No
        }
    }

    pub(super) fn has_several_parts(&self) -> bool {
        self.parts.len() > 1
    }

    /// The name of the part that has a row, and the row's number in it.
    pub(super) fn place(&self, row: usize) -> Option<(&'a str, u64)> {
        let mut start = 0;
        for part in self.parts {
            let rows = count_rows(part.table);
            if row < start + rows {
                return Some((part.name, row_number(part.table, row - start)?));
            }
            start += rows;
        }
        None
    }

    /// The column of this name. In a part that lacks it, every value is missing.
    pub(super) fn column(&mut self, name: &str) -> Result<Rc<Column<'a>>, Raised> {
        if let Some(last) = self.last.as_ref().filter(|last| last.name == name) {
            return Ok(Rc::clone(last));
        }
        let column = Rc::new(self.read(name)?);
        self.last = Some(Rc::clone(&column));
        Ok(column)
    }

    fn read(&self, name: &str) -> Result<Column<'a>, Raised> {
        let Some(name) = self.names().iter().find(|known| *known == name) else {
            return Err(Raised(format!("the column {name:?} does not exist")));
        };
        let mut cells = Vec::with_capacity(self.rows);
        for (part, missing) in self.parts.iter().zip(&self.missing) {
            push_cells(part.table, name, missing, &mut cells);
        }
        Ok(Column::new(name, cells))
    }
}

/// The tables of the parts, with numbers as programs write them: 1036.58 for what a part writes as 1.036,58.
pub(super) fn write_plain<'a>(parts: &[Part<'a>]) -> Vec<Cow<'a, Table>> {
    let plain = |part: &Part<'a>| {
        let notation = Notation::of(part.format);
        if notation == Notation::PLAIN {
            return Cow::Borrowed(part.table);
        }
        let mut rows = Rows::default();
        for row in part.table.rows.iter() {
            let cells = row.iter();
            let cells: Vec<Cow<'_, str>> = cells
                .map(|cell| notation.plain(cell).unwrap_or(Cow::Borrowed(cell)))
                .collect();
            rows.push(row.number(), cells.iter().map(AsRef::as_ref));
        }
        let columns = part.table.columns.clone();
        Cow::Owned(Table { columns, rows })
    };
    parts.iter().map(plain).collect()
}

/// The same parts with these tables.
pub(super) fn with_tables<'a>(parts: &[Part<'a>], tables: &'a [Cow<'_, Table>]) -> Vec<Part<'a>> {
    let pairs = parts.iter().zip(tables);
    pairs.map(|(part, table)| Part { table, ..*part }).collect()
}

// Only these functions know the layout of a table.

fn count_rows(table: &Table) -> usize {
    table.rows.len()
}

fn row_number(table: &Table, row: usize) -> Option<u64> {
    table.rows.get(row).map(RowCells::number)
}

/// The cells of a column of a table.
fn push_cells<'a>(table: &'a Table, name: &str, missing: &Missing, cells: &mut Vec<Option<&'a str>>) {
    let present = |text: &&str| !missing.has_text(text);
    match table.columns.iter().position(|known| known == name) {
        Some(index) => cells.extend(table.rows.column(index).map(|(_, cell)| cell.filter(present))),
        None => cells.extend((0..table.rows.len()).map(|_| None)),
    }
}

// === impl Column ===

impl<'a> Column<'a> {
    pub(super) fn new(name: &'a str, cells: Vec<Option<&'a str>>) -> Self {
        let mut kind = Kind::Integer;
        let mut numbers = Vec::with_capacity(cells.len());
        for cell in &cells {
            let Some(cell) = cell else {
                kind = Kind::Float;
                numbers.push(f64::NAN);
                continue;
            };
            let Some(value) = number(cell) else {
                return Self {
                    name,
                    kind: Kind::Text,
                    cells,
                    numbers: Vec::new(),
                };
            };
            if whole(cell).is_none() {
                kind = Kind::Float;
            }
            numbers.push(value);
        }
        Self {
            name,
            kind,
            cells,
            numbers,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn is_missing(&self, row: usize) -> bool {
        self.cells[row].is_none()
    }

    pub(super) fn is_numeric(&self) -> bool {
        self.kind != Kind::Text
    }

    /// The rows that have a value.
    pub(super) fn present(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        (0..self.len()).filter(|row| !self.is_missing(*row))
    }

    /// A number per row, NaN if it is missing.
    pub(super) fn numbers(&self) -> Result<&[f64], Raised> {
        if self.is_numeric() {
            Ok(&self.numbers)
        } else {
            Err(Raised(format!(
                "the column {:?} does not hold numbers",
                self.name
            )))
        }
    }

    /// The numbers that are there.
    pub(super) fn present_numbers(&self) -> Result<impl Iterator<Item = f64> + Clone + '_, Raised> {
        Ok(self.numbers()?.iter().copied().filter(|number| !number.is_nan()))
    }

    /// A text per row: none if it is missing.
    pub(super) fn texts(&self) -> Result<&[Option<&'a str>], Raised> {
        if self.is_numeric() {
            Err(Raised(format!("the column {:?} does not hold texts", self.name)))
        } else {
            Ok(&self.cells)
        }
    }

    /// The value as Python writes it.
    pub(super) fn text(&self, row: usize) -> Cow<'a, str> {
        match (self.kind, self.cells[row]) {
            (_, None) => "nan".into(),
            (Kind::Text, Some(cell)) => cell.into(),
            (Kind::Integer, Some(cell)) => whole(cell).unwrap_or_default().to_string().into(),
            (Kind::Float, Some(_)) => python_float(self.numbers[row]).into(),
        }
    }

    /// The value in JSON.
    pub(super) fn json(&self, row: usize) -> Value {
        match (self.kind, self.cells[row]) {
            (_, None) => Value::Null,
            (Kind::Text, Some(cell)) => cell.into(),
            (Kind::Integer, Some(cell)) => whole(cell).into(),
            (Kind::Float, Some(_)) => self.numbers[row].into(),
        }
    }

    pub(super) fn key(&self, row: usize) -> Key<'a> {
        match (self.kind, self.cells[row]) {
            (_, None) => Key::Missing,
            (Kind::Text, Some(cell)) => Key::Text(cell),
            (_, Some(cell)) => number_key(cell, self.numbers[row]),
        }
    }

    /// The value that a text of the spec stands for in this column: missing if it is empty, a number in a column of numbers.
    pub(super) fn key_of<'b>(&self, text: &'b str) -> Key<'b> {
        if text.is_empty() {
            return Key::Missing;
        }
        match number(text) {
            Some(value) if self.is_numeric() => number_key(text, value),
            _ => Key::Text(text),
        }
    }

    /// The same, in JSON.
    pub(super) fn json_of(&self, text: &str) -> Value {
        if text.is_empty() {
            return Value::Null;
        }
        match number(text) {
            Some(value) if self.is_numeric() => whole(text).map_or_else(|| value.into(), Value::from),
            _ => text.into(),
        }
    }
}

fn number_key<'a>(cell: &str, value: f64) -> Key<'a> {
    // The largest number up to which every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match whole(cell).filter(|_| value.abs() >= EXACT) {
        Some(whole) => Key::Whole(whole),
        // Zero has two signs.
        None => Key::Number((value + 0.0).to_bits()),
    }
}

/// The whole number in a cell.
pub(super) fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A number as Python writes it: the shortest digits that mean it, with an exponent if it is below -4 or above 15.
pub(super) fn python_float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut text = value.to_string();
    if !text.contains('.') {
        let _ = write!(text, ".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column<'a>(cells: &[&'a str]) -> Column<'a> {
        Column::new(
            "x",
            cells
                .iter()
                .map(|cell| Some(*cell).filter(|cell| !cell.is_empty()))
                .collect(),
        )
    }

    #[test]
    fn columns_are_typed_as_pandas_types_them() {
        assert_eq!(column(&["1", "-2", "+3"]).kind, Kind::Integer);
        assert_eq!(column(&["1", "", "3"]).kind, Kind::Float);
        assert_eq!(column(&["1", "2.5"]).kind, Kind::Float);
        assert_eq!(column(&["", ""]).kind, Kind::Float);
        assert_eq!(column(&["1", "x"]).kind, Kind::Text);
        assert_eq!(column(&["1", "", "3"]).text(0), "1.0");
        assert_eq!(column(&["007", "+5"]).text(0), "7");
        assert_eq!(column(&["007", "a"]).text(0), "007");
    }

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }

    #[test]
    fn whole_numbers_beyond_the_doubles_differ() {
        let large = column(&["9007199254740993", "9007199254740992", "9007199254740993"]);
        assert_ne!(large.key(0), large.key(1));
        assert_eq!(large.key(0), large.key(2));
        assert_eq!(large.key_of("9007199254740993"), large.key(0));
        assert_eq!(column(&["1", "2"]).key_of("1.0"), column(&["1", "2"]).key(0));
        assert_eq!(column(&["0.0", "-0"]).key(0), column(&["0.0", "-0"]).key(1));
    }
}
