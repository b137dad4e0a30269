//! Who acts, on what, and what came of it.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    discovery::ApiResource,
};
use modelward_crds::{ActionType, Model, ModelVersion, RemediationAction, annotations, gate};
use modelward_kit::{
    apiserver::{ApiServer, User},
    chart::{apply_children, apply_gate, feed},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use crate::tally::{By, Tally};

/// The namespace of the release.
pub const SYSTEM: &str = "modelward-system";
/// Namespace that another operator looks after.
pub const ELSEWHERE: &str = "elsewhere";
/// A user that the chart lets write Services and Deployments of models.
pub const WRITER: &str = "system:serviceaccount:velero:velero";

/// A user with credentials of their own.
pub struct Person {
    pub name: String,
    pub client: Client,
}

/// A cluster with the chart's gate, and its users.
pub struct Gate {
    pub api: &'static ApiServer,
    pub namespace: String,
    /// Member of system:masters.
    pub admin: Person,
    /// May approve and reject a RetrainModel.
    pub alice: Person,
    /// May write all four kinds and their status as far as roles go, but has no verb on actions.
    pub bob: Person,
    /// Has the chart's approver.
    pub carol: Person,
    /// Has the chart's proposer and approver.
    pub dave: Person,
    /// The chart's operator, with what proposing takes.
    pub operator: Person,
    /// The operator of the namespace [`ELSEWHERE`].
    pub other_operator: Person,
    /// A service account with the chart's approver.
    pub ci: Person,
    pub collector: Person,
    pub namespace_controller: Person,
}

// === impl Gate ===

impl Gate {
    /// An API server with the chart's policies and roles at work.
    pub async fn install() -> Result<Self> {
        let api = ApiServer::own().await?;
        let admin = Person::user(api, User::Admin)?;
        for name in [SYSTEM, ELSEWHERE] {
            make(
                &Api::<Namespace>::all(admin.client.clone()),
                json!({"metadata": {"name": name}}),
            )
            .await?;
        }
        apply_chart(api, true)?;
        let namespace = api.namespace().await;
        let gate = Self {
            alice: Person::user(api, User::Alice)?,
            bob: Person::user(api, User::Bob)?,
            carol: Person::user(api, User::Carol)?,
            dave: Person::user(api, User::Dave)?,
            operator: Person::account(api, SYSTEM, "modelward-operator").await?,
            other_operator: Person::account(api, ELSEWHERE, "modelward-operator").await?,
            ci: Person::account(api, &namespace, "ci").await?,
            collector: Person::account(api, "kube-system", "generic-garbage-collector").await?,
            namespace_controller: Person::account(api, "kube-system", "namespace-controller").await?,
            admin,
            namespace,
            api,
        };
        gate.grant().await?;
        gate.until_at_work().await?;
        Ok(gate)
    }

    async fn grant(&self) -> Result<()> {
        let all = &self.admin.client;
        let kinds = ["modelversions", "models", "driftreports", "remediationactions"];
        let with_status: Vec<String> = kinds
            .iter()
            .flat_map(|kind| [(*kind).to_owned(), format!("{kind}/status")])
            .collect();
        // Beside what the chart gives the operator: what these tests let it do. No wildcard, which contains the verb end.
        let verbs = [
            "get",
            "list",
            "watch",
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection",
        ];
        let rules = json!([
            {"apiGroups": ["modelward.io"], "resources": with_status, "verbs": verbs},
            {"apiGroups": ["modelward.io"], "resources": ["actions"], "verbs": ["propose"]},
        ]);
        make(
            &Api::<ClusterRole>::all(all.clone()),
            json!({"metadata": {"name": "proposing-operator"}, "rules": rules}),
        )
        .await?;
        let operators = [&self.operator, &self.other_operator].map(Person::subject);
        make(
            &Api::<ClusterRoleBinding>::all(all.clone()),
            json!({
                "metadata": {"name": "proposing-operator"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "proposing-operator"},
                "subjects": operators,
            }),
        )
        .await?;
        let roles = Api::<Role>::namespaced(all.clone(), &self.namespace);
        make(
            &roles,
            json!({"metadata": {"name": "retrain-approver"}, "rules": [
                {"apiGroups": ["modelward.io"], "resources": ["remediationactions"], "verbs": ["get", "list", "watch", "patch"]},
                {"apiGroups": ["modelward.io"], "resources": ["actions"], "resourceNames": ["RetrainModel"], "verbs": ["approve"]},
            ]}),
        )
        .await?;
        make(
            &roles,
            json!({"metadata": {"name": "everything-but-actions"}, "rules": [
                {"apiGroups": ["modelward.io"], "resources": with_status, "verbs": ["*"]},
            ]}),
        )
        .await?;
        for (person, kind, role) in [
            (&self.alice, "Role", "retrain-approver"),
            (&self.bob, "Role", "everything-but-actions"),
            (&self.carol, "ClusterRole", "modelward-approver"),
            (&self.dave, "ClusterRole", "modelward-approver"),
            (&self.dave, "ClusterRole", "modelward-proposer"),
            (&self.ci, "ClusterRole", "modelward-approver"),
        ] {
            let short = person
                .name
                .split(['@', ':'])
                .next_back()
                .unwrap_or_default()
                .to_owned();
            make(
                &Api::<RoleBinding>::namespaced(all.clone(), &self.namespace),
                json!({
                    "metadata": {"name": format!("{role}-{short}")},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                    "subjects": [person.subject()],
                }),
            )
            .await?;
        }
        Ok(())
    }

    /// A policy takes effect when the API server has seen it, with its parameters, through a watch of its own.
    async fn until_at_work(&self) -> Result<()> {
        until("rights of bob, alice and the operators", async || {
            let bob = self
                .actions(&self.bob)
                .list(&kube::api::ListParams::default())
                .await;
            let operator = self
                .of::<Model>(&self.operator)
                .list(&kube::api::ListParams::default())
                .await;
            let collector = self
                .of::<Model>(&self.collector)
                .list(&kube::api::ListParams::default())
                .await;
            bob.is_ok() && operator.is_ok() && collector.is_ok()
        })
        .await?;
        self.of::<ModelVersion>(&self.admin)
            .create(
                &PostParams::default(),
                &object::<ModelVersion>("warm-1", &version_spec()),
            )
            .await?;
        until("every policy", async || {
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let model = self
                .of::<Model>(&self.admin)
                .create(&dry, &object::<Model>("warm", &json!({})))
                .await;
            let proposed = self
                .actions(&self.bob)
                .create(&dry, &action("warm", ActionType::RetrainModel, &[]))
                .await;
            let status = self
                .write_status::<ModelVersion>(&self.admin, "warm-1", json!({"score": "x"}), true)
                .await;
            let forged = self
                .patch::<ModelVersion>(
                    &self.admin,
                    "warm-1",
                    json!({"metadata": {"annotations": {annotations::CREATED_BY: "warm"}}}),
                    true,
                )
                .await;
            let stamped = self
                .actions(&self.admin)
                .create(&dry, &action("warm", ActionType::RetrainModel, &[]))
                .await;
            [
                (gate::MODELS, model.err()),
                (gate::DECISIONS, proposed.err()),
                (gate::STATUS, status.err()),
                (gate::VERSIONS, forged.err()),
            ]
            .into_iter()
            .all(|(policy, error)| error.is_some_and(|error| error.to_string().contains(policy)))
                && stamped.is_ok()
        })
        .await?;
        // The last of the stamps: on an action with a plan.
        self.propose(&self.operator, "warm", ActionType::RetrainModel, &[])
            .await?;
        self.plan("warm", &digest(1)).await?;
        until("the stamp of decisions", async || {
            let decided = self
                .patch::<RemediationAction>(
                    &self.alice,
                    "warm",
                    json!({"metadata": {"annotations": {annotations::APPROVE: "true"}}}),
                    true,
                )
                .await;
            decided.is_ok()
        })
        .await
    }

    /// A role of its own for this person in the namespace.
    pub async fn bind_rules(&self, person: &Person, rules: Value) {
        let all = &self.admin.client;
        make(
            &Api::<Role>::namespaced(all.clone(), &self.namespace),
            json!({"metadata": {"name": person.name}, "rules": rules}),
        )
        .await
        .unwrap();
        make(
            &Api::<RoleBinding>::namespaced(all.clone(), &self.namespace),
            json!({
                "metadata": {"name": person.name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": person.name},
                "subjects": [person.subject()],
            }),
        )
        .await
        .unwrap();
        until("the rights of a person", async || {
            self.of::<Model>(person)
                .list(&kube::api::ListParams::default())
                .await
                .is_ok()
        })
        .await
        .unwrap();
    }

    // --- what people do

    pub fn of<K>(&self, who: &Person) -> Api<DynamicObject>
    where
        K: Resource<DynamicType = ()>,
    {
        in_namespace::<K>(who, &self.namespace)
    }

    pub fn actions(&self, who: &Person) -> Api<DynamicObject> {
        self.of::<RemediationAction>(who)
    }

    pub async fn propose(
        &self,
        who: &Person,
        name: &str,
        kind: ActionType,
        annotations: &[(&str, &str)],
    ) -> Result<DynamicObject, kube::Error> {
        let action = action(name, kind, annotations);
        self.actions(who).create(&PostParams::default(), &action).await
    }

    /// The operator writes a plan of this digest.
    pub async fn plan(&self, name: &str, digest: &str) -> Result<DynamicObject, kube::Error> {
        self.write_status::<RemediationAction>(&self.operator, name, json!({"plan": plan(digest)}), false)
            .await
    }

    /// An action that the operator proposed, with a plan of this digest.
    pub async fn planned(&self, name: &str, kind: ActionType, digest: &str) {
        self.propose(&self.operator, name, kind, &[]).await.unwrap();
        self.plan(name, digest).await.unwrap();
    }

    pub async fn annotate(
        &self,
        who: &Person,
        name: &str,
        annotations: &[(&str, &str)],
    ) -> Result<DynamicObject, kube::Error> {
        self.patch::<RemediationAction>(
            who,
            name,
            json!({"metadata": {"annotations": map(annotations)}}),
            false,
        )
        .await
    }

    pub async fn patch<K>(
        &self,
        who: &Person,
        name: &str,
        patch: Value,
        dry_run: bool,
    ) -> Result<DynamicObject, kube::Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let params = PatchParams {
            dry_run,
            ..PatchParams::default()
        };
        self.of::<K>(who).patch(name, &params, &Patch::Merge(patch)).await
    }

    pub async fn write_status<K>(
        &self,
        who: &Person,
        name: &str,
        status: Value,
        dry_run: bool,
    ) -> Result<DynamicObject, kube::Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let params = PatchParams {
            dry_run,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"status": status}));
        self.of::<K>(who).patch_status(name, &params, &patch).await
    }

    pub async fn delete<K>(&self, who: &Person, name: &str) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = ()>,
    {
        self.of::<K>(who)
            .delete(name, &DeleteParams::default())
            .await
            .map(drop)
    }

    /// An annotation of an action, empty where it is absent.
    pub async fn annotation(&self, name: &str, key: &str) -> String {
        let action = self.actions(&self.admin).get(name).await.unwrap();
        of_object(&action, key)
    }

    /// kubectl as this user in the namespace: what it wrote, whether it succeeded.
    pub fn kubectl(&self, user: User, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = self.api.kubectl(user).unwrap();
        command.args(["--namespace", &self.namespace]).args(arguments);
        feed(&mut command, input).unwrap()
    }
}

// === impl Person ===

impl Person {
    fn user(api: &ApiServer, user: User) -> Result<Self> {
        Ok(Self {
            name: user.name().to_owned(),
            client: api.client_for(user)?,
        })
    }

    /// A user whom an administrator impersonates, in these groups.
    pub fn impersonated(api: &ApiServer, name: &str, groups: &[&str]) -> Self {
        let mut config = api.config_for(User::Admin).unwrap();
        config.auth_info.impersonate = Some(name.to_owned());
        config.auth_info.impersonate_groups =
            (!groups.is_empty()).then(|| groups.iter().map(|group| (*group).to_owned()).collect());
        Self {
            name: name.to_owned(),
            client: Client::try_from(config).unwrap(),
        }
    }

    /// A service account, by a token that the API server gives for it.
    pub async fn account(api: &ApiServer, namespace: &str, name: &str) -> Result<Self> {
        let accounts = Api::<ServiceAccount>::namespaced(api.client(), namespace);
        if accounts.get_opt(name).await?.is_none() {
            make(&accounts, json!({"metadata": {"name": name}})).await?;
        }
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let made = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await?;
        let token = made.status.context("a token request without a status")?.token;
        let mut config = api.config()?;
        config.auth_info.token = Some(token.into());
        Ok(Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            client: Client::try_from(config)?,
        })
    }

    pub fn subject(&self) -> Value {
        match self.name.split(':').collect::<Vec<_>>()[..] {
            ["system", "serviceaccount", namespace, name] => {
                json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
            }
            _ => json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": self.name}),
        }
    }
}

// === the chart ===

/// Applies the chart's policies and roles, as helm renders them for a cluster that stamps, or for one that cannot.
pub fn apply_chart(api: &ApiServer, stamps: bool) -> Result<()> {
    let other = format!("gate.operators.{ELSEWHERE}=system:serviceaccount:{ELSEWHERE}:modelward-operator");
    let writer = format!("gate.children.writers[0].user={WRITER}");
    let set = [
        &*other,
        &*writer,
        "gate.children.writers[0].resources={services,deployments}",
    ];
    apply_gate(api, SYSTEM, &set, stamps)?;
    apply_children(api, SYSTEM, &set)
}

// === objects ===

/// Objects of a kind in a namespace, as a user sees them.
pub fn in_namespace<K>(who: &Person, namespace: &str) -> Api<DynamicObject>
where
    K: Resource<DynamicType = ()>,
{
    Api::namespaced_with(who.client.clone(), namespace, &ApiResource::erase::<K>(&()))
}

/// A digest that differs from any other number's.
pub fn digest(number: u32) -> String {
    format!("sha256:{number:064x}")
}

pub fn decision(number: u32) -> String {
    format!("{}{number}", annotations::DECISION_PREFIX)
}

/// A plan as the API asks for it.
pub fn plan(digest: &str) -> Value {
    json!({
        "digest": digest,
        "planFormat": 1,
        "planSequence": 1,
        "risk": "Medium",
        "approvalsRequired": 1,
        "notAfter": "2100-01-01T00:00:00Z",
        "summary": "retrain heart on cleveland.csv, 303 rows",
        "content": "{}",
    })
}

pub fn action(name: &str, kind: ActionType, annotations: &[(&str, &str)]) -> DynamicObject {
    let mut spec = json!({"model": "heart", "type": kind.as_str(), "message": "heart has drifted"});
    if kind == ActionType::PromoteModel {
        spec["candidate"] = json!({"name": "heart-2"});
    }
    let mut action = object::<RemediationAction>(name, &spec);
    action.metadata.annotations = (!annotations.is_empty()).then(|| {
        annotations
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    });
    action
}

pub fn version_spec() -> Value {
    json!({
        "model": "heart",
        "source": {"training": {
            "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
            "target": {"column": "num"},
        }},
        "serving": {"access": "Open"},
    })
}

pub fn report_spec() -> Value {
    json!({"version": "heart-1", "startTime": "2026-01-01T10:00:00Z", "endTime": "2026-01-01T11:00:00Z"})
}

pub fn object<K>(name: &str, spec: &Value) -> DynamicObject
where
    K: Resource<DynamicType = ()>,
{
    DynamicObject::new(name, &ApiResource::erase::<K>(&())).data(json!({"spec": spec}))
}

pub fn of_object(object: &DynamicObject, key: &str) -> String {
    let found = object.metadata.annotations.as_ref().and_then(|all| all.get(key));
    found.cloned().unwrap_or_default()
}

/// Values by key, where [`REMOVED`] takes one away.
fn map(annotations: &[(&str, &str)]) -> Value {
    annotations
        .iter()
        .map(|(key, value)| {
            let value = if *value == REMOVED {
                Value::Null
            } else {
                json!(value)
            };
            ((*key).to_owned(), value)
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// In place of an annotation's value: takes it away.
pub const REMOVED: &str = "\0";

pub async fn make<K>(api: &Api<K>, mut content: Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    content["apiVersion"] = K::api_version(&()).into();
    content["kind"] = K::kind(&()).into();
    api.create(&PostParams::default(), &serde_json::from_value(content)?)
        .await?;
    Ok(())
}

/// Asks until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Result<()> {
    for _ in 0..300 {
        if is_so().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("{what}: not within 30 s")
}
