//! What people and Jobs run: `snapshot`, `fit`, `score`.

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand};
use modelward_crds::{CsvFormat, FeatureKind as SpecKind, Networks, TrainingSource};
use modelward_model::{Bundle, Cell, FeatureKind, Row, Warning};
use modelward_wire::{Digest, GateBound, JobResult, JobStage, ManifestKind, Progress, Verdict, Violation};
use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    data::{
        freeze::{Frozen, freeze, invalid, target_info},
        near::did_you_mean,
        number,
        reach::Reach,
        snapshot::{self, Snapshot},
        source::{self, SourceError},
        table,
        violation::violation,
    },
    fit::{
        bundle::{self, Extras},
        compare::Opponent,
        reference::Window,
        train::{self, Plan, Step, TrainError, Trained},
    },
    ledger::{self, Ledger, LedgerError},
    report::{self, Meter},
    spec::{self, Spec, SpecError},
};

/// With fewer rows than this, a gate that failed says little about the model.
const ENOUGH_ROWS: usize = 50;

/// The same for rows of each class.
const ENOUGH_OF_A_CLASS: usize = 10;

/// The counts of a window have a few kilobytes a feature.
const MAX_WINDOW_BYTES: u64 = 64 << 20;

/// Trains a model and writes a bundle.
#[derive(Debug, Parser)]
#[command(name = "modelward-trainer", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read and check the data, and freeze it as a snapshot.
    Snapshot(SnapshotArgs),
    /// Train on a snapshot and write a bundle.
    Fit(FitArgs),
    /// Score rows with a bundle, with one JSON line per row.
    Score(ScoreArgs),
}

/// Arguments of `snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// The `ModelVersion`, YAML or JSON.
    #[arg(long)]
    pub spec: PathBuf,
    /// A CSV file; once for each dataset of the spec that is not an address, in their order. Addresses in the spec are read
    /// unless there is a file for every dataset.
    #[arg(long)]
    pub source: Vec<PathBuf>,
    /// Directory to write the snapshot to; an existing snapshot there is replaced.
    #[arg(long, required_unless_present = "publish")]
    pub out: Option<PathBuf>,
    /// Where and whether to report.
    #[command(flatten)]
    pub publish: PublishArgs,
}

/// Arguments of `fit`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("data").required(true).args(["snapshot", "snapshot_dir", "source"]))]
pub struct FitArgs {
    /// The `ModelVersion`, YAML or JSON.
    #[arg(long)]
    pub spec: PathBuf,
    /// Digest of a snapshot in the ledger.
    #[arg(long, requires = "publish")]
    pub snapshot: Option<Digest>,
    /// Directory of a snapshot.
    #[arg(long)]
    pub snapshot_dir: Option<PathBuf>,
    /// A CSV file, which is checked and frozen first; once for each dataset, as in `snapshot`.
    #[arg(long)]
    pub source: Vec<PathBuf>,
    /// Directory of the bundle that notWorseThan names. If absent, it is fetched from the ledger.
    #[arg(long)]
    pub champion: Option<PathBuf>,
    /// File of the counts that reference names. If absent, they are fetched from the ledger.
    #[arg(long)]
    pub window: Option<PathBuf>,
    /// Directory to write the bundle to; an existing bundle there is replaced.
    #[arg(long, required_unless_present = "publish")]
    pub out: Option<PathBuf>,
    /// Number of threads that evaluate folds; the result does not depend on it. Default: the available processors.
    #[arg(long, env = "MODELWARD_THREADS")]
    pub threads: Option<usize>,
    /// Where and whether to report.
    #[command(flatten)]
    pub publish: PublishArgs,
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
    /// Ranges of addresses that a Job may read datasets from although they are loopback, link-local or a metadata service:
    /// such as 127.0.0.0/8, separated by commas. Without `--publish` every address may be read.
    #[arg(long, env = "MODELWARD_ALLOW_SOURCES", default_value = "")]
    pub allow_sources: Networks,
    /// Further ranges that a Job may not read datasets from, such as those of the cluster's Services and Pods. `--allow-sources`
    /// takes precedence.
    #[arg(long, env = "MODELWARD_DENY_SOURCES", default_value = "")]
    pub deny_sources: Networks,
    /// File of the termination message; written with `--publish` only.
    #[arg(
        long,
        env = "MODELWARD_TERMINATION_LOG",
        default_value = "/dev/termination-log"
    )]
    pub termination_log: PathBuf,
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
    /// CSV file in the format of the spec, or with a header and commas. Columns that are not features are ignored.
    #[arg(long)]
    pub csv: Option<PathBuf>,
    /// The `ModelVersion` with the format of the CSV file.
    #[arg(long, requires = "csv")]
    pub spec: Option<PathBuf>,
}

/// One line of `score`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Scored {
        class: u8,
        probability: f64,
        warnings: Vec<String>,
    },
    Refused {
        errors: Vec<String>,
    },
}

/// Runs what the command line says. The code of `snapshot` and `fit` with `--publish` is 0 where a result was
/// recorded, whatever its verdict; without it, 0 means `Succeeded` and 2 any other verdict. `score` returns 2 where a
/// row was refused. 1 is a failure that may pass.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Snapshot(args) => {
            let ended = async {
                let ledger = args.publish.ledger()?;
                let result = run_snapshot(&args, ledger.as_ref()).await?;
                finish(&result, &args.publish, ledger.as_ref()).await
            };
            let note = |error: &_| args.publish.note_failure(JobStage::Snapshot, error);
            ended.await.inspect_err(note)
        }
        Command::Fit(args) => {
            let ended = async {
                let ledger = args.publish.ledger()?;
                let result = run_fit(&args, ledger.as_ref()).await?;
                finish(&result, &args.publish, ledger.as_ref()).await
            };
            let note = |error: &_| args.publish.note_failure(JobStage::Fit, error);
            ended.await.inspect_err(note)
        }
        Command::Score(args) => score(&args),
    }
}

/// Reports the end. With `--publish`, 0 means that the result was recorded, whatever its verdict; without, 0 means
/// `Succeeded` and 2 any other verdict.
async fn finish(
    result: &JobResult,
    publish: &PublishArgs,
    ledger: Option<&Ledger>,
) -> anyhow::Result<ExitCode> {
    let verdict = result.verdict;
    if verdict == Verdict::Succeeded {
        tracing::info!(?verdict, "{}", result.message);
    } else {
        tracing::warn!(?verdict, "{}", result.message);
    }
    for violation in &result.violations {
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
    let written = report::write_termination(&publish.termination_log, result);
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

// === snapshot ===

async fn run_snapshot(args: &SnapshotArgs, ledger: Option<&Ledger>) -> anyhow::Result<JobResult> {
    let version = match read_spec(&args.spec, JobStage::Snapshot)? {
        Ok(version) => version,
        Err(result) => return Ok(result),
    };
    let training = &version.training;
    let (builder, rows, sources) = match freeze(&version, &args.source, &args.publish.reach()).await? {
        Frozen::Built(builder, rows, sources) => (builder, rows, sources),
        Frozen::Ended(result) => return Ok(result),
    };
    let digest = builder.manifest()?.2;
    if let Some(result) = other_snapshot(training, &digest, JobStage::Snapshot) {
        return Ok(result);
    }
    let temporary = Temporary::new()?;
    let dir = args.out.clone().unwrap_or_else(|| temporary.join("snapshot"));
    let (_, digest) = builder.write(&dir)?;
    if let Some(ledger) = ledger {
        ledger.publish(&dir, ManifestKind::Snapshot).await?;
    }
    let names: Vec<String> = training.datasets().map(spec::source_name).collect();
    let message = format!("froze {rows} rows of {} as {}", names.join(" + "), digest.short());
    let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, message);
    result.digest = Some(digest);
    result.rows = Some(rows);
    result.sources = sources;
    Ok(result)
}

// === fit ===

async fn run_fit(args: &FitArgs, ledger: Option<&Ledger>) -> anyhow::Result<JobResult> {
    let version = match read_spec(&args.spec, JobStage::Fit)? {
        Ok(version) => version,
        Err(result) => return Ok(result),
    };
    let training = &version.training;
    let temporary = Temporary::new()?;
    let snapshot = match open_snapshot(args, &version, ledger, &temporary).await? {
        Ok(snapshot) => snapshot,
        Err(mut result) => {
            result.stage = JobStage::Fit;
            return Ok(result);
        }
    };
    let other = other_snapshot(training, &snapshot.digest, JobStage::Fit);
    if let Some(result) = other.or_else(|| contradiction(&version, &snapshot)) {
        return Ok(result);
    }

    let opposed = match oppose(args, training, &snapshot, ledger, &temporary).await? {
        Ok(opposed) => opposed,
        Err(message) => return Ok(JobResult::new(JobStage::Fit, Verdict::SpecInvalid, message)),
    };

    let plan = Plan::new(training);
    let meter = Arc::new(Meter::new());
    let publisher = ledger.map(|ledger| meter.publish_to(ledger.clone()));
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .max(1);
    let trained = {
        let (data, plan, meter) = (snapshot.data.clone(), plan.clone(), Arc::clone(&meter));
        let work = move || train::train(&data, &plan, threads, &|step| show_step(&meter, step));
        tokio::task::spawn_blocking(work)
            .await
            .context("the training thread ended")?
    };
    let trained = match trained {
        Ok(trained) => trained,
        // The same data would fail again: this is an answer, not an accident.
        Err(error @ (TrainError::Fold { .. } | TrainError::Whole { .. } | TrainError::Metric { .. })) => {
            let mut result = invalid(vec![violation("", "Fit", chain(&error), 1, None)]);
            result.stage = JobStage::Fit;
            return Ok(result);
        }
        Err(error) => return Err(error.into()),
    };

    let (trained, opposed, comparison) = {
        let (labels, plan, meter) = (snapshot.data.labels.clone(), plan.clone(), Arc::clone(&meter));
        let work = move || {
            let comparison = opposed.champion.as_ref().map(|champion| {
                meter.at("comparing with the champion", 91);
                let candidate = &trained.candidates[trained.selected];
                champion.compare(&labels, candidate, plan.select_by, plan.seed)
            });
            (trained, opposed, comparison.transpose())
        };
        let ended = tokio::task::spawn_blocking(work).await;
        ended.context("the comparing thread ended")?
    };
    let comparison = comparison?;

    meter.at("writing the bundle", 92);
    let extras = Extras {
        training: Some(spec::training_digest(training)?),
        comparison: comparison.as_ref(),
        window: opposed.window.as_ref(),
        new_rows: opposed.champion.as_ref().map_or(&[], Opponent::new_rows),
    };
    let gates = &training.gates;
    let builder = bundle::build(&version.model, &snapshot, &plan, gates, &trained, extras)?;
    let dir = args.out.clone().unwrap_or_else(|| temporary.join("bundle"));
    let (_, digest) = builder.write(&dir)?;
    let verified = match ledger {
        None => dir,
        Some(ledger) => {
            meter.at("publishing the bundle", 94);
            ledger.publish(&dir, ManifestKind::Bundle).await?;
            meter.at("fetching the bundle again", 97);
            let again = temporary.join("published");
            ledger.fetch(&digest, &again).await?;
            again
        }
    };
    verify(&verified, &digest, &snapshot, &trained)?;
    meter.at("done", 100);
    if let (Some(publisher), Some(ledger)) = (publisher, ledger) {
        publisher.abort();
        // The last one stays beside the result, so it is sent even where the one before is a moment old.
        let last = Progress {
            step: "done".to_owned(),
            percent: 100,
            remaining_seconds: Some(0),
        };
        if let Err(error) = ledger.put_progress(&last).await {
            tracing::debug!(%error, "progress was not recorded");
        }
    }

    let candidate = &trained.candidates[trained.selected];
    let gates = bundle::outcomes(candidate, gates, comparison.as_ref());
    let mut failed: Vec<String> = gates
        .iter()
        .filter(|gate| !gate.passed)
        .filter_map(|gate| {
            let (side, bound) = match &gate.bound {
                GateBound::AtLeast(bound) => ("under", bound),
                GateBound::AtMost(bound) => ("over", bound),
                // The comparison has words of its own.
                GateBound::NotWorseThan { .. } | GateBound::Other(_) => return None,
            };
            Some(format!(
                "{} {} is {side} the gate {bound}",
                gate.metric,
                short(gate.value.as_str())
            ))
        })
        .collect();
    let mut passed = String::new();
    if let Some(comparison) = &comparison {
        failed.extend(comparison.failed());
        passed = format!("; {}", comparison.passed());
    }
    let score = &candidate.reported[crate::fit::metrics::position(plan.select_by)];
    let (verdict, message) = if failed.is_empty() {
        let message = format!(
            "trained {} on {} rows: {} {} (standard error {}){passed}",
            candidate.family,
            snapshot.info.rows,
            score.name,
            short(score.mean.as_str()),
            short(score.standard_error.as_str())
        );
        (Verdict::Succeeded, message)
    } else {
        let folds = usize::try_from(training.validation.folds).unwrap_or(0);
        failed.extend(too_few_rows(snapshot.data.len(), smaller_class(&snapshot), folds));
        (Verdict::GatesFailed, failed.join("; "))
    };
    let mut result = JobResult::new(JobStage::Fit, verdict, message);
    result.digest = Some(digest);
    result.rows = Some(snapshot.info.rows);
    result.sources.clone_from(&snapshot.info.sources);
    result.family = Some(candidate.family.to_owned());
    result.threshold = Some(bundle::threshold()?);
    result.metrics.clone_from(&candidate.reported);
    result.gates = gates;
    Ok(result)
}

/// The snapshot that the arguments name; `Err` in the inner result where the data cannot be used.
async fn open_snapshot(
    args: &FitArgs,
    version: &Spec,
    ledger: Option<&Ledger>,
    temporary: &Temporary,
) -> anyhow::Result<Result<Snapshot, JobResult>> {
    let (dir, digest) = match (&args.snapshot, &args.snapshot_dir, &args.source) {
        (Some(digest), _, _) => {
            let ledger = ledger.context("--snapshot needs --publish and the ledger's address")?;
            let dir = temporary.join("snapshot");
            ledger.fetch(digest, &dir).await?;
            (dir, Some(*digest))
        }
        (None, Some(dir), _) => (dir.clone(), None),
        (None, None, files) => {
            let dir = temporary.join("snapshot");
            match freeze(version, files, &args.publish.reach()).await? {
                Frozen::Built(builder, ..) => (dir.clone(), Some(builder.write(&dir)?.1)),
                Frozen::Ended(result) => return Ok(Err(result)),
            }
        }
    };
    let name = dir.display().to_string();
    Ok(Ok(
        snapshot::open(&dir, digest.as_ref()).with_context(|| format!("cannot open the snapshot {name}"))?
    ))
}

/// The end where the spec names a snapshot, and this is another one.
fn other_snapshot(training: &TrainingSource, found: &Digest, stage: JobStage) -> Option<JobResult> {
    let named = training.snapshot.filter(|named| named != found)?;
    let message = format!("the spec names the snapshot {named}, this is {found}");
    Some(JobResult::new(stage, Verdict::SpecInvalid, message))
}

/// A snapshot of another spec, or one with too few rows for these folds.
fn contradiction(version: &Spec, snapshot: &Snapshot) -> Option<JobResult> {
    let training = &version.training;
    let end = |message: String| Some(JobResult::new(JobStage::Fit, Verdict::SpecInvalid, message));
    let target = target_info(training);
    if snapshot.info.target != target {
        return end(format!(
            "the snapshot has the target {}, the spec asks for {}",
            snapshot.info.target.positive_when, target.positive_when
        ));
    }
    let features = &snapshot.data.schema.features;
    for declared in &training.features {
        let found = features.iter().find(|feature| feature.name == declared.name);
        let same = found.is_some_and(|feature| {
            matches!(
                (&feature.kind, declared.kind),
                (FeatureKind::Numeric { .. }, SpecKind::Numeric)
                    | (FeatureKind::Categorical { .. }, SpecKind::Categorical)
            )
        });
        if !same {
            return end(format!(
                "the snapshot has no {:?} feature {:?}, which the spec declares; take a new snapshot",
                declared.kind, declared.name
            ));
        }
    }
    let schema = &snapshot.data.schema;
    let is_absent = |name: &&String| !schema.names().any(|known| known == **name);
    if let Some(name) = version.tolerances.iter().find(is_absent) {
        return end(format!(
            "monitoring.tolerances names the feature {name:?}, which the snapshot does not have{}; it has {}",
            did_you_mean(name, schema.names()),
            schema.list_names()
        ));
    }
    let folds = usize::try_from(training.validation.folds).unwrap_or(0);
    let least = smaller_class(snapshot);
    if least < folds {
        return end(format!(
            "the smaller class has {least} rows, {folds} folds need at least {folds}: add rows of that class, or lower \
             validation.folds"
        ));
    }
    None
}

/// Rows of the class that has fewer.
fn smaller_class(snapshot: &Snapshot) -> usize {
    let positives = snapshot.data.positives();
    positives.min(snapshot.data.len() - positives)
}

/// That there are too few rows to judge a model by, where this is so. A metric of a handful of rows is 0 or 1 by chance.
fn too_few_rows(rows: usize, least: usize, folds: usize) -> Option<String> {
    (rows < ENOUGH_ROWS || least < ENOUGH_OF_A_CLASS).then(|| {
        format!(
            "{rows} rows, {least} of them of the smaller class, are too few to judge a model: each of {folds} folds is \
             tested on about {}; add rows until there are {ENOUGH_ROWS} and {ENOUGH_OF_A_CLASS} of each class",
            rows / folds.max(1)
        )
    })
}

/// What a new version is held against.
#[derive(Debug, Default)]
struct Opposed {
    champion: Option<Opponent>,
    window: Option<Window>,
}

/// The champion and the window that the spec names; in the inner result why they cannot be used.
async fn oppose(
    args: &FitArgs,
    training: &TrainingSource,
    snapshot: &Snapshot,
    ledger: Option<&Ledger>,
    temporary: &Temporary,
) -> anyhow::Result<Result<Opposed, String>> {
    let mut opposed = Opposed::default();
    if let Some(champion) = &training.not_worse_than {
        let dir = match (&args.champion, ledger) {
            (Some(dir), _) => dir.clone(),
            (None, Some(ledger)) => {
                let dir = temporary.join("champion");
                match ledger.fetch(&champion.bundle, &dir).await {
                    Ok(()) => dir,
                    Err(error) if error.is_not_found() => {
                        return Ok(Err(format!(
                            "notWorseThan names the bundle {} of {}, which is not in the artifact store",
                            champion.bundle, champion.version
                        )));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            (None, None) => {
                bail!("the spec names a champion; name the directory of its bundle with --champion")
            }
        };
        let target = &snapshot.info.target;
        match Opponent::open(&dir, champion, target, &snapshot.data) {
            Ok(champion) => opposed.champion = Some(champion),
            Err(error) => return Ok(Err(format!("notWorseThan cannot be judged: {}", chain(&error)))),
        }
    }
    if let Some(accepted) = &training.reference {
        let bytes = match (&args.window, ledger) {
            (Some(file), _) => {
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
            }
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
            (None, None) => {
                bail!("the spec names an accepted window; name the file of its counts with --window")
            }
        };
        match Window::read(&bytes, accepted, &snapshot.data.schema) {
            Ok(window) => opposed.window = Some(window),
            Err(error) => return Ok(Err(format!("reference cannot be used: {}", chain(&error)))),
        }
    }
    Ok(Ok(opposed))
}

/// Opens the bundle as the server would and scores every row of the snapshot.
fn verify(dir: &Path, digest: &Digest, snapshot: &Snapshot, trained: &Trained) -> anyhow::Result<()> {
    let bundle = Bundle::open(dir, digest).context("the bundle that was written cannot be opened")?;
    bundle
        .verify_warm_up()
        .context("the bundle that was written does not score alike")?;
    for (index, row) in snapshot.data.rows.iter().enumerate() {
        let (found, expected) = (bundle.score(row), trained.fitted.scorer().score(row));
        ensure!(
            found.to_bits() == expected.to_bits(),
            "the bundle scores row {} as {found:e}, the trainer as {expected:e}",
            index + 1
        );
    }
    Ok(())
}

fn show_step(meter: &Meter, step: Step) {
    let family = step.family;
    let percent = (step.done * 90 / step.total.max(1)) as u8;
    if step.done < step.total {
        meter.at(
            &format!("cross-validating {family}, fold {} of {}", step.done, step.total),
            percent,
        );
    } else {
        meter.at(&format!("fitting {family} on all rows"), percent);
    }
}

/// Four places are enough for a sentence.
fn short(number: &str) -> &str {
    match number.find('.') {
        Some(point) if number.len() > point + 5 => &number[..point + 5],
        _ => number,
    }
}

// === score ===

fn score(args: &ScoreArgs) -> anyhow::Result<ExitCode> {
    let bundle = match &args.digest {
        Some(digest) => Bundle::open(&args.bundle, digest),
        None => Bundle::open_any(&args.bundle),
    }
    .with_context(|| format!("cannot open the bundle {}", args.bundle.display()))?;
    bundle.verify_warm_up()?;
    let lines = match (&args.rows, &args.csv) {
        (Some(rows), _) => score_json(&bundle, rows)?,
        (None, Some(csv)) => score_csv(&bundle, csv, args.spec.as_deref())?,
        (None, None) => bail!("one of --rows and --csv is needed"),
    };
    let refused = lines.iter().any(|line| matches!(line, Line::Refused { .. }));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = lines.iter().try_for_each(|line| {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")
    });
    match written.and_then(|()| out.flush()) {
        // The reader of the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot write to the standard output")?,
    }
    Ok(if refused {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    })
}

fn score_json(bundle: &Bundle, rows: &str) -> anyhow::Result<Vec<Line>> {
    let text = if rows == "-" {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the standard input")?;
        text
    } else {
        std::fs::read_to_string(rows).with_context(|| format!("cannot read {rows}"))?
    };
    let rows = match serde_json::from_str(&text).context("the rows are no JSON")? {
        Json::Array(rows) => rows,
        one => vec![one],
    };
    let read = |row: &Json| match row {
        Json::Object(object) => match bundle.schema().read_json(object) {
            Ok((row, warnings)) => line(bundle, &row, &warnings),
            Err(errors) => Line::Refused {
                errors: errors
                    .iter()
                    .map(|error| bundle.schema().describe_error(error))
                    .collect(),
            },
        },
        _ => Line::Refused {
            errors: vec!["a row must be an object of named features".to_owned()],
        },
    };
    Ok(rows.iter().map(read).collect())
}

fn score_csv(bundle: &Bundle, path: &Path, spec: Option<&Path>) -> anyhow::Result<Vec<Line>> {
    let format = match spec {
        Some(spec) => spec::read(spec)?.training.dataset.csv,
        None => CsvFormat::default(),
    };
    let bytes = source::read_file(path)?;
    let (table, violations) = table::read(&bytes, &format, table::Quote::Yes);
    if let Some(violation) = violations.first() {
        bail!("{}: {}", path.display(), violation.message);
    }
    let schema = bundle.schema();
    let places: Vec<Option<usize>> = schema
        .names()
        .map(|name| table.columns.iter().position(|column| column == name))
        .collect();
    ensure!(
        places.iter().any(Option::is_some),
        "{} has no column of a feature; the model takes {}",
        path.display(),
        schema.names().collect::<Vec<_>>().join(", ")
    );
    let score = |row: &table::TableRow| {
        let cells: Vec<Cell<'_>> = schema
            .features
            .iter()
            .zip(&places)
            .map(|(feature, place)| {
                let text = place.and_then(|place| row.cells.get(place)).unwrap_or_default();
                cell(&feature.kind, text, &format)
            })
            .collect();
        match schema.read_cells(&cells) {
            Ok((row, warnings)) => line(bundle, &row, &warnings),
            Err(errors) => Line::Refused {
                errors: errors
                    .iter()
                    .map(|error| format!("row {}: {error}", row.number))
                    .collect(),
            },
        }
    };
    Ok(table.rows.iter().map(score).collect())
}

fn cell<'a>(kind: &FeatureKind, text: &'a str, format: &CsvFormat) -> Cell<'a> {
    if text.is_empty() || format.missing.iter().any(|missing| missing.trim() == text) {
        return Cell::Missing;
    }
    match kind {
        FeatureKind::Numeric { .. } => number::number(text).map_or(Cell::Text(text), Cell::Number),
        FeatureKind::Categorical { .. } => Cell::Text(text),
    }
}

fn line(bundle: &Bundle, row: &Row, warnings: &[Warning]) -> Line {
    let probability = bundle.score(row);
    let class = u8::from(probability >= bundle.threshold());
    Line::Scored {
        class,
        probability,
        warnings: warnings
            .iter()
            .map(|warning| bundle.schema().describe_warning(warning))
            .collect(),
    }
}

// === shared by the commands ===

/// The spec, or in the inner result the verdict on one that is not valid.
fn read_spec(path: &Path, stage: JobStage) -> anyhow::Result<Result<Spec, JobResult>> {
    match spec::read(path) {
        Ok(version) => Ok(Ok(version)),
        Err(error @ SpecError::Read { .. }) => Err(error.into()),
        Err(error) => Ok(Err(JobResult::new(
            stage,
            Verdict::SpecInvalid,
            error.to_string(),
        ))),
    }
}

fn print_json(result: &JobResult) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(result)?;
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

// === impl PublishArgs ===

impl PublishArgs {
    /// Where datasets may be read from: a Job reads what other people chose.
    fn reach(&self) -> Reach {
        if self.publish {
            Reach::of_job(
                self.allow_sources.clone(),
                self.deny_sources.clone(),
                self.ledger_url.as_deref(),
            )
        } else {
            Reach::anywhere()
        }
    }

    /// The ledger to report to, where that was asked for.
    fn ledger(&self) -> anyhow::Result<Option<Ledger>> {
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

    /// Leaves the reason of a failed Job where its status will show it. It is no result: the Job is tried again.
    fn note_failure(&self, stage: JobStage, error: &anyhow::Error) {
        if !self.publish {
            return;
        }
        let reason: String = format!("{error:#}").chars().take(900).collect();
        // A program reads whether it failed or could not reach what it needs; people read why.
        let unreachable = unreachable(error).then(|| {
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
fn unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let ledger = cause.downcast_ref::<LedgerError>();
        let source = cause.downcast_ref::<SourceError>();
        ledger.is_some_and(|error| matches!(error, LedgerError::Unreachable { .. }))
            || source.is_some_and(|error| matches!(error, SourceError::Unreachable { .. }))
    })
}

/// A directory under `TMPDIR` that goes when the command ends.
struct Temporary(PathBuf);

// === impl Temporary ===

impl Temporary {
    fn new() -> anyhow::Result<Self> {
        let path = Self::path();
        // A process of the same number may have been killed here.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A process runs one command, so its number is enough to tell directories apart.
    fn path() -> PathBuf {
        std::env::temp_dir().join(format!("modelward-trainer-{}", std::process::id()))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes what a command that is being stopped would leave behind.
pub fn clean_up() {
    drop(Temporary(Temporary::path()));
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
        assert!(unreachable(&anyhow::Error::from(away).context("publishing")));
        let source = SourceError::Unreachable {
            name: "https://example.com/x.csv".to_owned(),
            reason: "timed out".to_owned(),
        };
        assert!(unreachable(&source.into()));
        let refused = LedgerError::Refused {
            what: "uploading data.parquet".to_owned(),
            status: reqwest::StatusCode::PAYLOAD_TOO_LARGE,
            message: "too large".to_owned(),
        };
        assert!(!unreachable(&refused.into()));
    }
}
