//! `ModelVersion`: an immutable version of a model.
//!
//! | module | what it describes |
//! |---|---|
//! | `spec` | the whole spec, and where the version comes from |
//! | `training`, `data`, `columns`, `expectations`, `transforms`, `hyperparameters`, `decision`, `search`, `ensemble`, `validation` | how it is trained |
//! | `custom_trainer` | an image that trains in place of the trainer |
//! | `artifact` | an existing bundle, or a model to import |
//! | `serving`, `monitoring`, `retraining` | how it is served, monitored and retrained |
//! | `status` | what the operator reports |

mod artifact;
mod columns;
mod custom_trainer;
mod data;
mod decision;
mod ensemble;
mod expectations;
mod hyperparameters;
mod monitoring;
mod retraining;
mod rules;
mod search;
mod serving;
mod spec;
mod status;
mod training;
mod transforms;
mod validation;

pub use artifact::{ArtifactSource, MLFLOW_KEYS, MlflowModel, ModelSample};
pub use columns::{FeatureKind, FeatureSpec, Monotone, PositiveWhen, Target, ValueRange};
pub use custom_trainer::{CustomFormat, CustomTrainer, CustomVariable};
pub use data::{
    ColumnRename, ConfigMapSource, CredentialsSecret, CsvFormat, Dataset, NamedDataset,
    PersistentVolumeClaimSource, credential_keys, credential_variable,
};
pub use decision::{CalibrationMethod, CostSpec, ThresholdMetric, ThresholdSpec};
pub use ensemble::{EnsembleSpec, EnsembleUse};
pub use expectations::{
    Argument, Arguments, Expectation, ExpectationType, IgnoreRowIf, MatchOn, PartitionShare, QuantileRange,
    Severity, ValuePair, ValueType,
};
pub use hyperparameters::{
    Hyperparameters, LightGBMParameters, LogisticRegressionParameters, RandomForestParameters,
    XGBoostParameters,
};
pub use monitoring::{FeatureTolerance, MonitoringSpec, Season};
pub use retraining::RetrainingSpec;
pub use search::SearchSpec;
pub use serving::{Access, ReplicaBounds, ResourceAmounts, ResourceBounds, ServingSpec};
pub use spec::{ModelVersion, ModelVersionSpec, Provenance, Source};
pub use status::{
    ArtifactStatus, AttemptStatus, GateStatus, ImportedStatus, MetricStatus, MlflowStatus,
    ModelVersionStatus, SourceStatus, ViolationStatus,
};
pub use training::{
    AcceptedWindow, Champion, ClassWeights, Family, SelectedFamily, Task, TrainingSource, WeightSpec,
};
pub use transforms::{
    Binning, ImputeStrategy, TransformArgument, TransformArguments, TransformSpec, TransformType,
};
pub use validation::{Gate, HeldOut, MetricName, TimeSplit, ValidationSpec, describe_folds};
