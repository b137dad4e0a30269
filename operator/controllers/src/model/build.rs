//! From a decision to the objects that serve. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt as _;
use modelward_core::{
    action::build::{action, serving_spec},
    model::{PROGRESS_DEADLINE_SECONDS, Proposed, Serve, Validated},
    names::name_hash,
    routes::RoutesFile,
};
use modelward_crds::{
    Access, Model, RemediationAction, ReplicaBounds, ResourceBounds, ServingSpec, VersionReference, labels,
};
use serde_json::{Value, json};

use crate::{
    Config, Error,
    api::apply::build,
    pod_template::{container_security, pod_security, pull_secrets, token_volume},
};

/// The volume with the routes in every serving Pod.
pub const ROUTES_VOLUME: &str = "routes";

/// The volume with the model's keys.
const KEY_VOLUME: &str = "key";

/// The serving container.
pub const CONTAINER: &str = "inference";

/// The variable with the digest of the routes that the Pod may serve.
const ROUTES_DIGEST: &str = "MODELWARD_ROUTES_DIGEST";

/// Seconds for which a terminating Pod keeps answering while the cluster removes it from the Service.
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
                "type": "ClusterIP",
                "selector": selector(model),
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
            },
        }),
    )
}

/// The serving Pods. `replicas` is absent, because the autoscaler owns that field. Defaults of the API server are written out, so
/// that every other difference comes from another client.
pub fn deployment(
    config: &Config,
    model: &Model,
    serve: &Serve,
    key_secret: &str,
) -> Result<Deployment, Error> {
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
                "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
                // No Pod is removed before its replacement answers.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": selector(model)},
                "template": {
                    "metadata": {"labels": all},
                    "spec": pod(config, &name, serve, &selector(model), key_secret),
                },
            },
        }),
    )
}

/// Hash of the parts of a Pod template that come from the configuration.
pub fn configuration(config: &Config) -> String {
    let routes = RoutesFile {
        name: String::new(),
        content: String::new(),
    };
    let serving = ServingSpec {
        replicas: ReplicaBounds::default(),
        access: Access::Open,
        target_cpu_utilization_percent: 80,
        resources: ResourceBounds::default(),
    };
    let template = pod(config, "", &Serve { routes, serving }, &Value::Null, "");
    name_hash([template.to_string().as_bytes()])
}

/// The current Pod template with the routes, the resources and the keys of the wanted one: a model that waits for its turn to take a
/// new template still serves the routes of its record.
pub fn with_former_template(wanted: &Deployment, live: &Value) -> Result<Deployment, Error> {
    let what = "Deployment";
    let build_error = |source| Error::Build {
        what: what.to_owned(),
        source,
    };
    let mut wanted = serde_json::to_value(wanted).map_err(build_error)?;
    let mut template = live["spec"]["template"].clone();
    let new = wanted["spec"]["template"].take();
    let named = |list: &Value, name: &str| {
        list.as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == name))
            .cloned()
    };
    for volume in template["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        for name in [ROUTES_VOLUME, KEY_VOLUME] {
            if let (true, Some(new)) = (volume["name"] == name, named(&new["spec"]["volumes"], name)) {
                *volume = new;
            }
        }
    }
    let new = named(&new["spec"]["containers"], CONTAINER).unwrap_or_default();
    for container in template["spec"]["containers"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if container["name"] != CONTAINER {
            continue;
        }
        container["resources"] = new["resources"].clone();
        for variable in container["env"].as_array_mut().into_iter().flatten() {
            if let (true, Some(new)) = (
                variable["name"] == ROUTES_DIGEST,
                named(&new["env"], ROUTES_DIGEST),
            ) {
                *variable = new;
            }
        }
    }
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
    }
    wanted["spec"]["template"] = template;
    build(what, wanted)
}

/// The autoscaler, within the version's bounds.
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

/// The disruption budget: a drain may evict one Pod at a time, even if there is only one.
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
                // A Pod that never became ready must not block a drain.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }),
    )
}

/// The action that promotes another version once it is approved.
pub fn proposal(valid: &Validated, proposed: &Proposed, proposer: &str) -> RemediationAction {
    let candidate = VersionReference {
        name: proposed.version.clone(),
        uid: Some(proposed.uid.clone()),
    };
    let spec = serving_spec(proposed.action, &candidate, proposed.message.clone(), None, None);
    action(&proposed.name, valid, proposer, spec)
}

fn pod(config: &Config, model: &str, serve: &Serve, selector: &Value, key_secret: &str) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let text = |name: &str, value: &str| json!({"name": name, "value": value});
    let probe = |path: &str, period: u32, timeout: u32, failures: u32| {
        json!({
            "httpGet": {"path": path, "port": "probes", "scheme": "HTTP"},
            "periodSeconds": period, "timeoutSeconds": timeout, "failureThreshold": failures, "successThreshold": 1,
        })
    };
    json!({
        "serviceAccountName": config.workload_service_account,
        "serviceAccount": config.workload_service_account,
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
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
        "containers": [{
            "name": CONTAINER,
            "image": config.inference_image,
            "imagePullPolicy": config.image_pull_policy,
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "ports": [
                {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                {"name": "probes", "containerPort": 8081, "protocol": "TCP"},
            ],
            "env": [
                field("POD_NAME", "metadata.name"),
                field("POD_UID", "metadata.uid"),
                field("MODELWARD_NAMESPACE", "metadata.namespace"),
                text("MODELWARD_MODEL", model),
                text("MODELWARD_ADDR", "0.0.0.0:8080"),
                text("MODELWARD_PROBE_ADDR", "0.0.0.0:8081"),
                // The routes ConfigMap could be replaced by another one of its name.
                text(ROUTES_DIGEST, &serve.routes.digest().to_string()),
                json!({
                    "name": "MODELWARD_MEMORY_BYTES",
                    "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "0"}},
                }),
                text("MODELWARD_ROUTES_FILE", "/etc/modelward/routes/routes.json"),
                text("MODELWARD_KEY_FILE", "/etc/modelward/key/prediction-id.key"),
                text("MODELWARD_TRAFFIC_KEY_FILE", "/etc/modelward/key/traffic.key"),
                text("MODELWARD_CACHE_DIR", "/var/cache/modelward"),
                text("MODELWARD_LEDGER_URL", &config.ledger_url),
                text("MODELWARD_LEDGER_TOKEN_FILE", "/var/run/secrets/modelward/ledger/token"),
                text("MODELWARD_DRAIN_SECONDS", &DRAIN_SECONDS.to_string()),
            ],
            // Readiness is probed often, because rollouts wait for it. Liveness is probed rarely, with a high failure threshold.
            "readinessProbe": probe("/readyz", 2, 2, 3),
            "livenessProbe": probe("/healthz", 10, 5, 6),
            "resources": resources(&serve.serving.resources),
            "securityContext": container_security(),
            "volumeMounts": [
                {"name": ROUTES_VOLUME, "mountPath": "/etc/modelward/routes", "readOnly": true},
                {"name": KEY_VOLUME, "mountPath": "/etc/modelward/key", "readOnly": true},
                {"name": "cache", "mountPath": "/var/cache/modelward"},
                {"name": "counts", "mountPath": "/var/cache/modelward/counts"},
                {"name": "ledger-token", "mountPath": "/var/run/secrets/modelward/ledger", "readOnly": true},
            ],
        }],
        "volumes": [
            {"name": ROUTES_VOLUME, "configMap": {"name": serve.routes.name, "defaultMode": 420}},
            {"name": KEY_VOLUME, "secret": {"secretName": key_secret, "defaultMode": 420}},
            {"name": "cache", "emptyDir": {}},
            // In memory, which like a disk survives a restart of the container, so that an addition never waits for a disk.
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

/// A quantity as the API server writes it: "1000m" becomes "1", "1024Mi" becomes "1Gi". Any other spelling would always look
/// like a change by another client.
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
