//! The gate on a real API server: attacks that it refuses, by policy and sentence, and honest uses that it allows.
//!
//! The policies and roles are those of the chart, rendered by helm. People have credentials of their own; the operator,
//! the garbage collector and the namespace controller are their service accounts. What the operator itself has to see (a
//! decision that was written while a policy was away) is not judged here.
#![expect(
    clippy::unwrap_used,
    reason = "a case whose beginnings cannot be made has to stop the test"
)]

mod actions;
mod changes;
mod children;
mod objects;
mod outage;
mod support;
mod tally;

use support::{Gate, Tally};

#[tokio::test]
async fn attacks_are_refused_with_a_sentence_and_honest_uses_are_allowed() {
    let gate = Gate::install().await.unwrap();
    let mut tally = Tally::default();
    actions::deciding(&gate, &mut tally).await;
    actions::proposing_and_keeping(&gate, &mut tally).await;
    actions::deciding_again(&gate, &mut tally).await;
    actions::with_kubectl(&gate, &mut tally).await;
    objects::status(&gate, &mut tally).await;
    objects::versions(&gate, &mut tally).await;
    objects::models(&gate, &mut tally).await;
    objects::the_operators_work(&gate, &mut tally).await;
    objects::roles(&gate, &mut tally).await;
    changes::makers_and_editors(&gate, &mut tally).await;
    changes::records(&gate, &mut tally).await;
    changes::origins(&gate, &mut tally).await;
    children::what_serves(&gate, &mut tally).await;
    children::what_stays_possible(&gate, &mut tally).await;
    // Last, for these change the gate itself.
    let mut outages = Tally::default();
    outage::what_the_operator_sees(&gate, &mut outages).await;
    outage::without_stamps(&gate, &mut outages).await;
    outage::without_the_kinds(&gate, &mut outages).await;
    tally.add(outages);
    tally.finish();
}
