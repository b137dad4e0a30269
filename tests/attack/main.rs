//! Attacks on the running operator: what the API server accepts has no effect on what runs.
//!
//! Each case has a namespace, an operator with the chart's permissions, the ledger, and users with their own credentials. What was
//! carried out is read from the routes of the Model, the template of the Deployment and the versions that actions created.
#![expect(
    clippy::unwrap_used,
    reason = "a case that cannot be set up has to stop the test"
)]

mod cases;
mod eve;
mod forged;
mod outage;
mod support;
#[path = "../gate/tally.rs"]
mod tally;

use futures::{FutureExt as _, future::join_all};
use modelward_kit::chart::apply_children;
use modelward_trials::world::{SYSTEM, World};
use support::{Case, report};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_approved_by_people_who_may_has_no_effect_on_what_runs() {
    let world = World::build().await.unwrap();
    let mut cases = Vec::new();
    // Cases mostly wait.
    cases.extend(
        join_all([
            Case::run(&world, "replay", cases::recreated).boxed_local(),
            Case::run(&world, "changed meanwhile", cases::changed_meanwhile).boxed_local(),
            Case::run(&world, "old bundle", cases::an_old_bundle).boxed_local(),
            Case::run(&world, "at once", cases::at_once).boxed_local(),
            Case::run(&world, "too late", cases::too_late).boxed_local(),
            Case::run(&world, "tenant", cases::by_a_tenant).boxed_local(),
            Case::run(&world, "F3", cases::children).boxed_local(),
            Case::run(&world, "F3", eve::every_child_at_once).boxed_local(),
        ])
        .await,
    );
    cases.extend(
        join_all([
            Case::run(&world, "F1", eve::a_name_in_advance).boxed_local(),
            Case::run(&world, "F2", eve::no_record).boxed_local(),
            Case::run(&world, "F10", eve::an_edited_retraining).boxed_local(),
            Case::run(&world, "F11", eve::no_room).boxed_local(),
            Case::run(&world, "F13", eve::a_window_taken).boxed_local(),
            Case::run(&world, "F4", forged::messages).boxed_local(),
            Case::run(&world, "F4", forged::lookalikes).boxed_local(),
            Case::run(&world, "F4", forged::tokens).boxed_local(),
            Case::run(&world, "F15", forged::keys).boxed_local(),
        ])
        .await,
    );
    // The following cases run one at a time, because they change the policies of the whole API server.
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
