//! Rounds of searches: stored for the Jobs of one version, limited, deleted.

use std::collections::BTreeMap;

use anyhow::Result;
use modelward_wire::{MAX_SEARCH_ROUND_BYTES, SEARCH_FORMAT, SearchRound, SearchTrial, paths};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::support::{AUDIENCE, Caller, World, digest_of, expect_success, owner, refusal};

fn round(number: u32, scores: usize) -> SearchRound {
    SearchRound {
        format: SEARCH_FORMAT,
        seconds: 7,
        trials: vec![SearchTrial {
            number,
            family: "XGBoost".into(),
            parameters: BTreeMap::from([("max_depth".into(), "6".into())]),
            places: vec![0.5_f64.to_bits()],
            rounds: Some(80),
            folds: 5,
            worth: vec![0.8_f64.to_bits(); 5],
            metrics: Some(vec![0.7_f64.to_bits(); 10]),
            scores: Some("A".repeat(scores)),
            failure: None,
        }],
    }
}

/// A Pod of one more Job of a version.
async fn another_job(world: &World, version: &str, uid: &str, name: &str) -> Result<Caller> {
    let owners = owner("modelward.io/v1alpha1", "ModelVersion", version, uid);
    let job = world.create_job(name, owners).await?;
    let pod = format!("{name}-x");
    let made = world
        .create_pod(&pod, owner("batch/v1", "Job", name, &job))
        .await?;
    Ok(Caller {
        token: world.token("default", Some(&made), &[AUDIENCE]).await?,
        job,
        pod,
    })
}

#[tokio::test]
async fn what_a_job_kept_the_next_job_of_its_version_reads_and_no_other() -> Result<()> {
    let world = World::start().await?;
    let namespace = world.namespace.as_str();
    let uid = world.create_version("heart-1").await?;
    let first = another_job(&world, "heart-1", &uid, "fit-1").await?;
    let second = another_job(&world, "heart-1", &uid, "fit-2").await?;
    let stranger = world.trainer("heart-2").await?;
    let search = digest_of(b"spec, snapshot and program");
    let path = |caller: &Caller, number| paths::search_round(namespace, &caller.job, &search, number);
    for number in [0, 1] {
        let answer = world
            .put_json(&first, &path(&first, number), &round(number + 1, 100))
            .await?;
        assert_eq!(expect_success(answer).await?.status(), StatusCode::NO_CONTENT);
    }
    // The first one stays: another Pod of the same Job may be slower.
    expect_success(world.put_json(&second, &path(&second, 0), &round(9, 1)).await?).await?;
    let read: SearchRound = expect_success(world.get(&second, &path(&second, 0)).await?)
        .await?
        .json()
        .await?;
    assert_eq!(read, round(1, 100));
    refusal(
        world.get(&second, &path(&second, 2)).await?,
        StatusCode::NOT_FOUND,
    )
    .await?;
    let other = paths::search_round(namespace, &second.job, &digest_of(b"another program"), 0);
    refusal(world.get(&second, &other).await?, StatusCode::NOT_FOUND).await?;
    // Another version has its own rounds for any digest, and a Pod may act only for its own Job.
    refusal(
        world.get(&stranger, &path(&stranger, 0)).await?,
        StatusCode::NOT_FOUND,
    )
    .await?;
    refusal(
        world.get(&stranger, &path(&first, 0)).await?,
        StatusCode::FORBIDDEN,
    )
    .await?;
    let operator = world.operator().await?;
    refusal(
        world.get(&operator, &path(&first, 0)).await?,
        StatusCode::FORBIDDEN,
    )
    .await?;

    let delete = async |caller: &Caller, job: &str| {
        let request = world.request(Method::DELETE, &paths::searches(namespace, job));
        request.bearer_auth(&caller.token).send().await
    };
    refusal(delete(&stranger, &first.job).await?, StatusCode::FORBIDDEN).await?;
    expect_success(delete(&stranger, &stranger.job).await?).await?;
    expect_success(world.get(&first, &path(&first, 1)).await?).await?;
    expect_success(delete(&second, &second.job).await?).await?;
    refusal(world.get(&first, &path(&first, 1)).await?, StatusCode::NOT_FOUND).await?;
    Ok(())
}

#[tokio::test]
async fn a_round_that_cannot_be_kept_is_refused_with_its_reason() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let search = digest_of(b"x");
    let path = |number| paths::search_round(&world.namespace, &trainer.job, &search, number);
    let mut newer = serde_json::to_value(round(1, 1))?;
    newer["format"] = json!(2);
    for (body, said) in [
        ("[1]".to_owned(), "cannot be read"),
        (newer.to_string(), "format 2"),
    ] {
        let answer = world.put(&trainer, &path(0), body).await?;
        let sentence = refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
        assert!(sentence.contains(said), "{sentence}");
    }
    let large = round(1, usize::try_from(MAX_SEARCH_ROUND_BYTES)?);
    let answer = world.put_json(&trainer, &path(0), &large).await?;
    refusal(answer, StatusCode::PAYLOAD_TOO_LARGE).await?;
    for wrong in ["1000", "-1", "x"] {
        let path = path(0).replace("rounds/0", &format!("rounds/{wrong}"));
        let answer = world.put_json(&trainer, &path, &round(1, 1)).await?;
        refusal(answer, StatusCode::BAD_REQUEST).await?;
    }
    // Each is small enough, but all together are not.
    let near = round(1, usize::try_from(MAX_SEARCH_ROUND_BYTES)? - 4096);
    let mut kept = 0;
    let sentence = loop {
        let answer = world.put_json(&trainer, &path(kept), &near).await?;
        if answer.status() != StatusCode::NO_CONTENT {
            break refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
        }
        kept += 1;
    };
    assert_eq!(kept, 16, "64 MiB");
    assert!(
        sentence.contains("the searches of this version have"),
        "{sentence}"
    );
    Ok(())
}

#[tokio::test]
async fn rounds_that_no_job_came_back_to_go_after_a_week() -> Result<()> {
    let world = World::start().await?;
    let trainer = world.trainer("heart-1").await?;
    let search = digest_of(b"x");
    for number in [0, 1] {
        let path = paths::search_round(&world.namespace, &trainer.job, &search, number);
        expect_success(world.put_json(&trainer, &path, &round(number, 1)).await?).await?;
    }
    let mut owner = PgConnection::connect(&world.database.url).await?;
    sqlx::query("UPDATE search_rounds SET recorded_at = now() - interval '8 days' WHERE round = 0")
        .execute(&mut owner)
        .await?;
    let mut role = PgConnection::connect(&std::fs::read_to_string(&world.url_file)?).await?;
    let deleted: i64 = sqlx::query_scalar("SELECT delete_expired(100)")
        .fetch_one(&mut role)
        .await?;
    let left: Vec<i32> = sqlx::query_scalar("SELECT round FROM search_rounds")
        .fetch_all(&mut role)
        .await?;
    assert_eq!((deleted, left), (1, vec![1]));
    Ok(())
}
