//! Counts of rows in frozen bins. They can be added exactly.
//!
//! All numbers are integers, so addition is exactly associative and commutative. Any split of the same rows over any
//! number of Pods, merged in any order, gives the same bytes.

use serde::{Deserialize, Serialize};

use crate::{
    bins::{Bins, FeatureBins, Fingerprint, Observed, Slot},
    number::FixedSum,
};

/// The format that this code writes and reads.
pub const COUNTS_FORMAT: u32 = 1;

/// The counts of one model: its features, its scores, and the rows that are in neither.
///
/// A reference may combine feature counts and score counts of different sources (the features of an accepted window and
/// the out-of-fold scores of the training rows), so each part has its own bins and rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counts {
    /// [`COUNTS_FORMAT`].
    pub format: u32,
    /// The rows' features.
    pub features: FeatureCounts,
    /// The rows' scores.
    pub score: ScoreCounts,
    /// Answered rows that are not counted above.
    pub aside: Aside,
    /// Rows that were refused for a reason other than the type of a value, and bodies from which no row can be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
}

/// Counts of every feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureCounts {
    /// The bins of these counts: [`Bins::feature_fingerprint`].
    pub bins: Fingerprint,
    /// Rows counted.
    pub rows: u64,
    /// One entry for each feature, in the order of the bins.
    pub features: Vec<FeatureCount>,
}

/// Counts of one feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureCount {
    /// Present values by slot.
    pub values: Vec<u64>,
    /// Rows without a value.
    pub missing: u64,
    /// Rows that were refused because of a wrong type of this feature. They are in no other count.
    pub type_errors: u64,
}

/// Counts of the scores, by the class in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreCounts {
    /// The bins of these counts: [`Bins::score_fingerprint`].
    pub bins: Fingerprint,
    /// Rows counted.
    pub rows: u64,
    /// Class 0 and class 1.
    pub classes: [ClassCount; 2],
}

/// Scores of the rows with one class in the answer.
///
/// A score s counts as q = round(s·2³²) units and its square as round(q²/2³²) units. The sums of these are exact, so the
/// error of the mean is at most 2⁻³³ and the error of the mean square at most 2⁻³¹.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClassCount {
    /// Scores by slot.
    pub values: Vec<u64>,
    /// Sum of the scores.
    pub sum: FixedSum,
    /// Sum of their squares.
    pub sum_squares: FixedSum,
}

/// Answered rows that no judgement uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aside {
    /// Rows that were marked as synthetic.
    pub synthetic: u64,
    /// Rows of an entity that was already counted in the same window.
    pub repeated: u64,
    /// Rows above the limit of one process in one window ([`crate::atomic::ROW_LIMIT`]).
    pub over_limit: u64,
}

/// Why a row cannot be counted. Nothing was counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row has more or fewer values than there are features.
    #[error("the row has {found} values, but the bins have {expected} features")]
    Length {
        /// Number of values.
        found: usize,
        /// Number of features.
        expected: usize,
    },
    /// A number for a categorical feature, a category for a numeric one, or a category with an unknown index.
    #[error("value {0} of the row does not belong to the kind of its feature")]
    Kind(usize),
    /// The score is not a probability.
    #[error("the score is not a probability from 0 to 1")]
    Score,
    /// The class is neither 0 nor 1.
    #[error("the class is {0}, it must be 0 or 1")]
    Class(u8),
    /// There is no such feature.
    #[error("there is no feature {0} in the bins")]
    Feature(usize),
    /// A counter is full.
    #[error("a counter is full; start a new window")]
    Full,
    /// The counts were made for other bins.
    #[error("the counts were made for other bins")]
    OtherBins,
}

/// Why counts cannot be used or combined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CountsError {
    /// They have a format that this program does not know.
    #[error("counts have format {0}, this program reads format {COUNTS_FORMAT}")]
    Format(u32),
    /// They belong to other bins.
    #[error("counts of {0} were made in other bins; only counts of the same bins can be added or compared")]
    OtherBins(&'static str),
    /// Their shape does not match their bins.
    #[error("counts of {0} do not have the number of bins that their bins have")]
    Shape(String),
    /// A sum does not fit into 64 bits (128 for sums of scores).
    #[error("the sum of {0} does not fit into its counter; merge fewer windows")]
    Overflow(&'static str),
}

/// A valid row, ready to be counted.
pub(crate) struct Scored {
    pub(crate) slot: usize,
    pub(crate) class: usize,
    pub(crate) units: u64,
    pub(crate) square_units: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

// === impl Counts ===

impl Counts {
    /// Empty counts in these bins.
    pub fn new(bins: &Bins) -> Self {
        let features = bins
            .features
            .iter()
            .map(|feature| FeatureCount {
                values: vec![0; feature.slots()],
                missing: 0,
                type_errors: 0,
            })
            .collect();
        let class = || ClassCount {
            values: vec![0; bins.score.slots()],
            sum: FixedSum::default(),
            sum_squares: FixedSum::default(),
        };
        Self {
            format: COUNTS_FORMAT,
            features: FeatureCounts {
                bins: bins.feature_fingerprint(),
                rows: 0,
                features,
            },
            score: ScoreCounts {
                bins: bins.score_fingerprint(),
                rows: 0,
                classes: [class(), class()],
            },
            aside: Aside::default(),
            refused: 0,
        }
    }

    /// Counts one row: a value for each feature in the order of the bins, the score, and the class in the answer.
    ///
    /// The bins must be those of these counts. Allocates nothing. On an error nothing is counted.
    pub fn add_row<R>(&mut self, bins: &Bins, row: R, score: f64, class: u8) -> Result<(), RowError>
    where
        R: IntoIterator<Item = Observed>,
        R::IntoIter: ExactSizeIterator + Clone,
    {
        let scored = Scored::new(bins, score, class)?;
        let row = row.into_iter();
        check_row(bins, row.clone())?;
        if !self.fits(bins) {
            return Err(RowError::OtherBins);
        }
        // No counter exceeds the number of rows, so this check is enough.
        if self.features.rows == u64::MAX || self.score.rows == u64::MAX {
            return Err(RowError::Full);
        }
        self.features.rows += 1;
        for ((count, feature), value) in self.features.features.iter_mut().zip(&bins.features).zip(row) {
            match feature.slot(value) {
                Ok(Slot::Value(slot)) => count.values[slot] += 1,
                Ok(Slot::Missing) | Err(_) => count.missing += 1,
            }
        }
        self.score.rows += 1;
        let class = &mut self.score.classes[scored.class];
        class.values[scored.slot] += 1;
        // At most 2⁶⁴ rows of 2³² units each, far below 2¹²⁸.
        class.sum.0 += u128::from(scored.units);
        class.sum_squares.0 += u128::from(scored.square_units);
        Ok(())
    }

    /// Counts a row that was refused because of a wrong type of the feature with this index.
    pub fn add_type_error(&mut self, feature: usize) -> Result<(), RowError> {
        let count = self
            .features
            .features
            .get_mut(feature)
            .ok_or(RowError::Feature(feature))?;
        count.type_errors = count.type_errors.checked_add(1).ok_or(RowError::Full)?;
        Ok(())
    }

    /// Whether every slot of the bins has a counter. Comparing fingerprints would take too long for each row.
    fn fits(&self, bins: &Bins) -> bool {
        let features = &self.features.features;
        features.len() == bins.features.len()
            && features
                .iter()
                .zip(&bins.features)
                .all(|(count, feature)| count.values.len() == feature.slots())
            && self
                .score
                .classes
                .iter()
                .all(|class| class.values.len() == bins.score.slots())
    }

    /// Number of counters, see [`Bins::counters`].
    pub fn counters(&self) -> usize {
        let features = self
            .features
            .features
            .iter()
            .map(|feature| feature.values.len() + 2);
        let scores = self.score.classes.iter().map(|class| class.values.len());
        features.chain(scores).sum()
    }

    /// The features with values outside of these bins in more than half of the rows. Later changes of such values are not detected.
    pub fn outside(&self, bins: &Bins) -> Vec<String> {
        let features = bins.features.iter().zip(&self.features.features);
        let is_outside = |(bins, count): &(&FeatureBins, &FeatureCount)| {
            let outside = bins.outside().filter_map(|slot| count.values.get(slot));
            outside.fold(0, |sum: u64, rows| sum.saturating_add(*rows)) > self.features.rows / 2
        };
        features
            .filter(is_outside)
            .map(|(bins, _)| bins.name.clone())
            .collect()
    }

    /// All answered rows, counted or aside, or `None` if the number does not fit into 64 bits.
    pub fn answered(&self) -> Option<u64> {
        let Aside {
            synthetic,
            repeated,
            over_limit,
        } = self.aside;
        [synthetic, repeated, over_limit]
            .into_iter()
            .try_fold(self.features.rows, u64::checked_add)
    }

    /// Adds counts of the same bins. On an error nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        for counts in [&*self, other] {
            if counts.format != COUNTS_FORMAT {
                return Err(CountsError::Format(counts.format));
            }
        }
        let mut sum = self.clone();
        sum.features.merge(&other.features)?;
        sum.score.merge(&other.score)?;
        let aside = &mut sum.aside;
        add(&mut aside.synthetic, other.aside.synthetic, "synthetic rows")?;
        add(&mut aside.repeated, other.aside.repeated, "repeated rows")?;
        add(
            &mut aside.over_limit,
            other.aside.over_limit,
            "rows over the limit",
        )?;
        add(&mut sum.refused, other.refused, "refused rows")?;
        *self = sum;
        Ok(())
    }

    /// Checks what serde cannot check: that these are counts of these bins. Call it on everything that was read.
    pub fn check(&self, bins: &Bins) -> Result<(), CountsError> {
        self.check_in(bins, bins.fingerprints())
    }

    /// [`Counts::check`] with known fingerprints of the bins ([`Bins::fingerprints`]). Computing them takes as long as the rest of
    /// a judgement.
    pub fn check_in(
        &self,
        bins: &Bins,
        (features, score): (Fingerprint, Fingerprint),
    ) -> Result<(), CountsError> {
        if self.format != COUNTS_FORMAT {
            return Err(CountsError::Format(self.format));
        }
        self.features.check(bins, features)?;
        self.score.check(bins, score)
    }
}

// === impl FeatureCounts ===

impl FeatureCounts {
    /// Adds counts of the same bins. On an error some of them may have been added.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        if self.bins != other.bins || self.features.len() != other.features.len() {
            return Err(CountsError::OtherBins("the features"));
        }
        add(&mut self.rows, other.rows, "rows")?;
        for (mine, theirs) in self.features.iter_mut().zip(&other.features) {
            add_all(&mut mine.values, &theirs.values, "the features")?;
            add(&mut mine.missing, theirs.missing, "missing values")?;
            add(&mut mine.type_errors, theirs.type_errors, "type errors")?;
        }
        Ok(())
    }

    pub(crate) fn check(&self, bins: &Bins, fingerprint: Fingerprint) -> Result<(), CountsError> {
        if self.bins != fingerprint {
            return Err(CountsError::OtherBins("the features"));
        }
        if self.features.len() != bins.features.len() {
            return Err(CountsError::Shape("the features".to_owned()));
        }
        for (count, feature) in self.features.iter().zip(&bins.features) {
            if count.values.len() != feature.slots() || count.seen().is_none() {
                return Err(CountsError::Shape(feature.name.clone()));
            }
        }
        Ok(())
    }
}

// === impl FeatureCount ===

impl FeatureCount {
    /// Rows with a value, or `None` if the number does not fit into 64 bits.
    pub fn present(&self) -> Option<u64> {
        self.values
            .iter()
            .try_fold(0, |sum: u64, count| sum.checked_add(*count))
    }

    /// Rows with or without a value, or `None` if the number does not fit into 64 bits.
    ///
    /// It may be less than the number of all rows, by the rows that were being counted when a process was killed.
    pub fn seen(&self) -> Option<u64> {
        self.present()?.checked_add(self.missing)
    }
}

// === impl ScoreCounts ===

impl ScoreCounts {
    /// Scores by slot, of both classes.
    pub fn by_slot(&self) -> impl Iterator<Item = u64> {
        let [zero, one] = &self.classes;
        zero.values
            .iter()
            .zip(&one.values)
            .map(|(a, b)| a.saturating_add(*b))
    }

    /// Mean and variance of all scores (divided by the number of scores). `None` without rows.
    pub fn mean_and_variance(&self) -> Option<(f64, f64)> {
        let [zero, one] = &self.classes;
        let scores = zero.len()?.checked_add(one.len()?)?;
        if scores == 0 {
            return None;
        }
        let mean = FixedSum(zero.sum.0.checked_add(one.sum.0)?).to_f64() / scores as f64;
        let square = FixedSum(zero.sum_squares.0.checked_add(one.sum_squares.0)?).to_f64() / scores as f64;
        // The mean of the rounded squares can be slightly below the squared mean.
        Some((mean, (square - mean * mean).max(0.0)))
    }

    fn merge(&mut self, other: &Self) -> Result<(), CountsError> {
        if self.bins != other.bins {
            return Err(CountsError::OtherBins("the scores"));
        }
        add(&mut self.rows, other.rows, "scores")?;
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            add_all(&mut mine.values, &theirs.values, "the scores")?;
            for (sum, more) in [
                (&mut mine.sum, theirs.sum),
                (&mut mine.sum_squares, theirs.sum_squares),
            ] {
                sum.0 = sum.0.checked_add(more.0).ok_or(CountsError::Overflow("scores"))?;
            }
        }
        Ok(())
    }

    fn check(&self, bins: &Bins, fingerprint: Fingerprint) -> Result<(), CountsError> {
        if self.bins != fingerprint {
            return Err(CountsError::OtherBins("the scores"));
        }
        let slots = bins.score.slots();
        let fits = |class: &ClassCount| class.values.len() == slots && class.len().is_some();
        if self.classes.iter().all(fits) {
            Ok(())
        } else {
            Err(CountsError::Shape("the scores".to_owned()))
        }
    }
}

impl ClassCount {
    /// Number of scores, or `None` if it does not fit into 64 bits.
    pub fn len(&self) -> Option<u64> {
        self.values
            .iter()
            .try_fold(0, |sum: u64, count| sum.checked_add(*count))
    }

    /// Whether no score was counted.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|count| *count == 0)
    }
}

// === impl Scored ===

impl Scored {
    #[inline]
    pub(crate) fn new(bins: &Bins, score: f64, class: u8) -> Result<Self, RowError> {
        // NaN is not in any range.
        if !(0.0..=1.0).contains(&score) {
            return Err(RowError::Score);
        }
        if class > 1 {
            return Err(RowError::Class(class));
        }
        // Scaling by a power of two is exact. `round` rounds halves away from zero on every machine.
        let units = (score * FixedSum::SCALE as f64).round() as u64;
        let half = u128::from(FixedSum::SCALE / 2);
        let square_units =
            ((u128::from(units) * u128::from(units) + half) / u128::from(FixedSum::SCALE)) as u64;
        Ok(Self {
            slot: bins.score.slot(score),
            class: usize::from(class),
            units,
            square_units,
        })
    }
}

/// Checks that every value of a row can be counted.
pub(crate) fn check_row<R>(bins: &Bins, row: R) -> Result<(), RowError>
where
    R: ExactSizeIterator<Item = Observed>,
{
    let (found, expected) = (row.len(), bins.features.len());
    if found != expected {
        return Err(RowError::Length { found, expected });
    }
    for (index, (feature, value)) in bins.features.iter().zip(row).enumerate() {
        feature.slot(value).map_err(|_| RowError::Kind(index))?;
    }
    Ok(())
}

fn add(sum: &mut u64, more: u64, what: &'static str) -> Result<(), CountsError> {
    *sum = sum.checked_add(more).ok_or(CountsError::Overflow(what))?;
    Ok(())
}

fn add_all(sums: &mut [u64], more: &[u64], what: &'static str) -> Result<(), CountsError> {
    if sums.len() != more.len() {
        return Err(CountsError::OtherBins(what));
    }
    sums.iter_mut()
        .zip(more)
        .try_for_each(|(sum, more)| add(sum, *more, what))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bins::{FeatureBins, ScoreBins};

    pub(crate) fn bins() -> Bins {
        let ages: Vec<f32> = (29..=77).map(|age| age as f32).collect();
        let scores: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        Bins::new(
            vec![
                FeatureBins::numeric("age", &ages).unwrap(),
                FeatureBins::categorical("cp", ["1", "2", "3"]),
            ],
            ScoreBins::from_out_of_fold(&scores).unwrap(),
        )
        .unwrap()
    }

    /// A row with its score and class.
    pub(crate) type Row = ([Observed; 2], f64, u8);

    pub(crate) fn rows(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Row>> {
        let number = prop_oneof![
            (0..100_u8).prop_map(|age| Observed::Number(f32::from(age))),
            Just(Observed::Missing),
            Just(Observed::Number(f32::NAN)),
        ];
        let word = prop_oneof![
            (0..3_u32).prop_map(Observed::Category),
            Just(Observed::NewCategory),
            Just(Observed::Missing),
        ];
        prop::collection::vec(
            ((number, word).prop_map(|(n, w)| [n, w]), 0.0..=1.0, 0..2_u8),
            count,
        )
    }

    pub(crate) fn count(rows: &[Row]) -> Counts {
        let bins = bins();
        let mut counts = Counts::new(&bins);
        for (row, score, class) in rows {
            counts.add_row(&bins, *row, *score, *class).unwrap();
        }
        counts
    }

    fn bytes(counts: &Counts) -> Vec<u8> {
        serde_json::to_vec(counts).unwrap()
    }

    #[test]
    fn a_row_that_cannot_be_counted_changes_nothing() {
        let bins = bins();
        let mut counts = Counts::new(&bins);
        let good = [Observed::Number(50.0), Observed::Category(0)];
        let bad = [good[0], good[0]];
        assert_eq!(counts.add_row(&bins, bad, 0.5, 1), Err(RowError::Kind(1)));
        assert_eq!(
            counts.add_row(&bins, [good[0]], 0.5, 1),
            Err(RowError::Length {
                found: 1,
                expected: 2
            })
        );
        for score in [f64::NAN, -0.1, 1.1] {
            assert_eq!(counts.add_row(&bins, good, score, 1), Err(RowError::Score));
        }
        assert_eq!(counts.add_row(&bins, good, 0.5, 2), Err(RowError::Class(2)));
        assert_eq!(counts.add_type_error(2), Err(RowError::Feature(2)));
        assert_eq!(counts, Counts::new(&bins));
    }

    #[test]
    fn a_full_counter_is_an_error_and_never_a_wrap() {
        let bins = bins();
        let mut full = count(&[([Observed::Number(50.0), Observed::Category(0)], 0.5, 1)]);
        full.features.rows = u64::MAX;
        let before = full.clone();
        let row = [Observed::Missing, Observed::Missing];
        assert_eq!(full.add_row(&bins, row, 0.5, 1), Err(RowError::Full));
        assert_eq!(full.merge(&before), Err(CountsError::Overflow("rows")));
        assert_eq!(full, before);
        full.aside.synthetic = 1;
        assert_eq!(full.answered(), None);
    }

    #[test]
    fn counts_of_other_bins_are_not_added() {
        let mut other_bins = bins();
        other_bins.features[1] = FeatureBins::categorical("cp", ["1", "2", "4"]);
        let mut counts = Counts::new(&bins());
        let other = Counts::new(&other_bins);
        assert_eq!(counts.merge(&other), Err(CountsError::OtherBins("the features")));
        assert!(counts.check(&bins()).is_ok());
        assert!(counts.check(&other_bins).is_err());
        counts.features.features[0].values.push(0);
        assert_eq!(counts.check(&bins()), Err(CountsError::Shape("age".into())));
    }

    #[test]
    fn unknown_formats_are_refused() {
        let mut counts = Counts::new(&bins());
        counts.format = 2;
        assert_eq!(counts.check(&bins()), Err(CountsError::Format(2)));
        let mut good = Counts::new(&bins());
        assert_eq!(good.merge(&counts), Err(CountsError::Format(2)));
    }

    #[test]
    fn the_mean_and_the_variance_come_from_the_fixed_point_sums() {
        let row = [Observed::Missing, Observed::Missing];
        let counts = count(&[(row, 0.25, 0), (row, 0.75, 1), (row, 1.0, 1), (row, 0.0, 0)]);
        assert_eq!(counts.score.mean_and_variance(), Some((0.5, 0.156_25)));
        assert_eq!(Counts::new(&bins()).score.mean_and_variance(), None);
    }

    proptest! {
        #[test]
        fn any_split_over_any_number_of_pods_in_any_order_has_the_same_bytes(
            (rows, pods, order) in rows(0..120).prop_flat_map(|rows| {
                let pods = prop::collection::vec(0..64_usize, rows.len());
                (Just(rows), pods, Just((0..64_usize).collect::<Vec<_>>()).prop_shuffle())
            }),
        ) {
            let whole = count(&rows);
            let split: Vec<Counts> = (0..64)
                .map(|pod| {
                    let mine: Vec<Row> =
                        rows.iter().zip(&pods).filter(|(_, at)| **at == pod).map(|(row, _)| *row).collect();
                    count(&mine)
                })
                .collect();
            let mut merged = Counts::new(&bins());
            for pod in &order {
                merged.merge(&split[*pod]).unwrap();
            }
            prop_assert_eq!(bytes(&merged), bytes(&whole));
        }

        #[test]
        fn merging_is_associative_and_commutative(a in rows(0..30), b in rows(0..30), c in rows(0..30)) {
            let [a, b, c] = [a, b, c].map(|rows| count(&rows));
            let sum = |x: &Counts, y: &Counts| {
                let mut sum = x.clone();
                sum.merge(y).unwrap();
                sum
            };
            prop_assert_eq!(bytes(&sum(&sum(&a, &b), &c)), bytes(&sum(&a, &sum(&b, &c))));
            prop_assert_eq!(bytes(&sum(&a, &b)), bytes(&sum(&b, &a)));
            prop_assert_eq!(bytes(&sum(&a, &Counts::new(&bins()))), bytes(&a));
        }

        #[test]
        fn every_row_is_in_one_bin_of_each_feature_and_counts_survive_their_bytes(rows in rows(0..50)) {
            let counts = count(&rows);
            for feature in &counts.features.features {
                prop_assert_eq!(feature.seen(), Some(rows.len() as u64));
            }
            prop_assert_eq!(counts.score.by_slot().sum::<u64>(), rows.len() as u64);
            let back: Counts = serde_json::from_slice(&bytes(&counts)).unwrap();
            prop_assert_eq!(bytes(&back), bytes(&counts));
            prop_assert!(back.check(&bins()).is_ok());
        }
    }
}
