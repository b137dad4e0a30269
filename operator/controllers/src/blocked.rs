//! What keeps open actions from going on, as far as this process knows.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use modelward_core::reason::Reason;
use modelward_crds::ActionType;

use crate::Metrics;

/// The type and obstacle of each action that cannot go on, by its key.
#[derive(Debug, Default)]
pub(crate) struct Blocked(Mutex<HashMap<String, (ActionType, Reason)>>);

// === impl Blocked ===

impl Blocked {
    /// Notes what keeps an action from going on; nothing where it goes on, has ended or is gone.
    pub(crate) fn note(&self, metrics: &Metrics, action: &str, now: Option<(ActionType, Reason)>) {
        let mut actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match now {
            Some(now) => actions.insert(action.to_owned(), now),
            None => actions.remove(action),
        };
        if before != now {
            metrics.blocked(before, now);
        }
    }
}
