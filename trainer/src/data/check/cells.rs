//! The cells of one column.

use modelward_crds::FeatureSpec;

use crate::data::{
    check::parts::{Cell, Parts, Place},
    number::Notation,
};

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

    pub(super) fn present(&self) -> impl Iterator<Item = (Place, &'a str)> + '_ {
        self.cells
            .iter()
            .filter_map(|(row, cell)| cell.map(|cell| (*row, cell)))
    }
}
