//! Exponential backoff for each object.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use crate::metrics::ControllerName;

/// First delay after a failure.
const FIRST: Duration = Duration::from_millis(500);
/// Longest delay.
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row by object.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

/// The failures of each controller's objects.
#[derive(Debug, Default)]
pub(crate) struct Backoffs {
    versions: Backoff,
    models: Backoff,
    reports: Backoff,
    schedules: Backoff,
    actions: Backoff,
}

// === impl Backoffs ===

impl Backoffs {
    /// The failures in a row of a controller's objects.
    pub(crate) fn of(&self, controller: ControllerName) -> &Backoff {
        match controller {
            ControllerName::ModelVersion => &self.versions,
            ControllerName::Model => &self.models,
            ControllerName::DriftReport => &self.reports,
            ControllerName::DriftSchedule => &self.schedules,
            ControllerName::Action => &self.actions,
        }
    }
}

// === impl Backoff ===

impl Backoff {
    /// Records a failure and returns the delay: doubled each time, with up to a quarter of jitter, so that objects that failed
    /// together are not retried together.
    pub fn failed(&self, key: &str) -> Duration {
        let mut failures = self
            .failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_insert(0);
        let delay = delay(*count);
        *count = count.saturating_add(1);
        jittered(delay)
    }

    /// Forgets the failures of an object that succeeded or was deleted.
    pub fn succeeded(&self, key: &str) {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(key);
    }

    /// Number of objects that fail now.
    pub fn failing(&self) -> usize {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .len()
    }
}

fn delay(failures: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST)
}

/// The duration, lengthened by up to a quarter.
pub fn jittered(duration: Duration) -> Duration {
    duration + duration.mul_f64(rand::random::<f64>() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_one_object_doubles_its_wait_up_to_a_bound() {
        assert_eq!(delay(0), FIRST);
        assert_eq!(delay(3), FIRST * 8);
        assert_eq!(delay(200), LONGEST);
    }

    #[test]
    fn a_success_starts_anew_and_other_objects_are_not_held_up() {
        let backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed("a");
        }
        assert!(backoff.failed("b") < FIRST * 2);
        backoff.succeeded("a");
        assert!(backoff.failed("a") < FIRST * 2);
        assert_eq!(backoff.failing(), 2);
    }
}
