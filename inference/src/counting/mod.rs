//! Counts answered rows, so that no count is lost and no answer waits.
//!
//! ```text
//! request ─► score ─► RouteCounts::add ─► answer              Flusher, every few seconds
//!                         │                                      │ opens the next window, takes ended ones out
//!                         ▼                                      ▼
//!                  Table: windows ◄──────── swap ────────── RouteCounts ─► snapshot ─► Envelope ─► ledger
//!                         │                                      │
//!                         ▼                                      ▼ acknowledged and closed
//!                  AtomicCounts in a mapped file ─────────► file deleted
//!                         │
//!                         └─ the process is killed ─► the next process sends it as closed and deletes it
//! ```
//!
//! * A row is counted before its answer is sent: answered ≤ counted ≤ answered + in flight, even after a kill.
//! * A request takes no lock. It loads a pointer to a short list of windows and adds to counters. The list is replaced,
//!   never modified. Windows are created ahead of time; a request creates one only if the clock jumped.
//! * The event time is when the request was received. A window leaves the list [`LATENESS`] after its end. An older row
//!   that comes later is counted in the oldest window of the list, so a closed window does not change any more. A window
//!   is closed only when it has no other holder.

pub mod columns;
pub mod entities;
pub mod flush;
pub mod mapped;
pub mod store;
pub mod window;

use std::{
    hash::{BuildHasher as _, RandomState},
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use modelward_model::{FeatureSchema, Row};
use modelward_profile::{Bins, Incarnation, window_start};
use modelward_service::chain;
use modelward_wire::{ENTITY_HEADER, Route};
use tokio::sync::Notify;

use self::{columns::Columns, entities::Seen, store::Store, window::Window};
use crate::metrics::{Metrics, VersionLabel};

/// Seconds after its end during which a window still accepts rows.
pub const LATENESS: i64 = 2;

/// Counting for all routes of a process.
#[derive(Debug)]
pub struct Counting {
    incarnation: Incarnation,
    seconds: NonZeroU32,
    store: Option<Arc<Store>>,
    /// Locked while routes are loaded and counts are flushed, never by a request.
    routes: Mutex<Vec<Arc<RouteCounts>>>,
    /// Notified when there is a new route.
    news: Notify,
    /// Has a random key for each process.
    hasher: RandomState,
}

/// The counts of one route.
#[derive(Debug)]
pub struct RouteCounts {
    route: Route,
    bins: Arc<Bins>,
    columns: Columns,
    seconds: NonZeroU32,
    incarnation: Incarnation,
    store: Option<Arc<Store>>,
    table: ArcSwap<Table>,
}

/// The windows that accept rows.
#[derive(Clone, Debug, Default)]
struct Table {
    /// Windows that start earlier are closed.
    floor: i64,
    /// Counting has ended.
    sealed: bool,
    windows: Vec<Arc<Window>>,
}

/// Where the rows of a request come from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Whether the load is synthetic.
    pub synthetic: bool,
    /// A hash of each row's entity, or 0 if the row has none; `None` if the request names no entities.
    pub entities: Option<Vec<u64>>,
}

/// A row that was scored.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Its values.
    pub row: &'a Row,
    /// The probability in the answer.
    pub score: f64,
    /// The class in the answer.
    pub class: u8,
}

// === impl Counting ===

impl Counting {
    /// Counts in windows of this length: in files in `dir`, or in memory if that is not possible.
    pub fn new(seconds: NonZeroU32, dir: Option<&Path>, metrics: &Metrics) -> Self {
        let store = dir.and_then(|dir| match Store::open(dir) {
            Ok(store) => Some(Arc::new(store)),
            Err(error) => {
                tracing::error!(
                    %error,
                    "cannot use {}: {error}; counts are kept in memory, and a crash loses up to one flush interval of them",
                    dir.display()
                );
                None
            }
        });
        metrics.counts_durable.set(i64::from(store.is_some()));
        Self {
            incarnation: Incarnation(rand::random()),
            seconds,
            store,
            routes: Mutex::default(),
            news: Notify::new(),
            hasher: RandomState::new(),
        }
    }

    /// The incarnation of this process.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Length of a window.
    pub fn seconds(&self) -> NonZeroU32 {
        self.seconds
    }

    /// Starts to count a route. The error says why this is not possible.
    pub fn add_route(
        &self,
        route: &Route,
        bins: Bins,
        schema: &FeatureSchema,
        now: i64,
        metrics: &Metrics,
    ) -> Result<Arc<RouteCounts>, String> {
        let counts = Arc::new(RouteCounts {
            columns: Columns::new(&bins, schema)?,
            bins: Arc::new(bins),
            route: route.clone(),
            seconds: self.seconds,
            incarnation: self.incarnation,
            store: self.store.clone(),
            table: ArcSwap::default(),
        });
        counts.prepare(now, metrics);
        self.routes().push(Arc::clone(&counts));
        self.news.notify_one();
        Ok(counts)
    }

    /// One hash for each entity that the values of the header name.
    pub fn entities<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u64>> {
        let mut hashes = None;
        for value in values {
            let hashes: &mut Vec<u64> = hashes.get_or_insert_default();
            hashes.extend(
                value
                    .split(|byte| *byte == b',')
                    .map(|name| match name.trim_ascii() {
                        b"" => 0,
                        name => self.hasher.hash_one(name).max(1),
                    }),
            );
        }
        hashes
    }

    fn routes(&self) -> MutexGuard<'_, Vec<Arc<RouteCounts>>> {
        // Nothing panics while it holds this lock, and the list of pointers is always consistent.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl RouteCounts ===

impl RouteCounts {
    /// Counts the rows of one request that was received at `at`, in seconds since 1970. Call it before the answer is sent.
    pub fn add<'a>(
        &self,
        metrics: &Metrics,
        at: i64,
        origin: &Origin,
        rows: impl ExactSizeIterator<Item = Answered<'a>>,
    ) {
        let count = rows.len() as u64;
        let counted = self.with_window(at, metrics, |window| {
            if origin.synthetic {
                rows.for_each(|_| window.counts.add_synthetic());
                return 0;
            }
            let mut uncounted = 0;
            for (index, Answered { row, score, class }) in rows.enumerate() {
                let entity = origin.entities.as_ref().and_then(|all| all.get(index));
                match entity {
                    None | Some(0) => {}
                    Some(hash) => match window.entities.add(*hash) {
                        Seen::First => {}
                        Seen::Before => {
                            window.counts.add_repeated();
                            continue;
                        }
                        Seen::NoRoom => {
                            metrics.entities_full.inc();
                        }
                    },
                }
                if window
                    .counts
                    .add_row(self.columns.observe(row), score, class)
                    .is_err()
                {
                    uncounted += 1;
                }
            }
            uncounted
        });
        let uncounted = counted.unwrap_or(count);
        if uncounted > 0 {
            metrics
                .rows_uncounted
                .get_or_create(&self.label())
                .inc_by(uncounted);
        }
    }

    /// Counts rows that were refused because of wrong types, by feature.
    pub fn add_type_errors<'a>(
        &self,
        metrics: &Metrics,
        at: i64,
        features: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.with_window(at, metrics, |window| {
            for (name, rows) in features {
                // Errors of features that are not in the bins are not counted.
                if let Some(index) = self.bins.features.iter().position(|feature| feature.name == name) {
                    for _ in 0..rows {
                        let _ = window.counts.add_type_error(index);
                    }
                }
            }
        });
    }

    /// Counts rows that were refused for a reason other than the type of a value.
    pub fn add_refused(&self, metrics: &Metrics, at: i64, rows: u64) {
        self.with_window(at, metrics, |window| window.counts.add_refused(rows));
    }

    fn label(&self) -> VersionLabel {
        VersionLabel {
            version: self.route.version.clone(),
        }
    }

    /// Returns `None` if counting has ended.
    fn with_window<T>(&self, at: i64, metrics: &Metrics, add: impl FnOnce(&Window) -> T) -> Option<T> {
        loop {
            {
                let table = self.table.load();
                if table.sealed {
                    return None;
                }
                if let Some(window) = table.find(at, self.seconds) {
                    return Some(add(window));
                }
            }
            if !self.open(at, metrics) {
                return None;
            }
        }
    }

    /// Opens the window of this moment and the next one, unless they are open already.
    fn prepare(&self, now: i64, metrics: &Metrics) {
        self.open(now, metrics);
        self.open(now.saturating_add(i64::from(self.seconds.get())), metrics);
    }

    /// Opens the window for the rows of this moment. Returns whether it is open now.
    fn open(&self, at: i64, metrics: &Metrics) -> bool {
        loop {
            let start = {
                let table = self.table.load();
                if table.sealed {
                    return false;
                }
                if table.find(at, self.seconds).is_some() {
                    return true;
                }
                table.start(at, self.seconds)
            };
            let Some(fresh) = self.window(start, metrics).map(Arc::new) else {
                return false;
            };
            let mut taken = false;
            self.table.rcu(|table| {
                let mut table = Table::clone(table);
                taken = !table.sealed && start >= table.floor && table.find(start, self.seconds).is_none();
                if taken {
                    let place = table
                        .windows
                        .partition_point(|other| other.key.window_start < start);
                    table.windows.insert(place, Arc::clone(&fresh));
                }
                table
            });
            if !taken {
                // Another thread was faster, or the window was closed meanwhile. Nothing was counted in this one.
                fresh.forget();
            }
        }
    }

    /// A new window, in a file if possible.
    fn window(&self, start: i64, metrics: &Metrics) -> Option<Window> {
        let create = |dir: Option<&Path>| {
            Window::create(
                dir,
                self.incarnation,
                &self.route,
                &self.bins,
                start,
                self.seconds,
            )
        };
        let dir = self.store.as_deref().map(Store::dir);
        let window = create(dir).or_else(|error| {
            let reason = chain(&error);
            tracing::error!(
                version = self.route.version,
                "counts of one window are kept in memory, and a crash loses up to one flush interval of them: {reason}"
            );
            create(None)
        });
        match window {
            Ok(window) => {
                metrics.counts_durable.set(i64::from(window.is_durable()));
                Some(window)
            }
            // This cannot happen: in memory there are as many words as the bins need.
            Err(error) => {
                tracing::error!("failed to create counters: {}", chain(&error));
                None
            }
        }
    }

    /// The windows that accept rows now.
    fn windows(&self) -> Vec<Arc<Window>> {
        self.table.load().windows.clone()
    }

    /// Removes and returns the windows that ended before `at`. They accept no new rows, but a thread may still be adding
    /// one.
    fn take_ended(&self, at: i64) -> Vec<Arc<Window>> {
        if !self.table.load().windows.iter().any(|window| window.end() <= at) {
            return Vec::new();
        }
        let mut ended = Vec::new();
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            ended = table
                .windows
                .extract_if(.., |window| window.end() <= at)
                .collect();
            for window in &ended {
                // Its last total was final, so neither a late row nor a clock that is set back may open it again.
                table.floor = table.floor.max(window.end());
            }
            table
        });
        ended
    }

    /// Ends counting, and removes and returns all windows.
    fn seal(&self) -> Vec<Arc<Window>> {
        let sealed = Table {
            sealed: true,
            ..Table::default()
        };
        self.table.swap(Arc::new(sealed)).windows.clone()
    }
}

// === impl Table ===

impl Table {
    /// Start of the window for the rows of this moment.
    fn start(&self, at: i64, seconds: NonZeroU32) -> i64 {
        window_start(at, seconds).max(self.floor)
    }

    fn find(&self, at: i64, seconds: NonZeroU32) -> Option<&Window> {
        let start = self.start(at, seconds);
        let mut windows = self.windows.iter();
        // There are two or three.
        windows
            .find(|window| window.key.window_start == start)
            .map(Arc::as_ref)
    }
}

// === impl Origin ===

impl Origin {
    /// Checks that every row has an entity. The error says what is wrong.
    pub fn check(&self, rows: usize) -> Result<(), String> {
        match &self.entities {
            Some(entities) if entities.len() != rows => Err(format!(
                "the header {ENTITY_HEADER} names {} entities, the request has {rows} rows; name one for each row, with \
                 commas between them",
                entities.len()
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use modelward_model::{Feature, Value};
    use modelward_profile::{FeatureBins, ScoreBins};
    use modelward_wire::{Digest, RouteMode};

    use super::*;

    pub fn counting(seconds: u32, dir: Option<&Path>) -> Arc<Counting> {
        let seconds = NonZeroU32::new(seconds).unwrap();
        Arc::new(Counting::new(seconds, dir, &Metrics::new()))
    }

    pub fn route_counts(counting: &Arc<Counting>, now: i64) -> Arc<RouteCounts> {
        let route = Route {
            version: "heart-1".into(),
            digest: Digest::from_bytes([1; 32]),
            weight: 100,
            threshold: "0.5".parse().unwrap(),
            mode: RouteMode::Live,
        };
        let bins = Bins::new(
            vec![FeatureBins::numeric("age", &[40.0, 50.0, 60.0]).unwrap()],
            ScoreBins::from_out_of_fold(&[0.2, 0.8]).unwrap(),
        );
        let schema = FeatureSchema::new(vec![Feature::numeric("age")]).unwrap();
        let metrics = Metrics::new();
        counting
            .add_route(&route, bins.unwrap(), &schema, now, &metrics)
            .unwrap()
    }

    /// Counts this many rows of one request.
    pub fn answer(counts: &RouteCounts, metrics: &Metrics, at: i64, rows: usize) {
        let row = Row::new(vec![Value::Number(50.0)]);
        let answered = Answered {
            row: &row,
            score: 0.5,
            class: 1,
        };
        counts.add(metrics, at, &Origin::default(), vec![answered; rows].into_iter());
    }

    #[test]
    fn one_process_counts_in_a_directory_and_another_one_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let first = counting(10, Some(dir.path()));
        assert!(first.store.is_some());
        assert!(counting(10, Some(dir.path())).store.is_none());
        drop(first);
        assert!(counting(10, Some(dir.path())).store.is_some());
    }

    #[test]
    fn a_full_disk_costs_durability_and_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let counting = counting(10, Some(dir.path()));
        let metrics = Metrics::new();
        // No file can be created in a deleted directory.
        drop(dir);
        let counts = route_counts(&counting, 0);
        answer(&counts, &metrics, 5, 7);
        answer(&counts, &metrics, 25, 7);
        let windows = counts.windows();
        assert!(windows.iter().all(|window| !window.is_durable()));
        assert_eq!(
            windows.iter().filter_map(|window| window.answered()).sum::<u64>(),
            14
        );
        assert_eq!(metrics.counts_durable.get(), 0);
    }

    #[test]
    fn entities_are_split_at_commas_and_an_empty_one_is_none() {
        let counting = counting(10, None);
        let of = |values: &[&str]| counting.entities(values.iter().map(|value| value.as_bytes()));
        assert_eq!(of(&[]), None);
        let hashes = of(&[" a, b ,,a", "b"]).unwrap();
        let [a, b, 0, again, last] = hashes.as_slice() else {
            panic!("{hashes:?}");
        };
        assert_eq!((a, b), (again, last));
        assert_ne!(a, b);
        assert_eq!(of(&[""]), Some(vec![0]));
    }
}
