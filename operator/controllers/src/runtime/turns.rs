//! Which versions have a Job or wait for one, over all namespaces; [`modelward_core::queue`] decides whose turn it is.
//!
//! Held in memory and filled from the versions' statuses at startup. A place that is taken here is recorded in a status soon
//! after; a place that is not recorded when the process ends is free again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use futures::{Stream, stream};
use jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use modelward_core::queue::{self, Entry, Limits, State, Turn, Wait};
use modelward_crds::{ModelVersion, ModelVersionStatus};
use tokio::sync::{
    OnceCell,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::{
    api::{Guarded, NamespacedName},
    cache::{
        cached::Key,
        index::Index,
        version::{CachedVersion, activity},
    },
};

/// Reconciles that may run at the same time, by controller.
pub(super) const CONCURRENCY: u16 = 8;

/// Limit on concurrent reconciles of one namespace; the rest are reserved for other namespaces.
const OF_ONE_NAMESPACE: u16 = CONCURRENCY - 2;

/// Limit on the remembered deleted versions: far more than there are reconciles in progress, each of which may still report
/// one.
const GONE: usize = 1024;

/// How long a version waits for an older one of its model that has not been reconciled yet: of two that are created together, the
/// newer one must not be trained first only because it was reconciled first. One that is never reconciled does not block others.
const EXPECTED: SignedDuration = SignedDuration::from_mins(1);

type Woken = ObjectRef<Guarded<CachedVersion>>;

/// The queue for Jobs, and the shares of namespaces in the reconciles.
pub(crate) struct Turns {
    limits: Limits,
    entries: Mutex<Entries>,
    versions: Index<CachedVersion>,
    /// Set once the queue is filled from the versions.
    seeded: OnceCell<()>,
    wake: UnboundedSender<Woken>,
    woken: Mutex<Option<UnboundedReceiver<Woken>>>,
    active: Mutex<BTreeMap<String, u16>>,
}

/// The versions in the queue, by uid.
#[derive(Default)]
struct Entries {
    present: BTreeMap<String, Entry>,
    /// Uids of the last deleted versions, newest at the end: they are never added again.
    gone: VecDeque<String>,
    /// Versions that have a place although they have not requested it, and until when they keep it.
    expected: BTreeMap<String, Timestamp>,
    /// What each waiting version was given as the reason.
    reasons: BTreeMap<String, Wait>,
    /// Versions that were reconciled or expected: they are not expected again, even if their status is not observed yet.
    met: BTreeSet<String>,
}

/// A running reconcile of a namespace; dropping it frees its share.
pub(crate) struct Share<'a> {
    turns: &'a Turns,
    namespace: String,
}

// === impl Turns ===

impl Turns {
    pub(crate) fn new(limits: Limits, versions: Index<CachedVersion>) -> Self {
        let (wake, woken) = unbounded_channel();
        Self {
            limits,
            entries: Mutex::default(),
            versions,
            seeded: OnceCell::new(),
            wake,
            woken: Mutex::new(Some(woken)),
            active: Mutex::default(),
        }
    }

    /// Fills the queue with the versions that have a Job, once. Until then no version gets a turn.
    pub(crate) async fn seed(&self) {
        let fill = async || {
            // Ends with false only if the watch ends, and the process with it.
            let _ = self.versions.is_ready().await;
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            for version in self.versions.all() {
                if let Ok(version) = &version.0
                    && let Some(state) = version.state
                {
                    let uid = version.uid().unwrap_or_default();
                    entries.present.insert(uid, entry(version, state));
                }
            }
        };
        self.seeded.get_or_init(fill).await;
    }

    /// Requests a Job for a version. If it may have one, it holds its place from now on; otherwise it waits and is reconciled later.
    pub(crate) fn ask(&self, version: &ModelVersion, now: Timestamp) -> Turn {
        let uid = version.uid().unwrap_or_default();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.gone.contains(&uid) {
            // Its Job is deleted with it.
            return Turn::Now;
        }
        let own = entry(&CachedVersion::of(version), State::Waits);
        if self.seeded.initialized() {
            entries.expect_older(&own, &self.versions, now);
        }
        entries.meet(&uid);
        let is_new = !entries.present.contains_key(&uid);
        entries.present.entry(uid.clone()).or_insert(own);
        let turn = queue::turn(&uid, &entries.iter(), self.limits);
        match &turn {
            Turn::Now => {
                if let Some(own) = entries.present.get_mut(&uid) {
                    own.state = State::Begins;
                }
            }
            Turn::Later(wait) => {
                entries.reasons.insert(uid, wait.clone());
            }
        }
        // A version that requests again and still waits changes nothing for others.
        if is_new || turn == Turn::Now {
            self.wake_outdated(&mut entries);
        }
        turn
    }

    /// Records the status of a version, and wakes the versions whose turn it is then.
    pub(crate) fn note(&self, version: &ModelVersion, status: &ModelVersionStatus) {
        let own = activity(status).map(|state| entry(&CachedVersion::of(version), state));
        self.set(&version.uid().unwrap_or_default(), own);
    }

    /// Removes a version from the queue, and wakes the versions whose turn it is then.
    pub(crate) fn leave(&self, uid: &str) {
        self.set(uid, None);
    }

    /// Removes a waiting version from the queue until it requests again; one that has a Job keeps its place.
    pub(crate) fn pass(&self, uid: &str) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = entries.present.get(uid).map(|entry| entry.state) == Some(State::Waits);
        drop(entries);
        if waits {
            self.leave(uid);
        }
    }

    /// Removes a deleted version from the queue permanently: a reconcile of it in progress does not add it again.
    pub(crate) fn bury(&self, uid: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.gone.len() >= GONE {
            entries.gone.pop_front();
        }
        entries.gone.push_back(uid.to_owned());
        drop(entries);
        self.leave(uid);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.met.remove(uid);
    }

    fn set(&self, uid: &str, now: Option<Entry>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.filter(|_| !entries.gone.iter().any(|gone| gone == uid));
        entries.meet(uid);
        let state = now.as_ref().map(|entry| entry.state);
        let before = match now {
            Some(entry) => entries.present.insert(uid.to_owned(), entry),
            None => entries.present.remove(uid),
        };
        let before = before.map(|entry| entry.state);
        if before == state {
            return;
        }
        // A place that was not held before was not freed.
        if before.is_some() {
            for next in queue::next(entries.iter(), self.limits) {
                self.wake(&entries.present[next]);
            }
        }
        self.wake_outdated(&mut entries);
    }

    /// Wakes each waiting version whose reason has changed, so that its status stays true.
    fn wake_outdated(&self, entries: &mut Entries) {
        let mut outdated = Vec::new();
        let mut waits = queue::waits(&entries.iter(), self.limits);
        for (uid, reason) in &entries.reasons {
            match waits.remove(uid.as_str()) {
                Some(now) if now.reads_like(reason) => {}
                now => outdated.push((uid.clone(), now)),
            }
        }
        for (uid, now) in outdated {
            match now {
                Some(now) => {
                    if let Some(entry) = entries.present.get(&uid) {
                        self.wake(entry);
                    }
                    entries.reasons.insert(uid, now);
                }
                // It waits no more, or it is woken because it is next.
                None => {
                    entries.reasons.remove(&uid);
                }
            }
        }
    }

    fn wake(&self, entry: &Entry) {
        let _ = self
            .wake
            .send(ObjectRef::new(&entry.name).within(&entry.namespace));
    }

    /// The woken versions, for the controller that reconciles them.
    pub(crate) fn woken(&self) -> impl Stream<Item = Woken> + Send + use<> {
        let receiver = self.woken.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream::unfold(receiver, |receiver| async move {
            match receiver {
                Some(mut receiver) => receiver.recv().await.map(|woken| (woken, Some(receiver))),
                // It was taken before. Return a stream that never yields, because an ended one would end the controller.
                None => std::future::pending().await,
            }
        })
    }

    /// A share in the reconciles for an object of this namespace; `None` if the limit is reached.
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

// === impl Entries ===

impl Entries {
    fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> + Clone {
        self.present.iter().map(|(uid, entry)| (uid.as_str(), entry))
    }

    /// Reserves places for a while for older versions of the same model that have not been reconciled yet.
    fn expect_older(&mut self, own: &Entry, versions: &Index<CachedVersion>, now: Timestamp) {
        let model = NamespacedName::new(&own.namespace, &own.model);
        for other in versions.of(&Key::Model(model)) {
            let Ok(other) = &other.0 else { continue };
            let uid = other.uid().unwrap_or_default();
            let is_older = other.place < own.place;
            if !other.undecided || !is_older || self.present.contains_key(&uid) || self.gone.contains(&uid) {
                continue;
            }
            if self.met.insert(uid.clone()) {
                self.expected
                    .insert(uid.clone(), now.saturating_add(EXPECTED).unwrap_or(now));
                self.present.insert(uid, entry(other, State::Waits));
            }
        }
        let present = &mut self.present;
        self.expected.retain(|uid, until| {
            let lasts = *until > now;
            if !lasts {
                present.remove(uid);
            }
            lasts
        });
    }

    /// Ends the reservation of a version that is being reconciled.
    fn meet(&mut self, uid: &str) {
        self.expected.remove(uid);
        if !self.met.contains(uid) && !self.gone.iter().any(|gone| gone == uid) {
            self.met.insert(uid.to_owned());
        }
    }
}

fn entry(version: &CachedVersion, state: State) -> Entry {
    Entry {
        namespace: version.namespace().unwrap_or_default(),
        model: version.model.clone(),
        place: version.place.clone(),
        name: version.name_any(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use kube::{core::DeserializeGuard, runtime::watcher};
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_685_400, 0);

    /// A queue of versions that the watch has seen.
    async fn turns(limits: Limits, versions: Vec<ModelVersion>) -> Turns {
        let (index, mut writer) = Index::new();
        writer.apply(&watcher::Event::Init);
        for version in versions {
            writer.apply(&watcher::Event::InitApply(DeserializeGuard(Ok(version.into()))));
        }
        writer.apply(&watcher::Event::InitDone);
        let turns = Turns::new(limits, index);
        turns.seed().await;
        turns
    }

    fn version(name: &str, status: &Value) -> ModelVersion {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
            "metadata": {"name": name, "namespace": "hospital", "uid": name, "creationTimestamp": "2026-11-23T09:30:00Z"},
            "spec": {
                "model": name,
                "source": {"training": {
                    "dataset": {"configMap": {"name": "data", "key": "data.csv"}}, "target": {"column": "num"},
                }},
                "serving": {"access": "Open"},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn training() -> Value {
        json!({"fitAttempt": {"attempt": 1, "job": "j", "jobUid": "u", "input": "i", "finished": false}})
    }

    async fn one_at_a_time(versions: Vec<ModelVersion>) -> Turns {
        let limits = Limits {
            per_namespace: 1,
            cluster: 9,
        };
        turns(limits, versions).await
    }

    #[tokio::test]
    async fn a_deleted_version_is_not_brought_back_by_a_reconcile_that_was_under_way() {
        let turns = one_at_a_time(Vec::new()).await;
        let (first, second) = (version("a", &training()), version("b", &json!({})));
        assert_eq!(turns.ask(&first, NOW), Turn::Now);
        turns.bury("a");
        turns.note(&first, first.status.as_ref().unwrap());
        assert_eq!(turns.ask(&second, NOW), Turn::Now);
    }

    #[tokio::test]
    async fn a_version_that_cannot_be_reconciled_does_not_take_the_turn_of_another() {
        let turns = one_at_a_time(Vec::new()).await;
        let mut woken = Box::pin(turns.woken());
        let [first, second, third] = ["a", "b", "c"].map(|name| version(name, &json!({})));
        assert_eq!(turns.ask(&first, NOW), Turn::Now);
        assert!(matches!(turns.ask(&second, NOW), Turn::Later(_)));
        assert!(matches!(turns.ask(&third, NOW), Turn::Later(_)));
        turns.leave("a");
        assert_eq!(woken.next().await.unwrap().name, "b");
        turns.pass("b");
        assert_eq!(woken.next().await.unwrap().name, "c");
        assert_eq!(turns.ask(&third, NOW), Turn::Now);
        turns.pass("c");
        assert!(
            matches!(turns.ask(&second, NOW), Turn::Later(_)),
            "c keeps its place"
        );
    }

    #[tokio::test]
    async fn waiting_versions_are_woken_when_what_they_say_is_not_true_any_more() {
        let turns = one_at_a_time(Vec::new()).await;
        let mut woken = Box::pin(turns.woken());
        let [first, second, third] = ["a", "b", "c"].map(|name| version(name, &json!({})));
        assert_eq!(turns.ask(&first, NOW), Turn::Now);
        let words = |turn| match turn {
            Turn::Now => String::new(),
            Turn::Later(wait) => wait.words(),
        };
        // The older one asks later.
        assert_eq!(
            words(turns.ask(&third, NOW)),
            "it is the next one in this namespace"
        );
        assert_eq!(
            words(turns.ask(&second, NOW)),
            "it is the next one in this namespace"
        );
        assert_eq!(woken.next().await.unwrap().name, "c");
        assert_eq!(
            words(turns.ask(&third, NOW)),
            "1 version before it in this namespace"
        );
        // The Pod of the first one cannot be scheduled for a while.
        let hindered: ModelVersionStatus = serde_json::from_value(json!({"fitAttempt": {
            "attempt": 1, "job": "j", "jobUid": "u", "input": "i", "finished": false, "reason": "Unschedulable",
        }}))
        .unwrap();
        turns.note(&first, &hindered);
        for name in ["b", "c"] {
            assert_eq!(woken.next().await.unwrap().name, name);
        }
        assert!(words(turns.ask(&third, NOW)).ends_with("do not run: a; their conditions say why"));
        turns.note(&first, &serde_json::from_value(training()).unwrap());
        for name in ["b", "c"] {
            assert_eq!(woken.next().await.unwrap().name, name);
        }
        assert_eq!(
            words(turns.ask(&third, NOW)),
            "1 version before it in this namespace"
        );
        assert!(woken.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_version_that_waits_is_woken_when_the_one_before_it_has_ended() {
        let turns = one_at_a_time(Vec::new()).await;
        let mut woken = Box::pin(turns.woken());
        let (first, second) = (version("a", &json!({})), version("b", &json!({})));
        assert_eq!(turns.ask(&first, NOW), Turn::Now);
        assert!(matches!(turns.ask(&second, NOW), Turn::Later(_)));
        assert!(woken.next().now_or_never().is_none(), "nothing has ended");
        let running: ModelVersionStatus = serde_json::from_value(training()).unwrap();
        turns.note(&first, &running);
        assert!(woken.next().now_or_never().is_none());
        turns.note(&first, &ModelVersionStatus::default());
        assert_eq!(woken.next().await.unwrap().name, "b");
        assert_eq!(turns.ask(&second, NOW), Turn::Now);
    }

    /// Two versions of one model, of which the younger one is reconciled first.
    async fn made_together() -> (Turns, ModelVersion, ModelVersion) {
        let of_heart = |name: &str| {
            let mut version = version(name, &Value::Null);
            version.spec.model = "heart".to_owned();
            version
        };
        let (older, younger) = (of_heart("a"), of_heart("b"));
        let watched = vec![older.clone(), younger.clone()];
        (turns(Limits::default(), watched).await, older, younger)
    }

    #[tokio::test]
    async fn of_two_versions_that_are_made_together_the_older_one_is_first_though_it_asks_later() {
        let (turns, older, younger) = made_together().await;
        let mut woken = Box::pin(turns.woken());
        let Turn::Later(wait) = turns.ask(&younger, NOW) else {
            panic!("the younger one was first");
        };
        assert_eq!(wait.words(), "a of the same model is trained first");
        assert_eq!(turns.ask(&older, NOW), Turn::Now);
        turns.leave("a");
        assert_eq!(woken.next().await.unwrap().name, "b");
        assert_eq!(turns.ask(&younger, NOW), Turn::Now);
    }

    #[tokio::test]
    async fn an_older_version_that_needs_no_job_makes_way_as_soon_as_it_is_decided_on() {
        let (turns, older, younger) = made_together().await;
        let mut woken = Box::pin(turns.woken());
        assert!(matches!(turns.ask(&younger, NOW), Turn::Later(_)));
        turns.note(&older, &ModelVersionStatus::default());
        assert_eq!(woken.next().await.unwrap().name, "b");
    }

    #[tokio::test]
    async fn an_older_version_that_is_never_reconciled_holds_up_no_other_for_long() {
        let (turns, _, younger) = made_together().await;
        for seconds in [0, 30, 59] {
            let now = NOW.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            assert!(matches!(turns.ask(&younger, now), Turn::Later(_)), "{seconds}");
        }
        for seconds in [60, 61, 600] {
            let now = NOW.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            assert_eq!(turns.ask(&younger, now), Turn::Now, "{seconds}");
        }
    }

    #[tokio::test]
    async fn what_runs_already_at_the_start_has_its_place() {
        let turns = one_at_a_time(vec![version("a", &training())]).await;
        assert!(matches!(
            turns.ask(&version("b", &json!({})), NOW),
            Turn::Later(_)
        ));
        turns.leave("a");
        assert_eq!(turns.ask(&version("b", &json!({})), NOW), Turn::Now);
    }

    #[tokio::test]
    async fn one_namespace_leaves_reconciles_to_the_others() {
        let turns = one_at_a_time(Vec::new()).await;
        let shares: Vec<_> = std::iter::from_fn(|| turns.share("big")).take(100).collect();
        assert_eq!(shares.len(), usize::from(OF_ONE_NAMESPACE));
        assert!(turns.share("small").is_some());
        drop(shares);
        assert!(turns.share("big").is_some());
    }
}
