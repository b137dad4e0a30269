//! Why a bundle cannot be put together.

use modelward_model::BundleError;

use crate::fit::reference::ReferenceError;

/// Why a bundle could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// A part cannot be written as JSON.
    #[error("a part of the bundle cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The model card cannot be rendered.
    #[error("the model card cannot be rendered")]
    Card(#[from] askama::Error),
    /// A row of the snapshot cannot be read back as a request would be.
    #[error("the warm-up sample cannot be recorded")]
    WarmUp(#[from] BundleError),
    /// The training data cannot be counted.
    #[error("the drift reference cannot be made")]
    Reference(#[from] ReferenceError),
}
