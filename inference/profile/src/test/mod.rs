//! The tests that a judgement is made of. Each is one file, and one entry of [`ALL`].

mod contract;
mod groups;
pub mod rates;
pub mod variation;

pub use contract::{DriftTest, Estimate, Samples};

use crate::{counts::ScoreCounts, rule::Rule, sides::Sides};

/// The tests of this release, in the order in which judgements list them.
///
/// Each one is a further p-value of every feature, so each makes every q-value larger.
pub const ALL: &[&dyn DriftTest] = &[&variation::Variation, &rates::MissingRate];

/// How many scores there are on each side, and how far they are apart in total variation; `None` where there are too few.
///
/// Scores are no feature: no test of [`ALL`] sees them.
pub fn compare_scores(
    reference: &ScoreCounts,
    window: &ScoreCounts,
    rule: &Rule,
) -> (Sides, Option<Estimate>) {
    let rows = Sides::of(reference, window, |side| side.rows);
    let [reference, window] = [reference, window].map(|side| side.by_slot().collect::<Vec<_>>());
    let found = rule
        .has_rows(rows)
        .then(|| variation::compare_present(&reference, &window, true, rule))
        .flatten();
    (Sides::of(&*reference, &*window, groups::present), found)
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
            let rule = Rule::default();
            for test in ALL {
                let compare = |window| {
                    let samples = Samples { bins: &bins, reference: &reference, window };
                    test.compare(&samples, &rule)
                };
                let name = test.name();
                if let Some(found) = compare(&window) {
                    let Estimate { estimate, lower, upper, p_value } = found;
                    // Wilson's limits at 0 are off by rounding.
                    let rising = 0.0 <= lower && lower <= estimate + 1e-12 && estimate <= upper + 1e-12 && upper <= 1.0;
                    prop_assert!(rising && (0.0..=1.0).contains(&p_value), "{name}: {found:?}");
                }
                if let Some(same) = compare(&reference) {
                    prop_assert!(same.lower == 0.0 && same.p_value > 0.99, "{name}: {same:?}");
                }
            }
        }
    }
}
