//! A shorter seeded part of `make verdicts`, and two deterministic inputs on which earlier rules failed.

#![expect(clippy::unwrap_used, reason = "a test ends if it cannot get what it needs")]

use modelward_profile::{
    Bins, ChosenBy, Counts, FeatureBins, Reference, Rule, ScoreBins, WindowCounts, judge,
};
use modelward_verdicts::{refused, seasons, tables, traffic};
use modelward_wire::DriftVerdict;

#[test]
fn no_row_is_over_its_bound() {
    let mut over = Vec::new();
    let mut keep = |row: tables::Row| {
        println!("{row}");
        if row.is_surely_over() {
            over.push(row.to_string());
        }
    };
    tables::false_alarms("", 3, 12, &mut keep);
    seasons::false_alarms("", 3, 30, &mut keep);
    traffic::false_alarms("", 3, 48, &mut keep);
    refused::false_alarms("", 3, 48, &mut keep);
    tables::power(40, &mut keep);
    tables::comparisons(100, &mut keep);
    assert!(over.is_empty(), "{over:#?}");
}

/// Verdicts on a reference with one categorical feature, given as (rows per level, number of levels), and on 24 hourly windows with
/// `each` rows of each level and `unseen` rows of unknown levels.
fn verdicts(levels: &[(u64, usize)], each: u64, unseen: u64) -> Vec<DriftVerdict> {
    let many: usize = levels.iter().map(|(_, levels)| levels).sum();
    let names = (0..many).map(|level| level.to_string());
    let features = vec![FeatureBins::categorical("level", names)];
    let bins = Bins::new(features, ScoreBins::from_out_of_fold(&[0.5]).unwrap()).unwrap();
    let counts = |values: Vec<u64>| {
        let mut counts = Counts::new(&bins);
        counts.features.rows = values.iter().sum();
        counts.features.features[0].values = values;
        counts
    };
    let of_levels = levels.iter().flat_map(|(rows, levels)| vec![*rows; *levels]);
    let before = counts(of_levels.clone().chain([0]).collect());
    // Every second row chose the categories. Among levels with the same number of rows, each way to halve the rows is equally
    // frequent.
    let others = levels.iter().flat_map(|(rows, levels)| {
        (0..*levels as u64).map(move |level| u64::from((level % (1 << rows)).count_ones()))
    });
    let others = counts(others.chain([0]).collect());
    let reference = Reference {
        chosen_by: ChosenBy::Half(others.features.features.into_iter().map(Some).collect()),
        counts: before,
        bins: bins.clone(),
        phases: None,
    };
    let window = counts(vec![each; many].into_iter().chain([unseen]).collect());
    let windows: Vec<_> = (0..24)
        .map(|hour| WindowCounts {
            from: hour * 3600,
            to: (hour + 1) * 3600,
            counts: &window,
        })
        .collect();
    (1..=24)
        .map(|hours| {
            judge(&reference, &windows[..hours], &Rule::default())
                .unwrap()
                .verdict
        })
        .collect()
}

#[test]
fn two_hundred_even_levels_of_which_training_saw_156_are_quiet() {
    let levels = [(1, 67), (2, 50), (3, 25), (4, 10), (5, 3), (6, 1)];
    let found = verdicts(&levels, 5, 220);
    assert!(!found.contains(&DriftVerdict::Drift), "{found:?}");
}

#[test]
fn fifty_even_levels_with_the_counts_of_a_usual_sample_are_quiet() {
    let levels = [
        (1, 1),
        (2, 2),
        (3, 4),
        (4, 6),
        (5, 8),
        (6, 8),
        (7, 7),
        (8, 5),
        (9, 4),
        (10, 2),
        (11, 2),
        (12, 1),
    ];
    let found = verdicts(&levels, 20, 0);
    assert!(!found.contains(&DriftVerdict::Drift), "{found:?}");
}
