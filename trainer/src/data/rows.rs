//! The text cells of a table: four bytes per cell besides its text.

use std::sync::Arc;

/// Rows of a block. The texts of a column in a block are one text, which grows while the block is filled and is then cut to its length.
const BLOCK: usize = 1 << 16;

/// The rows of a table, each with as many cells as the table has columns.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    numbers: Arc<Vec<u64>>,
    /// All have [`BLOCK`] rows, except for the last one.
    blocks: Vec<Block>,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct RowCells<'a> {
    rows: &'a Rows,
    index: usize,
}

/// By column.
type Block = Vec<Texts>;

/// Texts, one after the other. A file has fewer bytes than 32 bits count ([`MAX_BYTES`](super::source::MAX_BYTES)).
#[derive(Clone, Debug, Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

// === impl Rows ===

impl Rows {
    /// Adds a row. All rows have as many cells as the first.
    pub fn push<'a>(&mut self, number: u64, cells: impl IntoIterator<Item = &'a str>) {
        if self.numbers.len().is_multiple_of(BLOCK) {
            self.blocks
                .iter_mut()
                .rev()
                .take(1)
                .flatten()
                .for_each(Texts::shrink);
            let columns = self.blocks.first().map_or(0, Vec::len);
            self.blocks.push(vec![Texts::default(); columns]);
        }
        Arc::make_mut(&mut self.numbers).push(number);
        let is_first = self.numbers.len() == 1;
        let Some(block) = self.blocks.last_mut() else {
            return;
        };
        for (at, cell) in cells.into_iter().enumerate() {
            if is_first {
                block.push(Texts::default());
            }
            if let Some(texts) = block.get_mut(at) {
                texts.push(cell);
            }
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The row at this place, from 0.
    pub fn get(&self, index: usize) -> Option<RowCells<'_>> {
        (index < self.len()).then_some(RowCells { rows: self, index })
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowCells<'_>> + Clone {
        (0..self.len()).map(|index| RowCells { rows: self, index })
    }

    /// The number of each row, and its cell in this column.
    pub fn column(&self, column: usize) -> impl Iterator<Item = (u64, Option<&str>)> {
        let blocks = self.blocks.iter().zip(self.numbers.chunks(BLOCK));
        let cells = blocks.flat_map(move |(block, numbers)| {
            let texts = block.get(column);
            (0..numbers.len()).map(move |row| texts.and_then(|texts| texts.get(row)))
        });
        self.numbers.iter().copied().zip(cells)
    }

    /// Moves this column out of these rows, into rows with this column alone.
    #[must_use]
    pub fn take_column(&mut self, column: usize) -> Self {
        let take = |block: &mut Block| block.get_mut(column).map(std::mem::take).into_iter().collect();
        Self {
            numbers: Arc::clone(&self.numbers),
            blocks: self.blocks.iter_mut().map(take).collect(),
        }
    }
}

// === impl RowCells ===

impl<'a> RowCells<'a> {
    /// Its number, the first data row being 1. Blank lines do not count.
    pub fn number(self) -> u64 {
        self.rows.numbers.get(self.index).copied().unwrap_or_default()
    }

    /// Its cell in this column, without surrounding blanks.
    pub fn get(self, column: usize) -> Option<&'a str> {
        let block = self.rows.blocks.get(self.index / BLOCK)?;
        block.get(column)?.get(self.index % BLOCK)
    }

    /// All cells.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..).map_while(move |column| self.get(column))
    }
}

// === impl Texts ===

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    fn get(&self, row: usize) -> Option<&str> {
        let end = *self.ends.get(row)?;
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before));
        self.text
            .get(start.map_or(0, |start| *start as usize)..end as usize)
    }

    /// Frees unused memory, with a copy: the allocator shrinks a block in place if more than half of it is used, and keeps the rest.
    fn shrink(&mut self) {
        self.text = self.text.as_str().to_owned();
        self.ends = self.ends.as_slice().to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_row_and_by_column_over_blocks() {
        let mut rows = Rows::default();
        let count = BLOCK + 3;
        for row in 0..count {
            let text = row.to_string();
            rows.push(row as u64 + 1, [text.as_str(), "é", ""]);
        }
        assert_eq!(rows.len(), count);
        for index in [0, 1, BLOCK - 1, BLOCK, count - 1] {
            let row = rows.get(index).unwrap();
            assert_eq!(row.number(), index as u64 + 1);
            assert_eq!(
                row.iter().collect::<Vec<_>>(),
                [index.to_string().as_str(), "é", ""]
            );
        }
        assert!(rows.get(count).is_none());
        let (numbers, cells): (Vec<u64>, Vec<Option<&str>>) = rows.column(0).unzip();
        assert_eq!(numbers, (1..=count as u64).collect::<Vec<_>>());
        assert_eq!(cells[BLOCK], Some(BLOCK.to_string().as_str()));
        assert!(rows.column(3).all(|(_, cell)| cell.is_none()));
    }

    #[test]
    fn a_column_is_taken_out_and_the_others_stay() {
        let mut rows = Rows::default();
        for row in 0..BLOCK as u64 + 2 {
            rows.push(row * 2, ["a", row.to_string().as_str()]);
        }
        let taken = rows.take_column(0);
        assert_eq!(taken.len(), rows.len());
        assert!(taken.column(0).all(|(_, cell)| cell == Some("a")));
        assert!(rows.column(0).all(|(_, cell)| cell.is_none()));
        let last = rows.column(1).last();
        assert_eq!(last, Some((2 * BLOCK as u64 + 2, Some("65537"))));
    }

    #[test]
    fn rows_of_no_cells_are_counted() {
        let mut rows = Rows::default();
        rows.push(1, []);
        rows.push(2, []);
        assert_eq!((rows.len(), rows.get(1).unwrap().iter().count()), (2, 0));
    }
}
