//! The story of a trial: a version serves, its traffic drifts, a retraining is proposed, a user decides.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use modelward_crds::{ActionType, ConditionType, Model, ModelVersion, RemediationAction, Role, annotations};
use modelward_kit::apiserver::User;
use serde_json::json;

use crate::{
    cluster::TestCluster,
    stage::{self, LATENESS, PLAN, WINDOW},
};

/// How the story continues after the proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Story {
    /// Alice approves; the new version takes over, is monitored and stays.
    Approved,
    /// Alice rejects.
    Rejected,
    /// No decision is made before the plan expires.
    Expired,
}

impl Story {
    /// All stories.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Expired];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    /// Runs the story to its end. The operator must be running.
    pub async fn play(self, cluster: &TestCluster) -> Result<()> {
        serves(cluster).await?;
        let action = drifts(cluster).await?;
        match self {
            Self::Approved => {
                decides(cluster, User::Alice, &action, annotations::APPROVE).await?;
                takes_over(cluster, &action).await
            }
            Self::Rejected => {
                decides(cluster, User::Alice, &action, annotations::REJECT).await?;
                ends(cluster, &action, "False", "Rejected").await
            }
            Self::Expired => {
                cluster.advance(PLAN + 1).await?;
                ends(cluster, &action, "False", "Expired").await
            }
        }
    }
}

/// heart-1 is trained and serves.
pub async fn serves(cluster: &TestCluster) -> Result<()> {
    cluster.create::<ModelVersion>(stage::version("heart-1")).await?;
    lives(cluster, "heart-1").await?;
    Ok(())
}

/// Waits until a version serves and needs no more work.
pub async fn lives(cluster: &TestCluster, version: &str) -> Result<ModelVersion> {
    cluster
        .wait(version, "Live and Ready", |version: &ModelVersion| {
            let status = version.status.as_ref();
            status.and_then(|status| status.role) == Some(Role::Live)
                && status.is_some_and(|status| says(&status.conditions, ConditionType::Ready, "True", None))
        })
        .await
}

/// Sends traffic from Hungary, and waits for the verdict and the proposed action. Returns the action's name once it has a plan.
pub async fn drifts(cluster: &TestCluster) -> Result<String> {
    let hungary = cluster.heart.second.reference.counts.clone();
    cluster.counts(&hungary).await?;
    // Versions that are created in the same second are ordered by name. The retrained version must be the newer one, whatever its
    // hash.
    let made = cluster
        .all::<ModelVersion>()
        .get("heart-1")
        .await?
        .creation_timestamp()
        .context("a creation time")?;
    while SystemTime::now() < SystemTime::from(made.0) + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    window_closes(cluster).await?;
    let name = proposal(cluster, ActionType::RetrainModel).await?;
    planned(cluster, &name).await?;
    Ok(name)
}

/// Closes the current window and reports its Pods' counts to the ledger.
pub async fn window_closes(cluster: &TestCluster) -> Result<()> {
    let second = cluster.now().as_second();
    cluster
        .advance(second.div_euclid(WINDOW) * WINDOW + WINDOW + LATENESS + 1 - second)
        .await
}

/// Waits for an action of this type, and returns its name.
pub async fn proposal(cluster: &TestCluster, kind: ActionType) -> Result<String> {
    cluster
        .until(&format!("a {} is proposed", kind.as_str()), async || {
            let actions = cluster.list::<RemediationAction>().await?;
            let found = actions.into_iter().find(|action| action.spec.action == kind);
            Ok(found.map(|action| action.name_any()))
        })
        .await
}

/// The name of the version that this retraining creates.
pub fn retrained_name(action: &RemediationAction) -> String {
    let uid = action.uid().unwrap_or_default();
    modelward_core::names::retrained_version_name(&action.spec.model, &uid)
}

/// Waits until an action has a plan to decide on.
pub async fn planned(cluster: &TestCluster, name: &str) -> Result<RemediationAction> {
    cluster
        .wait(name, "planned", |action: &RemediationAction| {
            let status = action.status.as_ref();
            status.is_some_and(|status| {
                status.plan.is_some() && says(&status.conditions, ConditionType::Approved, "False", None)
            })
        })
        .await
}

/// Decides as a user, with the user's own credential.
pub async fn decides(cluster: &TestCluster, user: User, action: &str, annotation: &str) -> Result<()> {
    decides_as(cluster, &cluster.world.person(user)?, action, annotation).await?;
    Ok(())
}

/// Decides with this client.
pub async fn decides_as(
    cluster: &TestCluster,
    who: &Client,
    action: &str,
    annotation: &str,
) -> kube::Result<RemediationAction> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation: "true"}}}));
    cluster
        .of::<RemediationAction>(who)
        .patch(action, &PatchParams::default(), &patch)
        .await
}

/// Waits until the operator monitors the version that the action promoted.
pub async fn rolled_out(cluster: &TestCluster, action: &str) -> Result<()> {
    cluster
        .wait(action, "rolled out", |action: &RemediationAction| {
            let execution = action
                .status
                .as_ref()
                .and_then(|status| status.execution.as_ref());
            execution.is_some_and(|execution| execution.verify_until.is_some())
        })
        .await?;
    Ok(())
}

/// Waits until the new version is trained and takes over, its verification passes and all actions end.
async fn takes_over(cluster: &TestCluster, retrain: &str) -> Result<()> {
    let promotion = proposal(cluster, ActionType::PromoteModel).await?;
    rolled_out(cluster, &promotion).await?;
    let hungary = cluster.heart.second.reference.counts.clone();
    cluster.counts(&hungary).await?;
    window_closes(cluster).await?;
    ends(cluster, &promotion, "True", "Verified").await?;
    ends(cluster, retrain, "True", "Verified").await?;
    let model = cluster
        .wait("heart", "at rest", |model: &Model| {
            model.status.as_ref().is_some_and(|status| {
                status.active_action.is_none() && says(&status.conditions, ConditionType::Ready, "True", None)
            })
        })
        .await?;
    let status = model.status.context("a status")?;
    let serving = status.serving.context("something serves")?;
    ensure!(serving != "heart-1", "heart-1 still serves");
    lives(cluster, &serving).await?;
    Ok(())
}

/// Waits until an action has ended with this result.
pub async fn ends(cluster: &TestCluster, action: &str, status: &str, reason: &str) -> Result<()> {
    let what = format!("Succeeded={status}/{reason}");
    cluster
        .wait(action, &what, |action: &RemediationAction| {
            action
                .status
                .as_ref()
                .is_some_and(|found| says(&found.conditions, ConditionType::Succeeded, status, Some(reason)))
        })
        .await?;
    Ok(())
}

/// Whether a condition has this status, and this reason if one is given.
pub fn says(conditions: &[Condition], kind: ConditionType, status: &str, reason: Option<&str>) -> bool {
    conditions.iter().any(|found| {
        found.type_ == kind.as_str()
            && found.status == status
            && reason.is_none_or(|reason| found.reason == reason)
    })
}
