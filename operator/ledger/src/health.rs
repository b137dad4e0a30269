//! What is unavailable now.

use std::sync::Arc;

use tokio::sync::watch;

use crate::metrics::Metrics;

/// State of PostgreSQL and of the artifact store as last seen.
pub(crate) struct Health {
    database: watch::Sender<State>,
    store: watch::Sender<State>,
    metrics: Arc<Metrics>,
}

/// State of one thing that the ledger stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not looked at yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not, and why; the text is public.
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

    /// Sees each change of the database's state.
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
    /// What `/readyz` says of it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Unknown => "not asked yet",
            Self::Up => "ok",
            Self::Down(why) => why,
        }
    }
}
