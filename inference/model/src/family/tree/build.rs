//! Lays out the trees of a file for the walk, and checks them.

use super::{
    TreeError,
    columns::{CategorySet, ColumnsBuilder, View},
    forest::{Forest, Layout, Node, Sets, Sum, Tree},
};
use crate::schema::FeatureSchema;

/// A forest may have no more trees.
pub(super) const MAX_TREES: usize = 100_000;

/// A tree may have no more nodes, leaves included.
pub(super) const MAX_NODES: usize = 1 << 20;

/// Words of all sets of categories together: 64 MiB.
const MAX_SET_WORDS: usize = 1 << 24;

/// A node as a file has it. Children are places in the tree's list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FileNode {
    Leaf(f64),
    /// Left where the number is at most the threshold.
    Number {
        feature: usize,
        view: View,
        threshold: f32,
        children: [usize; 2],
    },
    Category {
        feature: usize,
        set: CategorySet,
        children: [usize; 2],
    },
}

/// Collects trees.
pub(super) struct ForestBuilder<'a> {
    pub(super) columns: ColumnsBuilder<'a>,
    nodes: Vec<PlacedNode>,
    trees: Vec<Tree>,
    leaves: Vec<f64>,
    /// The first word is of no set.
    sets: Vec<u32>,
    wide_sets: bool,
    sum: Sum,
    largest_leaf: f64,
    most_nodes: usize,
}

#[derive(Clone, Copy)]
struct PlacedNode {
    threshold: f32,
    left: u32,
    column: u32,
    is_set: bool,
}

// === impl ForestBuilder ===

impl<'a> ForestBuilder<'a> {
    /// A forest without trees. No leaf may be larger than `largest_leaf`.
    pub(super) fn new(schema: &'a FeatureSchema, sum: Sum, tiny_is_zero: bool, largest_leaf: f64) -> Self {
        Self {
            columns: ColumnsBuilder::new(schema, tiny_is_zero),
            nodes: Vec::new(),
            trees: Vec::new(),
            leaves: Vec::new(),
            sets: vec![0],
            wide_sets: false,
            sum,
            largest_leaf,
            most_nodes: 1,
        }
    }

    /// Adds a tree, whose root is the first of `nodes`. Those that the root does not lead to are left out.
    pub(super) fn add_tree(&mut self, nodes: &[FileNode]) -> Result<(), TreeError> {
        let tree = self.trees.len();
        if tree == MAX_TREES {
            return Err(TreeError::file(format!("it has more than {MAX_TREES} trees")));
        }
        if nodes.is_empty() || nodes.len() > MAX_NODES {
            return Err(TreeError::tree(
                tree,
                format!("it has {} nodes, from 1 to {MAX_NODES} are read", nodes.len()),
            ));
        }
        let (root, first_leaf) = (self.nodes.len(), self.leaves.len());
        // Breadth first: the nodes that every row passes are together.
        let mut order = vec![(0_usize, 0_u32)];
        let mut seen = vec![false; nodes.len()];
        seen[0] = true;
        let mut place = 0;
        while let Some(&(at, depth)) = order.get(place) {
            let left = order.len() as u32;
            let fail = |what| TreeError::node(tree, at, what);
            let children = match &nodes[at] {
                FileNode::Leaf(value) => {
                    self.place_leaf(*value, first_leaf, place).map_err(fail)?;
                    None
                }
                FileNode::Number {
                    feature,
                    view,
                    threshold,
                    children,
                } => {
                    self.place_number(*feature, *view, *threshold, left)
                        .map_err(fail)?;
                    Some(children)
                }
                FileNode::Category {
                    feature,
                    set,
                    children,
                } => {
                    self.place_category(*feature, set, left).map_err(fail)?;
                    Some(children)
                }
            };
            for child in children.into_iter().flatten() {
                match seen.get_mut(*child) {
                    Some(seen) if !*seen => *seen = true,
                    Some(_) => {
                        return Err(fail(format!(
                            "its child {child} has another parent or is the root"
                        )));
                    }
                    None => return Err(fail(format!("it has a child {child} that is not there"))),
                }
                order.push((*child, depth + 1));
            }
            place += 1;
        }
        self.most_nodes = self.most_nodes.max(order.len());
        self.trees.push(Tree {
            root,
            leaves: first_leaf,
            depth: order.last().map_or(0, |(_, depth)| *depth),
        });
        Ok(())
    }

    /// Packs the nodes.
    pub(super) fn finish(self) -> Result<Forest, TreeError> {
        if self.trees.is_empty() {
            return Err(TreeError::file("it has no trees".to_owned()));
        }
        let columns = self.columns.finish();
        let column_bits = usize::BITS - (columns.width() - 1).leading_zeros();
        let left_bits = usize::BITS - (self.most_nodes - 1).leading_zeros();
        if 1 + column_bits + left_bits > u32::BITS {
            return Err(TreeError::file(format!(
                "it has {} columns and a tree of {} nodes, their product is too large",
                columns.width(),
                self.most_nodes
            )));
        }
        let layout = Layout {
            left_shift: 1 + column_bits,
            column_mask: (1 << column_bits) - 1,
            sets: match (self.sets.len(), self.wide_sets) {
                (1, _) => Sets::None,
                (_, false) => Sets::InNodes,
                (_, true) => Sets::InTable,
            },
        };
        let sets = self.sets;
        let pack = |node: PlacedNode| Node {
            threshold: if node.is_set && layout.sets == Sets::InNodes {
                f32::from_bits(sets[node.threshold.to_bits() as usize])
            } else {
                node.threshold
            },
            link: layout.link(node.left, node.column, node.is_set),
        };
        Ok(Forest {
            nodes: self.nodes.into_iter().map(pack).collect(),
            trees: self.trees,
            leaves: self.leaves,
            sets: if layout.sets == Sets::InTable {
                sets
            } else {
                Vec::new()
            },
            columns,
            layout,
            sum: self.sum,
        })
    }

    /// A set for a feature, with none of its categories in it.
    pub(super) fn new_set(&self, feature: usize) -> Result<(CategorySet, usize), String> {
        let categories = self.columns.count_categories(feature)?;
        Ok((CategorySet::new(categories), categories))
    }

    fn place_leaf(&mut self, value: f64, first_leaf: usize, place: usize) -> Result<(), String> {
        if !value.is_finite() || value.abs() > self.largest_leaf {
            return Err(format!(
                "leaf value {value:e} is not finite or larger than {:e}",
                self.largest_leaf
            ));
        }
        self.nodes.push(PlacedNode {
            // Exact: a tree has fewer leaves than single precision has whole numbers.
            threshold: (self.leaves.len() - first_leaf) as f32,
            left: place as u32,
            column: 0,
            is_set: false,
        });
        self.leaves.push(value);
        Ok(())
    }

    fn place_number(&mut self, feature: usize, view: View, threshold: f32, left: u32) -> Result<(), String> {
        if threshold.is_nan() {
            return Err("its threshold is not a number".to_owned());
        }
        let column = self.columns.find_or_add(feature, view)?;
        self.nodes.push(PlacedNode {
            threshold,
            left,
            column,
            is_set: false,
        });
        Ok(())
    }

    fn place_category(&mut self, feature: usize, set: &CategorySet, left: u32) -> Result<(), String> {
        let place = self.sets.len();
        if place + set.words().len() > MAX_SET_WORDS {
            return Err("sets of categories together are too large".to_owned());
        }
        let column = self.columns.find_or_add(feature, View::Code)?;
        self.sets.extend(set.words());
        self.wide_sets |= set.words().len() > 1;
        self.nodes.push(PlacedNode {
            threshold: f32::from_bits(place as u32),
            left,
            column,
            is_set: true,
        });
        Ok(())
    }
}
