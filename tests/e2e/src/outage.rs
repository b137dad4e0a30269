//! Outages of parts of the release.

use std::{process::Command as BlockingCommand, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, api::ListParams};

use crate::{
    cluster::{Cluster, words},
    wait::until,
};

/// Time limit for the Pods of a part to end.
const ENDED: Duration = Duration::from_secs(90);
/// Time limit for the ledger to notice the start or the end of an outage.
const NOTICED: Duration = Duration::from_mins(2);

/// A part of the release without Pods. [`Away::end`] scales it back, and so does a drop.
pub struct Away<'a> {
    cluster: &'a Cluster,
    part: &'static str,
    replicas: String,
    ended: bool,
}

// === impl Cluster ===

impl Cluster {
    /// Scales a part of the release (`deployment/modelward-operator`) to zero, and waits until all its Pods are deleted.
    pub async fn take_away(&self, part: &'static str, component: &str) -> Result<Away<'_>> {
        let read = [
            "get",
            "--namespace",
            &self.system,
            part,
            "-o",
            "jsonpath={.spec.replicas}",
        ];
        let read = self.kubectl(None, &read).await?;
        let replicas = words(&read);
        ensure!(
            read.status.success() && replicas.parse::<u32>().is_ok_and(|count| count > 0),
            "{part} has no number of replicas above 0: {replicas}"
        );
        let away = Away {
            cluster: self,
            part,
            replicas,
            ended: false,
        };
        away.scale("0").await?;
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.system);
        let selector = ListParams::default().labels(&format!("app.kubernetes.io/component={component}"));
        until(&format!("no Pod of {part} is left"), ENDED, async || {
            let left = pods.list(&selector).await?.items;
            Ok(left.is_empty().then_some(()))
        })
        .await?;
        Ok(away)
    }

    /// Waits until `/readyz` of the ledger responds with this status and this text.
    pub async fn await_ledger(&self, status: &str, wanted: &str) -> Result<()> {
        let services = Api::<Service>::namespaced(self.client.clone(), &self.system);
        let service = services.get("modelward-ledger").await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        let url = format!(
            "http://{}:8090/readyz",
            address.context("the ledger has no address")?
        );
        let mut last = String::new();
        let ready = until("the ledger", NOTICED, async || {
            // Without a Pod, curl ends with 7, which is a valid result here.
            let script = r#"curl -s --max-time 5 -w ' %{http_code}' "$1" || true"#;
            let answer = self.on_node(["sh", "-c", script, "sh", &url], &[]).await?;
            last = String::from_utf8_lossy(&answer).into_owned();
            let so = last.ends_with(&format!(" {status}")) && last.contains(wanted);
            Ok(so.then_some(()))
        })
        .await;
        ready.with_context(|| format!("{url} should answer {status} {wanted:?} and answers: {last}"))
    }
}

// === impl Away ===

impl Away<'_> {
    /// Scales the part back.
    pub async fn end(mut self) -> Result<()> {
        let scaled = self.scale(&self.replicas).await;
        self.ended = scaled.is_ok();
        scaled
    }

    async fn scale(&self, replicas: &str) -> Result<()> {
        let scale = self.cluster.kubectl(None, &self.arguments(replicas)).await?;
        ensure!(
            scale.status.success(),
            "kubectl scale {}: {}",
            self.part,
            words(&scale)
        );
        Ok(())
    }

    fn arguments<'a>(&'a self, replicas: &'a str) -> [&'a str; 6] {
        let system = &self.cluster.system;
        ["scale", "--namespace", system, self.part, "--replicas", replicas]
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Later stories need it, and `drop` cannot wait.
            let _ = BlockingCommand::new("kubectl")
                .args(self.arguments(&self.replicas))
                .output();
        }
    }
}
