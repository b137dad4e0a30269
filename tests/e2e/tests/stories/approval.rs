//! Decisions of users.

use anyhow::{Context as _, Result, ensure};
use modelward_crds::{ConditionType, ModelVersion, RemediationAction, Role};
use modelward_e2e::{
    sample::seeded,
    story::{SOON, Story, TRAINED, story},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster with the release"]
async fn a_second_version_waits_for_an_approval_takes_over_and_the_first_is_retired() -> Result<()> {
    story("promotion", async |story: &Story| {
        story.live("heart-1").await?;
        let alice = story.person("alice", "modelward-approver").await?;
        story.version("heart-2", seeded(8)).await?;
        story
            .awaits::<ModelVersion>(
                "heart-2",
                ConditionType::Ready,
                ("True", "AwaitingPromotion"),
                TRAINED,
            )
            .await?;
        story.has_role("heart-2", Role::Candidate).await?;
        let proposed = story.awaits_promotion("heart-2").await?;
        let suffix = proposed.strip_prefix("promote-heart-2-");
        ensure!(
            suffix.is_some_and(
                |suffix| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
            ),
            "the action is called {proposed}"
        );
        story.answered_by("heart", "heart-1").await?;

        let action = story.promote(&alice, "heart-2").await?;
        ensure!(
            action == proposed,
            "{action} was approved, and {proposed} was proposed"
        );
        let message = story
            .awaits::<ModelVersion>("heart-1", ConditionType::Ready, ("True", "Retired"), SOON)
            .await?;
        ensure!(
            message.contains("heart-2 serves"),
            "the message reads {message:?}"
        );
        story.has_role("heart-1", Role::Retired).await?;
        let status = story.all::<RemediationAction>().get(&action).await?.status;
        let decisions = status.context("the action has no status")?.decisions;
        let users: Vec<_> = decisions.iter().map(|decision| decision.user.as_str()).collect();
        ensure!(users == ["alice"], "{users:?} decided on {action}");
        story.answers_as_scored("heart", "heart-2").await
    })
    .await
}
