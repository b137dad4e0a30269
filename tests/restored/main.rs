//! Every field of every child, really added, changed and removed by a person with `edit`, where the policies are off: the operator
//! puts each back within seconds and reports it, but for the written list in `fields/hints.rs`.

#[path = "../fields/mod.rs"]
mod fields;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use fields::{
    Kind, Outcome, Subject, Table,
    hints::{is_drawn, stays},
    is_immutable, put, refusal, words,
};
use kube::Client;
use modelward_kit::{
    apiserver::User,
    fields::{Edit, differences},
    raw,
};
use modelward_trials::{cluster::TestCluster, world::World};
use serde_json::Value;

/// How long the operator has for one field.
const SOON: Duration = Duration::from_secs(10);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(20);
/// A Deployment has most fields by far: so many namespaces share them.
const DEPLOYMENTS: usize = 4;

/// The edits of one namespace.
struct Lane {
    cluster: TestCluster,
    eve: Client,
    subject: Subject,
    table: Table,
    slowest: Duration,
    /// What edits made of the object so far: the operator gives way to a writer that makes the same change again and again.
    made: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_child_is_put_back_where_the_policies_are_off() {
    let world = World::build().await.unwrap();
    let begun = Instant::now();
    let lane = |first| run(world.clone(), &[Kind::Deployment], first, DEPLOYMENTS);
    let others: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::Deployment)
        .collect();
    let (first, second, third, fourth, rest) = tokio::join!(
        lane(0),
        lane(1),
        lane(2),
        lane(3),
        run(world.clone(), &others, 0, 1)
    );
    let (mut table, mut slowest) = (Table::default(), Duration::ZERO);
    for part in [first, second, third, fourth, rest] {
        let (part, took) = part.unwrap();
        table.add(part);
        slowest = slowest.max(took);
    }
    println!("{table}");
    println!(
        "the slowest was put back after {:.1} s; {:.0} s in all",
        slowest.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    table.conclude(Outcome::PutBack);
    assert!(table.total(Outcome::PutBack) > 500, "{table}");
}

/// Edits every `of`th field of each of these kinds in a namespace of its own.
async fn run(world: Arc<World>, kinds: &[Kind], first: usize, of: usize) -> Result<(Table, Duration)> {
    let mut cluster = fields::open(&world, false).await?;
    let (mut table, mut slowest) = (Table::default(), Duration::ZERO);
    for &kind in kinds {
        let subject = Subject::read(&cluster, kind).await?;
        let edits = subject.edits.clone();
        table.leaves(kind, subject.leaves);
        // No Pod is rolled for a template that is put back at once.
        cluster.fakes.stop();
        let mut lane = Lane {
            eve: world.person(User::Eve)?,
            cluster,
            subject,
            table,
            slowest,
            made: BTreeSet::new(),
        };
        for edit in edits.iter().skip(first).step_by(of) {
            lane.try_edit(edit).await?;
        }
        // A Job is made again under another name, and a Secret when a Pod misses it: named cases try that.
        if first == 0 && !matches!(kind, Kind::Job | Kind::Secret) {
            lane.delete().await?;
        }
        (cluster, table, slowest) = (lane.cluster, lane.table, lane.slowest);
    }
    cluster.kill_operator().await;
    Ok((table, slowest))
}

// === impl Lane ===

impl Lane {
    async fn try_edit(&mut self, edit: &Edit) -> Result<()> {
        let kind = self.subject.kind;
        let mut outcome = Outcome::Validation;
        for candidate in &edit.candidates {
            let live = self.live().await?.context("the object that is edited is gone")?;
            let body = candidate.apply(&live);
            let reported = self.reported()?;
            match put(&self.eve, &self.subject.path, edit, &body, false).await {
                Ok(after) => {
                    let changed = fields::changed(&live, &after);
                    let listed = |path: &Vec<String>| {
                        self.subject.is_listed(std::slice::from_ref(path))
                            || stays(kind, path)
                            || is_drawn(kind, path)
                    };
                    outcome = if changed.is_empty() {
                        Outcome::Nothing
                    } else if changed.iter().all(listed) {
                        self.settle().await?;
                        Outcome::Listed
                    } else if !self.made.insert(content(&after)) {
                        self.settle().await?;
                        Outcome::Repeated
                    } else if self.is_put_back(&words(kind, edit), reported).await? {
                        Outcome::PutBack
                    } else {
                        Outcome::Effect
                    };
                }
                // The operator wrote meanwhile: the next candidate reads again.
                Err(kube::Error::Api(status)) if status.code == 409 => continue,
                Err(error) if is_immutable(&error) => break,
                Err(error) => match refusal(&error)? {
                    Outcome::Validation => continue,
                    refused => outcome = refused,
                },
            }
            if outcome != Outcome::Nothing {
                break;
            }
        }
        self.table.count(kind, outcome);
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        let kind = self.subject.kind;
        let reported = self.reported()?;
        raw::delete(&self.eve, &self.subject.path).await?;
        let what = format!("{} deleted", kind.as_str());
        let is_back = self.is_put_back(&what, reported).await?;
        self.table.count(
            kind,
            if is_back {
                Outcome::PutBack
            } else {
                Outcome::Effect
            },
        );
        Ok(())
    }

    async fn live(&self) -> Result<Option<Value>> {
        match raw::get(&self.cluster.world.admin, &self.subject.path).await {
            Ok(live) => Ok(Some(live)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What still differs from the object as the operator made it.
    async fn differs(&self) -> Result<Vec<Vec<String>>> {
        let Some(live) = self.live().await? else {
            return Ok(vec![vec!["it is gone".into()]]);
        };
        let mut found = differences(&self.subject.object, &live);
        found.retain(|path| !is_drawn(self.subject.kind, path));
        Ok(found)
    }

    /// How often the operator has said that a child of this kind was changed.
    fn reported(&self) -> Result<u64> {
        let kind = self.subject.object["kind"].as_str().unwrap_or_default();
        self.cluster.reported(kind)
    }

    /// Waits for the operator, and for its report after so many. What it leaves is put back here, so that the next field
    /// starts from the same object.
    async fn is_put_back(&mut self, what: &str, reported: u64) -> Result<bool> {
        let begun = Instant::now();
        loop {
            let differs = self.differs().await?;
            let says = self.reported()? > reported;
            if differs.is_empty() && says {
                self.slowest = self.slowest.max(begun.elapsed());
                return Ok(true);
            }
            if begun.elapsed() > SOON {
                let stayed = if differs.is_empty() {
                    format!("{what}: it is not reported")
                } else {
                    format!("{what}: {differs:?}")
                };
                println!("STAYED   {stayed}");
                self.table.wrong.push(stayed);
                self.settle().await?;
                return Ok(false);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Puts the object back with every right.
    async fn settle(&self) -> Result<()> {
        let admin = &self.cluster.world.admin;
        self.cluster
            .until("the object as it was", async || {
                if self.differs().await?.is_empty() {
                    return Ok(Some(()));
                }
                if let Some(live) = self.live().await? {
                    let mut body = self.subject.object.clone();
                    for field in ["resourceVersion", "uid"] {
                        body["metadata"][field] = live["metadata"][field].clone();
                    }
                    if raw::put(admin, &self.subject.path, &body).await.is_err() {
                        let _ = raw::delete(admin, &self.subject.path).await;
                    }
                }
                Ok(None)
            })
            .await
    }
}

/// What an object says, without what the API server counts.
fn content(object: &Value) -> String {
    let mut content = object.clone();
    if let Some(metadata) = content["metadata"].as_object_mut() {
        for counted in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(counted);
        }
    }
    content.to_string()
}

#[test]
fn the_written_lists_have_no_field_that_decides_what_serves() {
    let is = |list: fn(Kind, &[String]) -> bool, kind, path: &str| {
        let path: Vec<String> = path.split('.').map(ToOwned::to_owned).collect();
        list(kind, &path)
    };
    assert!(is(is_drawn, Kind::Service, "spec.ports.0.nodePort"));
    assert!(is(stays, Kind::Secret, "metadata.labels.other"));
    for (kind, path) in [
        (Kind::Service, "spec.ports.0.targetPort"),
        (Kind::Service, "spec.selector.app"),
        (Kind::Deployment, "spec.replicas"),
        (Kind::Deployment, "metadata.ownerReferences.0.uid"),
        (Kind::Routes, "data.routes.json"),
        (Kind::JobSpec, "data.spec.json"),
        (Kind::Secret, "data.traffic.key"),
        (Kind::Job, "spec.template.spec.nodeName"),
    ] {
        assert!(!is(is_drawn, kind, path), "{path}");
        assert!(!is(stays, kind, path), "{path}");
    }
}
