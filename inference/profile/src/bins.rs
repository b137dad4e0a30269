//! Bins that are frozen when a model is trained.
//!
//! A numeric feature:
//!
//! ```text
//!    below │ first bin │ second bin │ …  │ last bin │ above          and beside them: missing, type errors
//!  ────────┼───────────┼────────────┼────┼──────────┼────────
//!         min        cut 1        cut 2            max
//!  x < min │ min ≤ x < cut 1        …      cut k ≤ x ≤ max │ max < x
//! ```
//!
//! A bin is half open: it includes its lower end but not its upper one, except for the last bin, which includes the
//! maximum of the training data. A categorical feature has one bin for each category and one for all categories that are
//! not in the training data. The first and the last bin of the scores are open-ended.

use serde::{Deserialize, Serialize};

use crate::number::Exact;

/// The format that this code writes and reads.
pub const BINS_FORMAT: u32 = 1;

/// Rows of the training data for each bin, so that the noise of the reference in a bin is small.
const ROWS_A_BIN: usize = 30;
const MIN_BINS: usize = 4;
const MAX_BINS: usize = 64;

/// A numeric column with at most this many distinct values has codes or small counts. Each value gets a bin.
const FEW_VALUES: usize = 10;

/// The bins of a model's features, in the order of the model, and of its score. The content of a bundle's bins file.
///
/// Numbers are decimal text that parses to the same bits, so equal bins have equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bins {
    /// [`BINS_FORMAT`].
    pub format: u32,
    /// One entry for each feature. Names are unique.
    pub features: Vec<FeatureBins>,
    /// The bins of the score, a probability.
    pub score: ScoreBins,
}

/// The bins of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureBins {
    /// The feature's name.
    pub name: String,
    /// How its values are binned.
    pub bins: BinKind,
}

/// How the values of a feature are distinguished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum BinKind {
    /// By intervals. Slots: `below`, one for each interval, `above`.
    Numeric {
        /// Minimum and maximum of the training data. Absent if it has no value; then every value is `above`.
        range: Option<(Exact<f32>, Exact<f32>)>,
        /// Where one bin ends and the next begins: increasing, above the minimum, at most the maximum.
        cuts: Vec<Exact<f32>>,
    },
    /// By category. Slots: one for each category, in this order, and one for all others.
    Categorical {
        /// The categories of the training data, without duplicates.
        categories: Vec<String>,
    },
}

/// The bins of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoreBins {
    /// Where one bin ends and the next begins: increasing, each in (0, 1]. A score that equals a cut is in the upper bin.
    pub cuts: Vec<Exact<f64>>,
}

/// The value of one feature in one row, as it was scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observed {
    /// A number of a numeric feature. NaN counts as missing, an infinite number as out of range.
    Number(f32),
    /// Index of a category of a categorical feature.
    Category(u32),
    /// A category that is not in the training data.
    NewCategory,
    /// No value.
    Missing,
}

/// Where a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The slot of a present value, as in [`BinKind`].
    Value(usize),
    /// The null bin.
    Missing,
}

/// 64 bits that identify bins, because counts of different bins must not be added.
///
/// It protects against mistakes, not against attackers. Artifacts are addressed by a [`modelward_wire::Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(u64);

/// What is wrong with bins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinsError {
    /// They have a format that this program does not know.
    #[error("bins have format {0}, this program reads format {BINS_FORMAT}")]
    Format(u32),
    /// There are no features.
    #[error("bins name no feature; give one column at least")]
    Empty,
    /// Two features have the same name, or one has none.
    #[error("feature name {0:?} is empty, or is in the bins twice")]
    Name(String),
    /// The cuts are not increasing, or are outside of the range.
    #[error("bins of {0:?} have cuts that do not increase from above the minimum to at most the maximum")]
    Cuts(String),
    /// A category is there twice.
    #[error("bins of {0:?} have category {1:?} twice")]
    Category(String, String),
    /// A column has an infinite number.
    #[error("column {0:?} has an infinite number; use finite numbers, and NaN for missing values")]
    Infinite(String),
    /// A score is not a probability.
    #[error("out-of-fold score {index} is {value}; scores are probabilities from 0 to 1")]
    Score {
        /// Its index, from 0.
        index: usize,
        /// The score as text.
        value: String,
    },
    /// A string is not a fingerprint.
    #[error("{0:?} is not a fingerprint; it must be 16 lower-case hexadecimal digits")]
    Fingerprint(String),
}

/// Why a value cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value does not belong to the feature's kind")]
pub struct WrongKind;

// === impl Bins ===

impl Bins {
    /// Checked bins of these features, in the order of the model.
    pub fn new(features: Vec<FeatureBins>, score: ScoreBins) -> Result<Self, BinsError> {
        let bins = Self {
            format: BINS_FORMAT,
            features,
            score,
        };
        bins.check()?;
        Ok(bins)
    }

    /// Number of counters of [`Counts`](crate::Counts) in these bins: the slots, missing values and type errors of each feature, and the
    /// score slots of both classes.
    pub fn counters(&self) -> usize {
        let features = self.features.iter().map(|feature| feature.slots() + 2);
        features.sum::<usize>() + 2 * self.score.slots()
    }

    /// The fingerprints of the features and of the score.
    pub fn fingerprints(&self) -> (Fingerprint, Fingerprint) {
        (self.feature_fingerprint(), self.score_fingerprint())
    }

    /// Checks what serde cannot check. Call it on everything that was read.
    pub fn check(&self) -> Result<(), BinsError> {
        if self.format != BINS_FORMAT {
            return Err(BinsError::Format(self.format));
        }
        if self.features.is_empty() {
            return Err(BinsError::Empty);
        }
        let mut names: Vec<_> = self
            .features
            .iter()
            .map(|feature| feature.name.as_str())
            .collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BinsError::Name(twice[0].to_owned()));
        }
        if names.first().is_some_and(|name| name.is_empty()) {
            return Err(BinsError::Name(String::new()));
        }
        self.features.iter().try_for_each(FeatureBins::check)?;
        let cuts: Vec<f64> = self.score.cuts.iter().map(|cut| cut.get()).collect();
        let inside = cuts.iter().all(|cut| *cut > 0.0 && *cut <= 1.0);
        if !inside || !rising(&cuts) {
            return Err(BinsError::Cuts("the score".to_owned()));
        }
        Ok(())
    }

    /// Identifies the bins of the features: their names, order, cuts and categories.
    pub fn feature_fingerprint(&self) -> Fingerprint {
        let mut hash = Fnv::new();
        for feature in &self.features {
            hash.text(&feature.name);
            match &feature.bins {
                BinKind::Numeric { range, cuts } => {
                    hash.byte(b'n');
                    let ends = range.iter().flat_map(|(min, max)| [min, max]);
                    for number in ends.chain(cuts) {
                        hash.byte(b'c');
                        hash.bytes(&number.get().to_bits().to_le_bytes());
                    }
                }
                BinKind::Categorical { categories } => {
                    hash.byte(b'w');
                    for category in categories {
                        hash.text(category);
                    }
                }
            }
            hash.byte(b';');
        }
        hash.end()
    }

    /// Identifies the bins of the score.
    pub fn score_fingerprint(&self) -> Fingerprint {
        let mut hash = Fnv::new();
        for cut in &self.score.cuts {
            hash.bytes(&cut.get().to_bits().to_le_bytes());
        }
        hash.end()
    }
}

// === impl FeatureBins ===

impl FeatureBins {
    /// Bins of a numeric column of the training data. NaN is a missing value.
    ///
    /// Like [`Self::chosen_by`] with all values.
    pub fn numeric(name: &str, values: &[f32]) -> Result<Self, BinsError> {
        Self::chosen_by(name, values, values)
    }

    /// Bins of a numeric column with the range of `values`, cut at the quantiles of `choosing`, which is a part of them.
    ///
    /// With N present values there are at most B = clamp(N/30, 4, 64) bins of about N/B values each. A value that fills a bin
    /// alone has its own bin. Equal values are never in two bins. A column with at most max(B, 10) distinct choosing values has
    /// one bin for each, a constant column has one bin, and a column without values has none.
    pub fn chosen_by(name: &str, values: &[f32], choosing: &[f32]) -> Result<Self, BinsError> {
        let sorted = |values: &[f32]| {
            let mut present: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            present.sort_unstable_by(f32::total_cmp);
            present
        };
        let (present, choosing) = (sorted(values), sorted(choosing));
        let number = |value: f32| Exact::new(value).ok_or_else(|| BinsError::Infinite(name.to_owned()));
        let range = match (present.first(), present.last()) {
            (Some(min), Some(max)) => Some((number(*min)?, number(*max)?)),
            _ => None,
        };
        let cuts = quantile_cuts(&choosing, present.len())
            .into_iter()
            .map(number)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            bins: BinKind::Numeric { range, cuts },
        })
    }

    /// Bins of a categorical feature: its categories, in the order of the schema.
    pub fn categorical(name: &str, categories: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.to_owned(),
            bins: BinKind::Categorical {
                categories: categories.into_iter().map(Into::into).collect(),
            },
        }
    }

    /// Slots of present values: see [`BinKind`].
    pub fn slots(&self) -> usize {
        match &self.bins {
            BinKind::Numeric { range: None, .. } => 2,
            BinKind::Numeric { cuts, .. } => cuts.len() + 3,
            BinKind::Categorical { categories } => categories.len() + 1,
        }
    }

    /// Whether adjacent slots have adjacent values.
    pub fn is_ordered(&self) -> bool {
        matches!(self.bins, BinKind::Numeric { .. })
    }

    /// The slots of values outside of the training data: below and above, or new categories.
    pub fn outside(&self) -> impl Iterator<Item = usize> + use<> {
        let last = self.slots() - 1;
        let first = match &self.bins {
            BinKind::Numeric { .. } => Some(0),
            BinKind::Categorical { .. } => None,
        };
        first.into_iter().chain([last])
    }

    /// Where a value is counted.
    #[inline]
    pub fn slot(&self, value: Observed) -> Result<Slot, WrongKind> {
        match (&self.bins, value) {
            (_, Observed::Missing) => Ok(Slot::Missing),
            (BinKind::Numeric { range, cuts }, Observed::Number(number)) => {
                if number.is_nan() {
                    return Ok(Slot::Missing);
                }
                let Some((min, max)) = range else {
                    return Ok(Slot::Value(1));
                };
                Ok(Slot::Value(if number < min.get() {
                    0
                } else if number > max.get() {
                    cuts.len() + 2
                } else {
                    1 + cuts.partition_point(|cut| cut.get() <= number)
                }))
            }
            (BinKind::Categorical { categories }, Observed::NewCategory) => Ok(Slot::Value(categories.len())),
            (BinKind::Categorical { categories }, Observed::Category(index)) => {
                let index = index as usize;
                if index < categories.len() {
                    Ok(Slot::Value(index))
                } else {
                    Err(WrongKind)
                }
            }
            (BinKind::Numeric { .. }, Observed::Category(_) | Observed::NewCategory)
            | (BinKind::Categorical { .. }, Observed::Number(_)) => Err(WrongKind),
        }
    }

    fn check(&self) -> Result<(), BinsError> {
        match &self.bins {
            BinKind::Numeric { range, cuts } => {
                let cuts: Vec<f32> = cuts.iter().map(|cut| cut.get()).collect();
                let inside = match range {
                    None => cuts.is_empty(),
                    Some((min, max)) => {
                        min.get() <= max.get() && cuts.iter().all(|cut| *cut > min.get() && *cut <= max.get())
                    }
                };
                if inside && rising(&cuts) {
                    Ok(())
                } else {
                    Err(BinsError::Cuts(self.name.clone()))
                }
            }
            BinKind::Categorical { categories } => {
                let mut sorted: Vec<_> = categories.iter().collect();
                sorted.sort_unstable();
                match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(twice) => Err(BinsError::Category(self.name.clone(), twice[0].clone())),
                    None => Ok(()),
                }
            }
        }
    }
}

// === impl ScoreBins ===

impl ScoreBins {
    /// Bins of out-of-fold scores, chosen like those of a numeric feature.
    ///
    /// The scores must be out of fold. A model's scores of the rows that it was fitted on are more extreme than those of
    /// other rows, and every window would look drifted in comparison.
    pub fn from_out_of_fold(scores: &[f64]) -> Result<Self, BinsError> {
        let bad = scores.iter().position(|score| !(0.0..=1.0).contains(score));
        if let Some(index) = bad {
            let value = scores[index].to_string();
            return Err(BinsError::Score { index, value });
        }
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        // All scores are finite, so none is filtered out.
        let cuts = quantile_cuts(&sorted, sorted.len())
            .into_iter()
            .filter_map(Exact::new)
            .collect();
        Ok(Self { cuts })
    }

    /// Slots of scores.
    pub fn slots(&self) -> usize {
        self.cuts.len() + 1
    }

    /// The slot of a score.
    #[inline]
    pub fn slot(&self, score: f64) -> usize {
        self.cuts.partition_point(|cut| cut.get() <= score)
    }
}

fn rising<T: PartialOrd>(cuts: &[T]) -> bool {
    cuts.windows(2).all(|pair| pair[0] < pair[1])
}

/// Whether this row of the training data, counted from 0, is used to choose the cuts of numeric features and the categories of
/// categorical ones. This is true for half of the rows, pseudorandomly, so that it does not depend on the order of the data
/// (SplitMix64, Steele, Lea and Flood 2014). The other rows determine how full the bins are.
pub fn chooses_bins(row: usize) -> bool {
    let mut bits = (row as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) & 1 == 0
}

/// Cuts of sorted values, as many as fit this number of `rows`: values at which a new bin begins, except for the first value.
///
/// It iterates over the distinct values and closes a bin when that brings it closest to an equal share of the remaining
/// values, so that a frequent value does not leave the following bins empty. It uses only integers, so nothing is rounded.
fn quantile_cuts<T: Copy + PartialOrd>(sorted: &[T], rows: usize) -> Vec<T> {
    let runs: Vec<(T, usize)> = sorted
        .chunk_by(|a, b| a == b)
        .map(|run| (run[0], run.len()))
        .collect();
    let most = (rows / ROWS_A_BIN).clamp(MIN_BINS, MAX_BINS);
    if runs.len() <= most.max(FEW_VALUES) {
        return runs.iter().skip(1).map(|(value, _)| *value).collect();
    }
    let mut cuts = Vec::with_capacity(most);
    let (mut left, mut bins_left, mut held) = (sorted.len(), most, 0);
    for (index, (value, count)) in runs.iter().enumerate() {
        // With the share s = left / bins_left: held + count - s > s - held, so it is better to close the bin before this value.
        if held > 0 && bins_left > 1 && (2 * held + count) * bins_left > 2 * left {
            cuts.push(*value);
            left -= held;
            bins_left -= 1;
            held = 0;
        }
        held += count;
        if held * bins_left >= left
            && bins_left > 1
            && let Some((next, _)) = runs.get(index + 1)
        {
            cuts.push(*next);
            left -= held;
            bins_left -= 1;
            held = 0;
        }
    }
    cuts
}

// === impl Fingerprint ===

/// FNV-1a in 64 bits.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    const fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0100_0000_01b3);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// The length comes first, so that the boundary between two texts is unambiguous.
    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    const fn end(self) -> Fingerprint {
        Fingerprint(self.0)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        format!("{:016x}", fingerprint.0)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = BinsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = text.len() == 16
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match u64::from_str_radix(&text, 16) {
            Ok(bits) if plain => Ok(Self(bits)),
            _ => Err(BinsError::Fingerprint(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cuts_of(values: &[f32]) -> Vec<f32> {
        match FeatureBins::numeric("x", values).unwrap().bins {
            BinKind::Numeric { cuts, .. } => cuts.iter().map(|cut| cut.get()).collect(),
            BinKind::Categorical { .. } => unreachable!(),
        }
    }

    fn slot(bins: &FeatureBins, value: f32) -> usize {
        match bins.slot(Observed::Number(value)).unwrap() {
            Slot::Value(slot) => slot,
            Slot::Missing => panic!("{value} is missing"),
        }
    }

    #[test]
    fn there_is_one_bin_for_thirty_rows_from_four_to_sixty_four() {
        for (rows, bins) in [(40, 4), (119, 4), (300, 10), (1920, 64), (50_000, 64)] {
            let values: Vec<f32> = (0..rows).map(|i| i as f32).collect();
            assert_eq!(cuts_of(&values).len() + 1, bins, "{rows} rows");
        }
    }

    #[test]
    fn few_distinct_values_have_a_bin_each() {
        let values: Vec<f32> = (0..303).map(|i| [3.0, 6.0, 7.0][i % 3]).collect();
        assert_eq!(cuts_of(&values), [6.0, 7.0]);
    }

    #[test]
    fn a_bin_holds_its_lower_end_and_the_last_one_its_upper_end_too() {
        let bins = FeatureBins::numeric("x", &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(bins.slots(), 5);
        let slots = [0.9, 1.0, 1.9, 2.0, 3.0, 3.1, f32::INFINITY, f32::NEG_INFINITY].map(|x| slot(&bins, x));
        assert_eq!(slots, [0, 1, 1, 2, 3, 4, 4, 0]);
    }

    #[test]
    fn a_heavy_value_has_a_bin_to_itself_and_the_others_share_the_rest() {
        // A third of the values is zero, like the depression of an ST segment.
        let values: Vec<f32> = (0..300).map(|i| if i < 100 { 0.0 } else { i as f32 }).collect();
        let cuts = cuts_of(&values);
        assert_eq!(cuts[0], 100.0);
        assert_eq!(cuts.len() + 1, 10);
        let widest = cuts.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f32::max);
        assert!(widest <= 23.0, "{cuts:?}");
    }

    #[test]
    fn a_constant_column_has_one_bin_and_an_empty_one_none() {
        let constant = FeatureBins::numeric("x", &[5.0, 5.0, f32::NAN]).unwrap();
        assert_eq!([4.0, 5.0, 6.0].map(|x| slot(&constant, x)), [0, 1, 2]);
        let empty = FeatureBins::numeric("x", &[f32::NAN]).unwrap();
        assert_eq!(slot(&empty, 5.0), empty.slots() - 1);
        assert_eq!(empty.slot(Observed::Number(f32::NAN)), Ok(Slot::Missing));
    }

    #[test]
    fn a_word_that_training_never_saw_has_a_bin() {
        let bins = FeatureBins::categorical("x", ["a", "b"]);
        assert_eq!(bins.slot(Observed::Category(1)), Ok(Slot::Value(1)));
        assert_eq!(bins.slot(Observed::NewCategory), Ok(Slot::Value(2)));
        assert_eq!(bins.slot(Observed::Category(2)), Err(WrongKind));
        assert_eq!(bins.slot(Observed::Number(1.0)), Err(WrongKind));
        assert_eq!(bins.outside().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_infinite_number_and_a_score_that_is_no_probability_are_refused() {
        assert!(FeatureBins::numeric("x", &[f32::INFINITY]).is_err());
        for score in [-0.1, 1.1, f64::NAN] {
            assert!(ScoreBins::from_out_of_fold(&[0.5, score]).is_err(), "{score}");
        }
    }

    #[test]
    fn bins_that_were_changed_by_hand_are_refused() {
        let score = || ScoreBins::from_out_of_fold(&[0.1, 0.9]).unwrap();
        let good = Bins::new(
            vec![FeatureBins::numeric("x", &[1.0, 2.0, 3.0]).unwrap()],
            score(),
        )
        .unwrap();
        let text = serde_json::to_string(&good).unwrap();
        for (from, to) in [
            ("\"format\":1", "\"format\":2"),
            ("[\"2\",\"3\"]", "[\"3\",\"2\"]"),
            ("[\"2\",\"3\"]", "[\"2\",\"4\"]"),
            ("\"name\":\"x\"", "\"name\":\"\""),
            ("[\"0.9\"]", "[\"1.5\"]"),
        ] {
            assert!(text.contains(from), "{from} in {text}");
            let changed: Bins = serde_json::from_str(&text.replace(from, to)).unwrap();
            assert!(changed.check().is_err(), "{from} -> {to}");
        }
        let twice = vec![
            FeatureBins::categorical("x", ["a"]),
            FeatureBins::categorical("x", ["a"]),
        ];
        assert_eq!(Bins::new(twice, score()), Err(BinsError::Name("x".into())));
    }

    proptest! {
        #[test]
        fn bins_of_any_column_are_sound_hold_its_values_and_survive_their_bytes(
            values in prop::collection::vec(prop_oneof![any::<f32>(), (0..12_u8).prop_map(f32::from)], 0..400),
        ) {
            let feature = FeatureBins::numeric("x", &values).unwrap();
            let bins = Bins::new(vec![feature], ScoreBins::from_out_of_fold(&[]).unwrap()).unwrap();
            let feature = &bins.features[0];
            for value in values.iter().filter(|value| !value.is_nan()) {
                let slot = slot(feature, *value);
                prop_assert!(slot > 0 && slot < feature.slots() - 1);
            }
            prop_assert!(feature.slots() <= MAX_BINS + 2);
            let bytes = serde_json::to_vec(&bins).unwrap();
            let back: Bins = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(serde_json::to_vec(&back).unwrap(), bytes);
            prop_assert_eq!(back.feature_fingerprint(), bins.feature_fingerprint());
            prop_assert_eq!(back, bins);
        }

        #[test]
        fn the_order_of_the_rows_does_not_matter(mut values in prop::collection::vec(-50_i8..50, 1..300)) {
            let floats = |values: &[i8]| values.iter().map(|v| f32::from(*v)).collect::<Vec<_>>();
            let one = FeatureBins::numeric("x", &floats(&values)).unwrap();
            values.reverse();
            prop_assert_eq!(one, FeatureBins::numeric("x", &floats(&values)).unwrap());
        }

        #[test]
        fn without_ties_no_bin_is_twice_as_full_as_its_share(rows in 120_usize..3000) {
            let values: Vec<f32> = (0..rows).map(|i| i as f32).collect();
            let bins = FeatureBins::numeric("x", &values).unwrap();
            let mut counts = vec![0_usize; bins.slots()];
            for value in &values {
                counts[slot(&bins, *value)] += 1;
            }
            let inner = &counts[1..counts.len() - 1];
            let share = rows / inner.len();
            prop_assert!(inner.iter().all(|count| (share..=share + 1).contains(count)), "{:?}", inner);
        }
    }
}
