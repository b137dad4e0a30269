//! Blocked actions that this process knows of.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use modelward_core::reason::Reason;
use modelward_crds::ActionType;

use crate::Metrics;

/// The type and obstacle of each blocked action, by its key.
#[derive(Debug, Default)]
pub(crate) struct Blocked(Mutex<HashMap<String, (ActionType, Reason)>>);

// === impl Blocked ===

impl Blocked {
    /// Records why an action is blocked; nothing if it continues, has ended or was deleted.
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
