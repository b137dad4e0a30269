//! `import`: a model that was trained elsewhere becomes a bundle.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use modelward_crds::{CsvFormat, Target, TrainingSource};
use modelward_model::{Bundle, DirBuilder, TargetInfo, normalize_name, sha256};
use modelward_service::chain;
use modelward_wire::{Decimal, Digest, ManifestKind};
use serde::Serialize;

use crate::{
    command::arguments::ImportArgs,
    data::{file as data_file, source, table::Table, violation::Quote},
    fit::threshold::ThresholdRule,
    import::{
        ImportError, Loaded, OutlineEntry, Tolerance,
        bundle::{Description, SampleMetrics, build, measure},
        compare::{Compared, compare_scores},
        detect::detect_format,
        sample::{Columns, MAX_BYTES, Sample},
    },
    spec::{self, Spec},
};

/// No model file is read that is larger.
const MAX_MODEL_BYTES: u64 = 1 << 30;

/// What a command prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    digest: Digest,
    model: String,
    family: String,
    format: &'static str,
    threshold: Decimal,
    compared: Compared,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<SampleReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SampleReport {
    rows: usize,
    positive_rows: usize,
    metrics: serde_json::Map<String, serde_json::Value>,
}

pub(super) fn import_model(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let report = match import(args) {
        Ok(report) => report,
        Err(error) => {
            // The same files would be refused again, unlike one that cannot be read now.
            let is_refused = error
                .chain()
                .any(|cause| cause.downcast_ref::<ImportError>().is_some());
            if !is_refused {
                return Err(error);
            }
            tracing::error!("{error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let text = serde_json::to_string_pretty(&report)?;
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn import(args: &ImportArgs) -> anyhow::Result<Report> {
    let spec = args.spec.as_deref().map(spec::read).transpose()?;
    let training = spec.as_ref().map(|spec| &spec.training);
    if args.model.is_dir() {
        return import_directory(args, training);
    }
    let name = find_name(args, spec.as_ref())?;
    let threshold = find_threshold(args, training)?;
    let target = find_target(args, training);
    let bytes = read_bounded(&args.model, MAX_MODEL_BYTES)?;
    let format = detect_format(&bytes)?;
    let outline = format.outline(&bytes)?;
    let (sample, sample_digest) = read_sample(args, training, target.as_ref(), &outline)?;
    let loaded = format.load(&bytes, &sample.schema)?;
    let (scores, compared) = compare_scores(&sample, &loaded)?;
    let description = Description {
        model: &name,
        threshold: threshold.clone(),
        target: target_info(target.as_ref(), &loaded),
        format: format.name(),
        file: sha256(&bytes),
        sample: sample_digest,
    };
    let files = build(&description, &sample, &loaded, &scores, &compared)?;
    let (_, digest) = files.write(&args.out)?;
    verify(&args.out, &digest, &sample, &scores)?;
    Ok(Report {
        digest,
        model: name,
        family: loaded.family.to_owned(),
        format: format.name(),
        sample: measure(&sample, &scores, &threshold).map(SampleReport::from),
        threshold,
        compared,
    })
}

/// A bundle is verified and scored, and copied as it is, with its digest.
fn import_directory(args: &ImportArgs, training: Option<&TrainingSource>) -> anyhow::Result<Report> {
    if args.model.join("saved_model.pb").is_file() {
        let what = "the model is a SavedModel of TensorFlow: its graph is a program; train a tree model or a linear model, and export it \
                    with skl2onnx.to_onnx";
        return Err(ImportError::Refused(what.to_owned()).into());
    }
    let refused = |error: &dyn std::error::Error| {
        ImportError::Refused(format!(
            "the directory {} is no bundle that can be served: {}",
            args.model.display(),
            chain(error)
        ))
    };
    let bundle = Bundle::open_any(&args.model).map_err(|error| refused(&error))?;
    bundle.verify_warm_up().map_err(|error| refused(&error))?;
    ensure!(
        args.name.is_none() && args.threshold.is_none(),
        "a bundle keeps its name {} and its threshold {}: leave --name and --threshold out",
        bundle.info().model,
        bundle.info().threshold
    );
    let outline: Vec<OutlineEntry> = bundle.schema().features.iter().map(OutlineEntry::from).collect();
    let target = find_target(args, training);
    let (mut sample, _) = read_sample(args, training, target.as_ref(), &outline)?;
    sample.schema = bundle.schema().clone();
    let loaded = Loaded {
        family: "",
        scorer: Box::new(bundle.clone()),
        trees: None,
        positive_label: None,
        files: Vec::new(),
        tolerance: Tolerance::LastPlace,
    };
    let (scores, compared) = compare_scores(&sample, &loaded)?;
    let mut files = DirBuilder::new(ManifestKind::Bundle);
    for entry in &bundle.manifest().files {
        let bytes = source::read_file(&args.model.join(&entry.path))?;
        files = files.with(&entry.path, bytes);
    }
    let (_, digest) = files.write(&args.out)?;
    ensure!(
        digest == bundle.digest(),
        "the bundle {} changed while it was copied",
        args.model.display()
    );
    verify(&args.out, &digest, &sample, &scores)?;
    let info = bundle.info();
    Ok(Report {
        digest,
        model: info.model.clone(),
        family: info.family.clone(),
        format: "Modelward bundle",
        sample: measure(&sample, &scores, &info.threshold).map(SampleReport::from),
        threshold: info.threshold.clone(),
        compared,
    })
}

fn find_name(args: &ImportArgs, spec: Option<&Spec>) -> anyhow::Result<String> {
    let name = args.name.as_ref().or(spec.map(|spec| &spec.model));
    let name = name.context("--name or --spec is needed: of which model is it a version?")?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_valid = name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c != '-')
        && name.chars().all(is_allowed);
    ensure!(
        is_valid,
        "the name {name:?} is not valid: write at most 40 lower-case letters, digits and '-', starting with a letter"
    );
    Ok(name.clone())
}

fn find_threshold(args: &ImportArgs, training: Option<&TrainingSource>) -> anyhow::Result<Decimal> {
    let threshold = match (&args.threshold, training) {
        (Some(text), _) => text
            .parse()
            .map_err(|_| anyhow::anyhow!("--threshold {text:?} is not a decimal number"))?,
        (None, training) => {
            match ThresholdRule::new(training.and_then(|training| training.threshold.as_ref())) {
                ThresholdRule::Value(value) => value,
                _ => bail!(
                    "threshold.maximise and threshold.cost are learnt from folds, which an imported model does not have: set \
                 threshold.value or --threshold"
                ),
            }
        }
    };
    ensure!(
        (0.0..=1.0).contains(&threshold.to_f64()),
        "the threshold {threshold} is not within 0 and 1"
    );
    Ok(threshold)
}

fn find_target(args: &ImportArgs, training: Option<&TrainingSource>) -> Option<Target> {
    let given = args.target.as_ref().map(|column| Target {
        column: normalize_name(column).into_owned(),
        positive_when: None,
        negative_values: Vec::new(),
    });
    given.or_else(|| training.map(|training| training.target.clone()))
}

/// What a bundle says that it predicts.
fn target_info(target: Option<&Target>, loaded: &Loaded) -> TargetInfo {
    match (target, &loaded.positive_label) {
        (Some(target), _) => TargetInfo {
            column: target.column.clone(),
            positive_when: spec::positive_when(target),
        },
        (None, label) => TargetInfo {
            column: "class".to_owned(),
            positive_when: format!("class is {}", label.as_deref().unwrap_or("1")),
        },
    }
}

/// The rows of the sample, and the sha256 of its file.
fn read_sample(
    args: &ImportArgs,
    training: Option<&TrainingSource>,
    target: Option<&Target>,
    outline: &[OutlineEntry],
) -> anyhow::Result<(Sample, Digest)> {
    let bytes = read_bounded(&args.sample, MAX_BYTES)?;
    let default = CsvFormat::default();
    let csv = training.map_or(&default, |training| &training.dataset.csv);
    let table = read_table(&bytes, csv)?;
    if let Some(column) = &args.target
        && !table.columns.contains(&normalize_name(column).into_owned())
    {
        let what = format!(
            "the sample has no column {column:?}, which --target names; it has {}",
            table.columns.join(", ")
        );
        return Err(ImportError::Refused(what).into());
    }
    let mut exclude: Vec<String> = args
        .exclude
        .iter()
        .map(|name| normalize_name(name).into_owned())
        .collect();
    exclude.extend(
        training
            .iter()
            .flat_map(|training| training.exclude.iter().cloned()),
    );
    let columns = Columns {
        csv: Some(csv),
        target,
        features: training.map_or(&[], |training| &training.features),
        exclude: &exclude,
        expected: args.expected.as_deref(),
        raw: args.expected_raw.as_deref(),
    };
    let sample = Sample::read(&table, outline, &columns)?;
    if sample.warnings > 0 {
        tracing::warn!(
            warnings = sample.warnings,
            "values of the sample are outside the ranges of training, or are unknown categories"
        );
    }
    Ok((sample, sha256(&bytes)))
}

fn read_table(bytes: &[u8], csv: &CsvFormat) -> Result<Table, ImportError> {
    let (table, violations) = data_file::read(bytes, csv, Quote::Yes);
    match violations.first() {
        None => Ok(table),
        Some(violation) => Err(ImportError::Refused(format!("the sample: {}", violation.message))),
    }
}

fn read_bounded(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    if bytes > most {
        let what = format!("{} has {bytes} bytes, at most {most} are read", path.display());
        return Err(ImportError::Refused(what).into());
    }
    Ok(source::read_file(path)?)
}

/// Opens the bundle as the server would, and scores every row of the sample.
fn verify(dir: &Path, digest: &Digest, sample: &Sample, scores: &[f64]) -> anyhow::Result<()> {
    let bundle = Bundle::open(dir, digest).context("the bundle that was written cannot be opened")?;
    bundle
        .verify_warm_up()
        .context("the bundle that was written does not score alike")?;
    for (index, (row, expected)) in sample.rows.iter().zip(scores).enumerate() {
        let found = bundle.score(row);
        ensure!(
            found.to_bits() == expected.to_bits(),
            "the bundle scores row {} as {found:e}, the import as {expected:e}",
            sample.numbers[index]
        );
    }
    Ok(())
}

// === impl SampleReport ===

impl From<SampleMetrics> for SampleReport {
    fn from(metrics: SampleMetrics) -> Self {
        Self {
            rows: metrics.rows,
            positive_rows: metrics.positive_rows,
            metrics: metrics
                .values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        }
    }
}
