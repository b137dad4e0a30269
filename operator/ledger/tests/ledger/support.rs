//! A running ledger and its callers.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use modelward_kit::{
    apiserver::ApiServer,
    postgres::{Database, Postgres},
};
use modelward_ledger::{Config, Ledger, MigrateConfig, migrate};
use modelward_wire::{Digest, FileEntry, Manifest, ManifestKind};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{sync::oneshot, task::JoinHandle};

/// A ledger for one test, with its own database, namespace and store.
pub struct World {
    pub api: &'static ApiServer,
    pub kube: Client,
    pub namespace: String,
    pub postgres: Postgres,
    pub database: Database,
    /// The file from which the ledger reads its URL.
    pub url_file: PathBuf,
    pub artifacts: PathBuf,
    pub addr: SocketAddr,
    http: reqwest::Client,
    config: Config,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    _directory: tempfile::TempDir,
}

/// A caller with a token.
#[derive(Clone)]
pub struct Caller {
    pub token: String,
    /// uid of the Job, for a trainer.
    pub job: String,
    /// Name of the Pod.
    pub pod: String,
}

/// The permissions of the ledger's service account in the chart. Exactly these rules are needed.
const RULES: [(&str, &[&str], &str); 6] = [
    ("authentication.k8s.io", &["tokenreviews"], "create"),
    ("", &["pods"], "get"),
    ("batch", &["jobs"], "get"),
    ("apps", &["replicasets"], "get"),
    ("apps", &["deployments"], "get"),
    (
        "modelward.io",
        &["modelversions", "remediationactions", "models"],
        "get",
    ),
];

pub const AUDIENCE: &str = "modelward-ledger";

// === impl World ===

impl World {
    /// A ledger with the shared PostgreSQL.
    pub async fn start() -> Result<Self> {
        Self::with(Postgres::shared().await?, |_| {}).await
    }

    /// A ledger with this PostgreSQL and a changed configuration.
    pub async fn with(postgres: Postgres, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let api = ApiServer::shared().await;
        let kube = api.client();
        let namespace = api.namespace().await;
        let directory = tempfile::tempdir()?;
        let artifacts = directory.path().join("artifacts");
        let url_file = directory.path().join("url");

        // The schema belongs to one role and is used by another, as in production.
        let database = postgres.database().await?;
        let role = format!("ledger_{}", database.name);
        postgres
            .execute(
                &database.url,
                &format!("CREATE ROLE {role} LOGIN PASSWORD 'first'"),
            )
            .await?;
        std::fs::write(&url_file, &database.url)?;
        let config = MigrateConfig {
            database_url_file: url_file.clone(),
            ledger_role: role.clone(),
            patience: Duration::from_secs(10),
        };
        migrate(config).await?;
        std::fs::write(&url_file, postgres.url_of(&role, "first", &database.name))?;

        let mut config = Config {
            addr: "127.0.0.1:0".parse()?,
            database_url_file: url_file.clone(),
            store: format!("file://{}", artifacts.display()),
            operator_service_account: format!("system:serviceaccount:{namespace}:modelward-operator"),
            ..Config::default()
        };
        change(&mut config);
        let mut world = Self {
            api,
            kube,
            namespace,
            postgres,
            database,
            url_file,
            artifacts,
            addr: config.addr,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_mins(1))
                .build()?,
            config,
            running: None,
            _directory: directory,
        };
        for account in ["default", "ledger", "modelward-operator"] {
            world
                .create("", "v1", "ServiceAccount", "serviceaccounts", account, json!({}))
                .await?;
        }
        world.run().await?;
        Ok(world)
    }

    /// Starts the ledger.
    pub async fn run(&mut self) -> Result<()> {
        let client = self.ledger_client().await?;
        let ledger = Ledger::bind(self.config.clone(), client).await?;
        self.addr = ledger.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(ledger.run(async {
            let _ = stopped.await;
        }));
        self.running = Some((stop, task));
        Ok(())
    }

    /// Shuts the ledger down.
    pub async fn end(&mut self) -> Result<()> {
        let (stop, task) = self.running.take().context("the ledger does not run")?;
        let _ = stop.send(());
        Ok(task.await?)
    }

    /// The API server as the ledger's own service account sees it, with the chart's rules.
    async fn ledger_client(&self) -> Result<Client> {
        let name = format!("ledger-{}", self.namespace);
        let rules: Vec<_> = RULES
            .iter()
            .map(|(group, resources, verb)| json!({"apiGroups": [group], "resources": resources, "verbs": [verb]}))
            .collect();
        let group = "rbac.authorization.k8s.io";
        let roles = resource(group, "v1", "ClusterRole", "clusterroles");
        let bindings = resource(group, "v1", "ClusterRoleBinding", "clusterrolebindings");
        let role = json!({"rules": rules});
        let binding = json!({
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "ledger", "namespace": self.namespace}],
        });
        for (resource, content) in [(roles, role), (bindings, binding)] {
            let api = Api::<DynamicObject>::all_with(self.kube.clone(), &resource);
            if api.get_opt(&name).await?.is_none() {
                api.create(&PostParams::default(), &object(&resource, &name, content)?)
                    .await?;
            }
        }
        let mut config = self.api.config()?;
        config.default_retry = false;
        config.auth_info.token = Some(self.token("ledger", None, &[]).await?.into());
        let client = Client::try_from(config)?;
        // The API server notices a new role by a watch.
        let pods = Api::<Pod>::namespaced(client.clone(), "default");
        until("the ledger's role", async || {
            Ok(pods.get_opt("none").await.is_ok())
        })
        .await?;
        Ok(client)
    }

    /// A token of a service account in the test's namespace.
    pub async fn token(&self, account: &str, pod: Option<&Pod>, audiences: &[&str]) -> Result<String> {
        let accounts = Api::<ServiceAccount>::namespaced(self.kube.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(ToString::to_string).collect(),
                bound_object_ref: pod.map(|pod| BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(pod.name_any()),
                    uid: pod.uid(),
                }),
                expiration_seconds: Some(600),
            },
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await?;
        Ok(made.status.context("a token request without a status")?.token)
    }

    /// Creates an object in the namespace of the test and returns its uid.
    pub async fn create(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        plural: &str,
        name: &str,
        content: Value,
    ) -> Result<String> {
        let resource = resource(group, version, kind, plural);
        let api = Api::<DynamicObject>::namespaced_with(self.kube.clone(), &self.namespace, &resource);
        let made = api
            .create(&PostParams::default(), &object(&resource, name, content)?)
            .await
            .with_context(|| format!("cannot make {kind} {name}"))?;
        made.uid().context("an object without a uid")
    }

    pub async fn create_version(&self, name: &str) -> Result<String> {
        let spec = json!({
            "model": "heart",
            "source": {"training": {
                "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "families": ["LogisticRegression"],
            }},
            "serving": {"access": "Open"},
        });
        self.create(
            "modelward.io",
            "v1alpha1",
            "ModelVersion",
            "modelversions",
            name,
            json!({"spec": spec}),
        )
        .await
    }

    pub async fn create_job(&self, name: &str, owners: Value) -> Result<String> {
        let content = json!({
            "metadata": {"ownerReferences": owners},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
        });
        self.create("batch", "v1", "Job", "jobs", name, content).await
    }

    pub async fn create_pod(&self, name: &str, owners: Value) -> Result<Pod> {
        let content = json!({
            "metadata": {"ownerReferences": owners},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]},
        });
        self.create("", "v1", "Pod", "pods", name, content).await?;
        Ok(self.pods().get(name).await?)
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    /// A Pod of a Job of a ModelVersion, with a token for the ledger.
    pub async fn trainer(&self, name: &str) -> Result<Caller> {
        let version = self.create_version(name).await?;
        let owner = owner("modelward.io/v1alpha1", "ModelVersion", name, &version);
        let job = self.create_job(&format!("{name}-fit"), owner).await?;
        let pod = format!("{name}-fit-x");
        let made = self.create_pod(&pod, owner_of_job(name, &job)).await?;
        Ok(Caller {
            token: self.token("default", Some(&made), &[AUDIENCE]).await?,
            job,
            pod,
        })
    }

    /// A Pod of a Model's Deployment, with a token for the ledger.
    pub async fn server(&self, name: &str) -> Result<Caller> {
        let model = self
            .create(
                "modelward.io",
                "v1alpha1",
                "Model",
                "models",
                name,
                json!({"spec": {}}),
            )
            .await?;
        let labels = json!({"app": name});
        let template = json!({
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        });
        let spec = json!({"selector": {"matchLabels": labels}, "template": template});
        let owned = |owners: Value| json!({"metadata": {"ownerReferences": owners}, "spec": spec});
        let content = owned(owner("modelward.io/v1alpha1", "Model", name, &model));
        let deployment = self
            .create("apps", "v1", "Deployment", "deployments", name, content)
            .await?;
        let content = owned(owner("apps/v1", "Deployment", name, &deployment));
        let set = format!("{name}-1");
        self.create("apps", "v1", "ReplicaSet", "replicasets", &set, content)
            .await?;
        self.another_server(name, "x").await
    }

    /// One more Pod of the Deployment of [`Self::server`].
    pub async fn another_server(&self, name: &str, suffix: &str) -> Result<Caller> {
        let set = format!("{name}-1");
        let sets = resource("apps", "v1", "ReplicaSet", "replicasets");
        let sets = Api::<DynamicObject>::namespaced_with(self.kube.clone(), &self.namespace, &sets);
        let set_uid = sets
            .get(&set)
            .await?
            .uid()
            .context("a ReplicaSet without a uid")?;
        let pod = format!("{set}-{suffix}");
        let made = self
            .create_pod(&pod, owner("apps/v1", "ReplicaSet", &set, &set_uid))
            .await?;
        Ok(Caller {
            token: self.token("default", Some(&made), &[AUDIENCE]).await?,
            job: String::new(),
            pod,
        })
    }

    /// The operator.
    pub async fn operator(&self) -> Result<Caller> {
        let token = self.token("modelward-operator", None, &[AUDIENCE]).await?;
        Ok(Caller {
            token,
            job: String::new(),
            pod: String::new(),
        })
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.addr))
    }

    pub fn blob(&self, digest: &Digest) -> String {
        format!("/v1/artifacts/{}/blobs/{digest}", self.namespace)
    }

    pub fn manifest(&self, digest: &Digest) -> String {
        format!("/v1/artifacts/{}/manifests/{digest}", self.namespace)
    }

    pub fn result(&self, job: &str) -> String {
        format!("/v1/jobs/{}/{job}/result", self.namespace)
    }

    pub async fn get(&self, caller: &Caller, path: &str) -> Result<Response> {
        Ok(self
            .request(Method::GET, path)
            .bearer_auth(&caller.token)
            .send()
            .await?)
    }

    pub async fn put(&self, caller: &Caller, path: &str, body: impl Into<reqwest::Body>) -> Result<Response> {
        Ok(self
            .request(Method::PUT, path)
            .bearer_auth(&caller.token)
            .body(body)
            .send()
            .await?)
    }

    pub async fn put_json(&self, caller: &Caller, path: &str, body: &impl Serialize) -> Result<Response> {
        self.put(caller, path, serde_json::to_vec(body)?).await
    }

    pub async fn post_json(&self, caller: &Caller, path: &str, body: &impl Serialize) -> Result<Response> {
        Ok(self
            .request(Method::POST, path)
            .bearer_auth(&caller.token)
            .body(serde_json::to_vec(body)?)
            .send()
            .await?)
    }

    /// Stores a bundle with one file and returns the digest of the manifest.
    pub async fn publish(&self, caller: &Caller, content: &[u8]) -> Result<Digest> {
        self.publish_files(caller, &[("model.json", content)]).await
    }

    /// Stores a bundle and returns the digest of the manifest.
    pub async fn publish_files(&self, caller: &Caller, contents: &[(&str, &[u8])]) -> Result<Digest> {
        let mut files = Vec::new();
        for (path, content) in contents {
            let blob = digest_of(content);
            let answer = self.put(caller, &self.blob(&blob), content.to_vec()).await?;
            expect_success(answer).await?;
            files.push(FileEntry {
                path: (*path).into(),
                sha256: blob,
                size: content.len() as u64,
            });
        }
        let manifest = serde_json::to_vec(&Manifest::new(ManifestKind::Bundle, files)?)?;
        let digest = digest_of(&manifest);
        expect_success(self.put(caller, &self.manifest(&digest), manifest).await?).await?;
        Ok(digest)
    }

    /// Status and content of `/readyz`.
    pub async fn ready(&self) -> Result<(StatusCode, Value)> {
        let answer = self.request(Method::GET, "/readyz").send().await?;
        Ok((answer.status(), answer.json().await?))
    }

    pub async fn until_ready(&self) -> Result<()> {
        until("/readyz", async || Ok(self.ready().await?.0 == StatusCode::OK)).await
    }

    /// The value of a metric with these labels.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        let text = self.request(Method::GET, "/metrics").send().await?.text().await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?)
    }

    /// Every file of the store except for the lock, relative to the store.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.artifacts.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    directories.push(path);
                } else if let Ok(path) = path.strip_prefix(&self.artifacts) {
                    found.push(path.display().to_string());
                }
            }
        }
        found.retain(|file| !file.starts_with('.'));
        found.sort();
        found
    }
}

// === small ===

/// An owner reference with `controller: true`.
pub fn owner(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

pub fn owner_of_job(version: &str, job: &str) -> Value {
    owner("batch/v1", "Job", &format!("{version}-fit"), job)
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn object(resource: &ApiResource, name: &str, mut content: Value) -> Result<DynamicObject> {
    content["apiVersion"] = resource.api_version.clone().into();
    content["kind"] = resource.kind.clone().into();
    content["metadata"]["name"] = name.into();
    Ok(serde_json::from_value(content)?)
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Bytes that do not repeat, different for each seed.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next)
        .take(length / 8 + 1)
        .flatten()
        .collect();
    bytes.truncate(length);
    bytes
}

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..300 {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{what} did not come about within 30 s")
}

pub async fn expect_success(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    bail!("{status}: {}", answer.text().await?)
}

/// The message of a refusal with this status.
pub async fn refusal(answer: Response, status: StatusCode) -> Result<String> {
    let (found, text) = (answer.status(), answer.text().await?);
    ensure!(found == status, "{found} in place of {status}: {text}");
    let body: Value = serde_json::from_str(&text).context("a refusal must be JSON")?;
    Ok(body["error"]
        .as_str()
        .context("a refusal must have a sentence")?
        .to_owned())
}
