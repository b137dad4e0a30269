//! A restarted operator writes nothing.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod, Secret, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams},
    core::NamespaceResourceScope,
};
use modelward_crds::{ConditionType, DriftReport, Model, ModelVersion, RemediationAction};
use modelward_e2e::{
    sample::{gated_too_high, one_pod_of, quick, seeded},
    story::{SOON, Story, TRAINED, story},
    wait::until,
};
use serde::de::DeserializeOwned;

use crate::serving::promote_a_flipped_bundle;

/// Time for the effects of the last change, and for a new leader to list and check every object.
const WATCHED: Duration = Duration::from_secs(15);

/// Uid and resource version of each object, by kind and name.
type Objects = BTreeMap<String, (Option<String>, Option<String>)>;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn at_rest_nothing_is_written_also_not_by_a_new_leader() -> Result<()> {
    story("rest", async |story: &Story| {
        let alice = story.person("alice", "modelward-approver").await?;
        // A version in each stable state: retired, Live, held, rejected and waiting for an approval.
        story.live("heart-1").await?;
        story.version("heart-2", seeded(8)).await?;
        story.promote(&alice, "heart-2").await?;
        promote_a_flipped_bundle(story, &alice, "heart-3", "heart-2").await?;
        story.version("heart-4", gated_too_high).await?;
        story
            .awaits::<ModelVersion>("heart-4", ConditionType::Stalled, ("True", "GateFailed"), TRAINED)
            .await?;
        story
            .version("other-1", |spec| {
                one_pod_of(spec, "other");
                quick(spec)
            })
            .await?;
        story.awaits_live("other-1").await?;
        story.version("heart-5", seeded(9)).await?;
        story.awaits_promotion("heart-5").await?;
        until("no action is under way", TRAINED, async || {
            let models = story.all::<Model>().list(&ListParams::default()).await?;
            let at_work = models.iter().any(|model| {
                let status = model.status.as_ref();
                status.is_some_and(|status| status.active_action.is_some())
            });
            Ok((!at_work).then_some(()))
        })
        .await?;

        let before = await_rest(story).await?;
        let former = leader(story).await?;
        let operators = ListParams::default().labels("app.kubernetes.io/component=operator");
        Api::<Pod>::namespaced(story.cluster.client.clone(), &story.cluster.system)
            .delete_collection(&DeleteParams::default(), &operators)
            .await?;
        let what = format!("another operator than {former:?} leads");
        until(&what, SOON * 2, async || {
            let leader = leader(story).await?;
            Ok((leader.is_some() && leader != former).then_some(()))
        })
        .await?;
        let watched = tokio::time::Instant::now() + WATCHED;
        while tokio::time::Instant::now() < watched {
            let after = objects(story).await?;
            ensure!(
                after == before,
                "a new leader has written: {}",
                changes(&before, &after)
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ensure!(before.len() > 20, "only {} objects were compared", before.len());
        Ok(())
    })
    .await
}

/// Waits until nothing has been written for [`WATCHED`].
async fn await_rest(story: &Story) -> Result<Objects> {
    let mut before = objects(story).await?;
    let mut since = tokio::time::Instant::now();
    let mut last = String::new();
    let rest = until("nothing is written any more", TRAINED, async || {
        let now = objects(story).await?;
        if now != before {
            last = changes(&before, &now);
            (before, since) = (now, tokio::time::Instant::now());
        }
        Ok((since.elapsed() > WATCHED).then(|| before.clone()))
    })
    .await;
    rest.with_context(|| format!("the last write: {last}"))
}

/// The operator that leads.
async fn leader(story: &Story) -> Result<Option<String>> {
    let leases = Api::<Lease>::namespaced(story.cluster.client.clone(), &story.cluster.system);
    let lease = leases.get("modelward-operator").await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    Ok(holder.filter(|holder| !holder.is_empty()))
}

/// Every object that the operator writes or reads.
async fn objects(story: &Story) -> Result<Objects> {
    let mut objects = Objects::new();
    add::<ModelVersion>(story, &mut objects).await?;
    add::<Model>(story, &mut objects).await?;
    add::<DriftReport>(story, &mut objects).await?;
    add::<RemediationAction>(story, &mut objects).await?;
    add::<Deployment>(story, &mut objects).await?;
    add::<Service>(story, &mut objects).await?;
    add::<ConfigMap>(story, &mut objects).await?;
    add::<Secret>(story, &mut objects).await?;
    add::<PodDisruptionBudget>(story, &mut objects).await?;
    add::<Job>(story, &mut objects).await?;
    add::<Pod>(story, &mut objects).await?;
    Ok(objects)
}

async fn add<K>(story: &Story, objects: &mut Objects) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
{
    for object in story.all::<K>().list(&ListParams::default()).await? {
        let name = format!("{}/{}", K::kind(&()), object.name_any());
        objects.insert(name, (object.uid(), object.resource_version()));
    }
    Ok(())
}

/// The names of the objects that differ.
fn changes(before: &Objects, after: &Objects) -> String {
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).filter(differs).collect();
    names
        .into_iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}
