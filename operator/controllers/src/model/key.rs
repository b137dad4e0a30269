//! The Secret with the key of a model.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt as _;
use modelward_core::{conditions, model::Validated, names::name_hash, reason::Reason};
use modelward_crds::{ChildReference, ConditionType, Model};
use modelward_wire::Digest;

use crate::{
    Error,
    api::{
        Env, apply,
        create::{Created, create},
    },
    model::{build, key_names::KeyNames, status::conditions_of},
};

/// The Secret that the operator created for this model.
pub(super) fn recorded_key(model: &Model) -> Option<&ChildReference> {
    let status = model.status.as_ref()?;
    let name = status.key_secret.as_ref()?;
    status
        .children
        .iter()
        .find(|child| child.kind == "Secret" && &child.name == name)
}

/// Ensures that the Secret with the keys of prediction ids and of synthetic traffic exists, and records it. The operator may create
/// Secrets but cannot read any, so it uses only Secrets that it created itself: the name is random, and is recorded with the uid
/// before anything uses it.
pub(super) async fn ensure_key(
    env: &Env,
    names: &KeyNames,
    namespace: &str,
    valid: Validated,
) -> Result<Validated, Box<(Validated, Error)>> {
    let model = valid.model();
    let recorded = recorded_key(model).map(|recorded| recorded.name.clone());
    // The Secret cannot be read, only created: it is assumed to exist while all is well, or while another problem is known.
    if recorded.is_some() && !may_lack_its_key(model) {
        return Ok(valid);
    }
    let name = recorded.clone().unwrap_or_else(|| names.of(model));
    let made = match make_key(env, namespace, &valid, &name).await {
        Ok(Created::Made(made)) => made,
        Ok(Created::Exists(_)) if recorded.is_some() => return Ok(valid),
        Ok(Created::Exists(answer)) => {
            // An object of another owner has the generated name: the next reconcile draws another.
            names.forget(model);
            return Err(Box::new((valid, answer)));
        }
        Err(error) => return Err(Box::new((valid, error))),
    };
    let mut status = model.status.clone().unwrap_or_default();
    status.key_secret = Some(name);
    status.children.retain(|child| child.kind != "Secret");
    status.children.insert(0, made);
    let written = apply::status(env, model, model.status.as_ref(), &status).await;
    // Created and not recorded: nothing uses it, and the next one has another name.
    names.forget(model);
    match written {
        Ok(Some(written)) => Ok(valid.written(written)),
        Ok(None) => Ok(valid),
        Err(error) => Err(Box::new((valid, error))),
    }
}

/// Creates the Secret, and returns its reference for the status.
async fn make_key(
    env: &Env,
    namespace: &str,
    valid: &Validated,
    name: &str,
) -> Result<Created<ChildReference>, Error> {
    let key = rand::random::<[u8; 32]>().to_vec();
    let applied = name_hash([key.as_slice()]);
    let secret = Secret {
        metadata: kube::api::ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(build::label_map(valid.model())),
            owner_references: Some(vec![valid.owner().clone()]),
            ..kube::api::ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(
            [
                ("prediction-id.key", key),
                // As text, because it is sent in a header.
                (
                    "traffic.key",
                    Digest::from_bytes(rand::random()).hex().into_bytes(),
                ),
            ]
            .map(|(name, key)| (name.to_owned(), ByteString(key)))
            .into(),
        ),
        ..Secret::default()
    };
    Ok(match create(env, namespace, &secret).await? {
        Created::Made(made) => Created::Made(ChildReference {
            kind: "Secret".to_owned(),
            name: name.to_owned(),
            uid: made.uid().unwrap_or_default(),
            applied,
        }),
        Created::Exists(answer) => Created::Exists(answer),
    })
}

/// Whether a deleted Secret could be the reason why Pods do not become ready.
fn may_lack_its_key(model: &Model) -> bool {
    let reason = conditions::find(conditions_of(model), ConditionType::Ready).and_then(conditions::reason);
    matches!(
        reason,
        None | Some(Reason::RolloutInProgress | Reason::RolloutStuck | Reason::TooFewPods)
    )
}
