//! Unreadable objects that were reported.

use std::fmt::Debug;

/// Beyond this many the memory is cleared: a few reports are repeated, and the memory stays small.
const REPORTED: usize = 10_000;

/// Objects that were reported as unreadable, by uid, with the resourceVersion that was reported.
#[derive(Debug, Default)]
pub(crate) struct Unreadable {
    reported: std::sync::Mutex<std::collections::HashMap<String, String>>,
}

// === impl Unreadable ===

impl Unreadable {
    /// Whether this state of the object was not reported yet. Records it.
    pub(crate) fn is_news(&self, uid: &str, resource_version: &str) -> bool {
        let mut reported = self
            .reported
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if reported.get(uid).is_some_and(|known| known == resource_version) {
            return false;
        }
        if reported.len() >= REPORTED {
            reported.clear();
        }
        reported.insert(uid.to_owned(), resource_version.to_owned());
        true
    }

    /// Forgets a deleted object.
    pub(crate) fn forget(&self, uid: &str) {
        self.reported
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_an_unreadable_object_is_reported_once() {
        let unreadable = Unreadable::default();
        assert!(unreadable.is_news("a", "1"));
        assert!(!unreadable.is_news("a", "1"));
        assert!(unreadable.is_news("b", "1"));
        assert!(unreadable.is_news("a", "2"));
        unreadable.forget("a");
        assert!(unreadable.is_news("a", "2"));
    }

    #[test]
    fn the_memory_of_reports_is_bounded() {
        let unreadable = Unreadable::default();
        for object in 0..2 * REPORTED {
            assert!(unreadable.is_news(&object.to_string(), "1"));
        }
        assert!(unreadable.reported.lock().unwrap().len() <= REPORTED);
    }
}
