//! Repeated stratified folds.
//!
//! For repeat r, a generator is seeded with `mix(seed) ^ mix(r + 1)`. The rows of class 0 in their order are
//! shuffled (Fisher-Yates from the end), then those of class 1, by the same generator; the shuffled rows, class 0
//! first, are dealt to the folds in turn like cards. So each fold has its share of each class, give or take one row.
//!
//! Rows with the same values go together, the largest groups first: the first row of a group is dealt, to the next fold in turn of those
//! with the fewest rows, and the others follow it. Otherwise a model would be tested on rows that it was fitted on. If a class has fewer
//! different rows than there are folds, its rows are dealt one by one. No two equal rows have different classes: `stratified`
//! deals such data.
//!
//! The generator is `SplitMix64`, a number below n is the high half of the 128-bit product with n, with rejection.
//! It is written out here because its numbers are part of every bundle's digest: no release of a crate may change them.

/// `SplitMix64` by Steele, Lea and Flood (2014).
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

/// The fold, from 0, in which each row is tested; one list per repeat. `first` has for each row the first one with the same values.
pub fn assign(labels: &[bool], first: &[usize], folds: usize, repeats: usize, seed: u64) -> Vec<Vec<usize>> {
    let leader = leaders(labels, first, folds);
    (0..repeats)
        .map(|repeat| assign_once(labels, &leader, folds.max(1), seed, repeat as u64))
        .collect()
}

/// The row that each row goes with: the first of its values, or itself if its class has too few different rows.
fn leaders(labels: &[bool], first: &[usize], folds: usize) -> Vec<usize> {
    let different = |class: bool| {
        let leads = |row: &usize| first[*row] == *row && labels[*row] == class;
        (0..labels.len()).filter(leads).count()
    };
    let goes_together = [different(false) >= folds, different(true) >= folds];
    let leader = |row: usize| {
        let leads = first[row];
        if goes_together[usize::from(labels[leads])] {
            leads
        } else {
            row
        }
    };
    (0..labels.len()).map(leader).collect()
}

fn assign_once(labels: &[bool], leader: &[usize], folds: usize, seed: u64, repeat: u64) -> Vec<usize> {
    let mut random = SplitMix64::of_repeat(seed, repeat);
    let mut members = vec![0_usize; labels.len()];
    for leads in leader {
        members[*leads] += 1;
    }
    let mut fold = vec![0; labels.len()];
    let (mut filled, mut turn) = (vec![0_usize; folds], 0);
    for class in [false, true] {
        let mut rows: Vec<usize> = (0..labels.len())
            .filter(|row| leader[*row] == *row && labels[*row] == class)
            .collect();
        random.shuffle(&mut rows);
        // Stable: if all rows differ, the order is the shuffled one.
        rows.sort_by_key(|row| std::cmp::Reverse(members[*row]));
        for row in rows {
            let in_turn = |step: usize| (turn + step) % folds;
            let next = (0..folds)
                .map(in_turn)
                .min_by_key(|fold| filled[*fold])
                .unwrap_or(0);
            fold[row] = next;
            filled[next] += members[row];
            turn = next + 1;
        }
    }
    for (row, leads) in leader.iter().enumerate() {
        fold[row] = fold[*leads];
    }
    fold
}

/// A number that is unrelated to those of neighbouring seeds.
pub(crate) fn mix(seed: u64) -> u64 {
    SplitMix64(seed).next()
}

// === impl SplitMix64 ===

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of a repeat of the folds, from 0.
    pub(crate) fn of_repeat(seed: u64, repeat: u64) -> Self {
        Self(mix(seed) ^ mix(repeat + 1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Shuffles by Fisher and Yates, from the end.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A number from 0 to n - 1, each equally likely (Lemire 2019).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of which no two have the same values.
    fn apart(labels: &[bool]) -> Vec<usize> {
        (0..labels.len()).collect()
    }

    #[test]
    fn rows_with_the_same_values_are_in_one_fold() {
        // Each row is there twice, and one ten times.
        let first: Vec<usize> = (0..60)
            .map(|row| if row >= 50 { 0 } else { row / 2 * 2 })
            .collect();
        let labels: Vec<bool> = (0..60).map(|row| first[row].is_multiple_of(4)).collect();
        for fold in assign(&labels, &first, 5, 3, 7) {
            assert!((0..60).all(|row| fold[row] == fold[first[row]]), "{fold:?}");
            let sizes: Vec<usize> = (0..5).map(|k| fold.iter().filter(|f| **f == k).count()).collect();
            // The ten of class 1 come to a fold that has its share of class 0.
            assert!(sizes.iter().all(|size| (10..=18).contains(size)), "{sizes:?}");
        }
    }

    #[test]
    fn a_class_with_fewer_different_rows_than_folds_is_dealt_row_by_row() {
        let labels: Vec<bool> = (0..40).map(|row| row >= 20).collect();
        let first: Vec<usize> = (0..40).map(|row| if row >= 20 { 20 } else { row }).collect();
        for fold in assign(&labels, &first, 5, 1, 7) {
            let positives = |k: usize| (20..40).filter(|row| fold[*row] == k).count();
            assert_eq!((0..5).map(positives).collect::<Vec<_>>(), [4; 5]);
        }
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix64(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn folds_are_pinned_because_digests_depend_on_them() {
        let labels = [false, true, false, true, false, true, false, true, false, false];
        let folds = assign(&labels, &apart(&labels), 2, 2, 7);
        assert_eq!(
            folds,
            [[1, 0, 1, 1, 0, 0, 0, 1, 0, 1], [1, 1, 0, 0, 0, 0, 1, 1, 0, 1]]
        );
    }

    proptest! {
        #[test]
        fn every_fold_has_its_share_of_each_class(
            labels in prop::collection::vec(any::<bool>(), 1..200), folds in 2_usize..10, seed: u64
        ) {
            for fold in assign(&labels, &apart(&labels), folds, 3, seed) {
                for class in [false, true] {
                    let count = |k| fold.iter().zip(&labels).filter(|(f, l)| **f == k && **l == class).count();
                    let counts: Vec<_> = (0..folds).map(count).collect();
                    let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                    prop_assert!(max - min <= 1, "{:?}", counts);
                }
            }
        }
    }
}
