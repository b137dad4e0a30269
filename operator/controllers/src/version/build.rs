//! From a version to the record of its model. Pure.

use kube::Resource as _;
use modelward_crds::{Model, ModelVersion};
use serde_json::json;

use crate::{Error, apply::build};

/// The record of the version's model, owned by this version until the `Model` controller adds the others.
pub fn model(version: &ModelVersion) -> Result<Model, Error> {
    let owner = version.owner_ref(&()).ok_or(Error::Incomplete {
        what: "ModelVersion",
        field: "metadata.uid",
    })?;
    build(
        "Model",
        json!({
            "apiVersion": Model::api_version(&()),
            "kind": Model::kind(&()),
            "metadata": {"name": version.spec.model, "ownerReferences": [owner]},
            "spec": {},
        }),
    )
}
