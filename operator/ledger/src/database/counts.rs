//! Totals of counts: stores the total with the highest sequence number of each key, and sums intervals.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use modelward_profile::{Bins, Counts, CountsError, Envelope, Fingerprint, Incarnation};
use modelward_wire::Digest;
use serde::Serialize;
use sqlx::{Connection as _, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{Database, DatabaseError, interval::Interval};

/// One total, with the version and the bundle of its route.
pub(crate) struct Total {
    pub(crate) version: String,
    pub(crate) bundle: Digest,
    pub(crate) envelope: Envelope,
}

/// The result for the totals of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// They are now the latest of their keys.
    pub(crate) kept: u64,
    /// They were already there.
    pub(crate) repeated: u64,
    /// Later ones were already there.
    pub(crate) late: u64,
    /// Their sequence number was used for other content. The first content stays.
    pub(crate) refused: u64,
}

/// Windows of a model with one length that start in `from..end`, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct TrafficInterval {
    pub(crate) model: String,
    pub(crate) from: i64,
    pub(crate) end: i64,
    pub(crate) window_seconds: u32,
}

/// All counts of one version in one interval.
#[derive(Debug, Default)]
pub(crate) struct Summed {
    /// The processes that counted in the interval, and whether each has closed all of its windows.
    pub(crate) processes: BTreeMap<(Uuid, Incarnation), bool>,
    /// The windows of the interval and those before it, by start.
    pub(crate) windows: BTreeMap<i64, SummedWindow>,
    /// Totals that do not match the reference, by Pod: their number, and the error of the first one.
    pub(crate) misfits: BTreeMap<Uuid, (u64, CountsError)>,
    /// The start of the first complete window, if there were too many to read all of them.
    pub(crate) known_from: Option<i64>,
    totals: usize,
}

/// All counts of one version in one window.
#[derive(Debug)]
pub(crate) struct SummedWindow {
    /// Its length in seconds.
    pub(crate) seconds: i32,
    pub(crate) counts: Counts,
}

/// Bins with their fingerprints, which are expensive to compute.
struct Binned<'a> {
    bins: &'a Bins,
    fingerprints: (Fingerprint, Fingerprint),
}

/// The position of a total in the order of the index: start of its window, Pod, incarnation and route.
type Place = (i64, Uuid, String, String);

/// Why counts cannot be summed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SumError {
    /// The interval has too many totals for one answer.
    #[error(
        "the window has more than {SUM_LIMIT} totals; choose a shorter window, or a longer windowSeconds"
    )]
    TooMany,
    /// The interval has too many windows for the memory.
    #[error(
        "the window has more than {0} windows of counts; choose a shorter window, or a longer windowSeconds"
    )]
    TooManyWindows(usize),
}

/// Counts of one version in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionCounts {
    version: String,
    bundle: String,
    rows: i64,
    synthetic: i64,
    repeated: i64,
    over_limit: i64,
    answered: i64,
    incarnations: i64,
    unclosed: i64,
}

/// Maximum number of totals of one Pod in one window: a process that starts every minute, with three routes.
const TOTALS_OF_A_POD: i64 = 192;
/// Maximum number of totals of one sum: a week of hours by a hundred Pods.
const SUM_LIMIT: usize = 20_000;
/// Maximum number of totals that one statement reads, for a small model.
const SUM_PAGE: usize = 100;
/// Maximum number of counters that one statement reads: about 8 MiB as text, parsed within a second.
const PAGE_COUNTERS: usize = 1 << 20;
/// Time limit for reading totals before the interval. The operator waits 30 s for a verdict.
const SUM_TIME: Duration = Duration::from_secs(12);
/// Maximum number of separate windows of one sum: a week of hours and some seasons before it.
const SUM_WINDOWS: usize = 200;
/// Maximum number of counters of all windows of one sum, 8 bytes each: 28 windows of the widest model.
pub(crate) const SUM_COUNTERS: usize = 30_000_000;

/// Existing rows are updated. A closed total stays closed, but still accepts a later one, so that counts are not lost if a
/// process closed its window too early.
const KEEP: &str = "\
    INSERT INTO counts AS present (namespace, model, pod_uid, window_seconds, incarnation, route, window_start, version, \
    bundle, sequence, closed, rows, synthetic, repeated, over_limit, envelope, counters) \
    SELECT $1, $2, $3, $4, envelope #>> '{key,incarnation}', envelope #>> '{key,route}', \
    to_timestamp((envelope #>> '{key,windowStart}')::bigint), version, bundle, (envelope ->> 'sequence')::bigint, \
    (envelope ->> 'closed')::boolean, (envelope #>> '{counts,features,rows}')::bigint, \
    (envelope #>> '{counts,aside,synthetic}')::bigint, (envelope #>> '{counts,aside,repeated}')::bigint, \
    (envelope #>> '{counts,aside,overLimit}')::bigint, envelope, counters \
    FROM unnest($5::text[], $6::text[], $7::jsonb[], $8::integer[]) AS sent (version, bundle, envelope, counters) \
    ON CONFLICT (namespace, model, pod_uid, incarnation, route, window_start) DO UPDATE SET \
    (sequence, closed, rows, synthetic, repeated, over_limit, envelope, counters, received_at) = \
    (excluded.sequence, present.closed OR excluded.closed, excluded.rows, excluded.synthetic, excluded.repeated, \
    excluded.over_limit, excluded.envelope, excluded.counters, now()) \
    WHERE excluded.sequence > present.sequence";

/// Compares the sent totals with the stored ones.
const COMPARE: &str = "\
    SELECT count(*) FILTER (WHERE (sent ->> 'sequence')::bigint < sequence) AS late, \
    count(*) FILTER (WHERE (sent ->> 'sequence')::bigint = sequence AND sent = envelope) AS there \
    FROM unnest($4::jsonb[]) AS sent JOIN counts ON namespace = $1 AND model = $2 AND pod_uid = $3 \
    AND incarnation = sent #>> '{key,incarnation}' AND route = sent #>> '{key,route}' \
    AND window_start = to_timestamp((sent #>> '{key,windowStart}')::bigint)";

/// A window in which the Pod has too many of these totals.
const CROWDED: &str = "\
    SELECT extract(epoch FROM window_start)::bigint FROM counts WHERE namespace = $1 AND model = $2 AND pod_uid = $3 \
    AND window_start IN (SELECT to_timestamp((sent #>> '{key,windowStart}')::bigint) FROM unnest($4::jsonb[]) AS sent) \
    GROUP BY window_start HAVING count(*) > $5 LIMIT 1";

/// A page of totals before a position in the order of the index, the newest window first. A total with another number of counters than
/// the bins belongs to other bins. It is not read, because it may be too large for a page.
const SUM: &str = "\
    SELECT extract(epoch FROM window_start)::bigint AS start, pod_uid, incarnation, route::text AS route, window_seconds, \
    closed, CASE WHEN coalesce(counters, $11) = $11 THEN envelope END AS envelope FROM counts WHERE namespace = $1 AND model = $2 AND version = $3 AND bundle = $4 \
    AND (window_start, pod_uid, incarnation, route) < (to_timestamp($5::bigint), $6, $7, $8) \
    AND window_start >= to_timestamp($9::bigint) \
    ORDER BY window_start DESC, pod_uid DESC, incarnation DESC, route DESC LIMIT $10";

/// Answered rows of a model, by window.
const TRAFFIC: &str = "\
    SELECT extract(epoch FROM window_start)::bigint AS start, \
    least(sum(rows) + sum(repeated) + sum(over_limit), 9223372036854775807)::bigint AS rows FROM counts \
    WHERE namespace = $1 AND model = $2 AND window_start >= to_timestamp($3::bigint) \
    AND window_start < to_timestamp($4::bigint) AND window_seconds = $5 GROUP BY window_start";

const LIST: &str = "\
    SELECT version, bundle::text AS bundle, least(sum(rows), 9223372036854775807)::bigint AS rows, \
    least(sum(synthetic), 9223372036854775807)::bigint AS synthetic, \
    least(sum(repeated), 9223372036854775807)::bigint AS repeated, \
    least(sum(over_limit), 9223372036854775807)::bigint AS over_limit, \
    least(sum(rows) + sum(synthetic) + sum(repeated) + sum(over_limit), 9223372036854775807)::bigint AS answered, \
    count(DISTINCT (pod_uid, incarnation)) AS incarnations, \
    count(DISTINCT (pod_uid, incarnation)) FILTER (WHERE NOT closed) AS unclosed \
    FROM counts WHERE namespace = $1 AND model = $2 \
    AND window_start >= to_timestamp($3::bigint) AND window_start < to_timestamp($4::bigint) \
    GROUP BY version, bundle ORDER BY version, bundle";

// === impl Database ===

impl Database {
    /// Stores the totals of one Pod, all of them or none. The keys are distinct and in order. Otherwise two concurrent requests
    /// of one Pod could deadlock.
    pub(crate) async fn put_counts(
        &self,
        namespace: &str,
        model: &str,
        pod: Uuid,
        window_seconds: i32,
        totals: Vec<Total>,
    ) -> Result<Tally, DatabaseError> {
        let (namespace, model) = (namespace.to_owned(), model.to_owned());
        let sent = totals.len() as u64;
        let mut versions = Vec::with_capacity(totals.len());
        let mut bundles = Vec::with_capacity(totals.len());
        let mut envelopes = Vec::with_capacity(totals.len());
        let mut counters = Vec::with_capacity(totals.len());
        for total in totals {
            versions.push(total.version);
            bundles.push(total.bundle.to_string());
            counters.push(counters_column(total.envelope.counts.counters()));
            envelopes.push(Json(total.envelope));
        }
        self.with(move |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                let kept = sqlx::query(KEEP)
                    .bind(&namespace)
                    .bind(&model)
                    .bind(pod)
                    .bind(window_seconds)
                    .bind(versions)
                    .bind(bundles)
                    .bind(&envelopes)
                    .bind(counters)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
                let crowded: Option<i64> = sqlx::query_scalar(CROWDED)
                    .bind(&namespace)
                    .bind(&model)
                    .bind(pod)
                    .bind(&envelopes)
                    .bind(TOTALS_OF_A_POD)
                    .fetch_optional(&mut *transaction)
                    .await?;
                if crowded.is_some() {
                    transaction.rollback().await?;
                    return Ok(None);
                }
                let mut tally = Tally {
                    kept,
                    ..Tally::default()
                };
                if kept < sent {
                    let row = sqlx::query(COMPARE)
                        .bind(&namespace)
                        .bind(&model)
                        .bind(pod)
                        .bind(&envelopes)
                        .fetch_one(&mut *transaction)
                        .await?;
                    let count = |column: &str| {
                        let count: i64 = row.try_get(column)?;
                        Ok::<_, sqlx::Error>(u64::try_from(count).unwrap_or_default())
                    };
                    tally.late = count("late")?;
                    // These include the totals that were just stored.
                    tally.repeated = count("there")?.saturating_sub(kept);
                    tally.refused = sent.saturating_sub(kept + tally.late + tally.repeated);
                }
                transaction.commit().await?;
                Ok(Some(tally))
            })
        })
        .await?
        .ok_or_else(|| {
            DatabaseError::Refused(format!(
                "one Pod may report at most {TOTALS_OF_A_POD} totals of one window: it was restarted too often, or has too many \
                 routes"
            ))
        })
    }

    /// Adds up the counts of all Pods in these bins.
    ///
    /// It reads pages from the end backwards, because the totals of many Pods for a wide model are too large for the memory or one
    /// statement. A total that changes meanwhile is read once, in its state at that time. If there is too much to read, windows
    /// before the interval are left out.
    pub(crate) async fn sum_counts(
        &self,
        namespace: &str,
        interval: Interval,
        bins: &Bins,
    ) -> Result<Result<Summed, SumError>, DatabaseError> {
        let counters = bins.counters();
        let page_size = (PAGE_COUNTERS / counters).clamp(1, SUM_PAGE);
        let most_windows = windows_of(counters);
        let binned = Binned {
            bins,
            fingerprints: bins.fingerprints(),
        };
        let started = Instant::now();
        let mut summed = Summed::default();
        // A position before all totals of the next window.
        let mut before: Place = (interval.end, Uuid::nil(), String::new(), String::new());
        loop {
            let (namespace, of, place) = (namespace.to_owned(), interval.clone(), before.clone());
            let page: Vec<PgRow> = self
                .with(move |connection| {
                    Box::pin(async move {
                        sqlx::query(SUM)
                            .bind(namespace)
                            .bind(of.model)
                            .bind(of.version)
                            .bind(of.bundle.to_string())
                            .bind(place.0)
                            .bind(place.1)
                            .bind(place.2)
                            .bind(place.3)
                            .bind(of.from)
                            .bind(i64::try_from(page_size).unwrap_or(1))
                            .bind(counters_column(counters))
                            .fetch_all(connection)
                            .await
                    })
                })
                .await?;
            let last = page.len() < page_size;
            for row in page {
                let (place, seconds, envelope) = total_of(&row).map_err(DatabaseError::Statement)?;
                let is_before = place.0 < interval.start;
                let (window, seconds) = interval.window_of(place.0, seconds);
                let is_full = summed.windows.len() == most_windows && !summed.windows.contains_key(&window);
                let is_late = started.elapsed() > SUM_TIME;
                if is_before && (is_full || is_late || summed.totals == SUM_LIMIT) {
                    // An incomplete window is not used.
                    summed.windows.remove(&window);
                    summed.known_from = Some(summed.windows.keys().next().copied().unwrap_or(interval.start));
                    return Ok(Ok(summed));
                }
                if is_full {
                    return Ok(Err(SumError::TooManyWindows(most_windows)));
                }
                let of = (window, place.1);
                if let Err(error) = summed.add(&binned, of, seconds, envelope.as_ref(), is_before) {
                    return Ok(Err(error));
                }
                before = place;
            }
            if last {
                return Ok(Ok(summed));
            }
        }
    }

    /// The start and the answered rows of each window of a model with answered rows, by any version.
    pub(crate) async fn traffic(
        &self,
        namespace: &str,
        of: TrafficInterval,
    ) -> Result<Vec<(i64, u64)>, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(TRAFFIC)
                    .bind(namespace)
                    .bind(of.model)
                    .bind(of.from)
                    .bind(of.end)
                    .bind(i32::try_from(of.window_seconds).unwrap_or(i32::MAX))
                    .fetch_all(connection)
                    .await?;
                let window = |row: &PgRow| {
                    let rows: i64 = row.try_get("rows")?;
                    Ok((row.try_get("start")?, u64::try_from(rows).unwrap_or_default()))
                };
                rows.iter().map(window).collect()
            })
        })
        .await
    }

    /// The counts of each version of a model in windows that start in `start..end`.
    pub(crate) async fn counts(
        &self,
        namespace: &str,
        model: &str,
        start: i64,
        end: i64,
    ) -> Result<Vec<VersionCounts>, DatabaseError> {
        let (namespace, model) = (namespace.to_owned(), model.to_owned());
        self.with(move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(LIST)
                    .bind(namespace)
                    .bind(model)
                    .bind(start)
                    .bind(end)
                    .fetch_all(connection)
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok(VersionCounts {
                            version: row.try_get("version")?,
                            bundle: row.try_get("bundle")?,
                            rows: row.try_get("rows")?,
                            synthetic: row.try_get("synthetic")?,
                            repeated: row.try_get("repeated")?,
                            over_limit: row.try_get("over_limit")?,
                            answered: row.try_get("answered")?,
                            incarnations: row.try_get("incarnations")?,
                            unclosed: row.try_get("unclosed")?,
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// Deletes expired counts and labels, at most this many of each. Returns how many it deleted.
    pub(crate) async fn delete_expired(&self, at_most: i32) -> Result<u64, DatabaseError> {
        self.with(move |connection| {
            Box::pin(async move {
                let deleted: i64 = sqlx::query_scalar("SELECT delete_expired($1)")
                    .bind(at_most)
                    .fetch_one(connection)
                    .await?;
                Ok(u64::try_from(deleted).unwrap_or_default())
            })
        })
        .await
    }
}

/// Maximum number of separate windows with this many counters each.
pub(crate) fn windows_of(counters: usize) -> usize {
    (SUM_COUNTERS / counters).clamp(2, SUM_WINDOWS)
}

fn counters_column(counters: usize) -> i32 {
    i32::try_from(counters).unwrap_or(i32::MAX)
}

/// A total, its position in the index, and the length of its window in seconds. No total if it belongs to other bins.
fn total_of(row: &PgRow) -> sqlx::Result<(Place, i32, Option<Envelope>)> {
    let envelope: Option<Json<Envelope>> = row.try_get("envelope")?;
    let closed = row.try_get("closed")?;
    // A closed total stays closed.
    let envelope = envelope.map(|Json(envelope)| Envelope { closed, ..envelope });
    let place = (
        row.try_get("start")?,
        row.try_get("pod_uid")?,
        row.try_get("incarnation")?,
        row.try_get("route")?,
    );
    Ok((place, row.try_get("window_seconds")?, envelope))
}

// === impl Summed ===

impl Summed {
    /// Adds one total of the window with this start, or none if it belongs to other bins. Each key is added once. Totals before the
    /// interval count only for their window.
    fn add(
        &mut self,
        Binned { bins, fingerprints }: &Binned<'_>,
        (start, pod): (i64, Uuid),
        seconds: i32,
        envelope: Option<&Envelope>,
        is_before: bool,
    ) -> Result<(), SumError> {
        self.totals += 1;
        if self.totals > SUM_LIMIT {
            return Err(SumError::TooMany);
        }
        let Some(envelope) = envelope else {
            self.set_aside(pod, CountsError::OtherBins("the features"));
            return Ok(());
        };
        if let Err(why) = envelope.counts.check_in(bins, *fingerprints) {
            self.set_aside(pod, why);
            return Ok(());
        }
        let window = self.windows.entry(start).or_insert_with(|| SummedWindow {
            seconds,
            counts: Counts::new(bins),
        });
        // A sum that would not fit is left unchanged.
        if let Err(why) = window.counts.merge(&envelope.counts) {
            self.set_aside(pod, why);
            return Ok(());
        }
        window.seconds = window.seconds.max(seconds);
        if is_before {
            return Ok(());
        }
        // A process that counted in several windows is closed if all of its windows are closed.
        *self
            .processes
            .entry((pod, envelope.key.incarnation))
            .or_insert(true) &= envelope.closed;
        Ok(())
    }

    /// Records an error of a Pod. Counts of one Pod with other bins must not prevent judging the traffic of all others.
    fn set_aside(&mut self, pod: Uuid, why: CountsError) {
        self.misfits.entry(pod).or_insert((0, why)).0 += 1;
    }

    /// The counts in the windows that start in `start..end`. `None` if there are none.
    pub(crate) fn counts(&self, start: i64, end: i64) -> Result<Option<Counts>, CountsError> {
        let mut windows = self.windows.range(start..end).map(|(_, window)| &window.counts);
        let Some(first) = windows.next() else {
            return Ok(None);
        };
        let mut sum = first.clone();
        for counts in windows {
            sum.merge(counts)?;
        }
        Ok(Some(sum))
    }
}
