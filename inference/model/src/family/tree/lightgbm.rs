//! Reads LightGBM's text format, version v4.
//!
//! ```text
//! tree
//! version=v4
//! objective=binary sigmoid:1
//! …
//!
//! Tree=0
//! num_leaves=3
//! …
//!
//! end of trees
//! ```

use std::str::{FromStr, Lines};

use super::{
    build::{FileNode, ForestBuilder, MAX_NODES},
    columns::View,
    error::TreeError,
    features::{check_count, check_order},
    forest::{Forest, Sum},
    output::Output,
};
use crate::schema::FeatureSchema;

/// Maximum size of a leaf, so that sums are finite and no score is NaN.
const MAX_LEAF: f64 = 1e100;

/// The line after the last tree.
const END: &str = "end of trees";

/// The part of a text that is read, up to and including `end of trees`. LightGBM can read it too.
///
/// The rest is for readers and has the number of threads. Without it the same training gives the same bytes.
pub fn strip_lightgbm(bytes: &[u8]) -> &[u8] {
    let end = format!("\n{END}\n");
    let found = bytes
        .windows(end.len())
        .position(|window| window == end.as_bytes());
    found.map_or(bytes, |at| &bytes[..at + end.len()])
}

pub(super) fn read(bytes: &[u8], schema: &FeatureSchema) -> Result<(Forest, Output), TreeError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| TreeError::file(format!("it is not UTF-8 from byte {}", error.valid_up_to())))?;
    let mut lines = NumberedLines {
        lines: text.lines(),
        number: 0,
    };
    let header = Header::read(&mut lines)?;
    let factor = header.check(schema)?;
    let mut builder = ForestBuilder::new(schema, Sum::Double, true, MAX_LEAF);
    let mut trees = 0;
    let mut next = header.first_tree;
    while let Some(line) = next {
        let stated = line.strip_prefix("Tree=").and_then(|number| number.parse().ok());
        if stated != Some(trees) {
            return Err(TreeError::line(
                lines.number,
                format!("expected Tree={trees} or {END:?}"),
            ));
        }
        let (block, after) = TreeBlock::read(&mut lines)?;
        let nodes = TreeReader {
            tree: trees,
            block: &block,
            builder: &builder,
        }
        .read()?;
        builder.add_tree(&nodes)?;
        trees += 1;
        next = (after != END).then_some(after);
    }
    if header
        .tree_sizes
        .is_some_and(|sizes| sizes.split(' ').count() != trees)
    {
        return Err(TreeError::field("tree_sizes", format!("there are {trees} trees")));
    }
    Ok((builder.finish()?, Output::Sigmoid(factor)))
}

struct NumberedLines<'a> {
    lines: Lines<'a>,
    /// The number of the last line that was read.
    number: usize,
}

/// The fields before the trees.
#[derive(Default)]
struct Header<'a> {
    version: Option<&'a str>,
    num_class: Option<&'a str>,
    num_tree_per_iteration: Option<&'a str>,
    max_feature_idx: Option<&'a str>,
    objective: Option<&'a str>,
    feature_names: Option<&'a str>,
    tree_sizes: Option<&'a str>,
    average_output: bool,
    /// The line that ended it, unless there is no tree.
    first_tree: Option<&'a str>,
}

/// The used fields of a tree.
#[derive(Default)]
struct TreeBlock<'a> {
    num_leaves: Option<&'a str>,
    num_cat: Option<&'a str>,
    split_feature: Option<&'a str>,
    threshold: Option<&'a str>,
    decision_type: Option<&'a str>,
    left_child: Option<&'a str>,
    right_child: Option<&'a str>,
    leaf_value: Option<&'a str>,
    cat_boundaries: Option<&'a str>,
    cat_threshold: Option<&'a str>,
    is_linear: Option<&'a str>,
}

struct TreeReader<'a> {
    tree: usize,
    block: &'a TreeBlock<'a>,
    builder: &'a ForestBuilder<'a>,
}

/// The lists of a tree, with one entry for each splitting node.
struct Splits {
    feature: Vec<usize>,
    threshold: Vec<f64>,
    decision: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    sets: Vec<Vec<u32>>,
}

// === impl NumberedLines ===

impl<'a> NumberedLines<'a> {
    fn read(&mut self) -> Option<&'a str> {
        self.number += 1;
        self.lines.next()
    }

    /// The next line that is not empty.
    fn expect(&mut self) -> Result<&'a str, TreeError> {
        loop {
            match self.read() {
                Some("") => {}
                Some(line) => return Ok(line),
                None => {
                    return Err(TreeError::line(
                        self.number,
                        format!("the file ends before {END:?}"),
                    ));
                }
            }
        }
    }
}

// === impl Header ===

impl<'a> Header<'a> {
    fn read(lines: &mut NumberedLines<'a>) -> Result<Self, TreeError> {
        if lines.read() != Some("tree") {
            return Err(TreeError::line(
                1,
                "expected \"tree\", the start of a model of LightGBM",
            ));
        }
        let mut header = Self::default();
        loop {
            let line = lines.expect()?;
            if line == END {
                return Ok(header);
            }
            if line.starts_with("Tree=") {
                header.first_tree = Some(line);
                return Ok(header);
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let place = match key {
                "version" => &mut header.version,
                "num_class" => &mut header.num_class,
                "num_tree_per_iteration" => &mut header.num_tree_per_iteration,
                "max_feature_idx" => &mut header.max_feature_idx,
                "objective" => &mut header.objective,
                "feature_names" => &mut header.feature_names,
                "tree_sizes" => &mut header.tree_sizes,
                "average_output" => {
                    header.average_output = true;
                    continue;
                }
                _ => continue,
            };
            set_once(place, value, lines.number)?;
        }
    }

    /// Checks that the model can be scored, and returns the factor of the raw score.
    fn check(&self, schema: &FeatureSchema) -> Result<f64, TreeError> {
        for (field, found, expected) in [
            ("version", self.version, "v4"),
            ("num_class", self.num_class, "1"),
            ("num_tree_per_iteration", self.num_tree_per_iteration, "1"),
        ] {
            if found != Some(expected) {
                return Err(TreeError::field(
                    field,
                    format!("{} is not supported, expected {expected:?}", show(found)),
                ));
            }
        }
        if self.average_output {
            let what = "averages of trees (boosting=rf) are not supported";
            return Err(TreeError::field("average_output", what));
        }
        let last = self.max_feature_idx.and_then(|text| text.parse::<usize>().ok());
        let Some(count) = last.and_then(|last| last.checked_add(1)) else {
            let what = format!("{} is not an index", show(self.max_feature_idx));
            return Err(TreeError::field("max_feature_idx", what));
        };
        check_count("max_feature_idx", count, schema)?;
        if let Some(names) = self.feature_names {
            check_order("feature_names", &names.split(' ').collect::<Vec<_>>(), schema)?;
        }
        self.read_factor()
    }

    fn read_factor(&self) -> Result<f64, TreeError> {
        let mut words = self.objective.unwrap_or_default().split_ascii_whitespace();
        let sigmoid = match (words.next(), words.next(), words.next()) {
            (Some("binary"), Some(word), None) => word.strip_prefix("sigmoid:"),
            _ => None,
        };
        let factor = sigmoid.and_then(|number| number.parse::<f64>().ok());
        match factor {
            Some(factor) if factor > 0.0 && factor <= MAX_LEAF => Ok(factor),
            _ => Err(TreeError::field(
                "objective",
                format!(
                    "{} is not supported, expected \"binary sigmoid:1\"",
                    show(self.objective)
                ),
            )),
        }
    }
}

// === impl TreeBlock ===

impl<'a> TreeBlock<'a> {
    /// Reads a tree and the line after it: the start of the next tree, or the end.
    fn read(lines: &mut NumberedLines<'a>) -> Result<(Self, &'a str), TreeError> {
        let mut block = Self::default();
        loop {
            let line = lines.expect()?;
            if line == END || line.starts_with("Tree=") {
                return Ok((block, line));
            }
            let Some((key, value)) = line.split_once('=') else {
                return Err(TreeError::line(lines.number, "expected key=value"));
            };
            let place = match key {
                "num_leaves" => &mut block.num_leaves,
                "num_cat" => &mut block.num_cat,
                "split_feature" => &mut block.split_feature,
                "threshold" => &mut block.threshold,
                "decision_type" => &mut block.decision_type,
                "left_child" => &mut block.left_child,
                "right_child" => &mut block.right_child,
                "leaf_value" => &mut block.leaf_value,
                "cat_boundaries" => &mut block.cat_boundaries,
                "cat_threshold" => &mut block.cat_threshold,
                "is_linear" => &mut block.is_linear,
                _ => continue,
            };
            set_once(place, value, lines.number)?;
        }
    }
}

// === impl TreeReader ===

impl TreeReader<'_> {
    fn fail(&self, what: impl Into<String>) -> TreeError {
        TreeError::tree(self.tree, what)
    }

    /// The splitting nodes, then the leaves.
    fn read(&self) -> Result<Vec<FileNode>, TreeError> {
        if self.block.is_linear.is_some_and(|word| word != "0") {
            return Err(self.fail("linear trees are not supported"));
        }
        let [leaves]: [usize; 1] = self.list_array("num_leaves", self.block.num_leaves)?;
        if leaves == 0 || leaves > MAX_NODES / 2 {
            return Err(self.fail(format!(
                "num_leaves is {leaves}, from 1 to {} is read",
                MAX_NODES / 2
            )));
        }
        let values: Vec<f64> = self.list("leaf_value", self.block.leaf_value, leaves)?;
        let mut nodes = Vec::new();
        if leaves > 1 {
            let splits = self.read_splits(leaves - 1)?;
            for node in 0..leaves - 1 {
                nodes.push(self.read_node(&splits, node)?);
            }
        }
        nodes.extend(values.into_iter().map(FileNode::Leaf));
        Ok(nodes)
    }

    fn read_splits(&self, count: usize) -> Result<Splits, TreeError> {
        let block = self.block;
        let [sets]: [usize; 1] = self.list_array("num_cat", block.num_cat)?;
        Ok(Splits {
            feature: self.list("split_feature", block.split_feature, count)?,
            threshold: self.list("threshold", block.threshold, count)?,
            decision: self.list("decision_type", block.decision_type, count)?,
            left: self.list("left_child", block.left_child, count)?,
            right: self.list("right_child", block.right_child, count)?,
            sets: if sets > 0 {
                self.read_sets(sets)?
            } else {
                Vec::new()
            },
        })
    }

    fn read_sets(&self, count: usize) -> Result<Vec<Vec<u32>>, TreeError> {
        let bounds: Vec<usize> = self.list(
            "cat_boundaries",
            self.block.cat_boundaries,
            count.saturating_add(1),
        )?;
        let words: Vec<u32> = self.list(
            "cat_threshold",
            self.block.cat_threshold,
            bounds.last().copied().unwrap_or_default(),
        )?;
        let set = |ends: &[usize]| match *ends {
            [start, end] => {
                let mut set = words.get(start..end)?.to_vec();
                // Many nodes may share a set, so trailing zeros of a long one are dropped.
                set.truncate(set.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
                Some(set)
            }
            _ => None,
        };
        bounds
            .windows(2)
            .map(set)
            .collect::<Option<_>>()
            .ok_or_else(|| self.fail("cat_boundaries are not in order"))
    }

    fn read_node(&self, splits: &Splits, node: usize) -> Result<FileNode, TreeError> {
        let fail = |what: String| TreeError::node(self.tree, node, what);
        let child = |child: i64| {
            // A leaf is encoded as the complement of its number.
            let place = if child < 0 {
                !child as usize + splits.left.len()
            } else {
                child as usize
            };
            (child >= 0 || !child < i64::from(u32::MAX))
                .then_some(place)
                .ok_or_else(|| fail(format!("it has a child {child} that is not there")))
        };
        let children = [child(splits.left[node])?, child(splits.right[node])?];
        let (feature, threshold, decision) = (
            splits.feature[node],
            splits.threshold[node],
            splits.decision[node],
        );
        if decision & 1 == 1 {
            let words = (threshold >= 0.0)
                .then(|| splits.sets.get(threshold as usize))
                .flatten()
                .ok_or_else(|| {
                    fail(format!(
                        "it has a set of categories {threshold} that is not there"
                    ))
                })?;
            let (mut set, count) = self.builder.new_set(feature).map_err(fail)?;
            for (at, word) in words.iter().enumerate() {
                for bit in (0..32).filter(|bit| word >> bit & 1 == 1) {
                    let category = at * 32 + bit;
                    if category >= count {
                        return Err(fail(format!(
                            "it has category {category}, the feature has {count}"
                        )));
                    }
                    set.send_right(category);
                }
            }
            // The set has the categories that go left. Missing and unknown values are in no set.
            set.invert();
            return Ok(FileNode::Category {
                feature,
                set,
                children,
            });
        }
        let default_left = decision & 2 == 2;
        let view = match (decision >> 2, default_left) {
            (0, _) => View::MissingIsZero,
            (1, false) => View::ZeroRight,
            (1, true) => View::ZeroLeft,
            (2, false) => View::MissingRight,
            (2, true) => View::MissingLeft,
            _ => return Err(fail(format!("decision_type {decision} is unknown"))),
        };
        Ok(FileNode::Number {
            feature,
            view,
            threshold: round_down(threshold),
            children,
        })
    }

    /// Exactly `count` numbers. Memory is allocated only for numbers that the text has.
    fn list<T: FromStr>(&self, field: &str, text: Option<&str>, count: usize) -> Result<Vec<T>, TreeError> {
        let text = text.ok_or_else(|| self.fail(format!("it has no {field}")))?;
        let words = || text.split_ascii_whitespace();
        let found = words().count();
        if found != count {
            return Err(self.fail(format!("{field} has {found} numbers, expected {count}")));
        }
        let number = |word: &str| {
            word.parse()
                .map_err(|_| self.fail(format!("{field} has {word:?}, which is not a valid number")))
        };
        words().map(number).collect()
    }

    fn list_array<const COUNT: usize>(
        &self,
        field: &str,
        text: Option<&str>,
    ) -> Result<[usize; COUNT], TreeError> {
        let list: Vec<usize> = self.list(field, text, COUNT)?;
        list.try_into()
            .map_err(|_| self.fail(format!("{field} is not {COUNT} numbers")))
    }
}

/// Sets a field, which must not be repeated. The library would use the last value.
fn set_once<'a>(place: &mut Option<&'a str>, value: &'a str, line: usize) -> Result<(), TreeError> {
    if place.replace(value).is_some() {
        return Err(TreeError::line(line, "the field is there twice"));
    }
    Ok(())
}

fn show(value: Option<&str>) -> String {
    value.map_or_else(
        || "nothing".to_owned(),
        |value| format!("{:?}", value.chars().take(100).collect::<String>()),
    )
}

/// The largest single-precision number up to `threshold`. Every single-precision number compares the same with both.
fn round_down(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) > threshold {
        near.next_down()
    } else {
        near
    }
}
