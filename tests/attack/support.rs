//! A case: a cluster with an operator, and the effects of attacks in it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::{
    Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use modelward_crds::{ActionType, ConditionType, Decision, ModelVersion, RemediationAction, annotations};
use modelward_kit::{apiserver::User, objects::object};
use modelward_trials::{
    cluster::{Effects, TestCluster},
    judge::Log,
    stage, story,
    world::World,
};
use serde_json::{Value, json};

use crate::tally::Tally;

/// A namespace with a running operator, users and a tally.
pub struct Case {
    pub cluster: TestCluster,
    pub tally: Tally,
    /// Attacks after which something was carried out.
    pub executed: usize,
    pub alice: Client,
    pub bob: Client,
    pub carol: Client,
    pub dave: Client,
    /// Whether the audit log must contain forged decisions, because the admission policies were absent.
    pub ungated: bool,
    /// Parts of violations in the audit log that the case itself causes: retried Jobs, a deleted version.
    pub causes: &'static [&'static str],
}

// === impl Case ===

impl Case {
    /// Runs a case; lines of its output start with `name`.
    pub async fn run(
        world: &Arc<World>,
        name: &'static str,
        play: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Self {
        let person = |user| world.person(user).unwrap();
        let mut case = Self {
            cluster: TestCluster::open_at(world, [], 0).await.unwrap(),
            tally: Tally::named(name),
            executed: 0,
            alice: person(User::Alice),
            bob: person(User::Bob),
            carol: person(User::Carol),
            dave: person(User::Dave),
            ungated: false,
            causes: &[],
        };
        // Four concurrent cases do not fit into the stack of a test.
        let played = Box::pin(play(&mut case)).await;
        if let Err(error) = played {
            case.tally.wrong(format!("{}: {error:#}", case.cluster.namespace));
        }
        case.cluster.kill_operator().await;
        case
    }

    /// heart-1 serves.
    pub async fn serves(&mut self) -> Result<()> {
        self.cluster.start_operator()?;
        story::serves(&self.cluster).await
    }

    /// A retraining waits for a decision on its plan.
    pub async fn drifts(&mut self) -> Result<RemediationAction> {
        let name = story::drifts(&self.cluster).await?;
        story::planned(&self.cluster, &name).await
    }

    /// After an attack, the operator reconciles everything, and what runs has not changed.
    pub async fn without_effect(&mut self, attack: &str, before: &Effects) -> Result<()> {
        self.cluster.settles().await?;
        let after = self.cluster.effects().await?;
        self.executed += usize::from(after != *before);
        self.tally
            .holds(attack, after == *before, "nothing was carried out");
        Ok(())
    }

    /// A legitimate use has its effect.
    pub async fn carried_out(&mut self, what: &str, version: &str) -> Result<()> {
        story::lives(&self.cluster, version).await?;
        self.tally.allowed(what, Ok(()));
        Ok(())
    }

    pub async fn decides(
        &self,
        who: &Client,
        action: &str,
        annotation: &str,
    ) -> kube::Result<RemediationAction> {
        story::decides_as(&self.cluster, who, action, annotation).await
    }

    /// Writes an annotation on an action unchanged.
    pub async fn annotates(
        &self,
        who: &Client,
        action: &str,
        key: &str,
        value: &str,
    ) -> kube::Result<RemediationAction> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.cluster
            .of::<RemediationAction>(who)
            .patch(action, &PatchParams::default(), &patch)
            .await
    }

    pub async fn proposes(&self, who: &Client, name: &str, spec: Value) -> kube::Result<RemediationAction> {
        self.creates(who, json!({"metadata": {"name": name}, "spec": spec}))
            .await
    }

    pub async fn creates(&self, who: &Client, content: Value) -> kube::Result<RemediationAction> {
        let action: RemediationAction = object(content).unwrap();
        self.cluster
            .of::<RemediationAction>(who)
            .create(&PostParams::default(), &action)
            .await
    }

    /// A tenant's version, trained like heart-1 or from this bundle.
    pub async fn version(&self, name: &str, bundle: Option<&str>) -> kube::Result<ModelVersion> {
        // Versions that are created in the same second are ordered by name.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let mut content = stage::version(name);
        if let Some(bundle) = bundle {
            content["spec"]["source"] = json!({"artifact": {"bundle": bundle}});
        }
        let version: ModelVersion = object(content).unwrap();
        self.cluster
            .of::<ModelVersion>(&self.bob)
            .create(&PostParams::default(), &version)
            .await
    }

    /// Waits for the plan of an action of this type.
    pub async fn proposal(&self, kind: ActionType) -> Result<RemediationAction> {
        let name = story::proposal(&self.cluster, kind).await?;
        story::planned(&self.cluster, &name).await
    }

    /// A version of a tenant takes over with the approvals of these users, and its verification ends.
    pub async fn promoted(&mut self, version: &str, by: &[&Client]) -> Result<()> {
        self.version(version, None).await?;
        let name = self
            .cluster
            .until("its promotion", async || {
                let actions = self.cluster.list::<RemediationAction>().await?;
                let found = actions.into_iter().find(|action| {
                    action
                        .spec
                        .candidate
                        .as_ref()
                        .is_some_and(|candidate| candidate.name == version)
                });
                Ok(found.map(|action| action.name_any()))
            })
            .await?;
        story::planned(&self.cluster, &name).await?;
        for person in by {
            self.decides(person, &name, annotations::APPROVE).await?;
        }
        story::lives(&self.cluster, version).await?;
        self.verified(&name).await
    }

    /// The monitoring of the promoted version ends.
    pub async fn verified(&self, action: &str) -> Result<()> {
        story::rolled_out(&self.cluster, action).await?;
        self.cluster
            .advance(self.cluster.policy.verification_seconds + 1)
            .await?;
        self.cluster
            .wait(action, "ended", |action: &RemediationAction| {
                action.status.as_ref().is_some_and(|status| {
                    story::says(&status.conditions, ConditionType::Succeeded, "True", None)
                })
            })
            .await?;
        Ok(())
    }

    /// Digest of a version's bundle.
    pub async fn bundle_of(&self, version: &str) -> Result<String> {
        let version = self.cluster.all::<ModelVersion>().get(version).await?;
        let bundle = version.status.and_then(|status| status.bundle);
        Ok(bundle.context("a trained version")?.digest.to_string())
    }

    pub async fn action(&self, name: &str) -> Result<RemediationAction> {
        Ok(self.cluster.all::<RemediationAction>().get(name).await?)
    }
}

/// The digest of an action's plan.
pub fn planned(action: &RemediationAction) -> String {
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    plan.map(|plan| plan.digest.to_string()).unwrap_or_default()
}

/// The decisions on an action, as the operator read them.
pub fn decisions(action: &RemediationAction) -> Vec<Decision> {
    action
        .status
        .as_ref()
        .map(|status| status.decisions.clone())
        .unwrap_or_default()
}

/// Prints the number of attacks, and fails if anything was wrong.
pub fn report(cases: Vec<Case>) {
    let mut all = Tally::default();
    let mut executed = 0;
    let world = cases.first().map(|case| case.cluster.world.clone());
    let log = Log::read(&world.unwrap().api.audit_log()).unwrap();
    for mut case in cases {
        let verdict = log.judge(&case.cluster.namespace);
        if !case.ungated {
            let mut found = verdict.violations;
            found.retain(|violation| !case.causes.iter().any(|cause| violation.contains(cause)));
            case.tally
                .is("the audit log agrees", &found, &Vec::<String>::new());
        }
        executed += case.executed;
        all.add(case.tally);
    }
    println!("{executed} attacks had an effect");
    all.finish();
}
