//! Recently sent Events.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

/// The same Event is not sent again within this time.
const QUIET: SignedDuration = SignedDuration::from_mins(10);

/// Limit on the remembered Events.
const REMEMBERED: usize = 4096;

/// The Events that this process sent recently.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) instance: String,
    sent: Mutex<HashMap<Said, Timestamp>>,
}

/// The identity of an Event.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) about: String,
    pub(crate) reason: String,
    pub(crate) action: String,
    pub(crate) note: String,
}

// === impl Recorder ===

impl Recorder {
    /// The one recorder of a process. `instance` names the process.
    pub(crate) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            sent: Mutex::default(),
        }
    }

    /// Whether the same Event was sent recently.
    pub(crate) fn knows(&self, said: &Said, now: Timestamp) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(said).is_some_and(|at| now.duration_since(*at) < QUIET)
    }

    pub(crate) fn note(&self, said: Said, now: Timestamp) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= REMEMBERED {
            sent.retain(|_, at| now.duration_since(*at) < QUIET);
            // All of them are recent: a few duplicates do less harm than unbounded memory.
            if sent.len() >= REMEMBERED {
                sent.clear();
            }
        }
        sent.insert(said, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn said(note: &str) -> Said {
        Said {
            about: "uid".into(),
            reason: "DriftFound".into(),
            action: "Judge".into(),
            note: note.into(),
        }
    }

    #[test]
    fn the_same_event_is_sent_once_in_ten_minutes() {
        let recorder = Recorder::new("operator-0");
        assert!(!recorder.knows(&said("a"), at(0)));
        recorder.note(said("a"), at(0));
        assert!(recorder.knows(&said("a"), at(599)));
        assert!(!recorder.knows(&said("a"), at(600)));
    }

    #[test]
    fn an_event_with_other_words_is_another_event() {
        let recorder = Recorder::new("operator-0");
        recorder.note(said("3 features"), at(0));
        assert!(!recorder.knows(&said("4 features"), at(1)));
    }

    #[test]
    fn the_memory_of_events_is_bounded() {
        let recorder = Recorder::new("operator-0");
        for number in 0..3 * REMEMBERED {
            recorder.note(said(&number.to_string()), at(0));
        }
        assert!(recorder.sent.lock().unwrap().len() <= REMEMBERED);
    }
}
