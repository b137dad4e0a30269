//! The running cluster, its node, and the commands of `hack/cluster`.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolume, PersistentVolumeClaim},
};
use kube::{Api, Client};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// How to create a cluster that a story can use.
const BRING_UP: &str = "bring one up: hack/cluster/cluster.sh up && eval \"$(hack/cluster/cluster.sh env)\"";

/// The running cluster.
pub struct Cluster {
    /// The administrator's client.
    pub client: Client,
    /// The namespace of the release.
    pub system: String,
}

// === impl Cluster ===

impl Cluster {
    /// Connects to the cluster that the environment names. An error says what is missing: the cluster or the release.
    pub async fn connect() -> Result<Self> {
        // Another test of the process may already have installed the provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        ensure!(
            env::var_os("MODELWARD_CLUSTER_STATE").is_some(),
            "no cluster is named by MODELWARD_CLUSTER_STATE; {BRING_UP}"
        );
        let client = Client::try_default()
            .await
            .with_context(|| format!("KUBECONFIG names no cluster; {BRING_UP}"))?;
        client
            .apiserver_version()
            .await
            .with_context(|| format!("the cluster does not answer; {BRING_UP}"))?;
        let system = env::var("MODELWARD_RELEASE_NAMESPACE").unwrap_or_else(|_| "modelward-system".into());
        let operator = Api::<Deployment>::namespaced(client.clone(), &system)
            .get_opt("modelward-operator")
            .await?;
        ensure!(
            operator.is_some(),
            "there is no release in the namespace {system}; install it: tests/install.sh"
        );
        Ok(Self { client, system })
    }

    /// Runs a command on the node with this input, and returns its output. The command must succeed.
    pub async fn on_node<A: AsRef<OsStr>>(
        &self,
        command: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Result<Vec<u8>> {
        let mut script = Command::new(repository().join("hack/cluster/cluster.sh"));
        script.arg("node").args(command);
        let output = run(&mut script, input).await?;
        ensure!(
            output.status.success(),
            "{:?} failed: {}",
            script.as_std(),
            words(&output)
        );
        Ok(output.stdout)
    }

    /// Runs kubectl: as the administrator, or with this kubeconfig.
    pub async fn kubectl(&self, kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<Output> {
        let mut kubectl = Command::new("kubectl");
        if let Some(kubeconfig) = kubeconfig {
            kubectl.env("KUBECONFIG", kubeconfig);
        }
        run(kubectl.args(arguments), &[]).await
    }

    /// The directory on the node in which the ledger stores the artifacts of a namespace.
    pub async fn artifacts(&self, namespace: &str) -> Result<PathBuf> {
        let claims = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &self.system);
        let claim = claims.get("modelward-ledger-artifacts").await?;
        let volume = claim.spec.and_then(|spec| spec.volume_name);
        let volume = volume.context("the ledger's claim has no volume")?;
        let volume = Api::<PersistentVolume>::all(self.client.clone())
            .get(&volume)
            .await?;
        let local = volume.spec.and_then(|spec| spec.local);
        let local = local.context("the ledger's volume is not a directory of the node")?;
        Ok(Path::new(&local.path).join(namespace))
    }
}

/// Runs a command with this input and waits for its end.
pub async fn run(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to run {:?}", command.as_std()))?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input may have ended already.
            let _ = stdin.write_all(input).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    Ok(output?)
}

/// The whole output of a command, on one line.
pub fn words(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).trim().to_owned());
    both.join(" ").trim().to_owned()
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
