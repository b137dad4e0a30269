//! How a version is served.

use kube::KubeSchema;
use modelward_wire::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a version is served.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServingSpec {
    /// Bounds on the number of Pods that serve the model. An autoscaler chooses the number within the bounds.
    #[serde(default)]
    pub replicas: ReplicaBounds,

    /// Who may request predictions. There is no default: open access must be chosen explicitly.
    pub access: Access,

    /// Target of the autoscaler: average CPU utilization as a percentage of the CPU request.
    #[serde(default = "default_target_cpu")]
    #[schemars(range(min = 10, max = 100))]
    pub target_cpu_utilization_percent: i32,

    /// Resource requests and limits of each Pod.
    #[serde(default)]
    pub resources: ResourceBounds,
}

/// Bounds on the number of Pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.min <= self.max").message("min must be at most max"))]
pub struct ReplicaBounds {
    /// Minimum number of Pods.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub min: i32,
    /// Maximum number of Pods.
    #[serde(default = "default_max_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub max: i32,
}

words! {
    /// Who may request predictions.
    #[derive(JsonSchema)]
    pub enum Access {
        /// Every client that can reach the Service.
        Open,
    }
}

/// Resource requests and limits of a Pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.limits.memory) || !isQuantity(self.limits.memory) || quantity(self.limits.memory).compareTo(quantity('64Mi')) >= 0")
    .message("limits.memory must be at least 64Mi, which a Pod that serves needs to start"))]
#[x_kube(validation = Rule::new("(has(self.requests.memory) && !isQuantity(self.requests.memory)) || (has(self.limits.memory) && !isQuantity(self.limits.memory)) || \
    quantity(has(self.requests.memory) ? self.requests.memory : '64Mi')\
    .compareTo(quantity(has(self.limits.memory) ? self.limits.memory : '512Mi')) <= 0")
    .message("requests.memory (64Mi where it is absent) must be at most limits.memory (512Mi where it is absent)"))]
#[x_kube(validation = Rule::new("!has(self.limits.cpu) || !isQuantity(self.limits.cpu) || (has(self.requests.cpu) && !isQuantity(self.requests.cpu)) || \
    quantity(has(self.requests.cpu) ? self.requests.cpu : '100m').compareTo(quantity(self.limits.cpu)) <= 0")
    .message("requests.cpu (100m where it is absent) must be at most limits.cpu"))]
pub struct ResourceBounds {
    /// Resource requests. Default: cpu 100m, memory 64Mi.
    #[serde(default)]
    pub requests: ResourceAmounts,
    /// Resource limits. Default: no cpu limit, memory 512Mi.
    #[serde(default)]
    pub limits: ResourceAmounts,
}

/// Amounts of CPU and memory as Kubernetes quantities.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceAmounts {
    /// Number of CPUs, such as "2", or thousandths of a CPU, such as "250m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,9}m?$')")
        .message("write whole processors, \"2\", or thousandths of one, \"250m\""))]
    pub cpu: Option<String>,
    /// Bytes with a binary suffix, such as "256Mi" or "2Gi".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,9}(Ki|Mi|Gi)$')")
        .message("write a whole number with Ki, Mi or Gi, such as \"512Mi\" or \"1Gi\""))]
    pub memory: Option<String>,
}

fn default_min_replicas() -> i32 {
    2
}

fn default_max_replicas() -> i32 {
    4
}

fn default_target_cpu() -> i32 {
    80
}

impl Default for ReplicaBounds {
    fn default() -> Self {
        Self {
            min: default_min_replicas(),
            max: default_max_replicas(),
        }
    }
}
