//! What every format of models has.

use std::{error::Error, fmt};

use modelward_model::{
    Feature, FeatureKind, FeatureSchema, Scorer,
    family::tree::{OutlineFeature, OutlineKind, TreeModel},
};

/// A format of files that is imported.
pub trait ModelFormat: fmt::Debug + Sync {
    /// Its name, for messages and `bundle.json`.
    fn name(&self) -> &'static str;

    /// Whether a file is of this format, by its content.
    fn recognises(&self, bytes: &[u8]) -> bool;

    /// What the file says about its features, in the order in which it takes them.
    fn outline(&self, bytes: &[u8]) -> Result<Vec<OutlineEntry>, ImportError>;

    /// Reads the model for a schema, every index checked.
    fn load(&self, bytes: &[u8], schema: &FeatureSchema) -> Result<Loaded, ImportError>;
}

/// A feature as a file states it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlineEntry {
    /// Its name, if the file has one.
    pub name: Option<String>,
    /// What it holds.
    pub kind: OutlineKind,
    /// Whether the model cannot take a missing value.
    pub required: bool,
}

/// A model that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The name of its family.
    pub family: &'static str,
    /// What a server scores rows with.
    pub scorer: Box<dyn Scorer>,
    /// The trees, if it has raw scores whose bits can be compared.
    pub trees: Option<TreeModel>,
    /// The label of class 1, if the file states it.
    pub positive_label: Option<String>,
    /// The files of the family in a bundle.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// How close a score has to be to the expected one.
    pub tolerance: Tolerance,
}

/// How close a probability has to be to the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// One unit in the last place of a 32-bit float: raw scores are equal, and the exponential functions differ.
    LastPlace,
    /// 1e-6: the file has thresholds and weights in single precision, scikit-learn has them in double precision.
    Millionth,
}

/// Why a model is not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// In a sentence.
    #[error("{0}")]
    Refused(String),
    /// The file is damaged, or has something that is not supported.
    #[error("the model cannot be read as {format}")]
    Model {
        /// The name of the format.
        format: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The sample does not fit the schema of the model.
    #[error("the features of the sample make no schema")]
    Schema(#[from] modelward_model::SchemaError),
    /// The bundle cannot be put together.
    #[error("the bundle cannot be put together")]
    Bundle(#[source] Box<dyn Error + Send + Sync>),
}

// === impl Tolerance ===

impl Tolerance {
    /// Whether a probability is as expected.
    pub fn accepts(self, found: f64, expected: f64) -> bool {
        match self {
            Self::LastPlace => {
                let place = |number: f64| i64::from((number as f32).to_bits());
                (place(found) - place(expected)).abs() <= 1
            }
            Self::Millionth => (found - expected).abs() <= 1e-6,
        }
    }

    /// The tolerance in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::LastPlace => "one unit in the last place of a 32-bit float",
            Self::Millionth => "1e-6",
        }
    }
}

// === impl ImportError ===

impl ImportError {
    pub(super) fn model(format: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        Self::Model { format, source }
    }

    pub(super) fn bundle(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Bundle(source.into())
    }
}

// === impl OutlineEntry ===

impl From<OutlineFeature> for OutlineEntry {
    fn from(feature: OutlineFeature) -> Self {
        Self {
            name: feature.name,
            kind: feature.kind,
            required: false,
        }
    }
}

/// For a bundle, whose schema has everything.
impl From<&Feature> for OutlineEntry {
    fn from(feature: &Feature) -> Self {
        Self {
            name: Some(feature.name.clone()),
            kind: match &feature.kind {
                FeatureKind::Numeric { min, max } => OutlineKind::Numeric(min.zip(*max)),
                FeatureKind::Categorical { categories } => OutlineKind::Categorical {
                    codes: categories.len(),
                    words: Some(categories.clone()),
                },
            },
            required: feature.required,
        }
    }
}
