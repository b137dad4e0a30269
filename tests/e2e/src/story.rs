//! A story, with a namespace that is deleted at its end.

use std::{
    env,
    fmt::Debug,
    panic::AssertUnwindSafe,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use modelward_crds::{
    ActionType, ConditionType, DecisionKind, Model, ModelVersion, ModelVersionSpec, RemediationAction, Role,
    annotations,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    cluster::{Cluster, words},
    people::Person,
    sample, state,
    wait::{Conditions, await_condition, until},
};

/// Time limit for a training and its rollout.
pub const TRAINED: Duration = Duration::from_mins(3);
/// Time limit for one step of the operator.
pub const SOON: Duration = Duration::from_mins(1);
/// Time limit for the deletion of a namespace and its artifacts.
const GONE: Duration = Duration::from_secs(150);
/// The level that each Pod of a story must meet, from the label of the namespace.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// A version of the Pod Security Standards. If the version changes, the API server checks all existing Pods.
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version=v1.33";

/// A separate namespace on the cluster.
pub struct Story {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub namespace: String,
    work: tempfile::TempDir,
}

/// Runs a story in a separate namespace. At its end, each of its Pods must be restricted, and the namespace is deleted.
///
/// If it fails, the state of the namespace is printed; `MODELWARD_KEEP=1` keeps the namespace.
pub async fn story(name: &str, play: impl AsyncFnOnce(&Story) -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    let story = Story::begin(name).await?;
    let played = AssertUnwindSafe(Box::pin(play(&story))).catch_unwind().await;
    let mut played = played.unwrap_or_else(|_| Err(anyhow!("it panicked")));
    if played.is_ok() {
        played = story.pods_are_restricted(&story.namespace).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    match played {
        Ok(()) => {
            println!("story {name}: {seconds:.1} s");
            story.close().await
        }
        Err(error) => {
            println!(
                "{}",
                state::describe(&story.cluster.client, &story.namespace).await
            );
            let namespace = story.namespace.clone();
            let kept = env::var("MODELWARD_KEEP").is_ok_and(|keep| keep == "1");
            let kept = if kept {
                "is kept"
            } else {
                // The failure of the story is more helpful than a failure of its end.
                let _ = story.close().await;
                "was deleted; MODELWARD_KEEP=1 keeps it"
            };
            Err(error.context(format!(
                "story {name}, {seconds:.1} s; its namespace {namespace} {kept}"
            )))
        }
    }
}

// === impl Story ===

impl Story {
    async fn begin(name: &str) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some(format!("story-{name}-")),
                labels: Some([(ENFORCE.to_owned(), "restricted".to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces = Api::<Namespace>::all(cluster.client.clone());
        let made = namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(Self {
            cluster,
            namespace: made.name_any(),
            work: tempfile::tempdir()?,
        })
    }

    /// Deletes the namespace and its artifacts, and waits until both are gone.
    async fn close(self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.cluster.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        let what = format!("the namespace {} is gone", self.namespace);
        until(&what, GONE, async || {
            let left = namespaces.get_opt(&self.namespace).await?;
            Ok(left.is_none().then_some(()))
        })
        .await?;
        let artifacts = self.cluster.artifacts(&self.namespace).await?;
        let remove = ["rm".as_ref(), "-rf".as_ref(), artifacts.as_os_str()];
        self.cluster.on_node(remove, &[]).await?;
        Ok(())
    }

    /// Checks that a namespace enforces the restricted Pod Security Standard, that its Pods meet it, and that no Pod was rejected.
    pub async fn pods_are_restricted(&self, namespace: &str) -> Result<()> {
        let found = Api::<Namespace>::all(self.cluster.client.clone())
            .get(namespace)
            .await?;
        let enforced = found.labels().get(ENFORCE);
        ensure!(
            enforced.is_some_and(|level| level == "restricted"),
            "{namespace} enforces {enforced:?} and should enforce restricted"
        );
        let judge = [
            "label",
            "--dry-run=server",
            "--overwrite",
            "namespace",
            namespace,
            ENFORCE_VERSION,
        ];
        let judged = self.cluster.kubectl(None, &judge).await?;
        ensure!(
            judged.status.success() && judged.stderr.is_empty(),
            "Pods of {namespace}: {}",
            words(&judged)
        );
        let events = Api::<Event>::namespaced(self.cluster.client.clone(), namespace);
        for event in events.list(&ListParams::default()).await?.items {
            let message = event.message.unwrap_or_default();
            ensure!(
                !message.contains("violates PodSecurity"),
                "a Pod was rejected in {namespace}: {message}"
            );
        }
        Ok(())
    }

    /// A file of this story on the test machine.
    pub fn file(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// The objects of a kind in the namespace.
    pub fn all<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Creates an object in the namespace.
    pub async fn create<K>(&self, object: &K) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Serialize + DeserializeOwned + Clone + Debug,
    {
        let created = self.all::<K>().create(&PostParams::default(), object).await;
        created.with_context(|| format!("{} {}", K::kind(&()), object.name_any()))
    }

    /// Merges a patch into an object of the namespace.
    pub async fn patch<K>(&self, name: &str, patch: serde_json::Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let patch = Patch::Merge(patch);
        let patched = self.all::<K>().patch(name, &PatchParams::default(), &patch).await;
        patched.with_context(|| format!("{} {name}", K::kind(&())))
    }

    /// Waits until a condition of an object has this status and this reason, and returns its message.
    pub async fn awaits<K>(
        &self,
        name: &str,
        kind: ConditionType,
        so: (&str, &str),
        patience: Duration,
    ) -> Result<String>
    where
        K: Conditions + Resource<Scope = NamespaceResourceScope>,
    {
        let condition = await_condition(self.all::<K>(), name, kind, so, patience).await?;
        Ok(condition.message)
    }

    // === versions ===

    /// Creates a version from the sample, changed by `edit`.
    pub async fn version(
        &self,
        name: &str,
        edit: impl FnOnce(&mut ModelVersionSpec) -> Result<()>,
    ) -> Result<ModelVersion> {
        let mut version = sample::version(name)?;
        edit(&mut version.spec)?;
        self.create(&version).await
    }

    /// Creates the sample data, and the first version of the model `heart` with a short training. It serves with two Pods.
    pub async fn live(&self, name: &str) -> Result<()> {
        self.create(&sample::data()?).await?;
        self.version(name, sample::quick).await?;
        self.awaits_live(name).await
    }

    /// Waits until all Pods of a version serve it.
    pub async fn awaits_live(&self, name: &str) -> Result<()> {
        self.awaits::<ModelVersion>(name, ConditionType::Ready, ("True", "Serving"), TRAINED)
            .await?;
        self.has_role(name, Role::Live).await
    }

    /// Checks the role of a version.
    pub async fn has_role(&self, name: &str, wanted: Role) -> Result<()> {
        let status = self.all::<ModelVersion>().get(name).await?.status;
        let role = status.and_then(|status| status.role);
        ensure!(
            role == Some(wanted),
            "the role of {name} is {role:?} and should be {wanted:?}"
        );
        Ok(())
    }

    /// The version that serves, from the record of the model.
    pub async fn serving(&self, model: &str) -> Result<Option<String>> {
        let model = self.all::<Model>().get_opt(model).await?;
        Ok(model
            .and_then(|model| model.status)
            .and_then(|status| status.serving))
    }

    /// Deletes a version, even if it answers requests.
    pub async fn delete_version(&self, name: &str) -> Result<()> {
        let uid = self.all::<ModelVersion>().get(name).await?.uid();
        let confirmation = json!({"metadata": {"annotations": {annotations::CONFIRM_DELETE: uid}}});
        self.patch::<ModelVersion>(name, confirmation).await?;
        self.all::<ModelVersion>()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    // === promotion ===

    /// Waits until the promotion of a version waits for an approval, and returns the name of the action.
    pub async fn awaits_promotion(&self, version: &str) -> Result<String> {
        let what = format!("the promotion of {version} is proposed");
        let action = until(&what, SOON, async || {
            let actions = self
                .all::<RemediationAction>()
                .list(&ListParams::default())
                .await?;
            let found = actions.items.into_iter().find(|action| {
                let candidate = action.spec.candidate.as_ref();
                action.spec.action == ActionType::PromoteModel
                    && candidate.is_some_and(|candidate| candidate.name == version)
            });
            Ok(found.map(|action| action.name_any()))
        })
        .await?;
        self.awaits::<RemediationAction>(
            &action,
            ConditionType::Approved,
            ("False", "AwaitingApproval"),
            SOON,
        )
        .await?;
        Ok(action)
    }

    /// Approves the promotion of a version, which must wait only for that, and waits until the version is Live. Returns the name of
    /// the action.
    pub async fn promote(&self, person: &Person, version: &str) -> Result<String> {
        self.awaits::<ModelVersion>(
            version,
            ConditionType::Ready,
            ("True", "AwaitingPromotion"),
            TRAINED,
        )
        .await?;
        let action = self.awaits_promotion(version).await?;
        self.decide(person, &action, DecisionKind::Approve, None)
            .await??;
        self.awaits_live(version).await?;
        Ok(action)
    }
}
