//! Actions that the operator creates.

use kube::{Resource as _, ResourceExt as _};
use modelward_crds::{
    ActionReference, ActionType, Diagnosis, EvidenceKind, EvidenceReference, Model, RemediationAction,
    RemediationActionSpec, VersionReference, annotations, labels,
};

/// The longest message that the schema accepts, in characters.
const MESSAGE: usize = 1024;

/// An action of this model: in its namespace, with its label, and owned by it. `proposer` is the user name of the operator,
/// which newer API servers set and the admission policies of older ones require. None if the model has no uid.
pub fn action(
    name: &str,
    model: &Model,
    proposer: &str,
    mut spec: RemediationActionSpec,
) -> Option<RemediationAction> {
    let owner = model.controller_owner_ref(&())?;
    spec.model = model.name_any();
    spec.message = spec
        .message
        .map(|message| message.chars().take(MESSAGE).collect());
    let mut action = RemediationAction::new(name, spec);
    action.metadata.namespace.clone_from(&model.metadata.namespace);
    action.metadata.owner_references = Some(vec![owner]);
    action.metadata.labels = Some(
        [
            (
                "app.kubernetes.io/managed-by".to_owned(),
                "modelward-operator".to_owned(),
            ),
            (labels::MODEL.to_owned(), model.name_any()),
        ]
        .into(),
    );
    action.metadata.annotations = Some([(annotations::PROPOSED_BY.to_owned(), proposer.to_owned())].into());
    Some(action)
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
