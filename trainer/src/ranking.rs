//! Scores, sorted once, and what follows from their order: curves and the areas under them.
//!
//! Rows of equal scores are one group: no threshold separates them. Each row may occur any number of times, so that a resample of a
//! bootstrap needs no new sort. Counts stay integers until the last division.

/// Rows in ascending order of score, grouped by equal scores.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    /// Indices of the scores.
    order: Vec<usize>,
    /// The start of each group in `order`, and the end of the last.
    bounds: Vec<usize>,
}

/// Rows of equal scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Group {
    /// Those of class 1.
    up: u64,
    /// Those of class 0.
    down: u64,
}

/// How many rows of each class are predicted as class 1 at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Called {
    /// Rows of class 1.
    pub(crate) right: u64,
    /// Rows of class 0.
    pub(crate) wrong: u64,
}

// === impl Ranking ===

impl Ranking {
    pub(crate) fn new(scores: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // The order within a group does not matter.
        order.sort_unstable_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let begins = |at: &usize| *at == 0 || scores[order[*at]] != scores[order[*at - 1]];
        let bounds = (0..order.len())
            .filter(begins)
            .chain((!order.is_empty()).then_some(order.len()));
        Self {
            bounds: bounds.collect(),
            order,
        }
    }

    /// The probability that a row of class 1 scores above one of class 0, ties counting half; one half if a class is absent.
    pub(crate) fn roc_auc(&self, labels: &[bool], times: impl Fn(usize) -> u64) -> f64 {
        // Pairs count 2 and ties 1, so that the sum stays an integer.
        let (mut halves, mut below, mut ones) = (0_u128, 0_u128, 0_u128);
        for group in self.groups(labels, times) {
            let (up, down) = (u128::from(group.up), u128::from(group.down));
            halves += up * (2 * below + down);
            below += down;
            ones += up;
        }
        if ones == 0 || below == 0 {
            return 0.5;
        }
        halves as f64 / (2 * ones * below) as f64
    }

    /// The mean precision over the rows of class 1, from the greatest score down; 0 without such rows.
    pub(crate) fn average_precision(&self, labels: &[bool], times: impl Fn(usize) -> u64) -> f64 {
        let (mut found, mut seen, mut sum) = (0_u64, 0_u64, 0.0);
        for group in self.groups(labels, times).rev() {
            found += group.up;
            seen += group.up + group.down;
            if group.up > 0 {
                sum += group.up as f64 * found as f64 / seen as f64;
            }
        }
        if found == 0 { 0.0 } else { sum / found as f64 }
    }

    /// Rows that are predicted as class 1, for each threshold from the greatest score down: the points of both curves. The first point
    /// has no rows.
    pub(crate) fn called(&self, labels: &[bool]) -> Vec<Called> {
        let mut so_far = Called::default();
        let each = self.groups(labels, |_| 1).rev().map(|group| {
            so_far.right += group.up;
            so_far.wrong += group.down;
            so_far
        });
        std::iter::once(Called::default()).chain(each).collect()
    }

    /// The indices of the scores, in ascending order of score.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    fn groups(
        &self,
        labels: &[bool],
        times: impl Fn(usize) -> u64,
    ) -> impl DoubleEndedIterator<Item = Group> {
        self.bounds.windows(2).map(move |ends| {
            let mut group = Group::default();
            for row in &self.order[ends[0]..ends[1]] {
                if labels[*row] {
                    group.up += times(*row);
                } else {
                    group.down += times(*row);
                }
            }
            group
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The area under straight lines between points.
    fn trapezoids(points: &[(f64, f64)]) -> f64 {
        let strips = points.windows(2);
        strips
            .map(|ends| (ends[1].0 - ends[0].0) * f64::midpoint(ends[0].1, ends[1].1))
            .sum()
    }

    proptest! {
        #[test]
        fn the_areas_are_those_under_the_points_of_the_curves(
            rows in prop::collection::vec((any::<bool>(), 0_u8..9), 1..60)
        ) {
            let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 8.0).collect();
            let ranking = Ranking::new(&scores);
            let ones = labels.iter().filter(|label| **label).count() as f64;
            let zeros = labels.len() as f64 - ones;
            prop_assume!(ones > 0.0 && zeros > 0.0);
            let called = ranking.called(&labels);
            let roc: Vec<(f64, f64)> =
                called.iter().map(|at| (at.wrong as f64 / zeros, at.right as f64 / ones)).collect();
            prop_assert_eq!((roc[0], roc[roc.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
            prop_assert!((ranking.roc_auc(&labels, |_| 1) - trapezoids(&roc)).abs() < 1e-12);
            let steps: f64 = called
                .windows(2)
                .map(|ends| {
                    let precision = ends[1].right as f64 / (ends[1].right + ends[1].wrong) as f64;
                    (ends[1].right - ends[0].right) as f64 / ones * precision
                })
                .sum();
            prop_assert!((ranking.average_precision(&labels, |_| 1) - steps).abs() < 1e-12);
        }

        #[test]
        fn a_row_that_is_there_so_many_times_counts_as_so_many_rows(
            rows in prop::collection::vec((any::<bool>(), 0_u8..6, 0_u64..4), 0..40)
        ) {
            let score = |row: &(bool, u8, u64)| f64::from(row.1) / 8.0;
            let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
            let ranking = Ranking::new(&rows.iter().map(score).collect::<Vec<_>>());
            let repeated = rows.iter().flat_map(|row| (0..row.2).map(|_| (row.0, score(row))));
            let (many_labels, many_scores): (Vec<bool>, Vec<f64>) = repeated.unzip();
            let many = Ranking::new(&many_scores);
            let times = |row: usize| rows[row].2;
            prop_assert_eq!(ranking.roc_auc(&labels, times), many.roc_auc(&many_labels, |_| 1));
            prop_assert_eq!(
                ranking.average_precision(&labels, times),
                many.average_precision(&many_labels, |_| 1)
            );
        }
    }

    #[test]
    fn a_negative_zero_ties_with_zero_and_no_rows_are_no_error() {
        let ranking = Ranking::new(&[0.0, -0.0]);
        assert_eq!(ranking.roc_auc(&[true, false], |_| 1), 0.5);
        assert_eq!(Ranking::new(&[]).roc_auc(&[], |_| 1), 0.5);
        assert_eq!(Ranking::new(&[]).average_precision(&[], |_| 1), 0.0);
        assert_eq!(Ranking::new(&[]).called(&[]), [Called::default()]);
    }
}
