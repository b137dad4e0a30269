//! Actions that the operator creates.

use modelward_crds::{
    ActionReference, ActionType, Diagnosis, EvidenceKind, EvidenceReference, RemediationAction,
    RemediationActionSpec, VersionReference, annotations, labels,
};
use modelward_wire::shorten;

use crate::model::Validated;

/// The longest message that the schema accepts, in characters.
const MESSAGE: usize = 1024;

/// An action of this model: in its namespace, with its label, and owned by it. `proposer` is the user name of the operator,
/// which newer API servers set and the admission policies of older ones require.
pub fn action(
    name: &str,
    model: &Validated,
    proposer: &str,
    mut spec: RemediationActionSpec,
) -> RemediationAction {
    model.name().clone_into(&mut spec.model);
    spec.message = spec.message.map(|message| shorten(&message, MESSAGE));
    let mut action = RemediationAction::new(name, spec);
    action
        .metadata
        .namespace
        .clone_from(&model.model().metadata.namespace);
    action.metadata.owner_references = Some(vec![model.owner().clone()]);
    action.metadata.labels = Some(
        [
            (
                "app.kubernetes.io/managed-by".to_owned(),
                "modelward-operator".to_owned(),
            ),
            (labels::MODEL.to_owned(), model.name().to_owned()),
        ]
        .into(),
    );
    action.metadata.annotations = Some([(annotations::PROPOSED_BY.to_owned(), proposer.to_owned())].into());
    action
}

/// The spec of an action that lets a version serve.
pub fn serving_spec(
    action: ActionType,
    candidate: &VersionReference,
    why: String,
    parent: Option<ActionReference>,
    diagnosis: Option<Diagnosis>,
) -> RemediationActionSpec {
    RemediationActionSpec {
        model: String::new(),
        action,
        target: None,
        candidate: Some(candidate.clone()),
        accept_window: None,
        diagnosis,
        evidence: vec![EvidenceReference {
            kind: EvidenceKind::ModelVersion,
            name: candidate.name.clone(),
            uid: candidate.uid.clone().unwrap_or_default(),
        }],
        message: Some(why),
        dry_run: false,
        parent_ref: parent,
    }
}
