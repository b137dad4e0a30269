//! Counts in = counts out.

use anyhow::Result;
use modelward_kit::postgres::Postgres;
use modelward_profile::{ChosenBy, Counts, Envelope, Reference};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::{
    heart::{self, Random, WINDOW, batch, envelope, patients, route, window},
    support::{Caller, World, bytes, digest_of, expect_success, refusal},
};

async fn report(world: &World, caller: &Caller, body: &impl serde::Serialize) -> Result<Value> {
    let path = format!("/v1/counts/{}/heart", world.namespace);
    Ok(expect_success(world.put_json(caller, &path, body).await?)
        .await?
        .json()
        .await?)
}

async fn listed(world: &World, caller: &Caller, query: &str) -> Result<Value> {
    let path = format!("/v1/counts/{}/heart{query}", world.namespace);
    let mut found: Value = expect_success(world.get(caller, &path).await?)
        .await?
        .json()
        .await?;
    Ok(found["versions"].take())
}

fn answer(kept: u64, repeated: u64, late: u64, refused: u64) -> Value {
    json!({"kept": kept, "repeated": repeated, "late": late, "refused": refused})
}

#[tokio::test]
async fn any_split_order_and_repetition_of_the_same_rows_has_the_same_sum() -> Result<()> {
    const PODS: usize = 4;
    const STEPS: u64 = 6;
    let world = World::start().await?;
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let mut pods = vec![world.server("heart").await?];
    for pod in 1..PODS {
        pods.push(world.another_server("heart", &format!("y{pod}")).await?);
    }
    let reference = heart::reference();
    let bundle = world
        .publish_files(&trainer, &[("reference.json", &serde_json::to_vec(&reference)?)])
        .await?;
    let route = route(bundle);
    let mut hungarian = patients("hungarian.csv");
    let mut random = Random(7);
    random.shuffle(&mut hungarian);

    // Each Pod runs twice and counts in two windows. Each total is sent in growing steps.
    let mut sent: Vec<(usize, Envelope)> = Vec::new();
    for (part, rows) in hungarian.chunks(hungarian.len().div_ceil(PODS * 4)).enumerate() {
        let (pod, life, start) = (
            part % PODS,
            part / PODS % 2,
            window(1 + i64::try_from(part / (2 * PODS))?),
        );
        for step in 1..=STEPS {
            let counts = heart::counts(
                &reference.bins,
                &rows[..rows.len() * step as usize / STEPS as usize],
            );
            let mut total = envelope(&route, 100 + (pod * 2 + life) as u128, start, step, counts);
            total.closed = step == STEPS && part != 5;
            sent.push((pod, total));
        }
    }
    assert_eq!(
        sent.len(),
        PODS * 4 * STEPS as usize,
        "two lives and two windows of each Pod"
    );
    // Everything at least once, half of it twice, in any order, several requests at a time, some with several totals.
    let again: Vec<_> = sent.iter().filter(|_| random.below(2) == 0).cloned().collect();
    sent.extend(again);
    random.shuffle(&mut sent);
    let mut requests: Vec<(usize, Vec<Envelope>)> = Vec::new();
    for (pod, total) in sent {
        match requests
            .iter_mut()
            .rev()
            .take(6)
            .find(|(of, totals)| *of == pod && totals.len() < 4)
        {
            Some((_, totals)) if random.below(2) == 0 => totals.push(total),
            _ => requests.push((pod, vec![total])),
        }
    }
    let answers = futures::future::try_join_all(requests.into_iter().map(|(pod, totals)| {
        let (world, pods, route) = (&world, &pods, &route);
        async move { report(world, &pods[pod], &batch(route, totals)).await }
    }))
    .await?;
    assert!(answers.iter().all(|answer| answer["refused"] == 0));

    let whole = heart::counts(&reference.bins, &hungarian);
    let versions = listed(&world, &operator, "").await?;
    assert_eq!(
        versions,
        json!([{
            "version": "heart-1", "bundle": bundle.to_string(), "rows": 294, "synthetic": 0, "repeated": 0,
            "overLimit": 0, "answered": 294, "incarnations": 8, "unclosed": 1,
        }])
    );
    let mut database = PgConnection::connect(&world.database.url).await?;
    let rows: i64 = sqlx::query_scalar("SELECT sum(rows)::bigint FROM counts")
        .fetch_one(&mut database)
        .await?;
    assert_eq!(rows, 294);
    // The sum equals the counts of all rows, byte for byte.
    let request = json!({
        "format": 1, "model": "heart", "version": "heart-1", "bundle": bundle, "start": window(2), "end": window(0),
        "since": window(2), "evidenceFrom": window(2), "minimumRows": 100, "tolerance": "0.1",
    });
    let path = format!(
        "/v1/drift-reports/{}/5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11",
        world.namespace
    );
    let answer = expect_success(world.put_json(&operator, &path, &request).await?).await?;
    let result: modelward_wire::ReportResult = answer.json().await?;
    let window = serde_json::to_vec(&Reference {
        bins: reference.bins,
        counts: whole,
        chosen_by: ChosenBy::None,
        phases: None,
    })?;
    assert_eq!(result.counts, Some(digest_of(&window)));
    assert_eq!(
        (result.rows, result.incarnations, result.unclosed.len()),
        (294, 8, 1)
    );
    Ok(())
}

#[tokio::test]
async fn of_each_total_the_highest_sequence_stays_and_the_first_of_two_equal_ones() -> Result<()> {
    let world = World::start().await?;
    let server = world.server("heart").await?;
    let reference = heart::reference();
    let route = route(digest_of(b"bundle"));
    let cleveland = patients("cleveland.csv");
    let total = |sequence: u64, rows: usize| {
        let counts = heart::counts(&reference.bins, &cleveland[..rows]);
        envelope(&route, 1, window(1), sequence, counts)
    };
    let send = async |totals: Vec<Envelope>| report(&world, &server, &batch(&route, totals)).await;
    let rows = async || Ok::<_, anyhow::Error>(listed(&world, &server, "").await?[0].take());

    assert_eq!(send(vec![]).await?, answer(0, 0, 0, 0));
    assert_eq!(send(vec![total(2, 20)]).await?, answer(1, 0, 0, 0));
    assert_eq!(send(vec![total(2, 20)]).await?, answer(0, 1, 0, 0));
    assert_eq!(send(vec![total(1, 10)]).await?, answer(0, 0, 1, 0));
    assert_eq!(send(vec![total(2, 30)]).await?, answer(0, 0, 0, 1));
    assert_eq!(rows().await?["rows"], 20);
    let mut others = total(1, 5);
    others.key.incarnation.0 = 2;
    assert_eq!(
        send(vec![total(3, 30), others, total(2, 20), total(1, 10)]).await?,
        answer(2, 0, 2, 0)
    );
    assert_eq!(rows().await?["rows"], 35);
    assert_eq!(rows().await?["unclosed"], 2);

    // A closed window stays closed, and no row is lost.
    let mut closed = total(4, 40);
    closed.closed = true;
    assert_eq!(send(vec![closed]).await?, answer(1, 0, 0, 0));
    assert_eq!(send(vec![total(5, 41)]).await?, answer(1, 0, 0, 0));
    let found = rows().await?;
    assert_eq!(
        (&found["rows"], &found["unclosed"]),
        (&json!(46), &json!(1)),
        "{found}"
    );

    // Windows are identified by their start. Rows that are set aside are answered but not judged.
    let mut aside = envelope(&route, 1, window(2), 1, Counts::new(&reference.bins));
    aside.counts.aside.synthetic = 7;
    aside.counts.aside.repeated = 2;
    aside.counts.aside.over_limit = 1;
    assert_eq!(send(vec![aside]).await?, answer(1, 0, 0, 0));
    let earlier = format!("?start={}&end={}", window(2), window(1));
    assert_eq!(
        listed(&world, &server, &earlier).await?,
        json!([{
            "version": "heart-1", "bundle": route.digest.to_string(), "rows": 0, "synthetic": 7, "repeated": 2,
            "overLimit": 1, "answered": 10, "incarnations": 1, "unclosed": 1,
        }])
    );
    assert_eq!(listed(&world, &server, "?end=60").await?, json!([]));
    for (outcome, count) in [("kept", 6.0), ("repeated", 1.0), ("late", 3.0), ("refused", 1.0)] {
        let name = format!("modelward_ledger_totals_total{{outcome=\"{outcome}\"}}");
        assert_eq!(world.metric(&name).await?, Some(count), "{outcome}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_counts_for_its_own_model_and_no_other_caller_does() -> Result<()> {
    let world = World::start().await?;
    let (heart, lung) = (world.server("heart").await?, world.server("lung").await?);
    let (trainer, operator) = (world.trainer("heart-1").await?, world.operator().await?);
    let other = world.api.namespace().await;
    let route = route(digest_of(b"bundle"));
    let body = batch(&route, vec![]);
    let path = format!("/v1/counts/{}/heart", world.namespace);
    for stranger in [&lung, &trainer, &operator] {
        refusal(
            world.put_json(stranger, &path, &body).await?,
            StatusCode::FORBIDDEN,
        )
        .await?;
    }
    let elsewhere = format!("/v1/counts/{other}/heart");
    refusal(
        world.put_json(&heart, &elsewhere, &body).await?,
        StatusCode::FORBIDDEN,
    )
    .await?;
    refusal(world.get(&heart, &elsewhere).await?, StatusCode::FORBIDDEN).await?;
    let sentence = refusal(
        world
            .put_json(&heart, &path.replace("heart", "lung"), &body)
            .await?,
        StatusCode::FORBIDDEN,
    )
    .await?;
    assert!(sentence.contains("Model heart"), "{sentence}");
    report(&world, &heart, &body).await?;
    for reader in [&lung, &trainer, &operator] {
        assert_eq!(listed(&world, reader, "").await?, json!([]));
    }
    Ok(())
}

#[tokio::test]
async fn what_no_server_of_ours_sends_is_refused_in_words_and_nothing_of_it_is_kept() -> Result<()> {
    let world = World::start().await?;
    let server = world.server("heart").await?;
    let reference = heart::reference();
    let route = route(digest_of(b"bundle"));
    let total = |start: i64| envelope(&route, 1, start, 1, heart::counts(&reference.bins, &[]));
    let path = format!("/v1/counts/{}/heart", world.namespace);

    let mut forged = batch(&route, vec![total(window(1)), total(window(2))]);
    forged.envelopes[0].key.route = digest_of(b"another route");
    let mut unnamed = batch(&route, vec![total(window(1))]);
    unnamed.routes.clear();
    let mut crooked = batch(&route, vec![total(window(1) + 1)]);
    crooked.envelopes.push(total(window(1)));
    let mut many = batch(&route, vec![total(window(1))]);
    many.envelopes[0].counts.features.features[0].values.fill(1 << 40);
    let mut wide = batch(&route, vec![total(window(1))]);
    wide.envelopes[0].counts.features.features[0].values = vec![0; 1_100_001];
    let mut drowning = batch(&route, vec![total(window(1))]);
    drowning.envelopes[0].counts.features.rows = 1 << 32;
    drowning.envelopes[0].counts.score.rows = 1 << 32;
    let mut restarted = batch(&route, Vec::new());
    restarted.envelopes = (0..193)
        .map(|incarnation| {
            let counts = heart::counts(&reference.bins, &[]);
            envelope(&route, incarnation, window(1), 1, counts)
        })
        .collect();
    for (body, said) in [
        (&wide, "at most 1100000 are accepted"),
        (&drowning, "one process answers at most"),
        (&restarted, "one Pod may report at most 192 totals"),
        (&forged, "not the digest of a route"),
        (&unnamed, "not the digest of a route"),
        (&crooked, "not a multiple"),
        (&many, "more values than"),
        (
            &batch(&route, vec![total(window(-20))]),
            "ahead of the ledger's clock",
        ),
        (&batch(&route, vec![total(window(91 * 24 * 60))]), "90 days"),
    ] {
        let answer = world.put_json(&server, &path, body).await?;
        let sentence = refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
        assert!(sentence.contains(said), "{sentence}");
    }
    for body in ["", "{}", "[]", "{\"format\": 1e99}"] {
        let answer = world.put(&server, &path, body).await?;
        refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
    }
    let answer = world.put(&server, &path, bytes(50, 12 * 1024 * 1024 + 1)).await?;
    refusal(answer, StatusCode::PAYLOAD_TOO_LARGE).await?;
    let strange = format!("/v1/counts/{}/He%20art", world.namespace);
    refusal(world.get(&server, &strange).await?, StatusCode::BAD_REQUEST).await?;
    for query in ["?start=5&end=4", "?start=-1", "?end=99999999999999"] {
        let answer = world.get(&server, &format!("{path}{query}")).await?;
        refusal(answer, StatusCode::BAD_REQUEST).await?;
    }
    assert_eq!(listed(&world, &server, "").await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn what_is_too_old_is_deleted_by_the_one_way_there_is() -> Result<()> {
    let world = World::start().await?;
    let age = |table: &str, days: i64| {
        let columns = match table {
            "counts" => format!(
                "(namespace, model, pod_uid, incarnation, route, window_start, window_seconds, version, bundle, sequence, \
                 closed, rows, synthetic, repeated, over_limit, envelope) SELECT 'n', 'm', gen_random_uuid(), \
                 repeat('0', 32), 'sha256:' || repeat('0', 64), now() - interval '{days} days', {WINDOW}, 'v', \
                 'sha256:' || repeat('0', 64), 1, true, 1, 0, 0, 0, '{{}}'"
            ),
            _ => format!(
                "(namespace, model, prediction_id, route, predicted_at, score, class, actual, received_at) \
                 SELECT 'n', 'm', md5(n || 'a{days}') || md5(n || 'b'), repeat('0', 16), now(), 0.5, 1, 1, \
                 now() - interval '{days} days'"
            ),
        };
        format!("INSERT INTO {table} {columns} FROM generate_series(1, 30) n;")
    };
    let rows = age("counts", 89) + &age("counts", 91) + &age("feedback", 399) + &age("feedback", 401);
    world.postgres.execute(&world.database.url, &rows).await?;
    let mut role = PgConnection::connect(&std::fs::read_to_string(&world.url_file)?).await?;
    // A table of the caller with the same name is ignored.
    sqlx::raw_sql("CREATE TEMPORARY TABLE counts (window_start timestamptz)")
        .execute(&mut role)
        .await?;
    let mut deleted = Vec::new();
    for _ in 0..5 {
        let count: i64 = sqlx::query_scalar("SELECT delete_expired(20)")
            .fetch_one(&mut role)
            .await?;
        deleted.push(count);
    }
    assert_eq!(deleted, [40, 20, 0, 0, 0]);
    for table in ["public.counts", "feedback"] {
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut role)
            .await?;
        assert_eq!(left, 30, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_has_used_up_its_quota_is_refused_with_the_reason_and_others_are_not() -> Result<()>
{
    let world = World::with(Postgres::shared().await?, |config| config.quotas.totals = 2).await?;
    let server = world.server("heart").await?;
    let reference = heart::reference();
    let route = route(digest_of(b"bundle"));
    let path = format!("/v1/counts/{}/heart", world.namespace);
    let total = |ago: i64| {
        let counts = heart::counts(&reference.bins, &[]);
        batch(&route, vec![envelope(&route, 1, window(ago), 1, counts)])
    };
    for ago in 1..=2 {
        expect_success(world.put_json(&server, &path, &total(ago)).await?).await?;
    }
    let answer = world.put_json(&server, &path, &total(3)).await?;
    let sentence = refusal(answer, StatusCode::INSUFFICIENT_STORAGE).await?;
    for word in [&world.namespace, "2 of at most 2", "windowSeconds"] {
        assert!(sentence.contains(word), "{sentence} lacks {word}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hundred_batches_of_twelve_megabytes_at_once_are_refused_and_take_little_memory() -> Result<()> {
    let world = World::start().await?;
    let server = world.server("heart").await?;
    let route = route(digest_of(b"bundle"));
    let reference = heart::reference();
    let mut wide = envelope(&route, 1, window(1), 1, heart::counts(&reference.bins, &[]));
    wide.counts.features.features[0].values = vec![0; 6_000_000];
    let body = bytes::Bytes::from(serde_json::to_vec(&batch(&route, vec![wide]))?);
    assert!(
        (12_000_000..12 * 1024 * 1024).contains(&body.len()),
        "{}",
        body.len()
    );
    let path = format!("/v1/counts/{}/heart", world.namespace);
    let resident = || -> Result<u64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        Ok(line.split_whitespace().nth(1).unwrap().parse::<u64>()? / 1024)
    };
    let before = resident()?;
    let sent = (0..100).map(|_| world.put(&server, &path, body.clone()));
    for answer in futures::future::join_all(sent).await {
        let status = answer?.status();
        let refused = [
            StatusCode::UNPROCESSABLE_ENTITY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::REQUEST_TIMEOUT,
        ];
        assert!(refused.contains(&status), "{status}");
    }
    // The ledger and the senders, which share a body, run in this process.
    let grown = resident()?.saturating_sub(before);
    assert!(grown < 300, "{grown} MiB");
    // Senders and ledger share one thread here, so a check of PostgreSQL may have been late once.
    world.until_ready().await?;
    Ok(())
}
