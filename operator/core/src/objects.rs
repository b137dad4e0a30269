//! Queries on objects that several decisions use.

use kube::{Resource as _, ResourceExt as _};
use modelward_crds::{ActiveAction, ConditionType, Model, RemediationAction};

use crate::conditions::{self, Status};

pub(crate) fn uid_of<K: kube::Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

pub(crate) fn name_of<K: kube::Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

pub(crate) fn parent_uid(action: &RemediationAction) -> Option<&str> {
    action.spec.parent_ref.as_ref().map(|parent| parent.uid.as_str())
}

pub(crate) fn active(model: &Model) -> Option<&ActiveAction> {
    model.status.as_ref()?.active_action.as_ref()
}

/// Whether an action has ended.
pub fn has_ended(action: &RemediationAction) -> bool {
    let conditions = action.status.as_ref().map(|status| status.conditions.as_slice());
    conditions::find(conditions.unwrap_or_default(), ConditionType::Succeeded)
        .is_some_and(|succeeded| conditions::status(succeeded) != Status::Unknown)
}

/// Whether an action belongs to a Model that was deleted; `uid` is that of the current Model of that name. Garbage collection deletes
/// such an action, so it has no effect any more, and its name becomes free.
pub fn is_of_deleted_model(action: &RemediationAction, uid: Option<&str>) -> bool {
    let mut owners = action.owner_references().iter();
    owners.any(|owner| {
        owner.kind == Model::kind(&())
            && owner.api_version == Model::api_version(&())
            && owner.name == action.spec.model
            && Some(owner.uid.as_str()) != uid
    })
}

/// Whether an action waits for another object before it has a plan, such as for a dataset. It may end without one, so nothing
/// waits for it.
pub fn is_waiting_for_a_plan(action: &RemediationAction) -> bool {
    let Some(status) = &action.status else {
        return false;
    };
    let reconciling = conditions::find(&status.conditions, ConditionType::Reconciling);
    status.plan.is_none()
        && status.execution.is_none()
        && reconciling.is_some_and(|reconciling| conditions::status(reconciling) == Status::False)
}

/// Whether the operator made this object, by the name that the API server recorded.
pub(crate) fn is_by_operator<K: kube::Resource>(object: &K, annotation: &str, operator: &str) -> bool {
    let annotations = object.meta().annotations.as_ref();
    let maker = annotations.and_then(|all| all.get(annotation));
    !operator.is_empty() && maker.is_some_and(|maker| maker == operator)
}
