//! What a model adds up for a row.

/// The sums of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sums {
    /// Of class 1 alone.
    One(f64),
    /// Of each class.
    Two(f64, f64),
}
