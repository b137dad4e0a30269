//! Reads XGBoost's models, in JSON or UBJSON.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};

use super::{
    build::{FileNode, ForestBuilder, MAX_NODES},
    columns::View,
    error::TreeError,
    features::{check_count, check_order},
    forest::{Forest, Sum},
    outline::{OutlineFeature, XgboostFile},
    output::Output,
    ubjson,
};
use crate::{math::logit_single, schema::FeatureSchema};

/// Maximum size of a leaf and of the margin of a base score, so that sums are finite in single precision and no score is NaN.
const MAX_LEAF: f64 = 1e30;

/// XGBoost clamps a base score that is a probability to this distance from 0 and 1.
const BASE_SCORE_MARGIN: f32 = 1e-6;

pub(super) fn read(bytes: &[u8], schema: &FeatureSchema) -> Result<(Forest, Output), TreeError> {
    let learner = parse::<File>(bytes)?.learner;
    let output = learner.check(schema)?;
    let base = learner.parameters.read_base_score(output)?;
    let model = learner.gradient_booster.into_trees()?;
    let mut builder = ForestBuilder::new(schema, Sum::Single(base), false, MAX_LEAF);
    for (tree, content) in model.iter().enumerate() {
        let reader = TreeReader {
            tree,
            content,
            builder: &builder,
        };
        let nodes = reader.read()?;
        builder.add_tree(&nodes)?;
    }
    Ok((builder.finish()?, output))
}

pub(super) fn outline(bytes: &[u8]) -> Result<Vec<OutlineFeature>, TreeError> {
    parse::<XgboostFile>(bytes)?.outline()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TreeError> {
    match bytes {
        // A key in JSON begins with a quotation mark, a key in the UBJSON of XGBoost with its length.
        [b'{', b'L', ..] => ubjson::from_slice(bytes).map_err(TreeError::Ubjson),
        _ => serde_json::from_slice(bytes).map_err(TreeError::Json),
    }
}

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    parameters: LearnerParam,
    objective: Objective,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

/// Numbers are strings here.
#[derive(Deserialize)]
struct LearnerParam {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    #[serde(default)]
    model: Option<Model>,
}

/// Fields that are absent belong to another booster.
#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    trees: Vec<TreeContent>,
    #[serde(default)]
    tree_info: Vec<i64>,
    #[serde(default)]
    weight_drop: Vec<f32>,
    #[serde(default)]
    cats: Option<CategoryNames>,
}

/// The categories of a data frame that XGBoost recoded.
#[derive(Deserialize)]
struct CategoryNames {
    #[serde(default)]
    enc: Vec<de::IgnoredAny>,
}

#[derive(Deserialize)]
struct TreeContent {
    tree_param: TreeParam,
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<i32>,
    /// Decimals are rounded directly to single precision, with the feature `float_roundtrip` of serde_json.
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<Flag>,
    #[serde(default)]
    categories: Vec<i32>,
    #[serde(default)]
    categories_nodes: Vec<i32>,
    #[serde(default)]
    categories_segments: Vec<i64>,
    #[serde(default)]
    categories_sizes: Vec<i64>,
}

#[derive(Deserialize)]
struct TreeParam {
    num_nodes: String,
    #[serde(default)]
    size_leaf_vector: Option<String>,
}

/// Written as 0 and 1, or as false and true by older releases.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Flag(bool);

struct TreeReader<'a> {
    tree: usize,
    content: &'a TreeContent,
    builder: &'a ForestBuilder<'a>,
}

// === impl Learner ===

impl Learner {
    fn check(&self, schema: &FeatureSchema) -> Result<Output, TreeError> {
        let output = match self.objective.name.as_str() {
            "binary:logistic" | "reg:logistic" => Output::SigmoidSingle,
            "reg:squarederror" => Output::Clamp,
            other => {
                let known = "expected binary:logistic, reg:logistic or reg:squarederror";
                return Err(TreeError::field(
                    "objective",
                    format!("{other:?} is not supported, {known}"),
                ));
            }
        };
        let param = &self.parameters;
        if !["0", "1"].contains(&param.num_class.as_str()) {
            let what = format!("{:?} classes are not supported", param.num_class);
            return Err(TreeError::field("num_class", what));
        }
        if let Some(targets) = param.num_target.as_deref().filter(|targets| *targets != "1") {
            let what = format!("{targets:?} targets are not supported");
            return Err(TreeError::field("num_target", what));
        }
        let count = param.num_feature.parse().map_err(|_| {
            TreeError::field("num_feature", format!("{:?} is not a number", param.num_feature))
        })?;
        check_count("num_feature", count, schema)?;
        if !self.feature_names.is_empty() {
            check_order("feature_names", &self.feature_names, schema)?;
        }
        Ok(output)
    }
}

// === impl LearnerParam ===

impl LearnerParam {
    /// The margin at which sums start. The text is `5E-1`, in brackets since XGBoost 3.1.
    fn read_base_score(&self, output: Output) -> Result<f32, TreeError> {
        let fail = || TreeError::field("base_score", format!("{:?} is not supported", self.base_score));
        let text = self.base_score.trim();
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let score: f32 = inner.unwrap_or(text).trim().parse().map_err(|_| fail())?;
        let margin = match output {
            Output::SigmoidSingle if (0.0..=1.0).contains(&score) => {
                logit_single(score.clamp(BASE_SCORE_MARGIN, 1.0 - BASE_SCORE_MARGIN))
            }
            Output::SigmoidSingle => return Err(fail()),
            _ => score,
        };
        if margin.is_finite() && f64::from(margin.abs()) <= MAX_LEAF {
            Ok(margin)
        } else {
            Err(fail())
        }
    }
}

// === impl Booster ===

impl Booster {
    fn into_trees(self) -> Result<Vec<TreeContent>, TreeError> {
        if self.name != "gbtree" {
            let what = format!("booster {:?} is not supported, expected \"gbtree\"", self.name);
            return Err(TreeError::field("gradient_booster", what));
        }
        let model = self
            .model
            .ok_or_else(|| TreeError::field("gradient_booster", "it has no model"))?;
        if model.tree_info.iter().any(|group| *group != 0) {
            let what = "trees with more than one output are not supported";
            return Err(TreeError::field("tree_info", what));
        }
        if model.weight_drop.iter().any(|weight| *weight != 1.0) {
            return Err(TreeError::field("weight_drop", "tree weights are not supported"));
        }
        if model.cats.is_some_and(|cats| !cats.enc.is_empty()) {
            let what = "the model has its own order of categories; train on their indices in the schema";
            return Err(TreeError::field("cats", what));
        }
        Ok(model.trees)
    }
}

// === impl TreeReader ===

impl TreeReader<'_> {
    fn fail(&self, what: impl Into<String>) -> TreeError {
        TreeError::tree(self.tree, what)
    }

    fn read(&self) -> Result<Vec<FileNode>, TreeError> {
        let count = self.check_lengths()?;
        let segments = self.read_segments(count)?;
        let mut segments = segments.into_iter().peekable();
        let mut nodes = Vec::with_capacity(count);
        for node in 0..count {
            let segment = segments
                .next_if(|(at, _)| *at == node)
                .map(|(_, segment)| segment);
            nodes.push(self.read_node(node, segment)?);
        }
        Ok(nodes)
    }

    fn check_lengths(&self) -> Result<usize, TreeError> {
        let tree = self.content;
        let count = tree.left_children.len();
        if tree.tree_param.num_nodes.parse() != Ok(count) || count > MAX_NODES {
            return Err(self.fail(format!(
                "num_nodes is {:?} and there are {count} left_children, from 1 to {MAX_NODES} are read",
                tree.tree_param.num_nodes
            )));
        }
        let vector = tree.tree_param.size_leaf_vector.as_deref();
        if vector.is_some_and(|size| !["0", "1"].contains(&size)) {
            return Err(self.fail("leaves with more than one number are not supported"));
        }
        for (field, length) in [
            ("right_children", tree.right_children.len()),
            ("split_indices", tree.split_indices.len()),
            ("split_conditions", tree.split_conditions.len()),
            ("default_left", tree.default_left.len()),
        ] {
            if length != count {
                return Err(self.fail(format!("{field} has {length} entries, expected {count}")));
            }
        }
        if !tree.split_type.is_empty() && tree.split_type.len() != count {
            return Err(self.fail(format!(
                "split_type has {} entries, expected {count}",
                tree.split_type.len()
            )));
        }
        Ok(count)
    }

    /// The categories of each categorical node, in the order of nodes.
    fn read_segments(&self, count: usize) -> Result<Vec<(usize, &[i32])>, TreeError> {
        let tree = self.content;
        let nodes = &tree.categories_nodes;
        if tree.categories_segments.len() != nodes.len() || tree.categories_sizes.len() != nodes.len() {
            return Err(
                self.fail("categories_nodes, categories_segments and categories_sizes differ in length")
            );
        }
        let place = |number: i64| usize::try_from(number).ok();
        // They are in order and adjacent, as XGBoost writes them, so no category is read twice.
        let mut next = (0, 0);
        let mut read = |index: usize| {
            let node = place(nodes[index].into()).filter(|node| (next.0..count).contains(node))?;
            let start = place(tree.categories_segments[index]).filter(|start| *start >= next.1)?;
            let end = start.checked_add(place(tree.categories_sizes[index])?)?;
            next = (node + 1, end);
            Some((node, tree.categories.get(start..end)?))
        };
        (0..nodes.len())
            .map(&mut read)
            .collect::<Option<_>>()
            .ok_or_else(|| self.fail("categories_nodes or categories_segments are not in order or missing"))
    }

    fn read_node(&self, node: usize, segment: Option<&[i32]>) -> Result<FileNode, TreeError> {
        let tree = self.content;
        let fail = |what: String| TreeError::node(self.tree, node, what);
        let (left, right) = (tree.left_children[node], tree.right_children[node]);
        let condition = tree.split_conditions[node];
        if left == -1 {
            return Ok(FileNode::Leaf(condition.into()));
        }
        let place = |child: i32| usize::try_from(child).map_err(|_| fail(format!("it has a child {child}")));
        let children = [place(left)?, place(right)?];
        // XGBoost goes to the node after the left child.
        if children[1] != children[0] + 1 {
            return Err(fail(format!(
                "its children {left} and {right} are not side by side"
            )));
        }
        let feature = usize::try_from(tree.split_indices[node])
            .map_err(|_| fail(format!("it splits by feature {}", tree.split_indices[node])))?;
        let Flag(default_left) = tree.default_left[node];
        let by_category = tree.split_type.get(node) == Some(&Flag(true));
        match (by_category, segment) {
            (false, None) => Ok(FileNode::Number {
                feature,
                view: if default_left {
                    View::MissingLeft
                } else {
                    View::MissingRight
                },
                threshold: at_most(condition),
                children,
            }),
            (true, Some(categories)) => {
                let (mut set, count) = self.builder.new_set(feature).map_err(fail)?;
                for category in categories {
                    let known = usize::try_from(*category)
                        .ok()
                        .filter(|category| *category < count);
                    let category = known.ok_or_else(|| {
                        fail(format!("it has category {category}, the feature has {count}"))
                    })?;
                    set.send_right(category);
                }
                if !default_left {
                    set.send_missing_right();
                }
                Ok(FileNode::Category {
                    feature,
                    set,
                    children,
                })
            }
            _ => Err(fail(
                "split_type and categories_nodes contradict each other".to_owned(),
            )),
        }
    }
}

/// The largest number for which `x < threshold`.
fn at_most(threshold: f32) -> f32 {
    if threshold == f32::NEG_INFINITY {
        threshold
    } else {
        threshold.next_down()
    }
}

// === impl Flag ===

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Flags;

        impl Visitor<'_> for Flags {
            type Value = Flag;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("0, 1, false or true")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Flag, E> {
                match number {
                    0 => Ok(Flag(false)),
                    1 => Ok(Flag(true)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(number), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Flag, E> {
                self.visit_u64(u64::try_from(number).unwrap_or(u64::MAX))
            }
        }

        deserializer.deserialize_any(Flags)
    }
}
