//! Writes of this process that the cluster does not show as such.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use modelward_core::children::{Judgement, Memory};

/// The writes of this process.
#[derive(Default)]
pub(crate) struct OwnWrites {
    /// Uids of Jobs that it created and that are not recorded yet.
    jobs: Mutex<HashSet<String>>,
    /// Uids of children that it deleted to recreate them.
    deleted: Mutex<HashSet<String>>,
    /// The memory of each child, by namespace, kind and name.
    children: Mutex<HashMap<String, Memory>>,
}

// === impl OwnWrites ===

impl OwnWrites {
    /// What to do about a child that differs from the desired state.
    pub(crate) fn judge_child(&self, key: &str, wanted: &str, found: &str, now: Timestamp) -> Judgement {
        lock(&self.children)
            .entry(key.to_owned())
            .or_default()
            .judge(wanted, found, now)
    }

    /// Records a write of a child: how it differed before, and how the API server's answer differs.
    pub(crate) fn note_child(
        &self,
        key: &str,
        wanted: &str,
        found: Option<&str>,
        made: Option<(String, Vec<String>)>,
        now: Timestamp,
    ) {
        let mut children = lock(&self.children);
        if found.is_some() || made.is_some() || children.contains_key(key) {
            let memory = children.entry(key.to_owned()).or_default();
            memory.written(wanted, found, made, now);
        }
    }

    /// Forgets the children of this name.
    pub(crate) fn forget_children(&self, namespace: &str, names: impl Fn(&str) -> bool) {
        lock(&self.children).retain(|key, _| {
            let name = key
                .strip_prefix(namespace)
                .and_then(|rest| rest.strip_prefix('/'));
            let name = name.and_then(|rest| rest.split_once(' ')).map(|(_, name)| name);
            !name.is_some_and(&names)
        });
    }

    /// Remembers that this process deleted the child of this uid to recreate it.
    pub(crate) fn note_deleted_child(&self, uid: &str) {
        lock(&self.deleted).insert(uid.to_owned());
    }

    /// Whether this process deleted the child of this uid to recreate it. This forgets the uid.
    pub(crate) fn deleted_child(&self, uid: &str) -> bool {
        lock(&self.deleted).remove(uid)
    }

    /// Remembers that this process created the Job of this uid.
    pub(crate) fn note_job(&self, uid: &str) {
        lock(&self.jobs).insert(uid.to_owned());
    }

    /// Whether this process created the Job of this uid.
    pub(crate) fn made_job(&self, uid: &str) -> bool {
        lock(&self.jobs).contains(uid)
    }

    /// Forgets a Job whose uid is recorded.
    pub(crate) fn forget_job(&self, uid: &str) {
        lock(&self.jobs).remove(uid);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
