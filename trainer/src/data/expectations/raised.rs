//! Why an expectation makes no sense for a column.

/// Why an expectation makes no sense for a column: it does not exist, or has another type.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);
