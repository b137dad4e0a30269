//! Other patients as requests, from a Pod of the load client.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams};
use modelward_crds::{DriftReport, DriftVerdict, Model};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    cluster::{repository, run, words},
    story::{SOON, Story},
    wait::until,
};

/// The columns of the Hungarian data, in the order of the file.
const COLUMNS: &str = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num";

/// The figures that the client prints at last.
#[derive(Clone, Debug, Deserialize)]
pub struct Figures {
    /// Requests with a good answer.
    pub answered: u64,
    /// Requests without one.
    pub failed: u64,
    /// Requests of which nothing is known.
    pub lost: u64,
    /// The window in which all were answered.
    pub window: Window,
}

/// A window of traffic.
#[derive(Clone, Debug, Deserialize)]
pub struct Window {
    /// Its end, such as `2026-01-31T12:00:00Z`.
    pub end: String,
}

// === impl Window ===

impl Window {
    /// The name of the report on this window of a version.
    pub fn report(&self, version: &str) -> String {
        let digits: String = self.end.chars().filter(char::is_ascii_digit).take(14).collect();
        let (date, time) = digits.split_at(digits.len().min(8));
        format!("{version}-{date}-{time}")
    }
}

// === impl Story ===

impl Story {
    /// Sends this many patients of the Hungarian data to a model, each once and all in one window of this many seconds. Every one
    /// has to be answered.
    pub async fn replay(&self, model: &str, count: u32, window_seconds: i32) -> Result<Figures> {
        let url = format!("http://{model}.{}.svc/predict", self.namespace);
        let (count, window) = (count.to_string(), window_seconds.to_string());
        let arguments = [
            "replay",
            "--url",
            &url,
            "--csv",
            "/data/hungarian.csv",
            "--columns",
            COLUMNS,
            "--leave-out",
            "num",
            "--seed",
            "7",
            "--from",
            "0",
            "--count",
            &count,
            "--entity-prefix",
            "hungarian",
            "--window-seconds",
            &window,
        ];
        let name = format!("replay-{model}");
        self.create(&self.client_pod(&name, model, &arguments).await?)
            .await?;
        let pods = self.all::<Pod>();
        let patience = SOON + Duration::from_secs(2 * u64::try_from(window_seconds)?);
        let mut phase = String::new();
        let ended = until("the client ends", patience, async || {
            let status = pods.get(&name).await?.status;
            phase = status.and_then(|status| status.phase).unwrap_or_default();
            Ok(["Succeeded", "Failed"].contains(&phase.as_str()).then_some(()))
        })
        .await;
        ended.with_context(|| format!("the Pod {name} is {phase}"))?;
        let log = pods.logs(&name, &LogParams::default()).await?;
        let figures = log.lines().rfind(|line| line.starts_with('{'));
        let figures = figures.with_context(|| format!("{name} printed no figures:\n{log}"))?;
        let figures: Figures = serde_json::from_str(figures)?;
        ensure!(
            figures.failed == 0 && figures.lost == 0,
            "not every patient was answered: {figures:?}\n{log}"
        );
        pods.delete(&name, &DeleteParams::default()).await?;
        Ok(figures)
    }

    /// Waits for the verdict of a report.
    pub async fn awaits_verdict(&self, report: &str, patience: Duration) -> Result<DriftVerdict> {
        let reports = self.all::<DriftReport>();
        until(&format!("a verdict of {report}"), patience, async || {
            let status = reports.get_opt(report).await?.and_then(|report| report.status);
            Ok(status.and_then(|status| status.verdict))
        })
        .await
    }

    /// A Pod of the load client with these arguments: the traffic key of the model is at /key, the data of the sample at /data.
    async fn client_pod(&self, name: &str, model: &str, arguments: &[&str]) -> Result<Pod> {
        let mut script = Command::new(repository().join("hack/cluster/images.sh"));
        let image = run(script.args(["name", "load"]), &[]).await?;
        ensure!(image.status.success(), "images.sh name load: {}", words(&image));
        let image = String::from_utf8(image.stdout)?.trim().to_owned();
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

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_report_has_the_name_of_its_version_and_the_end_of_its_window() {
        for end in ["2026-01-31T12:00:20Z", "2026-01-31T12:00:20.000Z"] {
            let window = Window { end: end.into() };
            assert_eq!(window.report("loop-1"), "loop-1-20260131-120020");
        }
    }
}
