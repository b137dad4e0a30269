//! Events on objects: one for each condition that changed its status or reason.

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{Condition, MicroTime},
};
use kube::{
    Api, Resource,
    api::{ObjectMeta, PostParams},
    runtime::events::EventType,
};
use modelward_core::{
    conditions::{self, Status},
    reason::Reason,
};
use modelward_crds::ConditionType;
use modelward_service::chain;
use modelward_wire::shorten;

use crate::{
    Error,
    api::{Env, recorder::Said},
};

/// Who reports.
const CONTROLLER: &str = "modelward-operator";
/// An Event's note is limited to 1 kB.
const NOTE_LIMIT: usize = 900;
/// An Event's name is the object's name, a dot and 16 digits, of 253 characters at most.
const NAME_LIMIT: usize = 236;
/// Publishes an Event for each condition with a notable change.
pub async fn conditions_changed<K: Resource<DynamicType = ()>>(
    env: &Env,
    object: &K,
    old: &[Condition],
    new: &[Condition],
) {
    let about = object.object_ref(&());
    // Reconciling and Stalled follow from Ready, which has the same message.
    let summaries = [ConditionType::Reconciling, ConditionType::Stalled];
    for condition in conditions::worth_an_event(old, new, &summaries) {
        let (Some(kind), Some(reason)) = (ConditionType::of(&condition.type_), conditions::reason(condition))
        else {
            continue;
        };
        let in_the_way = [
            ConditionType::Altered,
            ConditionType::Contested,
            ConditionType::ProposalRefused,
        ];
        let bad = conditions::status(condition) == Status::False
            && conditions::is_true(new, ConditionType::Stalled)
            || in_the_way.contains(&kind);
        let type_ = if bad {
            EventType::Warning
        } else {
            EventType::Normal
        };
        let note = format!(
            "{} is {}: {}",
            condition.type_, condition.status, condition.message
        );
        publish(env, &about, type_, reason, &condition.type_, note).await;
    }
}

/// Publishes one Event, and returns whether the API server has accepted it.
///
/// The same Event about the same object is sent once in ten minutes; true then means that it was accepted before. A rejected Event
/// is counted and logged, and is not an error.
pub async fn publish(
    env: &Env,
    about: &ObjectReference,
    type_: EventType,
    reason: Reason,
    action: &str,
    note: String,
) -> bool {
    let said = Said {
        about: about
            .uid
            .clone()
            .or_else(|| about.name.clone())
            .unwrap_or_default(),
        reason: reason.to_string(),
        action: action.to_owned(),
        note: shorten(&note, NOTE_LIMIT),
    };
    let now = env.now();
    if env.recorder.knows(&said, now) {
        return true;
    }
    match create(env, about, type_, &said, now).await {
        Ok(()) => {
            env.recorder.note(said, now);
            true
        }
        Err(error) => {
            env.metrics.event_failed();
            let name = about.name.as_deref().unwrap_or_default();
            tracing::warn!(
                object.name = name,
                reason = reason.as_str(),
                "event about {name} was not accepted: {}",
                chain(&error)
            );
            false
        }
    }
}

async fn create(
    env: &Env,
    about: &ObjectReference,
    type_: EventType,
    said: &Said,
    now: Timestamp,
) -> Result<(), Error> {
    let object: String = about
        .name
        .as_deref()
        .unwrap_or(CONTROLLER)
        .chars()
        .take(NAME_LIMIT)
        .collect();
    let name = format!("{object}.{:016x}", rand::random::<u64>());
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some(said.action.clone()),
        reason: Some(said.reason.clone()),
        note: Some(said.note.clone()),
        type_: Some(
            match type_ {
                EventType::Normal => "Normal",
                EventType::Warning => "Warning",
            }
            .to_owned(),
        ),
        event_time: Some(MicroTime(now)),
        regarding: Some(about.clone()),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(env.recorder.instance.clone()),
        ..Event::default()
    };
    // Events live in the namespace of the object, those about cluster-wide objects in `default`.
    let namespace = about.namespace.as_deref().unwrap_or("default");
    let api = Api::<Event>::namespaced(env.client.clone(), namespace);
    let params = PostParams::default();
    env.call("write an Event", api.create(&params, &event)).await?;
    Ok(())
}
