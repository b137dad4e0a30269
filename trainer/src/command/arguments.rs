//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use modelward_crds::Networks;
use modelward_wire::Digest;

use crate::{
    command::public_dataset::PublicDataset,
    data::source::{LARGEST_MIB, MAX_MIB},
};

/// Trains a model and writes a bundle.
#[derive(Debug, Parser)]
#[command(name = "modelward-trainer", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read and check the data, and freeze it as a snapshot.
    Snapshot(SnapshotArgs),
    /// Train on a snapshot and write a bundle.
    Fit(FitArgs),
    /// Write the files that an image trains on: all rows of a snapshot except the held-out ones.
    Prepare(PrepareArgs),
    /// Score rows with a bundle, with one JSON line per row.
    Score(ScoreArgs),
    /// Make a bundle of a model that was trained elsewhere, checked with the scores of a sample.
    Import(ImportArgs),
    /// Show what is in a CSV or Parquet file, how its columns would be read, and what to fix, without a spec.
    Inspect(InspectArgs),
    /// Evaluate the expectations of a spec on files. The exit code is 2 if a critical one is not met.
    Validate(ValidateArgs),
    /// Print expectations that a reference file meets, as YAML for the spec.
    Suggest(SuggestArgs),
    /// Download the files of a public dataset and check their digests.
    Download(DownloadArgs),
}

/// Arguments of `snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// The `ModelVersion`, YAML or JSON.
    #[arg(long)]
    pub spec: PathBuf,
    /// A CSV or Parquet file; repeat it for each dataset of the spec that is not an address, in the order of the spec. Addresses in the
    /// spec are read unless there is a file for every dataset.
    #[arg(long)]
    pub source: Vec<PathBuf>,
    /// Directory to write the snapshot to; an existing snapshot there is replaced.
    #[arg(long, required_unless_present = "publish")]
    pub out: Option<PathBuf>,
    /// Count the rows that the version in notWorseThan was not trained on, by its bundle in the ledger.
    #[arg(long, requires = "publish")]
    pub count_new_rows: bool,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Where and whether to report.
    #[command(flatten)]
    pub publish: PublishArgs,
}

/// The rows that a model is fitted to: a snapshot, or the files that one is made of.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct RowsArgs {
    /// Digest of a snapshot in the ledger.
    #[arg(long, requires = "publish")]
    pub snapshot: Option<Digest>,
    /// Directory of a snapshot.
    #[arg(long)]
    pub snapshot_dir: Option<PathBuf>,
    /// A CSV or Parquet file, which is checked and frozen first; repeat it for each dataset, as in `snapshot`.
    #[arg(long)]
    pub source: Vec<PathBuf>,
}

/// Arguments of `prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// The `ModelVersion`, YAML or JSON, with source.training.customTrainer.
    #[arg(long)]
    pub spec: PathBuf,
    /// The rows.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Directory to write train.csv, train.parquet and contract.json to.
    #[arg(long)]
    pub out: PathBuf,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Where and whether to report.
    #[command(flatten)]
    pub publish: PublishArgs,
}

/// Arguments of `fit`.
#[derive(Debug, Args)]
pub struct FitArgs {
    /// The `ModelVersion`, YAML or JSON.
    #[arg(long)]
    pub spec: PathBuf,
    /// The rows.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Directory of the bundle that notWorseThan names. If absent, it is fetched from the ledger.
    #[arg(long)]
    pub champion: Option<PathBuf>,
    /// File of the counts that reference names. If absent, they are fetched from the ledger.
    #[arg(long)]
    pub window: Option<PathBuf>,
    /// Directory with the model that a custom trainer left, for a spec with source.training.customTrainer: it is measured, not trained.
    #[arg(long)]
    pub trained: Option<PathBuf>,
    /// Directory to write the bundle to; an existing bundle there is replaced.
    #[arg(long, required_unless_present = "publish")]
    pub out: Option<PathBuf>,
    /// Number of threads that evaluate folds; the result does not depend on it. Default: the available processors,
    /// as far as the memory limit of the control group allows.
    #[arg(long, env = "MODELWARD_THREADS")]
    pub threads: Option<usize>,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Where and whether to report.
    #[command(flatten)]
    pub publish: PublishArgs,
}

/// Arguments of `score`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("input").required(true).args(["rows", "csv"]))]
pub struct ScoreArgs {
    /// Directory of a bundle.
    #[arg(long)]
    pub bundle: PathBuf,
    /// The digest that the bundle must have.
    #[arg(long)]
    pub digest: Option<Digest>,
    /// JSON file with one object of named features or an array of them; `-` for standard input.
    #[arg(long)]
    pub rows: Option<String>,
    /// CSV file in the format of the spec, or with a header and commas; or a Parquet file. It has a column for each feature; others are ignored.
    #[arg(long)]
    pub csv: Option<PathBuf>,
    /// The `ModelVersion` with the format of the CSV file.
    #[arg(long, requires = "csv")]
    pub spec: Option<PathBuf>,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The model: a file of LightGBM, XGBoost or ONNX, or the directory of a bundle. Not needed with a spec whose source.artifact has an
    /// address or an MLflow model.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// CSV or Parquet file with rows of the features of the model, the scores that it gives them where it was trained, and the target
    /// if it is known. Not needed with a spec whose sample has an address. A bundle may come without one.
    #[arg(long)]
    pub sample: Option<PathBuf>,
    /// The `ModelVersion` with the model's name, the target, the features, the columns to exclude, the threshold and the format of
    /// the sample, in source.artifact or in source.training; its other fields are not read.
    #[arg(long, required_if_eq("publish", "true"))]
    pub spec: Option<PathBuf>,
    /// Name of the model that it is a version of. Not needed with a spec or a bundle.
    #[arg(long)]
    pub name: Option<String>,
    /// Column of the sample with the target, 0 or 1. For other values use a spec.
    #[arg(long, conflicts_with = "spec")]
    pub target: Option<String>,
    /// Columns of the sample that are not features, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Column of the sample with the expected probabilities of class 1. Default: expected.
    #[arg(long)]
    pub expected: Option<String>,
    /// Column of the sample with the expected raw scores, which are compared bit for bit. Default: expected_raw.
    #[arg(long)]
    pub expected_raw: Option<String>,
    /// Probability from which the class is 1. Default: that of the spec, or 0.5.
    #[arg(long)]
    pub threshold: Option<String>,
    /// Directory to write the bundle to; an existing bundle there is replaced.
    #[arg(long, required_unless_present = "publish")]
    pub out: Option<PathBuf>,
    /// How large the file and its sample may be.
    #[command(flatten)]
    pub size: SizeArgs,
    /// Where and whether to report.
    #[command(flatten)]
    pub publish: PublishArgs,
}

/// Arguments of `inspect`. What is not given is guessed.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The CSV or Parquet file.
    pub file: PathBuf,
    /// The character between fields: `,`, `;`, `|` or `tab`.
    #[arg(long, value_parser = parse_delimiter)]
    pub delimiter: Option<String>,
    /// The character before the decimals of a number: `.` or `,`.
    #[arg(long, value_parser = [".", ","])]
    pub decimal: Option<String>,
    /// The character between groups of three digits.
    #[arg(long, value_parser = [",", ".", " ", "'", "_"])]
    pub thousands: Option<String>,
    /// Names of the columns, separated by commas, of a file without a header.
    #[arg(long, value_delimiter = ',')]
    pub columns: Vec<String>,
    /// A text that means "missing"; may be repeated.
    #[arg(long)]
    pub missing: Vec<String>,
    /// The column to predict.
    #[arg(long)]
    pub target: Option<String>,
    /// Write a `ModelVersion` to start from to this file; `-` for the standard output, instead of the table.
    #[arg(long)]
    pub spec_out: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
}

fn parse_delimiter(text: &str) -> Result<String, String> {
    match text {
        "tab" | "\\t" | "\t" => Ok("\t".to_owned()),
        "," | ";" | "|" => Ok(text.to_owned()),
        _ => Err("expected one of , ; | and tab".to_owned()),
    }
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The `ModelVersion`, YAML or JSON.
    #[arg(long)]
    pub spec: PathBuf,
    /// A CSV or Parquet file; repeat it for each dataset of the spec, in the order of the spec.
    #[arg(long, required = true)]
    pub source: Vec<PathBuf>,
    /// File to write the results to as JSON, in the form of Great Expectations.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// File to write the results to as an HTML page.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
}

/// Arguments of `suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {
    /// The `ModelVersion`, YAML or JSON. Its expectations are not read.
    #[arg(long)]
    pub spec: PathBuf,
    /// The reference, a CSV or Parquet file in the format of the spec's first dataset.
    #[arg(long)]
    pub source: PathBuf,
    /// How large a dataset may be.
    #[command(flatten)]
    pub size: SizeArgs,
}

/// Arguments of `download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The dataset.
    pub dataset: PublicDataset,
    /// Directory to write the files to. Files that are already there with the right digest are not downloaded again.
    #[arg(long)]
    pub to: PathBuf,
    /// Address of a mirror: the folder that has the files.
    #[arg(long)]
    pub from: Option<String>,
}

/// How large a dataset may be.
#[derive(Clone, Copy, Debug, Args)]
pub struct SizeArgs {
    /// Maximum size in MiB of a dataset, and of all datasets of a training together. The rows are held in memory, which takes several
    /// times as much.
    #[arg(long, env = "MODELWARD_MAX_DATASET_MIB", default_value_t = MAX_MIB, value_parser = clap::value_parser!(u64).range(1..=LARGEST_MIB))]
    pub max_dataset_mib: u64,
}

/// How a Job reports; not needed outside of a cluster.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Upload the artifact to the ledger, and record the result there and in the termination message.
    #[arg(long)]
    pub publish: bool,
    /// The ledger's address.
    #[arg(long, env = "MODELWARD_LEDGER_URL", hide_env_values = true)]
    pub ledger_url: Option<String>,
    /// File of the token for the ledger.
    #[arg(
        long,
        env = "MODELWARD_LEDGER_TOKEN_FILE",
        default_value = "/var/run/secrets/modelward/ledger/token"
    )]
    pub ledger_token_file: PathBuf,
    /// Namespace of this Job.
    #[arg(long, env = "MODELWARD_NAMESPACE")]
    pub namespace: Option<String>,
    /// Uid of this Job.
    #[arg(long, env = "MODELWARD_JOB_UID")]
    pub job_uid: Option<String>,
    /// Ranges of addresses, separated by commas, that a Job may read datasets from even if they are loopback, link-local or a metadata
    /// service, such as 127.0.0.0/8. Without `--publish` every address may be read.
    #[arg(long, env = "MODELWARD_ALLOW_SOURCES", default_value = "")]
    pub allow_sources: Networks,
    /// Further ranges that a Job may not read datasets from, such as those of the cluster's Services and Pods. `--allow-sources`
    /// takes precedence.
    #[arg(long, env = "MODELWARD_DENY_SOURCES", default_value = "")]
    pub deny_sources: Networks,
    /// Directory that caches downloaded files by their digest. Only files whose digest the spec has in sha256 are cached; a cached file
    /// is not downloaded again.
    #[arg(long, env = "MODELWARD_DATASET_CACHE")]
    pub cache: Option<PathBuf>,
    /// File of the termination message; written with `--publish` only.
    #[arg(
        long,
        env = "MODELWARD_TERMINATION_LOG",
        default_value = "/dev/termination-log"
    )]
    pub termination_log: PathBuf,
}

// === impl SizeArgs ===

impl SizeArgs {
    /// The limit in bytes.
    pub(super) fn bytes(self) -> u64 {
        self.max_dataset_mib << 20
    }
}
