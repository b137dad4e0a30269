//! What happens while PostgreSQL is unavailable, and when it is back.

use std::time::{Duration, Instant};

use anyhow::Result;
use modelward_kit::postgres::Postgres;
use modelward_ledger::{MigrateConfig, MigrateError, migrate};
use modelward_wire::{DriftVerdict, JobResult, JobStage, ReportResult, Verdict};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::{
    heart,
    support::{World, bytes, digest_of, expect_success, refusal, until},
};

const UP: &str = "modelward_ledger_database_up";

fn result() -> String {
    json!(JobResult::new(JobStage::Fit, Verdict::Succeeded, "fine")).to_string()
}

#[tokio::test]
async fn artifacts_outlive_postgresql_and_the_rest_comes_back_with_it() -> Result<()> {
    let world = World::with(Postgres::start().await?, |_| {}).await?;
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    world.until_ready().await?;
    assert_eq!(world.ready().await?.1, json!({"database": "ok", "store": "ok"}));
    assert_eq!(world.metric(UP).await?, Some(1.0));
    let before = world.publish(&trainer, &bytes(40, 1000)).await?;
    expect_success(world.put(&trainer, &world.result(&trainer.job), result()).await?).await?;

    world.postgres.kill().await?;
    // The first request after the kill finds a dead connection and gets the same error as all others.
    let answer = world.put(&trainer, &world.result(&trainer.job), result()).await?;
    assert!(answer.headers().contains_key("retry-after"));
    let sentence = refusal(answer, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert!(sentence.contains("PostgreSQL is unavailable"), "{sentence}");
    // A session may still report that it is shutting down before the listener is closed.
    until("an unready ledger", async || {
        let (status, body) = world.ready().await?;
        let why = body["database"].as_str().unwrap();
        Ok(status == StatusCode::SERVICE_UNAVAILABLE
            && why.contains("cannot connect")
            && body["store"] == "ok")
    })
    .await?;
    assert_eq!(world.metric(UP).await?, Some(0.0));
    let start = Instant::now();
    refusal(
        world.get(&operator, &world.result(&trainer.job)).await?,
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await?;
    let list = format!("/v1/model-versions/{}", world.namespace);
    refusal(
        world.get(&operator, &list).await?,
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await?;
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "no request waits for what is known to be away"
    );

    // Serving and training continue: artifacts are read and stored.
    expect_success(world.get(&trainer, &world.manifest(&before)).await?).await?;
    let during = world.publish(&trainer, &bytes(41, 9_000_000)).await?;
    expect_success(world.get(&trainer, &world.manifest(&during)).await?).await?;
    expect_success(world.request(Method::GET, "/healthz").send().await?).await?;

    world.postgres.restart().await?;
    let start = Instant::now();
    world.until_ready().await?;
    println!("ready again {:?} after PostgreSQL", start.elapsed());
    assert_eq!(world.metric(UP).await?, Some(1.0));
    expect_success(world.get(&operator, &world.result(&trainer.job)).await?).await?;
    expect_success(world.put(&trainer, &world.result(&trainer.job), result()).await?).await?;

    // Artifacts that were stored meanwhile are indexed automatically.
    let mut database = PgConnection::connect(&world.database.url).await?;
    until("both index rows", async || {
        let rows: Vec<String> = sqlx::query_scalar("SELECT digest::text FROM artifacts ORDER BY created_at")
            .fetch_all(&mut database)
            .await?;
        Ok(rows == [before.to_string(), during.to_string()])
    })
    .await
}

#[tokio::test]
async fn what_serving_tells_waits_for_postgresql_and_nothing_of_it_is_lost_or_counted_twice() -> Result<()> {
    let world = World::with(Postgres::start().await?, |_| {}).await?;
    let (trainer, server) = (world.trainer("heart-1").await?, world.server("heart").await?);
    let operator = world.operator().await?;
    let reference = heart::reference();
    let bytes = serde_json::to_vec(&reference)?;
    let bundle = world
        .publish_files(&trainer, &[("reference.json", &bytes)])
        .await?;
    let route = heart::route(bundle);
    let rows = heart::patients("cleveland.csv");
    let start = heart::window(1);
    let counts = |sequence: u64, rows: &[heart::Patient]| {
        let counts = heart::counts(&reference.bins, rows);
        heart::batch(&route, vec![heart::envelope(&route, 1, start, sequence, counts)])
    };
    let request = json!({
        "format": 1, "model": "heart", "version": "heart-1", "bundle": bundle, "start": start, "end": start + 60,
        "since": start, "evidenceFrom": start, "minimumRows": 100, "tolerance": "0.1",
    });
    let label = json!({
        "predictionId": "a".repeat(64), "route": "0".repeat(16), "predictedAtMs": 1, "score": 0.5, "class": 1,
        "actual": 1,
    });
    let at = |what: &str, name: &str| format!("/v1/{what}/{}/{name}", world.namespace);
    let (counts_at, label_at) = (at("counts", "heart"), at("feedback", "heart"));
    let report_at = at("drift-reports", "5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11");
    world.until_ready().await?;
    expect_success(
        world
            .put_json(&server, &counts_at, &counts(1, &rows[..100]))
            .await?,
    )
    .await?;

    world.postgres.kill().await?;
    let away = StatusCode::SERVICE_UNAVAILABLE;
    let later = counts(2, &rows);
    for answer in [
        world.put_json(&server, &counts_at, &later).await?,
        world.post_json(&server, &label_at, &label).await?,
        world.put_json(&operator, &report_at, &request).await?,
        world.get(&operator, &report_at).await?,
        world.get(&operator, &counts_at).await?,
    ] {
        assert!(answer.headers().contains_key("retry-after"));
        let sentence = refusal(answer, away).await?;
        assert!(sentence.contains("PostgreSQL is unavailable"), "{sentence}");
    }
    // Invalid requests are refused now as well as later.
    let answer = world.put(&server, &counts_at, "{}").await?;
    refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;

    world.postgres.restart().await?;
    world.until_ready().await?;
    for _ in 0..2 {
        expect_success(world.put_json(&server, &counts_at, &later).await?).await?;
        expect_success(world.post_json(&server, &label_at, &label).await?).await?;
        let answer = expect_success(world.put_json(&operator, &report_at, &request).await?).await?;
        let result: ReportResult = answer.json().await?;
        assert_eq!((result.rows, result.verdict), (303, DriftVerdict::NoDrift));
    }
    Ok(())
}

#[tokio::test]
async fn a_ledger_starts_without_postgresql() -> Result<()> {
    let mut world = World::with(Postgres::start().await?, |_| {}).await?;
    let trainer = world.trainer("heart-1").await?;
    world.until_ready().await?;
    world.end().await?;
    world.postgres.stop().await?;
    world.run().await?;
    let digest = world.publish(&trainer, b"without PostgreSQL").await?;
    expect_success(world.get(&trainer, &world.manifest(&digest)).await?).await?;
    assert_eq!(world.ready().await?.0, StatusCode::SERVICE_UNAVAILABLE);
    // A ledger that ends while it waits ends at once.
    let start = Instant::now();
    world.end().await?;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_changed_password_needs_no_restart() -> Result<()> {
    let world = World::with(Postgres::start().await?, |_| {}).await?;
    world.until_ready().await?;
    let role = format!("ledger_{}", world.database.name);
    let change = format!("ALTER ROLE {role} PASSWORD 'second'");
    world.postgres.execute(&world.database.url, &change).await?;
    // Open connections stay. A restart ends them.
    world.postgres.kill().await?;
    world.postgres.restart().await?;
    until("a refused password", async || {
        let (_, body) = world.ready().await?;
        Ok(body["database"]
            .as_str()
            .unwrap()
            .contains("refuses the role or the password"))
    })
    .await?;
    std::fs::write(
        &world.url_file,
        world.postgres.url_of(&role, "second", &world.database.name),
    )?;
    world.until_ready().await?;
    // A file that is missing for a moment, as during an update of the volume of a Secret.
    std::fs::remove_file(&world.url_file)?;
    until("a missing file", async || {
        Ok(world.ready().await?.1["database"]
            .as_str()
            .unwrap()
            .contains("cannot be read"))
    })
    .await?;
    std::fs::write(
        &world.url_file,
        world.postgres.url_of(&role, "second", &world.database.name),
    )?;
    world.until_ready().await
}

#[tokio::test]
async fn readiness_says_what_a_person_has_to_do() -> Result<()> {
    let world = World::start().await?;
    world.until_ready().await?;
    let said = async |what: &str, words: &str| {
        until(what, async || {
            let (status, body) = world.ready().await?;
            let database = body["database"].as_str().unwrap();
            Ok(status == StatusCode::SERVICE_UNAVAILABLE && database.contains(words))
        })
        .await
    };
    let role = format!("ledger_{}", world.database.name);
    let sql = async |statement: &str| world.postgres.execute(&world.database.url, statement).await;

    sql("UPDATE _sqlx_migrations SET success = false WHERE version = 6").await?;
    said("an old schema", "version 5 and this ledger needs 6").await?;
    sql("UPDATE _sqlx_migrations SET success = true").await?;
    world.until_ready().await?;
    sql(&format!("REVOKE SELECT ON _sqlx_migrations FROM {role}")).await?;
    said("a lacking privilege", "MODELWARD_LEDGER_ROLE").await?;
    sql(&format!("GRANT SELECT ON _sqlx_migrations TO {role}")).await?;
    world.until_ready().await?;
    let elsewhere = world.postgres.url_of(&role, "first", "nowhere");
    std::fs::write(&world.url_file, elsewhere)?;
    // The open connections still work. Only a new one would notice.
    sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    ))
    .await?;
    said("a missing database", "does not exist").await?;
    let empty = world.postgres.database().await?;
    std::fs::write(
        &world.url_file,
        world.postgres.url_of(&role, "first", &empty.name),
    )?;
    said("an empty database", "run modelward-operator migrate").await?;
    std::fs::write(&world.url_file, "mysql://u:hunter2@h/d")?;
    said("a foreign URL", "postgres://").await?;
    assert!(!world.ready().await?.1.to_string().contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_named() -> Result<()> {
    let world = World::start().await?;
    world.until_ready().await?;
    let aside = world.artifacts.with_extension("aside");
    std::fs::rename(&world.artifacts, &aside)?;
    until("an unready store", async || {
        let (status, body) = world.ready().await?;
        Ok(status == StatusCode::SERVICE_UNAVAILABLE && body["store"] != "ok" && body["database"] == "ok")
    })
    .await?;
    assert_eq!(world.metric("modelward_ledger_store_up").await?, Some(0.0));
    std::fs::rename(&aside, &world.artifacts)?;
    world.until_ready().await
}

#[tokio::test]
async fn migrating_again_twice_at_once_or_from_a_newer_schema_is_harmless() -> Result<()> {
    let world = World::start().await?;
    let role = format!("ledger_{}", world.database.name);
    std::fs::write(&world.url_file, &world.database.url)?;
    let config = MigrateConfig {
        database_url_file: world.url_file.clone(),
        ledger_role: role,
        patience: Duration::from_secs(5),
    };
    futures::future::try_join_all((0..3).map(|_| migrate(config.clone()))).await?;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'of a newer release', true, '\\x00', 1)";
    world.postgres.execute(&world.database.url, newer).await?;
    migrate(config.clone()).await?;
    let absent = MigrateConfig {
        ledger_role: "no_such_role".into(),
        ..config.clone()
    };
    assert!(matches!(migrate(absent).await, Err(MigrateError::NoRole(_))));
    std::fs::write(&world.url_file, "postgres://u:p@127.0.0.1:9/d")?;
    let error = migrate(MigrateConfig {
        patience: Duration::from_secs(1),
        ..config
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_migration_waits_for_a_postgresql_that_starts_late() -> Result<()> {
    let postgres = Postgres::start().await?;
    let database = postgres.database().await?;
    postgres
        .execute(&database.url, "CREATE ROLE late LOGIN PASSWORD 'x'")
        .await?;
    let directory = tempfile::tempdir()?;
    let url_file = directory.path().join("url");
    std::fs::write(&url_file, format!("{}\n", database.url))?;
    postgres.stop().await?;
    let config = MigrateConfig {
        database_url_file: url_file,
        ledger_role: "late".into(),
        patience: Duration::from_secs(30),
    };
    let waiting = tokio::spawn(migrate(config));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished());
    postgres.restart().await?;
    waiting.await??;
    Ok(())
}

#[tokio::test]
async fn requests_in_flight_end_before_the_ledger_does() -> Result<()> {
    let mut world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(42, 500);
    let pieces = futures::stream::unfold(content.clone(), |mut rest| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let piece: Vec<u8> = rest.drain(..rest.len().min(100)).collect();
        (!piece.is_empty()).then_some((Ok::<_, std::io::Error>(piece), rest))
    });
    let request = world
        .request(Method::PUT, &world.blob(&digest_of(&content)))
        .bearer_auth(&trainer.token);
    let upload = tokio::spawn(request.body(reqwest::Body::wrap_stream(pieces)).send());
    tokio::time::sleep(Duration::from_millis(700)).await;
    world.end().await?;
    assert_eq!(upload.await??.status(), StatusCode::CREATED);
    assert!(
        world.request(Method::GET, "/healthz").send().await.is_err(),
        "the listener is gone"
    );
    Ok(())
}

#[tokio::test]
async fn metrics_are_openmetrics_and_name_no_tenant() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let digest = world.publish(&trainer, &bytes(43, 1234)).await?;
    expect_success(world.get(&trainer, &world.manifest(&digest)).await?).await?;
    world
        .request(Method::from_bytes(b"BREW")?, "/coffee")
        .send()
        .await?;
    let answer = world.request(Method::GET, "/metrics").send().await?;
    assert_eq!(
        answer.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text().await?;
    for line in [
        "modelward_ledger_artifact_received_bytes_total{kind=\"blob\"} 1234",
        "modelward_ledger_requests_total{route=\"/v1/artifacts/{namespace}/blobs/{digest}\",method=\"PUT\",status=\"2xx\"} 1",
        "modelward_ledger_requests_total{route=\"unmatched\",method=\"other\",status=\"4xx\"} 1",
        "modelward_ledger_proofs_total{outcome=\"unavailable\"} 0",
        "modelward_ledger_store_up 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains(&world.namespace) && !text.contains("sha256:"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn a_statement_that_takes_too_long_fails_its_caller_alone() -> Result<()> {
    let world = World::start().await?;
    let server = world.server("heart").await?;
    let operator = world.operator().await?;
    let path = format!("/v1/counts/{}/heart", world.namespace);
    expect_success(world.get(&operator, &path).await?).await?;
    // Another session locks the table of counts, so each statement on it times out.
    let mut other = PgConnection::connect(&world.database.url).await?;
    let mut transaction = other.begin().await?;
    sqlx::query("LOCK TABLE counts IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    let sentence = refusal(
        world.get(&operator, &path).await?,
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await?;
    assert!(sentence.contains("try again later"), "{sentence}");
    // PostgreSQL is available for everything else, also for the next request.
    assert_eq!(world.ready().await?.0, StatusCode::OK);
    let label = json!({
        "predictionId": "a".repeat(64), "route": "0123456789abcdef", "predictedAtMs": 1_000_000, "score": 0.5, "class": 1,
        "actual": 1,
    });
    let labels = format!("/v1/feedback/{}/heart", world.namespace);
    expect_success(world.post_json(&server, &labels, &label).await?).await?;
    transaction.rollback().await?;
    expect_success(world.get(&operator, &path).await?).await?;
    Ok(())
}
