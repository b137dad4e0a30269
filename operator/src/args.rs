//! The command line. Every argument has an environment variable, which the chart sets.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use k8s_openapi::api::core::v1::ResourceRequirements;
use modelward_controllers::{Config, LARGEST_DATASET_MIB, Networks, ProberConfig};
use modelward_core::{children::IgnoreRule, custom_trainer::AllowedTrainers, policy::Policy};
use modelward_ledger::{MigrateConfig, MlflowConfig, Quotas, RegisteredModelNames};
use modelward_service::LogFormat;

const MIB: u64 = 1024 * 1024;

/// Trains, serves and monitors tabular models on Kubernetes.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Format of log lines.
    #[arg(
        long,
        env = "MODELWARD_LOG_FORMAT",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub log_format: LogFormat,
    /// The program to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The program to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile the cluster, after acquiring the lease.
    Run(Box<RunArgs>),
    /// Serve artifacts, results and records.
    Ledger(LedgerArgs),
    /// Migrate the ledger's schema to this version.
    Migrate(MigrateArgs),
}

/// Arguments of `run`.
#[derive(Debug, Parser)]
pub struct RunArgs {
    /// Name of this process in the lease and in Events.
    #[arg(long, env = "POD_NAME", default_value = "modelward-operator")]
    pub pod_name: String,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "modelward-system")]
    pub pod_namespace: String,
    /// Name of the lease.
    #[arg(long, env = "MODELWARD_LEASE_NAME", default_value = "modelward-operator")]
    pub lease_name: String,
    /// Address on which metrics and probes are served.
    #[arg(long, env = "MODELWARD_METRICS_ADDR", default_value = "0.0.0.0:8080")]
    pub metrics_addr: SocketAddr,
    /// Image of the trainer.
    #[arg(long, env = "MODELWARD_TRAINER_IMAGE")]
    pub trainer_image: String,
    /// Image of the inference server.
    #[arg(long, env = "MODELWARD_INFERENCE_IMAGE")]
    pub inference_image: String,
    /// Image pull policy: Always, IfNotPresent or Never.
    #[arg(long, env = "MODELWARD_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: String,
    /// Secrets with registry credentials, in the models' namespaces; names separated by commas.
    #[arg(long, env = "MODELWARD_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// Address of the ledger.
    #[arg(
        long,
        env = "MODELWARD_LEDGER_URL",
        default_value = "http://modelward-ledger.modelward-system.svc:8090"
    )]
    pub ledger_url: String,
    /// File with this process's token for the ledger.
    #[arg(
        long,
        env = "MODELWARD_LEDGER_TOKEN_FILE",
        default_value = "/var/run/secrets/modelward/ledger/token"
    )]
    pub ledger_token_file: PathBuf,
    /// Service account of trainer and inference Pods.
    #[arg(long, env = "MODELWARD_WORKLOAD_SERVICE_ACCOUNT", default_value = "default")]
    pub workload_service_account: String,
    /// Trainings that take longer are terminated.
    #[arg(long, env = "MODELWARD_TRAINING_DEADLINE_SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(i64).range(1..))]
    pub training_deadline_seconds: i64,
    /// Ranges of addresses that trainers may read datasets from although they are blocked by default; separated by commas.
    #[arg(long, env = "MODELWARD_ALLOW_SOURCES", default_value = "")]
    pub allow_sources: Networks,
    /// Ranges of addresses that trainers may not read datasets from, such as those of the cluster's Services and Pods.
    #[arg(long, env = "MODELWARD_DENY_SOURCES", default_value = "")]
    pub deny_sources: Networks,
    /// Maximum size in MiB of a dataset, and of all datasets of a training together.
    #[arg(long, env = "MODELWARD_MAX_DATASET_MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_DATASET_MIB)))]
    pub max_dataset_mib: u32,
    /// Resource requests and limits of the Pod of a Job, as JSON.
    #[arg(long, env = "MODELWARD_TRAINER_RESOURCES", value_parser = resources,
        default_value = r#"{"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}"#)]
    pub trainer_resources: ResourceRequirements,
    /// Which images may train in place of the trainer, with which variables and service accounts, as JSON: {"images": […], "variables": […],
    /// "serviceAccounts": [{"name": …, "images": […]}]}.
    #[arg(long, env = "MODELWARD_CUSTOM_TRAINERS", default_value = "{}", value_parser = allowed_trainers)]
    pub custom_trainers: AllowedTrainers,
    /// Maximum number of versions of one namespace that are trained at once.
    #[arg(long, env = "MODELWARD_JOBS_PER_NAMESPACE", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs_per_namespace: u16,
    /// Maximum number of versions of all namespaces that are trained at once.
    #[arg(long, env = "MODELWARD_JOBS_CLUSTER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs_cluster: u16,
    /// Risks, quorums and guard rails as JSON; absent fields have their defaults.
    #[arg(long, env = "MODELWARD_POLICY", default_value = "{}", value_parser = policy)]
    pub policy: Policy,
    /// Whether the cluster has the admission policies on the operator's objects; if so, the operator checks them.
    #[arg(long, env = "MODELWARD_GATE_CHILDREN", default_value_t = false, action = clap::ArgAction::Set)]
    pub gate_children: bool,
    /// Whether the ledger publishes versions to MLflow: each version then has the condition Published.
    #[arg(long, env = "MODELWARD_PUBLISHES", default_value_t = false, action = clap::ArgAction::Set)]
    pub publishes: bool,
    /// Fields of the models' children that other clients may set, as a JSON list: [{"kind": "Deployment", "path": "/spec/…"}].
    #[arg(long, env = "MODELWARD_IGNORE_DIFFERENCES", default_value = "[]", value_parser = ignore_rules)]
    pub ignore_differences: IgnoreRules,
    /// Number of models that take a new Pod template at the same time after the configuration changed.
    #[arg(long, env = "MODELWARD_UPGRADE_AT_ONCE", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub upgrade_at_once: u16,
    /// The only namespace to watch; empty: all of them.
    #[arg(long, env = "MODELWARD_WATCH_NAMESPACE", default_value = "")]
    pub watch_namespace: String,
}

/// Arguments of `ledger`.
#[derive(Debug, Parser)]
pub struct LedgerArgs {
    /// Address to listen on.
    #[arg(long, env = "MODELWARD_LEDGER_ADDR", default_value = "0.0.0.0:8090")]
    addr: SocketAddr,
    /// Additional address on which probes and metrics are served.
    #[arg(long, env = "MODELWARD_LEDGER_PROBE_ADDR")]
    probe_addr: Option<SocketAddr>,
    /// Quota of totals of counts per namespace; 0 is unlimited, as in the other quotas.
    #[arg(long, env = "MODELWARD_LEDGER_QUOTA_TOTALS", default_value_t = 500_000)]
    quota_totals: u64,
    /// Quota of the size of the totals per namespace, in MiB.
    #[arg(long, env = "MODELWARD_LEDGER_QUOTA_TOTAL_MIB", default_value_t = 1024)]
    quota_total_mib: u64,
    /// Quota of labels per namespace.
    #[arg(long, env = "MODELWARD_LEDGER_QUOTA_LABELS", default_value_t = 5_000_000)]
    quota_labels: u64,
    /// Quota of the size of bundles and snapshots per namespace, in MiB.
    #[arg(long, env = "MODELWARD_LEDGER_QUOTA_ARTIFACT_MIB", default_value_t = 20_480)]
    quota_artifact_mib: u64,
    /// File with the database's URL; read at each attempt to connect.
    #[arg(
        long,
        env = "MODELWARD_DATABASE_URL_FILE",
        default_value = "/etc/modelward/database/url"
    )]
    database_url_file: PathBuf,
    /// Location of artifacts: file:///path or s3://bucket/prefix.
    #[arg(
        long,
        env = "MODELWARD_STORE",
        default_value = "file:///var/lib/modelward/artifacts"
    )]
    store: String,
    /// The required audience of callers' tokens.
    #[arg(long, env = "MODELWARD_LEDGER_AUDIENCE", default_value = "modelward-ledger")]
    audience: String,
    /// User name of the operator's service account.
    #[arg(
        long,
        env = "MODELWARD_OPERATOR_SERVICE_ACCOUNT",
        default_value = "system:serviceaccount:modelward-system:modelward-operator"
    )]
    operator_service_account: String,
    /// Address of the MLflow server that versions are published to; without it nothing is published.
    #[arg(long, env = "MODELWARD_MLFLOW_TRACKING_URI")]
    mlflow_tracking_uri: Option<String>,
    /// Directory with the files username and password, or token, for MLflow.
    #[arg(long, env = "MODELWARD_MLFLOW_CREDENTIALS")]
    mlflow_credentials: Option<PathBuf>,
    /// Names of registered models in MLflow: Model or NamespaceAndModel.
    #[arg(
        long,
        env = "MODELWARD_MLFLOW_REGISTERED_MODEL_NAMES",
        default_value = "Model"
    )]
    mlflow_registered_model_names: RegisteredModelNames,
}

/// Arguments of `migrate`.
#[derive(Debug, Parser)]
pub struct MigrateArgs {
    /// File with the URL of the role that owns the schema.
    #[arg(
        long,
        env = "MODELWARD_DATABASE_URL_FILE",
        default_value = "/etc/modelward/database/url"
    )]
    database_url_file: PathBuf,
    /// Role with which the ledger connects.
    #[arg(long, env = "MODELWARD_LEDGER_ROLE", default_value = "modelward_ledger")]
    ledger_role: String,
    /// Maximum time in seconds to wait for the database.
    #[arg(long, env = "MODELWARD_DATABASE_PATIENCE_SECONDS", default_value_t = 120)]
    patience_seconds: u64,
}

// === impl RunArgs ===

impl RunArgs {
    /// The configuration of the reconcilers.
    pub fn config(&self) -> Config {
        let watch_namespace = Some(self.watch_namespace.clone()).filter(|namespace| !namespace.is_empty());
        Config {
            trainer_image: self.trainer_image.clone(),
            inference_image: self.inference_image.clone(),
            image_pull_policy: self.image_pull_policy.clone(),
            image_pull_secrets: self
                .image_pull_secrets
                .iter()
                .filter(|name| !name.is_empty())
                .cloned()
                .collect(),
            ledger_url: self.ledger_url.trim_end_matches('/').to_owned(),
            ledger_token_file: self.ledger_token_file.clone(),
            workload_service_account: self.workload_service_account.clone(),
            training_deadline_seconds: self.training_deadline_seconds,
            allow_sources: self.allow_sources.clone(),
            deny_sources: self.deny_sources.clone(),
            max_dataset_mib: self.max_dataset_mib,
            trainer_resources: self.trainer_resources.clone(),
            allowed_trainers: self.custom_trainers.clone(),
            jobs: modelward_core::queue::Limits {
                per_namespace: self.jobs_per_namespace.into(),
                cluster: self.jobs_cluster.into(),
            },
            policy: self.policy.clone(),
            gate_children: self.gate_children,
            publishes: self.publishes,
            ignore_differences: self.ignore_differences.0.clone(),
            upgrade_at_once: self.upgrade_at_once.into(),
            prober: ProberConfig::default(),
            watch_namespace,
        }
    }
}

/// All rules of one argument. With a list as the type of the field, clap would expect one argument per rule.
#[derive(Clone, Debug)]
pub struct IgnoreRules(Vec<IgnoreRule>);

fn ignore_rules(text: &str) -> Result<IgnoreRules, String> {
    serde_json::from_str(text)
        .map(IgnoreRules)
        .map_err(|error| error.to_string())
}

fn resources(text: &str) -> Result<ResourceRequirements, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn allowed_trainers(text: &str) -> Result<AllowedTrainers, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn policy(text: &str) -> Result<Policy, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

// === impl LedgerArgs ===

impl From<LedgerArgs> for modelward_ledger::Config {
    fn from(args: LedgerArgs) -> Self {
        Self {
            addr: args.addr,
            probe_addr: args.probe_addr,
            quotas: Quotas {
                totals: args.quota_totals,
                total_bytes: args.quota_total_mib.saturating_mul(MIB),
                labels: args.quota_labels,
                artifact_bytes: args.quota_artifact_mib.saturating_mul(MIB),
            },
            database_url_file: args.database_url_file,
            store: args.store,
            audience: args.audience,
            operator_service_account: args.operator_service_account,
            mlflow: args.mlflow_tracking_uri.map(|uri| MlflowConfig {
                credentials: args.mlflow_credentials,
                registered_model_names: args.mlflow_registered_model_names,
                ..MlflowConfig::new(uri)
            }),
            ..Self::default()
        }
    }
}

// === impl MigrateArgs ===

impl From<MigrateArgs> for MigrateConfig {
    fn from(args: MigrateArgs) -> Self {
        Self {
            database_url_file: args.database_url_file,
            ledger_role: args.ledger_role,
            patience: Duration::from_secs(args.patience_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The block `remediation` of the chart's values. Its lines are `key: value` with values in JSON syntax.
    fn chart_values() -> String {
        let values = include_str!("../../charts/modelward/values.yaml");
        let block = values.split_once("\nremediation:\n").unwrap().1;
        let lines = block.lines().take_while(|line| line.starts_with("  "));
        let pairs: Vec<_> = lines
            .filter(|line| !line.trim_start().starts_with('#'))
            .map(|line| {
                let (key, value) = line.trim().split_once(": ").unwrap();
                format!("\"{key}\":{value}")
            })
            .collect();
        format!("{{{}}}", pairs.join(","))
    }

    #[test]
    fn the_chart_has_every_guard_rail_with_the_default_of_the_program() {
        let values = chart_values();
        assert_eq!(policy(&values).unwrap(), Policy::default());
        let named: serde_json::Value = serde_json::from_str(&values).unwrap();
        let known = serde_json::to_value(Policy::default()).unwrap();
        assert_eq!(named, known);
    }

    const RUN: [&str; 6] = [
        "modelward-operator",
        "run",
        "--trainer-image",
        "t",
        "--inference-image",
        "i",
    ];

    #[test]
    fn the_resources_of_jobs_can_be_set_and_have_a_default() {
        let parse = |more: &[&str]| {
            let args = Args::try_parse_from(RUN.iter().chain(more));
            let Command::Run(args) = args.unwrap().command else {
                unreachable!("run was asked for")
            };
            args.config().trainer_resources
        };
        assert_eq!(parse(&[]).limits.unwrap()["memory"].0, "2Gi");
        let set = parse(&["--trainer-resources", r#"{"limits": {"memory": "4Gi"}}"#]);
        assert_eq!(set.limits.unwrap()["memory"].0, "4Gi");
        let error = Args::try_parse_from(RUN.into_iter().chain(["--trainer-resources", "4Gi"]));
        assert!(error.unwrap_err().to_string().contains("--trainer-resources"));
    }

    #[test]
    fn the_size_of_datasets_can_be_set_within_bounds() {
        let parse = |more: &[&str]| Args::try_parse_from(RUN.iter().chain(more));
        for (more, expected) in [(&[][..], 512), (&["--max-dataset-mib", "4095"], 4095)] {
            let Command::Run(args) = parse(more).unwrap().command else {
                unreachable!("run was asked for")
            };
            assert_eq!(args.config().max_dataset_mib, expected);
        }
        for wrong in ["0", "4096", "1Gi"] {
            let error = parse(&["--max-dataset-mib", wrong]).unwrap_err().to_string();
            assert!(error.contains("--max-dataset-mib"), "{error}");
        }
    }

    #[test]
    fn a_range_of_sources_that_is_none_is_refused_by_name() {
        let parse = |ranges: &str| Args::try_parse_from(RUN.into_iter().chain(["--deny-sources", ranges]));
        let Command::Run(args) = parse("10.96.0.0/12,fd00:10:96::/112").unwrap().command else {
            unreachable!("run was asked for")
        };
        assert_eq!(args.config().deny_sources.0.len(), 2);
        let error = parse("10.96.0.0/12,10.96.0.0/x").unwrap_err().to_string();
        assert!(
            error.contains(r#""10.96.0.0/x" is not a range of addresses"#),
            "{error}"
        );
    }

    #[test]
    fn an_allowed_image_that_is_none_is_refused_by_name_and_none_is_allowed_by_default() {
        let parse = |more: &[&str]| Args::try_parse_from(RUN.iter().chain(more));
        let Command::Run(args) = parse(&[]).unwrap().command else {
            unreachable!("run was asked for")
        };
        assert_eq!(args.config().allowed_trainers, AllowedTrainers::default());
        let list = r#"{"images": ["registry.example/ml/*"], "serviceAccounts": []}"#;
        let error = parse(&["--custom-trainers", list]).unwrap_err().to_string();
        assert!(error.contains(r#""registry.example/ml/*""#), "{error}");
    }

    #[test]
    fn a_policy_with_an_unknown_word_is_refused_by_name() {
        let error = policy(r#"{"coolDown": 1}"#).unwrap_err();
        assert!(error.contains("coolDown"), "{error}");
    }
}
