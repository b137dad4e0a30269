//! Names for Secrets with keys that are not created yet.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kube::ResourceExt as _;
use modelward_crds::Model;

/// The names by uid of the Model, so that each rejection names the same Secret.
#[derive(Debug, Default)]
pub(crate) struct KeyNames(Mutex<HashMap<String, String>>);

// === impl KeyNames ===

impl KeyNames {
    /// The name for the Secret with the keys of a model: generated once, and again after [`KeyNames::forget`].
    pub(super) fn of(&self, model: &Model) -> String {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let draw = || format!("{}-{:08x}-modelward", model.name_any(), rand::random::<u32>());
        names
            .entry(model.uid().unwrap_or_default())
            .or_insert_with(draw)
            .clone()
    }

    /// Forgets that name, because its Secret is recorded, or an object of another owner has it.
    pub(super) fn forget(&self, model: &Model) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&model.uid().unwrap_or_default());
    }
}
