//! Checks the trees of a file and lays them out for the walk.

use super::{
    columns::{CategorySet, ColumnsBuilder, View},
    error::TreeError,
    forest::{Forest, Layout, Node, Sets, Sum, Tree},
};
use crate::schema::FeatureSchema;

/// Maximum number of trees of a forest.
pub(super) const MAX_TREES: usize = 100_000;

/// Maximum number of nodes of a tree, including leaves.
pub(super) const MAX_NODES: usize = 1 << 20;

/// Maximum number of words of all sets of categories: 64 MiB.
const MAX_SET_WORDS: usize = 1 << 24;

/// A node of a file. Children are indices of the tree's list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FileNode {
    Leaf(f64),
    /// Goes left if the number is at most the threshold.
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
    /// The first word belongs to no set.
    sets: Vec<u32>,
    wide_sets: bool,
    sum: Sum,
    largest_leaf: f64,
    most_nodes: usize,
}

#[derive(Clone, Copy)]
struct PlacedNode {
    /// As bits. For a node with categories, the position of its set.
    threshold: u32,
    left: u32,
    column: u32,
    is_set: bool,
}

// === impl ForestBuilder ===

impl<'a> ForestBuilder<'a> {
    /// A forest without trees. `largest_leaf` is the maximum size of a leaf.
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

    /// Adds a tree with its root as the first of `nodes`. Nodes that are not reachable from the root are left out.
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
        // Breadth first, so that the nodes that every row passes are adjacent.
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
                sets[node.threshold as usize]
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

    /// An empty set of categories for a feature.
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
            // Exact, because a tree has fewer leaves than single precision has integers.
            threshold: ((self.leaves.len() - first_leaf) as f32).to_bits(),
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
            threshold: threshold.to_bits(),
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
            threshold: place as u32,
            left,
            column,
            is_set: true,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{Feature, FeatureKind, Row, Value};

    /// This many numeric features, and as many categorical ones with 1 to 40 categories.
    fn make_schema(count: usize) -> FeatureSchema {
        let words: Vec<String> = (0..40).map(|word| word.to_string()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let numeric = (0..count).map(|at| Feature::numeric(&format!("n{at}")));
        let categorical = (0..count).map(|at| Feature::categorical(&format!("c{at}"), &words[..=at % 40]));
        FeatureSchema::new(numeric.chain(categorical).collect()).unwrap()
    }

    /// Numbers from a seed. A forest and rows need many, and shrinking single numbers is of no use.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % end
        }

        fn number(&mut self) -> f32 {
            [0.0, -0.0, 1e-35, -1e-36, 1.5, -2.25, f32::MAX, f32::MIN, 3.0][self.below(9)]
        }

        /// A tree that is grown at random leaves, so that some trees are chains.
        fn tree(&mut self, schema: &FeatureSchema, splits: usize) -> Vec<FileNode> {
            let mut nodes = vec![FileNode::Leaf(self.number().clamp(-9.0, 9.0).into())];
            for _ in 0..splits {
                let last = nodes.len() - 1;
                let at = [last, self.below(nodes.len())][self.below(2)];
                if matches!(nodes[at], FileNode::Leaf(_)) {
                    let children = [nodes.len(), nodes.len() + 1];
                    nodes[at] = self.split(schema, children);
                    nodes.push(FileNode::Leaf(self.number().clamp(-9.0, 9.0).into()));
                    nodes.push(FileNode::Leaf(nodes.len() as f64 / 3.0));
                }
            }
            nodes
        }

        fn split(&mut self, schema: &FeatureSchema, children: [usize; 2]) -> FileNode {
            let feature = self.below(schema.features.len());
            if let FeatureKind::Categorical { categories } = &schema.features[feature].kind
                && self.below(4) > 0
            {
                let mut set = CategorySet::new(categories.len());
                for category in 0..categories.len() {
                    if self.below(2) == 0 {
                        set.send_right(category);
                    }
                }
                if self.below(2) == 0 {
                    set.send_missing_right();
                }
                if self.below(2) == 0 {
                    set.invert();
                }
                return FileNode::Category {
                    feature,
                    set,
                    children,
                };
            }
            let views = [
                View::MissingRight,
                View::MissingLeft,
                View::MissingIsZero,
                View::ZeroRight,
                View::ZeroLeft,
            ];
            FileNode::Number {
                feature,
                view: views[self.below(5)],
                threshold: [self.number(), f32::INFINITY][usize::from(self.below(8) == 0)],
                children,
            }
        }

        fn row(&mut self, schema: &FeatureSchema) -> Row {
            let value = |_| match self.below(5) {
                0 => Value::Missing,
                1 => Value::Unknown,
                2 => Value::Category(self.below(45) as u32),
                _ => Value::Number(self.number()),
            };
            let length = schema.features.len();
            Row::new((0..length).map(value).collect())
        }
    }

    /// The leaf of a row, node by node, with explicit cases as in LightGBM.
    fn find_leaf(schema: &FeatureSchema, nodes: &[FileNode], row: &Row, tiny_is_zero: bool) -> f64 {
        let mut at = 0;
        loop {
            let (right, children) = match &nodes[at] {
                FileNode::Leaf(value) => return *value,
                FileNode::Number {
                    feature,
                    view,
                    threshold,
                    children,
                } => {
                    let number = match (&schema.features[*feature].kind, row.values()[*feature]) {
                        (FeatureKind::Numeric { .. }, Value::Number(number)) => Some(number),
                        (FeatureKind::Numeric { .. }, _) | (_, Value::Missing) => None,
                        (FeatureKind::Categorical { categories }, Value::Category(index))
                            if (index as usize) < categories.len() =>
                        {
                            Some(index as f32)
                        }
                        (FeatureKind::Categorical { .. }, _) => Some(-1.0),
                    };
                    let is_zero = |number: f32| tiny_is_zero && number.abs() <= 1e-35;
                    let number = number.map(|number| if is_zero(number) { 0.0 } else { number });
                    let right = match (number, view) {
                        (None, View::MissingRight | View::ZeroRight) => true,
                        (None, View::MissingLeft | View::ZeroLeft) => false,
                        (Some(number), View::ZeroRight) if is_zero(number) => true,
                        (Some(number), View::ZeroLeft) if is_zero(number) => false,
                        (number, _) => number.unwrap_or(0.0) > *threshold,
                    };
                    (right, children)
                }
                FileNode::Category {
                    feature,
                    set,
                    children,
                } => {
                    let count = match &schema.features[*feature].kind {
                        FeatureKind::Categorical { categories } => categories.len(),
                        FeatureKind::Numeric { .. } => 0,
                    };
                    let bit = match row.values()[*feature] {
                        Value::Missing => 0,
                        Value::Category(index) if (index as usize) < count => index as usize + 2,
                        _ => 1,
                    };
                    (set.words()[bit / 32] >> (bit % 32) & 1 == 1, children)
                }
            };
            at = children[usize::from(right)];
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_forest_scores_as_its_trees_do_one_by_one(
            seed: u64,
            features in prop::sample::select(vec![1_usize, 4, 20, 60, 400]),
            trees in 1..20_usize,
            splits in 0..60_usize,
            single: bool,
            tiny_is_zero: bool,
        ) {
            let mut numbers = Numbers(seed);
            let schema = make_schema(features);
            let sum = if single { Sum::Single(0.1) } else { Sum::Double };
            let mut builder = ForestBuilder::new(&schema, sum, tiny_is_zero, 1e100);
            let trees: Vec<_> = (0..trees).map(|_| numbers.tree(&schema, splits)).collect();
            for tree in &trees {
                builder.add_tree(tree).unwrap();
            }
            let forest = builder.finish().unwrap();
            let rows: Vec<Row> = (0..150).map(|_| numbers.row(&schema)).collect();
            let mut together = vec![7.0];
            forest.raw_rows(&rows, &mut together);
            for (row, together) in rows.iter().zip(&together[1..]) {
                let leaves = trees.iter().map(|tree| find_leaf(&schema, tree, row, tiny_is_zero));
                let expected = if single {
                    f64::from(leaves.fold(0.1_f32, |sum, leaf| sum + leaf as f32))
                } else {
                    leaves.fold(0.0, |sum, leaf| sum + leaf)
                };
                prop_assert_eq!(forest.raw(row).to_bits(), expected.to_bits());
                prop_assert_eq!(together.to_bits(), expected.to_bits());
            }
        }
    }

    #[test]
    fn rows_of_any_width_are_filled() {
        // A row with more columns than fit on the stack, which uses the buffer of the thread, between two narrow ones.
        for features in [3, 900, 3, 70] {
            let schema = make_schema(features);
            let mut builder = ForestBuilder::new(&schema, Sum::Double, false, 1e100);
            for feature in 0..features {
                let split = FileNode::Number {
                    feature,
                    view: View::MissingRight,
                    threshold: feature as f32,
                    children: [1, 2],
                };
                let nodes = [split, FileNode::Leaf(1.0), FileNode::Leaf(0.0)];
                builder.add_tree(&nodes).unwrap();
            }
            let forest = builder.finish().unwrap();
            let row = Row::new((0..features).map(|_| Value::Number(1.5)).collect());
            assert_eq!(forest.raw(&row), (features - 2) as f64);
            assert_eq!(forest.raw(&Row::new(vec![Value::Number(-1.0)])), 1.0);
        }
    }

    #[test]
    fn what_does_not_fit_a_node_is_refused() {
        let schema = make_schema(2000);
        let mut builder = ForestBuilder::new(&schema, Sum::Double, false, 1e100);
        // A chain: each split has the next one at its left and a leaf at its right.
        let splits = MAX_NODES / 2 - 1;
        let split = |at: usize| FileNode::Number {
            feature: at % 2000,
            view: [View::MissingLeft, View::MissingRight][at / 2000 % 2],
            threshold: 0.0,
            children: [at + 1, splits + 1 + at],
        };
        let mut nodes: Vec<FileNode> = (0..splits).map(split).collect();
        nodes.resize(2 * splits + 1, FileNode::Leaf(0.0));
        builder.add_tree(&nodes).unwrap();
        nodes.resize(MAX_NODES + 1, FileNode::Leaf(0.0));
        assert!(builder.add_tree(&nodes).is_err());
        assert!(builder.add_tree(&[]).is_err());
        let error = builder.finish().unwrap_err();
        assert!(
            error.to_string().contains("their product is too large"),
            "{error}"
        );
    }
}
