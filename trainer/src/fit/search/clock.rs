//! The time that a search has taken, over all Jobs of its version.

use std::time::Duration;

/// The time of a search.
pub(super) struct Clock<'a> {
    limit: Option<Duration>,
    now: &'a (dyn Fn() -> Duration + Sync),
    since: Duration,
    /// What the search had taken by then.
    earlier: Duration,
}

// === impl Clock ===

impl<'a> Clock<'a> {
    pub(super) fn start(limit: Option<Duration>, now: &'a (dyn Fn() -> Duration + Sync)) -> Self {
        Self {
            limit,
            now,
            since: now(),
            earlier: Duration::ZERO,
        }
    }

    /// Continues after this time of an earlier Job. Reusing what it found does not count a second time.
    pub(super) fn resume(&mut self, earlier: Duration) {
        (self.earlier, self.since) = (earlier, (self.now)());
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.earlier + (self.now)().saturating_sub(self.since)
    }

    pub(super) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.elapsed() >= limit)
    }
}
