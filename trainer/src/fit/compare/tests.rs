use std::borrow::Cow;

use modelward_crds::{Champion, MetricName};
use modelward_wire::{Decimal, Digest};
use proptest::prelude::*;

use super::{
    Comparison, Evidence, GroupCounts, Opponent,
    bootstrap::lower_bound,
    opponent::reaches,
    tally::{Scores, Tally},
};
use crate::{
    data::row_columns::Groups,
    family::Parameters,
    fit::{
        candidate::{Candidate, ScoredFold},
        folds::SplitMix64,
        labels::Labels,
        metrics::{metrics, position},
        resample::Units,
        train::tests::plan,
    },
};

fn scores(repeats: Vec<Vec<f64>>) -> Scores {
    Scores::by_threshold(0.5, repeats)
}

fn bound(champion: &Scores, challenger: &Scores, labels: &[bool], metric: MetricName, seed: u64) -> f64 {
    bound_of_units(champion, challenger, labels, None, metric, seed)
}

fn bound_of_units(
    champion: &Scores,
    challenger: &Scores,
    labels: &[bool],
    groups: Option<&Groups>,
    metric: MetricName,
    seed: u64,
) -> f64 {
    let rows: Vec<usize> = (0..labels.len()).collect();
    let tallies = [champion, challenger].map(|scores| Tally::new(scores, &rows, labels, metric));
    lower_bound(&tallies, labels, &mut Units::new(&rows, groups), metric, seed)
}

/// Groups of so many rows each, one after the other.
fn patients(rows: usize, visits: usize) -> Groups {
    let names = (0..rows).map(|row| Cow::Owned((row / visits).to_string()));
    Groups::of_values("patient", names)
}

/// Labels, and scores that are right in `right` of ten rows.
fn sample(rows: usize, right: usize) -> (Vec<bool>, Scores) {
    let labels: Vec<bool> = (0..rows).map(|row| row % 2 == 0).collect();
    let score = |row: usize| {
        if (row * 7 % 10 < right) == labels[row] {
            0.9
        } else {
            0.1
        }
    };
    (labels.clone(), scores(vec![(0..rows).map(score).collect()]))
}

#[test]
fn a_model_is_exactly_as_good_as_itself_by_every_metric() {
    let (labels, one) = sample(200, 8);
    for metric in MetricName::ALL {
        assert_eq!(bound(&one, &one, &labels, metric, 7), 0.0, "{metric:?}");
    }
}

#[test]
fn a_worse_model_is_below_zero_and_a_better_one_above_by_every_metric() {
    let ((labels, good), (_, bad)) = (sample(400, 9), sample(400, 6));
    for metric in MetricName::ALL {
        let (worse, better) = (
            bound(&good, &bad, &labels, metric, 7),
            bound(&bad, &good, &labels, metric, 7),
        );
        assert!(worse < -0.1 && better > 0.1, "{metric:?}: {worse}, {better}");
    }
}

#[test]
fn the_bound_is_pinned_so_that_other_draws_are_noticed() {
    let ((labels, good), (_, other)) = (sample(60, 9), sample(60, 8));
    let found = bound(&good, &other, &labels, MetricName::Accuracy, 7);
    assert_eq!(found, bound(&good, &other, &labels, MetricName::Accuracy, 7));
    // The difference is -6 of 60 rows; a standard error of sqrt(0.1 * 0.9 / 60) makes the bound about -0.164.
    assert_eq!(format!("{found:.6}"), "-0.166667");
}

#[test]
fn the_bound_lies_below_the_true_difference_in_about_19_of_20_samples() {
    // Both models err independently in 2 of 10 rows: the true difference is 0.
    let mut random = SplitMix64::new(3);
    let mut below = 0;
    for seed in 0..200 {
        let labels = vec![true; 100];
        let mut model = || -> Scores {
            let score = |random: &mut SplitMix64| if random.below(10) < 8 { 0.9 } else { 0.1 };
            scores(vec![(0..100).map(|_| score(&mut random)).collect()])
        };
        let (champion, challenger) = (model(), model());
        below += u32::from(bound(&champion, &challenger, &labels, MetricName::Recall, seed) <= 0.0);
    }
    // 190 are expected, with a standard deviation of 3.1; a percentile bound is a little short for 100 rows.
    assert!((175..=199).contains(&below), "{below}");
}

#[test]
fn copies_of_a_group_s_row_do_not_raise_the_bound() {
    let ((labels, good), (_, other)) = (sample(60, 9), sample(60, 8));
    let copies = |values: &[f64]| -> Vec<f64> { values.iter().flat_map(|value| [*value; 50]).collect() };
    let copied = |of: &Scores| scores(of.repeats.iter().map(|repeat| copies(repeat)).collect());
    let many_labels: Vec<bool> = labels.iter().flat_map(|label| [*label; 50]).collect();
    let groups = patients(3_000, 50);
    for metric in [MetricName::Accuracy, MetricName::F1, MetricName::RocAuc] {
        let of_one_each = bound(&good, &other, &labels, metric, 7);
        let (good, other) = (copied(&good), copied(&other));
        let in_groups = bound_of_units(&good, &other, &many_labels, Some(&groups), metric, 7);
        assert_eq!(in_groups, of_one_each, "{metric:?}: the same groups are drawn");
        let by_rows = bound(&good, &other, &many_labels, metric, 7);
        assert!(by_rows > in_groups + 0.02, "{metric:?}: {by_rows}, {in_groups}");
    }
}

/// Compares two models by accuracy on 200 new rows in these groups: the challenger alone is right on every other row.
fn compare_in_groups(groups: Option<&Groups>) -> Comparison {
    let labels: Vec<bool> = (0..200).map(|row| row % 3 == 0).collect();
    let score = |is_right: bool, label: bool| if is_right == label { 0.9 } else { 0.1 };
    let of = |is_right: fn(usize) -> bool| -> Vec<f64> {
        let rows = labels.iter().enumerate();
        rows.map(|(row, label)| score(is_right(row), *label)).collect()
    };
    let champion = Champion {
        version: "heart-1".to_owned(),
        bundle: Digest::from_bytes([0; 32]),
        margin: "0.03".parse().unwrap(),
    };
    let scored = ScoredFold {
        repeat: 0,
        fold: 0,
        rows: (0..200).collect(),
        scores: of(|_| true),
    };
    let challenger = Candidate::new(
        "Any",
        Parameters::new([]),
        Labels::at_any_time(&labels),
        &[scored],
        &plan(),
    )
    .unwrap();
    Opponent::of_scores(champion, 0.5, of(|row| row % 2 == 0))
        .compare(&labels, groups, &challenger, MetricName::Accuracy, 7)
        .unwrap()
}

#[test]
fn new_rows_are_evidence_only_if_they_are_of_enough_groups() {
    let of_many = compare_in_groups(Some(&patients(200, 5)));
    let counts = GroupCounts {
        count: 40,
        differing: 40,
    };
    assert_eq!(of_many.on[1].groups, Some(counts));
    assert_eq!(of_many.on[1].evidence, Evidence::Enough);
    assert_eq!(of_many.failed().count(), 0);

    let of_few = compare_in_groups(Some(&patients(200, 50)));
    assert_eq!(
        (of_few.on[1].count, of_few.on[1].differing),
        (200, 100),
        "by rows they would be enough"
    );
    assert_eq!(of_few.on[1].evidence, Evidence::NotEnough);
    assert_eq!(
        of_few.failed().collect::<Vec<_>>(),
        [
            "there are not enough groups by patient to compare with heart-1: 200 new rows of 4 groups, and the two differ in 4 of them; \
             at least 30 and 10 groups are needed: add rows of new groups"
        ]
    );
}

#[test]
fn a_comparison_without_groups_is_written_without_them() {
    let of_groups = serde_json::to_value(compare_in_groups(Some(&patients(200, 5)))).unwrap();
    assert_eq!(of_groups["groupedBy"], "patient");
    assert_eq!(
        of_groups["on"][1]["groups"],
        serde_json::json!({"count": 40, "differing": 40})
    );
    let plain = serde_json::to_string(&compare_in_groups(None)).unwrap();
    assert!(!plain.contains("group"), "{plain}");
}

#[test]
fn the_margin_is_compared_as_it_is_written() {
    let decimal = |text: &str| text.parse::<Decimal>().unwrap();
    assert!(reaches(&decimal("-0.030000"), &decimal("0.03")));
    assert!(!reaches(&decimal("-0.030001"), &decimal("0.03")));
    assert!(reaches(&decimal("0.000000"), &decimal("0")));
}

proptest! {
    #[test]
    fn a_tally_where_each_row_is_there_once_is_the_metric(
        rows in prop::collection::vec((any::<bool>(), 0_u8..9), 1..40)
    ) {
        let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let one: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 8.0).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        let expected = metrics(&labels, &one, 0.5);
        // Two equal repeats are one model.
        let both = scores(vec![one.clone(), one]);
        for metric in MetricName::ALL {
            let found = Tally::new(&both, &all, &labels, metric).value(metric, &labels, &vec![1; rows.len()]);
            prop_assert!((found - expected[position(metric)]).abs() < 1e-12, "{:?}", metric);
        }
    }

    #[test]
    fn a_row_that_is_there_twice_counts_twice(
        rows in prop::collection::vec((any::<bool>(), 0_u8..9, 0_u64..3), 1..20)
    ) {
        let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let one: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 8.0).collect();
        let times: Vec<u64> = rows.iter().map(|row| row.2).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        let drawn: Vec<usize> = all.iter().flat_map(|row| vec![*row; times[*row] as usize]).collect();
        let of = |values: &[f64]| drawn.iter().map(|row| values[*row]).collect::<Vec<_>>();
        let drawn_labels: Vec<bool> = drawn.iter().map(|row| labels[*row]).collect();
        let expected = metrics(&drawn_labels, &of(&one), 0.5);
        for metric in MetricName::ALL {
            let tally = Tally::new(&scores(vec![one.clone()]), &all, &labels, metric);
            let found = tally.value(metric, &labels, &times);
            prop_assert!((found - expected[position(metric)]).abs() < 1e-12, "{:?}", metric);
        }
    }
}
