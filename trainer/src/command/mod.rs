//! What people and Jobs run: `snapshot`, `fit`, `prepare`, `score`, `import`, `inspect`, `validate`, `suggest`, `download`.
//!
//! | file | what it does |
//! |---|---|
//! | `snapshot`, `fit`, `prepare`, `score`, `import`, `inspect`, `download` | one command each |
//! | `expectations` | `validate` and `suggest` |
//! | `checks`, `baselines`, `verdict` | parts of them: the spec against the snapshot, what a model is compared with, the verdict |
//! | `agreement` | whether a snapshot was taken as the spec asks |
//! | `open_snapshot` | the snapshot that a fit reads |
//! | `trained` | the model that an image left |
//! | `publish` | reports the end |
//! | `interruption` | the end by a signal |
//! | `rounds` | the rounds of a search, kept in the ledger |

mod agreement;
mod arguments;
mod baselines;
mod checks;
mod download;
mod expectations;
mod fit;
mod import;
mod inspect;
mod interruption;
mod open_snapshot;
mod prepare;
mod public_dataset;
mod publish;
mod rounds;
mod score;
mod snapshot;
mod temporary;
mod threads;
mod trained;
mod verdict;

use std::process::ExitCode;

use modelward_wire::JobStage;

pub use self::{
    arguments::{
        Cli, DownloadArgs, FitArgs, ImportArgs, InspectArgs, PrepareArgs, PublishArgs, ScoreArgs, SizeArgs,
        SnapshotArgs, SuggestArgs, ValidateArgs,
    },
    interruption::{INTERRUPTED, Interruption},
    public_dataset::PublicDataset,
};
use crate::command::{
    arguments::Command,
    download::download_dataset,
    expectations::{suggest_expectations, validate_files},
    fit::fit_model,
    import::import_model,
    inspect::inspect_file,
    prepare::prepare_files,
    publish::report_result,
    score::score_rows,
    snapshot::take_snapshot,
};

/// Runs the command. The exit code of `snapshot`, `fit` and `import` with `--publish` is 0 if a result was recorded, whatever its verdict;
/// without it, 0 means `Succeeded` and 2 any other verdict. The code is 2 if `prepare` writes nothing because of the spec or the data,
/// `score` refused a row, `import` the model, `inspect` a column, or `validate` found a critical expectation that is not met. 1 is a
/// failure that may be temporary, and [`INTERRUPTED`] the end by a signal.
///
/// A signal that comes after the result is written leaves it there: see [`Interruption`].
pub async fn run(cli: Cli, interruption: &Interruption) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Snapshot(args) => {
            let ended = async {
                let ledger = args.publish.ledger()?;
                let result = take_snapshot(&args, ledger.as_ref()).await?;
                report_result(&result, &args.publish, ledger.as_ref(), interruption).await
            };
            let note = |error: &_| args.publish.note_failure(JobStage::Snapshot, error);
            ended.await.inspect_err(note)
        }
        Command::Fit(args) => {
            let ended = async {
                let ledger = args.publish.ledger()?;
                let result = fit_model(&args, ledger.as_ref(), interruption).await?;
                report_result(&result, &args.publish, ledger.as_ref(), interruption).await
            };
            let note = |error: &_| args.publish.note_failure(JobStage::Fit, error);
            ended.await.inspect_err(note)
        }
        Command::Prepare(args) => {
            let ended = async {
                let ledger = args.publish.ledger()?;
                prepare_files(&args, ledger.as_ref()).await
            };
            let note = |error: &_| args.publish.note_failure(JobStage::Fit, error);
            ended.await.inspect_err(note)
        }
        Command::Score(args) => score_rows(&args),
        Command::Import(args) => {
            let ended = async {
                let ledger = args.publish.ledger()?;
                import_model(&args, ledger.as_ref(), interruption).await
            };
            let note = |error: &_| args.publish.note_failure(JobStage::Import, error);
            ended.await.inspect_err(note)
        }
        Command::Inspect(args) => inspect_file(&args),
        Command::Validate(args) => validate_files(&args),
        Command::Suggest(args) => suggest_expectations(&args),
        Command::Download(args) => download_dataset(&args).await,
    }
}
