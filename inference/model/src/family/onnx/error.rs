//! Why an ONNX file is refused.

/// Why an ONNX file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// It is not a valid protobuf message of this type.
    #[error("does not parse as ONNX: byte {at} of {part}: {what}")]
    Wire {
        /// The message.
        part: &'static str,
        /// The position in it, from 0.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The error is about the whole file.
    #[error("{0}")]
    File(String),
    /// An unsupported operator.
    #[error(
        "operator {0} is not supported: only TreeEnsembleClassifier and LinearClassifier with Scaler, Imputer, FeatureVectorizer, \
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
