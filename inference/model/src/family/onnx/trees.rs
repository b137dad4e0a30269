//! TreeEnsembleClassifier: trees with nodes in one list.

use std::collections::{HashMap, HashSet};

use super::{
    columns::{Column, MAX_NUMBER},
    error::OnnxError,
    file::Node,
    sums::Sums,
};
use crate::schema::Row;

/// Trees whose leaves are added for class 1 or for both classes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trees {
    columns: Vec<Column>,
    nodes: Vec<TreeNode>,
    /// The index of each tree's root.
    roots: Vec<usize>,
    /// The weights of class 0 and 1, or only of class 1 if `has_two` is false.
    leaves: Vec<[f64; 2]>,
    base: [f64; 2],
    has_two: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TreeNode {
    /// The index of its weights.
    Leaf(usize),
    Split(Split),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Split {
    column: usize,
    mode: Mode,
    threshold: f64,
    /// The child if the comparison is true, and the child if it is false.
    children: [usize; 2],
    missing_holds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Leaf,
    AtMost,
    Less,
    AtLeast,
    Greater,
    Equal,
    NotEqual,
}

/// The lists of a file, with one entry for each node.
struct Lists {
    trees: Vec<i64>,
    numbers: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<Mode>,
    thresholds: Vec<f64>,
    holds: Vec<i64>,
    others: Vec<i64>,
    missing: Vec<i64>,
}

/// The index of a node, by the numbers of tree and node.
type Places = HashMap<(i64, i64), usize>;

// === impl Trees ===

impl Trees {
    pub(super) fn read(node: &Node<'_>, columns: &[Column]) -> Result<Self, OnnxError> {
        let lists = Lists::read(node)?;
        let mut places = Places::with_capacity(lists.trees.len());
        for (place, key) in lists
            .trees
            .iter()
            .copied()
            .zip(lists.numbers.iter().copied())
            .enumerate()
        {
            if places.insert(key, place).is_some() {
                return Err(fail(node, key, "it is there twice"));
            }
        }
        let mut nodes = Vec::with_capacity(lists.trees.len());
        let mut parents = vec![false; lists.trees.len()];
        let mut leaves = Vec::new();
        for place in 0..lists.trees.len() {
            let read = lists.read_node(node, place, &places, columns.len(), leaves.len())?;
            match &read {
                TreeNode::Leaf(_) => leaves.push([0.0; 2]),
                TreeNode::Split(split) => {
                    for child in split.children {
                        if std::mem::replace(&mut parents[child], true) {
                            let key = (lists.trees[child], lists.numbers[child]);
                            return Err(fail(node, key, "it has two parents"));
                        }
                    }
                }
            }
            nodes.push(read);
        }
        let roots: Vec<usize> = (0..nodes.len()).filter(|place| !parents[*place]).collect();
        let mut trees = Self {
            columns: columns.to_vec(),
            nodes,
            roots,
            leaves,
            base: [0.0; 2],
            has_two: false,
        };
        trees.check_roots(node, &lists)?;
        trees.read_weights(node, &places)?;
        Ok(trees)
    }

    /// Checks that each tree has one root that reaches all of its nodes, so that a walk ends.
    fn check_roots(&self, node: &Node<'_>, lists: &Lists) -> Result<(), OnnxError> {
        let mut seen = HashSet::new();
        for root in &self.roots {
            if !seen.insert(lists.trees[*root]) {
                let key = (lists.trees[*root], lists.numbers[*root]);
                return Err(fail(node, key, "no node of its tree leads to it"));
            }
        }
        let mut reached = 0;
        let mut stack = self.roots.clone();
        while let Some(place) = stack.pop() {
            reached += 1;
            if let TreeNode::Split(split) = &self.nodes[place] {
                stack.extend(split.children);
            }
        }
        if reached != self.nodes.len() || self.roots.is_empty() {
            return Err(node.fail("a tree goes round in a circle, or there is none"));
        }
        Ok(())
    }

    fn read_weights(&mut self, node: &Node<'_>, places: &Places) -> Result<(), OnnxError> {
        let (trees, numbers) = (node.integers("class_treeids")?, node.integers("class_nodeids")?);
        let (classes, weights) = (node.integers("class_ids")?, node.numbers("class_weights")?);
        let count = weights.len();
        if [trees.len(), numbers.len(), classes.len()] != [count; 3] {
            return Err(
                node.fail("class_treeids, class_nodeids, class_ids and class_weights differ in length")
            );
        }
        if classes.iter().any(|class| ![0, 1].contains(class)) {
            return Err(node.fail("class_ids has a class other than 0 and 1"));
        }
        // If all weights have one class, it is class 1, whatever its number.
        self.has_two = classes.iter().any(|class| *class != classes[0]);
        for (((tree, number), class), weight) in trees.into_iter().zip(numbers).zip(classes).zip(weights) {
            let key = (tree, number);
            let place = places
                .get(&key)
                .ok_or_else(|| fail(node, key, "it has a weight but does not exist"))?;
            let TreeNode::Leaf(leaf) = self.nodes[*place] else {
                return Err(fail(node, key, "it has a weight but is not a leaf"));
            };
            if !weight.is_finite() || weight.abs() > MAX_NUMBER {
                return Err(fail(node, key, "its weight is not finite or larger than 1e100"));
            }
            let class = if self.has_two { usize::from(class == 1) } else { 1 };
            self.leaves[leaf][class] += weight;
        }
        let base = node.numbers("base_values")?;
        if base.len() > 2
            || base
                .iter()
                .any(|number| !number.is_finite() || number.abs() > MAX_NUMBER)
        {
            return Err(node.fail("base_values are more than 2, not finite or larger than 1e100"));
        }
        self.base = match base.as_slice() {
            [zero, one] => [*zero, *one],
            [one] => [0.0, *one],
            _ => [0.0; 2],
        };
        if self.has_two && base.len() == 1 {
            return Err(node.fail("it has one base value for two classes"));
        }
        Ok(())
    }

    pub(super) fn has_two(&self) -> bool {
        self.has_two
    }

    /// Checks that the sums are already probabilities, as in a forest: within 0 and 1 up to rounding.
    pub(super) fn check_probabilities(&self, node: &Node<'_>) -> Result<(), OnnxError> {
        let (mut least, mut most) = (self.base[1], self.base[1]);
        for root in &self.roots {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            let mut stack = vec![*root];
            while let Some(place) = stack.pop() {
                match &self.nodes[place] {
                    TreeNode::Leaf(leaf) => {
                        let weight = self.leaves[*leaf][1];
                        (low, high) = (low.min(weight), high.max(weight));
                    }
                    TreeNode::Split(split) => stack.extend(split.children),
                }
            }
            (least, most) = (least + low, most + high);
        }
        if least < -1e-4 || most > 1.0 + 1e-4 {
            return Err(node.fail(format!(
                "its scores are not probabilities but may be from {least} to {most}; export the classifier itself"
            )));
        }
        Ok(())
    }

    pub(super) fn sum(&self, row: &Row) -> Sums {
        let [mut zero, mut one] = self.base;
        for root in &self.roots {
            let [of_zero, of_one] = self.leaves[self.find_leaf(*root, row)];
            zero += of_zero;
            one += of_one;
        }
        if self.has_two {
            Sums::Two(zero, one)
        } else {
            Sums::One(one)
        }
    }

    fn find_leaf(&self, root: usize, row: &Row) -> usize {
        let mut place = root;
        loop {
            match &self.nodes[place] {
                TreeNode::Leaf(leaf) => return *leaf,
                TreeNode::Split(split) => {
                    // scikit-learn compares in single precision.
                    let number = f64::from(self.columns[split.column].value(row) as f32);
                    place = split.children[usize::from(!split.holds(number))];
                }
            }
        }
    }
}

fn fail(node: &Node<'_>, (tree, number): (i64, i64), what: &str) -> OnnxError {
    node.fail(format!("tree {tree}, node {number}: {what}"))
}

// === impl Split ===

impl Split {
    fn holds(&self, number: f64) -> bool {
        let holds = match self.mode {
            Mode::AtMost => number <= self.threshold,
            Mode::Less => number < self.threshold,
            Mode::AtLeast => number >= self.threshold,
            Mode::Greater => number > self.threshold,
            Mode::Equal => number == self.threshold,
            Mode::NotEqual => number != self.threshold,
            Mode::Leaf => false,
        };
        holds || self.missing_holds && number.is_nan()
    }
}

// === impl Mode ===

impl Mode {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "LEAF" => Self::Leaf,
            "BRANCH_LEQ" => Self::AtMost,
            "BRANCH_LT" => Self::Less,
            "BRANCH_GTE" => Self::AtLeast,
            "BRANCH_GT" => Self::Greater,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::NotEqual,
            _ => return None,
        })
    }
}

// === impl Lists ===

impl Lists {
    fn read(node: &Node<'_>) -> Result<Self, OnnxError> {
        let mode = |text: &str| Mode::of(text).ok_or_else(|| node.fail(format!("unsupported mode {text:?}")));
        let lists = Self {
            trees: node.integers("nodes_treeids")?,
            numbers: node.integers("nodes_nodeids")?,
            features: node.integers("nodes_featureids")?,
            modes: node.texts("nodes_modes", mode)?,
            thresholds: node.numbers("nodes_values")?,
            holds: node.integers("nodes_truenodeids")?,
            others: node.integers("nodes_falsenodeids")?,
            missing: node.integers("nodes_missing_value_tracks_true")?,
        };
        let count = lists.trees.len();
        for (name, length) in [
            ("nodes_nodeids", lists.numbers.len()),
            ("nodes_featureids", lists.features.len()),
            ("nodes_modes", lists.modes.len()),
            ("nodes_values", lists.thresholds.len()),
            ("nodes_truenodeids", lists.holds.len()),
            ("nodes_falsenodeids", lists.others.len()),
        ] {
            if length != count {
                return Err(node.fail(format!("{name} has {length} entries, expected {count}")));
            }
        }
        if ![0, count].contains(&lists.missing.len()) {
            return Err(node.fail(format!(
                "nodes_missing_value_tracks_true has {} entries, expected {count}",
                lists.missing.len()
            )));
        }
        Ok(lists)
    }

    fn read_node(
        &self,
        node: &Node<'_>,
        place: usize,
        places: &Places,
        width: usize,
        leaf: usize,
    ) -> Result<TreeNode, OnnxError> {
        let (tree, key) = (self.trees[place], (self.trees[place], self.numbers[place]));
        if self.modes[place] == Mode::Leaf {
            return Ok(TreeNode::Leaf(leaf));
        }
        let column = usize::try_from(self.features[place])
            .ok()
            .filter(|column| *column < width);
        let column = column.ok_or_else(|| {
            fail(
                node,
                key,
                &format!("it splits by column {}, there are {width}", self.features[place]),
            )
        })?;
        let threshold = self.thresholds[place];
        if threshold.is_nan() {
            return Err(fail(node, key, "its threshold is not a number"));
        }
        let child = |number: i64| {
            let child = places.get(&(tree, number)).copied();
            child.ok_or_else(|| fail(node, key, &format!("it has a child {number} that is not there")))
        };
        Ok(TreeNode::Split(Split {
            column,
            mode: self.modes[place],
            threshold,
            children: [child(self.holds[place])?, child(self.others[place])?],
            missing_holds: self.missing.get(place).is_some_and(|flag| *flag != 0),
        }))
    }
}
