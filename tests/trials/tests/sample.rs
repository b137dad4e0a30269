//! Runs sixteen of the trials on each change; `make trials` runs all of them.

use modelward_trials::{
    story::Story,
    trial::{self, Selection},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_cut_off_at_any_write_ends_where_it_would_have() {
    let world = World::build().await.unwrap();
    let selection = Selection {
        stories: vec![Story::Approved, Story::Rejected],
        sample: Some(16),
        only: None,
        site: None,
        // Trials mostly wait.
        jobs: 6,
        hasty: false,
        states: None,
    };
    let report = trial::run(&world, &selection).await.unwrap();
    println!("{report}");
    assert_eq!(report.violations(), 0, "{report}");
}
