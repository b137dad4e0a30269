//! The sums of a model for a row.

/// The sums of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sums {
    /// For class 1 only.
    One(f64),
    /// For each class.
    Two(f64, f64),
}
