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
mod eve;
mod forged;
mod outage;
mod support;
#[path = "../gate/tally.rs"]
mod tally;

use modelward_kit::chart::apply_children;
use modelward_trials::world::{SYSTEM, World};
use support::{Case, report};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_approved_by_people_who_may_has_no_effect_on_what_runs() {
    let world = World::build().await.unwrap();
    let mut cases = Vec::new();
    let (a, b, c, d) = tokio::join!(
        Case::run(&world, "replay", cases::recreated),
        Case::run(&world, "changed meanwhile", cases::changed_meanwhile),
        Case::run(&world, "old bundle", cases::an_old_bundle),
        Case::run(&world, "at once", cases::at_once),
    );
    cases.extend([a, b, c, d]);
    let (a, b, c, d) = tokio::join!(
        Case::run(&world, "too late", cases::too_late),
        Case::run(&world, "tenant", cases::by_a_tenant),
        Case::run(&world, "F3", cases::children),
        Case::run(&world, "F3", eve::every_child_at_once),
    );
    cases.extend([a, b, c, d]);
    let (a, b, c, d) = tokio::join!(
        Case::run(&world, "F1", eve::a_name_in_advance),
        Case::run(&world, "F2", eve::no_record),
        Case::run(&world, "F10", eve::an_edited_retraining),
        Case::run(&world, "F11", eve::no_room),
    );
    cases.extend([a, b, c, d]);
    cases.push(Case::run(&world, "F13", eve::a_window_taken).await);
    let (a, b, c, d) = tokio::join!(
        Case::run(&world, "F4", forged::messages),
        Case::run(&world, "F4", forged::lookalikes),
        Case::run(&world, "F4", forged::tokens),
        Case::run(&world, "F15", forged::keys),
    );
    cases.extend([a, b, c, d]);
    // From here on one by one, for these change the policies of the whole API server.
    for outage in outage::ALL {
        cases.push(
            Case::run(&world, "outage", async |case: &mut Case| {
                outage::without(case, outage).await
            })
            .await,
        );
    }
    cases.push(Case::run(&world, "F16", outage::without_stamps).await);
    apply_children(world.api, SYSTEM, &[]).unwrap();
    let (a, b) = tokio::join!(
        Case::run(&world, "F4", forged::under_policies),
        Case::run(&world, "F15", forged::keys_under_policies),
    );
    cases.extend([a, b]);
    report(cases);
}
