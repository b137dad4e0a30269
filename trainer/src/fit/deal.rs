//! Parts of rows that are never separated, dealt so that the counts of both classes stay even.
//!
//! The parts are shuffled and sorted by size, the largest first; parts of one size stay in the shuffled order. Each goes to the fold that
//! keeps the counts of both classes most even, as in scikit-learn's `StratifiedGroupKFold`: the sum of the squares of the folds' shares in
//! each class grows least. Of equally good folds it is the one with the fewest rows. The arithmetic uses integers, so that digests do not
//! depend on rounding.

use super::folds::SplitMix64;

/// The fold, from 0, of each part, of which the rows of each class are counted.
pub(crate) fn deal_parts(of_class: &[[usize; 2]], folds: usize, random: &mut SplitMix64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..of_class.len()).collect();
    random.shuffle(&mut order);
    // Stable: parts of one size stay in the shuffled order.
    order.sort_by_key(|part| std::cmp::Reverse(of_class[*part].iter().sum::<usize>()));
    let mut totals = [0_u128; 2];
    for part in of_class {
        for (total, count) in totals.iter_mut().zip(part) {
            *total += *count as u128;
        }
    }
    let mut filled = vec![[0_u128; 2]; folds];
    let mut fold_of = vec![0; of_class.len()];
    for part in order {
        // By how much the sum of squares grows, less what is the same for every fold, over the common denominator.
        let growth = |fold: &usize| {
            let of = |class: usize| {
                let other = totals[1 - class];
                filled[*fold][class] * of_class[part][class] as u128 * other * other
            };
            (of(0) + of(1), filled[*fold][0] + filled[*fold][1])
        };
        let fold = (0..folds).min_by_key(growth).unwrap_or(0);
        for (filled, count) in filled[fold].iter_mut().zip(of_class[part]) {
            *filled += count as u128;
        }
        fold_of[part] = fold;
    }
    fold_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fold_has_a_part_if_there_are_enough_and_classes_are_even() {
        let parts = [[10, 0], [0, 10], [10, 0], [0, 10], [10, 0], [0, 10]];
        for seed in 0..20 {
            let fold = deal_parts(&parts, 3, &mut SplitMix64::new(seed));
            for k in 0..3 {
                let of = |class: usize| -> usize {
                    let in_fold = parts.iter().zip(&fold).filter(|(_, fold)| **fold == k);
                    in_fold.map(|(part, _)| part[class]).sum()
                };
                assert_eq!([of(0), of(1)], [10, 10], "{seed}: {fold:?}");
            }
            let mut alone = deal_parts(&parts, 6, &mut SplitMix64::new(seed));
            alone.sort_unstable();
            assert_eq!(alone, [0, 1, 2, 3, 4, 5]);
        }
    }
}
