//! The order of models when the operator's configuration changes the Pod template of every model.
//!
//! A new image, another service account or another address of the ledger restarts the Pods of every model. Models take
//! turns: a limited number at once, the next one only after a previous one is Ready with the new template. If one does not
//! become ready, the others keep their previous template until the configuration is changed again.
//!
//! A model that was not Ready before says nothing about the new template: other models do not wait for it, and it is last.

/// The state of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSeen {
    /// Namespace and name.
    pub key: String,
    /// Hash of the configuration of its Pod template.
    pub configuration: String,
    /// Whether it was Ready with it, or other models do not wait for it.
    pub settled: bool,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether its rollout is stuck.
    pub stalled: bool,
}

/// Whether a model may take the new Pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// It may, or has it.
    #[default]
    Now,
    /// This model goes first.
    Waits(String),
    /// This model does not become ready.
    Stopped(String),
}

/// Whether the model `key` may take the template of `configuration`, if `at_once` models may at the same time. `taken` are models
/// that were allowed a moment ago and whose record does not say so yet.
pub fn turn(key: &str, configuration: &str, models: &[ModelSeen], taken: &[String], at_once: usize) -> Turn {
    let under_way = |model: &&ModelSeen| {
        model.key != key
            && ((model.configuration == configuration && !model.settled) || taken.contains(&model.key))
    };
    let mut before: Vec<_> = models.iter().filter(under_way).collect();
    before.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(stuck) = before.iter().find(|model| model.stalled) {
        return Turn::Stopped(stuck.key.clone());
    }
    if let Some(first) = before.first().filter(|_| before.len() >= at_once.max(1)) {
        return Turn::Waits(first.key.clone());
    }
    let me = models.iter().find(|model| model.key == key);
    if me.is_some_and(|me| !me.ready) {
        let waits = |model: &&ModelSeen| model.configuration != configuration && model.ready;
        if let Some(first) = models.iter().filter(waits).min_by(|a, b| a.key.cmp(&b.key)) {
            return Turn::Waits(first.key.clone());
        }
    }
    Turn::Now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(key: &str, configuration: &str, settled: bool) -> ModelSeen {
        ModelSeen {
            key: key.into(),
            configuration: configuration.into(),
            settled,
            ready: settled,
            stalled: false,
        }
    }

    /// Ten Ready models with the previous template.
    fn ten() -> Vec<ModelSeen> {
        (0..10)
            .map(|number| model(&format!("n/m{number}"), "old", true))
            .collect()
    }

    #[test]
    fn models_take_the_new_template_one_after_the_other() {
        let mut models = ten();
        for number in 0..10 {
            let key = format!("n/m{number}");
            assert_eq!(turn(&key, "new", &models, &[], 1), Turn::Now);
            models[number] = model(&key, "new", false);
            for other in number + 1..10 {
                let waits = turn(&format!("n/m{other}"), "new", &models, &[], 1);
                assert_eq!(waits, Turn::Waits(key.clone()));
            }
            models[number] = model(&key, "new", true);
        }
    }

    #[test]
    fn one_that_does_not_come_up_stops_the_others_until_the_configuration_changes() {
        let mut models = ten();
        models[3] = ModelSeen {
            stalled: true,
            ..model("n/m3", "new", false)
        };
        assert_eq!(turn("n/m4", "new", &models, &[], 2), Turn::Stopped("n/m3".into()));
        assert_eq!(turn("n/m3", "old", &models, &[], 2), Turn::Now, "it goes back");
        assert_eq!(turn("n/m4", "third", &models, &[], 2), Turn::Now);
    }

    #[test]
    fn one_that_was_let_through_a_moment_ago_counts_before_its_record_says_so() {
        let models = ten();
        let taken = ["n/m7".to_owned()];
        assert_eq!(
            turn("n/m1", "new", &models, &taken, 1),
            Turn::Waits("n/m7".into())
        );
        assert_eq!(turn("n/m1", "new", &models, &taken, 2), Turn::Now);
        assert_eq!(turn("n/m7", "new", &models, &taken, 1), Turn::Now);
    }

    #[test]
    fn one_that_was_not_ready_before_goes_last_and_holds_up_no_other() {
        let mut models = ten();
        models[0].ready = false;
        assert_eq!(turn("n/m0", "new", &models, &[], 1), Turn::Waits("n/m1".into()));
        assert_eq!(turn("n/m1", "new", &models, &[], 1), Turn::Now);
        for model in &mut models[1..] {
            model.configuration = "new".into();
        }
        assert_eq!(turn("n/m0", "new", &models, &[], 1), Turn::Now);
    }
}
