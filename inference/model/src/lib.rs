//! Bundle format, feature schema, transforms and scoring: the one place where training and serving could disagree.
//!
//! ```text
//! trainer:   Transforms, LogisticModel ──► Scorer ──► WarmUp, out-of-fold scores ──► DirBuilder ──► bundle directory
//! inference: bundle directory ──► Bundle::open ──► verify_warm_up ──► schema().read_json ──► score
//! ```
//!
//! Both go through the same [`Scorer`] and the same [`math`], on values cast to `f32`, so their scores are equal bit
//! for bit. Nothing here reads a clock, starts a thread or talks to a network; files are read by [`files`] alone.

pub mod bundle;
pub mod files;
pub mod linear;
pub mod math;
pub mod schema;
pub mod transforms;

pub use bundle::{BUNDLE_FORMAT, Bundle, BundleError, BundleInfo, TargetInfo, WarmUp, WarmUpRow};
pub use files::{DirBuilder, FilesError, VerifiedDir, sha256, sha256_file, write_bundle, write_snapshot};
pub use linear::{LogisticModel, ModelError, Scorer};
pub use schema::{
    Cell, Feature, FeatureKind, FeatureSchema, Row, RowError, SchemaError, Value, Warning, canonical_category,
};
pub use transforms::{Encoder, FeatureTransform, TransformError, Transforms};
