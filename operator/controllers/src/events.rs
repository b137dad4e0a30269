//! Events: one for each condition that changed its status or reason.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use modelward_core::conditions;
use modelward_crds::conditions::types;

use crate::{Context, ledger::chain};

/// An Event's note holds 1 kB.
const NOTE_LIMIT: usize = 900;

/// The one recorder of a process: it folds repeated Events into a count.
pub fn recorder(client: Client, instance: &str) -> Recorder {
    Recorder::new(
        client,
        Reporter {
            controller: "modelward-operator".into(),
            instance: Some(instance.to_owned()),
        },
    )
}

/// Publishes an Event for each condition that is not what it was. Summaries that say the same as another are left out.
pub async fn conditions_changed<K: Resource<DynamicType = ()>>(
    ctx: &Context,
    object: &K,
    old: &[Condition],
    new: &[Condition],
) {
    let about = object.object_ref(&());
    for condition in conditions::changed(old, new) {
        // Reconciling and Stalled follow from Ready, which says the same in the same words.
        if matches!(condition.type_.as_str(), types::RECONCILING | types::STALLED) {
            continue;
        }
        let bad = condition.status == "False" && conditions::is_true(new, types::STALLED);
        let note = format!(
            "{} is {}: {}",
            condition.type_, condition.status, condition.message
        );
        publish(
            ctx,
            &about,
            if bad {
                EventType::Warning
            } else {
                EventType::Normal
            },
            &condition.reason,
            &condition.type_,
            note,
        )
        .await;
    }
}

/// Publishes one Event. An Event that cannot be written is logged and stops nothing.
pub async fn publish(
    ctx: &Context,
    about: &ObjectReference,
    type_: EventType,
    reason: &str,
    action: &str,
    note: String,
) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note.chars().take(NOTE_LIMIT).collect()),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = ctx
        .call("write an Event", ctx.recorder.publish(&event, about))
        .await
    {
        let name = about.name.as_deref().unwrap_or_default();
        tracing::warn!(
            object.name = name,
            reason,
            "event about {name} was not written: {}",
            chain(&error)
        );
    }
}
