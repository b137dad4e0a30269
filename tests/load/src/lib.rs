//! An open-loop client: a schedule of requests at a fixed rate. Each is sent at its time, independently of the earlier ones, and
//! counted.
//!
//! ```text
//! schedule ──(due)──► one task per request ──► pool or a new connection ──► response checked ──► figures
//! ```
//!
//! Latency is measured from the due time of a request, so that a stalled client or server cannot hide the requests that waited.
//! Nothing is sent twice without `--retries`; failures of first attempts are always counted and shown.

pub mod answer;
pub mod figures;
pub mod pool;
pub mod replay;
pub mod target;
pub mod train;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use modelward_wire::{SYNTHETIC_TRAFFIC, TRAFFIC_HEADER, TRAFFIC_KEY_HEADER};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use self::{
    answer::Answer,
    figures::{Before, Figures, FirstFailure, Outcome},
    pool::{Ask, Failure, Pool, Way},
    target::Target,
};

/// The file that ends `send`, which `stop` writes.
pub const STOP_FILE: &str = "/tmp/stop";

/// Real rows of the Cleveland data, one of them with a missing value.
const ROWS: &str = include_str!("rows.jsonl");

/// Interval between two progress lines.
const PROGRESS: Duration = Duration::from_secs(5);

/// Arguments of `send`.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// Target: <http://MODEL.NAMESPACE.svc/predict>, a loopback address, or a private address inside MODELWARD_TEST_NETWORKS.
    #[arg(long)]
    pub url: String,
    /// Requests per second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub rate: u32,
    /// Maximum duration in seconds.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Ends when this file exists. SIGTERM and SIGINT end it too.
    #[arg(long, default_value = STOP_FILE)]
    pub stop_file: PathBuf,
    /// A file of bodies, one JSON object or array per line, sent in turn.
    #[arg(long, conflicts_with = "row")]
    pub rows: Option<PathBuf>,
    /// A body; may be repeated. Without this and --rows: real rows of the Cleveland data.
    #[arg(long)]
    pub row: Vec<String>,
    /// Marks the requests as synthetic load, with the key in this file: the file traffic.key of the model's Secret.
    #[arg(long, env = "MODELWARD_TRAFFIC_KEY_FILE")]
    pub synthetic_key: Option<PathBuf>,
    /// Percentage of requests that use a new connection; the others share kept-alive ones.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub new_connections: u32,
    /// Number of kept-alive connections. They are used in turn, so that none is idle for long.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Timeout of an attempt, in milliseconds.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub timeout_ms: u64,
    /// Number of retries of a failed request.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3))]
    pub retries: u32,
    /// Milliseconds between a failure and the next attempt, which prefers an open kept-alive connection.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub retry_after_ms: u64,
    /// Maximum time in seconds to wait for a first good response before the schedule starts. That response is not counted.
    #[arg(long, default_value_t = 30)]
    pub await_seconds: u64,
}

/// One schedule.
struct Load {
    pool: Pool,
    asks: Vec<Ask>,
    new_connections: u32,
    timeout: Duration,
    retries: u32,
    retry_after: Duration,
}

/// Runs a schedule to its end and prints its figures as one line of JSON. The exit code is 0 if no request failed after its
/// retries, and 1 otherwise.
pub fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    let figures = runtime.block_on(execute(args))?;
    println!(
        "{}",
        serde_json::to_string(&figures.report()).context("failed to write the figures")?
    );
    Ok(if figures.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs a schedule to its end. Progress goes to standard error.
pub async fn execute(args: LoadArgs) -> anyhow::Result<Figures> {
    let networks = std::env::var(target::NETWORKS).unwrap_or_default();
    let target = Target::parse(&args.url, &networks)?;
    let headers = synthetic(args.synthetic_key.as_deref())?;
    let ask = |body| Ask {
        body,
        headers: headers.clone(),
    };
    let asks = bodies(&args)?.into_iter().map(ask).collect();
    if args.stop_file.exists() {
        bail!(
            "{} already exists and would end the load at once; remove it",
            args.stop_file.display()
        );
    }
    // Before the schedule starts, because an early signal must also end it in order.
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;

    let patience = Duration::from_secs(args.await_seconds);
    let address = target.resolve(patience).await?;
    let load = Arc::new(Load {
        pool: Pool::new(address, &target, usize::from(args.connections)),
        asks,
        new_connections: args.new_connections,
        timeout: Duration::from_millis(args.timeout_ms),
        retries: args.retries,
        retry_after: Duration::from_millis(args.retry_after_ms),
    });
    let before = load.first_answer(patience).await?;

    eprintln!(
        "{} ({address}): {} requests per second, {} s at most",
        args.url, args.rate, args.seconds
    );
    let (outcomes, received) = mpsc::unbounded_channel();
    let start = Instant::now();
    let figures = Figures::new(args.rate).after(before);
    let collector = tokio::spawn(collect(figures, received, start));
    let end = async {
        tokio::select! {
            () = sleep(Duration::from_secs(args.seconds)) => {}
            () = file_appears(&args.stop_file) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let scheduled = {
        tokio::pin!(end);
        schedule(&load, args.rate, u64::MAX, start, outcomes, end).await
    };
    let ended = start.elapsed();
    // The schedule has ended. Requests in flight keep the channel open until they have a result.
    let mut figures = collector.await.context("the figures were lost")?;
    figures.close(scheduled, ended, load.pool.counts());
    Ok(figures)
}

/// Sends at most `most` requests at their times until `end`. Returns how many were due.
async fn schedule(
    load: &Arc<Load>,
    rate: u32,
    most: u64,
    start: Instant,
    outcomes: mpsc::UnboundedSender<Outcome>,
    mut end: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> u64 {
    let mut index = 0;
    while index < most {
        let due = start + due(index, rate);
        tokio::select! {
            biased;
            () = &mut end => return index,
            () = sleep_until(due) => {}
        }
        let (load, outcomes) = (Arc::clone(load), outcomes.clone());
        tokio::spawn(async move {
            let outcome = load.request(index, due, start).await;
            // The receiver is dropped only when the program ends.
            let _ = outcomes.send(outcome);
        });
        index += 1;
    }
    index
}

/// Due time of a request, from the start. It is computed from the request's number, so that rounding errors do not add up.
fn due(index: u64, rate: u32) -> Duration {
    let (seconds, rest) = (index / u64::from(rate), index % u64::from(rate));
    Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / u64::from(rate))
}

async fn collect(
    mut figures: Figures,
    mut outcomes: mpsc::UnboundedReceiver<Outcome>,
    start: Instant,
) -> Figures {
    let mut progress = tokio::time::interval_at(start + PROGRESS, PROGRESS);
    loop {
        tokio::select! {
            outcome = outcomes.recv() => match outcome {
                Some(outcome) => {
                    if let Some(line) = figures.record(outcome) {
                        eprintln!("{line}");
                    }
                }
                None => return figures,
            },
            _ = progress.tick() => eprintln!("{}", figures.progress(start.elapsed())),
        }
    }
}

async fn file_appears(path: &Path) {
    while !path.exists() {
        sleep(Duration::from_millis(100)).await;
    }
}

/// The headers of synthetic load.
fn synthetic(key: Option<&Path>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(file) = key {
        let key =
            std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        let key = HeaderValue::from_str(key.trim())
            .with_context(|| format!("{} contains no key, which is one line of text", file.display()))?;
        headers.insert(
            HeaderName::from_static(TRAFFIC_HEADER),
            HeaderValue::from_static(SYNTHETIC_TRAFFIC),
        );
        headers.insert(HeaderName::from_static(TRAFFIC_KEY_HEADER), key);
    }
    Ok(headers)
}

fn bodies(args: &LoadArgs) -> anyhow::Result<Vec<Bytes>> {
    let text = match &args.rows {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?
        }
        None if args.row.is_empty() => ROWS.to_owned(),
        None => args.row.join("\n"),
    };
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        bail!("there are no rows to send; --rows takes a file with one JSON object per line");
    }
    for (number, line) in lines.iter().enumerate() {
        serde_json::from_str::<serde_json::Value>(line)
            .with_context(|| format!("row {} is not JSON: {line}", number + 1))?;
    }
    Ok(lines
        .into_iter()
        .map(|line| Bytes::copy_from_slice(line.as_bytes()))
        .collect())
}

// === impl Load ===

impl Load {
    async fn request(&self, index: u64, due: Instant, start: Instant) -> Outcome {
        let late = due.elapsed();
        let ask = &self.asks[(index % self.asks.len() as u64) as usize];
        let way = if own_connection(index, self.new_connections) {
            Way::Own
        } else {
            Way::Shared
        };
        let mut first_failure = None;
        let mut under_way = 0;
        let mut result = self.attempt(way, ask).await;
        for _ in 0..self.retries {
            let Err(failure) = &result else { break };
            under_way += u64::from(failure.was_under_way());
            first_failure.get_or_insert_with(|| FirstFailure {
                failure: failure.clone(),
                elapsed: due.elapsed(),
            });
            sleep(self.retry_after).await;
            // An open connection leads to a running Pod; a new connection may be routed to the Pod that was killed.
            result = self.attempt(Way::Shared, ask).await;
        }
        if let Err(failure) = &result {
            under_way += u64::from(failure.was_under_way());
        }
        Outcome {
            due: due - start,
            late,
            elapsed: due.elapsed(),
            result,
            first_failure,
            under_way,
        }
    }

    async fn attempt(&self, way: Way, ask: &Ask) -> Result<Answer, Failure> {
        match timeout(self.timeout, self.pool.post(way, ask)).await {
            Ok(Ok(bytes)) => Answer::parse(&bytes).map_err(Failure::Answer),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Timeout(self.timeout)),
        }
    }

    async fn first_answer(&self, patience: Duration) -> anyhow::Result<Before> {
        let since = Instant::now();
        let mut before = Before::default();
        loop {
            match self.attempt(Way::Own, &self.asks[0]).await {
                Ok(_) => {
                    before.answered += 1;
                    return Ok(before);
                }
                Err(failure) if since.elapsed() >= patience => {
                    bail!(
                        "no good response in {} s; the last attempt failed: {failure}",
                        patience.as_secs()
                    );
                }
                Err(failure) => {
                    before.in_flight += u64::from(failure.was_under_way());
                    sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }
}

/// Spreads the given percentage evenly over the schedule.
fn own_connection(index: u64, percent: u32) -> bool {
    let percent = u64::from(percent);
    (index + 1) * percent / 100 != index * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_evenly_and_without_drift() {
        assert_eq!(due(0, 200), Duration::ZERO);
        assert_eq!(due(1, 200), Duration::from_millis(5));
        assert_eq!(
            due(7 * 60 * 200 + 3, 200),
            Duration::from_mins(7) + Duration::from_millis(15)
        );
        assert_eq!(due(3_000_000, 3), Duration::from_secs(1_000_000));
    }

    #[test]
    fn the_share_of_own_connections_is_exact_and_spread() {
        for percent in [0, 1, 25, 33, 100] {
            let own = (0..1000).filter(|index| own_connection(*index, percent)).count();
            assert_eq!(own, percent as usize * 10);
        }
        assert_eq!(
            (0..8)
                .filter(|index| own_connection(*index, 25))
                .collect::<Vec<_>>(),
            [3, 7]
        );
    }

    #[test]
    fn the_rows_that_come_with_it_are_json() {
        assert!(ROWS.lines().count() > 4);
        for line in ROWS.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).unwrap()["age"].is_number());
        }
    }
}
