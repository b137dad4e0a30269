//! Sends the counts to the ledger.
//!
//! ```text
//! Open ── window ended, LATENESS passed ──► Closing ── no other holder ──► sent `closed: true` ──► acknowledged:
//!  │ sent whenever it changed                  │ sent as if open                                        forgotten
//!  └─ SIGTERM ─────────────────────────────────┘
//! Left behind by a dead process ───────────────────────────────────────────► sent `closed: true` ──► acknowledged: forgotten
//! ```
//!
//! Totals are cumulative and each has a higher sequence number than the one before. A total that the ledger did not
//! acknowledge is sent again with its current values. A window is reported when it begins, before anything is counted in
//! it. If a Pod is destroyed, the ledger therefore knows that it counted and did not finish.

use std::{
    collections::BTreeMap,
    mem,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use modelward_profile::{
    Counts, CountsBatch, Envelope, TotalKey,
    totals::{ENVELOPE_FORMAT, MAX_COUNTERS},
};
use modelward_wire::Digest;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Counting, LATENESS, window::Window};
use crate::{
    app::App,
    ledger::{CallError, Ledger},
    metrics::{Dropped, Metrics, ReasonLabel},
};

/// Windows of one route that may wait for the ledger. Beyond that the oldest are dropped. Wide models have fewer.
pub const MAX_WAITING: usize = 48;

/// Counters of the waiting windows of one route, 8 bytes each, in the file and in the message to the ledger.
const MAX_WAITING_COUNTERS: usize = 8_000_000;

/// A window that the ledger refused this many times is not sent again.
const MAX_REFUSALS: u32 = 3;

/// Totals in one message. Messages of wide models have fewer.
const BATCH: usize = 8;

/// Time limit of a flush.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of a flush at the end, which leaves time for another one.
const LAST_CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause between two attempts at the end.
const LAST_PAUSE: Duration = Duration::from_millis(300);

/// Sends the counts until the process ends.
#[derive(Debug)]
pub struct Flusher {
    app: Arc<App>,
    ledger: Ledger,
    interval: Duration,
    waiting: Waiting,
    /// Whether the last flush failed. This is logged once, not each time.
    failing: bool,
}

/// Every window that the ledger does not have completely.
#[derive(Debug, Default)]
struct Waiting(Vec<Tracked>);

#[derive(Debug)]
struct Tracked {
    window: Arc<Window>,
    stage: Stage,
    /// The counts that the ledger has.
    acknowledged: Option<Counts>,
    refusals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Accepts rows.
    Open,
    /// Accepts no new rows, but a thread may still be adding one.
    Closing,
    /// Complete.
    Final,
}

// === impl Flusher ===

impl Flusher {
    /// A flusher for the counts of this server. It begins with the counts that dead processes left behind.
    pub fn new(app: Arc<App>, ledger: Ledger, interval: Duration) -> Self {
        Self {
            waiting: Waiting::left_behind(&app.counting, &app.metrics),
            app,
            ledger,
            interval,
            failing: false,
        }
    }

    /// Flushes every few seconds, and when windows begin or end, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Self {
        loop {
            self.flush(&stop, CALL_TIMEOUT).await;
            let pause = pause(since_1970(), self.app.counting.seconds(), self.interval);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.app.counting.news.notified() => {}
                () = stop.cancelled() => return self,
            }
        }
    }

    /// Ends counting and sends everything as final, within this time. Call it after the last answer.
    pub async fn finish(mut self, within: Duration) {
        let until = Instant::now() + within;
        self.waiting.seal(&self.app.counting);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.flush(&CancellationToken::new(), left.min(LAST_CALL_TIMEOUT))
                .await;
            if self.waiting.0.is_empty() {
                tracing::info!("all counts are with the ledger");
                return;
            }
            if Instant::now() + LAST_PAUSE >= until {
                let windows = self.waiting.0.len();
                let rows = self.waiting.unsent_rows();
                tracing::error!(
                    windows,
                    rows,
                    "ended before the ledger had the last counts of {windows} windows ({rows} rows); they are lost \
                     unless the container starts again in this Pod"
                );
                return;
            }
            sleep(LAST_PAUSE).await;
        }
    }

    /// Sends once what is due. `stop` cancels a call, and what it sent is sent again later.
    async fn flush(&mut self, stop: &CancellationToken, call_timeout: Duration) {
        let app = Arc::clone(&self.app);
        app.traffic_key.refresh();
        let now = i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX);
        // This creates and deletes files, and no answer should wait for the disk.
        let mut waiting = mem::take(&mut self.waiting);
        let prepared = tokio::task::spawn_blocking(move || {
            let due = waiting.due(&app.counting, &app.metrics, now);
            (waiting, due)
        });
        let due = match prepared.await {
            Ok((waiting, due)) => {
                self.waiting = waiting;
                due
            }
            Err(error) => {
                tracing::error!(%error, "failed to read the counters");
                return;
            }
        };
        let metrics = &self.app.metrics;
        let mut failed = None;
        for batch in due {
            let sent = tokio::select! {
                sent = self.send(&batch, call_timeout) => sent,
                () = stop.cancelled() => return,
            };
            match sent {
                Ok(()) => self.waiting.acknowledge(batch.envelopes),
                Err(error @ CallError::Refused { .. }) if batch.envelopes.len() > 1 => {
                    // One bad total must not make the others fail.
                    tracing::warn!("{error}; each total is sent separately");
                    for envelope in batch.envelopes.iter().cloned() {
                        let one = CountsBatch {
                            envelopes: vec![envelope],
                            ..batch.clone()
                        };
                        match self.send(&one, call_timeout).await {
                            Ok(()) => self.waiting.acknowledge(one.envelopes),
                            Err(error) => {
                                self.waiting.failed(&one, &error);
                                failed = Some(error);
                            }
                        }
                    }
                }
                Err(error) => {
                    self.waiting.failed(&batch, &error);
                    let away = matches!(error, CallError::Away { .. });
                    failed = Some(error);
                    if away {
                        break;
                    }
                }
            }
        }
        metrics
            .counts_unsent
            .set(i64::try_from(self.waiting.unsent()).unwrap_or(i64::MAX));
        match failed {
            None => {
                metrics.last_flush.set(since_1970().as_secs_f64());
                if mem::take(&mut self.failing) {
                    tracing::info!("the ledger accepts counts again");
                }
            }
            Some(error) => {
                if !mem::replace(&mut self.failing, true) {
                    tracing::warn!("counts wait for the ledger: {error}");
                }
            }
        }
    }

    async fn send(&self, batch: &CountsBatch, call_timeout: Duration) -> Result<(), CallError> {
        let App {
            namespace,
            model,
            metrics,
            ..
        } = self.app.as_ref();
        let sent = self
            .ledger
            .send_counts(namespace, model, batch, call_timeout)
            .await;
        if let Err(error) = &sent {
            let reason = error.reason().as_str();
            metrics
                .flush_failures
                .get_or_create(&ReasonLabel { reason })
                .inc();
        }
        metrics
            .ledger_reachable
            .set(i64::from(!matches!(&sent, Err(error) if !error.was_answered())));
        sent
    }
}

/// Time until the next flush: the interval, or less if a window begins or can be closed earlier.
fn pause(now: Duration, seconds: NonZeroU32, interval: Duration) -> Duration {
    let length = u64::from(seconds.get()) * 1000;
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let until = |offset: u64| {
        let passed = now.saturating_sub(offset) % length;
        Duration::from_millis(length - passed)
    };
    interval.min(until(0)).min(until(LATENESS.unsigned_abs() * 1000))
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

// === impl Waiting ===

impl Waiting {
    fn left_behind(counting: &Counting, metrics: &Metrics) -> Self {
        let Some(store) = &counting.store else {
            return Self::default();
        };
        let left = store.left_behind(counting.incarnation);
        let reason = Dropped::Unreadable.as_str();
        let dropped = metrics
            .windows_dropped
            .get_or_create_owned(&ReasonLabel { reason });
        dropped.inc_by(left.unreadable);
        let windows = left.windows;
        if !windows.is_empty() {
            tracing::info!(
                windows = windows.len(),
                "an earlier process was killed before it had sent all counts to the ledger; its {} windows are sent now",
                windows.len()
            );
        }
        metrics.windows_recovered.inc_by(windows.len() as u64);
        let track = |window: Window| Tracked::new(Arc::new(window), Stage::Final);
        Self(windows.into_iter().map(track).collect())
    }

    /// Opens the windows that rows need, removes those that ended, and returns what to report to the ledger.
    fn due(&mut self, counting: &Counting, metrics: &Metrics, now: i64) -> Vec<CountsBatch> {
        let routes = counting.routes().clone();
        for route in &routes {
            route.prepare(now, metrics);
            self.close(route.take_ended(now.saturating_sub(LATENESS)));
            for window in route.windows() {
                // A window that was created ahead of time does not count before it begins.
                if (window.key.window_start <= now || !window.is_empty()) && self.find(&window.key).is_none()
                {
                    self.0.push(Tracked::new(window, Stage::Open));
                }
            }
        }
        for tracked in &mut self.0 {
            // It has no other holder and is in no list any more, so every addition to it is complete and visible here.
            if tracked.stage == Stage::Closing && Arc::get_mut(&mut tracked.window).is_some() {
                tracked.stage = Stage::Final;
            }
        }
        self.drop_what_cannot_wait(metrics);
        self.batches()
    }

    /// Adds windows that were removed from the list.
    fn close(&mut self, windows: Vec<Arc<Window>>) {
        for window in windows {
            match self.find(&window.key) {
                Some(tracked) => tracked.stage = Stage::Closing,
                None => self.0.push(Tracked::new(window, Stage::Closing)),
            }
        }
    }

    fn seal(&mut self, counting: &Counting) {
        for route in counting.routes().iter() {
            self.close(route.seal());
        }
    }

    fn find(&mut self, key: &TotalKey) -> Option<&mut Tracked> {
        self.0.iter_mut().find(|tracked| tracked.window.key == *key)
    }

    fn drop_what_cannot_wait(&mut self, metrics: &Metrics) {
        // An empty window that was never reported need not be reported.
        self.0.retain(|tracked| {
            let keep =
                tracked.stage != Stage::Final || tracked.window.was_sent() || !tracked.window.is_empty();
            if !keep {
                tracked.window.forget();
            }
            keep
        });
        let refused = |tracked: &Tracked| tracked.stage == Stage::Final && tracked.refusals >= MAX_REFUSALS;
        let dropped: Vec<_> = self.0.extract_if(.., |tracked| refused(tracked)).collect();
        for tracked in dropped {
            tracked.drop_unsent(Dropped::Refused, metrics);
        }
        let mut of_route: BTreeMap<Digest, (usize, usize)> = BTreeMap::new();
        for tracked in &self.0 {
            let (count, counters) = of_route.entry(tracked.window.key.route).or_default();
            *count += 1;
            *counters = tracked.window.counts.bins().counters();
        }
        for (route, (count, counters)) in of_route {
            let most = (MAX_WAITING_COUNTERS / counters).clamp(4, MAX_WAITING);
            for _ in most..count {
                let oldest = (0..self.0.len())
                    .filter(|at| {
                        let tracked = &self.0[*at];
                        tracked.window.key.route == route && tracked.stage == Stage::Final
                    })
                    .min_by_key(|at| self.0[*at].window.key.window_start);
                if let Some(at) = oldest {
                    self.0.swap_remove(at).drop_unsent(Dropped::TooMany, metrics);
                }
            }
        }
    }

    /// The totals that changed, oldest windows first.
    fn batches(&mut self) -> Vec<CountsBatch> {
        self.0.sort_by_key(|tracked| tracked.window.key.window_start);
        let mut batches: Vec<CountsBatch> = Vec::new();
        for tracked in &mut self.0 {
            let Some(envelope) = tracked.envelope() else {
                continue;
            };
            let (route, seconds) = (&tracked.window.route, tracked.window.seconds.get());
            let last = batches.last_mut();
            match last.filter(|batch| batch.window_seconds == seconds && has_room(batch, &envelope)) {
                Some(batch) => {
                    if !batch.routes.contains(route) {
                        batch.routes.push(route.clone());
                    }
                    batch.envelopes.push(envelope);
                }
                None => batches.push(CountsBatch {
                    format: ENVELOPE_FORMAT,
                    window_seconds: seconds,
                    routes: vec![route.clone()],
                    envelopes: vec![envelope],
                }),
            }
        }
        batches
    }

    fn acknowledge(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            let Some(tracked) = self.find(&envelope.key) else {
                continue;
            };
            tracked.refusals = 0;
            tracked.acknowledged = Some(envelope.counts);
            if envelope.closed {
                tracked.window.forget();
                self.0.retain(|tracked| tracked.window.key != envelope.key);
            }
        }
    }

    fn failed(&mut self, batch: &CountsBatch, error: &CallError) {
        if !matches!(error, CallError::Refused { .. }) {
            return;
        }
        for envelope in &batch.envelopes {
            if let Some(tracked) = self.find(&envelope.key) {
                tracked.refusals += 1;
                if tracked.refusals == MAX_REFUSALS {
                    let (version, start) = (&tracked.window.route.version, tracked.window.key.window_start);
                    tracing::error!(
                        version,
                        start,
                        "the ledger refuses the counts of {version} in the window that starts at {start}: {error}"
                    );
                }
            }
        }
    }

    /// Windows that the ledger does not have completely.
    fn unsent(&self) -> usize {
        self.0.iter().filter(|tracked| tracked.has_news()).count()
    }

    /// Counted rows that the ledger does not have.
    fn unsent_rows(&self) -> u64 {
        self.0
            .iter()
            .map(Tracked::unsent_rows)
            .fold(0, u64::saturating_add)
    }
}

/// Whether the message has room for one more total.
fn has_room(batch: &CountsBatch, more: &Envelope) -> bool {
    let totals = batch.envelopes.iter().chain([more]);
    let counters: usize = totals.map(|total| total.counts.counters()).sum();
    batch.envelopes.len() < BATCH && counters <= MAX_COUNTERS
}

// === impl Tracked ===

impl Tracked {
    fn new(window: Arc<Window>, stage: Stage) -> Self {
        Self {
            window,
            stage,
            acknowledged: None,
            refusals: 0,
        }
    }

    fn has_news(&self) -> bool {
        self.stage == Stage::Final || self.acknowledged.as_ref() != Some(&self.window.counts.snapshot())
    }

    /// The next total to report, if there is one.
    fn envelope(&self) -> Option<Envelope> {
        let counts = self.window.counts.snapshot();
        let closed = self.stage == Stage::Final;
        if !closed && (self.refusals >= MAX_REFUSALS || self.acknowledged.as_ref() == Some(&counts)) {
            return None;
        }
        Some(Envelope {
            format: ENVELOPE_FORMAT,
            key: self.window.key,
            sequence: self.window.next_sequence(),
            closed,
            counts,
        })
    }

    fn unsent_rows(&self) -> u64 {
        let known = self.acknowledged.as_ref().and_then(Counts::answered);
        let rows = self.window.answered().unwrap_or(u64::MAX);
        rows.saturating_sub(known.unwrap_or(0))
    }

    fn drop_unsent(&self, reason: Dropped, metrics: &Metrics) {
        let reason = reason.as_str();
        let lost = self.unsent_rows();
        let (version, start) = (&self.window.route.version, self.window.key.window_start);
        tracing::error!(
            version,
            start,
            reason,
            lost,
            "dropped the counts of {version} in the window that starts at {start} ({reason}): {lost} rows are lost"
        );
        metrics
            .windows_dropped
            .get_or_create(&ReasonLabel { reason })
            .inc();
        metrics.rows_dropped.inc_by(lost);
        self.window.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicBool, AtomicI64, Ordering},
        thread,
    };

    use modelward_profile::{Bins, FeatureBins, Incarnation, ScoreBins};

    use super::*;
    use crate::counting::tests::{answer, counting, route_counts};

    /// The contents of a ledger: the answered rows of each window, and whether it is closed.
    #[derive(Default)]
    struct Kept(BTreeMap<(Incarnation, i64), (u64, u64, bool)>);

    impl Kept {
        fn take(&mut self, waiting: &mut Waiting, batches: Vec<CountsBatch>) {
            for batch in batches {
                for Envelope {
                    key,
                    sequence,
                    closed,
                    counts,
                    ..
                } in &batch.envelopes
                {
                    let kept = self.0.entry((key.incarnation, key.window_start)).or_default();
                    assert!(!kept.2, "reported a window that was closed: {key:?}");
                    assert!(*sequence > kept.0);
                    assert!(counts.answered().unwrap() >= kept.1, "counts went back: {key:?}");
                    *kept = (*sequence, counts.answered().unwrap(), *closed);
                }
                waiting.acknowledge(batch.envelopes);
            }
        }

        fn rows(&self) -> u64 {
            self.0.values().map(|kept| kept.1).sum()
        }
    }

    #[test]
    fn a_closed_window_has_every_row_whatever_threads_add_meanwhile() {
        let (counting, metrics) = (counting(10, None), Metrics::new());
        let route = route_counts(&counting, 0);
        let (clock, stop) = (AtomicI64::new(0), AtomicBool::new(false));
        let mut kept = Kept::default();
        let mut waiting = Waiting::default();
        let added: u64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut added = 0;
                        while !stop.load(Ordering::Relaxed) {
                            answer(&route, &metrics, clock.load(Ordering::Relaxed), 3);
                            added += 3;
                        }
                        added
                    })
                })
                .collect();
            for now in 0..300 {
                clock.store(now, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(300));
                let due = waiting.due(&counting, &metrics, now);
                kept.take(&mut waiting, due);
            }
            stop.store(true, Ordering::Relaxed);
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        waiting.seal(&counting);
        let due = waiting.due(&counting, &metrics, 300);
        kept.take(&mut waiting, due);
        assert!(waiting.0.is_empty());
        assert_eq!(kept.rows(), added);
        assert!(
            kept.0.len() >= 30 && kept.0.values().all(|kept| kept.2),
            "{:?}",
            kept.0
        );
        answer(&route, &metrics, 301, 1);
        assert_eq!(waiting.due(&counting, &metrics, 302), []);
    }

    #[test]
    fn a_message_has_eight_totals_or_as_many_counters_as_the_ledger_takes() {
        let batch_of = |categories: usize| {
            let words: Vec<String> = (0..categories).map(|word| word.to_string()).collect();
            let feature = FeatureBins::categorical("c", words);
            let scores = ScoreBins::from_out_of_fold(&[0.5]).unwrap();
            let counts = Counts::new(&Bins::new(vec![feature], scores).unwrap());
            let envelope = Envelope {
                format: ENVELOPE_FORMAT,
                key: TotalKey {
                    route: Digest::from_bytes([1; 32]),
                    window_start: 0,
                    incarnation: Incarnation(1),
                },
                sequence: 1,
                closed: false,
                counts,
            };
            let mut batch = CountsBatch {
                format: ENVELOPE_FORMAT,
                window_seconds: 60,
                routes: Vec::new(),
                envelopes: vec![envelope.clone()],
            };
            while has_room(&batch, &envelope) {
                batch.envelopes.push(envelope.clone());
            }
            batch.envelopes.len()
        };
        assert_eq!([2, MAX_COUNTERS / 3, MAX_COUNTERS - 100].map(batch_of), [8, 2, 1]);
    }

    #[test]
    fn a_window_that_is_added_to_is_not_closed() {
        let (counting, metrics) = (counting(10, None), Metrics::new());
        let route = route_counts(&counting, 0);
        let mut waiting = Waiting::default();
        answer(&route, &metrics, 9, 1);
        let held = route.windows();
        let stages = |waiting: &mut Waiting, now| {
            let due = waiting.due(&counting, &metrics, now);
            due.iter()
                .flat_map(|batch| &batch.envelopes)
                .map(|envelope| (envelope.key.window_start, envelope.closed))
                .collect::<Vec<_>>()
        };
        assert_eq!(stages(&mut waiting, 9), [(0, false)]);
        assert_eq!(stages(&mut waiting, 11), [(0, false), (10, false)]);
        assert_eq!(stages(&mut waiting, 12), [(0, false), (10, false)]);
        drop(held);
        assert_eq!(stages(&mut waiting, 12), [(0, true), (10, false)]);
    }

    #[test]
    fn rows_that_are_later_than_late_and_clocks_that_jump_lose_nothing() {
        let (counting, metrics) = (counting(10, None), Metrics::new());
        let route = route_counts(&counting, 100);
        let (mut waiting, mut kept) = (Waiting::default(), Kept::default());
        let mut at = |now: i64, rows: usize| {
            answer(&route, &metrics, now, rows);
            let due = waiting.due(&counting, &metrics, now);
            kept.take(&mut waiting, due);
        };
        at(105, 1);
        // The clock jumps forward, past windows that were not created ahead. The first one is closed.
        at(155, 2);
        // The clock jumps back to a closed window, which stays closed. The oldest open window takes the row.
        at(105, 4);
        at(112, 8);
        at(155, 16);
        at(175, 32);
        waiting.seal(&counting);
        let due = waiting.due(&counting, &metrics, 175);
        kept.take(&mut waiting, due);
        assert_eq!(kept.rows(), 63);
        let of = |start| kept.0.get(&(counting.incarnation, start)).map(|kept| kept.1);
        assert_eq!((of(100), of(150), of(170)), (Some(1), Some(2 + 16), Some(32)));
        assert_eq!(
            metrics.rows_uncounted.get_or_create_owned(&route.label()).get(),
            0
        );
    }

    #[test]
    fn what_the_ledger_does_not_take_is_bounded_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (counting, metrics) = (counting(10, Some(dir.path())), Metrics::new());
        let route = route_counts(&counting, 0);
        let mut waiting = Waiting::default();
        for window in 0..100 {
            answer(&route, &metrics, window * 10, 2);
            waiting.due(&counting, &metrics, window * 10);
            assert!(waiting.0.len() <= MAX_WAITING, "{}", waiting.0.len());
        }
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        // One more for the window that was created ahead, and one for the lock.
        assert!(files <= MAX_WAITING + 2, "{files}");
        let dropped = metrics.rows_dropped.get();
        let mut kept = Kept::default();
        waiting.seal(&counting);
        let due = waiting.due(&counting, &metrics, 1000);
        kept.take(&mut waiting, due);
        assert_eq!((kept.rows() + dropped, kept.rows() >= 90), (200, true));
        assert!(kept.0.keys().all(|(_, start)| *start >= 500));
    }

    #[test]
    fn a_dead_process_is_finished_once_under_the_next_sequence_number() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        let (mut kept, dead) = (Kept::default(), counting(10, Some(dir.path())));
        {
            let route = route_counts(&dead, 0);
            let mut waiting = Waiting::default();
            answer(&route, &metrics, 1, 2);
            let due = waiting.due(&dead, &metrics, 1);
            kept.take(&mut waiting, due);
            answer(&route, &metrics, 2, 3);
            // Sent, but not acknowledged before the end.
            waiting.due(&dead, &metrics, 2);
            answer(&route, &metrics, 3, 4);
        }
        let died_as = dead.incarnation;
        drop(dead);
        let next = counting(10, Some(dir.path()));
        let mut waiting = Waiting::left_behind(&next, &metrics);
        assert_eq!((waiting.0.len(), metrics.windows_recovered.get()), (1, 1));
        let due = waiting.due(&next, &metrics, 50);
        assert_eq!(
            (due[0].envelopes[0].sequence, due[0].envelopes[0].closed),
            (3, true)
        );
        kept.take(&mut waiting, due);
        assert_eq!(kept.0.get(&(died_as, 0)), Some(&(3, 9, true)));
        assert!(waiting.0.is_empty());
        assert_eq!(Waiting::left_behind(&next, &metrics).0.len(), 0);
    }

    #[test]
    fn a_pause_ends_where_a_window_begins_or_can_be_closed() {
        let pause = |ms: u64| {
            let pause = pause(
                Duration::from_millis(3_600_000 + ms),
                NonZeroU32::new(60).unwrap(),
                Duration::from_secs(5),
            );
            pause.as_millis()
        };
        assert_eq!(
            [0, 10_000, 57_500, 60_000, 61_500].map(pause),
            [2_000, 5_000, 2_500, 2_000, 500]
        );
    }
}
