//! Which objects own Jobs.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{PoisonError, RwLock},
};

use k8s_openapi::api::batch::v1::Job;
use kube::{ResourceExt as _, core::PartialObjectMeta, runtime::watcher};

/// The owners of all Jobs, by uid.
#[derive(Debug, Default)]
pub(crate) struct JobOwners {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether the first list is complete.
    listed: bool,
    /// Owners by the uid of the Job.
    jobs: HashMap<String, BTreeSet<String>>,
    /// How many Jobs an owner has.
    counts: HashMap<String, usize>,
    /// The Jobs that the current list has reported so far.
    listing: HashMap<String, BTreeSet<String>>,
}

// === impl JobOwners ===

impl JobOwners {
    /// Whether a Job with this owner may exist: false only if the watch has reported none.
    pub(crate) fn may_have_jobs(&self, owner: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        !known.listed || known.counts.contains_key(owner)
    }

    /// Processes one event of the watch of Jobs.
    pub(crate) fn follow(&self, event: &watcher::Event<PartialObjectMeta<Job>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => known.listing.clear(),
            watcher::Event::InitApply(job) => {
                known.listing.insert(job.uid().unwrap_or_default(), owners(job));
            }
            watcher::Event::InitDone => {
                known.jobs.clear();
                known.counts.clear();
                for (job, owners) in std::mem::take(&mut known.listing) {
                    known.set(job, owners);
                }
                known.listed = true;
            }
            watcher::Event::Apply(job) => known.set(job.uid().unwrap_or_default(), owners(job)),
            watcher::Event::Delete(job) => known.set(job.uid().unwrap_or_default(), BTreeSet::new()),
        }
    }
}

// === impl Known ===

impl Known {
    /// Sets the owners of a Job; none if it was deleted.
    fn set(&mut self, job: String, owners: BTreeSet<String>) {
        for owner in &owners {
            *self.counts.entry(owner.clone()).or_default() += 1;
        }
        let before = if owners.is_empty() {
            self.jobs.remove(&job)
        } else {
            self.jobs.insert(job, owners)
        };
        for owner in before.into_iter().flatten() {
            if let Some(count) = self.counts.get_mut(&owner) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&owner);
                }
            }
        }
    }
}

fn owners(job: &PartialObjectMeta<Job>) -> BTreeSet<String> {
    job.owner_references()
        .iter()
        .map(|owner| owner.uid.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(uid: &str, owner: &str) -> PartialObjectMeta<Job> {
        serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": uid, "namespace": "hospital", "uid": uid, "ownerReferences": [{
                "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "name": owner, "uid": owner,
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn an_owner_has_no_jobs_only_once_a_list_says_so() {
        let owners = JobOwners::default();
        assert!(owners.may_have_jobs("heart-1"), "nothing was listed");
        owners.follow(&watcher::Event::Init);
        owners.follow(&watcher::Event::InitApply(job("a", "heart-1")));
        assert!(owners.may_have_jobs("heart-2"), "the list is not complete");
        owners.follow(&watcher::Event::InitDone);
        assert!(owners.may_have_jobs("heart-1"));
        assert!(!owners.may_have_jobs("heart-2"));
        owners.follow(&watcher::Event::Apply(job("b", "heart-2")));
        owners.follow(&watcher::Event::Delete(job("a", "heart-1")));
        assert!(owners.may_have_jobs("heart-2"));
        assert!(!owners.may_have_jobs("heart-1"));
    }
}
