//! The owners of Jobs, and the Jobs and ConfigMaps that belong to them.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt as _};
use modelward_core::{action, attempt::RequesterKind, version};
use modelward_crds::labels;
use modelward_wire::JobStage;
use serde_json::{Value, json};

use crate::jobs::names::label_value;

/// The object that Jobs belong to.
#[derive(Clone, Debug)]
pub(crate) struct JobOwner {
    /// The namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Name of the model that it is about.
    pub model: String,
    /// Its kind, for messages.
    pub(super) kind: RequesterKind,
    pub(super) reference: OwnerReference,
    pub(super) about: ObjectReference,
}

// === impl JobOwner ===

impl JobOwner {
    /// A version, whose data is read and for which a model is fitted.
    pub(crate) fn version(valid: &version::Validated<'_>) -> Self {
        let version = valid.version();
        let reference = valid.owner().clone();
        Self::of(version, &version.spec.model, RequesterKind::Version, reference)
    }

    /// An action, whose data is read before its plan is made.
    pub(crate) fn action(valid: &action::Validated) -> Self {
        let (action, kind) = (valid.action(), RequesterKind::Action);
        Self::of(action, &action.spec.model, kind, valid.owner().clone())
    }

    fn of<K>(object: &K, model: &str, kind: RequesterKind, reference: OwnerReference) -> Self
    where
        K: Resource<DynamicType = ()>,
    {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            model: model.to_owned(),
            kind,
            reference,
            about: object.object_ref(&()),
        }
    }

    /// Its name as a label value.
    pub(super) fn label_value(&self) -> String {
        label_value(&self.name)
    }

    pub(super) fn labels(&self, stage: Option<JobStage>) -> Value {
        let mut all = json!({
            "app.kubernetes.io/name": "modelward-trainer",
            "app.kubernetes.io/instance": self.model,
            "app.kubernetes.io/managed-by": "modelward-operator",
            labels::MODEL: self.model,
            label_of(self.kind): self.label_value(),
        });
        if let Some(stage) = stage {
            all[labels::STAGE] = stage.command().into();
        }
        all
    }
}

/// Label that carries the name of an owner on its Jobs.
pub(super) fn label_of(kind: RequesterKind) -> &'static str {
    match kind {
        RequesterKind::Version => labels::VERSION,
        RequesterKind::Action => labels::ACTION,
    }
}

/// Whether this uid is among the owners.
pub(super) fn is_owned<K: Resource>(object: &K, uid: &str) -> bool {
    object
        .owner_references()
        .iter()
        .any(|reference| reference.uid == uid)
}
