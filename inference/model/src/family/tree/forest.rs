//! The trees of both libraries, and the walk through them.
//!
//! ```text
//! node   threshold: f32                     right unless column <= threshold
//!        link: | left | column | category | children are adjacent: right = left + 1
//! leaf   its number as the threshold, column 0 (minus infinity), left = itself, so a walk stays at a leaf
//! ```
//!
//! Eight walks take each step together, so that a processor loads eight nodes at once: eight trees for one row, or one
//! tree for eight rows. In both cases leaves are added in the order of the trees, so a score does not depend on how rows
//! are batched.

use std::cell::RefCell;

use super::columns::Columns;
use crate::schema::Row;

/// Walks that take each step together.
const LANES: usize = 8;

/// Numbers of a block of rows. They fit into the L2 cache, and each tree is loaded once for all rows of the block.
const BLOCK_NUMBERS: usize = 32 << 10;

/// Maximum width of rows that are filled on the stack. Wider rows use a buffer of the thread.
const NARROW: usize = 64;
const WIDE: usize = 512;

thread_local! {
    static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Trees whose leaves are added. Immutable, and can be used from any number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub(super) nodes: Vec<Node>,
    pub(super) trees: Vec<Tree>,
    pub(super) leaves: Vec<f64>,
    /// Words of the sets of categories, if any set has more than one. The first word belongs to no set.
    pub(super) sets: Vec<u32>,
    pub(super) columns: Columns,
    pub(super) layout: Layout,
    pub(super) sum: Sum,
}

/// How leaves are added in the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sum {
    /// In double precision, starting at 0.
    Double,
    /// In single precision, starting at this number.
    Single(f32),
}

/// A node of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Node {
    /// The bits of the threshold. For a node with categories, its set or the position of the set's first word: see [`Sets`].
    pub(super) threshold: u32,
    pub(super) link: u32,
}

/// The layout of a node's link, with as many bits for the column as the forest needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) left_shift: u32,
    pub(super) column_mask: u32,
    pub(super) sets: Sets,
}

/// Where the sets of categories are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sets {
    /// There are none.
    None,
    /// Each set is one word and is stored in its node.
    InNodes,
    /// In [`Forest::sets`].
    InTable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tree {
    /// Index of its root among the nodes.
    pub(super) root: usize,
    /// Index of its first leaf among the leaves.
    pub(super) leaves: usize,
    /// Steps from the root to its deepest leaf.
    pub(super) depth: u32,
}

// === impl Forest ===

impl Forest {
    /// The sum of the leaves that the row reaches.
    pub fn raw(&self, row: &Row) -> f64 {
        match self.columns.width() {
            width if width <= NARROW => self.raw_on_stack::<NARROW>(row),
            width if width <= WIDE => self.raw_on_stack::<WIDE>(row),
            width => BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(width.max(buffer.len()), 0.0);
                self.columns.fill(row, buffer);
                self.add_trees(|column| buffer[column])
            }),
        }
    }

    /// Appends the sum of each row, with the same bits as [`Self::raw`].
    pub fn raw_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        let width = self.columns.width();
        let height = (BLOCK_NUMBERS / width).max(LANES).min(rows.len().max(1));
        let mut block = vec![0.0_f32; width * height];
        let mut sums = vec![0.0; height];
        out.reserve(rows.len());
        for rows in rows.chunks(height) {
            for (row, filled) in rows.iter().zip(block.chunks_exact_mut(width)) {
                self.columns.fill(row, filled);
            }
            let sums = &mut sums[..rows.len()];
            sums.fill(self.sum.start());
            for tree in &self.trees {
                for (group, sums) in sums.chunks_mut(LANES).enumerate() {
                    // Lanes without a row walk with the first one.
                    let offset: [usize; LANES] = std::array::from_fn(|lane| {
                        let lane = if lane < sums.len() { lane } else { 0 };
                        (group * LANES + lane) * width
                    });
                    let places = self.walk([tree.root; LANES], tree.depth, |lane, column| {
                        block[offset[lane] + column]
                    });
                    for (sum, place) in sums.iter_mut().zip(places) {
                        *sum = self.sum.add(*sum, self.leaf(tree, place));
                    }
                }
            }
            out.extend_from_slice(sums);
        }
    }

    /// How many trees there are.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    fn raw_on_stack<const WIDTH: usize>(&self, row: &Row) -> f64 {
        let mut filled = [0.0; WIDTH];
        self.columns.fill(row, &mut filled);
        // Columns are always below the width. The remainder makes this visible to the compiler.
        self.add_trees(|column| filled[column % WIDTH])
    }

    fn add_trees(&self, column: impl Fn(usize) -> f32) -> f64 {
        let mut sum = self.sum.start();
        for group in self.trees.chunks(LANES) {
            // Lanes without a tree walk with the first one.
            let roots = std::array::from_fn(|lane| group.get(lane).unwrap_or(&group[0]).root);
            let depth = group.iter().map(|tree| tree.depth).max().unwrap_or_default();
            let places = self.walk(roots, depth, |_, at| column(at));
            for (tree, place) in group.iter().zip(places) {
                sum = self.sum.add(sum, self.leaf(tree, place));
            }
        }
        sum
    }

    fn leaf(&self, tree: &Tree, place: usize) -> f64 {
        self.leaves[tree.leaves + f32::from_bits(self.nodes[place].threshold) as usize]
    }

    /// The nodes that walks from these roots reach after this number of steps, or earlier if all are at leaves.
    #[inline]
    fn walk(
        &self,
        roots: [usize; LANES],
        depth: u32,
        column: impl Fn(usize, usize) -> f32,
    ) -> [usize; LANES] {
        match self.layout.sets {
            Sets::None => self.walk_by(roots, depth, column, |above, _, _| above),
            Sets::InNodes => self.walk_by(roots, depth, column, |above, node, code| {
                choose_answer(node, above, node.threshold >> (code % 32))
            }),
            Sets::InTable => self.walk_by(roots, depth, column, |above, node, code| {
                // Nodes without a set use the first word.
                let place = node.threshold.wrapping_add(code / 32) & (node.link & 1).wrapping_neg();
                choose_answer(node, above, self.sets[place as usize] >> (code % 32))
            }),
        }
    }

    #[inline]
    fn walk_by(
        &self,
        roots: [usize; LANES],
        depth: u32,
        column: impl Fn(usize, usize) -> f32,
        goes_right: impl Fn(bool, Node, u32) -> bool,
    ) -> [usize; LANES] {
        let mut places = roots;
        let mut steps = depth.min(8);
        let mut remaining = depth - steps;
        loop {
            for _ in 0..steps {
                for lane in 0..LANES {
                    let node = self.nodes[places[lane]];
                    let number = column(lane, self.layout.column(node));
                    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN goes right")]
                    let above = !(number <= f32::from_bits(node.threshold));
                    let right = goes_right(above, node, number.to_bits());
                    places[lane] = roots[lane] + self.layout.left(node) + usize::from(right);
                }
            }
            let at_leaf = |lane: usize| self.layout.column(self.nodes[places[lane]]) == 0;
            if remaining == 0 || (0..LANES).all(at_leaf) {
                return places;
            }
            steps = remaining.min(4);
            remaining -= steps;
        }
    }
}

/// Whether a walk goes right: `above` at a node with a number, the lowest bit of `in_set` at a node with categories. Both
/// are computed, so that there is no branch to predict.
#[inline]
fn choose_answer(node: Node, above: bool, in_set: u32) -> bool {
    let is_set = node.link & 1;
    (in_set & is_set) | (u32::from(above) & !is_set) == 1
}

// === impl Sum ===

impl Sum {
    fn start(self) -> f64 {
        match self {
            Self::Double => 0.0,
            Self::Single(start) => f64::from(start),
        }
    }

    #[inline]
    fn add(self, sum: f64, leaf: f64) -> f64 {
        match self {
            Self::Double => sum + leaf,
            // Both are single-precision numbers.
            Self::Single(_) => f64::from(sum as f32 + leaf as f32),
        }
    }
}

// === impl Layout ===

impl Layout {
    pub(super) fn link(self, left: u32, column: u32, is_set: bool) -> u32 {
        left << self.left_shift | column << 1 | u32::from(is_set)
    }

    #[inline]
    fn column(self, node: Node) -> usize {
        (node.link >> 1 & self.column_mask) as usize
    }

    #[inline]
    fn left(self, node: Node) -> usize {
        (node.link >> self.left_shift) as usize
    }
}
