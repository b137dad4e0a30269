//! A training: its data, the candidates, and what the result is compared with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use modelward_wire::{Decimal, Digest, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::{
    columns::{FeatureSpec, Target},
    custom_trainer::CustomTrainer,
    data::{Dataset, NamedDataset},
    decision::{CalibrationMethod, ThresholdSpec},
    ensemble::EnsembleSpec,
    expectations::Expectation,
    hyperparameters::Hyperparameters,
    rules::{IS_MARGIN, IS_POSITIVE, MARGIN, POSITIVE, default_margin},
    search::SearchSpec,
    transforms::TransformSpec,
    validation::{Gate, MetricName, ValidationSpec},
};

/// A training: its data, target and features, and how a candidate is selected and gated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.exclude) || !(self.target.column in self.exclude)")
    .message("exclude names the target column, which is predicted and is not a feature; leave it out"))]
#[x_kube(validation = Rule::new("!has(self.features) || self.features.all(f, f.name != self.target.column)")
    .message("features names the target column, which is predicted and is not a feature; leave it out"))]
#[x_kube(validation = Rule::new("!has(self.hyperparameters) || ((!has(self.hyperparameters.logisticRegression) || 'LogisticRegression' in self.families) && \
    (!has(self.hyperparameters.randomForest) || 'RandomForest' in self.families) && \
    (!has(self.hyperparameters.xgboost) || 'XGBoost' in self.families) && \
    (!has(self.hyperparameters.lightgbm) || 'LightGBM' in self.families))")
    .message("hyperparameters has a family that families does not list; add it to families, or remove its hyperparameters"))]
#[x_kube(validation = Rule::new("!has(self.features) || has(self.customTrainer) || !('LogisticRegression' in self.families) || self.features.all(f, !has(f.monotone))")
    .message("monotone is a constraint on trees, and families has LogisticRegression, which cannot keep it; remove one of the two"))]
#[x_kube(validation = Rule::new("!has(self.validation.groupBy) || self.validation.groupBy != self.target.column")
    .message("validation.groupBy names the target column; name the column whose values are the groups"))]
#[x_kube(validation = Rule::new("!has(self.validation.groupBy) || !has(self.features) || self.features.all(f, f.name != self.validation.groupBy)")
    .message("features names the column of validation.groupBy, which is not a feature; remove it from one of the two"))]
#[x_kube(validation = Rule::new("!has(self.weights) || !has(self.weights.column) || self.weights.column != self.target.column")
    .message("weights.column names the target column; name the column that has the weight of each row"))]
#[x_kube(validation = Rule::new("!has(self.weights) || !has(self.weights.column) || !has(self.features) || self.features.all(f, f.name != self.weights.column)")
    .message("features names the column of weights.column, which is not a feature; remove it from one of the two"))]
#[x_kube(validation = Rule::new("!has(self.weights) || !has(self.weights.column) || !has(self.validation.groupBy) || self.weights.column != self.validation.groupBy")
    .message("weights.column and validation.groupBy name the same column; a column has one role"))]
#[x_kube(validation = Rule::new("!has(self.validation.timeSplit) || self.validation.timeSplit.column != self.target.column")
    .message("validation.timeSplit names the target column; name the column that has the time of each row"))]
#[x_kube(validation = Rule::new("!has(self.validation.timeSplit) || !has(self.features) || self.features.all(f, f.name != self.validation.timeSplit.column)")
    .message("features names the column of validation.timeSplit, which is not a feature; remove it from one of the two"))]
#[x_kube(validation = Rule::new("!has(self.validation.timeSplit) || !has(self.weights) || !has(self.weights.column) || \
    self.weights.column != self.validation.timeSplit.column")
    .message("weights.column and validation.timeSplit name the same column; a column has one role"))]
#[x_kube(validation = Rule::new("!has(self.validation.timeSplit) || self.validation.folds >= 3 || \
    (self.calibration == 'None' && (!has(self.threshold) || has(self.threshold.value)) && !has(self.ensemble))")
    .message("validation.timeSplit with a calibration, a chosen threshold or an ensemble needs validation.folds of at least 3: they are learnt from earlier folds"))]
#[x_kube(validation = Rule::new("!has(self.ensemble) || has(self.customTrainer) || self.families.size() >= 2 || \
    (has(self.search) && self.search.trials >= 2)")
    .message("ensemble needs several candidates: list at least two families, or set search with at least 2 trials"))]
#[x_kube(validation = Rule::new("!has(self.customTrainer) || (self.families.size() == 1 && 'LogisticRegression' in self.families)")
    .message("customTrainer trains in place of the families; remove families"))]
#[x_kube(validation = Rule::new("!has(self.customTrainer) || (!has(self.hyperparameters) && !has(self.search))")
    .message("customTrainer gets its hyper-parameters by args and env, and searches by itself; remove hyperparameters and search"))]
#[x_kube(validation = Rule::new("!has(self.customTrainer) || !has(self.ensemble)")
    .message("customTrainer leaves one model, and an ensemble has several; remove ensemble"))]
#[x_kube(validation = Rule::new("!has(self.customTrainer) || (!has(self.transforms) && !has(self.weights))")
    .message("customTrainer gets the rows as they are; remove transforms and weights, and do both in the image"))]
#[x_kube(validation = Rule::new("!has(self.customTrainer) || !has(self.features) || self.features.all(f, !has(f.monotone))")
    .message("monotone is a constraint that a customTrainer need not keep; remove it"))]
#[x_kube(validation = Rule::new("!has(self.customTrainer) || (has(self.validation.heldOut) && self.validation.repeats == 1)")
    .message("customTrainer is measured on rows that it does not get; set validation.heldOut, such as {fraction: \"0.2\"}, and validation.repeats: 1"))]
pub struct TrainingSource {
    /// Rows to train on.
    pub dataset: Dataset,

    /// Further datasets to train on, with the same columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub additional_datasets: Vec<NamedDataset>,

    /// Digest of the snapshot of these datasets, if they have already been read and accepted. The datasets are then not read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_digest")]
    pub snapshot: Option<Digest>,

    /// Column to predict, and which of its values are class 1.
    pub target: Target,

    /// Features that cannot be inferred completely. All other columns are features too, except the target, the columns in exclude, and
    /// the columns of validation.groupBy, validation.timeSplit and weights.column. They are Numeric if every value is a number, and
    /// Categorical if most values are words. A column that mixes numbers and words, at least half of them numbers, must be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub features: Vec<FeatureSpec>,

    /// Columns that are not features, such as an identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,

    /// Expectations that the rows must meet, in the terms of Great Expectations. If a Critical expectation is not met, the data is
    /// rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub expectations: Vec<Expectation>,

    /// Transforms that compute columns from features before a family is fitted, in this order. In each fold they are fitted on the
    /// training rows only. The bundle stores them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub transforms: Vec<TransformSpec>,

    /// What is predicted. Binary: the probability of class 1 of two classes.
    #[serde(default)]
    pub task: Task,

    /// Families of models to try. The best one by selectBy is selected.
    #[serde(default = "default_families")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub families: Vec<Family>,

    /// Image that trains in place of the families. The trainer measures its model on the rows of validation.heldOut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_trainer: Option<Box<CustomTrainer>>,

    /// Hyper-parameters of the families. Parameters that are not set have their defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hyperparameters: Option<Box<Hyperparameters>>,

    /// Search over hyper-parameters. If absent, each family is tried once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,

    /// Ensemble of the candidates, as an additional candidate. If absent, a single model is selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<EnsembleSpec>,

    /// How much each row counts when a model is fitted. If absent, all rows count the same. Metrics count every row once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightSpec>,

    /// How candidates are evaluated: with repeated stratified folds of rows or of groups of rows, or with blocks in the order of time.
    #[serde(default)]
    pub validation: ValidationSpec,

    /// Metric that candidates are selected by: Accuracy, Precision, Recall, F1, RocAuc, LogLoss, Brier, PrAuc, Mcc or BalancedAccuracy.
    #[serde(default)]
    pub select_by: MetricName,

    /// How scores become probabilities: None, Platt or Isotonic. It is learned from rows that the scoring model was not fitted on.
    #[serde(default)]
    pub calibration: CalibrationMethod,

    /// How the decision threshold is chosen. If absent, it is 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdSpec>,

    /// Bounds on metrics that the selected candidate must meet before it may serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,

    /// Version (the champion) that this version must not be worse than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse_than: Option<Champion>,

    /// Accepted window that later traffic is compared with. If absent, traffic is compared with the training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<AcceptedWindow>,
}

/// A version that a new version is compared with on the same rows.
///
/// The new version passes if the 5% lower bound of the difference in selectBy is at or above minus the margin: on all rows, and
/// separately on the rows that the champion was not trained on. The difference is pooled over the folds, and the bound is from a paired
/// bootstrap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Champion {
    /// Name of the ModelVersion, for display.
    #[schemars(length(min = 1, max = 45), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub version: String,
    /// Digest of its bundle.
    #[schemars(schema_with = "crate::schema::digest")]
    pub bundle: Digest,
    /// Margin by which the new version may be worse, as a decimal number.
    #[serde(default = "default_margin")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_MARGIN).message(MARGIN))]
    pub margin: Decimal,
}

/// A window of traffic that was accepted as the new normal.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedWindow {
    /// Digest of the bins and counts of the window in the ledger.
    #[schemars(schema_with = "crate::schema::digest")]
    pub counts: Digest,
    /// Number of rows in the window.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Start of the window.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub start_time: Time,
    /// End of the window.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub end_time: Time,
}

words! {
    /// What a model predicts.
    #[derive(Default, JsonSchema)]
    pub enum Task {
        /// The probability of class 1, of two classes.
        #[default]
        Binary,
    }
}

/// How much each row counts when a model is fitted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.positive) || self.classes == 'Equal'")
    .message("positive sets the weight of class 1; leave classes out, or remove positive"))]
pub struct WeightSpec {
    /// Weights of the classes: Equal, or Balanced, which gives both classes the same total weight.
    #[serde(default)]
    pub classes: ClassWeights,
    /// How many times a row of class 1 counts, as a decimal number. A row of class 0 counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_POSITIVE).message(POSITIVE))]
    pub positive: Option<Decimal>,
    /// Column with the weight of each row, a number of at least 0. It is multiplied by the weight of the row's class. The column is not
    /// a feature, and every row must have a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub column: Option<String>,
}

words! {
    /// How much each class counts.
    #[derive(Default, JsonSchema)]
    pub enum ClassWeights {
        /// Every row counts the same.
        #[default]
        Equal,
        /// The rows of a class are weighted by the inverse of their number, so that both classes have the same total weight.
        Balanced,
    }
}

words! {
    /// The family of a selected candidate.
    #[derive(JsonSchema)]
    pub enum SelectedFamily {
        /// L2-regularized logistic regression.
        LogisticRegression,
        /// Random forest, grown by XGBoost.
        RandomForest,
        /// Gradient boosting by XGBoost.
        XGBoost,
        /// Gradient boosting by LightGBM.
        LightGBM,
        /// The weighted vote of several models.
        Ensemble,
    }

    /// A family of models.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Family: SelectedFamily {
        /// L2-regularized logistic regression on imputed, one-hot encoded and standardized features.
        LogisticRegression,
        /// Random forest, grown by XGBoost.
        RandomForest,
        /// Gradient boosting by XGBoost.
        XGBoost,
        /// Gradient boosting by LightGBM.
        LightGBM,
    }
}

fn default_families() -> Vec<Family> {
    vec![Family::LogisticRegression]
}

impl TrainingSource {
    /// All datasets, in the order in which their rows are read: `dataset`, then the additional ones.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        std::iter::once(&self.dataset).chain(self.additional_datasets.iter().map(|named| &named.dataset))
    }

    /// The columns that describe rows and are neither features nor the target, each with the field that names it.
    pub fn row_columns(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let weight = self.weights.as_ref().and_then(|weights| weights.column.as_ref());
        let fields = [
            ("validation.groupBy", self.validation.group_by.as_ref()),
            ("weights.column", weight),
            (
                "validation.timeSplit",
                self.validation.time_split.as_ref().map(|split| &split.column),
            ),
        ];
        fields
            .into_iter()
            .filter_map(|(field, column)| Some((field, column?)))
    }

    /// Whether a calibration, a threshold or the weights of an ensemble are learned from scores.
    pub fn learns_from_scores(&self) -> bool {
        let is_given = |threshold: &ThresholdSpec| threshold.value.is_some();
        self.calibration != CalibrationMethod::None
            || !self.threshold.as_ref().is_none_or(is_given)
            || self.ensemble.is_some()
    }

    /// The number of folds, over all repeats, that a metric is the mean of.
    pub fn measured_folds(&self) -> usize {
        let count = |number: i32| usize::try_from(number).unwrap_or(0);
        let folds = count(self.validation.folds) * count(self.validation.repeats);
        // In the order of time, the first fold has no earlier fold to learn from and is not measured.
        let learns_in_time = self.validation.time_split.is_some() && self.learns_from_scores();
        folds.saturating_sub(usize::from(learns_in_time))
    }

    /// Whether a column of the data is a feature.
    pub fn is_feature(&self, column: &str) -> bool {
        column != self.target.column
            && !self.exclude.iter().any(|name| name == column)
            && !self.row_columns().any(|(_, name)| name == column)
    }
}
