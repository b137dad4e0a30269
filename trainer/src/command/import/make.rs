//! From the files of an import to the files of a bundle.

use std::path::Path;

use anyhow::{Context as _, ensure};
use modelward_crds::Target;
use modelward_model::{Bundle, DirBuilder, TargetInfo, sha256};
use modelward_service::chain;
use modelward_wire::{Decimal, Digest, ImportRecord, ManifestKind};

use crate::{
    command::import::{
        files::{Files, Model, SampleFile},
        request::Request,
    },
    data::{
        file as data_file,
        source::{self, LARGEST_MIB},
        violation::Quote,
    },
    import::{
        ImportError, Loaded, OutlineEntry, Tolerance,
        bundle::{Description, SampleMetrics, build, measure},
        compare::{Compared, compare_scores},
        detect::detect_format,
        sample::{Columns, Sample},
    },
    spec,
};

/// The name of the format of a bundle.
const BUNDLE: &str = "Modelward bundle";

/// A bundle that was written and verified.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) digest: Digest,
    pub(super) model: String,
    pub(super) family: String,
    pub(super) threshold: Decimal,
    /// Rows that traffic is compared with.
    pub(super) rows: u64,
    /// What it was made of.
    pub(super) origin: ImportRecord,
    /// The rows that were compared with their scores; a bundle may have none.
    pub(super) checked: Option<Checked>,
}

/// A sample whose rows score as expected.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) compared: Compared,
    pub(super) metrics: Option<SampleMetrics>,
    sample: Sample,
    scores: Vec<f64>,
}

/// Checks the model with its sample, and writes the bundle to `out`.
pub(super) fn make_bundle(request: &Request, files: &Files, out: &Path) -> anyhow::Result<Made> {
    match &files.model {
        Model::File(bytes) => of_file(request, files, bytes, out),
        Model::Folder(folder) => of_folder(request, files, folder, out),
    }
}

fn of_file(request: &Request, files: &Files, bytes: &[u8], out: &Path) -> anyhow::Result<Made> {
    let name = request.valid_name()?;
    let format = detect_format(bytes)?;
    let outline = format.outline(bytes)?;
    let Some(given) = &files.sample else {
        let what = "a model file needs a sample of rows with the scores that the model gives them: set --sample, or source.artifact.sample in the spec";
        return Err(ImportError::Refused(what.to_owned()).into());
    };
    let sample = read_sample(request, given, &outline)?;
    let loaded = format.load(bytes, &sample.schema)?;
    let (scores, compared) = compare_scores(&sample, &loaded)?;
    let origin = ImportRecord {
        format: format.name().to_owned(),
        file: sha256(bytes),
        sample: Some(sha256(&given.bytes)),
        mlflow: files.mlflow.clone(),
    };
    let description = Description {
        model: name,
        threshold: request.threshold.clone(),
        target: target_info(request.target.as_ref(), &loaded),
        format: format.name(),
        file: origin.file,
        sample: sha256(&given.bytes),
    };
    let built = build(&description, &sample, &loaded, &scores, &compared)?;
    let (_, digest) = built.write(out)?;
    let checked = Checked {
        metrics: measure(&sample, &scores, &request.threshold),
        compared,
        sample,
        scores,
    };
    let made = Made {
        digest,
        model: name.to_owned(),
        family: loaded.family.to_owned(),
        threshold: request.threshold.clone(),
        rows: checked.sample.rows.len() as u64,
        origin,
        checked: Some(checked),
    };
    verify(out, &made)?;
    Ok(made)
}

/// A bundle is verified and scored, and copied as it is, with its digest.
fn of_folder(request: &Request, files: &Files, folder: &Path, out: &Path) -> anyhow::Result<Made> {
    if folder.join("saved_model.pb").is_file() {
        let what = "the model is a SavedModel of TensorFlow: its graph is a program; train a tree model or a linear model, and export it \
                    with skl2onnx.to_onnx";
        return Err(ImportError::Refused(what.to_owned()).into());
    }
    let refused = |error: &dyn std::error::Error| {
        ImportError::Refused(format!(
            "the directory {} is not a bundle that can be served: {}",
            files.name,
            chain(error)
        ))
    };
    let bundle = Bundle::open_any(folder).map_err(|error| refused(&error))?;
    bundle.verify_warm_up().map_err(|error| refused(&error))?;
    ensure!(
        !request.renames,
        "a bundle keeps its name {} and its threshold {}: leave --name and --threshold out",
        bundle.info().model,
        bundle.info().threshold
    );
    let info = bundle.info();
    let checked = match &files.sample {
        Some(given) => Some(check_bundle(request, given, &bundle)?),
        None => None,
    };
    let mut copy = DirBuilder::new(ManifestKind::Bundle);
    for entry in &bundle.manifest().files {
        let bytes = source::read_file_within(&folder.join(&entry.path), LARGEST_MIB << 20)?;
        copy = copy.with(&entry.path, bytes);
    }
    let (_, digest) = copy.write(out)?;
    ensure!(
        digest == bundle.digest(),
        "the bundle {} changed while it was copied",
        files.name
    );
    let made = Made {
        digest,
        model: info.model.clone(),
        family: info.family.clone(),
        threshold: info.threshold.clone(),
        rows: info.rows,
        origin: ImportRecord {
            format: BUNDLE.to_owned(),
            file: digest,
            sample: files.sample.as_ref().map(|given| sha256(&given.bytes)),
            mlflow: files.mlflow.clone(),
        },
        checked,
    };
    verify(out, &made)?;
    Ok(made)
}

fn check_bundle(request: &Request, given: &SampleFile, bundle: &Bundle) -> anyhow::Result<Checked> {
    let outline: Vec<OutlineEntry> = bundle.schema().features.iter().map(OutlineEntry::from).collect();
    let mut sample = read_sample(request, given, &outline)?;
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
    Ok(Checked {
        metrics: measure(&sample, &scores, &bundle.info().threshold),
        compared,
        sample,
        scores,
    })
}

/// The target that a bundle states.
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

fn read_sample(
    request: &Request,
    given: &SampleFile,
    outline: &[OutlineEntry],
) -> Result<Sample, ImportError> {
    let (table, violations) = data_file::read(&given.bytes, &request.csv, given.quote);
    if let Some(violation) = violations.first() {
        return Err(ImportError::Refused(format!("the sample: {}", violation.message)));
    }
    if let Some(target) = request.target.as_ref().filter(|_| request.needs_target)
        && !table.columns.contains(&target.column)
    {
        return Err(ImportError::Refused(format!(
            "the sample has no column {:?}, which --target names; it has {}",
            target.column,
            match given.quote {
                Quote::Yes => table.columns.join(", "),
                Quote::No => "others".to_owned(),
            }
        )));
    }
    let columns = Columns {
        csv: Some(&request.csv),
        target: request.target.as_ref(),
        features: &request.features,
        exclude: &request.exclude,
        expected: request.expected.as_deref(),
        raw: request.expected_raw.as_deref(),
        quote: given.quote,
    };
    let sample = Sample::read(&table, outline, &columns)?;
    if sample.warnings > 0 {
        tracing::warn!(
            warnings = sample.warnings,
            "values of the sample are outside the ranges of training, or are unknown categories"
        );
    }
    Ok(sample)
}

/// Opens the bundle as the server would, and scores every row of the sample.
pub(super) fn verify(dir: &Path, made: &Made) -> anyhow::Result<()> {
    let bundle = Bundle::open(dir, &made.digest).context("the bundle that was written cannot be opened")?;
    bundle
        .verify_warm_up()
        .context("the bundle that was written gives other scores")?;
    let Some(Checked { sample, scores, .. }) = &made.checked else {
        return Ok(());
    };
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
