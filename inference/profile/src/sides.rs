//! A number of the reference and the same of the window.

use serde::{Deserialize, Serialize};

/// A number of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sides {
    /// Of the reference.
    pub reference: u64,
    /// Of the window.
    pub window: u64,
}

// === impl Sides ===

impl Sides {
    /// What `count` says of each side.
    pub fn of<T: ?Sized>(reference: &T, window: &T, count: impl Fn(&T) -> u64) -> Self {
        Self {
            reference: count(reference),
            window: count(window),
        }
    }

    /// The smaller of both.
    pub fn least(self) -> u64 {
        self.reference.min(self.window)
    }
}
