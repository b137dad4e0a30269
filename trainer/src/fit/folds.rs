//! Repeated stratified folds.
//!
//! For repeat r, a generator is seeded with `mix(seed) ^ mix(r + 1)`. The rows of class 0 in their order are
//! shuffled (Fisher-Yates from the end), then those of class 1, by the same generator; the shuffled rows, class 0
//! first, are dealt to the folds in turn like cards. So each fold has its share of each class, give or take one row.
//!
//! The generator is `SplitMix64`, a number below n is the high half of the 128-bit product with n, with rejection.
//! It is written out here because its numbers are part of every bundle's digest: no release of a crate may change them.

/// `SplitMix64` by Steele, Lea and Flood (2014).
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

/// The fold, from 0, in which each row is tested; one list a repeat.
pub fn assign(labels: &[bool], folds: usize, repeats: usize, seed: u64) -> Vec<Vec<usize>> {
    (0..repeats)
        .map(|repeat| assign_once(labels, folds, seed, repeat as u64))
        .collect()
}

fn assign_once(labels: &[bool], folds: usize, seed: u64, repeat: u64) -> Vec<usize> {
    let mut random = SplitMix64(mix(seed) ^ mix(repeat + 1));
    let mut dealt = Vec::with_capacity(labels.len());
    for class in [false, true] {
        let mut rows: Vec<usize> = (0..labels.len()).filter(|row| labels[*row] == class).collect();
        for last in (1..rows.len()).rev() {
            rows.swap(last, random.below(last as u64 + 1) as usize);
        }
        dealt.extend(rows);
    }
    let mut fold = vec![0; labels.len()];
    for (position, row) in dealt.into_iter().enumerate() {
        fold[row] = position % folds.max(1);
    }
    fold
}

/// A number that has nothing to do with its neighbours'.
pub(crate) fn mix(seed: u64) -> u64 {
    SplitMix64(seed).next()
}

// === impl SplitMix64 ===

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
        let folds = assign(&labels, 2, 2, 7);
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
            for fold in assign(&labels, folds, 3, seed) {
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
