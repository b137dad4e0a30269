//! The files of a dataset, read as one table.

use modelward_crds::{CsvFormat, TrainingSource};
use modelward_model::Missing;

use crate::data::{
    number::{Notation, number},
    table::{Quote, Table},
    violation::cut,
};

/// Names of datasets are cut to this many characters.
pub(super) const MAX_NAME: usize = 60;

/// One file that rows were read from.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// How violations name it.
    pub name: &'a str,
    /// Its rows.
    pub table: &'a Table,
    /// How it is written.
    pub format: &'a CsvFormat,
    /// Whether its content may be quoted.
    pub quote: Quote,
}

/// One file whose rows are freed while they are checked.
#[derive(Debug)]
pub struct OwnedPart<'a> {
    /// How violations name it.
    pub name: &'a str,
    /// Its rows.
    pub table: Table,
    /// How it is written.
    pub format: &'a CsvFormat,
    /// Whether its content may be quoted.
    pub quote: Quote,
}

/// The place of a cell: the dataset's index, and the number of the row in it.
pub(super) type Place = (usize, u64);

/// A cell, `None` if it is missing.
pub(super) type Cell<'a> = (Place, Option<&'a str>);

/// All parts, as one table.
pub(super) struct Parts<'a> {
    pub(super) all: &'a [Part<'a>],
    missing: Vec<Missing>,
    notations: Vec<Notation>,
}

// === impl OwnedPart ===

impl<'a> OwnedPart<'a> {
    /// The same, borrowed.
    pub(super) fn part(&self) -> Part<'_> {
        Part {
            name: self.name,
            table: &self.table,
            format: self.format,
            quote: self.quote,
        }
    }

    /// Moves the texts of this column into a new part, which has no column if there is no such one.
    pub(super) fn take_column(&mut self, name: &str) -> OwnedPart<'a> {
        let at = self.table.columns.iter().position(|column| column == name);
        let table = at.map(|at| Table {
            columns: vec![name.to_owned()],
            rows: self.table.rows.take_column(at),
        });
        OwnedPart {
            table: table.unwrap_or_default(),
            ..*self
        }
    }
}

// === impl Parts ===

impl<'a> Parts<'a> {
    pub(super) fn new(parts: &'a [Part<'a>]) -> Self {
        let notations: Vec<Notation> = parts.iter().map(|part| Notation::of(part.format)).collect();
        let missing = parts
            .iter()
            .zip(&notations)
            .map(|(part, notation)| notation.missing(&part.format.missing));
        Self {
            all: parts,
            missing: missing.collect(),
            notations,
        }
    }

    /// The columns, in the first part's order.
    pub(super) fn columns(&self) -> &'a [String] {
        self.all.first().map_or(&[], |part| &part.table.columns)
    }

    /// Whether a part comes from an address and lacks the target: it may be something else than the dataset.
    pub(super) fn are_foreign(&self, training: &TrainingSource) -> bool {
        let target = &training.target.column;
        let foreign = |part: &Part<'_>| part.quote == Quote::No && !part.table.columns.contains(target);
        self.all.iter().any(foreign)
    }

    /// The message, prefixed with the dataset's name if there are several.
    pub(super) fn in_file(&self, name: &str, message: &str) -> String {
        if self.all.len() > 1 {
            format!("{}: {message}", cut(name, MAX_NAME))
        } else {
            message.to_owned()
        }
    }

    /// How a part writes numbers.
    pub(super) fn notation(&self, part: usize) -> Notation {
        self.notations.get(part).copied().unwrap_or(Notation::PLAIN)
    }

    /// What means "missing" in a request: what does in the first part, and the words of the others. A number that means it only in another
    /// part may be a value.
    pub(super) fn missing(&self) -> Missing {
        let first = self.missing.first().map_or(&[][..], Missing::texts).iter();
        let others = self.missing.iter().skip(1).flat_map(Missing::texts);
        Missing::new(first.chain(others.filter(|text| number(text).is_none())))
    }

    /// Whether the first part calls a word missing, with a number in its plain form. Requests are read as the first part is.
    pub(super) fn is_missing_word(&self, word: &str) -> bool {
        self.missing.first().is_some_and(|missing| missing.has_text(word))
    }

    /// Whether the content of every part may be quoted.
    pub(super) fn may_quote(&self) -> bool {
        self.all.iter().all(|part| part.quote == Quote::Yes)
    }

    pub(super) fn quote(&self, part: usize) -> Quote {
        self.all.get(part).map_or(Quote::No, |part| part.quote)
    }

    pub(super) fn name(&self, part: usize) -> &'a str {
        self.all.get(part).map_or("", |part| part.name)
    }

    /// The cells of a column, of every part that has it.
    pub(super) fn cells(&self, column: &str) -> Vec<Cell<'a>> {
        let mut cells = Vec::new();
        for (at, (part, missing)) in self.all.iter().zip(&self.missing).enumerate() {
            let Some(index) = part.table.columns.iter().position(|name| name == column) else {
                continue;
            };
            let notation = self.notation(at);
            let present = |text: &&str| !notation.is_missing(text, missing);
            let column = part.table.rows.column(index);
            cells.extend(column.map(|(number, cell)| ((at, number), cell.filter(present))));
        }
        cells
    }
}
