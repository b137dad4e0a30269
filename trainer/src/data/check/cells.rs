//! The cells of one column.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use modelward_crds::FeatureSpec;

use crate::data::{
    check::parts::{Cell, Parts, Place},
    number::Notation,
};

/// The largest integer below which every integer is a double.
const LARGEST_EXACT: u64 = 1 << 53;

/// One column while it is checked.
pub(super) struct Column<'a> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) name: &'a str,
    pub(super) spec: Option<&'a FeatureSpec>,
    pub(super) cells: Vec<Cell<'a>>,
}

// === impl Column ===

impl<'a> Column<'a> {
    /// The number in a cell.
    pub(super) fn number(&self, (part, _): Place, cell: &str) -> Option<f64> {
        self.notation(part).number(cell)
    }

    /// How numbers of a part are written.
    pub(super) fn notation(&self, part: usize) -> Notation {
        self.parts.notation(part)
    }

    /// How many different values the source has, before they are converted.
    pub(super) fn count_distinct(&self) -> u64 {
        // Keys, because the texts of millions of rows take too much memory.
        let mut keys: Vec<u64> = self
            .present()
            .map(|(place, cell)| self.key(place, cell))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len() as u64
    }

    /// A key that is equal if the values are equal: numbers by value, integers that no double represents by their digits, and words.
    pub(super) fn key(&self, (part, row): Place, cell: &str) -> u64 {
        let word = self.notation(part).category(cell);
        match self.number((part, row), cell) {
            Some(number) if !is_large(&word) => (number + 0.0).to_bits(),
            _ => {
                let mut hasher = DefaultHasher::new();
                word.hash(&mut hasher);
                hasher.finish()
            }
        }
    }

    pub(super) fn present(&self) -> impl Iterator<Item = (Place, &'a str)> + '_ {
        self.cells
            .iter()
            .filter_map(|(row, cell)| cell.map(|cell| (*row, cell)))
    }
}

/// Whether a word is an integer over 2^53.
pub(super) fn is_large(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits
            .parse::<u64>()
            .map_or(true, |number| number > LARGEST_EXACT)
}
