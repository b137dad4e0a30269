//! Rows that break one rule.

use modelward_wire::Violation;

use crate::data::{
    check::parts::{Parts, Place},
    table::Quote,
    violation::{cut, violation},
};

/// Values from the data are quoted up to this many characters.
const MAX_QUOTED: usize = 40;

/// Rows that break one rule.
#[derive(Default)]
pub(super) struct Broken<'a> {
    /// One entry per dataset that has such rows: its index, how many, the first one, its value.
    parts: Vec<(usize, u64, u64, &'a str)>,
}

// === impl Broken ===

impl<'a> Broken<'a> {
    pub(super) fn add(&mut self, (part, row): Place, cell: &'a str) {
        // Cells come part by part.
        match self.parts.last_mut() {
            Some((last, count, ..)) if *last == part => *count += 1,
            _ => self.parts.push((part, 1, row, cell)),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.parts.iter().map(|(_, count, ..)| count).sum()
    }

    pub(super) fn push(
        self,
        violations: &mut Vec<Violation>,
        parts: &Parts<'_>,
        column: &str,
        rule: &str,
        message: impl Fn(String, u64) -> String,
    ) {
        for (part, count, row, cell) in self.parts {
            let shown = match parts.quote(part) {
                Quote::Yes => quoted(cell),
                Quote::No => format!("the value of row {row}"),
            };
            let message = parts.in_file(parts.name(part), &message(shown, count));
            violations.push(violation(column, rule, message, count, Some(row)));
        }
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text, MAX_QUOTED))
}
