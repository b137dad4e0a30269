//! Rows of a CSV file as requests: each row once, in a seeded order, all in one window of event time.
//!
//! ```text
//! file ──► rows ──(shuffled by seed)──► from..from+count ──(next window begins)──► one request a row
//! ```
//!
//! The order is a Fisher-Yates shuffle from the end, with SplitMix64 (Steele, Lea and Flood 2014) and the seed as its state. An
//! index below n is the integer part of n times a 53-bit number in [0, 1). The same seed always gives the same order, which is also
//! the order in which `modelward-profile`'s tests judge these rows.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use modelward_wire::ENTITY_HEADER;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    Load, collect,
    figures::{Figures, Report},
    pool::{Ask, Pool},
    schedule, synthetic,
    target::{self, Target},
};

/// Requests start this long after the start of a window, because the clock is not read at exactly the same time.
const SETTLED: Duration = Duration::from_millis(250);

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Target, as in `send`.
    #[arg(long)]
    pub url: String,
    /// The file, without a header.
    #[arg(long)]
    pub csv: PathBuf,
    /// Names of its columns in order, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    pub columns: Vec<String>,
    /// Columns that are not sent, such as the target.
    #[arg(long, value_delimiter = ',')]
    pub leave_out: Vec<String>,
    /// Texts for a missing value, in addition to an empty field. They are sent as null.
    #[arg(long, default_value = "?")]
    pub missing: Vec<String>,
    /// Seed of the order.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Position of the first row that is sent, from 0.
    #[arg(long, default_value_t = 0)]
    pub from: usize,
    /// Number of rows that are sent; if absent, all that follow.
    #[arg(long)]
    pub count: Option<usize>,
    /// Requests per second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub rate: u32,
    /// Makes each row a separate entity, with this prefix and the row's line number as its name. If absent, rows have no entity.
    #[arg(long)]
    pub entity_prefix: Option<String>,
    /// Marks the rows as synthetic load, with the key in this file.
    #[arg(long)]
    pub synthetic_key: Option<PathBuf>,
    /// Waits until a window of this many seconds begins, and fails if not all rows fit into it.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub window_seconds: Option<u64>,
    /// Timeout of a request, in milliseconds.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub timeout_ms: u64,
}

/// One row of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its features by name.
    pub features: Map<String, Value>,
}

/// The report that is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// The window that contains all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// As in `send`.
    #[serde(flatten)]
    pub figures: Report,
}

/// A window of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// When it began.
    pub start: Timestamp,
    /// When the next one begins.
    pub end: Timestamp,
}

struct SplitMix64(u64);

/// Sends the rows and prints the figures as one line of JSON. The exit code is 0 if each row was answered, and 1 otherwise.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    let (report, clean) = runtime.block_on(execute(args))?;
    println!(
        "{}",
        serde_json::to_string(&report).context("failed to write the figures")?
    );
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Sends the rows. Returns the figures, and whether each row was answered.
pub async fn execute(args: ReplayArgs) -> anyhow::Result<(ReplayReport, bool)> {
    let networks = std::env::var(target::NETWORKS).unwrap_or_default();
    let target = Target::parse(&args.url, &networks)?;
    let text = std::fs::read_to_string(&args.csv)
        .with_context(|| format!("failed to read {}", args.csv.display()))?;
    let mut rows = rows(&args, &text)?;
    shuffle(&mut rows, args.seed);
    let chosen = chosen(&rows, args.from, args.count)?;
    let asks = asks(&args, chosen)?;

    let address = target.resolve(Duration::from_secs(30)).await?;
    let most = asks.len() as u64;
    let load = Arc::new(Load {
        pool: Pool::new(address, &target, 16),
        asks,
        // Many connections, so that each Pod of the Service gets its share.
        new_connections: 50,
        timeout: Duration::from_millis(args.timeout_ms),
        retries: 0,
        retry_after: Duration::ZERO,
    });
    let window = match args.window_seconds {
        Some(length) => Some(next_window(length).await?),
        None => None,
    };
    let (outcomes, received) = mpsc::unbounded_channel();
    let start = Instant::now();
    let collector = tokio::spawn(collect(Figures::new(args.rate), received, start));
    let never = std::future::pending();
    tokio::pin!(never);
    let scheduled = schedule(&load, args.rate, most, start, outcomes, never).await;
    let sent = start.elapsed();
    let mut figures = collector.await.context("the figures were lost")?;
    figures.close(scheduled, sent, load.pool.counts());
    if let Some(window) = window
        && Timestamp::now() >= window.end
    {
        bail!(
            "the window ended at {} before all rows were answered; a larger --rate or a longer window helps",
            window.end
        );
    }
    let clean = figures.is_clean();
    Ok((
        ReplayReport {
            window,
            figures: figures.report(),
        },
        clean,
    ))
}

/// The rows in the order of the file.
fn rows(args: &ReplayArgs, text: &str) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = index + 1;
        let record = record.with_context(|| format!("row {line} of {} is not CSV", args.csv.display()))?;
        if record.len() != args.columns.len() {
            bail!(
                "row {line} of {} has {} fields, and --columns names {}",
                args.csv.display(),
                record.len(),
                args.columns.len()
            );
        }
        let features = args
            .columns
            .iter()
            .zip(&record)
            .filter(|(name, _)| !args.leave_out.contains(name))
            .map(|(name, field)| (name.clone(), value(field, &args.missing)))
            .collect();
        rows.push(Row { line, features });
    }
    Ok(rows)
}

/// A number if the field is numeric, null if it is missing, otherwise its text.
fn value(field: &str, missing: &[String]) -> Value {
    if field.is_empty() || missing.iter().any(|text| text == field) {
        return Value::Null;
    }
    match serde_json::from_str(field) {
        Ok(number @ Value::Number(_)) => number,
        _ => Value::String(field.to_owned()),
    }
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = SplitMix64(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

fn chosen(rows: &[Row], from: usize, count: Option<usize>) -> anyhow::Result<&[Row]> {
    let end = count.map_or(Some(rows.len()), |count| from.checked_add(count));
    match end.and_then(|end| rows.get(from..end)) {
        Some(chosen) if !chosen.is_empty() => Ok(chosen),
        _ => bail!(
            "--from {from} and --count choose no rows of {}; the file has no more",
            rows.len()
        ),
    }
}

fn asks(args: &ReplayArgs, rows: &[Row]) -> anyhow::Result<Vec<Ask>> {
    let common = synthetic(args.synthetic_key.as_deref())?;
    let mut asks = Vec::with_capacity(rows.len());
    for row in rows {
        let mut headers = common.clone();
        if let Some(prefix) = &args.entity_prefix {
            let entity = HeaderValue::from_str(&format!("{prefix}-{}", row.line))
                .context("--entity-prefix must be plain text")?;
            headers.insert(HeaderName::from_static(ENTITY_HEADER), entity);
        }
        let body = serde_json::to_vec(&row.features).context("failed to write a row")?;
        asks.push(Ask {
            body: Bytes::from(body),
            headers,
        });
    }
    Ok(asks)
}

/// Waits until the next window begins. Windows tile the time since 1970.
async fn next_window(length: u64) -> anyhow::Result<Window> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let start = (now.as_secs() / length + 1) * length;
    sleep((Duration::from_secs(start) + SETTLED).saturating_sub(now)).await;
    let at = |seconds: u64| {
        i64::try_from(seconds)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .context("the clock is beyond what can be written")
    };
    Ok(Window {
        start: at(start)?,
        end: at(start + length)?,
    })
}

// === impl SplitMix64 ===

impl SplitMix64 {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let unit = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        (unit * end as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ReplayArgs {
        ReplayArgs {
            url: "http://127.0.0.1:1/predict".to_owned(),
            csv: "rows.csv".into(),
            columns: ["age", "thal", "num"].map(str::to_owned).to_vec(),
            leave_out: vec!["num".to_owned()],
            missing: vec!["?".to_owned()],
            seed: 7,
            from: 0,
            count: None,
            rate: 50,
            entity_prefix: Some("hungarian".to_owned()),
            synthetic_key: None,
            window_seconds: None,
            timeout_ms: 1000,
        }
    }

    #[test]
    fn numbers_are_sent_as_they_are_written_and_what_is_missing_as_null() {
        let found = rows(&args(), "63.0,?,1\n28,,0\nold,6,1\n").unwrap();
        let texts: Vec<_> = found
            .iter()
            .map(|row| serde_json::to_string(&row.features).unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                r#"{"age":63.0,"thal":null}"#,
                r#"{"age":28,"thal":null}"#,
                r#"{"age":"old","thal":6}"#
            ]
        );
        assert_eq!(found[2].line, 3);
    }

    #[test]
    fn a_row_with_another_number_of_fields_is_named() {
        let error = rows(&args(), "1,2,3\n1,2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "row 2 of rows.csv has 2 fields, and --columns names 3"
        );
    }

    #[test]
    fn the_order_of_a_seed_is_the_same_for_ever_and_holds_every_row_once() {
        let shuffled = |seed| {
            let mut lines: Vec<usize> = (1..=294).collect();
            shuffle(&mut lines, seed);
            lines
        };
        let seven = shuffled(7);
        assert_eq!(seven, shuffled(7));
        assert_ne!(seven, shuffled(8));
        assert_eq!(seven[..6], [120, 173, 102, 128, 141, 175]);
        let mut sorted = seven;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(1..=294));
    }

    #[test]
    fn rows_are_chosen_by_their_place_and_none_beyond_the_end() {
        let all = rows(&args(), "1,2,3\n4,5,6\n7,8,9\n").unwrap();
        assert_eq!(chosen(&all, 1, Some(1)).unwrap()[0].line, 2);
        assert_eq!(chosen(&all, 1, None).unwrap().len(), 2);
        for (from, count) in [(3, None), (2, Some(2)), (0, Some(0)), (1, Some(usize::MAX))] {
            assert!(chosen(&all, from, count).is_err(), "{from} {count:?}");
        }
    }

    #[test]
    fn each_row_is_an_entity_of_its_line() {
        let all = rows(&args(), "1,2,3\n4,5,6\n").unwrap();
        let sent = asks(&args(), &all).unwrap();
        assert_eq!(sent[1].headers[ENTITY_HEADER], "hungarian-2");
        assert_eq!(sent[1].body, r#"{"age":4,"thal":5}"#);
    }
}
