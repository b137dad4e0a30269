//! The common parts of the two scoring operators.

use super::{columns::Column, error::OnnxError, file::Node, linear::Linear, sums::Sums, trees::Trees};
use crate::{math::sigmoid, schema::Row};

/// A classifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Classifier {
    model: Model,
    after: After,
    /// The two classes. Scores are probabilities of the second.
    pub(super) labels: [String; 2],
    /// Whether each probability is divided by the sum of both.
    pub(super) is_normalised: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Model {
    Trees(Trees),
    Linear(Linear),
}

/// The function of the sums: `post_transform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Logistic,
    Softmax,
}

// === impl Classifier ===

impl Classifier {
    pub(super) fn read_trees(node: &Node<'_>, columns: &[Column]) -> Result<Self, OnnxError> {
        let after = After::read(node)?;
        let labels = read_labels(node, "classlabels_int64s")?;
        let trees = Trees::read(node, columns)?;
        if after == After::Nothing {
            trees.check_probabilities(node)?;
        }
        if after == After::Softmax && !trees.has_two() {
            return Err(node.fail("post_transform SOFTMAX needs scores of both classes"));
        }
        Ok(Self::new(Model::Trees(trees), after, labels))
    }

    pub(super) fn read_linear(node: &Node<'_>, columns: &[Column]) -> Result<Self, OnnxError> {
        let after = After::read(node)?;
        let labels = read_labels(node, "classlabels_ints")?;
        let linear = Linear::read(node, columns)?;
        match (after, linear.has_two()) {
            (After::Nothing, _) => Err(node
                .fail("it gives raw scores and no probabilities; export it without the option raw_scores")),
            (After::Softmax, false) => Err(node.fail("post_transform SOFTMAX needs scores of both classes")),
            _ => Ok(Self::new(Model::Linear(linear), after, labels)),
        }
    }

    fn new(model: Model, after: After, labels: [String; 2]) -> Self {
        Self {
            model,
            after,
            labels,
            is_normalised: false,
        }
    }

    /// The probability of the second class.
    pub(super) fn score(&self, row: &Row) -> f64 {
        let sums = match &self.model {
            Model::Trees(trees) => trees.sum(row),
            Model::Linear(linear) => linear.sum(row),
        };
        let (zero, one) = match (self.after, sums) {
            (After::Nothing, Sums::One(one)) => (1.0 - one, one),
            (After::Nothing, Sums::Two(zero, one)) => (zero, one),
            (After::Logistic, Sums::One(one)) => (sigmoid(-one), sigmoid(one)),
            (After::Logistic, Sums::Two(zero, one)) => (sigmoid(zero), sigmoid(one)),
            (After::Softmax, Sums::Two(zero, one)) => (sigmoid(zero - one), sigmoid(one - zero)),
            // This was refused when the file was read.
            (After::Softmax, Sums::One(_)) => (0.5, 0.5),
        };
        let probability = if self.is_normalised && zero + one > 0.0 {
            one / (zero + one)
        } else {
            one
        };
        // A row without a value that the model needs has no probability. A schema refuses such rows.
        if probability.is_nan() {
            0.5
        } else {
            probability.clamp(0.0, 1.0)
        }
    }

    /// The features that a row must have.
    pub(super) fn needed(&self) -> Vec<usize> {
        match &self.model {
            Model::Trees(_) => Vec::new(),
            Model::Linear(linear) => linear.needed(),
        }
    }
}

// === impl After ===

impl After {
    fn read(node: &Node<'_>) -> Result<Self, OnnxError> {
        match node.text("post_transform")?.unwrap_or("NONE") {
            "NONE" => Ok(Self::Nothing),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::Softmax),
            other => Err(node.fail(format!(
                "post_transform {other:?} is not supported, only NONE, LOGISTIC and SOFTMAX are"
            ))),
        }
    }
}

/// The two classes of a node, as texts.
pub(super) fn read_labels(node: &Node<'_>, integers: &str) -> Result<[String; 2], OnnxError> {
    let mut labels: Vec<String> = node.integers(integers)?.iter().map(ToString::to_string).collect();
    labels.extend(node.texts("classlabels_strings", |text| Ok(text.to_owned()))?);
    let count = labels.len();
    labels
        .try_into()
        .map_err(|_| node.fail(format!("it has {count} classes, only 2 are supported")))
}
