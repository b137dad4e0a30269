//! Parts of the chart on a test API server, rendered by Helm.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::OnceCell;

use crate::{
    apiserver::{ApiServer, User, helm},
    given::Server,
};

/// Namespace of the release of [`install_gate`].
pub const RELEASE: &str = "modelward-system";

static GATED: OnceCell<ApiServer> = OnceCell::const_new();

/// Contains MutatingAdmissionPolicy from Kubernetes 1.36 on.
const STAMPS: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

/// The templates of the admission policies, and of the roles of the operator and users.
const GATE: [&str; 10] = [
    "gate/parameters",
    "gate/decisions",
    "gate/status",
    "gate/versions",
    "gate/models",
    "gate/origins",
    "gate/records",
    "gate/roles",
    "operator/rbac",
    "operator/people",
];

/// The shared server with the chart's policies, as [`install_gate`] installs them.
pub async fn gated_server() -> &'static ApiServer {
    GATED
        .get_or_init(|| ApiServer::given_or(Server::Gated, start_gated_server))
        .await
}

pub(crate) async fn start_gated_server() -> Result<ApiServer> {
    let api = ApiServer::with_crds().await?;
    install_gate(&api).await?;
    Ok(api)
}

/// Creates the namespace [`RELEASE`] and installs the chart's policies and roles for a release in it, for a cluster that stamps
/// decisions. Modelward's CRDs must exist.
pub async fn install_gate(api: &ApiServer) -> Result<()> {
    let release = Namespace {
        metadata: ObjectMeta {
            name: Some(RELEASE.into()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    Api::<Namespace>::all(api.client())
        .create(&PostParams::default(), &release)
        .await?;
    apply_gate(api, RELEASE, &[], true)
}

/// Applies the chart's policies and roles, rendered for a cluster that stamps decisions or for one that cannot. The namespace of
/// the release must exist. This omits the policies on the operator's objects: see [`apply_children`].
pub fn apply_gate(api: &ApiServer, release: &str, set: &[&str], stamps: bool) -> Result<()> {
    let mut parts = GATE.to_vec();
    if stamps {
        parts.push("gate/stamps");
    }
    apply(api, release, set, stamps, &parts)
}

/// Applies the operator's service account, its roles and their bindings. The namespace of the release must exist.
pub fn apply_rights(api: &ApiServer, release: &str) -> Result<()> {
    apply(api, release, &[], false, &["operator/rbac"])
}

/// Applies the chart's policies on the operator's objects. With them, tests that act as Kubernetes controllers must use the
/// controllers' users.
pub fn apply_children(api: &ApiServer, release: &str, set: &[&str]) -> Result<()> {
    apply(api, release, set, false, &["gate/children"])
}

fn apply(api: &ApiServer, release: &str, set: &[&str], stamps: bool, parts: &[&str]) -> Result<()> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/modelward");
    let mut template = Command::new(helm()?);
    template.args(["template", "modelward", "--namespace", release]);
    for value in set {
        template.args(["--set", value]);
    }
    if stamps {
        template.args(["--api-versions", STAMPS]);
    }
    for part in parts {
        template.args(["--show-only", &format!("templates/{part}.yaml")]);
    }
    let (rendered, objects) = feed(template.arg(chart), "")?;
    ensure!(rendered, "helm template: {objects}");
    let mut kubectl = api.kubectl(User::Admin)?;
    kubectl.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]);
    let (applied, output) = feed(&mut kubectl, &objects)?;
    ensure!(applied, "kubectl apply: {output}");
    Ok(())
}

/// Runs a command with this input. Returns whether it succeeded, and its output followed by its errors.
pub fn feed(command: &mut Command, input: &str) -> Result<(bool, String)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to run {command:?}"))?;
    child
        .stdin
        .take()
        .context("no stdin")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok((output.status.success(), text))
}
