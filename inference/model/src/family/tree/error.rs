//! Why a file of trees is refused.

use super::ubjson::UbjsonError;

/// Why a file of trees is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A line of a text, from 1.
    #[error("line {line}: {what}")]
    Line {
        /// Which.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A field of a file.
    #[error("{field}: {what}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A tree, from 0 as in the file.
    #[error("tree {tree}: {what}")]
    Tree {
        /// Which.
        tree: usize,
        /// What is wrong.
        what: String,
    },
    /// A node of a tree, from 0 for the root as in the file. In LightGBM's text leaves are counted after all splitting nodes.
    #[error("tree {tree}, node {node}: {what}")]
    Node {
        /// The tree.
        tree: usize,
        /// The node.
        node: usize,
        /// What is wrong.
        what: String,
    },
    /// The error is about the whole file.
    #[error("{0}")]
    File(String),
    /// It is not JSON of this form.
    #[error("does not parse as a model of XGBoost in JSON")]
    Json(#[source] serde_json::Error),
    /// It is not UBJSON of this form.
    #[error("does not parse as a model of XGBoost in UBJSON")]
    Ubjson(#[source] UbjsonError),
}

// === impl TreeError ===

impl TreeError {
    pub(super) fn line(line: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Line { line, what }
    }

    pub(super) fn field(field: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Field { field, what }
    }

    pub(super) fn tree(tree: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Tree { tree, what }
    }

    pub(super) fn node(tree: usize, node: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Node { tree, node, what }
    }

    pub(super) fn file(what: impl Into<String>) -> Self {
        Self::File(what.into())
    }
}
