//! Publishing to a real MLflow server: `tests/differential/compare.sh` starts one, and compares what its Python client reads.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use modelward_ledger::{MlflowConfig, RegisteredModelNames};
use modelward_wire::{Digest, PublicationRecord, PublicationState, Role, VersionRecord};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::{Caller, World, expect_success, until};

/// A proxy to the server that can cut connections.
struct Way {
    address: SocketAddr,
    /// Number of connections that may still begin.
    allowed: Arc<AtomicU64>,
    /// Whether connections are accepted at all.
    open: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

/// The server that the environment names.
fn server() -> Result<String> {
    std::env::var("MODELWARD_MLFLOW_URI").context("MODELWARD_MLFLOW_URI must name an MLflow server")
}

/// The files of a bundle of the trainer.
fn bundle() -> Result<Vec<(String, Vec<u8>)>> {
    let directory =
        std::env::var("MODELWARD_MLFLOW_BUNDLE").context("MODELWARD_MLFLOW_BUNDLE must name a bundle")?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(PathBuf::from(directory))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "manifest.json" {
            files.push((name, std::fs::read(entry.path())?));
        }
    }
    ensure!(files.len() > 5, "the bundle has {} files", files.len());
    Ok(files)
}

// === impl Way ===

impl Way {
    /// A proxy to this server. Each request has its own connection.
    async fn to(server: &str) -> Result<Self> {
        let target = server
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (allowed, open) = (
            Arc::new(AtomicU64::new(u64::MAX)),
            Arc::new(AtomicBool::new(true)),
        );
        let (left, taken) = (Arc::clone(&allowed), Arc::clone(&open));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                if !taken.load(Ordering::Relaxed) {
                    continue;
                }
                let (target, left) = (target.clone(), Arc::clone(&left));
                connections.spawn(async move {
                    let _ = pass_on(from, &target, &left).await;
                });
            }
        });
        Ok(Self {
            address,
            allowed,
            open,
            _tasks: tasks,
        })
    }

    fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Forwards bytes in both directions until this many pieces have been sent to the server.
async fn pass_on(mut from: TcpStream, target: &str, left: &AtomicU64) -> Result<()> {
    let mut to = TcpStream::connect(target).await?;
    let (mut reads, mut writes) = (vec![0; 4096], vec![0; 65536]);
    loop {
        tokio::select! {
            count = from.read(&mut reads) => {
                let count = count?;
                let may = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                if count == 0 || may.is_err() {
                    return Ok(());
                }
                to.write_all(&reads[..count]).await?;
            }
            count = to.read(&mut writes) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                from.write_all(&writes[..count]).await?;
            }
        }
    }
}

/// A ledger that publishes there, and the trainer of a version with the bundle.
async fn ledger(uri: &str) -> Result<(World, Caller, String)> {
    let postgres = modelward_kit::postgres::Postgres::shared().await?;
    let world = World::with(postgres, |config| {
        config.mlflow = Some(MlflowConfig {
            interval: Duration::from_millis(100),
            first_pause_seconds: 1,
            registered_model_names: RegisteredModelNames::NamespaceAndModel,
            ..MlflowConfig::new(uri)
        });
    })
    .await?;
    world.until_ready().await?;
    let trainer = world.trainer("heart-1").await?;
    let bundle = bundle()?;
    let files: Vec<(&str, &[u8])> = bundle
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    let digest = world.publish_files(&trainer, &files).await?;
    let uid = "5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11".to_owned();
    record(&world, &uid, digest, &trainer.job).await?;
    Ok((world, trainer, uid))
}

async fn record(world: &World, uid: &str, bundle: Digest, job: &str) -> Result<()> {
    let record = VersionRecord {
        name: "heart-1".into(),
        model: "heart".into(),
        role: Role::Candidate,
        generation: 1,
        snapshot: None,
        bundle: Some(bundle),
        job: Some(job.to_owned()),
        family: None,
        metrics: Vec::new(),
        observed_at: "2026-01-01T00:00:00Z".into(),
    };
    let path = format!("/v1/model-versions/{}/{uid}", world.namespace);
    let operator = world.operator().await?;
    expect_success(world.put_json(&operator, &path, &record).await?).await?;
    Ok(())
}

async fn publication(world: &World, uid: &str) -> Result<Option<PublicationRecord>> {
    let path = format!("/v1/model-versions/{}/{uid}/publication", world.namespace);
    let answer = world.get(&world.operator().await?, &path).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    Ok(Some(expect_success(answer).await?.json().await?))
}

async fn until_state(world: &World, uid: &str, state: PublicationState) -> Result<PublicationRecord> {
    let mut last = None;
    let reached = until("the publication", async || {
        last = publication(world, uid).await?;
        Ok(last.as_ref().is_some_and(|record| record.state == state))
    })
    .await;
    reached.with_context(|| format!("last: {last:?}"))?;
    last.context("a publication")
}

async fn ask(path: &str, body: Value) -> Result<Value> {
    let url = format!("{}/api/2.0/mlflow/{path}", server()?.trim_end_matches('/'));
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(url)
        .json(&body)
        .send()
        .await?;
    Ok(expect_success(answer).await?.json().await?)
}

#[tokio::test]
#[ignore = "needs the MLflow server that tests/differential/compare.sh starts"]
async fn a_version_is_published_once_however_often_the_way_to_the_server_is_cut() -> Result<()> {
    let way = Way::to(&server()?).await?;
    way.open.store(false, Ordering::Relaxed);
    let (world, _, uid) = ledger(&way.uri()).await?;
    let failed = until_state(&world, &uid, PublicationState::Failed).await?;
    let error = failed.error.context("an error")?;
    ensure!(
        error.contains(&format!("MLflow at {} did not answer", way.uri())),
        "{error}"
    );

    // Each attempt gets a little further than the one before.
    way.open.store(true, Ordering::Relaxed);
    let mut attempts = 0;
    for pieces in [1, 2, 4, 8, 16, 32, u64::MAX] {
        way.allowed.store(pieces, Ordering::Relaxed);
        until("another attempt", async || {
            let known = publication(&world, &uid).await?.context("a publication")?;
            let more = known.attempts > attempts;
            attempts = known.attempts;
            Ok(more || known.state == PublicationState::Published)
        })
        .await?;
    }
    let published = until_state(&world, &uid, PublicationState::Published).await?;
    assert_eq!(published.error, None);
    assert_eq!(published.registered_version.as_deref(), Some("1"));
    let run = published.run.context("a run")?;
    ensure!(
        published
            .url
            .context("an address")?
            .ends_with(&format!("/runs/{run}"))
    );
    assert_eq!(
        world
            .metric("modelward_ledger_publications_total{outcome=\"published\"}")
            .await?,
        Some(1.0)
    );

    let answer = reqwest::get(format!("{}/api/2.0/mlflow/runs/get?run_id={run}", server()?)).await?;
    let parent: Value = expect_success(answer).await?.json().await?;
    let experiment = &parent["run"]["info"]["experiment_id"];
    assert_eq!(parent["run"]["info"]["status"], "FINISHED");
    let all = ask(
        "runs/search",
        json!({"experiment_ids": [experiment], "max_results": 100}),
    )
    .await?;
    let runs = all["runs"].as_array().context("runs")?;
    let tagged = |run: &Value, key: &str, value: &str| {
        let tags = run["data"]["tags"].as_array();
        tags.is_some_and(|tags| tags.iter().any(|tag| tag["key"] == key && tag["value"] == value))
    };
    let children = runs
        .iter()
        .filter(|child| tagged(child, "mlflow.parentRunId", &run))
        .count();
    assert_eq!((runs.len(), children), (2, 1), "one run, one candidate");
    Ok(())
}

#[tokio::test]
#[ignore = "needs the MLflow server that tests/differential/compare.sh starts"]
async fn a_damaged_file_and_a_wrong_address_are_named_and_tried_again() -> Result<()> {
    let (world, _, uid) = ledger(&format!("{}/elsewhere", server()?)).await?;
    let failed = until_state(&world, &uid, PublicationState::Failed).await?;
    let error = failed.error.context("an error")?;
    ensure!(error.contains("mlflow.trackingUri"), "{error}");

    let (world, trainer, _) = ledger(&server()?).await?;
    let damaged = world
        .publish_files(&trainer, &[("metrics.json", b"{}"), ("x", b"1")])
        .await?;
    let other = "5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f12";
    record(&world, other, damaged, &trainer.job).await?;
    let failed = until_state(&world, other, PublicationState::Failed).await?;
    let error = failed.error.context("an error")?;
    ensure!(
        error.starts_with("cannot read metrics.json of the bundle: missing field"),
        "{error}"
    );
    Ok(())
}
