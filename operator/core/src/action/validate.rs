//! What has to hold of an action before anything is decided about it or created for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use modelward_crds::RemediationAction;

/// An action that the API server has stored, so that a claim, Jobs and versions can name it. Decisions and the builders of its Jobs take
/// this, so that none of them has to check it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    action: RemediationAction,
    owner: OwnerReference,
}

/// Why nothing can be decided about an action.
///
/// The fields that its type needs are not checked here: the schema requires them, and each is read in one place, by the file of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It has no name or no uid, so nothing can belong to it.
    #[error("the action has no metadata.uid")]
    NoUid,
}

/// Checks an action once for every decision and builder.
pub fn validate(action: RemediationAction) -> Result<Validated, Invalid> {
    let owner = action.controller_owner_ref(&()).ok_or(Invalid::NoUid)?;
    Ok(Validated { action, owner })
}

// === impl Validated ===

impl Validated {
    /// The object.
    pub fn action(&self) -> &RemediationAction {
        &self.action
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.owner.uid
    }

    /// The owner reference of its Jobs.
    pub fn owner(&self) -> &OwnerReference {
        &self.owner
    }
}
