//! The trainer's side of a pair: a process that reads the tables and fits the family that each line of its input names.

use std::{
    io::{self, BufRead as _, Write as _},
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, anyhow};
use modelward_crds::{Family, MetricName};
use modelward_trainer::{
    data::dataset::{Dataset, Sample},
    family::{self, Settings},
    fit::metrics::{metrics, position},
};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::table::Table;

/// The name for fits with hessboost.
pub(crate) const HESSBOOST: &str = "hessboost";

/// The cost of one fit, in the format of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fit {
    /// Wall-clock seconds.
    pub(crate) wall: f64,
    /// Processor seconds.
    pub(crate) cpu: f64,
    /// The area under the ROC curve on rows that were not used for the fit.
    pub(crate) auc: f64,
    /// Peak memory of the process so far, in MiB.
    pub(crate) peak: f64,
}

/// Answers each line, the name of a family, with a line of JSON: a [`Fit`].
pub(crate) fn serve(folder: &Path, rows: &str) -> anyhow::Result<()> {
    let train = Table::read(folder, rows)?.into_dataset()?;
    let test = Table::read(folder, "test")?.into_dataset()?;
    for line in io::stdin().lock().lines() {
        let fit = fit(line?.trim(), &train, &test)?;
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &fit)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

/// From values to a model, as in a Job of the trainer: preparation, bins, fit, and reading the exported model.
fn fit(name: &str, train: &Dataset, test: &Dataset) -> anyhow::Result<Fit> {
    let (wall, cpu) = (Instant::now(), processor_seconds());
    let score: Score = if name == HESSBOOST {
        rival(train)?
    } else {
        let family: Family = name.parse().map_err(|_| anyhow!("there is no family {name}"))?;
        let rows: Vec<usize> = (0..train.len()).collect();
        let fitted = family::of(family, &Settings::default())
            .fit(Sample::of(train, &rows).into())
            .map_err(|error| anyhow!("{name}: {error}"))?;
        Box::new(move |data| Ok(data.rows().map(|row| fitted.scorer().score(&row)).collect()))
    };
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), processor_seconds() - cpu);
    Ok(Fit {
        wall,
        cpu,
        auc: metrics(&test.labels, &score(test)?, 0.5)[position(MetricName::RocAuc)],
        peak: peak_memory()?,
    })
}

/// Processor seconds of this process.
fn processor_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 * 1e-9
}

/// Peak memory of this process, in MiB.
fn peak_memory() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .context("/proc/self/status has no VmHWM")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

type Score = Box<dyn Fn(&Dataset) -> anyhow::Result<Vec<f64>>>;

/// Gradient boosting by hessboost with the parameters of XGBoost.
#[cfg(feature = "rivals")]
fn rival(train: &Dataset) -> anyhow::Result<Score> {
    use hessboost::prelude::{Iterations, Objective, RegLoss, TrainingParams, TreeMethod};

    let labels: Vec<f32> = train
        .labels
        .iter()
        .map(|label| f32::from(u8::from(*label)))
        .collect();
    let parameters = TrainingParams::builder()
        .objective(Objective::BinaryLogistic(RegLoss::default()))
        .tree_method(TreeMethod::Hist)
        .max_depth(6)
        .eta(0.3)
        .max_bin(256)
        .nthread(1)
        .build()?;
    let matrix = matrix_of(train)?.with_labels(&labels)?;
    let model = hessboost::prelude::train(&parameters, &matrix, 100)?;
    Ok(Box::new(move |data| {
        let found = model.predict(&matrix_of(data)?, Iterations::Best)?;
        Ok((0..data.len())
            .map(|row| f64::from(found.get(row, 0).copied().unwrap_or(f32::NAN)))
            .collect())
    }))
}

#[cfg(not(feature = "rivals"))]
fn rival(_: &Dataset) -> anyhow::Result<Score> {
    anyhow::bail!("built without hessboost: --features rivals")
}

/// The values by row, as hessboost needs them.
#[cfg(feature = "rivals")]
fn matrix_of(data: &Dataset) -> anyhow::Result<hessboost::prelude::DMatrix> {
    use modelward_model::Value;

    let number = |value| match value {
        Value::Number(number) => number,
        _ => f32::NAN,
    };
    let values: Vec<f32> = (0..data.len())
        .flat_map(|row| data.values(row).map(number))
        .collect();
    Ok(hessboost::prelude::DMatrix::from_dense_vec(
        values,
        data.len(),
        data.columns.len(),
    )?)
}
