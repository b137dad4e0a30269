//! The current availability of PostgreSQL and of the artifact store.

use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// The last known states of PostgreSQL and of the artifact store.
pub(crate) struct Health {
    database: watch::Sender<State>,
    store: watch::Sender<State>,
    metrics: Arc<Metrics>,
}

/// State of a dependency of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not checked yet.
    Unknown,
    /// It is available.
    Up,
    /// It is unavailable. The text has the reason and is public.
    Down(String),
}

// === impl Health ===

impl Health {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            database: watch::Sender::new(State::Unknown),
            store: watch::Sender::new(State::Unknown),
            metrics,
        }
    }

    pub(crate) fn database(&self) -> State {
        self.database.borrow().clone()
    }

    pub(crate) fn store(&self) -> State {
        self.store.borrow().clone()
    }

    /// Watches the state of the database.
    pub(crate) fn watch_database(&self) -> watch::Receiver<State> {
        self.database.subscribe()
    }

    pub(crate) fn set_database(&self, state: State) {
        self.metrics.database_up.set(i64::from(state == State::Up));
        change("PostgreSQL", &self.database, state);
    }

    pub(crate) fn set_store(&self, state: State) {
        self.metrics.store_up.set(i64::from(state == State::Up));
        change("the artifact store", &self.store, state);
    }
}

fn change(what: &str, sender: &watch::Sender<State>, state: State) {
    sender.send_if_modified(|present| {
        if *present == state {
            return false;
        }
        match &state {
            State::Unknown => {}
            State::Up => tracing::info!("{what} is available"),
            State::Down(why) => tracing::warn!("{what} is unavailable: {why}"),
        }
        *present = state;
        true
    });
}

// === impl State ===

impl State {
    /// Its text in `/readyz`.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Unknown => "not checked yet",
            Self::Up => "ok",
            Self::Down(why) => why,
        }
    }
}
