//! `import`: a model that was trained elsewhere becomes a bundle.

mod files;
mod make;
mod request;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use modelward_wire::{Decimal, Digest, JobResult, JobStage, ManifestKind, MlflowVersion, Verdict};
use serde::Serialize;

use self::{
    files::read_files,
    make::{Checked, Made, make_bundle, verify},
    request::Request,
};
use crate::{
    command::{
        arguments::ImportArgs, interruption::Interruption, publish::report_result, temporary::Temporary,
    },
    data::source::SourceError,
    import::{ImportError, bundle::SampleMetrics, compare::Compared},
    ledger::Ledger,
    spec::{self, SpecError},
};

/// What a command prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    digest: Digest,
    model: &'a str,
    family: &'a str,
    format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mlflow: Option<&'a MlflowVersion>,
    threshold: &'a Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<&'a Compared>,
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

pub(super) async fn import_model(
    args: &ImportArgs,
    ledger: Option<&Ledger>,
    interruption: &Interruption,
) -> anyhow::Result<ExitCode> {
    let ended = import(args, ledger).await;
    let Some(ledger) = ledger else {
        return print_end(ended);
    };
    let result = match ended {
        Ok(made) => result_of(&made),
        Err(error) => match refusal_of(&error) {
            Some(verdict) => JobResult::new(JobStage::Import, verdict, format!("{error:#}")),
            None => return Err(error),
        },
    };
    report_result(&result, &args.publish, Some(ledger), interruption).await
}

async fn import(args: &ImportArgs, ledger: Option<&Ledger>) -> anyhow::Result<Made> {
    let spec = args.spec.as_deref().map(spec::read_import).transpose()?;
    let request = Request::new(args, spec)?;
    let temporary = Temporary::new()?;
    let files = read_files(args, &request, &args.publish.fetch(args.size), &temporary).await?;
    let out = args.out.clone().unwrap_or_else(|| temporary.join("bundle"));
    let dir = out.clone();
    let work = move || make_bundle(&request, &files, &out);
    let made = tokio::task::spawn_blocking(work)
        .await
        .context("the importing thread ended")??;
    if let Some(ledger) = ledger {
        ledger.publish(&dir, ManifestKind::Bundle).await?;
        let published = temporary.join("published");
        ledger.fetch(&made.digest, &published).await?;
        verify(&published, &made)?;
    }
    Ok(made)
}

/// The verdict for an error; none if it may be temporary.
fn refusal_of(error: &anyhow::Error) -> Option<Verdict> {
    error
        .chain()
        .find_map(|cause| {
            if cause.is::<ImportError>() {
                return Some(Verdict::DataInvalid);
            }
            match cause.downcast_ref()? {
                SourceError::NotFound { .. } | SourceError::NoKey { .. } | SourceError::NotAFile { .. } => {
                    Some(Verdict::DataNotFound)
                }
                SourceError::TooLarge { .. } | SourceError::Address { .. } | SourceError::Status { .. } => {
                    Some(Verdict::DataInvalid)
                }
                _ => None,
            }
        })
        .or_else(|| match error.chain().find_map(|cause| cause.downcast_ref())? {
            SpecError::Read { .. } => None,
            _ => Some(Verdict::SpecInvalid),
        })
}

/// Whether the model or its sample is refused.
fn is_refused(error: &anyhow::Error) -> bool {
    let refusal = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<ImportError>());
    refusal.is_some()
}

/// Prints the report to the standard output, without a ledger. Exits with 2 if the files are refused, and fails if they cannot be read.
fn print_end(ended: anyhow::Result<Made>) -> anyhow::Result<ExitCode> {
    let made = match ended {
        Ok(made) => made,
        Err(error) if is_refused(&error) => {
            tracing::error!("{error:#}");
            return Ok(ExitCode::from(2));
        }
        Err(error) => return Err(error),
    };
    let checked = made.checked.as_ref();
    let report = Report {
        digest: made.digest,
        model: &made.model,
        family: &made.family,
        format: &made.origin.format,
        mlflow: made.origin.mlflow.as_ref(),
        threshold: &made.threshold,
        compared: checked.map(|checked| &checked.compared),
        sample: checked
            .and_then(|checked| checked.metrics.as_ref())
            .map(SampleReport::from),
    };
    let text = serde_json::to_string_pretty(&report)?;
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn result_of(made: &Made) -> JobResult {
    let compared = match &made.checked {
        Some(Checked { compared, .. }) => format!(
            "{} rows of the sample score as expected, the largest difference is {:.1e}",
            compared.rows, compared.largest_difference
        ),
        None => "it has no sample; its warm-up rows score as they did where it was trained".to_owned(),
    };
    let message = format!("imported {} from {}: {compared}", made.family, made.origin.format);
    let mut result = JobResult::new(JobStage::Import, Verdict::Succeeded, message);
    result.digest = Some(made.digest);
    result.rows = Some(made.rows);
    result.family = Some(made.family.clone());
    result.threshold = Some(made.threshold.clone());
    result.imported = Some(made.origin.clone());
    result
}

// === impl SampleReport ===

impl From<&SampleMetrics> for SampleReport {
    fn from(metrics: &SampleMetrics) -> Self {
        Self {
            rows: metrics.rows,
            positive_rows: metrics.positive_rows,
            metrics: metrics
                .values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
        }
    }
}
