//! The state behind the readiness probe.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// This many failures in a row, the last one within [`WATCH_FAILING`], make a watch count as broken. A watch that was
/// started again is silent until something happens, so silence after a failure must count as health: otherwise a single
/// rejection by a new CRD would keep a process unready until an object is created.
const WATCH_FAILURES: u32 = 3;

/// Longer than the longest backoff between two failures.
const WATCH_FAILING: Duration = Duration::from_secs(90);

/// The state behind the readiness probe.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// By kind: failures since the last event, and when the last of them was.
    watches: Arc<Mutex<BTreeMap<String, (u32, Instant)>>>,
    pub(crate) started: Arc<AtomicBool>,
}

// === impl Health ===

impl Health {
    /// The problems, as text; empty if there are none.
    pub fn problems(&self) -> Vec<String> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches
            .iter()
            .filter(|(_, (failures, last))| *failures >= WATCH_FAILURES && last.elapsed() < WATCH_FAILING)
            .map(|(kind, _)| format!("{kind} cannot be watched"))
            .collect()
    }

    /// Whether the controllers were started: false in a standby process.
    pub fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, kind: &str, healthy: bool) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if healthy {
            watches.remove(kind);
        } else {
            let failing = watches.entry(kind.to_owned()).or_insert((0, Instant::now()));
            *failing = (failing.0 + 1, Instant::now());
        }
    }
}
