//! Deletion in any order.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams},
    discovery::{ApiGroup, Discovery, Scope, verbs},
};
use modelward_crds::{ConditionType, Model, ModelVersion, annotations};
use modelward_e2e::{
    sample::{gated_too_high, one_pod_of, quick, seeded, training},
    story::{SOON, Story, TRAINED, story},
    wait::until,
};

/// Time limit for the removal of everything after the last deletion.
const GONE: Duration = Duration::from_secs(150);
/// Objects of Kubernetes and of the story.
const EXPECTED: [&str; 4] = [
    "ConfigMap/heart-disease",
    "ConfigMap/kube-root-ca.crt",
    "RoleBinding/alice",
    "ServiceAccount/default",
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn deletion_in_any_order_leaves_nothing() -> Result<()> {
    story("deletion", async |story: &Story| {
        let alice = story.person("alice", "modelward-approver").await?;
        // One version of each type: retired, Live, rejected, of another model, waiting for an approval, in training.
        story.live("heart-1").await?;
        story.version("heart-2", seeded(8)).await?;
        story.promote(&alice, "heart-2").await?;
        story.version("heart-3", gated_too_high).await?;
        story
            .awaits::<ModelVersion>("heart-3", ConditionType::Stalled, ("True", "GateFailed"), TRAINED)
            .await?;
        story
            .version("other-1", |spec| {
                one_pod_of(spec, "other");
                quick(spec)
            })
            .await?;
        story.awaits_live("other-1").await?;
        story.version("heart-4", seeded(9)).await?;
        story.awaits_promotion("heart-4").await?;
        story
            .version("heart-5", |spec| {
                let validation = &mut training(spec)?.validation;
                (validation.folds, validation.repeats) = (20, 100);
                Ok(())
            })
            .await?;
        until("heart-5 is being trained", SOON, async || {
            let status = story.all::<ModelVersion>().get("heart-5").await?.status;
            Ok(status.and_then(|status| status.fit_attempt).map(|_| ()))
        })
        .await?;
        for name in ["heart-5", "heart-4", "other-1", "heart-3", "heart-2", "heart-1"] {
            story.delete_version(name).await?;
        }
        ends(story, "the versions from the newest, then their records").await?;

        story.version("heart-1", quick).await?;
        story.awaits_live("heart-1").await?;
        refuses_an_unconfirmed_deletion(story, "heart-1").await?;
        story.delete_version("heart-1").await?;
        // The record stays, so the next version that serves needs an approval like any change.
        story
            .awaits::<Model>("heart", ConditionType::Available, ("False", "NoVersion"), SOON)
            .await?;
        versions_are_gone(story).await?;
        story.version("heart-1", seeded(9)).await?;
        story.promote(&alice, "heart-1").await?;
        story.version("heart-2", seeded(8)).await?;
        story.promote(&alice, "heart-2").await?;
        for name in ["heart-1", "heart-2"] {
            story.delete_version(name).await?;
        }
        ends(story, "the versions from the oldest, then their record").await
    })
    .await
}

/// A version that answers requests cannot be deleted without a confirmation, and the error says how to confirm.
async fn refuses_an_unconfirmed_deletion(story: &Story, name: &str) -> Result<()> {
    let versions = story.all::<ModelVersion>();
    let uid = versions.get(name).await?.uid().unwrap_or_default();
    let Err(kube::Error::Api(refusal)) = versions.delete(name, &DeleteParams::default()).await else {
        bail!("{name} answers requests and was deleted without a confirmation");
    };
    let confirmation = format!("{}={uid}", annotations::CONFIRM_DELETE);
    for words in [format!("{name} answers requests"), confirmation] {
        ensure!(
            refusal.message.contains(&words),
            "{words:?} is not in the refusal: {}",
            refusal.message
        );
    }
    Ok(())
}

/// Waits until no version exists, deletes the records of the models, and waits until nothing is left.
pub async fn ends(story: &Story, what: &str) -> Result<()> {
    versions_are_gone(story).await?;
    for model in story.all::<Model>().list(&ListParams::default()).await?.items {
        let name = model.name_any();
        story
            .all::<Model>()
            .delete(&name, &DeleteParams::default())
            .await?;
    }
    // Kinds and objects can disappear at any time. The error lists what is left.
    let mut left = Vec::new();
    let gone = until(what, GONE, async || {
        left = leftovers(story).await?;
        Ok(left.is_empty().then_some(()))
    })
    .await;
    gone.with_context(|| format!("after {what} there is still: {}", left.join(" ")))
}

async fn versions_are_gone(story: &Story) -> Result<()> {
    let mut left = Vec::new();
    let gone = until("the versions are gone", TRAINED, async || {
        let versions = story.all::<ModelVersion>().list(&ListParams::default()).await?;
        left = versions.iter().map(ResourceExt::name_any).collect();
        Ok(left.is_empty().then_some(()))
    })
    .await;
    gone.with_context(|| format!("there is still: {}", left.join(" ")))
}

/// Every object of the namespace except Events and [`EXPECTED`].
async fn leftovers(story: &Story) -> Result<Vec<String>> {
    let client = &story.cluster.client;
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut left = Vec::new();
    for (kind, capabilities) in discovery.groups().flat_map(ApiGroup::recommended_resources) {
        let listed = capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST);
        if !listed || kind.kind == "Event" {
            continue;
        }
        let objects = Api::<DynamicObject>::namespaced_with(client.clone(), &story.namespace, &kind);
        let objects = objects.list(&ListParams::default()).await;
        let objects = objects.with_context(|| format!("failed to list {}", kind.plural))?;
        let names = objects
            .iter()
            .map(|object| format!("{}/{}", kind.kind, object.name_any()));
        left.extend(names.filter(|name| !EXPECTED.contains(&name.as_str())));
    }
    Ok(left)
}
