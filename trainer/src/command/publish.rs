//! How a command reports its end: to the ledger and in the termination message, or on the standard output.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use modelward_service::chain;
use modelward_wire::{JobResult, JobStage, Verdict, Violation, shorten};

use crate::{
    command::{
        arguments::{PublishArgs, SizeArgs},
        interruption::Interruption,
    },
    data::{
        reach::Reach,
        source::{Fetch, SourceError},
    },
    ledger::{self, Ledger, LedgerError},
};

/// Reports the end. With `--publish`, 0 means that the result was recorded, whatever its verdict; without, 0 means
/// `Succeeded` and 2 any other verdict.
pub(super) async fn report_result(
    result: &JobResult,
    publish: &PublishArgs,
    ledger: Option<&Ledger>,
    interruption: &Interruption,
) -> anyhow::Result<ExitCode> {
    let verdict = result.verdict;
    if verdict == Verdict::Succeeded {
        tracing::info!(?verdict, "{}", result.message);
    } else {
        tracing::warn!(?verdict, "{}", result.message);
    }
    for violation in result.violations.iter().chain(&result.warnings) {
        let Violation {
            column,
            rule,
            message,
            count,
            example_row,
        } = violation;
        tracing::warn!(column, rule, count, example_row, "{message}");
    }
    let Some(ledger) = ledger else {
        print_json(result)?;
        return Ok(if verdict == Verdict::Succeeded {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        });
    };
    let written = interruption.write_result(&publish.termination_log, result);
    let recorded = ledger.put_result(result).await;
    // One of the two is enough for the operator.
    if let Err(error) = &recorded {
        tracing::warn!(error = chain(error), "the ledger did not record the result");
    }
    if let Err(error) = &written {
        tracing::warn!(%error, path = %publish.termination_log.display(), "the termination message was not written");
    }
    match (written, recorded) {
        (Err(_), Err(error)) => Err(error).context("the result was recorded nowhere"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn print_json(result: &JobResult) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(result)?;
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

// === impl PublishArgs ===

impl PublishArgs {
    /// How datasets are fetched, and from where. A Job restricts the addresses, because other users chose them.
    pub(super) fn fetch(&self, size: SizeArgs) -> Fetch {
        let reach = if self.publish {
            Reach::of_job(
                self.allow_sources.clone(),
                self.deny_sources.clone(),
                self.ledger_url.as_deref(),
            )
        } else {
            Reach::anywhere()
        };
        Fetch {
            cache: self.cache.clone(),
            max_bytes: size.bytes(),
            ..Fetch::within(reach)
        }
    }

    /// The ledger to report to, if that was requested.
    pub(super) fn ledger(&self) -> anyhow::Result<Option<Ledger>> {
        if !self.publish {
            return Ok(None);
        }
        let need = |value: &Option<String>, name: &str| {
            value
                .clone()
                .filter(|value| !value.is_empty())
                .with_context(|| format!("--publish needs {name}"))
        };
        let config = ledger::Config {
            url: need(&self.ledger_url, "MODELWARD_LEDGER_URL")?,
            namespace: need(&self.namespace, "MODELWARD_NAMESPACE")?,
            job_uid: need(&self.job_uid, "MODELWARD_JOB_UID")?,
            token_file: self.ledger_token_file.clone(),
        };
        Ok(Some(Ledger::new(config)?))
    }

    /// Writes the reason of a failed Job where its status shows it. This is not a result: the Job is tried again.
    pub(super) fn note_failure(&self, stage: JobStage, error: &anyhow::Error) {
        if !self.publish {
            return;
        }
        let reason = shorten(&format!("{error:#}"), 900);
        // The operator reads whether the Job failed or could not reach what it needs; users read why.
        let unreachable = is_unreachable(error).then(|| {
            let result = JobResult::new(stage, Verdict::Unreachable, reason.clone()).abridged();
            serde_json::to_string(&result).ok()
        });
        let reason = unreachable.flatten().unwrap_or(reason);
        if let Err(error) = std::fs::write(&self.termination_log, reason) {
            tracing::warn!(%error, path = %self.termination_log.display(), "the termination message was not written");
        }
    }
}

/// Whether the ledger or a data source did not answer, so that nothing is known about the data.
fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let ledger = cause.downcast_ref::<LedgerError>();
        let source = cause.downcast_ref::<SourceError>();
        ledger.is_some_and(|error| matches!(error, LedgerError::Unreachable { .. }))
            || source.is_some_and(|error| matches!(error, SourceError::Unreachable { .. }))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_did_not_answer_is_kept_apart_from_what_is_wrong() {
        let away = LedgerError::Unreachable {
            what: "uploading data.parquet".to_owned(),
            waited: Duration::from_mins(2),
            reason: "dns error".to_owned(),
        };
        assert!(is_unreachable(&anyhow::Error::from(away).context("publishing")));
        let source = SourceError::Unreachable {
            name: "https://example.com/x.csv".to_owned(),
            reason: "timed out".to_owned(),
        };
        assert!(is_unreachable(&source.into()));
        let refused = LedgerError::Refused {
            what: "uploading data.parquet".to_owned(),
            status: reqwest::StatusCode::PAYLOAD_TOO_LARGE,
            message: "too large".to_owned(),
        };
        assert!(!is_unreachable(&refused.into()));
    }
}
