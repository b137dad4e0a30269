//! The queues that wake the controllers.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;

use super::{
    action::CachedAction, index::reference, model::CachedModel, report::CachedReport, version::CachedVersion,
};
use crate::api::{Guarded, NamespacedName};

/// An object to reconcile, and the controller that does it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Version(NamespacedName),
    Model(NamespacedName),
    /// The reports of a model.
    Schedule(NamespacedName),
    Action(NamespacedName),
    Report(NamespacedName),
}

/// The objects that a controller is asked to reconcile.
pub(crate) type Queue<R> = UnboundedReceiver<ObjectRef<Guarded<R>>>;

/// The senders of all queues. A controller takes each reference out at once and keeps one of an object, so the queues stay short.
pub(crate) struct Wake {
    versions: UnboundedSender<ObjectRef<Guarded<CachedVersion>>>,
    models: UnboundedSender<ObjectRef<Guarded<CachedModel>>>,
    schedules: UnboundedSender<ObjectRef<Guarded<CachedModel>>>,
    actions: UnboundedSender<ObjectRef<Guarded<CachedAction>>>,
    reports: UnboundedSender<ObjectRef<Guarded<CachedReport>>>,
}

/// The receivers of all queues.
pub(crate) struct Queues {
    pub(crate) versions: Queue<CachedVersion>,
    pub(crate) models: Queue<CachedModel>,
    pub(crate) schedules: Queue<CachedModel>,
    pub(crate) actions: Queue<CachedAction>,
    pub(crate) reports: Queue<CachedReport>,
}

// === impl Wake ===

impl Wake {
    /// The two ends of new queues.
    pub(crate) fn new() -> (Self, Queues) {
        let (versions, version_queue) = unbounded();
        let (models, model_queue) = unbounded();
        let (schedules, schedule_queue) = unbounded();
        let (actions, action_queue) = unbounded();
        let (reports, report_queue) = unbounded();
        let wake = Self {
            versions,
            models,
            schedules,
            actions,
            reports,
        };
        let queues = Queues {
            versions: version_queue,
            models: model_queue,
            schedules: schedule_queue,
            actions: action_queue,
            reports: report_queue,
        };
        (wake, queues)
    }

    /// Asks for a reconcile of the target. A queue whose controller has ended is ignored.
    pub(crate) fn wake(&self, target: &Target) {
        let _ = match target {
            Target::Version(name) => self.versions.unbounded_send(reference(name)).is_ok(),
            Target::Model(name) => self.models.unbounded_send(reference(name)).is_ok(),
            Target::Schedule(name) => self.schedules.unbounded_send(reference(name)).is_ok(),
            Target::Action(name) => self.actions.unbounded_send(reference(name)).is_ok(),
            Target::Report(name) => self.reports.unbounded_send(reference(name)).is_ok(),
        };
    }
}
