//! What a user with the built-in role `edit` can do to the objects that serve, and what Pods may do.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use modelward_e2e::{
    cluster::words,
    story::{Story, story},
};

/// Commands that would change what serves.
const ATTEMPTS: [&[&str]; 6] = [
    &[
        "set",
        "image",
        "deployment/heart",
        "inference=localhost/another/image:1",
    ],
    &["rollout", "pause", "deployment/heart"],
    &["scale", "deployment/heart", "--replicas", "0"],
    &["delete", "service/heart"],
    &["delete", "poddisruptionbudget/heart"],
    &["delete", "model/heart"],
];
/// Commands that administrators use every day.
const DAILY: [&[&str]; 2] = [
    &["rollout", "restart", "deployment/heart"],
    &[
        "annotate",
        "--overwrite",
        "deployment/heart",
        "example.com/owner=cardiology",
    ],
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_person_with_the_role_edit_cannot_change_what_serves_and_daily_work_goes_on() -> Result<()> {
    story("edit", async |story: &Story| {
        story.live("heart-1").await?;
        let eve = story.person("eve", "edit").await?;
        let namespace = ["--namespace", &story.namespace];
        for attempt in ATTEMPTS {
            let arguments = [attempt, &namespace].concat();
            let output = story.cluster.kubectl(Some(&eve.kubeconfig), &arguments).await?;
            let (attempt, words) = (attempt.join(" "), words(&output));
            ensure!(
                !output.status.success(),
                "kubectl {attempt} had its effect: {words}"
            );
            ensure!(
                words.contains("modelward.io"),
                "kubectl {attempt} was rejected, but not by an admission policy: {words}"
            );
        }
        for daily in DAILY {
            let output = story.cluster.kubectl(None, &[daily, &namespace].concat()).await?;
            ensure!(
                output.status.success(),
                "kubectl {}: {}",
                daily.join(" "),
                words(&output)
            );
            story.awaits_settled("heart", 2).await?;
        }
        story.answered_by("heart", "heart-1").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn every_pod_keeps_the_restricted_pod_security_standard() -> Result<()> {
    // Each story checks the Pods of its own namespace at its end. This checks the Pods of the release.
    story("restricted", async |story: &Story| {
        story.live("heart-1").await?;
        for (namespace, fewest) in [(&story.namespace, 2), (&story.cluster.system, 3)] {
            let pods = Api::<Pod>::namespaced(story.cluster.client.clone(), namespace);
            let pods = pods.list(&ListParams::default()).await?.items.len();
            ensure!(
                pods >= fewest,
                "{namespace} has {pods} Pods and should have {fewest} or more"
            );
            story.pods_are_restricted(namespace).await?;
        }
        Ok(())
    })
    .await
}
