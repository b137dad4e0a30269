//! The champion and the window that a new version is compared with.

use anyhow::{Context as _, bail};
use modelward_crds::{AcceptedWindow, Champion, TrainingSource};
use modelward_service::chain;

use crate::{
    command::{arguments::FitArgs, temporary::Temporary},
    data::snapshot::Snapshot,
    fit::{compare::Opponent, reference::Window},
    ledger::Ledger,
};

/// The largest file of a window's counts, which has a few kilobytes per feature.
const MAX_WINDOW_BYTES: u64 = 64 << 20;

/// What a new version is compared with.
#[derive(Debug, Default)]
pub(super) struct Baselines {
    pub(super) champion: Option<Opponent>,
    pub(super) window: Option<Window>,
}

/// The champion and the window that the spec names; the inner result says why they cannot be used.
pub(super) async fn load_baselines(
    args: &FitArgs,
    training: &TrainingSource,
    snapshot: &Snapshot,
    ledger: Option<&Ledger>,
    temporary: &Temporary,
) -> anyhow::Result<Result<Baselines, String>> {
    let mut baselines = Baselines::default();
    if let Some(named) = &training.not_worse_than {
        match load_champion(args, named, snapshot, ledger, temporary).await? {
            Ok(champion) => baselines.champion = Some(champion),
            Err(message) => return Ok(Err(message)),
        }
    }
    if let Some(accepted) = &training.reference {
        match load_window(args, accepted, snapshot, ledger).await? {
            Ok(window) => baselines.window = Some(window),
            Err(message) => return Ok(Err(message)),
        }
    }
    Ok(Ok(baselines))
}

async fn load_champion(
    args: &FitArgs,
    named: &Champion,
    snapshot: &Snapshot,
    ledger: Option<&Ledger>,
    temporary: &Temporary,
) -> anyhow::Result<Result<Opponent, String>> {
    let dir = match (&args.champion, ledger) {
        (Some(dir), _) => dir.clone(),
        (None, Some(ledger)) => {
            let dir = temporary.join("champion");
            match ledger.fetch(&named.bundle, &dir).await {
                Ok(()) => dir,
                Err(error) if error.is_not_found() => {
                    return Ok(Err(format!(
                        "notWorseThan names the bundle {} of {}, which is not in the artifact store",
                        named.bundle, named.version
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        (None, None) => bail!("the spec names a champion; name the directory of its bundle with --champion"),
    };
    let files = snapshot.info.rows_of_files();
    let opened = Opponent::open(&dir, named, &snapshot.info.target, &snapshot.data, files);
    Ok(opened.map_err(|error| format!("notWorseThan cannot be judged: {}", chain(&error))))
}

async fn load_window(
    args: &FitArgs,
    accepted: &AcceptedWindow,
    snapshot: &Snapshot,
    ledger: Option<&Ledger>,
) -> anyhow::Result<Result<Window, String>> {
    let bytes = match (&args.window, ledger) {
        (Some(file), _) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        (None, Some(ledger)) => match ledger.fetch_blob(&accepted.counts, MAX_WINDOW_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => {
                return Ok(Err(format!(
                    "reference names the counts {}, which are not in the artifact store",
                    accepted.counts
                )));
            }
            Err(error) => return Err(error.into()),
        },
        (None, None) => bail!("the spec names an accepted window; name the file of its counts with --window"),
    };
    let read = Window::read(&bytes, accepted, &snapshot.data.schema);
    Ok(read.map_err(|error| format!("reference cannot be used: {}", chain(&error))))
}
