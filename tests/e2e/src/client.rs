//! Pods of the load client.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams};
use modelward_crds::Model;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    cluster::{repository, run, words},
    story::{SOON, Story},
    wait::until,
};

/// Path of the model's traffic key in the Pod.
pub const TRAFFIC_KEY: &str = "/key/traffic.key";
/// Path of the sample data in the Pod.
pub const DATA: &str = "/data";

impl Story {
    /// Starts a Pod of the load client for a model, with these arguments. The model's traffic key is at [`TRAFFIC_KEY`], the sample
    /// data in [`DATA`].
    pub async fn start_client(&self, name: &str, model: &str, arguments: &[&str]) -> Result<()> {
        let pod = self.client_pod(name, model, arguments).await?;
        self.create(&pod).await?;
        Ok(())
    }

    /// Waits until a client has ended, and deletes its Pod. Returns the figures, which are the last line of its output, and the
    /// whole output.
    pub async fn figures_of<F: DeserializeOwned>(
        &self,
        name: &str,
        patience: Duration,
    ) -> Result<(F, String)> {
        let pods = self.all::<Pod>();
        let mut phase = String::new();
        let ended = until("the client ends", patience, async || {
            phase = self.phase(name).await?;
            Ok(["Succeeded", "Failed"].contains(&phase.as_str()).then_some(()))
        })
        .await;
        ended.with_context(|| format!("the Pod {name} is {phase}"))?;
        let log = pods.logs(name, &LogParams::default()).await?;
        let figures = log.lines().rfind(|line| line.starts_with('{'));
        let figures = figures.with_context(|| format!("{name} printed no figures:\n{log}"))?;
        let figures = serde_json::from_str(figures).with_context(|| figures.to_owned())?;
        pods.delete(name, &DeleteParams::default()).await?;
        Ok((figures, log))
    }

    /// The phase of a Pod; empty if it has none yet.
    pub async fn phase(&self, pod: &str) -> Result<String> {
        let status = self.all::<Pod>().get(pod).await?.status;
        Ok(status.and_then(|status| status.phase).unwrap_or_default())
    }

    async fn client_pod(&self, name: &str, model: &str, arguments: &[&str]) -> Result<Pod> {
        let image = client_image().await?;
        let models = self.all::<Model>();
        let secret = until(&format!("the keys of {model} are made"), SOON, async || {
            let status = models.get_opt(model).await?.and_then(|model| model.status);
            Ok(status.and_then(|status| status.key_secret))
        })
        .await?;
        let pod: Value = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "modelward-load"}},
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "load", "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments,
                    "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "tmp", "mountPath": "/tmp"},
                        {"name": "key", "mountPath": "/key", "readOnly": true},
                        {"name": "data", "mountPath": "/data", "readOnly": true},
                    ],
                }],
                "volumes": [
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "key", "secret": {"secretName": secret, "items": [{"key": "traffic.key", "path": "traffic.key"}]}},
                    {"name": "data", "configMap": {"name": "heart-disease", "optional": true}},
                ],
            },
        });
        Ok(serde_json::from_value(pod)?)
    }
}

/// The image of the load client, which every local cluster has.
pub async fn client_image() -> Result<String> {
    let mut script = Command::new(repository().join("hack/cluster/images.sh"));
    let image = run(script.args(["name", "load"]), &[]).await?;
    ensure!(image.status.success(), "images.sh name load: {}", words(&image));
    Ok(String::from_utf8(image.stdout)?.trim().to_owned())
}
