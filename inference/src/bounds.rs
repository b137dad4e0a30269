//! Bounds of one request, and of what an answer repeats of it. Memory is reserved for these sizes.

/// A refusal lists at most this many errors, and counts all of them.
pub const MAX_DETAILS: usize = 100;

/// Bounds of one request.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rows of a request.
    pub max_rows: usize,
    /// Names of a row, or inputs of a request. Further ones are skipped.
    pub max_fields: usize,
    /// Values of a request: rows times features, or elements of all tensors.
    pub max_values: usize,
}
