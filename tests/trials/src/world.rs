//! What all trials share: one API server with the admission policies, one PostgreSQL, one ledger, users.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kube::{Api, Client, ResourceExt as _, api::PostParams, client::ClientBuilder};
use modelward_crds::{ModelVersion, RemediationAction, annotations, gate};
use modelward_kit::{
    apiserver::{ApiServer, User},
    chart::{RELEASE, install_gate},
    faults::Life,
    objects::object,
    postgres::Postgres,
    wait::until,
};
use modelward_ledger::{Ledger, MigrateConfig, migrate};
use modelward_wire::LEDGER_AUDIENCE;
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::stage;

/// Namespace of the release, which contains the operator's service account.
pub const SYSTEM: &str = RELEASE;
/// The operator's service account.
pub const OPERATOR: &str = "modelward-operator";
/// Lifetime of tokens, longer than every run.
const TOKEN_SECONDS: i64 = 6 * 3600;
/// Time limit of a wait. Nothing takes this long, even on a machine with ten times as much load as cores.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// One API server with the admission policies, one PostgreSQL, one ledger. Each trial has a namespace.
pub struct World {
    /// The API server and its audit log.
    pub api: &'static ApiServer,
    /// A client with all permissions.
    pub admin: Client,
    /// Address of the ledger.
    pub ledger_url: String,
    operator_token: String,
    ledger: RunningLedger,
}

/// The real ledger with its own PostgreSQL; both end when this is dropped.
pub struct RunningLedger {
    /// Its address.
    pub url: String,
    /// The file with the operator's token for it.
    pub token_file: PathBuf,
    directory: tempfile::TempDir,
    _postgres: Postgres,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

// === impl World ===

impl World {
    /// Starts everything and waits until the admission policies are in effect.
    pub async fn build() -> Result<Arc<Self>> {
        let api = ApiServer::own().await?;
        let admin = api.client();
        install_gate(api).await?;
        grant(&admin).await?;
        stamping(&admin).await?;
        let ledger = RunningLedger::start(&admin).await?;
        Ok(Arc::new(Self {
            operator_token: token(&admin, SYSTEM, OPERATOR, None, &[]).await?,
            api,
            admin,
            ledger_url: ledger.url.clone(),
            ledger,
        }))
    }

    /// The file with the operator's token for the ledger.
    pub fn token_file(&self) -> PathBuf {
        self.ledger.token_file.clone()
    }

    /// The directory of a namespace's artifacts in the ledger's store.
    pub fn artifacts(&self, namespace: &str) -> PathBuf {
        self.ledger.directory.path().join("artifacts").join(namespace)
    }

    /// The operator's client for one life, with the permissions of the chart and with its faults.
    pub fn operator(&self, life: &Life) -> Result<Client> {
        let mut config = self.api.config()?;
        config.default_retry = false;
        config.auth_info.token = Some(self.operator_token.clone().into());
        Ok(ClientBuilder::try_from(config)?.with_layer(life).build())
    }

    /// A client of a user with only the permissions of the chart's roles.
    pub fn person(&self, user: User) -> Result<Client> {
        self.api.client_for(user)
    }

    /// A token of a service account, bound to a Pod if there is one.
    pub async fn pod_token(&self, namespace: &str, pod: &Pod) -> Result<String> {
        token(&self.admin, namespace, "default", Some(pod), &[LEDGER_AUDIENCE]).await
    }
}

// === impl RunningLedger ===

impl RunningLedger {
    /// Starts the ledger for the operator with its service account in [`SYSTEM`], and waits until it is connected to PostgreSQL.
    pub async fn start(admin: &Client) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let postgres = Postgres::start().await?;
        let database = postgres.database().await?;
        let url_file = directory.path().join("url");
        std::fs::write(&url_file, &database.url)?;
        migrate(MigrateConfig {
            database_url_file: url_file.clone(),
            ledger_role: "postgres".into(),
            patience: Duration::from_secs(10),
        })
        .await?;
        let config = modelward_ledger::Config {
            addr: "127.0.0.1:0".parse()?,
            database_url_file: url_file,
            store: format!("file://{}", directory.path().join("artifacts").display()),
            operator_service_account: format!("system:serviceaccount:{SYSTEM}:{OPERATOR}"),
            ..modelward_ledger::Config::default()
        };
        let ledger = Ledger::bind(config, admin.clone()).await?;
        let url = format!("http://{}", ledger.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(ledger.run(async {
            let _ = stopped.await;
        }));
        let ready = format!("{url}/readyz");
        until("the ledger with its PostgreSQL", PATIENCE, async || {
            let answer = reqwest::get(&ready).await;
            Ok(answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(()))
        })
        .await?;

        let token_file = directory.path().join("token");
        let token = token(admin, SYSTEM, OPERATOR, None, &[LEDGER_AUDIENCE]).await?;
        std::fs::write(&token_file, token)?;
        Ok(Self {
            url,
            token_file,
            directory,
            _postgres: postgres,
            running: Some((stop, running)),
        })
    }
}

impl Drop for RunningLedger {
    fn drop(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            let _ = stop.send(());
            running.abort();
        }
    }
}

/// Alice and Carol approve, Dave proposes and approves, and Bob has all permissions on the four kinds but none to decide on
/// actions.
async fn grant(admin: &Client) -> Result<()> {
    let roles = Api::<k8s_openapi::api::rbac::v1::ClusterRole>::all(admin.clone());
    let kinds = ["modelversions", "models", "driftreports", "remediationactions"];
    let resources: Vec<String> = kinds
        .iter()
        .flat_map(|kind| [(*kind).to_owned(), format!("{kind}/status")])
        .collect();
    let tenant = object(json!({
        "metadata": {"name": "tenant"},
        "rules": [
            {"apiGroups": ["modelward.io"], "resources": resources, "verbs": ["*"]},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]},
        ],
    }))?;
    roles.create(&PostParams::default(), &tenant).await?;
    let bindings = Api::<ClusterRoleBinding>::all(admin.clone());
    for (user, role) in [
        (User::Alice, "modelward-approver"),
        (User::Carol, "modelward-approver"),
        (User::Dave, "modelward-proposer"),
        (User::Dave, "modelward-approver"),
        (User::Bob, "tenant"),
    ] {
        let short = user.name().split('@').next().unwrap_or_default();
        let binding = object(json!({
            "metadata": {"name": format!("{role}-{short}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user.name()}],
        }))?;
        bindings.create(&PostParams::default(), &binding).await?;
    }
    Ok(())
}

/// A policy takes effect when the API server has received it and its parameters through its own watch.
async fn stamping(admin: &Client) -> Result<()> {
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let namespace = "default";
    let version: ModelVersion = object(stage::version("warm-1"))?;
    let action: RemediationAction = object(json!({
        "metadata": {"name": "warm"},
        "spec": {"model": "heart", "type": "RetrainModel"},
    }))?;
    let model: modelward_crds::Model = object(json!({"metadata": {"name": "warm"}, "spec": {}}))?;
    until("the gate", PATIENCE, async || {
        let version = Api::<ModelVersion>::namespaced(admin.clone(), namespace)
            .create(&dry, &version)
            .await;
        let action = Api::<RemediationAction>::namespaced(admin.clone(), namespace)
            .create(&dry, &action)
            .await;
        let model = Api::<modelward_crds::Model>::namespaced(admin.clone(), namespace)
            .create(&dry, &model)
            .await;
        let stamped = version.is_ok_and(|made| made.annotations().contains_key(annotations::CREATED_BY))
            && action.is_ok_and(|made| made.annotations().contains_key(annotations::PROPOSED_BY));
        let refused = model.is_err_and(|error| error.to_string().contains(gate::MODELS));
        Ok((stamped && refused).then_some(()))
    })
    .await
}

/// A token of a service account for the whole run, bound to a Pod if there is one.
pub async fn token(
    admin: &Client,
    namespace: &str,
    account: &str,
    pod: Option<&Pod>,
    audiences: &[&str],
) -> Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audiences.iter().map(ToString::to_string).collect(),
            bound_object_ref: pod.map(|pod| k8s_openapi::api::authentication::v1::BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            expiration_seconds: Some(TOKEN_SECONDS),
        },
        ..TokenRequest::default()
    };
    let made = Api::<ServiceAccount>::namespaced(admin.clone(), namespace)
        .create_token_request(account, &PostParams::default(), &request)
        .await?;
    Ok(made.status.context("a token request without a status")?.token)
}
