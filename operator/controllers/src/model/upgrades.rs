//! Which models may take the Pod template of a new configuration.

use std::sync::{Mutex, PoisonError};

use modelward_core::upgrade::{ModelSeen, Turn, turn};
use modelward_crds::Model;

use crate::{
    api::{Env, NamespacedName},
    cache::{index::Index, model::CachedModel},
};

/// Models that may take a new Pod template but whose record does not say so yet.
#[derive(Debug, Default)]
pub(crate) struct Upgrades(Mutex<Vec<String>>);

// === impl Upgrades ===

impl Upgrades {
    /// Whether this model may take the Pod template of this configuration now. If so, it is counted from now on.
    pub(super) fn turn(
        &self,
        env: &Env,
        models: &Index<CachedModel>,
        model: &Model,
        configuration: &str,
    ) -> Turn {
        let key = NamespacedName::of(model).to_string();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let models = models.all();
        let readable = models.iter().filter_map(|model| model.0.as_ref().ok());
        let models: Vec<_> = readable.filter_map(|model| model.upgrade.clone()).collect();
        // Their records say so now.
        taken.retain(|taken| {
            models
                .iter()
                .any(|model: &ModelSeen| &model.key == taken && model.configuration != configuration)
        });
        let turn = turn(&key, configuration, &models, &taken, env.config.upgrade_at_once);
        let waits = |model: &&ModelSeen| model.configuration != configuration;
        let held = models
            .iter()
            .filter(waits)
            .filter(|model| turn != Turn::Now || model.key != key);
        let held = held.count();
        let stopped = matches!(turn, Turn::Stopped(_));
        env.metrics.upgrades(held, if stopped { held } else { 0 });
        if turn == Turn::Now && !taken.contains(&key) {
            taken.push(key);
        }
        turn
    }
}
