//! What one request may bring and how much of it an answer repeats: what memory is set aside for.

/// A refusal lists no more single errors than this, and counts them all.
pub const MAX_DETAILS: usize = 100;

/// Bounds of one request.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rows of a request.
    pub max_rows: usize,
    /// Names of a row, or inputs of a request, before the rest is skipped.
    pub max_fields: usize,
    /// Values of a request: rows times features, or elements of all tensors.
    pub max_values: usize,
}
