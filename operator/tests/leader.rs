//! Who leads after a restart: real processes against a real API server.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::PostParams};
use modelward_crds::ModelVersion;
use modelward_kit::{
    apiserver::{ApiServer, User},
    wait,
};
use serde_json::json;

/// A leader is there again after this.
const SOON: Duration = Duration::from_secs(10);
/// A process ends within this, far below a Pod's grace of 30 s.
const GRACE: Duration = Duration::from_secs(10);
const LEASE: &str = "modelward-operator";

struct Cluster {
    leases: Api<Lease>,
    namespace: String,
    kubeconfig: PathBuf,
    directory: tempfile::TempDir,
}

/// A process of the operator, killed where a test fails.
struct Process {
    name: String,
    child: Child,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn terminate(&self) -> Result<()> {
        let ended = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        ensure!(ended.success(), "kill failed");
        Ok(())
    }

    async fn ended(mut self) -> Result<()> {
        let name = self.name.clone();
        let child = &mut self.child;
        let status = wait::until(&format!("the end of {name}"), GRACE, async || {
            Ok(child.try_wait()?)
        })
        .await?;
        // A signal that came before the process listened for it ends it too.
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(15);
        ensure!(status.success() || by_signal, "{name} ended with {status}");
        Ok(())
    }
}

impl Cluster {
    async fn open(versions: usize) -> Result<Self> {
        let api = ApiServer::shared().await;
        let namespace = api.namespace().await;
        let directory = tempfile::tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, api.kubeconfig(User::Admin, &namespace))?;
        // A namespace with enough objects that the controllers' start takes a moment.
        let api_versions = Api::<ModelVersion>::namespaced(api.client(), &namespace);
        for number in 0..versions {
            let version: ModelVersion = serde_json::from_value(json!({
                "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
                "metadata": {"name": format!("m{number}-1")},
                "spec": {"model": format!("m{number}"), "serving": {"access": "Open"}, "source": {"training": {
                    "dataset": {"configMap": {"name": "absent", "key": "rows.csv"}},
                    "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                    "gates": [{"metric": "F1", "atLeast": "0.75"}],
                }}},
            }))?;
            api_versions.create(&PostParams::default(), &version).await?;
        }
        Ok(Self {
            leases: Api::namespaced(api.client(), &namespace),
            namespace,
            kubeconfig,
            directory,
        })
    }

    fn start(&self, name: &str) -> Result<Process> {
        let log = std::fs::File::create(self.directory.path().join(format!("{name}.log")))?;
        let child = Command::new(Path::new(env!("CARGO_BIN_EXE_modelward-operator")))
            .arg("run")
            .env_clear()
            .envs([
                ("KUBECONFIG", self.kubeconfig.display().to_string()),
                ("POD_NAME", name.to_owned()),
                ("POD_NAMESPACE", self.namespace.clone()),
                ("MODELWARD_LEASE_NAME", LEASE.to_owned()),
                ("MODELWARD_METRICS_ADDR", "127.0.0.1:0".to_owned()),
                ("MODELWARD_TRAINER_IMAGE", "trainer:test".to_owned()),
                ("MODELWARD_INFERENCE_IMAGE", "inference:test".to_owned()),
                ("MODELWARD_LEDGER_URL", "http://127.0.0.1:1".to_owned()),
                ("MODELWARD_WATCH_NAMESPACE", self.namespace.clone()),
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Process {
            name: name.to_owned(),
            child,
        })
    }

    async fn holder(&self) -> Result<Option<String>> {
        let lease = self.leases.get_opt(LEASE).await?;
        Ok(lease.and_then(|lease| lease.spec?.holder_identity))
    }

    /// Waits for one of these to lead, and gives its name.
    async fn leads(&self, names: &[&str]) -> Result<String> {
        wait::until(&format!("one of {names:?} to lead"), SOON, async || {
            let holder = self.holder().await?;
            Ok(holder.filter(|holder| names.contains(&holder.as_str())))
        })
        .await
    }
}

/// What `kubectl rollout restart` does to two replicas, twenty times: a new Pod comes up, one of the old ones ends, and the
/// second old one, which may have taken the lease a moment before, ends too.
#[tokio::test]
async fn after_each_of_twenty_restarts_there_is_a_leader_within_ten_seconds() -> Result<()> {
    let cluster = Cluster::open(100).await?;
    let mut old = [cluster.start("operator-0-a")?, cluster.start("operator-0-b")?];
    let mut leader = cluster.leads(&["operator-0-a", "operator-0-b"]).await?;
    let mut longest = Duration::ZERO;
    for round in 1..=20_u32 {
        let names = ["a", "b"].map(|which| format!("operator-{round}-{which}"));
        let new = [cluster.start(&names[0])?, cluster.start(&names[1])?];
        let [first, second] = old;
        let (leads, stands_by) = if first.name == leader {
            (first, second)
        } else {
            (second, first)
        };
        leads.terminate()?;
        // From at once to after the standby has taken over and begun.
        tokio::time::sleep(Duration::from_millis(u64::from(round - 1) * 180)).await;
        stands_by.terminate()?;
        let begun = Instant::now();
        leader = cluster.leads(&[&names[0], &names[1]]).await?;
        longest = longest.max(begun.elapsed());
        leads.ended().await?;
        stands_by.ended().await?;
        old = new;
    }
    println!("a leader was there again after {longest:?} at most");
    Ok(())
}

#[tokio::test]
async fn a_process_that_ends_at_any_moment_of_its_start_leaves_no_lease_behind() -> Result<()> {
    let cluster = Cluster::open(20).await?;
    for round in 0..20_u64 {
        let process = cluster.start("operator")?;
        tokio::time::sleep(Duration::from_millis(round * 40)).await;
        process.terminate()?;
        process.ended().await?;
        let holder = cluster.holder().await?.filter(|holder| !holder.is_empty());
        ensure!(
            holder.is_none(),
            "round {round}: {holder:?} holds the lease and is gone"
        );
    }
    Ok(())
}
