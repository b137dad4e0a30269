//! From a decision to the objects that serve. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource as _, ResourceExt as _};
use modelward_core::{
    model::{Proposed, Serve},
    routes::RoutesFile,
};
use modelward_crds::{Model, RemediationAction, ResourceBounds, labels};
use serde_json::{Value, json};

use crate::{
    Config, Error,
    apply::build,
    jobs::{container_security, pod_security, pull_secrets, token_volume},
};

/// The volume that holds the routes, in every Pod that serves.
pub const ROUTES_VOLUME: &str = "routes";

/// Seconds that a Pod goes on answering after it was told to end, while the cluster takes it out of the Service.
const DRAIN_SECONDS: u32 = 8;

/// Labels of everything that belongs to the model.
pub fn label_map(model: &Model) -> BTreeMap<String, String> {
    let name = model.name_any();
    [
        ("app.kubernetes.io/name", "modelward-inference"),
        ("app.kubernetes.io/instance", name.as_str()),
        ("app.kubernetes.io/managed-by", "modelward-operator"),
        (labels::MODEL, name.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn selector(model: &Model) -> Value {
    json!({"app.kubernetes.io/name": "modelward-inference", labels::MODEL: model.name_any()})
}

/// The routes, immutable.
pub fn routes(model: &Model, routes: &RoutesFile) -> Result<ConfigMap, Error> {
    build(
        "ConfigMap",
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": routes.name, "labels": label_map(model)},
            "immutable": true,
            "data": {"routes.json": routes.content},
        }),
    )
}

/// The model's one address.
pub fn service(model: &Model) -> Result<Service, Error> {
    build(
        "Service",
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": model.name_any(), "labels": label_map(model)},
            "spec": {
                "selector": selector(model),
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            },
        }),
    )
}

/// The Pods that serve. `replicas` is not in it: the autoscaler has that field.
pub fn deployment(config: &Config, model: &Model, serve: &Serve) -> Result<Deployment, Error> {
    let name = model.name_any();
    let all = label_map(model);
    build(
        "Deployment",
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": all},
            "spec": {
                "revisionHistoryLimit": 3,
                "progressDeadlineSeconds": 300,
                // Nothing goes before what replaces it answers.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": selector(model)},
                "template": {
                    "metadata": {"labels": all},
                    "spec": pod(config, &name, serve, &selector(model)),
                },
            },
        }),
    )
}

/// Pods are added and taken away within the version's bounds.
pub fn autoscaler(model: &Model, serve: &Serve) -> Result<HorizontalPodAutoscaler, Error> {
    let name = model.name_any();
    let target =
        json!({"type": "Utilization", "averageUtilization": serve.serving.target_cpu_utilization_percent});
    build(
        "HorizontalPodAutoscaler",
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "labels": label_map(model)},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": serve.serving.replicas.min,
                "maxReplicas": serve.serving.replicas.max,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        }),
    )
}

/// One Pod at a time may be taken away by a drain, also where there is only one.
pub fn budget(model: &Model) -> Result<PodDisruptionBudget, Error> {
    build(
        "PodDisruptionBudget",
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": model.name_any(), "labels": label_map(model)},
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": selector(model)},
                // A Pod that never became ready must not hold up a drain.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }),
    )
}

/// The action that lets another version serve, if people want it.
pub fn proposal(model: &Model, proposed: &Proposed) -> Result<RemediationAction, Error> {
    let owner = model.controller_owner_ref(&()).ok_or(Error::Incomplete {
        what: "Model",
        field: "metadata.uid",
    })?;
    let (version, uid) = (&proposed.version, &proposed.uid);
    build(
        "RemediationAction",
        json!({
            "apiVersion": RemediationAction::api_version(&()),
            "kind": RemediationAction::kind(&()),
            "metadata": {
                "name": proposed.name,
                "labels": {
                    "app.kubernetes.io/managed-by": "modelward-operator",
                    labels::MODEL: model.name_any(),
                },
                "ownerReferences": [owner],
            },
            "spec": {
                "model": model.name_any(),
                "type": proposed.action,
                "candidate": {"name": version, "uid": uid},
                "evidence": [{"kind": "ModelVersion", "name": version, "uid": uid}],
                "message": proposed.message,
            },
        }),
    )
}

fn pod(config: &Config, model: &str, serve: &Serve, selector: &Value) -> Value {
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let text = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "serviceAccountName": config.workload_service_account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "imagePullSecrets": pull_secrets(config),
        "terminationGracePeriodSeconds": 45,
        "securityContext": pod_security(),
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }],
        "initContainers": [],
        "hostNetwork": false,
        "containers": [{
            "name": "inference",
            "image": config.inference_image,
            // Named though they are empty: what somebody adds to them is a change of what serves.
            "command": [],
            "args": [],
            "envFrom": [],
            "imagePullPolicy": config.image_pull_policy,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [
                field("POD_NAME", "metadata.name"),
                field("POD_UID", "metadata.uid"),
                field("MODELWARD_NAMESPACE", "metadata.namespace"),
                text("MODELWARD_MODEL", model),
                text("MODELWARD_ADDR", "0.0.0.0:8080"),
                text("MODELWARD_ROUTES_FILE", "/etc/modelward/routes/routes.json"),
                text("MODELWARD_KEY_FILE", "/etc/modelward/key/prediction-id.key"),
                text("MODELWARD_TRAFFIC_KEY_FILE", "/etc/modelward/key/traffic.key"),
                text("MODELWARD_CACHE_DIR", "/var/cache/modelward"),
                text("MODELWARD_LEDGER_URL", &config.ledger_url),
                text("MODELWARD_LEDGER_TOKEN_FILE", "/var/run/secrets/modelward/ledger/token"),
                text("MODELWARD_DRAIN_SECONDS", &DRAIN_SECONDS.to_string()),
            ],
            // Ready is asked often: it is what a rollout waits for. Alive is asked seldom and forgives much.
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 2, "timeoutSeconds": 2},
            "livenessProbe": {
                "httpGet": {"path": "/healthz", "port": "http"},
                "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
            },
            "resources": resources(&serve.serving.resources),
            "securityContext": container_security(),
            "volumeMounts": [
                {"name": ROUTES_VOLUME, "mountPath": "/etc/modelward/routes", "readOnly": true},
                {"name": "key", "mountPath": "/etc/modelward/key", "readOnly": true},
                {"name": "cache", "mountPath": "/var/cache/modelward"},
                {"name": "counts", "mountPath": "/var/cache/modelward/counts"},
                {"name": "ledger-token", "mountPath": "/var/run/secrets/modelward/ledger", "readOnly": true},
            ],
        }],
        "volumes": [
            {"name": ROUTES_VOLUME, "configMap": {"name": serve.routes.name}},
            {"name": "key", "secret": {"secretName": format!("{model}-modelward")}},
            {"name": "cache", "emptyDir": {}},
            // In memory, which outlives a container as a disk does: an addition never waits for a disk.
            {"name": "counts", "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}},
            token_volume(),
        ],
    })
}

fn resources(bounds: &ResourceBounds) -> Value {
    let amount = |amount: &Option<String>, default: &str| canonical(amount.as_deref().unwrap_or(default));
    let mut limits = json!({"memory": amount(&bounds.limits.memory, "512Mi")});
    if let Some(cpu) = &bounds.limits.cpu {
        limits["cpu"] = canonical(cpu).into();
    }
    json!({
        "requests": {"cpu": amount(&bounds.requests.cpu, "100m"), "memory": amount(&bounds.requests.memory, "64Mi")},
        "limits": limits,
    })
}

/// A quantity as the API server writes it: "1000m" becomes "1", "1024Mi" becomes "1Gi". Any other spelling would look
/// like somebody's change for ever.
fn canonical(quantity: &str) -> String {
    let (mut unit, step): (usize, u64) = match quantity.trim_start_matches(|c: char| c.is_ascii_digit()) {
        "m" => (0, 1000),
        "Ki" => (2, 1024),
        "Mi" => (3, 1024),
        "Gi" => (4, 1024),
        _ => return quantity.to_owned(),
    };
    let units = ["m", "", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let Ok(mut number) = digits.parse::<u64>() else {
        return quantity.to_owned();
    };
    while number != 0 && number.is_multiple_of(step) && unit + 1 < units.len() && !(step == 1000 && unit == 1)
    {
        number /= step;
        unit += 1;
    }
    format!("{number}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_spelled_as_the_api_server_spells_them() {
        for (written, kept) in [
            ("1000m", "1"),
            ("250m", "250m"),
            ("2", "2"),
            ("1024Mi", "1Gi"),
            ("512Mi", "512Mi"),
            ("1536Ki", "1536Ki"),
            ("2048Ki", "2Mi"),
            ("12000m", "12"),
        ] {
            assert_eq!(canonical(written), kept, "{written}");
        }
    }
}
