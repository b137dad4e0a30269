//! What has to hold of a model before anything is decided about it or created for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use modelward_crds::Model;

/// A model that the API server has stored, so that objects can belong to it. Decisions and builders of what belongs to it take this, so
/// that none of them has to check it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    model: Model,
    owner: OwnerReference,
}

/// Why nothing can be decided about a model. Its spec needs no check: its only field has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It has no name or no uid, so nothing can belong to it.
    #[error("the model has no metadata.uid")]
    NoUid,
}

/// Checks a model once for every decision and builder.
pub fn validate(model: Model) -> Result<Validated, Invalid> {
    let owner = model.controller_owner_ref(&()).ok_or(Invalid::NoUid)?;
    Ok(Validated { model, owner })
}

// === impl Validated ===

impl Validated {
    /// The object.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// The controller reference of its children, actions and reports.
    pub fn owner(&self) -> &OwnerReference {
        &self.owner
    }

    /// The same model as a write returned it. Writes name the uid, so it is the same object.
    #[must_use]
    pub fn written(self, model: Model) -> Self {
        Self { model, ..self }
    }
}
