//! From a version to the record of its model. Pure.

use kube::Resource as _;
use modelward_core::version::Validated;
use modelward_crds::Model;
use serde_json::json;

use crate::{Error, api::apply::build};

/// The record of the version's model. No version owns it, because it outlives them.
pub fn model(valid: &Validated<'_>) -> Result<Model, Error> {
    build(
        "Model",
        json!({
            "apiVersion": Model::api_version(&()),
            "kind": Model::kind(&()),
            "metadata": {"name": valid.version().spec.model},
            "spec": {},
        }),
    )
}
