//! Pods of a story, and their containers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStatus, Pod},
};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use modelward_crds::labels;
use modelward_kit::wait::until_so;

use crate::{
    story::{SOON, Story},
    wait::until,
};

/// Time limit for a killed container to run again.
const RESTARTED: Duration = Duration::from_mins(2);

impl Story {
    /// The Pods with these labels.
    pub async fn pods(&self, labels: &str) -> Result<Vec<Pod>> {
        let list = ListParams::default().labels(labels);
        Ok(self.all::<Pod>().list(&list).await?.items)
    }

    /// The Pods that serve a model.
    pub async fn serving_pods(&self, model: &str) -> Result<Vec<Pod>> {
        let model = format!("{}={model}", labels::MODEL);
        self.pods(&format!("app.kubernetes.io/name=modelward-inference,{model}"))
            .await
    }

    /// Waits until every Pod of a model has the current template and is ready, and none is terminating.
    pub async fn awaits_settled(&self, model: &str, pods: i32) -> Result<()> {
        let what = format!("{pods} Pods of the current template, all ready");
        until_so(self.all::<Deployment>(), model, &what, SOON * 2, |deployment| {
            let status = deployment.status.clone().unwrap_or_default();
            status.observed_generation == deployment.metadata.generation
                && status.updated_replicas == Some(pods)
                && status.replicas == Some(pods)
                && status.available_replicas == Some(pods)
        })
        .await?;
        let what = format!("{pods} Pods of {model}, and none that is terminating");
        until(&what, SOON, async || {
            let found = self.serving_pods(model).await?.len();
            Ok((i32::try_from(found)? == pods).then_some(()))
        })
        .await
    }

    /// Kills the first process of a container with SIGKILL, through the container runtime of the node.
    pub async fn kill(&self, pod: &Pod, container: &str) -> Result<()> {
        self.signal(pod, container, "SIGKILL").await
    }

    async fn signal(&self, pod: &Pod, container: &str, signal: &str) -> Result<()> {
        let id = container_of(pod, container).and_then(|status| status.container_id.clone());
        let id = id.and_then(|id| id.strip_prefix("containerd://").map(str::to_owned));
        let id = id.with_context(|| format!("{} has no running container {container}", pod.name_any()))?;
        let ctr = ["ctr", "--namespace", "k8s.io"];
        let kill = ["task", "kill", "--signal", signal, &id];
        self.cluster.on_node(ctr.iter().chain(&kill), &[]).await?;
        Ok(())
    }

    /// Destroys a Pod and its directory before the process of this container can report anything. The process is stopped first,
    /// because the kubelet may send it SIGTERM as soon as the Pod is deleted.
    pub async fn destroy(&self, pod: &Pod, container: &str) -> Result<()> {
        self.signal(pod, container, "SIGSTOP").await?;
        let at_once = DeleteParams::default().grace_period(0);
        self.all::<Pod>().delete(&pod.name_any(), &at_once).await?;
        self.kill(pod, container).await
    }

    /// Kills a container and waits until its replacement is ready.
    pub async fn kill_and_await(&self, pod: &Pod, container: &str) -> Result<()> {
        let id = |pod: &Pod| container_of(pod, container).and_then(|status| status.container_id.clone());
        let former = id(pod);
        ensure!(
            former.is_some(),
            "{} has no container {container}",
            pod.name_any()
        );
        self.kill(pod, container).await?;
        let what = format!("another container {container} that is ready");
        until_so(
            self.all::<Pod>(),
            &pod.name_any(),
            &what,
            RESTARTED,
            |pod: &Pod| {
                let is_ready = container_of(pod, container).is_some_and(|status| status.ready);
                is_ready && id(pod).is_some_and(|id| Some(id) != former)
            },
        )
        .await?;
        Ok(())
    }
}

/// The status of a container.
pub fn container_of<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

/// Whether a Pod is ready and not terminating.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
}
