//! The client that every program uses, with this ledger.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use modelward_ledger_client::{
    Client, Error, Optional as _, Retry, Settings, StatusCode, Timeouts, Tls, Token,
};
use modelward_profile::{CountsBatch, totals::ENVELOPE_FORMAT};
use modelward_wire::{
    Digest, FeedbackRecord, FileEntry, JobResult, JobStage, Manifest, ManifestKind, Progress, REPORT_FORMAT,
    ReportRequest, Role, SEARCH_FORMAT, SearchRound, Verdict, VersionRecord,
};
use tempfile::TempDir;

use crate::support::{Caller, World, digest_of};

const UID: &str = "5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11";

fn client(world: &World, token: Token) -> Result<Client> {
    let url = format!("http://{}", world.addr);
    let tls = Tls::of(&url);
    Ok(Client::new(Settings {
        url,
        program: "modelward-tests/1",
        token,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(30),
            call: None,
        },
        retry: Retry::Never,
        proxy: None,
        tls,
    })?)
}

fn token(directory: &TempDir, caller: &Caller) -> Result<Token> {
    let file: PathBuf = directory.path().join(if caller.job.is_empty() {
        "operator"
    } else {
        "trainer"
    });
    std::fs::write(&file, &caller.token)?;
    Ok(Token::File(file))
}

fn result() -> JobResult {
    JobResult::new(JobStage::Fit, Verdict::Succeeded, "fine")
}

/// Whether the ledger knows this call and refuses it only because of the missing token.
fn needs_a_token<T>(call: &str, answer: Result<T, Error>) {
    match answer {
        Err(Error::Refused { status, .. }) => {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{call}");
        }
        Err(error) => unreachable!("{call}: {error:?}"),
        Ok(_) => unreachable!("{call} was answered without a token"),
    }
}

#[tokio::test]
async fn each_call_of_the_client_is_a_route_of_the_ledger() -> Result<()> {
    let world = World::start().await?;
    let client = client(&world, Token::Absent)?;
    let (namespace, digest) = (world.namespace.as_str(), digest_of(b"x"));
    let progress = Progress {
        step: "fit".to_owned(),
        percent: 50,
        remaining_seconds: None,
    };
    let record = VersionRecord {
        name: "heart-1".to_owned(),
        model: "heart".to_owned(),
        role: Role::Live,
        generation: 1,
        snapshot: None,
        bundle: None,
        job: None,
        family: None,
        metrics: Vec::new(),
        observed_at: "2026-01-01T00:00:00Z".to_owned(),
    };
    let counts = CountsBatch {
        format: ENVELOPE_FORMAT,
        window_seconds: 3600,
        routes: Vec::new(),
        envelopes: Vec::new(),
    };
    let label = FeedbackRecord {
        prediction_id: "id".to_owned(),
        route: "0".repeat(16),
        predicted_at_ms: 0,
        score: 0.5,
        class: 1,
        actual: 1,
    };
    let asked = ReportRequest {
        format: REPORT_FORMAT,
        model: "heart".to_owned(),
        version: "heart-1".to_owned(),
        bundle: digest,
        start: 0,
        end: 3600,
        since: 0,
        evidence_from: 0,
        minimum_rows: 100,
        window_seconds: None,
        season_seconds: None,
        serving_since: None,
        tolerance: "0.1".parse()?,
        rate_tolerance: modelward_wire::default_rate_tolerance(),
        tolerances: Vec::new(),
    };
    let body = || b"x".to_vec().into();
    needs_a_token("manifest", client.manifest(namespace, &digest).await);
    needs_a_token("blob", client.blob(namespace, &digest, 1).await);
    needs_a_token("statement", client.statement(namespace, &digest).await);
    needs_a_token("put_blob", client.put_blob(namespace, &digest, body()).await);
    needs_a_token(
        "put_manifest",
        client.put_manifest(namespace, &digest, body()).await,
    );
    needs_a_token("job_result", client.job_result(namespace, UID).await);
    needs_a_token(
        "put_job_result",
        client.put_job_result(namespace, UID, &result()).await,
    );
    needs_a_token(
        "put_progress",
        client.put_progress(namespace, UID, &progress).await,
    );
    let round = SearchRound {
        format: SEARCH_FORMAT,
        seconds: 0,
        trials: Vec::new(),
    };
    needs_a_token(
        "search_round",
        client.search_round(namespace, UID, &digest, 0).await,
    );
    needs_a_token(
        "put_search_round",
        client.put_search_round(namespace, UID, &digest, 0, &round).await,
    );
    needs_a_token("forget_searches", client.forget_searches(namespace, UID).await);
    needs_a_token("put_version", client.put_version(namespace, UID, &record).await);
    needs_a_token("put_counts", client.put_counts(namespace, "heart", &counts).await);
    needs_a_token(
        "post_feedback",
        client.post_feedback(namespace, "heart", &label).await,
    );
    needs_a_token("drift_report", client.drift_report(namespace, UID, &asked).await);
    Ok(())
}

#[tokio::test]
async fn what_one_program_stores_another_one_reads() -> Result<()> {
    let world = World::start().await?;
    let directory = tempfile::tempdir()?;
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let of_trainer = client(&world, token(&directory, &trainer)?)?;
    let of_operator = client(&world, token(&directory, &operator)?)?;
    let (namespace, job) = (world.namespace.as_str(), trainer.job.as_str());

    assert_eq!(of_operator.job_result(namespace, job).await.optional()?, None);
    of_trainer.put_job_result(namespace, job, &result()).await?;
    assert_eq!(of_operator.job_result(namespace, job).await?, result());

    let (search, round) = (
        digest_of(b"search"),
        SearchRound {
            format: SEARCH_FORMAT,
            seconds: 3,
            trials: Vec::new(),
        },
    );
    let kept = async || {
        of_trainer
            .search_round(namespace, job, &search, 0)
            .await
            .optional()
    };
    assert_eq!(kept().await?, None);
    of_trainer
        .put_search_round(namespace, job, &search, 0, &round)
        .await?;
    assert_eq!(kept().await?, Some(round));
    of_trainer.forget_searches(namespace, job).await?;
    assert_eq!(kept().await?, None);

    let content = b"content".to_vec();
    let file = FileEntry {
        path: "model.json".to_owned(),
        sha256: digest_of(&content),
        size: content.len() as u64,
    };
    let manifest = Manifest::new(ManifestKind::Bundle, vec![file.clone()])?;
    let bytes = serde_json::to_vec(&manifest)?;
    let digest: Digest = digest_of(&bytes);
    let early = of_trainer
        .put_manifest(namespace, &digest, bytes.clone().into())
        .await;
    let early = early.err().context("its file is not there yet")?;
    let (status, words) = early.refusal().context("a refusal")?;
    assert!(
        status == 409 && words.contains(&file.sha256.to_string()),
        "{status}: {words}"
    );
    of_trainer
        .put_blob(namespace, &file.sha256, content.clone().into())
        .await?;
    of_trainer.put_manifest(namespace, &digest, bytes.into()).await?;
    assert_eq!(of_operator.manifest(namespace, &digest).await?.0, manifest);
    let fetched = directory.path().join("fetched");
    std::fs::create_dir(&fetched)?;
    of_operator
        .fetch_into(namespace, &digest, Some(ManifestKind::Bundle), &fetched)
        .await?;
    assert_eq!(std::fs::read(fetched.join("model.json"))?, content);
    Ok(())
}
