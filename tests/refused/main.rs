//! Every field of every child, added, changed and removed by a person with `edit`: the chart's policies refuse each by name.
//!
//! Requests are dry runs: admission judges them as it judges the real ones, and nothing is disturbed.

#[path = "../fields/mod.rs"]
mod fields;

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use fields::{Kind, Outcome, Subject, Table, is_immutable, put, refusal, words};
use kube::Client;
use modelward_kit::{apiserver::User, chart::apply_children, fields::Edit, raw};
use modelward_trials::world::{SYSTEM, World};

/// Requests at a time.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_a_child_is_edited_by_a_person_where_the_policies_stand() {
    let world = World::build().await.unwrap();
    // The operator and the fake controllers work under them too.
    apply_children(world.api, SYSTEM, &[]).unwrap();
    let cluster = fields::open(&world, true).await.unwrap();
    let begun = Instant::now();
    let eve = world.person(User::Eve).unwrap();
    let mut table = Table::default();
    for kind in Kind::ALL {
        let subject = Arc::new(Subject::read(&cluster, kind).await.unwrap());
        until_refused(&eve, &subject).await.unwrap();
        table.leaves(kind, subject.leaves);
        let mut running = tokio::task::JoinSet::new();
        for lane in 0..AT_ONCE {
            let (eve, subject) = (eve.clone(), subject.clone());
            running.spawn(async move {
                let mut part = Table::default();
                for edit in subject.edits.iter().skip(lane).step_by(AT_ONCE) {
                    judge(&eve, &subject, edit, &mut part).await;
                }
                part
            });
        }
        while let Some(part) = running.join_next().await {
            table.add(part.unwrap());
        }
        delete(&eve, &subject, &mut table).await;
    }
    println!("{table}");
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    table.conclude(Outcome::Policy);
    // A walker that finds few fields, or whose values validation refuses, proves little.
    assert!(table.total(Outcome::Policy) > 1_000, "{table}");
}

/// Tries an edit until one candidate passes validation.
async fn judge(eve: &Client, subject: &Subject, edit: &Edit, table: &mut Table) {
    let mut outcome = Outcome::Validation;
    for candidate in &edit.candidates {
        let body = candidate.apply(&subject.object);
        let found = match put(eve, &subject.path, edit, &body, true).await {
            Ok(after) => {
                let changed = fields::changed(&subject.object, &after);
                if changed.is_empty() {
                    Outcome::Nothing
                } else if subject.is_listed(&changed) {
                    Outcome::Listed
                } else {
                    let what = words(subject.kind, edit);
                    table.wrong.push(format!("{what}: {changed:?}"));
                    Outcome::Effect
                }
            }
            Err(error) if is_immutable(&error) => break,
            Err(error) => match refusal(&error) {
                Ok(found) => found,
                Err(error) => {
                    table
                        .wrong
                        .push(format!("{}: {error:#}", words(subject.kind, edit)));
                    Outcome::Effect
                }
            },
        };
        if found == Outcome::Validation {
            continue;
        }
        outcome = found;
        if found != Outcome::Nothing {
            break;
        }
    }
    if outcome == Outcome::Validation && std::env::var_os("MODELWARD_FIELDS").is_some() {
        println!("no valid value for {}", words(subject.kind, edit));
    }
    table.count(subject.kind, outcome);
}

/// The object as a whole.
async fn delete(eve: &Client, subject: &Subject, table: &mut Table) {
    let outcome = raw::delete(eve, &format!("{}?dryRun=All", subject.path)).await;
    match outcome.map_err(|error| refusal(&error)) {
        Err(Ok(outcome @ (Outcome::Policy | Outcome::Roles))) => table.count(subject.kind, outcome),
        other => {
            let what = format!("{} deleted: {other:?}", subject.kind.as_str());
            table.wrong.push(what);
        }
    }
}

/// A policy takes effect when the API server has seen it.
async fn until_refused(eve: &Client, subject: &Subject) -> Result<()> {
    let mut body = subject.object.clone();
    body["metadata"]["labels"]["modelward.io/other"] = "other".into();
    let path = format!("{}?dryRun=All", subject.path);
    modelward_kit::wait::until("the policies", modelward_trials::world::PATIENCE, async || {
        let outcome = raw::put(eve, &path, &body).await;
        let refused = outcome.is_err_and(|error| matches!(refusal(&error), Ok(Outcome::Policy)));
        Ok(refused.then_some(()))
    })
    .await
}
