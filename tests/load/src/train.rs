//! The program of a custom trainer for the tests on a cluster. It inspects its container, and writes a model with one tree or ends
//! as its argument says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

/// Arguments of `train`.
#[derive(Args, Clone, Copy, Debug)]
pub struct TrainArgs {
    /// How it ends.
    #[arg(long, value_enum, default_value_t = End::Model)]
    pub end: End,
}

/// How it ends.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum End {
    /// It writes a model.
    Model,
    /// It writes nothing.
    Nothing,
    /// It writes a link to the path of the ledger token in other containers.
    Link,
    /// It fails with a message.
    Failure,
}

/// Paths in other containers of the Pod that the image must not see.
const NOT_ITS_OWN: [&str; 4] = [
    "/var/run/secrets/modelward/ledger/token",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/etc/modelward/job/spec.json",
    "/work",
];

/// Does not train: the tree splits a feature in the middle of its range.
pub fn run(args: TrainArgs) -> anyhow::Result<ExitCode> {
    let out = path("MODELWARD_OUTPUT_DIR")?;
    for place in NOT_ITS_OWN {
        ensure!(
            !Path::new(place).exists(),
            "{place} exists in the container of the image"
        );
    }
    let rows = path("MODELWARD_TRAIN_FILE")?;
    ensure!(fs::write(&rows, "").is_err(), "{} is writable", rows.display());
    let table = fs::read_to_string(&rows).with_context(|| rows.display().to_string())?;
    let contract: Value = serde_json::from_slice(&fs::read(path("MODELWARD_CONTRACT")?)?)?;
    let counted = table.lines().count() - 1;
    ensure!(
        contract["rows"].as_u64() == Some(counted as u64),
        "there are {counted} rows, the contract says {}",
        contract["rows"]
    );
    match args.end {
        End::Model => fs::write(out.join("model.txt"), model(&contract)?)?,
        End::Nothing => {}
        End::Link => std::os::unix::fs::symlink(NOT_ITS_OWN[0], out.join("model.txt"))?,
        End::Failure => {
            let message = r#"{"message": "the learning rate is too large"}"#;
            fs::write("/dev/termination-log", message)?;
            bail!("{message}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(variable: &str) -> anyhow::Result<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set"))
}

/// A model in LightGBM text format with one split on the feature `thalach` of the sample data.
fn model(contract: &Value) -> anyhow::Result<String> {
    let features = contract["features"].as_array().context("features")?;
    let split = features.iter().position(|feature| feature["name"] == "thalach");
    let split = split.context("the sample data has no feature thalach")?;
    let names: Vec<String> = (0..features.len()).map(|at| format!("Column_{at}")).collect();
    let infos = vec!["none"; features.len()];
    Ok(format!(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx={}\nobjective=binary sigmoid:1\n\
         feature_names={}\nfeature_infos={}\ntree_sizes=300\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature={split}\nsplit_gain=9\n\
         threshold=150\ndecision_type=10\nleft_child=-1\nright_child=-2\nleaf_value=0.6 -0.9\nleaf_weight=20 20\nleaf_count=100 100\n\
         internal_value=0\ninternal_weight=40\ninternal_count=200\nis_linear=0\nshrinkage=1\n\n\nend of trees\n",
        features.len() - 1,
        names.join(" "),
        infos.join(" "),
    ))
}
