//! The versions that the ledger has.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The last record of each version in the ledger, by uid, to skip repeating it.
#[derive(Debug, Default)]
pub(crate) struct Recorded(Mutex<HashMap<String, String>>);

// === impl Recorded ===

impl Recorded {
    /// Whether the ledger already has this record of the version.
    pub(crate) fn has(&self, uid: &str, what: &str) -> bool {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(uid).is_some_and(|recorded| recorded == what)
    }

    /// Remembers what was recorded in the ledger.
    pub(crate) fn note(&self, uid: &str, what: String) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(uid.to_owned(), what);
    }

    /// Forgets a deleted version.
    pub(crate) fn forget(&self, uid: &str) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.remove(uid);
    }
}
