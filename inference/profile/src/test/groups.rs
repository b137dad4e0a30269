//! Joins bins into groups, for every test of values.
//!
//! More bins than the rows can fill only add noise. With n₀ = Nn/(N + n), bins are joined into at most max(4, n₀/10) groups
//! ([`most_groups`], [`coarse`]): ordered bins with their neighbours, and the rarest categories. The chi-square distribution
//! is accurate only if the expected count of each cell is at least five (Cochran, Biometrics 10, 1954), so [`dense`] joins
//! cells until this holds in the smaller sample. Joining uses only the pooled counts. Without drift the split into two samples
//! does not depend on them.

/// Groups are compared pairwise. More groups than this would take long without finding more.
const MOST_GROUPS: usize = 64;
/// This few groups can always be distinguished.
const FEWEST_GROUPS: usize = 4;
/// Rows (as n₀) for each group beyond these.
const ROWS_A_GROUP: f64 = 10.0;
/// Expected values of the smaller sample in each cell of a chi-square test.
const EXPECTED_IN_CELL: u64 = 5;

/// All values in these slots.
pub(crate) fn present(slots: &[u64]) -> u64 {
    slots.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))
}

/// Counts of one group in both samples. Wide, because groups are sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) reference: u128,
    pub(super) window: u128,
}

impl Cell {
    /// Values of both samples together.
    pub(super) fn pooled(self) -> u128 {
        self.reference + self.window
    }

    /// The sums of two cells.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            reference: self.reference + other.reference,
            window: self.window + other.window,
        }
    }
}

/// The cells that are not empty.
pub(super) fn cells(reference: &[u64], window: &[u64]) -> Vec<Cell> {
    reference
        .iter()
        .zip(window)
        .map(|(reference, window)| Cell {
            reference: u128::from(*reference),
            window: u128::from(*window),
        })
        .filter(|cell| cell.pooled() > 0)
        .collect()
}

/// Maximum number of groups that samples of these sizes can fill. `inverse` is 1/n₀.
pub(super) fn most_groups(inverse: f64) -> usize {
    ((1.0 / inverse / ROWS_A_GROUP) as usize).clamp(FEWEST_GROUPS, MOST_GROUPS)
}

/// All cells joined into one.
pub(super) fn total(cells: &[Cell]) -> Cell {
    cells.iter().copied().fold(
        Cell {
            reference: 0,
            window: 0,
        },
        Cell::and,
    )
}

/// Whether the expected count of a cell in the smaller sample is large enough.
pub(super) fn full(all: Cell) -> impl Fn(Cell) -> bool {
    let smaller = all.reference.min(all.window) as f64 / all.pooled() as f64;
    move |cell| cell.pooled() as f64 * smaller >= EXPECTED_IN_CELL as f64
}

/// The cells joined into at most `most` groups.
pub(super) fn coarse(cells: Vec<Cell>, ordered: bool, most: usize) -> Vec<Cell> {
    if cells.len() <= most {
        return cells;
    }
    if !ordered {
        return lump(cells, |kept, _| kept < most - 1);
    }
    // Each cell goes into the group in which its middle lies, among `most` equal shares of the pooled counts.
    let twice = 2 * total(&cells).pooled();
    let mut before = 0;
    let mut groups: Vec<(u128, Cell)> = Vec::with_capacity(most);
    for cell in cells {
        let middle = 2 * before + cell.pooled();
        before += cell.pooled();
        let at = (middle as f64 / twice as f64 * most as f64) as u128;
        match groups.last_mut() {
            Some((last, group)) if *last == at => *group = group.and(cell),
            _ => groups.push((at, cell)),
        }
    }
    groups.into_iter().map(|(_, cell)| cell).collect()
}

/// The cells joined until the expected count of each in the smaller sample is large enough.
pub(super) fn dense(cells: Vec<Cell>, ordered: bool) -> Vec<Cell> {
    let is_full = full(total(&cells));
    if !ordered {
        return lump(cells, |_, cell| is_full(cell));
    }
    let mut groups: Vec<Cell> = Vec::with_capacity(cells.len());
    let mut open: Option<Cell> = None;
    for cell in cells {
        let joined = open.map_or(cell, |open| open.and(cell));
        open = if is_full(joined) {
            groups.push(joined);
            None
        } else {
            Some(joined)
        };
    }
    if let Some(rest) = open {
        match groups.last_mut() {
            Some(last) => *last = last.and(rest),
            None => groups.push(rest),
        }
    }
    groups
}

/// Keeps the largest cells while `keep` (number of kept cells, next cell) is true, and joins the others into one.
///
/// If the joined cell itself would not be kept, the smallest kept cell is joined with it.
fn lump(mut cells: Vec<Cell>, keep: impl Fn(usize, Cell) -> bool) -> Vec<Cell> {
    // Equally large cells keep the order of the bins, because the sort is stable.
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.pooled()));
    let kept = cells
        .iter()
        .enumerate()
        .take_while(|(index, cell)| keep(*index, **cell))
        .count();
    let mut groups = cells;
    let rest = groups.split_off(kept);
    if !rest.is_empty() {
        let joined = total(&rest);
        match groups.last_mut() {
            // `kept - 1` others stay, so that the joined cell is tested by its size and not by its position.
            Some(last) if !keep(kept.saturating_sub(1), joined) => *last = last.and(joined),
            _ => groups.push(joined),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_compared_in_few_groups() {
        let reference = vec![40; 64];
        let groups = |window: u64| {
            let window: Vec<u64> = vec![window; 64];
            let cells = cells(&reference, &window);
            let all = total(&cells);
            let most = most_groups(1.0 / all.reference as f64 + 1.0 / all.window as f64);
            coarse(cells, true, most).len()
        };
        assert_eq!([1, 10, 40].map(groups), [6, 51, 64]);
    }

    #[test]
    fn groups_of_ordered_bins_are_neighbours_and_of_words_the_rarest() {
        let cell = |reference, window| Cell { reference, window };
        let ordered = coarse(vec![cell(5, 0), cell(5, 0), cell(0, 5), cell(5, 0)], true, 2);
        assert_eq!(ordered, [cell(10, 0), cell(5, 5)]);
        let words = coarse(vec![cell(1, 0), cell(9, 0), cell(0, 2), cell(5, 0)], false, 3);
        assert_eq!(words, [cell(9, 0), cell(5, 0), cell(1, 2)]);
        let dense_words = dense(vec![cell(50, 50), cell(20, 20), cell(1, 1), cell(0, 1)], false);
        assert_eq!(dense_words, [cell(50, 50), cell(21, 22)]);
    }
}
