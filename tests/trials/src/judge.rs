//! Judges a namespace by the API server's audit log: what was written, by whom, in the order in which etcd stored it.
//!
//! The operator's statements about approvals do not count here. An approval is a write by the user whom it names, with the digest
//! that the plan had at that time. A risky write is a violation if no approval or no claim on the model precedes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};
use modelward_crds::{annotations::DECISION_PREFIX, labels};
use serde_json::Value;

use crate::{
    state::compare,
    world::{OPERATOR, SYSTEM},
};

/// One write that the API server executed.
#[derive(Clone, Debug)]
pub struct Event {
    user: String,
    verb: String,
    resource: String,
    name: String,
    created: bool,
    version: u64,
    /// The object after the write.
    object: Value,
}

/// Writes by namespace.
pub struct Log(BTreeMap<String, Vec<Event>>);

/// The verdict on one namespace.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The violations, as text.
    pub violations: Vec<String>,
    /// Number of writes that required an approval and had one.
    pub covered: usize,
}

// === impl Log ===

impl Log {
    /// Reads the whole log.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        let mut log = BTreeMap::<String, Vec<Event>>::new();
        for line in BufReader::new(file).lines() {
            let line = line?;
            if !line.contains("\"responseObject\"") {
                continue;
            }
            let event: Value = serde_json::from_str(&line).context("a line of the audit log")?;
            if let Some((namespace, event)) = Event::read(event) {
                log.entry(namespace).or_default().push(event);
            }
        }
        for events in log.values_mut() {
            events.sort_by_key(|event| event.version);
        }
        Ok(Self(log))
    }

    /// Judges one namespace.
    pub fn judge(&self, namespace: &str) -> Verdict {
        let mut judge = Judge::default();
        for event in self.0.get(namespace).into_iter().flatten() {
            judge.see(event);
        }
        judge.end()
    }
}

// === impl Event ===

impl Event {
    fn read(mut event: Value) -> Option<(String, Self)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let code = event["responseStatus"]["code"].as_u64()?;
        let dry = text(&event["requestURI"]).contains("dryRun=");
        if !(200..300).contains(&code) || dry {
            return None;
        }
        let reference = &event["objectRef"];
        let (namespace, mut resource) = (text(&reference["namespace"]), text(&reference["resource"]));
        if let Some(below) = reference["subresource"].as_str() {
            resource = format!("{resource}/{below}");
        }
        let object = event["responseObject"].take();
        let version = object["metadata"]["resourceVersion"].as_str()?.parse().ok()?;
        let event = Self {
            user: text(&event["user"]["username"]),
            verb: text(&event["verb"]),
            resource,
            name: text(&object["metadata"]["name"]),
            created: code == 201,
            version,
            object,
        };
        Some((namespace, event))
    }
}

// === the judge ===

#[derive(Default)]
struct Judge {
    verdict: Verdict,
    versions: BTreeMap<String, Version>,
    actions: BTreeMap<String, Action>,
    routes: Option<Value>,
    /// Number of changes of the routes, and that number at the last change of the template.
    routed: usize,
    templated: usize,
    template: Option<Value>,
    /// The action that last changed the routes.
    routed_by: Option<String>,
    /// Name and uid of created Jobs, by owner and stage.
    jobs: BTreeMap<(String, String), Vec<(String, String)>>,
    /// Uids of Jobs that a status recorded.
    recorded: BTreeSet<String>,
    made: BTreeMap<String, usize>,
    /// Plans by number.
    plans: BTreeMap<i64, String>,
    /// The action that claims the model.
    claim: Option<String>,
    rollouts: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Version {
    /// The action that the operator created it for.
    action: Option<String>,
    passed: bool,
    bundle: String,
}

#[derive(Default)]
struct Action {
    name: String,
    parent: Option<String>,
    digest: String,
    needed: i64,
    excluded: Vec<String>,
    proposer: String,
    /// Proved decisions: the user and the digest.
    approvals: BTreeSet<(String, String)>,
    rejected: bool,
    ended: Option<String>,
    seen: BTreeSet<String>,
    /// Number of risky writes for it.
    effects: usize,
}

impl Judge {
    fn see(&mut self, event: &Event) {
        if event.resource.ends_with("/status") {
            for attempt in ["snapshotAttempt", "fitAttempt"] {
                let uid = event.object["status"][attempt]["jobUid"].as_str();
                self.recorded.extend(uid.map(ToOwned::to_owned));
            }
        }
        match event.resource.as_str() {
            "remediationactions" | "remediationactions/status" => self.action(event),
            "modelversions" | "modelversions/status" => self.version(event),
            "models/status" | "models" => self.model(event),
            "jobs" if event.created && is_operator(event) => self.job(event),
            "deployments" if event.verb != "delete" => self.deployment(event),
            _ => {}
        }
    }

    fn action(&mut self, event: &Event) {
        let (object, uid) = (&event.object, uid(&event.object));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let action = self.actions.entry(uid).or_default();
        action.name.clone_from(&event.name);
        // The response to a patch of metadata contains nothing else.
        if let Some(parent) = object["spec"]["parentRef"]["uid"].as_str() {
            action.parent = Some(parent.to_owned());
        }
        action.proposer = text(&object["metadata"]["annotations"][modelward_crds::annotations::PROPOSED_BY]);
        let annotations = object["metadata"]["annotations"].as_object();
        for (key, line) in annotations.into_iter().flatten() {
            if !key.starts_with(DECISION_PREFIX) || !action.seen.insert(key.clone()) {
                continue;
            }
            let line = text(line);
            let mut words = line.splitn(3, ' ');
            let (word, digest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let user = words
                .next()
                .unwrap_or_default()
                .split(" # ")
                .next()
                .unwrap_or_default();
            // Its writer must be the user that it names, because the decision can be proved only at its write.
            if user != event.user || is_operator(event) {
                self.verdict.violations.push(format!(
                    "I1: {} wrote the decision {line:?} on {}",
                    event.user, event.name
                ));
            } else if word == "reject" {
                action.rejected = true;
            } else {
                action.approvals.insert((user.to_owned(), digest.to_owned()));
            }
        }
        if event.resource.ends_with("/status") {
            let plan = &object["status"]["plan"];
            action.digest = text(&plan["digest"]);
            if let Some(sequence) = plan["planSequence"].as_i64() {
                let known = self
                    .plans
                    .entry(sequence)
                    .or_insert_with(|| action.digest.clone());
                if *known != action.digest {
                    self.verdict.violations.push(format!(
                        "I1: two plans have the number {sequence}: {} is the second",
                        event.name
                    ));
                }
            }
            action.needed = plan["approvalsRequired"].as_i64().unwrap_or(i64::MAX);
            action.excluded = plan["excludedApprovers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect();
            let conditions = object["status"]["conditions"].as_array();
            action.ended = conditions
                .into_iter()
                .flatten()
                .find(|condition| condition["type"] == "Succeeded" && condition["status"] != "Unknown")
                .map(|condition| text(&condition["reason"]));
        }
    }

    fn version(&mut self, event: &Event) {
        let object = &event.object;
        let of = object["metadata"]["labels"][labels::ACTION].as_str();
        let of = of.and_then(|name| {
            let mut actions = self.actions.iter();
            actions
                .find(|(_, action)| action.name == name)
                .map(|(uid, _)| uid.clone())
        });
        if event.created && is_operator(event) {
            self.risky(
                of.as_deref(),
                None,
                &format!("ModelVersion {} was made", event.name),
            );
        }
        if event.created
            && is_operator(event)
            && let Some(action) = &of
        {
            let count = self.made.entry(action.clone()).or_default();
            *count += 1;
            if *count > 1 {
                self.verdict.violations.push(format!(
                    "I2: version number {count} of one action: {}",
                    event.name
                ));
            }
        }
        let version = self.versions.entry(uid(object)).or_default();
        if event.created && is_operator(event) {
            version.action = of;
        }
        if event.resource.ends_with("/status") {
            let conditions = object["status"]["conditions"].as_array();
            version.passed = conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "GatesPassed" && condition["status"] == "True");
            let bundle = object["status"]["bundle"]["digest"].as_str();
            bundle.unwrap_or_default().clone_into(&mut version.bundle);
        }
    }

    fn model(&mut self, event: &Event) {
        if !event.resource.ends_with("/status") {
            return;
        }
        let status = &event.object["status"];
        self.claim = status["activeAction"]["uid"].as_str().map(ToOwned::to_owned);
        let routes = status["routes"].clone();
        let former = self.routes.replace(routes.clone());
        let nothing = |routes: &Value| routes.as_array().is_none_or(Vec::is_empty);
        if former.as_ref().is_none_or(nothing) && nothing(&routes) || former.as_ref() == Some(&routes) {
            return;
        }
        self.routed += 1;
        for route in routes.as_array().into_iter().flatten() {
            let version = self.versions.get(route["uid"].as_str().unwrap_or_default());
            if !version.is_some_and(|version| version.passed && route["digest"] == *version.bundle) {
                self.verdict.violations.push(format!(
                    "I3: routes name {}, whose gates have not passed",
                    route["version"]
                ));
            }
        }
        if former.as_ref().is_none_or(nothing) && self.routed == 1 {
            return;
        }
        let active = &status["activeAction"];
        let by = active["uid"].as_str();
        self.routed_by = by.map(ToOwned::to_owned);
        self.risky(
            by,
            active["digest"].as_str(),
            &format!("routes of {} were changed", event.name),
        );
    }

    fn job(&mut self, event: &Event) {
        let of = &event.object["metadata"]["labels"];
        let stage = of[labels::STAGE].as_str().unwrap_or_default().to_owned();
        let owner = event.object["metadata"]["ownerReferences"][0]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let made = self.jobs.entry((owner.clone(), stage.clone())).or_default();
        // A Job that was created but not recorded before a crash is deleted and created again under the same name.
        made.retain(|(name, uid)| *name != event.name || self.recorded.contains(uid));
        made.push((event.name.clone(), uid(&event.object)));
        let count = made.len();
        if count > 1 {
            self.verdict.violations.push(format!(
                "I2: {stage} Job number {count} of one owner: {}",
                event.name
            ));
        }
        if stage == "fit"
            && let Some(action) = self
                .versions
                .get(&owner)
                .and_then(|version| version.action.clone())
        {
            self.risky(Some(&action), None, &format!("fit Job {} was made", event.name));
        }
    }

    fn deployment(&mut self, event: &Event) {
        // Restoring a change by another client requires no approval.
        if event.resource != "deployments" || !is_operator(event) {
            return;
        }
        let template = event.object["spec"]["template"].clone();
        let Some(former) = self.template.replace(template.clone()) else {
            self.templated = self.routed;
            return;
        };
        if former == template {
            return;
        }
        if self.templated == self.routed {
            let mut changes = Vec::new();
            compare("template", &former, &template, &mut changes);
            self.verdict.violations.push(format!(
                "I1: the template of {} was changed without a change of routes: {}",
                event.name,
                changes.join("; ")
            ));
        }
        self.templated = self.routed;
        let by = self.routed_by.clone();
        self.risky(
            by.as_deref(),
            None,
            &format!("Deployment {} was changed", event.name),
        );
        if let Some(by) = by {
            let count = self.rollouts.entry(by).or_default();
            *count += 1;
            if *count > 1 {
                self.verdict.violations.push(format!(
                    "I2: rollout number {count} of one action: {}",
                    event.name
                ));
            }
        }
    }

    /// A write that requires an approval, for the digest that is carried out if it is known.
    fn risky(&mut self, action: Option<&str>, digest: Option<&str>, what: &str) {
        let family = |uid: &str| {
            let parent = self.actions.get(uid).and_then(|action| action.parent.clone());
            parent.unwrap_or_else(|| uid.to_owned())
        };
        if action.map(family) != self.claim.as_deref().map(family) || action.is_none() {
            self.verdict
                .violations
                .push(format!("I2: {what}, and the model was not claimed for it before"));
        }
        let mut uncovered = None;
        let mut at = action.map(ToOwned::to_owned);
        let mut digest = digest.map(ToOwned::to_owned);
        loop {
            let Some(found) = at.as_ref().and_then(|uid| self.actions.get_mut(uid)) else {
                uncovered.get_or_insert_with(|| "no action is behind it".to_owned());
                break;
            };
            found.effects += 1;
            if found.rejected {
                uncovered = Some(format!("{} was rejected", found.name));
                break;
            }
            if let Some(parent) = found.parent.clone() {
                // The approval of the parent covers it, with a different plan.
                at = Some(parent);
                digest = None;
                continue;
            }
            let digest = digest.unwrap_or_else(|| found.digest.clone());
            let people = found
                .approvals
                .iter()
                .filter(|(user, of)| {
                    *of == digest && *user != found.proposer && !found.excluded.contains(user)
                })
                .count();
            if digest != found.digest || i64::try_from(people).unwrap_or(0) < found.needed.max(1) {
                uncovered = Some(format!(
                    "{} has {people} of {} approvals of the plan {digest}",
                    found.name, found.needed
                ));
            }
            break;
        }
        match uncovered {
            Some(why) => self.verdict.violations.push(format!("I1: {what}, and {why}")),
            None => self.verdict.covered += 1,
        }
    }

    fn end(mut self) -> Verdict {
        for action in self.actions.values() {
            let void = action
                .ended
                .as_deref()
                .filter(|reason| matches!(*reason, "Rejected" | "Expired" | "Superseded"));
            if let Some(reason) = void.filter(|_| action.effects > 0) {
                self.verdict.violations.push(format!(
                    "I7: {} is {reason} and had {} effects",
                    action.name, action.effects
                ));
            }
        }
        self.verdict
    }
}

fn is_operator(event: &Event) -> bool {
    event.user == format!("system:serviceaccount:{SYSTEM}:{OPERATOR}")
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}
