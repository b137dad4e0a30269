//! What a bundle has beside what every one has.

use modelward_model::CustomTrainerInfo;
use modelward_wire::Digest;

use crate::fit::{compare::Comparison, reference::Window};

/// What a bundle has beside what every one has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The sha256 of the training that the spec asks for.
    pub training: Option<Digest>,
    /// What came of comparing with the champion, where there is one.
    pub comparison: Option<&'a Comparison>,
    /// The window that traffic is compared with, where it is not the training data.
    pub window: Option<&'a Window>,
    /// The rows that the champion was not trained on.
    pub new_rows: &'a [usize],
    /// The image that trained the model, if one did.
    pub custom_trainer: Option<&'a CustomTrainerInfo>,
    /// The features whose categories the spec names.
    pub declared: &'a [String],
}
