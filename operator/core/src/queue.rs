//! Which versions may have a Job now, and which wait.
//!
//! The number of concurrent Jobs is limited for each namespace and for the cluster. A free place goes to the namespace with the
//! fewest Jobs, so that a namespace with a thousand versions does not delay one with a single version. Within a namespace the
//! oldest version is first. Versions of one model are trained one after the other, in their order.

use std::collections::{BTreeMap, BTreeSet};

use crate::order::Place;

/// A message names at most this many versions that hold a place without running.
const HINDERED_NAMED: usize = 4;

/// With fewer versions before it, the message of a version is exact.
const PRECISE: usize = 10;

/// How many versions may have a Job at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In one namespace.
    pub per_namespace: usize,
    /// In all.
    pub cluster: usize,
}

/// A version that has a Job or waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its namespace.
    pub namespace: String,
    /// Its model.
    pub model: String,
    /// Its name.
    pub name: String,
    /// Its place among the versions of all models: when it was made, its name, its uid.
    pub place: Place,
    /// What it does.
    pub state: State,
}

/// The state of a version in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It wants a Job.
    Waits,
    /// Its Job is being created, which may be rejected.
    Begins,
    /// It has a Job.
    Runs,
    /// It has a Job whose Pod does not run; later versions of its model do not wait for it.
    Hindered,
}

/// Whether a version may have a Job now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Now,
    /// It waits.
    Later(Wait),
}

/// Why a version waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How many versions of its namespace are before it.
    pub before: usize,
    /// The version of the same model that is trained first, by name.
    pub after: Option<String>,
    /// If it waits for a place and few are before it: names of versions in its namespace that hold one although the Pod of their Job does
    /// not run.
    pub hindered: Vec<String>,
    /// It does not wait for a version that has a Job: those before it will soon get theirs, or are rejected.
    pub soon: bool,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_namespace: 4,
            cluster: 20,
        }
    }
}

// === impl Wait ===

impl Wait {
    /// Whether both have the same [`Self::words`].
    pub fn reads_like(&self, other: &Self) -> bool {
        self.after == other.after
            && (self.after.is_some()
                || (self.rounded() == other.rounded() && self.hindered == other.hindered))
    }

    fn rounded(&self) -> usize {
        match self.before {
            exact @ 0..PRECISE => exact,
            PRECISE..100 => 10,
            100..1000 => 100,
            _ => 1000,
        }
    }

    /// Such as `3 versions before it in this namespace`. Long queues are rounded, so that not every status is written whenever a Job
    /// ends.
    pub fn words(&self) -> String {
        if let Some(after) = &self.after {
            return format!("{after} of the same model is trained first");
        }
        let queued = match self.rounded() {
            0 => "it is the next one in this namespace".to_owned(),
            1 => "1 version before it in this namespace".to_owned(),
            before @ 2..PRECISE => format!("{before} versions before it in this namespace"),
            before => format!("at least {before} versions before it in this namespace"),
        };
        let named = self.hindered.iter().take(HINDERED_NAMED).cloned();
        let named: Vec<_> = named.collect();
        let more = match self.hindered.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if named.is_empty() {
            return queued;
        }
        format!(
            "{queued}; places are taken by versions whose Pods do not run: {}{more}; their conditions say why",
            named.join(", ")
        )
    }
}

/// The uids of the waiting versions that may have a Job now, in the order in which they get it.
pub fn next<'a>(entries: impl IntoIterator<Item = (&'a str, &'a Entry)>, limits: Limits) -> Vec<&'a str> {
    let mut running: BTreeMap<&str, usize> = BTreeMap::new();
    let mut busy: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut waiting: BTreeMap<&str, Vec<(&'a str, &'a Entry)>> = BTreeMap::new();
    let mut total = 0;
    for (uid, entry) in entries {
        match entry.state {
            State::Waits => waiting.entry(&entry.namespace).or_default().push((uid, entry)),
            State::Begins | State::Runs | State::Hindered => {
                total += 1;
                *running.entry(&entry.namespace).or_default() += 1;
                if entry.state != State::Hindered {
                    busy.insert((&entry.namespace, &entry.model));
                }
            }
        }
    }
    for queue in waiting.values_mut() {
        // In reverse order, because versions are taken from the end.
        queue.sort_by(|a, b| b.1.place.cmp(&a.1.place));
    }
    let mut taken = Vec::new();
    while total < limits.cluster {
        // The head of each queue that has room: the first version whose model is not being trained.
        let heads = waiting.iter().filter_map(|(namespace, queue)| {
            let count = running.get(namespace).copied().unwrap_or(0);
            let at = queue
                .iter()
                .rposition(|(_, entry)| !busy.contains(&(entry.namespace.as_str(), entry.model.as_str())))?;
            (count < limits.per_namespace).then(|| (count, &queue[at].1.place, *namespace, at))
        });
        let Some((_, _, namespace, at)) = heads.min() else {
            break;
        };
        let Some(queue) = waiting.get_mut(namespace) else {
            break;
        };
        let (uid, entry) = queue.remove(at);
        total += 1;
        *running.entry(namespace).or_default() += 1;
        busy.insert((&entry.namespace, &entry.model));
        taken.push(uid);
    }
    taken
}

/// Why each version that may not have a Job now waits, by uid.
pub fn waits<'a>(
    entries: &(impl IntoIterator<Item = (&'a str, &'a Entry)> + Clone),
    limits: Limits,
) -> BTreeMap<&'a str, Wait> {
    let taken: BTreeSet<&str> = next(entries.clone(), limits).into_iter().collect();
    let mut total = 0;
    let mut namespaces: BTreeMap<&str, Queued<'a>> = BTreeMap::new();
    for (uid, entry) in entries.clone() {
        total += usize::from(entry.has_job());
        namespaces.entry(&entry.namespace).or_default().add(uid, entry);
    }
    let mut waits = BTreeMap::new();
    for mut queued in namespaces.into_values() {
        queued.sort();
        let with_job = queued.with_job;
        let has_room = total < limits.cluster && with_job < limits.per_namespace;
        let is_full = queued.taken >= limits.per_namespace;
        for (before, (uid, entry)) in queued.waiting.iter().enumerate() {
            if taken.contains(uid) {
                continue;
            }
            let after = queued.first_of(entry);
            let names_hindered = is_full && after.is_none() && before < PRECISE;
            let hindered = queued.hindered.iter().filter(|_| names_hindered);
            waits.insert(
                *uid,
                Wait {
                    before,
                    hindered: hindered.map(|entry| entry.name.clone()).collect(),
                    soon: has_room && !queued.busy.contains(entry.model.as_str()),
                    after: after.map(|first| first.name.clone()),
                },
            );
        }
    }
    waits
}

/// Whether the version of this uid may have a Job now. One that is not among the entries may.
pub fn turn<'a>(
    uid: &str,
    entries: &(impl IntoIterator<Item = (&'a str, &'a Entry)> + Clone),
    limits: Limits,
) -> Turn {
    waits(entries, limits).remove(uid).map_or(Turn::Now, Turn::Later)
}

/// The versions of a namespace.
#[derive(Default)]
struct Queued<'a> {
    /// Those that wait, the oldest first.
    waiting: Vec<(&'a str, &'a Entry)>,
    /// Those that hold a place although their Pods do not run, the oldest first.
    hindered: Vec<&'a Entry>,
    /// For each model: the oldest version that is being trained, and the oldest one that waits.
    trained: BTreeMap<&'a str, &'a Entry>,
    oldest: BTreeMap<&'a str, &'a Entry>,
    /// The models of which a version has a Job that runs.
    busy: BTreeSet<&'a str>,
    /// How many hold a place, and how many of these have their Job.
    taken: usize,
    with_job: usize,
}

// === impl Entry ===

impl Entry {
    fn has_job(&self) -> bool {
        matches!(self.state, State::Runs | State::Hindered)
    }
}

// === impl Queued ===

impl<'a> Queued<'a> {
    fn add(&mut self, uid: &'a str, entry: &'a Entry) {
        self.taken += usize::from(entry.state != State::Waits);
        self.with_job += usize::from(entry.has_job());
        if entry.state == State::Runs {
            self.busy.insert(&entry.model);
        }
        let firsts = match entry.state {
            State::Waits => {
                self.waiting.push((uid, entry));
                &mut self.oldest
            }
            State::Begins | State::Runs => &mut self.trained,
            State::Hindered => {
                self.hindered.push(entry);
                return;
            }
        };
        let first = firsts.entry(&entry.model).or_insert(entry);
        if entry.place < first.place {
            *first = entry;
        }
    }

    fn sort(&mut self) {
        self.waiting.sort_by(|a, b| a.1.place.cmp(&b.1.place));
        self.hindered.sort_by(|a, b| a.place.cmp(&b.place));
    }

    /// The version of its model that is trained before a waiting one.
    fn first_of(&self, waiting: &Entry) -> Option<&'a Entry> {
        let trained = self.trained.get(waiting.model.as_str());
        let older = self.oldest.get(waiting.model.as_str());
        trained
            .or(older.filter(|older| older.place < waiting.place))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    struct Queue(BTreeMap<String, Entry>);

    impl Queue {
        fn new() -> Self {
            Self(BTreeMap::new())
        }

        fn with(mut self, namespace: &str, model: &str, name: &str, second: i64, state: State) -> Self {
            let created = Timestamp::from_second(second).unwrap();
            let entry = Entry {
                namespace: namespace.to_owned(),
                model: model.to_owned(),
                name: name.to_owned(),
                place: Place::new(created, name, name),
                state,
            };
            self.0.insert(format!("{namespace}/{name}"), entry);
            self
        }

        fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> + Clone {
            self.0.iter().map(|(uid, entry)| (uid.as_str(), entry))
        }

        fn next(&self, per_namespace: usize, cluster: usize) -> Vec<&str> {
            next(
                self.entries(),
                Limits {
                    per_namespace,
                    cluster,
                },
            )
        }

        fn words(&self, uid: &str, per_namespace: usize, cluster: usize) -> Option<String> {
            match turn(
                uid,
                &self.entries(),
                Limits {
                    per_namespace,
                    cluster,
                },
            ) {
                Turn::Now => None,
                Turn::Later(wait) => Some(wait.words()),
            }
        }
    }

    #[test]
    fn forty_versions_of_one_apply_get_as_many_jobs_as_the_namespace_may_have() {
        let mut queue = Queue::new();
        for number in 1..=40 {
            queue = queue.with(
                "a",
                &format!("m{number}"),
                &format!("m{number}-1"),
                5,
                State::Waits,
            );
        }
        assert_eq!(queue.next(4, 20), ["a/m1-1", "a/m2-1", "a/m3-1", "a/m4-1"]);
        assert_eq!(queue.words("a/m4-1", 4, 20), None);
        assert_eq!(
            queue.words("a/m6-1", 4, 20).unwrap(),
            "5 versions before it in this namespace"
        );
        assert_eq!(
            queue.words("a/m40-1", 4, 20).unwrap(),
            "at least 10 versions before it in this namespace"
        );
    }

    #[test]
    fn a_namespace_with_one_version_does_not_wait_behind_fifteen_hundred_of_another() {
        let mut queue = Queue::new();
        for number in 0..1500 {
            let (model, state) = (
                format!("m{number}"),
                if number < 4 { State::Runs } else { State::Waits },
            );
            queue = queue.with("big", &model, &format!("{model}-1"), number, state);
        }
        queue = queue.with("small", "heart", "heart-1", 9999, State::Waits);
        assert_eq!(queue.next(4, 5), ["small/heart-1"]);
    }

    #[test]
    fn a_free_place_goes_to_the_namespace_with_the_fewest_jobs() {
        let queue = Queue::new()
            .with("a", "m1", "m1-1", 1, State::Runs)
            .with("a", "m2", "m2-1", 2, State::Waits)
            .with("a", "m3", "m3-1", 3, State::Waits)
            .with("b", "m1", "m1-1", 8, State::Waits)
            .with("b", "m2", "m2-1", 9, State::Waits);
        assert_eq!(queue.next(9, 4), ["b/m1-1", "a/m2-1", "b/m2-1"]);
        assert_eq!(queue.next(9, 1), [""; 0], "the cluster has no place left");
    }

    #[test]
    fn versions_of_one_model_take_their_turns_in_their_order() {
        let queue = Queue::new()
            .with("a", "heart", "heart-10", 1, State::Waits)
            .with("a", "heart", "heart-9", 1, State::Waits)
            .with("a", "heart", "heart-8", 1, State::Runs);
        assert_eq!(queue.next(9, 9), [""; 0]);
        assert_eq!(
            queue.words("a/heart-9", 9, 9).unwrap(),
            "heart-8 of the same model is trained first"
        );
        let done = Queue::new().with("a", "heart", "heart-10", 1, State::Waits).with(
            "a",
            "heart",
            "heart-9",
            1,
            State::Waits,
        );
        assert_eq!(done.next(9, 9), ["a/heart-9"]);
        assert_eq!(
            done.words("a/heart-10", 9, 9).unwrap(),
            "heart-9 of the same model is trained first"
        );
    }

    #[test]
    fn a_wait_for_versions_without_a_job_is_over_soon_and_one_for_a_job_is_not() {
        let soon = |other: State| {
            let queue = Queue::new().with("a", "heart", "heart-1", 1, other).with(
                "a",
                "heart",
                "heart-2",
                2,
                State::Waits,
            );
            let limits = Limits {
                per_namespace: 2,
                cluster: 9,
            };
            match turn("a/heart-2", &queue.entries(), limits) {
                Turn::Now => None,
                Turn::Later(wait) => Some(wait.soon),
            }
        };
        assert_eq!(soon(State::Waits), Some(true));
        assert_eq!(soon(State::Begins), Some(true));
        assert_eq!(soon(State::Runs), Some(false));
        assert_eq!(soon(State::Hindered), None);
    }

    #[test]
    fn a_version_whose_pod_does_not_run_keeps_its_place_and_holds_up_no_other_of_its_model() {
        let queue = Queue::new()
            .with("a", "heart", "heart-1", 1, State::Hindered)
            .with("a", "heart", "heart-2", 2, State::Waits);
        assert_eq!(queue.next(2, 9), ["a/heart-2"]);
        assert_eq!(queue.next(1, 9), [""; 0]);
        assert_eq!(
            queue.words("a/heart-2", 1, 9).unwrap(),
            "it is the next one in this namespace; places are taken by versions whose Pods do not run: heart-1; \
             their conditions say why"
        );
    }

    #[test]
    fn every_wait_is_known_at_once_and_only_the_first_versions_name_those_that_hold_places() {
        let mut queue = Queue::new().with("a", "stuck", "stuck-1", 1, State::Hindered);
        for number in 10..30 {
            let name = format!("m{number}-1");
            queue = queue.with("a", &name, &name, number, State::Waits);
        }
        let limits = Limits {
            per_namespace: 1,
            cluster: 9,
        };
        let entries = queue.entries();
        let waits = waits(&entries, limits);
        assert_eq!(waits.len(), 20);
        for (at, (uid, wait)) in waits.into_iter().enumerate() {
            assert_eq!(wait.before, at);
            assert_eq!(wait.hindered.len(), usize::from(at < 10), "{uid}");
            assert_eq!(turn(uid, &queue.entries(), limits), Turn::Later(wait));
        }
    }

    #[test]
    fn two_waits_read_alike_where_their_words_are_the_same() {
        let wait = |before: usize, after: Option<&str>, hindered: &[&str]| Wait {
            before,
            after: after.map(str::to_owned),
            hindered: hindered.iter().map(|name| (*name).to_owned()).collect(),
            soon: false,
        };
        let mut waits = Vec::new();
        for before in [0, 1, 2, 9, 10, 99, 100, 1000, 5000] {
            for after in [None, Some("a-1"), Some("b-1")] {
                for hindered in [&[][..], &["c-1"], &["c-1", "d-1"]] {
                    waits.push(wait(before, after, hindered));
                }
            }
        }
        for one in &waits {
            for other in &waits {
                assert_eq!(
                    one.reads_like(other),
                    one.words() == other.words(),
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn a_version_that_waits_for_places_names_those_whose_pods_do_not_run_the_oldest_first() {
        let mut queue = Queue::new().with("a", "own", "own-1", 9, State::Waits);
        for number in (1..=5).rev() {
            let name = format!("m{number}-1");
            queue = queue.with("a", &name, &name, number, State::Hindered);
        }
        queue = queue.with("b", "other", "other-1", 1, State::Hindered);
        let words = queue.words("a/own-1", 5, 20).unwrap();
        assert!(
            words.contains("do not run: m1-1, m2-1, m3-1, m4-1 and 1 more;"),
            "{words}"
        );
        // The cluster is full: this namespace has room, and what holds the others' places is theirs to see.
        assert_eq!(
            queue.words("a/own-1", 9, 6).unwrap(),
            "it is the next one in this namespace"
        );
    }
}
