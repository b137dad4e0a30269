//! What was published of a version to MLflow.

use serde::{Deserialize, Serialize};

use crate::words;

words! {
    /// How far the publication of a version is.
    pub enum PublicationState {
        /// No attempt has ended yet.
        Pending,
        /// MLflow has it.
        Published,
        /// The last attempt failed; another one follows.
        Failed,
    }
}

/// The publication of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicationRecord {
    /// How far it is.
    pub state: PublicationState,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Id of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Number of the version of the registered model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_version: Option<String>,
    /// Address of the run in MLflow's user interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
