//! Which versions have a Job or wait for one, over all namespaces; [`modelward_core::queue`] decides whose turn it is.
//!
//! Held in memory and filled from the versions' statuses at the start: a place that is taken here is recorded in a status a
//! moment later, and what is not recorded when the process ends is free again.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::{Mutex, PoisonError},
};

use futures::{Stream, stream};
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use modelward_core::{
    order::Place,
    queue::{self, Entry, Limits, State, Turn},
};
use modelward_crds::{ModelVersion, ModelVersionStatus};
use tokio::sync::{
    OnceCell,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::run::{CONCURRENCY, Guarded};

/// Reconciles that one namespace may have at the same time: the rest are for the others.
const OF_ONE_NAMESPACE: u16 = CONCURRENCY - 2;

/// Deleted versions that are remembered: far more than there are reconciles under way, of which each may still end with a
/// note about one.
const GONE: usize = 1024;

type Woken = ObjectRef<Guarded<ModelVersion>>;

/// The queue for Jobs, and the shares of namespaces in the reconciles.
pub(crate) struct Turns {
    limits: Limits,
    entries: Mutex<Entries>,
    seeded: OnceCell<()>,
    wake: UnboundedSender<Woken>,
    woken: Mutex<Option<UnboundedReceiver<Woken>>>,
    active: Mutex<BTreeMap<String, u16>>,
}

/// The versions in the queue, by uid.
#[derive(Default)]
struct Entries {
    present: BTreeMap<String, Entry>,
    /// Uids of versions that were deleted last, the newest at the end: none of them comes back.
    gone: VecDeque<String>,
}

/// A reconcile of a namespace; its share is free again when this is dropped.
pub(crate) struct Share<'a> {
    turns: &'a Turns,
    namespace: String,
}

// === impl Turns ===

impl Turns {
    pub(crate) fn new(limits: Limits) -> Self {
        let (wake, woken) = unbounded_channel();
        Self {
            limits,
            entries: Mutex::default(),
            seeded: OnceCell::new(),
            wake,
            woken: Mutex::new(Some(woken)),
            active: Mutex::default(),
        }
    }

    /// Fills the queue with the versions that have a Job, once: before that no turn is given.
    pub(crate) async fn seed<F>(&self, versions: impl FnOnce() -> F)
    where
        F: Future<Output = Vec<ModelVersion>>,
    {
        let fill = async || {
            let versions = versions().await;
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            for version in &versions {
                if let Some(state) = version.status.as_ref().and_then(state) {
                    entries
                        .present
                        .insert(version.uid().unwrap_or_default(), entry(version, state));
                }
            }
        };
        self.seeded.get_or_init(fill).await;
    }

    /// Asks for a Job for a version. One that gets it now has its place from now on; another one waits and is woken.
    pub(crate) fn ask(&self, version: &ModelVersion) -> Turn {
        let uid = version.uid().unwrap_or_default();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.gone.contains(&uid) {
            // What it would make goes with it.
            return Turn::Now;
        }
        let entries = &mut entries.present;
        entries
            .entry(uid.clone())
            .or_insert_with(|| entry(version, State::Waits));
        let turn = queue::turn(
            &uid,
            &entries.iter().map(|(uid, entry)| (uid.as_str(), entry)),
            self.limits,
        );
        if turn == Turn::Now
            && let Some(own) = entries.get_mut(&uid)
        {
            own.state = State::Runs;
        }
        turn
    }

    /// Notes what the status of a version says, and wakes those whose turn it is then.
    pub(crate) fn note(&self, version: &ModelVersion, status: &ModelVersionStatus) {
        let state = state(status);
        self.set(
            &version.uid().unwrap_or_default(),
            state.map(|state| entry(version, state)),
        );
    }

    /// Takes a version out of the queue, and wakes those whose turn it is then.
    pub(crate) fn leave(&self, uid: &str) {
        self.set(uid, None);
    }

    /// Takes a deleted version out of the queue for good: a reconcile of it that is still under way does not bring it back.
    pub(crate) fn bury(&self, uid: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.gone.len() >= GONE {
            entries.gone.pop_front();
        }
        entries.gone.push_back(uid.to_owned());
        drop(entries);
        self.leave(uid);
    }

    fn set(&self, uid: &str, now: Option<Entry>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.filter(|_| !entries.gone.iter().any(|gone| gone == uid));
        let entries = &mut entries.present;
        let state = now.as_ref().map(|entry| entry.state);
        let before = match now {
            Some(entry) => entries.insert(uid.to_owned(), entry),
            None => entries.remove(uid),
        };
        let before = before.map(|entry| entry.state);
        // Only what makes room wakes others.
        if before.is_none() || before == state {
            return;
        }
        for next in queue::next(
            entries.iter().map(|(uid, entry)| (uid.as_str(), entry)),
            self.limits,
        ) {
            if let Some(entry) = entries.get(next) {
                let _ = self
                    .wake
                    .send(ObjectRef::new(&entry.name).within(&entry.namespace));
            }
        }
    }

    /// The versions that are woken, for the one controller that reconciles them.
    pub(crate) fn woken(&self) -> impl Stream<Item = Woken> + Send + use<> {
        let receiver = self.woken.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream::unfold(receiver, |receiver| async move {
            match receiver {
                Some(mut receiver) => receiver.recv().await.map(|woken| (woken, Some(receiver))),
                // It was taken before: nothing comes, and a stream that ended would end the controller.
                None => std::future::pending().await,
            }
        })
    }

    /// A share in the reconciles for an object of this namespace; `None` where it has as many as it may have.
    pub(crate) fn share(&self, namespace: &str) -> Option<Share<'_>> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let count = active.entry(namespace.to_owned()).or_default();
        if *count >= OF_ONE_NAMESPACE {
            return None;
        }
        *count += 1;
        Some(Share {
            turns: self,
            namespace: namespace.to_owned(),
        })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut active = self.turns.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = active.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                active.remove(&self.namespace);
            }
        }
    }
}

fn entry(version: &ModelVersion, state: State) -> Entry {
    let created = version
        .creation_timestamp()
        .map(|time| time.0)
        .unwrap_or_default();
    let name = version.name_any();
    Entry {
        namespace: version.namespace().unwrap_or_default(),
        model: version.spec.model.clone(),
        place: Place::new(created, &name, &version.uid().unwrap_or_default()),
        name,
        state,
    }
}

/// What a version does that has this status: nothing, where no Job of it is under way.
fn state(status: &ModelVersionStatus) -> Option<State> {
    let attempts = [&status.snapshot_attempt, &status.fit_attempt];
    let attempt = attempts
        .into_iter()
        .flatten()
        .find(|attempt| !attempt.finished && attempt.retry_at.is_none())?;
    Some(if attempt.reason.is_some() {
        State::Hindered
    } else {
        State::Runs
    })
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::{Value, json};

    use super::*;

    fn version(name: &str, status: &Value) -> ModelVersion {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
            "metadata": {"name": name, "namespace": "hospital", "uid": name, "creationTimestamp": "2026-11-23T09:30:00Z"},
            "spec": {"model": name, "source": {}, "serving": {"access": "Open"}},
            "status": status,
        }))
        .unwrap()
    }

    fn training() -> Value {
        json!({"fitAttempt": {"attempt": 1, "job": "j", "jobUid": "u", "input": "i", "finished": false}})
    }

    fn one_at_a_time() -> Turns {
        Turns::new(Limits {
            per_namespace: 1,
            cluster: 9,
        })
    }

    #[tokio::test]
    async fn a_deleted_version_is_not_brought_back_by_a_reconcile_that_was_under_way() {
        let turns = one_at_a_time();
        turns.seed(|| async { Vec::new() }).await;
        let (first, second) = (version("a", &training()), version("b", &json!({})));
        assert_eq!(turns.ask(&first), Turn::Now);
        turns.bury("a");
        turns.note(&first, first.status.as_ref().unwrap());
        assert_eq!(turns.ask(&second), Turn::Now);
    }

    #[tokio::test]
    async fn a_version_that_waits_is_woken_when_the_one_before_it_has_ended() {
        let turns = one_at_a_time();
        let mut woken = Box::pin(turns.woken());
        turns.seed(|| async { Vec::new() }).await;
        let (first, second) = (version("a", &json!({})), version("b", &json!({})));
        assert_eq!(turns.ask(&first), Turn::Now);
        assert!(matches!(turns.ask(&second), Turn::Later(_)));
        assert!(woken.next().now_or_never().is_none(), "nothing has ended");
        let running: ModelVersionStatus = serde_json::from_value(training()).unwrap();
        turns.note(&first, &running);
        assert!(woken.next().now_or_never().is_none());
        turns.note(&first, &ModelVersionStatus::default());
        assert_eq!(woken.next().await.unwrap().name, "b");
        assert_eq!(turns.ask(&second), Turn::Now);
    }

    #[tokio::test]
    async fn what_runs_already_at_the_start_has_its_place() {
        let turns = one_at_a_time();
        turns.seed(|| async { vec![version("a", &training())] }).await;
        assert!(matches!(turns.ask(&version("b", &json!({}))), Turn::Later(_)));
        turns.leave("a");
        assert_eq!(turns.ask(&version("b", &json!({}))), Turn::Now);
    }

    #[test]
    fn one_namespace_leaves_reconciles_to_the_others() {
        let turns = one_at_a_time();
        let shares: Vec<_> = std::iter::from_fn(|| turns.share("big")).take(100).collect();
        assert_eq!(shares.len(), usize::from(OF_ONE_NAMESPACE));
        assert!(turns.share("small").is_some());
        drop(shares);
        assert!(turns.share("big").is_some());
    }
}
