//! Results, progress, versions, and the index of artifacts.

use anyhow::Result;
use modelward_wire::{JobResult, JobStage, Progress, Role, Verdict, VersionRecord, Violation};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::{Caller, World, bytes, expect_success, refusal, until};

async fn put_json(world: &World, caller: &Caller, path: &str, body: &Value) -> Result<reqwest::Response> {
    world.put(caller, path, body.to_string()).await
}

fn record(role: Role, generation: i64, observed_at: &str) -> VersionRecord {
    VersionRecord {
        name: "heart-1".into(),
        model: "heart".into(),
        role,
        generation,
        snapshot: None,
        bundle: Some(crate::support::digest_of(b"bundle")),
        job: None,
        family: Some("LogisticRegression".into()),
        metrics: Vec::new(),
        observed_at: observed_at.into(),
    }
}

#[tokio::test]
async fn a_result_is_kept_whole_and_the_last_one_counts() -> Result<()> {
    let world = World::start().await?;
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let path = world.result(&trainer.job);
    refusal(world.get(&operator, &path).await?, StatusCode::NOT_FOUND).await?;

    let mut result = JobResult::new(
        JobStage::Snapshot,
        Verdict::DataInvalid,
        "zwölf \"rules\" are broken",
    );
    result.violations = (0..200)
        .map(|row| Violation {
            column: format!("column {row}"),
            rule: "Range".into(),
            message: "x".repeat(300),
            count: row,
            example_row: Some(row),
        })
        .collect();
    result.violations_total = 200;
    let mut body = serde_json::to_value(&result)?;
    body["addedByANewerTrainer"] = json!({"kept": true});
    assert_eq!(
        put_json(&world, &trainer, &path, &body).await?.status(),
        StatusCode::CREATED
    );
    assert_eq!(
        put_json(&world, &trainer, &path, &body).await?.status(),
        StatusCode::OK
    );
    let found: Value = expect_success(world.get(&operator, &path).await?)
        .await?
        .json()
        .await?;
    assert_eq!(found, body);

    let second = serde_json::to_value(JobResult::new(
        JobStage::Fit,
        Verdict::Succeeded,
        "the second attempt",
    ))?;
    put_json(&world, &trainer, &path, &second).await?;
    let found: JobResult = world.get(&trainer, &path).await?.json().await?;
    assert_eq!(found.message, "the second attempt");
    Ok(())
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_refused_with_its_reason() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let path = world.result(&trainer.job);
    let good = serde_json::to_value(JobResult::new(JobStage::Fit, Verdict::Succeeded, "fine"))?;
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    for (body, said) in [
        (String::new(), "cannot be read"),
        ("[1]".into(), "cannot be read"),
        (with("verdict", json!("Splendid")), "Splendid"),
        (with("format", json!(2)), "format 2"),
        (with("message", json!("a\0b")), "NUL"),
        (with("a\0b", json!(1)), "NUL"),
        (
            with(
                "deep",
                serde_json::from_str(&format!("{}1{}", "[".repeat(100), "]".repeat(100)))?,
            ),
            "",
        ),
    ] {
        let answer = world.put(&trainer, &path, body.clone()).await?;
        if said.is_empty() {
            expect_success(answer).await?;
        } else {
            let sentence = refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
            assert!(sentence.contains(said), "{sentence}");
        }
    }
    let answer = world
        .put(&trainer, &path, with("message", json!("x".repeat(1024 * 1024))))
        .await?;
    refusal(answer, StatusCode::PAYLOAD_TOO_LARGE).await?;
    Ok(())
}

#[tokio::test]
async fn progress_is_replaced_and_bounded() -> Result<()> {
    let world = World::start().await?;
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let path = format!("/v1/jobs/{}/{}/progress", world.namespace, trainer.job);
    refusal(world.get(&operator, &path).await?, StatusCode::NOT_FOUND).await?;
    for (percent, remaining_seconds) in [(1, Some(90)), (60, None), (100, Some(u64::MAX))] {
        let sent = Progress {
            step: format!("fold {percent}"),
            percent,
            remaining_seconds,
        };
        let answer = put_json(&world, &trainer, &path, &serde_json::to_value(&sent)?).await?;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let found: Progress = world.get(&operator, &path).await?.json().await?;
        assert_eq!((found.step, found.percent), (sent.step, percent));
        assert_eq!(found.remaining_seconds.is_some(), remaining_seconds.is_some());
    }
    for body in [
        json!({"step": "x", "percent": 101}),
        json!({"step": "x", "percent": -1}),
        json!({"step": "a\u{0}b", "percent": 1}),
        json!({"step": "x".repeat(1001), "percent": 1}),
    ] {
        let answer = put_json(&world, &trainer, &path, &body).await?;
        refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_older_state_never_replaces_a_newer_one() -> Result<()> {
    let world = World::start().await?;
    let operator = world.operator().await?;
    let uid = "5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11";
    let list = format!("/v1/model-versions/{}", world.namespace);
    let path = format!("{list}/{uid}");
    for (record, stored) in [
        (record(Role::Candidate, 2, "2026-11-23T09:00:00Z"), true),
        (record(Role::Candidate, 2, "2026-11-23T09:00:00Z"), true),
        (record(Role::Live, 2, "2026-11-23T10:00:00.5+01:00"), true),
        (record(Role::Pending, 1, "2026-11-23T11:00:00Z"), false),
        (record(Role::Candidate, 2, "2026-11-23T08:59:59Z"), false),
        (record(Role::Retired, 3, "2026-11-23T08:00:00Z"), true),
    ] {
        let answer = put_json(&world, &operator, &path, &serde_json::to_value(&record)?).await?;
        let answer: Value = expect_success(answer).await?.json().await?;
        assert_eq!(answer, json!({"stored": stored}), "{record:?}");
    }
    let found: Value = expect_success(world.get(&operator, &list).await?)
        .await?
        .json()
        .await?;
    let mut expected = serde_json::to_value(record(Role::Retired, 3, "2026-11-23T08:00:00.000000Z"))?;
    expected["uid"] = uid.into();
    assert_eq!(found, json!({"items": [expected]}));
    let after: Value = world
        .get(&operator, &format!("{list}?after={uid}"))
        .await?
        .json()
        .await?;
    assert_eq!(after, json!({"items": []}));
    Ok(())
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_refused_in_words() -> Result<()> {
    let world = World::start().await?;
    let operator = world.operator().await?;
    let path = format!(
        "/v1/model-versions/{}/5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11",
        world.namespace
    );
    let good = serde_json::to_value(record(Role::Live, 1, "2026-11-23T09:00:00Z"))?;
    for (field, value) in [
        ("role", json!("King")),
        ("name", json!("Not A Name")),
        ("model", json!("")),
        ("generation", json!(-1)),
        ("observedAt", json!("yesterday")),
        ("observedAt", json!("-000044-03-15T12:00:00Z")),
        ("family", json!("a\u{0}")),
        ("bundle", json!("sha256:short")),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = put_json(&world, &operator, &path, &body).await?;
        refusal(answer, StatusCode::UNPROCESSABLE_ENTITY)
            .await
            .map_err(|error| error.context(field))?;
    }
    Ok(())
}

#[tokio::test]
async fn versions_are_listed_in_pages() -> Result<()> {
    let world = World::start().await?;
    let operator = world.operator().await?;
    world
        .postgres
        .execute(
            &world.database.url,
            &format!(
                "INSERT INTO model_versions (uid, namespace, name, model, role, generation, observed_at) \
                 SELECT gen_random_uuid(), '{}', 'v-' || n, 'heart', 'Retired', 1, now() FROM generate_series(1, 700) n",
                world.namespace
            ),
        )
        .await?;
    let list = format!("/v1/model-versions/{}", world.namespace);
    let first: Value = world.get(&operator, &list).await?.json().await?;
    assert_eq!(first["items"].as_array().unwrap().len(), 500);
    let after = first["after"].as_str().unwrap();
    let second: Value = world
        .get(&operator, &format!("{list}?after={after}"))
        .await?
        .json()
        .await?;
    assert_eq!(second["items"].as_array().unwrap().len(), 200);
    assert!(second.get("after").is_none());
    refusal(
        world.get(&operator, &format!("{list}?after=x")).await?,
        StatusCode::BAD_REQUEST,
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_stored_manifest_is_indexed_with_its_size() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let content = bytes(20, 5000);
    let digest = world.publish(&trainer, &content).await?;
    let mut database = PgConnection::connect(&world.database.url).await?;
    let mut rows: Vec<(String, String, String, i64, bool)> = Vec::new();
    until("the index row", async || {
        let select = "SELECT namespace, digest::text, kind, size, created_at > now() - interval '1 minute' FROM artifacts";
        rows = sqlx::query_as(select).fetch_all(&mut database).await?;
        Ok(!rows.is_empty())
    })
    .await?;
    let manifest = world
        .get(&trainer, &world.manifest(&digest))
        .await?
        .bytes()
        .await?;
    let size = i64::try_from(content.len() + manifest.len())?;
    assert_eq!(
        rows,
        [(
            world.namespace.clone(),
            digest.to_string(),
            "Bundle".into(),
            size,
            true
        )]
    );
    Ok(())
}

#[tokio::test]
async fn the_ledgers_role_can_delete_nothing_and_change_no_schema() -> Result<()> {
    let world = World::start().await?;
    let mut role = PgConnection::connect(&std::fs::read_to_string(&world.url_file)?).await?;
    for statement in [
        "DELETE FROM job_results",
        "TRUNCATE model_versions",
        "UPDATE artifacts SET size = 1",
        "DELETE FROM _sqlx_migrations",
        "UPDATE _sqlx_migrations SET success = false",
        "DROP TABLE artifacts",
        "CREATE TABLE mine (x int)",
        "ALTER TABLE job_results DROP COLUMN verdict",
        "DELETE FROM counts",
        "UPDATE counts SET pod_uid = gen_random_uuid()",
        "UPDATE counts SET version = 'x'",
        "DELETE FROM feedback",
        "UPDATE feedback SET actual = 1",
        "DELETE FROM drift_reports",
        "UPDATE drift_reports SET verdict = 'NoDrift'",
        "DROP FUNCTION delete_expired",
        "DELETE FROM search_rounds",
        "UPDATE search_rounds SET record = 'x'",
        "DROP FUNCTION forget_searches",
    ] {
        let error = sqlx::query(statement).execute(&mut role).await.unwrap_err();
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
    }
    Ok(())
}
