//! Writes the status of a model, and publishes Events about the changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource as _, runtime::events::EventType};
use modelward_core::{
    model::{Decision, Validated},
    reason::Reason,
};
use modelward_crds::Model;

use crate::{
    Error,
    api::{Env, apply, events},
};

pub(super) async fn write_status(
    env: &Env,
    valid: Validated,
    decision: &Decision,
) -> Result<Validated, Error> {
    let model = valid.model();
    let old = model.status.as_ref();
    let Some(written) = apply::status(env, model, old, &decision.status).await? else {
        return Ok(valid);
    };
    events::conditions_changed(env, model, conditions_of(model), &decision.status.conditions).await;
    let claim = old.and_then(|status| status.active_action.as_ref());
    if let (Some(claim), None) = (claim, &decision.status.active_action) {
        let note = format!(
            "{} no longer exists; releasing its claim on the model",
            claim.name
        );
        let reason = Reason::ClaimReleased;
        events::publish(
            env,
            &model.object_ref(&()),
            EventType::Warning,
            reason,
            "Release",
            note,
        )
        .await;
    }
    if routes_changed(model, decision) {
        let about = model.object_ref(&());
        let note = match decision.status.routes.first() {
            Some(route) => format!("{} takes over, bundle {}", route.version, route.digest),
            None => "no version serves any more".to_owned(),
        };
        let reason = Reason::RolloutInProgress;
        events::publish(env, &about, EventType::Normal, reason, "Route", note).await;
    }
    Ok(valid.written(written))
}

pub(super) fn routes_changed(model: &Model, decision: &Decision) -> bool {
    let before = model
        .status
        .as_ref()
        .map(|status| status.routes.as_slice())
        .unwrap_or_default();
    before != decision.status.routes
}

/// The conditions that the record has.
pub(super) fn conditions_of(model: &Model) -> &[Condition] {
    model
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default()
}
