//! The optional parts of a bundle.

use modelward_model::CustomTrainerInfo;
use modelward_wire::Digest;

use crate::fit::{compare::Comparison, reference::Window};

/// The optional parts of a bundle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The sha256 of the training that the spec asks for.
    pub training: Option<Digest>,
    /// The comparison with the champion, if there is one.
    pub comparison: Option<&'a Comparison>,
    /// The window that traffic is compared with, if it is not the training data.
    pub window: Option<&'a Window>,
    /// The rows that the champion was not trained on.
    pub new_rows: &'a [usize],
    /// The image that trained the model, if one did.
    pub custom_trainer: Option<&'a CustomTrainerInfo>,
    /// The features whose categories the spec names.
    pub declared: &'a [String],
}
