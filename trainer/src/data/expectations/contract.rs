//! What every expectation does.

use modelward_crds::Expectation;

use crate::data::expectations::{found::Found, frame::Frame, raised::Raised};

/// Evaluates an expectation.
pub(super) trait Evaluate: Sync {
    /// What is found, or why the question makes no sense for these columns.
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised>;
}
