//! What serves and trains is written by the operator and Kubernetes' controllers, and what administrators do stays possible.

use std::collections::BTreeMap;

use kube::{
    Api,
    api::{
        ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
        PropagationPolicy,
    },
};
use modelward_crds::gate::{
    CHILDREN, EXEC, IMITATIONS, NAMES, ORIGINS, PROBE_PREFIX, SCALE, SCALE_BOUNDS, TOKENS,
};
use modelward_kit::{apiserver::User, chart::feed};
use serde_json::{Value, json};

use crate::support::{By, Gate, Person, Tally, WRITER, until, version_spec};

const CHILD: By = By::Policy(CHILDREN);
const IMITATION: By = By::Policy(IMITATIONS);
const EITHER: By = By::AnyOf(&[CHILDREN, IMITATIONS]);
const NAME: By = By::Policy(NAMES);

/// A kind of a core group.
#[derive(Clone, Copy)]
struct Kind(&'static str, &'static str, &'static str);

const POD: Kind = Kind("v1", "Pod", "pods");
const SERVICE: Kind = Kind("v1", "Service", "services");
const ENDPOINTS: Kind = Kind("v1", "Endpoints", "endpoints");
const CONFIG_MAP: Kind = Kind("v1", "ConfigMap", "configmaps");
const SECRET: Kind = Kind("v1", "Secret", "secrets");
const REPLICATION_CONTROLLER: Kind = Kind("v1", "ReplicationController", "replicationcontrollers");
const POD_TEMPLATE: Kind = Kind("v1", "PodTemplate", "podtemplates");
const NODE: Kind = Kind("v1", "Node", "nodes");
const DEPLOYMENT: Kind = Kind("apps/v1", "Deployment", "deployments");
const REPLICA_SET: Kind = Kind("apps/v1", "ReplicaSet", "replicasets");
const STATEFUL_SET: Kind = Kind("apps/v1", "StatefulSet", "statefulsets");
const DAEMON_SET: Kind = Kind("apps/v1", "DaemonSet", "daemonsets");
const JOB: Kind = Kind("batch/v1", "Job", "jobs");
const CRON_JOB: Kind = Kind("batch/v1", "CronJob", "cronjobs");
const AUTOSCALER: Kind = Kind(
    "autoscaling/v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
);
const BUDGET: Kind = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets");
const SLICE: Kind = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
const MODEL: Kind = Kind("modelward.io/v1alpha1", "Model", "models");
const VERSION: Kind = Kind("modelward.io/v1alpha1", "ModelVersion", "modelversions");
const CLUSTER_ROLE: Kind = Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles");
const ROLE_BINDING: Kind = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings");

// === impl Kind ===

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, version) = self.0.rsplit_once('/').unwrap_or(("", self.0));
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: self.0.into(),
            kind: self.1.into(),
            plural: self.2.into(),
        }
    }

    fn of(self, who: &Person, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(who.client.clone(), namespace, &self.resource())
    }

    async fn create(self, who: &Person, namespace: &str, body: &Value) -> Result<DynamicObject, kube::Error> {
        let mut body = body.clone();
        body["apiVersion"] = self.0.into();
        body["kind"] = self.1.into();
        let object = serde_json::from_value(body).unwrap();
        self.of(who, namespace)
            .create(&PostParams::default(), &object)
            .await
    }

    async fn patch(
        self,
        who: &Person,
        namespace: &str,
        name: &str,
        patch: Value,
    ) -> Result<DynamicObject, kube::Error> {
        self.of(who, namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    async fn patch_sub(
        self,
        who: &Person,
        namespace: &str,
        name: &str,
        (sub, patch): (&str, Value),
    ) -> Result<DynamicObject, kube::Error> {
        self.of(who, namespace)
            .patch_subresource(sub, name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    async fn delete(self, who: &Person, namespace: &str, name: &str) -> Result<(), kube::Error> {
        self.of(who, namespace)
            .delete(name, &DeleteParams::default())
            .await
            .map(drop)
    }
}

/// A namespace with a model that serves, and who acts on it.
struct Served {
    namespace: String,
    /// May write every core kind, also those that `edit` does not contain. No administrator.
    eve: Person,
    replica_sets: Person,
    deployments: Person,
    jobs: Person,
    slices: Person,
    endpoints: Person,
    autoscaler: Person,
    budgets: Person,
    kubelet: Person,
    shared: Person,
    writer: Person,
    model_uid: String,
    version_uid: String,
}

const TEMPLATE_HASH: &str = "5d8f7c9b6";

fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": "modelward-inference", "app.kubernetes.io/instance": "heart",
        "app.kubernetes.io/managed-by": "modelward-operator", "modelward.io/model": "heart",
    })
}

fn hashed() -> Value {
    let mut labels = labels();
    labels["pod-template-hash"] = TEMPLATE_HASH.into();
    labels
}

fn pod_spec() -> Value {
    json!({
        "terminationGracePeriodSeconds": 0, "nodeName": "node-1",
        "containers": [{"name": "inference", "image": "modelward/inference:test", "resources": {"requests": {"cpu": "10m"}}}],
    })
}

fn selected(labels: &Value) -> Value {
    json!({"matchLabels": labels})
}

fn template(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
}

// === impl Served ===

impl Served {
    async fn install(gate: &Gate) -> Self {
        let api = gate.api;
        let namespace = api.namespace().await;
        let admin = &gate.admin;
        let eve = Person::impersonated(api, "eve", &[]);
        let rules = json!([
            {"apiGroups": [""], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["apps", "batch", "autoscaling", "policy", "discovery.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["modelward.io"], "resources": ["modelversions", "models"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]},
        ]);
        let role = json!({"metadata": {"name": "writes-workloads"}, "rules": rules});
        let roles: Api<DynamicObject> = Api::all_with(admin.client.clone(), &CLUSTER_ROLE.resource());
        let mut role = role;
        role["apiVersion"] = CLUSTER_ROLE.0.into();
        role["kind"] = CLUSTER_ROLE.1.into();
        roles
            .create(&PostParams::default(), &serde_json::from_value(role).unwrap())
            .await
            .unwrap();
        let kube_system = |name: &'static str| Person::account(api, "kube-system", name);
        // Their roles grant update, and the merge patches of this test need patch.
        let controller = |name: &str| {
            let name = format!("system:serviceaccount:kube-system:{name}");
            Person::impersonated(api, &name, &["system:masters"])
        };
        let served = Self {
            replica_sets: kube_system("replicaset-controller").await.unwrap(),
            deployments: kube_system("deployment-controller").await.unwrap(),
            jobs: kube_system("job-controller").await.unwrap(),
            slices: kube_system("endpointslice-controller").await.unwrap(),
            endpoints: kube_system("endpoint-controller").await.unwrap(),
            autoscaler: controller("horizontal-pod-autoscaler"),
            budgets: controller("disruption-controller"),
            kubelet: Person::impersonated(api, "system:node:node-1", &["system:nodes", "system:masters"]),
            shared: Person::impersonated(api, "system:kube-controller-manager", &["system:masters"]),
            writer: Person::impersonated(api, WRITER, &[]),
            model_uid: String::new(),
            version_uid: String::new(),
            namespace,
            eve,
        };
        let nodes: Api<DynamicObject> = Api::all_with(gate.admin.client.clone(), &NODE.resource());
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
            "status": {"capacity": {"cpu": "4", "pods": "100"}, "allocatable": {"cpu": "4", "pods": "100"}},
        });
        nodes
            .create(&PostParams::default(), &serde_json::from_value(node).unwrap())
            .await
            .unwrap();
        served.bind(gate, "writes-workloads", &served.eve).await;
        served.bind(gate, "writes-workloads", &served.writer).await;
        served.bind(gate, "modelward-debugger", &gate.alice).await;
        served.bind(gate, "writes-workloads", &gate.alice).await;
        until("rights of eve", async || {
            POD.of(&served.eve, &served.namespace)
                .list(&ListParams::default())
                .await
                .is_ok()
        })
        .await
        .unwrap();
        served
    }

    async fn bind(&self, gate: &Gate, role: &str, person: &Person) {
        let short = person.name.split([':', '@']).next_back().unwrap_or_default();
        let body = json!({
            "metadata": {"name": format!("{role}-{short}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [person.subject()],
        });
        ROLE_BINDING
            .create(&gate.admin, &self.namespace, &body)
            .await
            .unwrap();
    }

    /// Everything that the operator makes for a model, and what Kubernetes makes of it, each by its own user.
    async fn play(&mut self, gate: &Gate, tally: &mut Tally) {
        let ns = self.namespace.clone();
        let operator = &gate.operator;
        let mut spec = version_spec();
        spec["serving"]["replicas"] = json!({"min": 1, "max": 3});
        let body = json!({"metadata": {"name": "heart-1"}, "spec": spec});
        let version = VERSION.create(&self.eve, &ns, &body).await;
        let version = tally.allowed("eve makes a version", version).unwrap();
        self.version_uid = version.metadata.uid.unwrap();
        let body = json!({"metadata": {"name": "heart"}, "spec": {}});
        let model = MODEL.create(operator, &ns, &body).await.unwrap();
        self.model_uid = model.metadata.uid.unwrap();
        let role = Patch::Merge(json!({"status": {"role": "Live"}}));
        VERSION
            .of(operator, &ns)
            .patch_status("heart-1", &PatchParams::default(), &role)
            .await
            .unwrap();

        let owner = json!([{"apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": "heart", "uid": self.model_uid, "controller": true}]);
        let meta = |name: &str| json!({"name": name, "labels": labels(), "ownerReferences": owner});
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "heart"});
        for (kind, body) in [
            (
                CONFIG_MAP,
                json!({"metadata": meta("heart-routes-0a1b2c3d"), "data": {"routes.json": "{}"}}),
            ),
            (
                SECRET,
                json!({"metadata": meta("heart-modelward"), "stringData": {"key": "x"}}),
            ),
            (
                SERVICE,
                json!({"metadata": meta("heart"), "spec": {"selector": labels(), "ports": [{"port": 80}]}}),
            ),
            (
                DEPLOYMENT,
                json!({"metadata": meta("heart"), "spec": {"selector": selected(&labels()), "template": template(&labels())}}),
            ),
            (
                AUTOSCALER,
                json!({"metadata": meta("heart"), "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target}}),
            ),
            (
                BUDGET,
                json!({"metadata": meta("heart"), "spec": {"maxUnavailable": 1, "selector": selected(&labels())}}),
            ),
            (
                JOB,
                json!({"metadata": {"name": "heart-1-fit-0a1b2c3d", "labels": labels(), "ownerReferences": [{"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "name": "heart-1", "uid": self.version_uid}]},
                "spec": {"template": {"metadata": {"labels": labels()}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}}),
            ),
        ] {
            let made = kind.create(operator, &ns, &body).await;
            tally.allowed(&format!("the operator makes a {}", kind.1), made);
        }
        let replica_set = json!({"metadata": {"name": "heart-1", "labels": hashed(), "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "heart", "uid": "11111111-0000-0000-0000-000000000000", "controller": true}]},
            "spec": {"selector": selected(&hashed()), "template": template(&hashed())}});
        let pod = |name: &str| json!({"metadata": {"name": name, "labels": hashed(), "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "heart-1", "uid": "22222222-0000-0000-0000-000000000000", "controller": true}]}, "spec": pod_spec()});
        let slice = json!({"metadata": {"name": "heart-x1", "labels": {"modelward.io/model": "heart", "kubernetes.io/service-name": "heart"}, "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "heart", "uid": "33333333-0000-0000-0000-000000000000"}]},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": [{"name": "http", "port": 8080}]});
        let endpoints = json!({"metadata": {"name": "heart", "labels": labels()}, "subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 8080}]}]});
        let job_pod = json!({"metadata": {"name": "heart-1-fit-x", "labels": labels(), "finalizers": ["batch.kubernetes.io/job-tracking"], "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "heart-1-fit-0a1b2c3d", "uid": "44444444-0000-0000-0000-000000000000", "controller": true}]}, "spec": pod_spec()});
        for (who, kind, body) in [
            (&self.deployments, REPLICA_SET, replica_set),
            (&self.replica_sets, POD, pod("heart-p1")),
            (&self.replica_sets, POD, pod("heart-p2")),
            (&self.slices, SLICE, slice),
            (&self.endpoints, ENDPOINTS, endpoints),
            (&self.jobs, POD, job_pod),
        ] {
            let made = kind.create(who, &ns, &body).await;
            tally.allowed(&format!("{} makes a {}", who.name, kind.1), made);
        }
        let done = POD
            .patch(
                &self.jobs,
                &ns,
                "heart-1-fit-x",
                json!({"metadata": {"finalizers": null}}),
            )
            .await;
        tally.allowed("the job controller takes its finalizer off a Pod", done);
        let ready = json!({"status": {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "conditions": [{"type": "Ready", "status": "True"}]}});
        for pod in ["heart-p1", "heart-p2"] {
            let written = POD
                .of(&self.kubelet, &ns)
                .patch_status(pod, &PatchParams::default(), &Patch::Merge(ready.clone()))
                .await;
            tally.allowed(&format!("the kubelet writes the status of {pod}"), written);
        }
        let status = json!({"status": {"expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "observedGeneration": 1}});
        let written = BUDGET
            .of(&self.budgets, &ns)
            .patch_status("heart", &PatchParams::default(), &Patch::Merge(status))
            .await;
        tally.allowed("the disruption controller writes the budget's status", written);
    }

    fn kubectl(&self, gate: &Gate, who: &str, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = gate.api.kubectl(User::Admin).unwrap();
        command
            .args(["--namespace", &self.namespace, "--as", who])
            .args(arguments);
        feed(&mut command, input).unwrap()
    }
}

/// Attacks by a person who may write every core kind.
pub async fn what_serves(gate: &Gate, tally: &mut Tally) {
    let mut served = Served::install(gate).await;
    until_at_work(gate, &served).await;
    served.play(gate, tally).await;
    changed(&served, tally).await;
    deleted(gate, &served, tally).await;
    created(&served, tally).await;
    named(&served, tally).await;
    subresources(gate, &served, tally).await;
    daily_work(gate, &served, tally).await;
    ends(gate, &served, tally).await;
}

async fn until_at_work(gate: &Gate, served: &Served) {
    until("every policy on what the operator makes", async || {
        let dry = |policy: &str| PostParams {
            dry_run: true,
            field_manager: Some(format!("{PROBE_PREFIX}{policy}")),
        };
        let body = |labels: Value| {
            serde_json::from_value::<DynamicObject>(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "labels": labels},
            }))
            .unwrap()
        };
        let of = CONFIG_MAP.of(&gate.operator, &served.namespace);
        let child = of.create(&dry(CHILDREN), &body(labels())).await;
        let imitation = of.create(&dry(IMITATIONS), &body(json!({}))).await;
        let by = |outcome: Result<DynamicObject, kube::Error>, policy: &str| {
            outcome.is_err_and(|error| error.to_string().contains(policy))
        };
        by(child, CHILDREN) && by(imitation, IMITATIONS)
    })
    .await
    .unwrap();
}

async fn changed(served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    let only = "only the operator changes";
    let acts = "Kubernetes or the operator acts on";
    let owners = "only the operator sets owner references and finalizers";
    let restarted = json!({"kubectl.kubernetes.io/restartedAt": "now"});
    let much = json!({"kubectl.kubernetes.io/restartedAt": "x".repeat(65)});
    let container = json!([{"name": "c", "image": "evil"}]);
    for (attack, kind, name, patch, words) in [
        (
            "the Service's selector",
            SERVICE,
            "heart",
            json!({"spec": {"selector": {"no-pod": "has-it"}}}),
            "only the operator changes spec of services/heart: change spec.serving of the ModelVersion",
        ),
        (
            "a restart that says much",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"metadata": {"annotations": much}}}}),
            only,
        ),
        (
            "the Service's type",
            SERVICE,
            "heart",
            json!({"spec": {"type": "ExternalName", "externalName": "evil.example.com"}}),
            only,
        ),
        (
            "the Service's external addresses",
            SERVICE,
            "heart",
            json!({"spec": {"externalIPs": ["10.210.0.77"]}}),
            only,
        ),
        (
            "Pods that are not ready",
            SERVICE,
            "heart",
            json!({"spec": {"publishNotReadyAddresses": true}}),
            only,
        ),
        (
            "the Service's affinity",
            SERVICE,
            "heart",
            json!({"spec": {"sessionAffinity": "ClientIP"}}),
            only,
        ),
        (
            "a label that kube-proxy obeys",
            SERVICE,
            "heart",
            json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "none"}}}),
            acts,
        ),
        (
            "an annotation that routes",
            SERVICE,
            "heart",
            json!({"metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}}),
            acts,
        ),
        (
            "the image",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"spec": {"containers": container}}}}),
            only,
        ),
        (
            "host aliases",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"spec": {"hostAliases": [{"ip": "10.9.9.9", "hostnames": ["x"]}]}}}}),
            only,
        ),
        (
            "a paused rollout",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"paused": true}}),
            only,
        ),
        (
            "minReadySeconds",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"minReadySeconds": 250}}),
            only,
        ),
        (
            "an annotation in the template",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"metadata": {"annotations": {"x": "y"}}}}}),
            only,
        ),
        (
            "a label in the template",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}}),
            only,
        ),
        (
            "a finalizer in the template",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"metadata": {"finalizers": ["example.com/x"]}}}}),
            only,
        ),
        (
            "a restart with another image",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"template": {"metadata": {"annotations": restarted}, "spec": {"containers": container}}}}),
            only,
        ),
        (
            "a restart with a pause",
            DEPLOYMENT,
            "heart",
            json!({"spec": {"paused": true, "template": {"metadata": {"annotations": restarted}}}}),
            only,
        ),
        (
            "the operator's record of what it applied",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"annotations": {"modelward.io/applied": "x"}}}),
            acts,
        ),
        (
            "the revision",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "9"}}}),
            acts,
        ),
        (
            "owner references taken away",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"ownerReferences": []}}),
            owners,
        ),
        (
            "a finalizer",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"finalizers": ["example.com/x"]}}),
            owners,
        ),
        (
            "the label taken off",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"labels": {"modelward.io/model": null}}}),
            acts,
        ),
        (
            "the label changed",
            SERVICE,
            "heart",
            json!({"metadata": {"labels": {"modelward.io/model": "other"}}}),
            acts,
        ),
        (
            "the label taken off with another change",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"labels": {"modelward.io/model": null}}, "spec": {"paused": true}}),
            "",
        ),
        (
            "the ReplicaSet's number",
            REPLICA_SET,
            "heart-1",
            json!({"spec": {"replicas": 0}}),
            only,
        ),
        (
            "routes",
            CONFIG_MAP,
            "heart-routes-0a1b2c3d",
            json!({"data": {"routes.json": "{\"forged\": true}"}}),
            "only the operator changes data",
        ),
        (
            "a further key in the routes",
            CONFIG_MAP,
            "heart-routes-0a1b2c3d",
            json!({"data": {"forged.json": "{}"}}),
            "only the operator changes data",
        ),
        (
            "the key",
            SECRET,
            "heart-modelward",
            json!({"data": {"key": "eQ=="}}),
            "only the operator changes data",
        ),
        (
            "the autoscaler's bounds",
            AUTOSCALER,
            "heart",
            json!({"spec": {"maxReplicas": 90}}),
            only,
        ),
        (
            "the autoscaler's behavior",
            AUTOSCALER,
            "heart",
            json!({"spec": {"behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}}),
            only,
        ),
        (
            "the budget",
            BUDGET,
            "heart",
            json!({"spec": {"maxUnavailable": "100%"}}),
            only,
        ),
        (
            "the budget's selector",
            BUDGET,
            "heart",
            json!({"spec": {"selector": {"matchLabels": {"no-pod": "has-it"}}}}),
            only,
        ),
        (
            "endpoints",
            SLICE,
            "heart-x1",
            json!({"endpoints": [{"addresses": ["10.9.9.9"]}]}),
            "endpoints",
        ),
        (
            "older Endpoints",
            ENDPOINTS,
            "heart",
            json!({"subsets": null}),
            "only the operator changes subsets",
        ),
        (
            "a slice taken off its Service",
            SLICE,
            "heart-x1",
            json!({"metadata": {"labels": {"kubernetes.io/service-name": "other"}}}),
            acts,
        ),
        (
            "a Pod's deadline",
            POD,
            "heart-p1",
            json!({"spec": {"activeDeadlineSeconds": 1}}),
            only,
        ),
        (
            "a Pod taken from its Service",
            POD,
            "heart-p1",
            json!({"metadata": {"labels": {"app.kubernetes.io/name": null}}}),
            acts,
        ),
        (
            "a Pod taken from its ReplicaSet",
            POD,
            "heart-p1",
            json!({"metadata": {"labels": {"pod-template-hash": "x"}}}),
            acts,
        ),
        (
            "a Pod's owners",
            POD,
            "heart-p1",
            json!({"metadata": {"ownerReferences": []}}),
            owners,
        ),
        (
            "a Job that waits",
            JOB,
            "heart-1-fit-0a1b2c3d",
            json!({"spec": {"suspend": true}}),
            only,
        ),
    ] {
        let outcome = kind.patch(&served.eve, ns, name, patch).await;
        let by = match words {
            "" => EITHER,
            // Two policies refuse it, and which one is named is not fixed.
            "endpoints" => By::AnyOf(&[CHILDREN, NAMES]),
            _ => CHILD,
        };
        tally.refused(&format!("eve changes {attack}"), by, words, outcome);
    }
    let status = json!({"status": {"podIP": "10.9.9.9"}});
    let outcome = POD
        .of(&served.eve, ns)
        .patch_status("heart-p1", &PatchParams::default(), &Patch::Merge(status))
        .await;
    tally.refused(
        "eve writes a Pod's status",
        CHILD,
        "only Kubernetes writes the status of pods/heart-p1",
        outcome,
    );
    let sizes =
        json!({"spec": {"containers": [{"name": "inference", "resources": {"requests": {"cpu": "50m"}}}]}});
    let resize = Patch::Strategic(sizes);
    let outcome = POD
        .of(&served.eve, ns)
        .patch_subresource("resize", "heart-p1", &PatchParams::default(), &resize)
        .await;
    tally.refused("eve resizes a Pod", CHILD, only, outcome);
    let applied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "heart"}, "spec": {"progressDeadlineSeconds": 9}});
    let outcome = DEPLOYMENT
        .of(&served.eve, ns)
        .patch(
            "heart",
            &PatchParams::apply("eve").force(),
            &Patch::Apply(&applied),
        )
        .await;
    tally.refused("eve applies by force", CHILD, only, outcome);
}

async fn deleted(gate: &Gate, served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    let words = "belongs to a model and is deleted with it. To ";
    for (kind, name) in [
        (DEPLOYMENT, "heart"),
        (SERVICE, "heart"),
        (CONFIG_MAP, "heart-routes-0a1b2c3d"),
        (SECRET, "heart-modelward"),
        (AUTOSCALER, "heart"),
        (BUDGET, "heart"),
        (REPLICA_SET, "heart-1"),
        (SLICE, "heart-x1"),
        (ENDPOINTS, "heart"),
        (JOB, "heart-1-fit-0a1b2c3d"),
    ] {
        let outcome = kind.delete(&served.eve, ns, name).await;
        tally.refused(&format!("eve deletes a {}", kind.1), CHILD, words, outcome);
    }
    let all = DEPLOYMENT
        .of(&served.eve, ns)
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await;
    tally.refused("eve deletes all Deployments", CHILD, words, all);
    for (kind, name, by) in [
        (DEPLOYMENT, "heart", CHILD),
        (VERSION, "heart-1", By::AnyOf(&[ORIGINS, "versions.modelward.io"])),
        (MODEL, "heart", By::AnyOf(&[ORIGINS, "models.modelward.io"])),
    ] {
        let orphaning = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            ..DeleteParams::default()
        };
        let outcome = kind.of(&served.eve, ns).delete(name, &orphaning).await;
        tally.refused(&format!("eve orphans what a {} owns", kind.1), by, "", outcome);
    }
    for who in [&gate.admin, &served.autoscaler, &gate.other_operator] {
        if who.name == gate.admin.name {
            let outcome = SERVICE.delete(who, ns, "heart").await;
            tally.refused("an administrator deletes the Service", CHILD, words, outcome);
        }
        let paused = json!({"spec": {"template": {"spec": {"hostNetwork": true}}}});
        let outcome = DEPLOYMENT.patch(who, ns, "heart", paused).await;
        let by = if who.name == gate.other_operator.name {
            By::Roles
        } else {
            CHILD
        };
        tally.refused(&format!("{} changes the Deployment", who.name), by, "", outcome);
    }
}

async fn created(served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    let ours = labels();
    let spec = json!({"containers": [{"name": "c", "image": "x"}]});
    let never = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]});
    let owner = json!([{"apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": "heart", "uid": served.model_uid}]);
    let token = json!({"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "modelward-ledger", "path": "t"}}]}}], "serviceAccountName": "default", "containers": [{"name": "c", "image": "x"}]});
    let other = json!({"matchLabels": {"a": "b"}});
    let mut both = ours.clone();
    both["a"] = "b".into();
    let labelled = "only the operator sets labels of modelward.io";
    let behind = "a Pod template with labels of modelward.io would put Pods behind the Service of a model";
    let reserved = "the operator uses names such as";
    for (attack, kind, body, by, words) in [
        (
            "a Pod behind the Service",
            POD,
            json!({"metadata": {"name": "w", "labels": ours}, "spec": spec}),
            EITHER,
            "",
        ),
        (
            "a Pod with another label of ours",
            POD,
            json!({"metadata": {"name": "w", "labels": {"modelward.io/version": "heart-1"}}, "spec": spec}),
            IMITATION,
            labelled,
        ),
        (
            "a Pod managed by the operator",
            POD,
            json!({"metadata": {"name": "w", "labels": {"app.kubernetes.io/managed-by": "modelward-operator"}}, "spec": spec}),
            IMITATION,
            labelled,
        ),
        (
            "a Deployment with our template",
            DEPLOYMENT,
            json!({"metadata": {"name": "w"}, "spec": {"selector": other, "template": template(&both)}}),
            IMITATION,
            behind,
        ),
        (
            "a ReplicaSet with our template",
            REPLICA_SET,
            json!({"metadata": {"name": "w"}, "spec": {"selector": other, "template": template(&both)}}),
            IMITATION,
            behind,
        ),
        (
            "a StatefulSet with our template",
            STATEFUL_SET,
            json!({"metadata": {"name": "w"}, "spec": {"selector": other, "template": template(&both)}}),
            IMITATION,
            behind,
        ),
        (
            "a DaemonSet with our template",
            DAEMON_SET,
            json!({"metadata": {"name": "w"}, "spec": {"selector": other, "template": template(&both)}}),
            IMITATION,
            behind,
        ),
        (
            "a ReplicationController with our template",
            REPLICATION_CONTROLLER,
            json!({"metadata": {"name": "w"}, "spec": {"selector": {"a": "b"}, "template": template(&both)}}),
            EITHER,
            "",
        ),
        (
            "a PodTemplate",
            POD_TEMPLATE,
            json!({"metadata": {"name": "w"}, "template": template(&both)}),
            IMITATION,
            behind,
        ),
        (
            "a Job with our template",
            JOB,
            json!({"metadata": {"name": "w"}, "spec": {"template": {"metadata": {"labels": ours}, "spec": never}}}),
            EITHER,
            "",
        ),
        (
            "a CronJob with our template",
            CRON_JOB,
            json!({"metadata": {"name": "w"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"metadata": {"labels": ours}, "spec": never}}}}}),
            IMITATION,
            behind,
        ),
        (
            "a Pod with a ledger token",
            POD,
            json!({"metadata": {"name": "w"}, "spec": token}),
            IMITATION,
            "only Pods that the operator makes get a token of the audience modelward-ledger",
        ),
        (
            "a Deployment with a ledger token",
            DEPLOYMENT,
            json!({"metadata": {"name": "w"}, "spec": {"selector": other, "template": {"metadata": {"labels": {"a": "b"}}, "spec": token}}}),
            IMITATION,
            "modelward-ledger",
        ),
        (
            "a Job of the version",
            JOB,
            json!({"metadata": {"name": "w", "ownerReferences": [{"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "name": "heart-1", "uid": served.version_uid}]}, "spec": {"template": {"spec": never}}}),
            IMITATION,
            "only the operator makes an object of modelward.io the owner of another",
        ),
        (
            "a Job of the operator's name",
            JOB,
            json!({"metadata": {"name": "heart-2-fit-224d958c"}, "spec": {"template": {"spec": never}}}),
            IMITATION,
            reserved,
        ),
        (
            "routes",
            CONFIG_MAP,
            json!({"metadata": {"name": "heart-routes-deadbeef"}}),
            IMITATION,
            reserved,
        ),
        (
            "the spec of a Job",
            CONFIG_MAP,
            json!({"metadata": {"name": "heart-9-job-deadbeef"}}),
            IMITATION,
            reserved,
        ),
        (
            "a ConfigMap of the model",
            CONFIG_MAP,
            json!({"metadata": {"name": "w", "ownerReferences": owner}}),
            IMITATION,
            "the owner of another",
        ),
        (
            "the key of a model that is to come",
            SECRET,
            json!({"metadata": {"name": "kidney-modelward"}}),
            IMITATION,
            "choose a name that does not end in -modelward",
        ),
        (
            "a Service with the model's labels",
            SERVICE,
            json!({"metadata": {"name": "w", "labels": ours}, "spec": {"ports": [{"port": 80}]}}),
            EITHER,
            "",
        ),
        (
            "a Service that claims the address of another",
            SERVICE,
            json!({"metadata": {"name": "w"}, "spec": {"externalIPs": ["10.96.0.10"], "selector": {"app": "mine"}, "ports": [{"port": 80}]}}),
            IMITATION,
            "spec.externalIPs of a Service takes the traffic of any address",
        ),
        (
            "a headless Service whose Pods are called heart in its namespace",
            SERVICE,
            json!({"metadata": {"name": ns}, "spec": {"clusterIP": "None", "selector": {"app": "mine"}, "ports": [{"port": 80}]}}),
            NAME,
            "lets a Pod answer at heart.",
        ),
        (
            "a Service with a cluster IP and the namespace's name, whose Pods have the hostname heart",
            SERVICE,
            json!({"metadata": {"name": ns}, "spec": {"selector": {"app": "mine"}, "ports": [{"port": 80}]}}),
            NAME,
            "lets a Pod answer at heart.",
        ),
        (
            "a slice with the model's label",
            SLICE,
            json!({"metadata": {"name": "w", "labels": {"modelward.io/model": "heart"}}, "addressType": "IPv4", "endpoints": []}),
            CHILD,
            "has the label modelward.io/model, which only the operator sets",
        ),
    ] {
        let outcome = kind.create(&served.eve, ns, &body).await;
        tally.refused(&format!("eve makes {attack}"), by, words, outcome);
    }

    // Her own objects, which are given our marks afterwards.
    for (what, kind, body) in [
        (
            "her own Pod",
            POD,
            json!({"metadata": {"name": "mine", "labels": {"app": "mine"}}, "spec": spec}),
        ),
        (
            "her own Deployment",
            DEPLOYMENT,
            json!({"metadata": {"name": "mine"}, "spec": {"selector": other, "template": template(&json!({"a": "b"}))}}),
        ),
        (
            "her own ConfigMap",
            CONFIG_MAP,
            json!({"metadata": {"name": "mine"}, "data": {"a": "b"}}),
        ),
        (
            "a Pod with a token of another audience",
            POD,
            json!({"metadata": {"name": "vault"}, "spec": {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "vault", "path": "t"}}]}}], "serviceAccountName": "default", "containers": [{"name": "c", "image": "x"}]}}),
        ),
        (
            "a Service of her own on the model's Pods",
            SERVICE,
            json!({"metadata": {"name": "monitoring"}, "spec": {"clusterIP": "None", "selector": {"modelward.io/model": "heart"}, "ports": [{"port": 8080}]}}),
        ),
    ] {
        let outcome = kind.create(&served.eve, ns, &body).await;
        tally.allowed(&format!("eve makes {what}"), outcome);
    }
    for (attack, kind, patch, by) in [
        (
            "labels her Pod",
            POD,
            json!({"metadata": {"labels": {"modelward.io/model": "heart"}}}),
            EITHER,
        ),
        (
            "has her Pod owned by the model",
            POD,
            json!({"metadata": {"ownerReferences": owner}}),
            IMITATION,
        ),
        (
            "labels her template",
            DEPLOYMENT,
            json!({"spec": {"template": {"metadata": {"labels": {"modelward.io/model": "heart"}}}}}),
            IMITATION,
        ),
    ] {
        let outcome = kind.patch(&served.eve, ns, "mine", patch).await;
        tally.refused(&format!("eve {attack}"), by, "", outcome);
    }
    let outcome = CONFIG_MAP
        .patch(&served.eve, ns, "mine", json!({"data": {"a": "c"}}))
        .await;
    tally.allowed("eve changes her own ConfigMap", outcome);

    let balanced = json!({"metadata": {"name": "balanced"}, "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]}});
    let outcome = SERVICE.create(&served.eve, ns, &balanced).await;
    tally.allowed("eve makes a Service with a load balancer", outcome);
    let ingress = || {
        (
            "status",
            json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.96.0.10"}]}}}),
        )
    };
    let outcome = SERVICE.patch_sub(&served.eve, ns, "balanced", ingress()).await;
    let words = "status.loadBalancer.ingress of a Service takes the traffic of any address";
    tally.refused(
        "eve gives her load balancer the address of another Service",
        IMITATION,
        words,
        outcome,
    );
    let outcome = SERVICE.patch_sub(&served.shared, ns, "balanced", ingress()).await;
    tally.allowed("a controller of load balancers gives it an address", outcome);
    let patch = ("status", json!({"metadata": {"annotations": {"a": "b"}}}));
    let outcome = SERVICE.patch_sub(&served.eve, ns, "balanced", patch).await;
    tally.allowed("eve changes its status and leaves the address", outcome);
}

async fn named(served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    let spec = json!({"containers": [{"name": "c", "image": "x"}]});
    // The names are taken: others of that name are in a namespace without the operator's objects.
    for (attack, kind, body, words) in [
        (
            "a slice for the model's Service",
            SLICE,
            json!({"metadata": {"name": "w", "labels": {"kubernetes.io/service-name": "heart"}}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.9.9.9"]}]}),
            "only Kubernetes writes endpoints of the Service heart",
        ),
        (
            "a second autoscaler",
            AUTOSCALER,
            json!({"metadata": {"name": "w"}, "spec": {"maxReplicas": 50, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "heart"}}}),
            "the Model heart has an autoscaler: set spec.serving.replicas of its ModelVersion",
        ),
        (
            "a budget on the model's Pods",
            BUDGET,
            json!({"metadata": {"name": "w"}, "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app.kubernetes.io/name": "modelward-inference"}}}}),
            "this budget selects the Pods of the Model heart",
        ),
        (
            "a budget on every Pod",
            BUDGET,
            json!({"metadata": {"name": "w"}, "spec": {"maxUnavailable": 0, "selector": {}}}),
            "add {key: modelward.io/model, operator: DoesNotExist}",
        ),
        (
            "a budget on every template",
            BUDGET,
            json!({"metadata": {"name": "w"}, "spec": {"maxUnavailable": 0, "selector": {"matchExpressions": [{"key": "pod-template-hash", "operator": "Exists"}]}}}),
            "this budget selects",
        ),
        (
            "a Pod of a Job",
            POD,
            json!({"metadata": {"name": "w", "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "x"}]}, "spec": spec}),
            "only Kubernetes makes Pods that a Job owns",
        ),
    ] {
        let outcome = kind.create(&served.eve, ns, &body).await;
        tally.refused(&format!("eve makes {attack}"), NAME, words, outcome);
    }
    for (what, name, selector) in [
        (
            "a budget of other Pods",
            "other",
            json!({"matchLabels": {"app": "mine"}}),
        ),
        (
            "a budget that leaves models out",
            "w",
            json!({"matchExpressions": [{"key": "modelward.io/model", "operator": "DoesNotExist"}]}),
        ),
    ] {
        let body = json!({"metadata": {"name": name}, "spec": {"maxUnavailable": 0, "selector": selector}});
        let outcome = BUDGET.create(&served.eve, ns, &body).await;
        tally.allowed(&format!("eve makes {what}"), outcome);
    }
}

async fn subresources(gate: &Gate, served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    // The Deployment controller writes the selector of a Scale from the Deployment itself.
    for (attack, kind, name, replicas, by, words) in [
        (
            "to none",
            DEPLOYMENT,
            "heart",
            0,
            SCALE,
            "a model keeps at least one Pod. To stop serving, delete its ModelVersions",
        ),
        (
            "over the bounds",
            DEPLOYMENT,
            "heart",
            4,
            SCALE_BOUNDS,
            "heart has between 1 and 3 Pods. To change that, set spec.serving.replicas of modelversion/heart-1",
        ),
        ("its ReplicaSet", REPLICA_SET, "heart-1", 0, SCALE, ""),
    ] {
        let patch = ("scale", json!({"spec": {"replicas": replicas}}));
        let outcome = kind.patch_sub(&served.eve, ns, name, patch).await;
        let by = if by == SCALE {
            By::AnyOf(&[SCALE, SCALE_BOUNDS])
        } else {
            By::Policy(by)
        };
        let words = if replicas == 0 { "" } else { words };
        tally.refused(&format!("eve scales the model {attack}"), by, words, outcome);
    }
    let by_two = ("scale", json!({"spec": {"replicas": 2}}));
    for (who, what) in [
        (&served.eve, "eve scales within the bounds"),
        (&served.autoscaler, "the autoscaler scales"),
    ] {
        tally.allowed(what, DEPLOYMENT.patch_sub(who, ns, "heart", by_two.clone()).await);
    }
    let none = ("scale", json!({"spec": {"replicas": 0}}));
    tally.allowed(
        "eve scales her own Deployment to none",
        DEPLOYMENT.patch_sub(&served.eve, ns, "mine", none).await,
    );

    gate_tokens(gate, served, tally);
    let words = "heart-p1 serves or trains a model: running a command in it takes the verb debug on children.modelward.io";
    for (arguments, what) in [
        (&["exec", "heart-p1", "--", "true"][..], "runs a command in a Pod"),
        (&["attach", "heart-p1"], "attaches to a Pod"),
    ] {
        let (done, said) = served.kubectl(gate, "eve", arguments, "");
        tally.holds(
            &format!("eve {what}"),
            !done && said.contains(EXEC) && said.contains(words),
            &said,
        );
    }
    let (_, said) = served.kubectl(gate, "alice", &["exec", "heart-p1", "--", "true"], "");
    tally.is(
        "alice with the verb debug gets as far as the kubelet",
        &said.contains(EXEC),
        &false,
    );
    let (_, said) = served.kubectl(gate, "eve", &["exec", "mine", "--", "true"], "");
    tally.is(
        "a command in eve's own Pod is not refused here",
        &said.contains(EXEC),
        &false,
    );
}

fn gate_tokens(gate: &Gate, served: &Served, tally: &mut Tally) {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let (made, said) = served.kubectl(gate, "eve", &["create", "-f", "-"], &account.to_string());
    assert!(made, "{said}");
    let words = "only a kubelet gets a token of the audience modelward-ledger, for a Pod that it runs";
    for arguments in [
        &["--audience", "modelward-ledger"][..],
        &["--audience", "vault", "--audience", "modelward-ledger"],
    ] {
        for who in [
            "eve",
            "alice",
            "system:serviceaccount:kube-system:token-controller",
        ] {
            let all = [&["create", "token", "default"], arguments].concat();
            let (done, said) = served.kubectl(gate, who, &all, "");
            if who.starts_with("system:") {
                tally.holds(&format!("{who} asks for a ledger token"), !done, &said);
            } else {
                let holds = !done && said.contains(TOKENS) && said.contains(words);
                tally.holds(&format!("{who} asks for a ledger token"), holds, &said);
            }
        }
    }
    let mut command = gate.api.kubectl(User::Admin).unwrap();
    command.args([
        "--namespace",
        &served.namespace,
        "create",
        "token",
        "default",
        "--audience",
        "modelward-ledger",
    ]);
    let (done, said) = feed(&mut command, "").unwrap();
    tally.holds(
        "an administrator asks for a ledger token",
        !done && said.contains(TOKENS),
        &said,
    );
    let mut command = gate.api.kubectl(User::Admin).unwrap();
    let kubelet = [
        "--as",
        "system:node:node-1",
        "--as-group",
        "system:nodes",
        "--as-group",
        "system:masters",
    ];
    command
        .args(["--namespace", &served.namespace])
        .args(kubelet)
        .args(["create", "token", "default", "--audience", "modelward-ledger"]);
    let (done, said) = feed(&mut command, "").unwrap();
    tally.is(
        "a kubelet gets one",
        &(done, if done { "" } else { &said }),
        &(true, ""),
    );
    let (done, said) = served.kubectl(
        gate,
        "eve",
        &["create", "token", "default", "--audience", "vault"],
        "",
    );
    tally.is(
        "eve gets a token of another audience",
        &(done, if done { "" } else { &said }),
        &(true, ""),
    );
}

/// What administrators do every day.
async fn daily_work(gate: &Gate, served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    let eve = &served.eve;
    for (what, kind, name, patch) in [
        (
            "a label on a Pod",
            POD,
            "heart-p1",
            json!({"metadata": {"labels": {"team": "cardiology"}}}),
        ),
        (
            "an annotation on a Deployment",
            DEPLOYMENT,
            "heart",
            json!({"metadata": {"annotations": {"example.com/note": "x"}}}),
        ),
        (
            "a label on a Service",
            SERVICE,
            "heart",
            json!({"metadata": {"labels": {"team": "cardiology"}}}),
        ),
        (
            "the label taken off again",
            SERVICE,
            "heart",
            json!({"metadata": {"labels": {"team": null}}}),
        ),
        (
            "safe to evict",
            POD,
            "heart-p1",
            json!({"metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}}}),
        ),
        (
            "the order in which Pods go",
            POD,
            "heart-p1",
            json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "1"}}}),
        ),
    ] {
        tally.allowed(
            &format!("eve sets {what}"),
            kind.patch(eve, ns, name, patch).await,
        );
    }
    let long = json!({"metadata": {"annotations": {"long": "x".repeat(32_764)}}});
    for kind in [DEPLOYMENT, POD] {
        let name = if kind.1 == "Pod" { "heart-p1" } else { "heart" };
        tally.refused(
            &format!("eve leaves no room for annotations of the {}", kind.1),
            By::Policy(CHILDREN),
            "may have 32768 characters in all",
            kind.patch(eve, ns, name, long.clone()).await,
        );
    }
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "x"}]}});
    let add_debugger = async |who: &Person| {
        let (pods, params) = (POD.of(who, ns), PatchParams::default());
        let patch = Patch::Strategic(debug.clone());
        pods.patch_subresource("ephemeralcontainers", "heart-p1", &params, &patch)
            .await
    };
    tally.refused(
        "eve adds an ephemeral container without the verb debug",
        By::Policy(CHILDREN),
        "pods/heart-p1 serves or trains a model: an ephemeral container in it takes the verb debug",
        add_debugger(eve).await,
    );
    tally.allowed(
        "alice with the verb debug adds an ephemeral container",
        add_debugger(&gate.alice).await,
    );
    for time in ["once", "again"] {
        let (done, said) = served.kubectl(gate, "eve", &["rollout", "restart", "deploy/heart"], "");
        tally.is(
            &format!("kubectl rollout restart, {time}"),
            &(done, said.trim()),
            &(true, "deployment.apps/heart restarted"),
        );
        // kubectl writes the second as the time of the restart, and refuses two of one second.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    for arguments in [
        &["rollout", "pause", "deploy/heart"][..],
        &["set", "image", "deploy/heart", "c=evil"],
        &["set", "env", "deploy/heart", "A=b"],
        &["set", "image", "pod/heart-p1", "inference=evil"],
    ] {
        let (done, said) = served.kubectl(gate, "eve", arguments, "");
        tally.holds(
            &format!("kubectl {}", arguments.join(" ")),
            !done && said.contains(CHILDREN),
            &said,
        );
    }

    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "heart-p1", "namespace": ns}});
    let url = format!("/api/v1/namespaces/{ns}/pods/heart-p1/eviction");
    let (done, said) = served.kubectl(
        gate,
        "eve",
        &["create", "--raw", &url, "-f", "-"],
        &body.to_string(),
    );
    tally.is(
        "eve evicts a Pod",
        &(done, if done { "" } else { &said }),
        &(true, ""),
    );
    let counted = BUDGET.of(&gate.admin, ns).get("heart").await.unwrap();
    let disrupted: BTreeMap<String, Value> =
        serde_json::from_value(counted.data["status"]["disruptedPods"].clone()).unwrap_or_default();
    tally.is(
        "and the API server counts it in the budget",
        &disrupted.contains_key("heart-p1"),
        &true,
    );
    tally.allowed("eve deletes a Pod", POD.delete(eve, ns, "heart-p2").await);
    for (name, arguments) in [
        (
            "heart-p3",
            &["delete", "pod", "heart-p3", "--force", "--grace-period=0"][..],
        ),
        (
            "heart-p4",
            &["delete", "pods", "-l", "modelward.io/model=heart", "--wait=false"],
        ),
    ] {
        let body = json!({"metadata": {"name": name, "labels": hashed()}, "spec": pod_spec()});
        POD.create(&served.replica_sets, ns, &body).await.unwrap();
        let (done, said) = served.kubectl(gate, "eve", arguments, "");
        tally.is(
            &format!("kubectl {}", arguments.join(" ")),
            &(done, if done { "" } else { &said }),
            &(true, ""),
        );
    }

    // A drain, with a node and a Pod on it.
    let body = json!({"metadata": {"name": "heart-p5", "labels": hashed()}, "spec": pod_spec()});
    POD.create(&served.replica_sets, ns, &body).await.unwrap();
    let allowed = json!({"status": {"disruptionsAllowed": 1, "currentHealthy": 2, "expectedPods": 2, "disruptedPods": null}});
    BUDGET
        .of(&served.budgets, ns)
        .patch_status("heart", &PatchParams::default(), &Patch::Merge(allowed))
        .await
        .unwrap();
    let mut drain = gate.api.kubectl(User::Admin).unwrap();
    drain.args([
        "drain",
        "node-1",
        "--force",
        "--pod-selector=modelward.io/model=heart",
        "--timeout=30s",
    ]);
    let (done, said) = feed(&mut drain, "").unwrap();
    tally.is(
        "kubectl drain",
        &(done, said.contains("node/node-1 drained")),
        &(true, true),
    );
    let mut uncordon = gate.api.kubectl(User::Admin).unwrap();
    let (done, _) = feed(uncordon.args(["uncordon", "node-1"]), "").unwrap();
    tally.is("kubectl uncordon", &done, &true);

    // Who else may write is in the chart's values, by kind.
    let restored =
        json!({"metadata": {"name": "restored", "labels": labels()}, "spec": {"ports": [{"port": 80}]}});
    tally.allowed(
        "a writer of the chart's list restores a Service",
        SERVICE.create(&served.writer, ns, &restored).await,
    );
    tally.allowed(
        "and deletes it",
        SERVICE.delete(&served.writer, ns, "restored").await,
    );
    let pod = json!({"metadata": {"name": "restored", "labels": labels()}, "spec": pod_spec()});
    let outcome = POD.create(&served.writer, ns, &pod).await;
    tally.refused(
        "the writer restores a Pod, which is not in its list",
        EITHER,
        "",
        outcome,
    );
}

/// Controllers with one credential, and everything that goes: collected, or with its namespace.
async fn ends(gate: &Gate, served: &Served, tally: &mut Tally) {
    let ns = &served.namespace;
    let shared = &served.shared;
    for (kind, body) in [
        (
            REPLICA_SET,
            json!({"metadata": {"name": "heart-2", "labels": hashed()}, "spec": {"selector": selected(&hashed()), "template": template(&hashed())}}),
        ),
        (
            POD,
            json!({"metadata": {"name": "heart-p6", "labels": hashed()}, "spec": pod_spec()}),
        ),
        (
            SLICE,
            json!({"metadata": {"name": "heart-x2", "labels": {"modelward.io/model": "heart", "kubernetes.io/service-name": "heart"}}, "addressType": "IPv4", "endpoints": []}),
        ),
    ] {
        let made = kind.create(shared, ns, &body).await;
        tally.allowed(
            &format!("controllers with one credential make a {}", kind.1),
            made,
        );
    }
    let patch = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}}});
    tally.allowed(
        "they write a revision",
        DEPLOYMENT.patch(shared, ns, "heart", patch).await,
    );
    tally.allowed("they collect", REPLICA_SET.delete(shared, ns, "heart-2").await);

    let collector = &gate.collector;
    for (kind, name) in [
        (JOB, "heart-1-fit-0a1b2c3d"),
        (CONFIG_MAP, "heart-routes-0a1b2c3d"),
        (AUTOSCALER, "heart"),
    ] {
        let gone = kind.delete(collector, ns, name).await;
        tally.allowed(&format!("the garbage collector deletes a {}", kind.1), gone);
    }
    for kind in [
        POD,
        SERVICE,
        ENDPOINTS,
        CONFIG_MAP,
        SECRET,
        DEPLOYMENT,
        REPLICA_SET,
        JOB,
        BUDGET,
        SLICE,
        VERSION,
        MODEL,
    ] {
        let of = kind.of(&gate.namespace_controller, ns);
        let gone = of
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await;
        tally.allowed(&format!("a namespace goes with each {}", kind.1), gone);
    }
}

/// What the operator made and lost, such as after a restore without owners, can be cleaned up.
pub async fn what_stays_possible(gate: &Gate, tally: &mut Tally) {
    let ns = gate.api.namespace().await;
    let body = json!({"metadata": {"name": "left", "labels": labels()}, "spec": {"ports": [{"port": 80}]}});
    SERVICE.create(&gate.operator, &ns, &body).await.unwrap();
    let outcome = SERVICE
        .patch(
            &gate.admin,
            &ns,
            "left",
            json!({"spec": {"sessionAffinity": "ClientIP"}}),
        )
        .await;
    tally.refused(
        "a labelled object without an owner is changed",
        CHILD,
        "only the operator changes spec",
        outcome,
    );
    tally.allowed("it is deleted", SERVICE.delete(&gate.admin, &ns, "left").await);
    // Where another operator looks after the namespace, this one writes nothing.
    let outcome = SERVICE
        .create(&gate.operator, crate::support::ELSEWHERE, &body)
        .await;
    tally.refused(
        "the operator of other namespaces makes a Service",
        EITHER,
        "",
        outcome,
    );
}
