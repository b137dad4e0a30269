//! Attacks with the real operator at work: what the API server lets in is without any effect on what runs.
//!
//! Each case has a namespace with an operator of its own under the chart's rights, the ledger, and people with credentials
//! of their own. What was carried out is read from the routes of the Model, the template of the Deployment and the versions
//! that actions made.
#![expect(
    clippy::unwrap_used,
    reason = "a case whose beginnings cannot be made has to stop the test"
)]

mod cases;
mod outage;
mod support;
#[expect(dead_code, reason = "the gate's own cases use the rest")]
#[path = "../gate/tally.rs"]
mod tally;

use modelward_trials::world::World;
use support::{Case, report};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_approved_by_people_who_may_has_no_effect_on_what_runs() {
    let world = World::build().await.unwrap();
    let mut cases = Vec::new();
    let (a, b, c) = tokio::join!(
        Case::run(&world, cases::recreated),
        Case::run(&world, cases::changed_meanwhile),
        Case::run(&world, cases::an_old_bundle),
    );
    cases.extend([a, b, c]);
    let (a, b, c, d) = tokio::join!(
        Case::run(&world, cases::at_once),
        Case::run(&world, cases::too_late),
        Case::run(&world, cases::by_a_tenant),
        Case::run(&world, cases::children),
    );
    cases.extend([a, b, c, d]);
    // Last and one by one, for these change the gate itself.
    for outage in outage::ALL {
        cases.push(
            Case::run(&world, async |case: &mut Case| {
                outage::without(case, outage).await
            })
            .await,
        );
    }
    report(cases);
}
