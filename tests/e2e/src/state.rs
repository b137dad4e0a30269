//! The state of a namespace as text, for the message of a story that failed.

use std::fmt::{Debug, Write as _};

use anyhow::Result;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStatus, Event, Pod},
};
use kube::{Api, Client, ResourceExt as _, api::ListParams, core::NamespaceResourceScope};
use modelward_crds::{Model, ModelVersion, RemediationAction};
use serde::de::DeserializeOwned;

use crate::wait::Conditions;

/// Maximum number of Events that are printed, the newest.
const EVENTS: usize = 25;

/// Conditions of Modelward's objects, Jobs, Pods and the last Events. If something cannot be read, the error is printed instead.
pub async fn describe(client: &Client, namespace: &str) -> String {
    let mut text = format!("the namespace {namespace} at last:\n");
    let sections = [
        conditions::<ModelVersion>(client, namespace).await,
        conditions::<Model>(client, namespace).await,
        conditions::<RemediationAction>(client, namespace).await,
        jobs(client, namespace).await,
        pods(client, namespace).await,
        events(client, namespace).await,
    ];
    for section in sections {
        match section {
            Ok(section) => text.push_str(&section),
            Err(error) => {
                let _ = writeln!(text, "  not readable: {error:#}");
            }
        }
    }
    text
}

async fn list<K>(client: &Client, namespace: &str) -> Result<Vec<K>>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default()).await?.items)
}

async fn conditions<K>(client: &Client, namespace: &str) -> Result<String>
where
    K: Conditions + kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let mut text = String::new();
    for object in list::<K>(client, namespace).await? {
        writeln!(text, "  {} {}", K::kind(&()), object.name_any())?;
        for condition in object.conditions() {
            let (kind, status) = (&condition.type_, &condition.status);
            writeln!(
                text,
                "    {kind}={status} {}: {}",
                condition.reason, condition.message
            )?;
        }
    }
    Ok(text)
}

async fn jobs(client: &Client, namespace: &str) -> Result<String> {
    let mut text = String::new();
    for job in list::<Job>(client, namespace).await? {
        let status = job.status.clone().unwrap_or_default();
        let ended = status.conditions.unwrap_or_default();
        let ended: Vec<_> = ended
            .iter()
            .filter(|condition| condition.status == "True")
            .map(|condition| condition.type_.as_str())
            .collect();
        let (active, failed) = (status.active.unwrap_or(0), status.failed.unwrap_or(0));
        let name = job.name_any();
        writeln!(
            text,
            "  Job {name}: {active} active, {failed} failed {}",
            ended.join(" ")
        )?;
    }
    Ok(text)
}

async fn pods(client: &Client, namespace: &str) -> Result<String> {
    let mut text = String::new();
    for pod in list::<Pod>(client, namespace).await? {
        let status = pod.status.clone().unwrap_or_default();
        let containers: Vec<_> = status
            .container_statuses
            .iter()
            .flatten()
            .map(container)
            .collect();
        let phase = status.phase.unwrap_or_default();
        writeln!(
            text,
            "  Pod {}: {phase} {}",
            pod.name_any(),
            containers.join(", ")
        )?;
    }
    Ok(text)
}

fn container(status: &ContainerStatus) -> String {
    let state = status.state.clone().unwrap_or_default();
    let words = if let Some(waiting) = state.waiting {
        waiting.reason.unwrap_or_default()
    } else if let Some(ended) = state.terminated {
        format!("ended with {}", ended.exit_code)
    } else if status.ready {
        "ready".into()
    } else {
        "not ready".into()
    };
    format!("{}: {words}, {} restarts", status.name, status.restart_count)
}

async fn events(client: &Client, namespace: &str) -> Result<String> {
    let mut events = list::<Event>(client, namespace).await?;
    events.sort_by_key(|event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0))
    });
    let mut text = String::new();
    let first = events.len().saturating_sub(EVENTS);
    for event in &events[first..] {
        let (kind, name) = (&event.involved_object.kind, &event.involved_object.name);
        writeln!(
            text,
            "  Event {} {}: {} {}",
            kind.as_deref().unwrap_or_default(),
            name.as_deref().unwrap_or_default(),
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default()
        )?;
    }
    Ok(text)
}
