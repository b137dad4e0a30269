//! Bundle format, feature schema, families of models and scoring: everything that training and serving must agree on.
//!
//! ```text
//! trainer:   a fitted model ──► Scorer ──► WarmUp, out-of-fold scores ──► DirBuilder ──► bundle directory
//! inference: bundle directory ──► Bundle::open ──► Family::load ──► verify_warm_up ──► schema().read_json ──► score
//! ```
//!
//! Both use the same [`Scorer`] of the model's [`Family`] and the same [`math`], with values cast to `f32`, so their scores are equal bit
//! for bit. This crate does not read a clock, start threads or use the network. Only [`files`] reads files.

pub mod bundle;
pub mod calibration;
pub mod encode;
pub mod family;
pub mod files;
pub mod math;
pub mod schema;
pub mod transform;

pub use bundle::{
    BUNDLE_FORMAT, Bundle, BundleError, BundleInfo, CustomTrainerInfo, ImportInfo, MemberInfo, TargetInfo,
    WarmUp, WarmUpRow,
};
pub use calibration::{CalibratedScorer, Calibration, CalibrationError, CalibrationFile};
pub use encode::{Encoder, FeatureTransform, TransformError, Transforms};
pub use family::{Families, Family, FamilyError, FamilyFiles, Scorer};
pub use files::{DirBuilder, FilesError, VerifiedDir, sha256, sha256_file, write_bundle, write_snapshot};
pub use schema::{
    Cell, Feature, FeatureKind, FeatureSchema, Missing, Row, RowError, SchemaError, Value, Warning,
    canonical_category, is_truth, normalize_name, number, truth_category,
};
pub use transform::{Derivation, DerivationError, DerivedScorer, TransformFile};
