//! Predictions are equal to the scores of the trainer, and never from a damaged bundle.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use modelward_crds::{ConditionType, DecisionKind, Model, ModelVersion, RemediationAction, Role};
use modelward_e2e::{
    people::Person,
    sample::{self, seeded},
    story::{Story, TRAINED, story},
};
use modelward_wire::FileEntry;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn predictions_equal_the_score_of_the_same_bundle_bit_for_bit() -> Result<()> {
    story("scores", async |story: &Story| {
        story.create(&sample::data()?).await?;
        story.version("heart-1", |_| Ok(())).await?;
        story.awaits_live("heart-1").await?;
        story.answers_as_scored("heart", "heart-1").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_bundle_with_a_flipped_bit_is_never_served_and_a_good_version_is_taken_after_it() -> Result<()> {
    story("flipped", async |story: &Story| {
        story.live("heart-1").await?;
        let alice = story.person("alice", "modelward-approver").await?;
        let (flipped, message) = promote_a_flipped_bundle(story, &alice, "heart-2", "heart-1").await?;
        let bundle = story.bundle_of("heart-2").await?.hex();
        ensure!(
            message.contains(&flipped.path) && message.contains(&bundle),
            "neither the file {} nor the bundle {bundle} is named: {message}",
            flipped.path
        );
        for _ in 0..20 {
            story.answered_by("heart", "heart-1").await?;
        }
        ensure!(story.serving("heart").await?.as_deref() == Some("heart-1"));
        is_held(story, "heart-2").await?;
        story.awaits_settled("heart", 2).await?;
        let deployment = story.all::<Deployment>().get("heart").await?.status;
        let available = deployment.and_then(|status| status.available_replicas);
        ensure!(available == Some(2), "{available:?} Pods of 2 are available");

        story.version("heart-3", seeded(12)).await?;
        story.promote(&alice, "heart-3").await?;
        story.answers_as_scored("heart", "heart-3").await?;
        story.has_role("heart-1", Role::Retired).await
    })
    .await
}

/// Flips a bit in the bundle of a version while the model is paused, and approves its promotion. Returns the file and the message
/// with which the action ends.
pub async fn promote_a_flipped_bundle(
    story: &Story,
    person: &Person,
    version: &str,
    serving: &str,
) -> Result<(FileEntry, String)> {
    let paused = |paused: bool| json!({"spec": {"paused": paused}});
    story.patch::<Model>("heart", paused(true)).await?;
    story.version(version, seeded(11)).await?;
    story
        .awaits::<ModelVersion>(version, ConditionType::Ready, ("True", "Paused"), TRAINED)
        .await?;
    story.answered_by("heart", serving).await?;
    let flipped = story.flip_a_bit(version, serving).await?;
    story.patch::<Model>("heart", paused(false)).await?;
    let action = story.awaits_promotion(version).await?;
    story
        .decide(person, &action, DecisionKind::Approve, None)
        .await??;
    let ended = ("False", "RolledBack");
    let message = story
        .awaits::<RemediationAction>(&action, ConditionType::Succeeded, ended, TRAINED)
        .await?;
    Ok((flipped, message))
}

/// Checks that this version of the model is held, and no other.
async fn is_held(story: &Story, version: &str) -> Result<()> {
    let status = story.all::<Model>().get("heart").await?.status;
    let holds = status.map(|status| status.holds).unwrap_or_default();
    let held: Vec<_> = holds.iter().map(|hold| hold.version.as_str()).collect();
    ensure!(held == [version], "{held:?} are held, and {version} should be");
    Ok(())
}
