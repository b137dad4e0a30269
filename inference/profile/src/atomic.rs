//! Counts that request threads add to concurrently.
//!
//! Every counter is an `AtomicU64` in one flat slice of words, so that the slice can also be a mapped file that outlives
//! the process:
//!
//! ```text
//! rows │ synthetic │ repeated │ over limit │ refused │ for each feature: slots…, missing, type errors │
//! class 0: slots…, sum, sum of squares │ class 1: slots…, sum, sum of squares
//! ```
//!
//! Counting a row takes a few relaxed additions: no lock, no wait, no allocation. A row is counted before it is
//! answered, so at any moment, even after a kill, answered ≤ counted ≤ answered + in flight. A snapshot is exact if no
//! request is in flight. Otherwise its features may differ by the rows in flight.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    bins::{Bins, Observed, Slot},
    counts::{Counts, RowError, Scored, check_row},
    number::FixedSum,
};

/// Maximum number of rows of one set of counters. Later rows are counted as `aside.overLimit` and are in no bin.
///
/// A sum of this many scores of 2³² units each stays below 2⁶⁴, with room for a million threads that pass the check
/// at the same instant. So no counter can wrap around.
pub const ROW_LIMIT: u64 = (1 << 32) - (1 << 20);

/// Number of words before those of the first feature.
const HEADER: usize = 5;
const ROWS: usize = 0;
const SYNTHETIC: usize = 1;
const REPEATED: usize = 2;
const OVER_LIMIT: usize = 3;
const REFUSED: usize = 4;

/// Counters that any number of threads may add to.
#[derive(Debug)]
pub struct AtomicCounts<S = Box<[AtomicU64]>> {
    bins: Arc<Bins>,
    /// The offset of each feature's words, and, last, the offset of the words of the scores.
    offsets: Box<[usize]>,
    words: S,
}

/// Where a row was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// In the bins.
    Row,
    /// Beyond [`ROW_LIMIT`]: only in `aside.overLimit`.
    OverLimit,
}

/// The storage does not have the number of words that the bins need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the storage of the counters has {found} words, these bins need {expected}")]
pub struct StorageError {
    /// Words of the storage.
    pub found: usize,
    /// Words according to [`AtomicCounts::words`].
    pub expected: usize,
}

// === impl AtomicCounts ===

impl AtomicCounts {
    /// Counters at zero, in newly allocated memory.
    pub fn new(bins: Arc<Bins>) -> Self {
        let words = (0..Self::words(&bins)).map(|_| AtomicU64::new(0)).collect();
        let offsets = offsets(&bins);
        Self { bins, offsets, words }
    }

    /// Number of words that counters of these bins need.
    pub fn words(bins: &Bins) -> usize {
        // Each class also has two sums.
        HEADER + bins.counters() + 2 * 2
    }
}

impl<S: AsRef<[AtomicU64]>> AtomicCounts<S> {
    /// Counters in words that the caller provides. They continue from the values there, which are zero at first.
    ///
    /// The words must have been written by counters of the same bins. If they outlive the process, store
    /// [`Bins::feature_fingerprint`] and [`Bins::score_fingerprint`] with them.
    pub fn over(bins: Arc<Bins>, words: S) -> Result<Self, StorageError> {
        let (found, expected) = (words.as_ref().len(), AtomicCounts::words(&bins));
        if found != expected {
            return Err(StorageError { found, expected });
        }
        let offsets = offsets(&bins);
        Ok(Self { bins, offsets, words })
    }

    /// The bins.
    pub fn bins(&self) -> &Arc<Bins> {
        &self.bins
    }

    /// Counts one row: a value for each feature in the order of the bins, the score, and the class in the answer.
    ///
    /// Allocates nothing and never waits. On an error nothing is counted.
    pub fn add_row<R>(&self, row: R, score: f64, class: u8) -> Result<Counted, RowError>
    where
        R: IntoIterator<Item = Observed>,
        R::IntoIter: ExactSizeIterator + Clone,
    {
        let words = self.words.as_ref();
        let scored = Scored::new(&self.bins, score, class)?;
        let row = row.into_iter();
        check_row(&self.bins, row.clone())?;
        if words[ROWS].load(Relaxed) >= ROW_LIMIT {
            words[OVER_LIMIT].fetch_add(1, Relaxed);
            return Ok(Counted::OverLimit);
        }
        words[ROWS].fetch_add(1, Relaxed);
        for ((feature, offset), value) in self.bins.features.iter().zip(&self.offsets).zip(row) {
            let slot = match feature.slot(value) {
                Ok(Slot::Value(slot)) => slot,
                Ok(Slot::Missing) | Err(_) => feature.slots(),
            };
            words[offset + slot].fetch_add(1, Relaxed);
        }
        let slots = self.bins.score.slots();
        let at = self.offsets[self.bins.features.len()] + scored.class * (slots + 2);
        words[at + scored.slot].fetch_add(1, Relaxed);
        words[at + slots].fetch_add(scored.units, Relaxed);
        words[at + slots + 1].fetch_add(scored.square_units, Relaxed);
        Ok(Counted::Row)
    }

    /// Counts a row that was refused because of a wrong type of the feature with this index.
    pub fn add_type_error(&self, feature: usize) -> Result<(), RowError> {
        let bins = self
            .bins
            .features
            .get(feature)
            .ok_or(RowError::Feature(feature))?;
        // At a billion per second it takes five hundred years to exceed 2⁶⁴.
        self.words.as_ref()[self.offsets[feature] + bins.slots() + 1].fetch_add(1, Relaxed);
        Ok(())
    }

    /// Counts an answered row that is marked as synthetic.
    pub fn add_synthetic(&self) {
        self.words.as_ref()[SYNTHETIC].fetch_add(1, Relaxed);
    }

    /// Counts an answered row with an entity that was already counted in this window.
    pub fn add_repeated(&self) {
        self.words.as_ref()[REPEATED].fetch_add(1, Relaxed);
    }

    /// Counts rows that were refused for a reason other than the type of a value.
    pub fn add_refused(&self, rows: u64) {
        self.words.as_ref()[REFUSED].fetch_add(rows, Relaxed);
    }

    /// The current counts. They are exact once no thread adds any more.
    pub fn snapshot(&self) -> Counts {
        let words = self.words.as_ref();
        let read = |at: usize| words[at].load(Relaxed);
        let mut counts = Counts::new(&self.bins);
        for (count, offset) in counts.features.features.iter_mut().zip(&self.offsets) {
            let slots = count.values.len();
            (0..slots).for_each(|slot| count.values[slot] = read(offset + slot));
            count.missing = read(offset + slots);
            count.type_errors = read(offset + slots + 1);
        }
        let mut at = self.offsets[self.bins.features.len()];
        for class in &mut counts.score.classes {
            let slots = class.values.len();
            (0..slots).for_each(|slot| class.values[slot] = read(at + slot));
            class.sum = FixedSum(u128::from(read(at + slots)));
            class.sum_squares = FixedSum(u128::from(read(at + slots + 1)));
            at += slots + 2;
        }
        counts.features.rows = read(ROWS);
        counts.score.rows = read(ROWS);
        counts.aside.synthetic = read(SYNTHETIC);
        counts.aside.repeated = read(REPEATED);
        counts.aside.over_limit = read(OVER_LIMIT);
        counts.refused = read(REFUSED);
        counts
    }
}

fn offsets(bins: &Bins) -> Box<[usize]> {
    let mut next = HEADER;
    let mut offsets = Vec::with_capacity(bins.features.len() + 1);
    for feature in &bins.features {
        offsets.push(next);
        next += feature.slots() + 2;
    }
    offsets.push(next);
    offsets.into()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::counts::tests::{bins, count, rows};

    #[test]
    fn threads_that_add_at_the_same_time_lose_nothing() {
        let atomic = AtomicCounts::new(Arc::new(bins()));
        let row = |i: u32| {
            let age = Observed::Number((i % 90) as f32);
            let word = if i.is_multiple_of(7) {
                Observed::Missing
            } else {
                Observed::Category(i % 3)
            };
            ([age, word], f64::from(i % 101) / 100.0, (i % 2) as u8)
        };
        thread::scope(|scope| {
            for part in 0..4 {
                let atomic = &atomic;
                scope.spawn(move || {
                    for i in (0..20_000).filter(|i| i % 4 == part) {
                        let (row, score, class) = row(i);
                        assert_eq!(atomic.add_row(row, score, class), Ok(Counted::Row));
                    }
                });
            }
        });
        let all: Vec<_> = (0..20_000).map(row).collect();
        assert_eq!(atomic.snapshot(), count(&all));
    }

    #[test]
    fn beyond_the_limit_a_row_is_counted_aside() {
        let atomic = AtomicCounts::new(Arc::new(bins()));
        atomic.words[ROWS].store(ROW_LIMIT - 1, Relaxed);
        let row = [Observed::Missing, Observed::Missing];
        assert_eq!(atomic.add_row(row, 1.0, 1), Ok(Counted::Row));
        assert_eq!(atomic.add_row(row, 1.0, 1), Ok(Counted::OverLimit));
        let counts = atomic.snapshot();
        assert_eq!((counts.features.rows, counts.aside.over_limit), (ROW_LIMIT, 1));
        assert_eq!(counts.answered(), Some(ROW_LIMIT + 1));
        assert!(u128::from(ROW_LIMIT + (1 << 20)) * u128::from(FixedSum::SCALE) <= 1 << 64);
    }

    #[test]
    fn rows_aside_and_type_errors_are_in_no_bin() {
        let atomic = AtomicCounts::new(Arc::new(bins()));
        atomic.add_synthetic();
        atomic.add_repeated();
        atomic.add_repeated();
        atomic.add_type_error(1).unwrap();
        atomic.add_refused(3);
        assert_eq!(atomic.add_type_error(2), Err(RowError::Feature(2)));
        let counts = atomic.snapshot();
        assert_eq!((counts.features.rows, counts.answered()), (0, Some(3)));
        assert_eq!(counts.features.features[1].type_errors, 1);
        assert_eq!(counts.refused, 3);
        assert_eq!(counts.features.features[1].seen(), Some(0));
    }

    #[test]
    fn counters_go_on_where_the_words_that_were_kept_left_off() {
        let bins = Arc::new(bins());
        let words: Vec<AtomicU64> = (0..AtomicCounts::words(&bins))
            .map(|_| AtomicU64::new(0))
            .collect();
        let row = ([Observed::Number(50.0), Observed::NewCategory], 0.5, 1);
        for _ in 0..2 {
            let counters = AtomicCounts::over(Arc::clone(&bins), &words[..]).unwrap();
            counters.add_row(row.0, row.1, row.2).unwrap();
        }
        let counters = AtomicCounts::over(Arc::clone(&bins), &words[..]).unwrap();
        assert_eq!(counters.snapshot(), count(&[row, row]));
        let short = AtomicCounts::over(bins, &words[1..]).unwrap_err();
        assert_eq!(short.found + 1, short.expected);
    }

    proptest! {
        #[test]
        fn a_snapshot_equals_the_counts_of_the_same_rows(rows in rows(0..60)) {
            let atomic = AtomicCounts::new(Arc::new(bins()));
            for (row, score, class) in &rows {
                atomic.add_row(*row, *score, *class).unwrap();
            }
            prop_assert_eq!(atomic.snapshot(), count(&rows));
        }
    }
}
