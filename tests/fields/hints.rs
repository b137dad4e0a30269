//! What the API server's schema does not say of the children: which fields go together, and what others may set.

use modelward_kit::fields::{Hints, Operation, Token};
use serde_json::{Value, json};

use super::Kind;

/// Labels and annotations that something acts on have one of these domains.
const GUARDED: [&str; 3] = ["modelward.io", "kubernetes.io", "k8s.io"];
/// Keys without a domain that Kubernetes acts on.
const GUARDED_KEYS: [&str; 3] = ["pod-template-hash", "controller-uid", "job-name"];
/// Keys of a guarded domain that people set.
const FREE_KEYS: [&str; 2] = [
    "cluster-autoscaler.kubernetes.io/safe-to-evict",
    "controller.kubernetes.io/pod-deletion-cost",
];

/// The written list of what others may set on a child:
/// * labels and annotations that nothing acts on;
/// * metadata that the API server keeps from the request and nothing reads of an object that exists;
/// * the annotation of the Pod template by which `kubectl rollout restart` works.
pub fn is_listed(kind: Kind, path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path[..] {
        ["metadata", "labels" | "annotations", key] => is_free(key),
        ["metadata", "generateName" | "selfLink"] => true,
        [
            "spec",
            "template",
            "metadata",
            "annotations",
            "kubectl.kubernetes.io/restartedAt",
        ] => kind == Kind::Deployment,
        _ => false,
    }
}

/// The written list of what differs after a child was restored, because no program decides it:
/// * what the API server counts, and which object it is, for an immutable one is made again;
/// * the status, which Kubernetes writes;
/// * addresses, their families and ports, which the API server draws for a Service;
/// * when the Pod template was made, which nothing reads.
#[allow(dead_code, reason = "where the policies refuse, nothing is restored")]
pub fn is_drawn(kind: Kind, path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        (kind, &path[..]),
        (
            _,
            [
                "metadata",
                "managedFields" | "resourceVersion" | "generation" | "uid" | "creationTimestamp",
                ..,
            ] | ["status", ..],
        ) | (
            Kind::Service,
            [
                "spec",
                "clusterIP" | "clusterIPs" | "ipFamilies" | "ipFamilyPolicy",
                ..,
            ] | ["spec", "ports", _, "nodePort"],
        ) | (
            Kind::Deployment,
            ["spec", "template", "metadata", "creationTimestamp"]
        )
    )
}

/// The written list of what stays where the policies are off; docs/serving.md has the reasons:
/// * the metadata of the Secret: the operator cannot read Secrets, and the API server rejects changes of the keys;
/// * the Job, of which the API server rejects changes of what is run: queueing controllers suspend Jobs, and the operator
///   has no right to change one.
#[allow(dead_code, reason = "where the policies stand, nothing of it is let in")]
pub fn stays(kind: Kind, path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let metadata = matches!(
        path[..],
        [
            "metadata",
            "labels" | "annotations" | "finalizers" | "ownerReferences",
            ..,
        ]
    );
    match kind {
        Kind::Secret => metadata,
        Kind::Job => {
            metadata
                || matches!(
                    path[..],
                    [
                        "spec",
                        "activeDeadlineSeconds"
                            | "backoffLimit"
                            | "manualSelector"
                            | "parallelism"
                            | "suspend"
                            | "ttlSecondsAfterFinished"
                    ]
                )
        }
        _ => false,
    }
}

/// Whether nothing acts on a label or annotation of this key.
fn is_free(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let is_guarded = GUARDED
        .iter()
        .any(|guarded| domain == *guarded || domain.ends_with(&format!(".{guarded}")));
    FREE_KEYS.contains(&key)
        || domain == "kubectl.kubernetes.io"
        || !(is_guarded || GUARDED_KEYS.contains(&key))
}

/// What goes with what, by kind.
pub fn of(kind: Kind) -> Hints {
    Hints {
        companions: match kind {
            Kind::Service => of_a_service,
            Kind::Deployment => of_a_deployment,
            Kind::Budget => of_a_budget,
            _ => |_| Vec::new(),
        },
        keys,
        values,
        needs,
    }
}

fn of_a_service(field: &str) -> Vec<Vec<Operation>> {
    let kind = |kind: &str| set("spec.type", json!(kind));
    match field {
        "spec.externalName" => vec![vec![
            kind("ExternalName"),
            Operation::Remove(path("spec.clusterIP")),
            Operation::Remove(path("spec.clusterIPs")),
        ]],
        "spec.healthCheckNodePort" => vec![vec![
            kind("LoadBalancer"),
            set("spec.externalTrafficPolicy", json!("Local")),
        ]],
        "spec.ports[].nodePort" | "spec.externalTrafficPolicy" => vec![vec![kind("NodePort")]],
        "spec.loadBalancerClass"
        | "spec.loadBalancerIP"
        | "spec.loadBalancerSourceRanges[]"
        | "spec.allocateLoadBalancerNodePorts" => vec![vec![kind("LoadBalancer")]],
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds" => {
            vec![vec![set("spec.sessionAffinity", json!("ClientIP"))]]
        }
        "spec.ipFamilyPolicy" | "spec.ipFamilies[]" | "spec.type" => vec![
            Vec::new(),
            vec![
                Operation::Remove(path("spec.clusterIP")),
                Operation::Remove(path("spec.clusterIPs")),
            ],
        ],
        _ => Vec::new(),
    }
}

fn of_a_deployment(field: &str) -> Vec<Vec<Operation>> {
    match field {
        "spec.strategy.type" => vec![vec![Operation::Remove(path("spec.strategy.rollingUpdate"))]],
        "spec.strategy.rollingUpdate.maxUnavailable" | "spec.strategy.rollingUpdate.maxSurge" => {
            vec![vec![
                set("spec.strategy.rollingUpdate.maxUnavailable", json!(1)),
                set("spec.strategy.rollingUpdate.maxSurge", json!(2)),
            ]]
        }
        _ => Vec::new(),
    }
}

fn of_a_budget(field: &str) -> Vec<Vec<Operation>> {
    match field {
        "spec.minAvailable" => vec![vec![Operation::Remove(path("spec.maxUnavailable"))]],
        _ => Vec::new(),
    }
}

fn keys(field: &str) -> Vec<String> {
    let keys: &[&str] = match field {
        "metadata.labels{}" => &[
            "other",
            "modelward.io/other",
            "service.kubernetes.io/service-proxy-name",
        ],
        "metadata.annotations{}" => &[
            "other",
            "modelward.io/applied",
            "service.kubernetes.io/topology-mode",
        ],
        "spec.template.metadata.annotations{}" => &["other", "kubectl.kubernetes.io/restartedAt"],
        field if field.contains("volumeClaimTemplate.spec.resources") => &["storage"],
        field if field.ends_with("limits{}") || field.ends_with("requests{}") => {
            &["cpu", "memory", "ephemeral-storage"]
        }
        _ => &["other"],
    };
    keys.iter().map(ToString::to_string).collect()
}

fn values(field: &str) -> Vec<Value> {
    let name = field.rsplit('.').next().unwrap_or_default();
    match name {
        // No Pod at all is out of any bounds.
        "replicas" => vec![json!(0)],
        "minReplicas" => vec![json!(2)],
        "limits{}" => vec![json!("700Mi"), json!("2")],
        "requests{}" => vec![json!("50m"), json!("32Mi")],
        "loadBalancerSourceRanges[]" => vec![json!("10.0.0.0/8")],
        "protocol" => vec![json!("UDP")],
        "operator" => vec![json!("In"), json!("Exists")],
        "accessModes[]" => vec![json!("ReadWriteOncePod"), json!("ReadOnlyMany")],
        "ipFamilies[]" => vec![json!("IPv6")],
        "fieldPath" => vec![json!("metadata.name"), json!("spec.nodeName")],
        "resource" => vec![json!("limits.cpu"), json!("requests.memory")],
        "divisor" => vec![json!("1")],
        "capabilities.add[]" | "add[]" => vec![json!("SYS_ADMIN")],
        "whenUnsatisfiable" => vec![json!("DoNotSchedule")],
        "runAsUser" | "runAsGroup" | "fsGroup" => vec![json!(1000)],
        "seLinuxChangePolicy" => vec![json!("Recursive")],
        "supplementalGroupsPolicy" => vec![json!("Strict")],
        "fsGroupChangePolicy" => vec![json!("OnRootMismatch")],
        "topologyKey" => vec![json!("example.com/other")],
        _ => Vec::new(),
    }
}

/// What makes a new object valid: validation asks for more than the schema does.
#[allow(clippy::match_same_arms, reason = "arms in between make them different")]
fn needs(field: &str, made_for: Option<&str>) -> Value {
    let name = field.rsplit('.').next().unwrap_or_default();
    let of_nodes = field.contains("nodeAffinity");
    let term =
        json!({"topologyKey": "example.com/other", "labelSelector": {"matchLabels": {"other": "other"}}});
    let metric = json!({"name": "other"});
    match (name, made_for) {
        ("matchExpressions[]", Some("values")) => json!({"key": "other", "operator": "In"}),
        ("matchExpressions[]", _) => json!({"key": "other", "operator": "In", "values": ["other"]}),
        ("matchFields[]", _) => json!({"key": "metadata.name", "operator": "In", "values": ["other"]}),
        ("preferredDuringSchedulingIgnoredDuringExecution[]", _) if of_nodes => {
            json!({"weight": 1, "preference": {"matchExpressions": [{"key": "other", "operator": "Exists"}]}})
        }
        ("preferredDuringSchedulingIgnoredDuringExecution[]", _) => {
            json!({"weight": 1, "podAffinityTerm": term})
        }
        ("podAffinityTerm", _) => term,
        ("requiredDuringSchedulingIgnoredDuringExecution[]", _) if !of_nodes => term,
        ("configMapKeyRef" | "secretKeyRef", _) => json!({"name": "other", "key": "other"}),
        ("configMapRef" | "secretRef", _) => json!({"name": "other"}),
        ("fileKeyRef", _) => json!({"volumeName": "cache", "path": "other", "key": "OTHER"}),
        (
            "livenessProbe" | "readinessProbe" | "startupProbe",
            Some("exec" | "grpc" | "httpGet" | "tcpSocket"),
        ) => json!({}),
        ("livenessProbe" | "readinessProbe" | "startupProbe", _) => json!({"httpGet": {"port": 8080}}),
        // An init container with one of these goes on running beside the others.
        ("initContainers[]", Some("lifecycle" | "livenessProbe" | "readinessProbe" | "startupProbe")) => {
            json!({"name": "other", "image": "other", "restartPolicy": "Always"})
        }
        ("containers[]" | "initContainers[]", _) => json!({"name": "other", "image": "other"}),
        ("env[]", _) => json!({"name": "OTHER"}),
        ("volumeMounts[]", _) => json!({"name": "cache", "mountPath": "/other"}),
        ("resizePolicy[]", _) => json!({"resourceName": "cpu", "restartPolicy": "NotRequired"}),
        ("tolerations[]", Some("value")) => json!({"key": "other", "operator": "Equal"}),
        ("tolerations[]", _) => json!({"key": "other", "operator": "Exists", "effect": "NoExecute"}),
        ("azureDisk", _) => json!({"diskName": "other", "diskURI": "/other"}),
        ("items[]", Some("fieldRef" | "resourceFieldRef")) => json!({"path": "other"}),
        ("items[]", _) if field.contains("downwardAPI") => {
            json!({"path": "other", "fieldRef": {"fieldPath": "metadata.name"}})
        }
        ("items[]", _) => json!({"key": "other", "path": "other"}),
        ("resourceFieldRef", _) => json!({"containerName": "inference", "resource": "limits.cpu"}),
        ("volumeClaimTemplate", _) => json!({
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }),
        ("spec", Some("accessModes")) if field.ends_with("volumeClaimTemplate.spec") => {
            json!({"resources": {"requests": {"storage": "1Gi"}}})
        }
        ("spec", Some("resources")) if field.ends_with("volumeClaimTemplate.spec") => {
            json!({"accessModes": ["ReadWriteOnce"]})
        }
        ("spec", _) if field.ends_with("volumeClaimTemplate.spec") => {
            json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
        }
        ("resources", Some("limits")) if field.ends_with("volumeClaimTemplate.spec.resources") => {
            json!({"requests": {"storage": "1Gi"}})
        }
        ("dataSource" | "dataSourceRef", _) => json!({"kind": "PersistentVolumeClaim", "name": "other"}),
        ("fc", Some("wwids")) => json!({}),
        ("fc", _) => json!({"targetWWNs": ["50060e801049cfd1"], "lun": 1}),
        ("iscsi", _) => json!({
            "targetPortal": "10.9.9.9:3260", "iqn": "iqn.2001-04.com.example:other", "lun": 0,
        }),
        ("image", _) => json!({"reference": "other"}),
        ("quobyte", _) => json!({"registry": "other:7861", "volume": "other"}),
        ("scaleIO", _) => json!({
            "gateway": "https://other.example.com", "system": "other", "volumeName": "other",
            "secretRef": {"name": "other"},
        }),
        ("clusterTrustBundle", Some("signerName" | "labelSelector")) => {
            json!({"signerName": "example.com/other", "path": "other", "labelSelector": {}})
        }
        ("clusterTrustBundle", _) => json!({"name": "other", "path": "other"}),
        ("podCertificate", _) => json!({
            "signerName": "example.com/other", "keyType": "ED25519", "credentialBundlePath": "other",
        }),
        ("configMap" | "secret", _) if field.contains("projected") => json!({"name": "other"}),
        ("secret", _) => json!({"secretName": "other"}),
        ("ports[]", _) if field == "spec.ports[]" => json!({"name": "other", "port": 81}),
        ("scaleUp" | "scaleDown", Some("selectPolicy")) => {
            json!({"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]})
        }
        ("policies[]", _) => json!({"type": "Pods", "value": 1, "periodSeconds": 15}),
        ("metrics[]", Some("external")) => json!({"type": "External"}),
        ("metrics[]", Some("object")) => json!({"type": "Object"}),
        ("metrics[]", Some("pods")) => json!({"type": "Pods"}),
        ("metrics[]", Some("containerResource")) => json!({"type": "ContainerResource"}),
        ("metrics[]", Some("resource")) => json!({"type": "Resource"}),
        ("metrics[]", _) => json!({
            "type": "Resource",
            "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 50}},
        }),
        ("external" | "object", Some("metric")) => {
            json!({"target": {"type": "Value", "value": "1"}})
        }
        ("external" | "object", _) => json!({"metric": metric, "target": {"type": "Value", "value": "1"}}),
        ("pods", _) => json!({"metric": metric, "target": {"type": "AverageValue", "averageValue": "1"}}),
        ("containerResource", _) => json!({
            "name": "cpu", "container": "inference",
            "target": {"type": "Utilization", "averageUtilization": 50},
        }),
        ("metric", _) => metric,
        ("target", Some("value")) => json!({"type": "Value"}),
        ("target", Some("averageValue")) => json!({"type": "AverageValue"}),
        ("target", _) => json!({"type": "Utilization", "averageUtilization": 50}),
        _ => json!({}),
    }
}

fn set(field: &str, value: Value) -> Operation {
    Operation::Set(path(field), value)
}

fn path(field: &str) -> Vec<Token> {
    field.split('.').map(|key| Token::Key(key.into())).collect()
}

#[test]
fn what_nothing_acts_on_is_free() {
    for key in [
        "other",
        "example.com/other",
        "kubectl.kubernetes.io/last-applied-configuration",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
        "notkubernetes.io/other",
    ] {
        assert!(is_free(key), "{key}");
    }
    for key in [
        "modelward.io/model",
        "app.kubernetes.io/name",
        "service.kubernetes.io/topology-mode",
        "pod-template-hash",
        "networking.k8s.io/other",
    ] {
        assert!(!is_free(key), "{key}");
    }
}
