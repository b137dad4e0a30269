//! The operator's configuration, resolved once at startup.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ResourceRequirements;
use modelward_core::{children::IgnoreRule, custom_trainer::AllowedTrainers, policy::Policy, queue::Limits};
use modelward_crds::Networks;

use crate::model::ProberConfig;

/// Everything that the reconcilers need besides the state of the cluster.
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
    /// File with the operator's token for the ledger; read for each call, because it is renewed in place.
    pub ledger_token_file: PathBuf,
    /// Service account of trainer and inference Pods. It needs no permissions, because they do not use the API server.
    pub workload_service_account: String,
    /// Trainings that take longer are terminated.
    pub training_deadline_seconds: i64,
    /// Ranges that trainers may read datasets from even if they are refused by default.
    pub allow_sources: Networks,
    /// Further ranges that trainers may not read datasets from.
    pub deny_sources: Networks,
    /// Maximum size in MiB of a dataset, and of all datasets of a training together.
    pub max_dataset_mib: u32,
    /// Resource requests and limits of the Pod of a Job.
    pub trainer_resources: ResourceRequirements,
    /// Which images may train in place of the trainer.
    pub allowed_trainers: AllowedTrainers,
    /// How many versions may be trained at once.
    pub jobs: Limits,
    /// Risks, quorums and guard rails.
    pub policy: Policy,
    /// Whether the policies on the operator's objects have to exist, because the chart installed them.
    pub gate_children: bool,
    /// Whether the ledger publishes versions to MLflow.
    pub publishes: bool,
    /// Fields of a model's children that others may set.
    pub ignore_differences: Vec<IgnoreRule>,
    /// Number of models that take a new Pod template at the same time after this configuration changed.
    pub upgrade_at_once: usize,
    /// How models are probed through their Services.
    pub prober: ProberConfig,
    /// The only namespace to watch; all of them if absent.
    pub watch_namespace: Option<String>,
}
