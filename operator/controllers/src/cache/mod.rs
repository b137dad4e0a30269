//! What the operator keeps in memory of the watched objects: their parts that lookups need, indexes, and the queues that wake the
//! controllers.
//!
//! ```text
//! one watch a kind ──► index of slim objects ──► wires: who is concerned? ──► queue of each controller ──► reconcile
//!                                                                                      reads the whole object again
//! ```

pub(crate) mod action;
pub(crate) mod cached;
pub(crate) mod index;
pub(crate) mod job_owners;
pub(crate) mod model;
pub(crate) mod report;
pub(crate) mod version;
pub(crate) mod wake;

use std::sync::{Mutex, PoisonError};

use self::{
    action::CachedAction,
    index::{Index, IndexWriter},
    job_owners::JobOwners,
    model::CachedModel,
    report::CachedReport,
    version::CachedVersion,
    wake::{Queues, Wake},
};

/// The watched objects, as far as they are kept in memory.
pub(crate) struct Cache {
    pub(crate) versions: Index<CachedVersion>,
    pub(crate) models: Index<CachedModel>,
    pub(crate) actions: Index<CachedAction>,
    pub(crate) reports: Index<CachedReport>,
    pub(crate) job_owners: JobOwners,
    pub(crate) wake: Wake,
    feeds: Mutex<Option<Feeds>>,
}

/// The ends of the cache that exist once.
pub(crate) struct Feeds {
    pub(crate) writers: Writers,
    pub(crate) queues: Queues,
}

/// The writers of its indexes.
pub(crate) struct Writers {
    pub(crate) versions: IndexWriter<CachedVersion>,
    pub(crate) models: IndexWriter<CachedModel>,
    pub(crate) actions: IndexWriter<CachedAction>,
    pub(crate) reports: IndexWriter<CachedReport>,
}

// === impl Cache ===

impl Cache {
    /// An empty cache.
    pub(crate) fn new() -> Self {
        let (versions, version_writer) = Index::new();
        let (models, model_writer) = Index::new();
        let (actions, action_writer) = Index::new();
        let (reports, report_writer) = Index::new();
        let (wake, queues) = Wake::new();
        let writers = Writers {
            versions: version_writer,
            models: model_writer,
            actions: action_writer,
            reports: report_writer,
        };
        Self {
            versions,
            models,
            actions,
            reports,
            job_owners: JobOwners::default(),
            wake,
            feeds: Mutex::new(Some(Feeds { writers, queues })),
        }
    }

    /// The writers and queues; `None` if they were taken before.
    pub(crate) fn take_feeds(&self) -> Option<Feeds> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
