//! The same number for the reference and for the window.

use serde::{Deserialize, Serialize};

/// A number for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sides {
    /// For the reference.
    pub reference: u64,
    /// For the window.
    pub window: u64,
}

// === impl Sides ===

impl Sides {
    /// The result of `count` for each side.
    pub fn of<T: ?Sized>(reference: &T, window: &T, count: impl Fn(&T) -> u64) -> Self {
        Self {
            reference: count(reference),
            window: count(window),
        }
    }

    /// The smaller one.
    pub fn least(self) -> u64 {
        self.reference.min(self.window)
    }
}
