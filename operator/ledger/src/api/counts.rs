//! Counts of traffic, as cumulative totals.

use axum::{
    Extension, Json,
    extract::{Query, Request, State},
};
use modelward_profile::{
    Absorbed, Counts, CountsBatch, CumulativeTotals,
    atomic::ROW_LIMIT,
    counts::COUNTS_FORMAT,
    route_digest,
    totals::{ENVELOPE_FORMAT, MAX_COUNTERS},
};
use modelward_wire::{Digest, Route};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    extract::{LAST_SECOND, OfModel, is_name, not_a_name, parse, whole},
    state::Shared,
};
use crate::{
    amount::{Amount, Kept},
    auth::Caller,
    database::{Tally, Total},
    error::ApiError,
    metrics::OutcomeLabels,
};

#[derive(Deserialize)]
pub(super) struct Interval {
    start: Option<i64>,
    end: Option<i64>,
}

/// Maximum rows per second of one process. A total that claims more would dominate the counts of all others.
const MAX_ROWS_A_SECOND: u64 = 100_000;
/// A model with 1,000 features reports about 0.5 MiB per window and route. [`MAX_COUNTERS`] of 100,000 to 999,999 each take 7.3 MiB.
const MAX_COUNTS_BYTES: u64 = 12 * 1024 * 1024;
/// How far the clock of a node may be ahead.
pub(super) const CLOCK_SECONDS: i64 = 300;
/// Totals of older windows would be deleted immediately.
const MAX_AGE_SECONDS: i64 = 90 * 24 * 3600;
const MAX_WINDOW_SECONDS: u32 = 604_800;
/// A total that is taken while rows are being counted may be inconsistent by this many rows, at most one per thread.
const IN_FLIGHT: u64 = 1 << 20;
/// Maximum value of a counter: the largest integer that every JSON parser reads exactly.
const MAX_COUNT: u64 = (1 << 53) - 1;

pub(super) async fn put_counts(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    OfModel { namespace, model }: OfModel,
    request: Request,
) -> Result<Json<Tally>, ApiError> {
    let pod = caller.may_count(&namespace, &model)?;
    let body = whole(&app, &namespace, request, "batch of counts", MAX_COUNTS_BYTES).await?;
    let batch: CountsBatch = parse(&body, "batch of counts")?;
    let more = Amount {
        rows: batch.envelopes.len() as u64,
        bytes: body.len() as u64,
    };
    let window_seconds = check_batch(&batch, jiff::Timestamp::now().as_second())?;
    let (totals, set_aside) = fold(batch)?;
    let mut tally = Tally::default();
    if !totals.is_empty() {
        app.quota
            .take(&app.database, &namespace, Kept::Totals, more)
            .await?;
        tally = app
            .database
            .put_counts(&namespace, &model, pod, window_seconds, totals)
            .await?;
    }
    if tally.refused + set_aside.refused > 0 {
        tracing::warn!(
            "Pod {pod} of Model {namespace}/{model} used a sequence number for two different totals"
        );
    }
    let tally = Tally {
        kept: tally.kept,
        repeated: tally.repeated + set_aside.repeated,
        late: tally.late + set_aside.late,
        refused: tally.refused + set_aside.refused,
    };
    for (outcome, count) in [
        ("kept", tally.kept),
        ("repeated", tally.repeated),
        ("late", tally.late),
        ("refused", tally.refused),
    ] {
        app.metrics
            .totals
            .get_or_create(&OutcomeLabels { outcome })
            .inc_by(count);
    }
    Ok(Json(tally))
}

pub(super) async fn get_counts(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    OfModel { namespace, model }: OfModel,
    Query(Interval { start, end }): Query<Interval>,
) -> Result<Json<Value>, ApiError> {
    caller.may_read(&namespace)?;
    let (start, end) = (start.unwrap_or(0), end.unwrap_or(LAST_SECOND));
    if !(0 <= start && start <= end && end <= LAST_SECOND) {
        return Err(ApiError::BadRequest(
            "start and end must be seconds since 1970, start not after end".into(),
        ));
    }
    let versions = app.database.counts(&namespace, &model, start, end).await?;
    Ok(Json(json!({"versions": versions})))
}

/// Refuses a batch that no inference server sends, and returns the length of its windows.
fn check_batch(batch: &CountsBatch, now: i64) -> Result<i32, ApiError> {
    let bad = |why: String| Err(ApiError::Unprocessable(why));
    if batch.format != ENVELOPE_FORMAT {
        return bad(format!(
            "the batch has format {}, this ledger takes format {ENVELOPE_FORMAT}: use images of one release",
            batch.format
        ));
    }
    let length = match i32::try_from(batch.window_seconds) {
        Ok(length) if (1..=MAX_WINDOW_SECONDS).contains(&batch.window_seconds) => length,
        _ => {
            return bad(format!(
                "windowSeconds is {}, it must be 1 to {MAX_WINDOW_SECONDS}",
                batch.window_seconds
            ));
        }
    };
    if let Some(route) = batch.routes.iter().find(|route| !is_name(&route.version)) {
        return bad(not_a_name("the version of a route", &route.version));
    }
    for envelope in &batch.envelopes {
        let start = envelope.key.window_start;
        if envelope.format != ENVELOPE_FORMAT {
            return bad(format!(
                "an envelope has format {}, this ledger takes format {ENVELOPE_FORMAT}: use images of one release",
                envelope.format
            ));
        }
        if start.rem_euclid(i64::from(length)) != 0 {
            return bad(format!(
                "a window starts at {start}, which is not a multiple of its {length} seconds"
            ));
        }
        if start > now + CLOCK_SECONDS {
            return bad(format!(
                "a window starts at {start}, which is {} seconds ahead of the ledger's clock: check the clock of the node",
                start - now
            ));
        }
        if start < now - MAX_AGE_SECONDS {
            return bad(format!(
                "a window starts at {start}, and counts are kept for 90 days: check the clock of the node"
            ));
        }
        if envelope.sequence > MAX_COUNT {
            return bad(format!("a sequence is {}, which is too large", envelope.sequence));
        }
        check_counts(&envelope.counts, batch.window_seconds).map_err(|why| {
            ApiError::Unprocessable(format!(
                "the counts of the window at {start} are impossible: {why}"
            ))
        })?;
    }
    Ok(length)
}

/// Checks counts without knowing their bins.
fn check_counts(counts: &Counts, window_seconds: u32) -> Result<(), String> {
    if counts.format != COUNTS_FORMAT {
        return Err(format!(
            "their format is {} and not {COUNTS_FORMAT}",
            counts.format
        ));
    }
    let (features, score, aside) = (&counts.features, &counts.score, counts.aside);
    for (name, count) in [
        ("rows", features.rows),
        ("score.rows", score.rows),
        ("synthetic", aside.synthetic),
        ("repeated", aside.repeated),
        ("overLimit", aside.over_limit),
        ("refused", counts.refused),
    ] {
        if count > MAX_COUNT {
            return Err(format!("{name} is {count}, which is too large"));
        }
    }
    let counters = counts.counters();
    if counters > MAX_COUNTERS {
        return Err(format!(
            "they have {counters} counters, at most {MAX_COUNTERS} are accepted"
        ));
    }
    let rows = features.rows;
    let most = u64::from(window_seconds.max(60)) * MAX_ROWS_A_SECOND;
    if rows.max(score.rows) > most {
        return Err(format!(
            "they claim {} rows, but one process answers at most {MAX_ROWS_A_SECOND} per second, {most} in its window",
            rows.max(score.rows)
        ));
    }
    if rows.max(score.rows) > ROW_LIMIT + IN_FLIGHT {
        return Err(format!("one process counts at most {ROW_LIMIT} rows per window"));
    }
    if rows.abs_diff(score.rows) > IN_FLIGHT {
        return Err(format!("{rows} rows have {} scores", score.rows));
    }
    for (index, feature) in features.features.iter().enumerate() {
        if feature.seen().is_none_or(|seen| seen > rows + IN_FLIGHT) {
            return Err(format!("feature {index} has more values than there are rows"));
        }
        if feature.type_errors > MAX_COUNT {
            return Err(format!("feature {index} has too many type errors"));
        }
    }
    let [zero, one] = &score.classes;
    if zero.values.len() != one.values.len() {
        return Err("the classes have different numbers of bins".into());
    }
    let scores = zero
        .len()
        .zip(one.len())
        .and_then(|(zero, one)| zero.checked_add(one));
    if scores.is_none_or(|scores| scores > score.rows + IN_FLIGHT) {
        return Err("there are more scores in the bins than rows".into());
    }
    // A score and its square are at most one.
    let most = u128::from(score.rows + IN_FLIGHT) * u128::from(modelward_profile::FixedSum::SCALE);
    let sums = [zero, one].map(|class| [class.sum, class.sum_squares]);
    if sums.iter().flatten().any(|sum| sum.0 > most) {
        return Err("the sum of the scores is more than one for each row".into());
    }
    Ok(())
}

/// The latest total of each key in a batch, with its route, and the numbers of the others.
fn fold(batch: CountsBatch) -> Result<(Vec<Total>, Tally), ApiError> {
    let routes: Vec<(Digest, Route)> = batch
        .routes
        .into_iter()
        .map(|route| (route_digest(&route), route))
        .collect();
    let mut tally = Tally::default();
    let mut totals = CumulativeTotals::default();
    let mut sent = 0;
    for envelope in batch.envelopes {
        sent += 1;
        match totals.absorb(envelope) {
            Ok(Absorbed::Kept) => {}
            Ok(Absorbed::Repeated) => tally.repeated += 1,
            Ok(Absorbed::Late) => tally.late += 1,
            Err(_) => tally.refused += 1,
        }
    }
    let mut latest = Vec::new();
    for envelope in totals.latest() {
        let route = envelope.key.route;
        let Some((_, route)) = routes.iter().find(|(digest, _)| *digest == route) else {
            return Err(ApiError::Unprocessable(format!(
                "an envelope has route {route}, which is not the digest of a route of the batch"
            )));
        };
        latest.push(Total {
            version: route.version.clone(),
            bundle: route.digest,
            envelope: envelope.clone(),
        });
    }
    // An envelope that was replaced by a later one of the same batch is late.
    tally.late = sent - latest.len() as u64 - tally.repeated - tally.refused;
    Ok((latest, tally))
}

#[cfg(test)]
mod tests {
    use modelward_profile::{Bins, Envelope, FeatureBins, Incarnation, Observed, ScoreBins, TotalKey};
    use modelward_wire::RouteMode;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    type Change = fn(&mut CountsBatch);

    fn route() -> Route {
        Route {
            version: "heart-1".into(),
            digest: Digest::from_bytes([1; 32]),
            weight: 100,
            threshold: "0.5".parse().unwrap(),
            mode: RouteMode::Live,
        }
    }

    fn batch() -> CountsBatch {
        let bins = Bins::new(
            vec![FeatureBins::numeric("x", &[1.0, 2.0]).unwrap()],
            ScoreBins::from_out_of_fold(&[0.5]).unwrap(),
        )
        .unwrap();
        let mut counts = Counts::new(&bins);
        counts.add_row(&bins, [Observed::Number(1.0)], 1.0, 1).unwrap();
        CountsBatch {
            format: ENVELOPE_FORMAT,
            window_seconds: 60,
            routes: vec![route()],
            envelopes: vec![Envelope {
                format: ENVELOPE_FORMAT,
                key: TotalKey {
                    route: route_digest(&route()),
                    window_start: NOW,
                    incarnation: Incarnation(7),
                },
                sequence: 3,
                closed: false,
                counts,
            }],
        }
    }

    #[test]
    fn what_a_server_sends_is_taken_also_while_it_counts() {
        assert_eq!(check_batch(&batch(), NOW).unwrap(), 60);
        let mut one = batch();
        // A snapshot in the middle of a row.
        one.envelopes[0].counts.features.features[0].missing += 5;
        one.envelopes[0].key.window_start += CLOCK_SECONDS;
        assert!(check_batch(&one, NOW).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        let changes: [(Change, &str); 15] = [
            (|batch| batch.format = 2, "format 2"),
            (|batch| batch.window_seconds = 0, "windowSeconds is 0"),
            (
                |batch| batch.window_seconds = u32::MAX,
                "windowSeconds is 4294967295",
            ),
            (|batch| batch.routes[0].version = "a\nb".into(), "name"),
            (|batch| batch.envelopes[0].format = 9, "format 9"),
            (|batch| batch.envelopes[0].key.window_start += 1, "not a multiple"),
            (
                |batch| batch.envelopes[0].key.window_start += 360,
                "360 seconds ahead",
            ),
            (
                |batch| batch.envelopes[0].key.window_start -= 91 * 86_400,
                "90 days",
            ),
            (|batch| batch.envelopes[0].sequence = u64::MAX, "too large"),
            (|batch| batch.envelopes[0].counts.format = 0, "format is 0"),
            (
                |batch| batch.envelopes[0].counts.aside.synthetic = u64::MAX,
                "synthetic",
            ),
            (
                |batch| {
                    batch.envelopes[0].counts.features.rows = 1 << 40;
                    batch.envelopes[0].counts.score.rows = 1 << 40;
                },
                "at most",
            ),
            (
                |batch| {
                    batch.envelopes[0].counts.features.features[0]
                        .values
                        .fill(u64::MAX);
                },
                "more values than",
            ),
            (
                |batch| batch.envelopes[0].counts.score.classes[0].values.fill(1 << 30),
                "more scores",
            ),
            (
                |batch| batch.envelopes[0].counts.score.classes[1].sum.0 = u128::MAX,
                "more than one for each row",
            ),
        ];
        for (change, said) in changes {
            let mut one = batch();
            change(&mut one);
            let error = check_batch(&one, NOW).unwrap_err().to_string();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
    }

    #[test]
    fn of_each_key_a_batch_is_reduced_to_its_latest_total() {
        let mut one = batch();
        let first = one.envelopes[0].clone();
        let newer = Envelope {
            sequence: 4,
            ..first.clone()
        };
        let forged = Envelope {
            closed: true,
            ..newer.clone()
        };
        one.envelopes = vec![first.clone(), newer.clone(), first, newer, forged];
        let (totals, tally) = fold(one).unwrap();
        assert_eq!((totals.len(), totals[0].envelope.sequence), (1, 4));
        assert_eq!((tally.repeated, tally.late, tally.refused), (1, 2, 1));
    }

    #[test]
    fn a_route_that_is_not_in_the_batch_is_refused() {
        let mut one = batch();
        one.routes[0].weight = 99;
        let error = fold(one).err().unwrap().to_string();
        assert!(error.contains("not the digest of a route"), "{error}");
    }
}
