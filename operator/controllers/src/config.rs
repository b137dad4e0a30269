//! The operator's configuration, resolved once at its start.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ResourceRequirements;
use modelward_core::{children::IgnoreRule, policy::Policy, queue::Limits};
use modelward_crds::Networks;

use crate::prober::ProberConfig;

/// Everything that the reconcilers need to know beyond what is in the cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Image of the trainer.
    pub trainer_image: String,
    /// Image of the inference server.
    pub inference_image: String,
    /// `Always`, `IfNotPresent` or `Never`, for both images.
    pub image_pull_policy: String,
    /// Names of Secrets that hold credentials of the registry, in the namespaces of the models.
    pub image_pull_secrets: Vec<String>,
    /// Base address of the ledger, without a slash at the end.
    pub ledger_url: String,
    /// File that holds the operator's own token for the ledger; read at each call, because it is renewed in place.
    pub ledger_token_file: PathBuf,
    /// Service account of trainer and inference Pods. It needs no rights: none of them talks to the API server.
    pub workload_service_account: String,
    /// A training that takes longer is ended.
    pub training_deadline_seconds: i64,
    /// Ranges that trainers read datasets from although they would refuse them.
    pub allow_sources: Networks,
    /// Ranges that trainers read no dataset from, beside those that they refuse by themselves.
    pub deny_sources: Networks,
    /// What the Pod of a Job asks for and may use.
    pub trainer_resources: ResourceRequirements,
    /// How many versions may be trained at once.
    pub jobs: Limits,
    /// Risks, quorums and guard rails.
    pub policy: Policy,
    /// Whether the policies on what the operator makes have to be there: the chart installed them.
    pub gate_children: bool,
    /// Fields of a model's children that others may set.
    pub ignore_differences: Vec<IgnoreRule>,
    /// Models that take a new Pod template at the same time after this configuration changed.
    pub upgrade_at_once: usize,
    /// How models are asked through their Services.
    pub prober: ProberConfig,
    /// The only namespace to look at; every one where it is not set.
    pub watch_namespace: Option<String>,
}
