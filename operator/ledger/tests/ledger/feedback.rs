//! Labels: once, twice, contradicting, concurrent.

use anyhow::Result;
use modelward_wire::{FeedbackOutcome, FeedbackRecord};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::{Caller, World, expect_success, refusal};

fn label(id: u32, actual: u8) -> FeedbackRecord {
    FeedbackRecord {
        prediction_id: format!("{id:_>64}"),
        route: "0123456789abcdef".into(),
        predicted_at_ms: 1_700_000_000_123,
        score: 0.1 + 0.2,
        class: 0,
        actual,
    }
}

async fn report(world: &World, caller: &Caller, label: &FeedbackRecord) -> Result<FeedbackOutcome> {
    let path = format!("/v1/feedback/{}/heart", world.namespace);
    let answer: Value = expect_success(world.post_json(caller, &path, label).await?)
        .await?
        .json()
        .await?;
    Ok(serde_json::from_value(answer["outcome"].clone())?)
}

#[tokio::test]
async fn the_first_label_stays_and_a_contradiction_is_known_for_ever() -> Result<()> {
    use FeedbackOutcome::{Accepted, Contradicted, Repeated};
    let world = World::start().await?;
    let server = world.server("heart").await?;
    for (id, actual, outcome) in [
        (1, 1, Accepted),
        (1, 1, Repeated),
        (2, 0, Accepted),
        (1, 0, Contradicted),
        (1, 1, Contradicted),
        (1, 0, Contradicted),
        (2, 0, Repeated),
    ] {
        assert_eq!(
            report(&world, &server, &label(id, actual)).await?,
            outcome,
            "{id} {actual}"
        );
    }
    let mut database = PgConnection::connect(&world.database.url).await?;
    let rows: Vec<(String, i16, Option<i16>, f64, String)> = sqlx::query_as(
        "SELECT right(prediction_id, 1), actual, contradicted_by, score, \
         to_char(predicted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') FROM feedback ORDER BY 1",
    )
    .fetch_all(&mut database)
    .await?;
    let at = "2023-11-14 22:13:20.123";
    assert_eq!(
        rows,
        [
            ("1".into(), 1, Some(0), 0.1 + 0.2, at.into()),
            ("2".into(), 0, None, 0.1 + 0.2, at.into())
        ]
    );
    // Labels belong to one model. The same id of another model is another prediction.
    let lung = world.server("lung").await?;
    let path = format!("/v1/feedback/{}/lung", world.namespace);
    let answer = expect_success(world.post_json(&lung, &path, &label(1, 0)).await?).await?;
    assert_eq!(answer.json::<Value>().await?, json!({"outcome": "Accepted"}));
    for (outcome, count) in [("accepted", 3.0), ("repeated", 2.0), ("contradicted", 3.0)] {
        let name = format!("modelward_ledger_labels_total{{outcome=\"{outcome}\"}}");
        assert_eq!(world.metric(&name).await?, Some(count), "{outcome}");
    }
    Ok(())
}

#[tokio::test]
async fn of_labels_that_come_at_once_one_is_the_first() -> Result<()> {
    let world = World::start().await?;
    let server = world.server("heart").await?;
    let outcomes = futures::future::try_join_all((0..20_u32).map(|n| {
        let (world, server) = (&world, &server);
        async move { report(world, server, &label(3, u8::from(n % 2 == 0))).await }
    }))
    .await?;
    let count = |outcome| outcomes.iter().filter(|found| **found == outcome).count();
    assert_eq!(count(FeedbackOutcome::Accepted), 1, "{outcomes:?}");
    assert!(count(FeedbackOutcome::Contradicted) >= 10, "{outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn a_label_that_cannot_be_is_refused_and_a_stranger_too() -> Result<()> {
    let world = World::start().await?;
    let (server, lung) = (world.server("heart").await?, world.server("lung").await?);
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let path = format!("/v1/feedback/{}/heart", world.namespace);
    for stranger in [&lung, &trainer, &operator] {
        let answer = world.post_json(stranger, &path, &label(1, 1)).await?;
        refusal(answer, StatusCode::FORBIDDEN).await?;
    }
    let good = serde_json::to_value(label(1, 1))?;
    for (field, value) in [
        ("predictionId", json!("short")),
        ("predictionId", json!("a\0".repeat(32))),
        ("route", json!("0123456789ABCDEF")),
        ("predictedAtMs", json!(99_999_999_999_999_u64)),
        ("predictedAtMs", json!(-1)),
        ("score", json!(1.01)),
        ("score", json!("0.5")),
        ("class", json!(2)),
        ("actual", json!(256)),
        ("actual", json!(null)),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = world.post_json(&server, &path, &body).await?;
        refusal(answer, StatusCode::UNPROCESSABLE_ENTITY)
            .await
            .map_err(|error| error.context(field))?;
    }
    let answer = world.put_json(&server, &path, &good).await?;
    refusal(answer, StatusCode::METHOD_NOT_ALLOWED).await?;
    Ok(())
}
