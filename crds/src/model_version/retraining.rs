//! What a new version is trained on when a version drifts, and how it is promoted.

use kube::KubeSchema;
use modelward_wire::Decimal;
use serde::{Deserialize, Serialize};

use crate::model_version::{
    data::NamedDataset,
    rules::{IS_MARGIN, MARGIN, default_margin, default_true},
};

/// Data that a new version is trained on, and how the new version is promoted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrainingSpec {
    /// New data, with the same columns as the version's own dataset.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub datasets: Vec<NamedDataset>,

    /// Whether the new version is also trained on the data of this version.
    #[serde(default = "default_true")]
    pub include_training_data: bool,

    /// Minimum number of rows that this version was not trained on. Rows of the new data that repeat known rows do not count. With
    /// fewer rows, an alert is raised instead.
    #[serde(default = "default_minimum_new_rows")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_new_rows: i64,

    /// Minimum number of new rows of each class.
    #[serde(default = "default_minimum_rows_of_each_class")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_rows_of_each_class: i64,

    /// Whether the approval of the retraining also covers the promotion of the new version once its gates pass. If false, the promotion
    /// is proposed as a separate action.
    #[serde(default = "default_true")]
    pub serve_when_gates_pass: bool,

    /// Margin by which the new version may be worse than the version that serves, as a decimal number: the lower bound of the
    /// difference in the selecting metric must be at or above minus this margin.
    #[serde(default = "default_margin")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_MARGIN).message(MARGIN))]
    pub margin: Decimal,
}

fn default_minimum_new_rows() -> i64 {
    100
}

fn default_minimum_rows_of_each_class() -> i64 {
    30
}
