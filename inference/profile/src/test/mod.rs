//! The tests of a judgement. Each is a file and an entry of [`ALL`].

mod category;
mod contract;
mod distribution;
mod groups;
mod outside;
pub mod rates;
mod shares;
mod type_errors;
pub mod variation;

pub use contract::{DriftTest, Samples, Size};
pub(crate) use groups::present;

/// The tests of this release, in the order in which judgements list them.
///
/// They share the level of a feature by their weights, so each additional test makes the levels of the others smaller.
pub const ALL: &[&dyn DriftTest] = &[
    &distribution::Distribution,
    &category::Category,
    &shares::Shares,
    &outside::Outside,
    &rates::MissingRate,
    &type_errors::TypeErrors,
];

/// log p of two arrays of scores by slot. Scores are not a feature, so the tests of [`ALL`] do not apply to them.
pub(crate) fn scores_log_p(reference: &[u64], window: &[u64], log_level: f64) -> Option<f64> {
    distribution::log_p(reference, window, log_level)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{bins::FeatureBins, counts::FeatureCount};

    #[test]
    fn each_test_has_a_plain_name_which_no_other_one_has() {
        let names: BTreeSet<_> = ALL.iter().map(|test| test.name()).collect();
        assert_eq!(names.len(), ALL.len());
        for test in ALL {
            let name = test.name();
            let is_plain = |letter: char| letter.is_ascii_lowercase() || letter == '-';
            assert!(!name.is_empty() && name.chars().all(is_plain), "{name:?}");
        }
    }

    fn count(values: Vec<u64>, missing: u64) -> FeatureCount {
        FeatureCount {
            values,
            missing,
            type_errors: 0,
        }
    }

    proptest! {
        #[test]
        fn every_test_keeps_its_numbers_in_order_and_sees_no_difference_between_equal_sides(
            before in prop::collection::vec(0..200_u64, 4), now in prop::collection::vec(0..200_u64, 4),
            missing in (0..200_u64, 0..200_u64), ordered: bool,
        ) {
            let bins = if ordered {
                FeatureBins::numeric("x", &[1.0, 2.0]).unwrap()
            } else {
                FeatureBins::categorical("c", ["a", "b", "c"])
            };
            prop_assert_eq!(bins.slots(), 4);
            let (reference, window) = (count(before, missing.0), count(now, missing.1));
            let half = |count: &FeatureCount| FeatureCount {
                values: count.values.iter().map(|rows| rows / 2).collect(),
                missing: count.missing / 2,
                type_errors: 0,
            };
            let unchosen = half(&reference);
            for (test, unchosen) in ALL.iter().flat_map(|test| [None, Some(&unchosen), Some(&reference)].map(|some| (test, some))) {
                let samples = |window| Samples { bins: &bins, reference: &reference, unchosen, window };
                let name = test.name();
                if test.weight(&bins) == 0.0 {
                    continue;
                }
                if let Some(log_p) = test.log_p(&samples(&window), -20.0) {
                    prop_assert!(log_p <= 0.0 && log_p.is_finite(), "{name}: {log_p}");
                }
                if let Some(found) = test.size(&samples(&window), 0.95) {
                    let Size { estimate, lower, upper } = found;
                    // Wilson's limits at 0 have a rounding error.
                    let rising = 0.0 <= lower && lower <= estimate + 1e-12 && estimate <= upper + 1e-12 && upper <= 1.0;
                    prop_assert!(rising, "{name}: {found:?}");
                }
                if unchosen != Some(&half(&reference)) {
                    if let Some(log_p) = test.log_p(&samples(&reference), -20.0) {
                        prop_assert!(log_p > -0.02, "{name}: {log_p}");
                    }
                    if let Some(same) = test.size(&samples(&reference), 0.95) {
                        prop_assert!(same.lower == 0.0, "{name}: {same:?}");
                    }
                }
            }
        }
    }
}
