//! The progress of a training.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{family::TrainableFamily, fit::plan::Plan};

/// The progress of a training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does, for messages: family, trial and fold.
    pub what: String,
    /// Fits of folds that are done, over all families.
    pub done: usize,
    /// Fits of folds in all.
    pub total: usize,
}

/// Counts the fits of folds that are done.
pub(crate) struct Progress<'a> {
    report: &'a (dyn Fn(Step) + Sync),
    done: AtomicUsize,
    total: usize,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    pub(crate) fn new(plan: &Plan, report: &'a (dyn Fn(Step) + Sync)) -> Self {
        let families = plan.families.len();
        let of_search = plan.search.map_or(0, |search| search.trials.max(families));
        let repeats = plan.repeats - usize::from(plan.search.is_some());
        // The second best trial of each family is evaluated as the best is.
        let evaluated = match (plan.search, plan.ensemble) {
            (Some(_), Some(_)) => 2 * families,
            _ => families,
        };
        Self {
            report,
            done: AtomicUsize::new(0),
            total: plan.folds * (of_search + evaluated * repeats),
        }
    }

    /// A fold begins; of a search with the number of its trial. `rows` are those of the data.
    pub(crate) fn starts(
        &self,
        family: &dyn TrainableFamily,
        trial: Option<usize>,
        (repeat, fold): (usize, usize),
        rows: usize,
    ) {
        let trial = trial.map_or_else(String::new, |number| format!(" trial {number},"));
        self.report(format!(
            "cross-validating {},{trial} repeat {}, fold {} of {rows} rows",
            family.served().name(),
            repeat + 1,
            fold + 1
        ));
    }

    /// Records that this many fits of folds are done, or will not be needed.
    pub(crate) fn done(&self, count: usize) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self, what: &str) {
        self.done.store(self.total, Ordering::Relaxed);
        self.report(what.to_owned());
    }

    fn report(&self, what: String) {
        (self.report)(Step {
            what,
            done: self.done.load(Ordering::Relaxed).min(self.total),
            total: self.total,
        });
    }
}
