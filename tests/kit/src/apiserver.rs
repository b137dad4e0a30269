//! A real kube-apiserver and etcd, without nodes, schedulers or controllers.
//!
//! All tests of a process share one pair, or all processes under `with-servers` (see [`servers`](crate::servers)). Each test uses
//! its own namespace. The pair ends with the process that started it, even if that process is killed, because each child reads from
//! a pipe that only that process holds open.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use k8s_openapi::{
    api::{core::v1::Namespace, rbac::v1::ClusterRole},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    config::AuthInfo,
};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::given::{Server, given};

/// The Kubernetes version that tests run against.
pub const KUBERNETES: &str = "1.37.2";
/// The Helm version that renders the charts.
pub const HELM: &str = "4.2.4";

/// A user of the test API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Member of system:masters.
    Admin,
    /// A user without permissions.
    Alice,
    /// Another user without permissions.
    Bob,
    /// Another one, with an e-mail address as the name.
    Carol,
    /// Another one.
    Dave,
    /// A user to whom tests grant the built-in role `edit`.
    Eve,
    /// The Kubernetes controllers, if they share one credential.
    Controllers,
}

/// A running pair of kube-apiserver and etcd.
pub struct ApiServer {
    place: Place,
    /// Absent if another process owns them. The first ends first: etcd accepts writes until its end.
    _owned: Option<(Vec<Guarded>, tempfile::TempDir)>,
}

/// What another process needs to connect to a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Base URL.
    address: String,
    /// Contains the logs and the cache of kubectl.
    directory: PathBuf,
}

/// A child that ends when its standard input closes.
struct Guarded {
    child: Child,
    pipe: Option<ChildStdin>,
}

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();

// === impl User ===

impl User {
    const ALL: [Self; 7] = [
        Self::Admin,
        Self::Alice,
        Self::Bob,
        Self::Carol,
        Self::Dave,
        Self::Eve,
        Self::Controllers,
    ];

    /// The user name in the API server.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Carol => "carol@example.com",
            Self::Dave => "dave",
            Self::Eve => "eve",
            Self::Controllers => "system:kube-controller-manager",
        }
    }

    const fn token(self) -> &'static str {
        // Valid only for this server, which listens on loopback and lives as long as the test.
        match self {
            Self::Admin => "admin-of-a-test",
            Self::Alice => "alice-of-a-test",
            Self::Bob => "bob-of-a-test",
            Self::Carol => "carol-of-a-test",
            Self::Dave => "dave-of-a-test",
            Self::Eve => "eve-of-a-test",
            Self::Controllers => "controllers-of-a-test",
        }
    }
}

// === impl ApiServer ===

impl ApiServer {
    /// The shared server, with Modelward's CRDs and without policies.
    pub async fn shared() -> &'static Self {
        SHARED
            .get_or_init(|| Self::given_or(Server::Plain, Self::with_crds))
            .await
    }

    /// The server of another process if there is one, otherwise a new one.
    pub(crate) async fn given_or(server: Server, start: impl AsyncFnOnce() -> anyhow::Result<Self>) -> Self {
        use_crypto();
        let given = match given(server).await {
            Ok(Some(place)) => Ok(Self { place, _owned: None }),
            Ok(None) => start().await,
            Err(error) => Err(error),
        };
        given.expect("a kube-apiserver for the tests")
    }

    /// A separate server with Modelward's CRDs that lives as long as the process, for a test that changes cluster-wide state.
    pub async fn own() -> anyhow::Result<&'static Self> {
        Ok(Box::leak(Box::new(Self::with_crds().await?)))
    }

    pub(crate) async fn with_crds() -> anyhow::Result<Self> {
        let server = Self::start().await?;
        server.install_crds().await.context("Modelward's CRDs")?;
        Ok(server)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Starts a separate pair, for a test that stops it or changes cluster-wide state.
    pub async fn start() -> anyhow::Result<Self> {
        use_crypto();
        let binary = hyperkube()?;
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (etcd, peer, secure) = (free_port()?, free_port()?, free_port()?);

        run(Command::new("openssl").args(["genrsa", "-out", &at("sa.key"), "2048"]))?;
        let users = User::ALL.map(|user| {
            let group = match user {
                // The permissions of each controller are Kubernetes' concern, so the controllers may do everything here.
                User::Admin | User::Controllers => "system:masters",
                _ => "",
            };
            format!("{},{},{},\"{group}\"\n", user.token(), user.name(), user.name())
        });
        fs::write(at("tokens.csv"), users.concat())?;

        let etcd_url = format!("http://127.0.0.1:{etcd}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let mut processes = vec![Guarded::spawn(
            &dir.path().join("etcd.log"),
            &binary,
            &[
                "etcd",
                "--data-dir",
                &at("etcd"),
                "--unsafe-no-fsync",
                "--log-level=error",
                &format!("--listen-client-urls={etcd_url}"),
                &format!("--advertise-client-urls={etcd_url}"),
                &format!("--listen-peer-urls={peer_url}"),
                &format!("--initial-advertise-peer-urls={peer_url}"),
                &format!("--initial-cluster=default={peer_url}"),
            ],
        )?];
        processes.push(Guarded::spawn(
            &dir.path().join("apiserver.log"),
            &binary,
            &[
                "kube-apiserver",
                &format!("--etcd-servers={etcd_url}"),
                &format!("--secure-port={secure}"),
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                &format!("--cert-dir={}", at("pki")),
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                // There is no controller that creates the default service account.
                "--disable-admission-plugins=ServiceAccount",
                "--endpoint-reconciler-type=none",
                &format!("--token-auth-file={}", at("tokens.csv")),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                &format!("--service-account-key-file={}", at("sa.key")),
                &format!("--service-account-signing-key-file={}", at("sa.key")),
                &format!("--audit-log-path={}", at("audit.log")),
                // In MB. Everything that tests check in the log must be in one file.
                "--audit-log-maxsize=10000",
                &format!("--audit-policy-file={}", write_audit_policy(dir.path())?),
            ],
        )?);

        let server = Self {
            place: Place {
                address: format!("https://127.0.0.1:{secure}"),
                directory: dir.path().to_owned(),
            },
            _owned: Some((processes, dir)),
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// A client for this user. A client belongs to the runtime that created it, so each test creates its own.
    pub fn client_for(&self, user: User) -> anyhow::Result<Client> {
        Ok(Client::try_from(self.config_for(user)?)?)
    }

    /// The configuration with this user's credentials.
    pub fn config_for(&self, user: User) -> anyhow::Result<Config> {
        let mut config = self.config()?;
        config.auth_info.token = Some(user.token().to_owned().into());
        Ok(config)
    }

    /// A client with all permissions.
    pub fn client(&self) -> Client {
        self.client_for(User::Admin)
            .expect("a client for the test API server")
    }

    /// The configuration without credentials. Tests that act as a service account add its token.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::new(self.place.address.parse()?);
        // Each server creates a new certificate, which contains the advertise address.
        config.accept_invalid_certs = true;
        config.auth_info = AuthInfo::default();
        config.read_timeout = Some(Duration::from_secs(310));
        Ok(config)
    }

    /// A kubeconfig for a process that authenticates as this user, with this default namespace.
    pub fn kubeconfig(&self, user: User, namespace: &str) -> String {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.place.address, "insecure-skip-tls-verify": true}}],
            "users": [{"name": "test", "user": {"token": user.token()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        })
        .to_string()
    }

    /// A document of the API server's OpenAPI v3: `apis/apps/v1`, `api/v1`.
    pub async fn openapi(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let request = http_get(&format!("/openapi/v3/{path}"))?;
        Ok(self.client().request(request).await?)
    }

    /// Writes the rules of the built-in roles `view`, `edit` and `admin` from the roles that are aggregated to them. In a cluster,
    /// a controller does this.
    pub async fn aggregate_roles(&self) -> anyhow::Result<()> {
        let roles = Api::<ClusterRole>::all(self.client());
        for name in ["view", "edit", "admin"] {
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}=true");
            let parts = roles.list(&ListParams::default().labels(&label)).await?;
            let rules: Vec<_> = parts
                .items
                .into_iter()
                .filter_map(|role| role.rules)
                .flatten()
                .collect();
            anyhow::ensure!(!rules.is_empty(), "no role is aggregated to {name}");
            let patch = Patch::Merge(serde_json::json!({"rules": rules}));
            roles.patch(name, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// The kubectl of the test API server's release, authenticated as this user.
    pub fn kubectl(&self, user: User) -> anyhow::Result<Command> {
        let mut command = Command::new(hyperkube()?.with_file_name("kubectl"));
        command.env("KUBECONFIG", "/dev/null").args([
            "--server",
            &self.place.address,
            "--insecure-skip-tls-verify",
            "--token",
            user.token(),
            "--cache-dir",
            &self.place.directory.join("kubectl").display().to_string(),
        ]);
        Ok(command)
    }

    /// The audit log of the API server, with one JSON event per line.
    pub fn audit_log(&self) -> PathBuf {
        self.place.directory.join("audit.log")
    }

    /// Creates a namespace with a new name.
    pub async fn namespace(&self) -> String {
        let namespaces = Api::<Namespace>::all(self.client());
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some("test-".into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .expect("a namespace for a test");
        made.name_any()
    }

    /// Installs the CRDs and waits until they are served.
    pub async fn install_crds(&self) -> anyhow::Result<()> {
        let api = Api::<CustomResourceDefinition>::all(self.client());
        for crd in modelward_crds::crds() {
            let name = crd.name_any();
            api.patch(
                &name,
                &PatchParams::apply("modelward-tests").force(),
                &Patch::Apply(&crd),
            )
            .await?;
            let established = kube::runtime::conditions::is_crd_established();
            let wait = kube::runtime::wait::await_condition(api.clone(), &name, established);
            tokio::time::timeout(Duration::from_secs(30), wait)
                .await
                .context("CRD was not established")??;
        }
        Ok(())
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        for _ in 0..600 {
            if let Ok(client) = self.client_for(User::Admin) {
                let request = http_get("/readyz")?;
                if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = fs::read_to_string(self.place.directory.join("apiserver.log")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(5).collect();
        bail!("kube-apiserver was not ready within 60 s; the end of its log: {tail:#?}")
    }
}

/// Other code in the process may already have installed the same provider.
fn use_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn http_get(path: &str) -> anyhow::Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

fn write_audit_policy(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join("audit-policy.yaml");
    // Logs completely what tests check, with the order in which etcd stored it (the resourceVersion of the response).
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
        - {level: None, verbs: [get, list, watch]}\n\
        - {level: RequestResponse, resources: [{group: modelward.io}, {group: batch}, {group: apps, resources: [deployments]}]}\n\
        - {level: Metadata}\n";
    fs::write(&path, policy)?;
    Ok(path.display().to_string())
}

/// The binary with the Kubernetes components that `hack/cluster/cluster.sh tools` builds.
pub fn hyperkube() -> anyhow::Result<PathBuf> {
    tool(&format!("kubernetes-{KUBERNETES}/hyperkube"))
}

/// The helm that `hack/cluster/cluster.sh tools` builds.
pub fn helm() -> anyhow::Result<PathBuf> {
    tool(&format!("helm-{HELM}/helm"))
}

fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("MODELWARD_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/modelward"),
    };
    let binary = cache.join("tools").join(name);
    if !binary.is_file() {
        bail!("{} is missing; build it with `make tools`", binary.display());
    }
    Ok(binary)
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("failed to run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

// === impl Guarded ===

impl Guarded {
    fn spawn(log: &Path, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = log.parent().context("a log is in a directory")?.to_owned();
        let log = fs::File::create(log)?;
        // `read` returns when the pipe closes, which the kernel does however this process ends. If the process ended without
        // writing a word, as every process with a shared server does, the script removes its directory.
        let script = "directory=$1; shift; \"$@\" </dev/null & child=$!; read -r word; kill -9 $child; wait $child 2>/dev/null; \
            [ \"$word\" = ends ] || { sleep 1; rm -rf \"$directory\"; }";
        let mut child = Command::new("sh")
            // A separate process group: Ctrl-C and nextest's timeout end the group of the test, and then the pipe ends these
            // processes.
            .process_group(0)
            // Tests have enough memory, and garbage collection takes a quarter of the API server's time.
            .env("GOGC", "400")
            .args(["-c", script, "sh"])
            .arg(directory)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"ends\n");
        }
        let _ = self.child.wait();
    }
}
