//! Why an ONNX file is refused.

/// Why an ONNX file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// It is no protobuf of the right form.
    #[error("does not parse as ONNX: byte {at} of {part}: {what}")]
    Wire {
        /// Which message.
        part: &'static str,
        /// The place in it, the first byte being 0.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The whole file.
    #[error("{0}")]
    File(String),
    /// An operator that is not read.
    #[error(
        "operator {0} is not read: only TreeEnsembleClassifier and LinearClassifier with Scaler, Imputer, FeatureVectorizer, \
         ArrayFeatureExtractor, Normalizer, ZipMap, Concat, Cast, Identity, Add, Sub, Mul and Div are"
    )]
    Operator(String),
    /// A node of the graph.
    #[error("node {name:?} ({operator}): {what}")]
    Node {
        /// Its name.
        name: String,
        /// Its operator.
        operator: String,
        /// What is wrong.
        what: String,
    },
}

// === impl OnnxError ===

impl OnnxError {
    pub(super) fn file(what: impl Into<String>) -> Self {
        Self::File(what.into())
    }
}
