//! The publication of a version to MLflow.

use serde::{Deserialize, Serialize};

use crate::words;

words! {
    /// The state of a publication.
    pub enum PublicationState {
        /// No attempt has ended yet.
        Pending,
        /// The version was published.
        Published,
        /// The last attempt failed; another attempt follows.
        Failed,
    }
}

/// The publication of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicationRecord {
    /// Its state.
    pub state: PublicationState,
    /// Number of attempts that were started.
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
