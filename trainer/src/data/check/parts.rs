//! The files of a dataset, read as one table.

use std::collections::BTreeSet;

use modelward_crds::TrainingSource;

use crate::data::{
    table::{Quote, Table},
    violation::cut,
};

/// Names of datasets are given up to this many characters.
pub(super) const MAX_NAME: usize = 60;

/// One file that rows were read from.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// How violations name it.
    pub name: &'a str,
    /// Its rows.
    pub table: &'a Table,
    /// Texts that mean "missing" in it, beside the empty text.
    pub missing: &'a [String],
    /// Whether its content may be quoted.
    pub quote: Quote,
}

/// Where a cell is: the dataset's index, and the number of the row in it.
pub(super) type Place = (usize, u64);

/// A cell, `None` where it is missing.
pub(super) type Cell<'a> = (Place, Option<&'a str>);

/// All parts, as one table.
pub(super) struct Parts<'a> {
    pub(super) all: &'a [Part<'a>],
    missing: Vec<BTreeSet<&'a str>>,
}

// === impl Parts ===

impl<'a> Parts<'a> {
    pub(super) fn new(parts: &'a [Part<'a>]) -> Self {
        let missing = |part: &Part<'a>| part.missing.iter().map(|text| text.trim()).collect();
        Self {
            all: parts,
            missing: parts.iter().map(missing).collect(),
        }
    }

    /// The columns, in the first part's order.
    pub(super) fn columns(&self) -> &'a [String] {
        self.all.first().map_or(&[], |part| &part.table.columns)
    }

    /// Whether a part comes from an address and lacks the target: it may be anything but the dataset.
    pub(super) fn are_foreign(&self, training: &TrainingSource) -> bool {
        let target = &training.target.column;
        let foreign = |part: &Part<'_>| part.quote == Quote::No && !part.table.columns.contains(target);
        self.all.iter().any(foreign)
    }

    /// The message, with the dataset's name before it where there are several.
    pub(super) fn in_file(&self, name: &str, message: &str) -> String {
        if self.all.len() > 1 {
            format!("{}: {message}", cut(name, MAX_NAME))
        } else {
            message.to_owned()
        }
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
            let present = |text: &&str| !text.is_empty() && !missing.contains(text);
            let rows = part.table.rows.iter();
            cells.extend(rows.map(|row| ((at, row.number), row.cells.get(index).filter(present))));
        }
        cells
    }
}
