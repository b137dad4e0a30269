//! Traffic that repeats: a day or a week with a different distribution in each hour.
//!
//! Training data has no time, so only whole seasons can be compared with it: any span of the length of a season has every
//! phase once. An accepted season is counted by phase, and each window is compared with its phase.

use serde::{Deserialize, Serialize};

use crate::{
    bins::Bins,
    counts::{Counts, CountsError, FeatureCounts},
    lifetime::WindowCounts,
};

/// Maximum number of phases of a season: the hours of a week.
const MOST_PHASES: u64 = 168;
/// Maximum number of counters of the features in all phases together: about 8 MiB in memory and 3 MiB in a file.
const MOST_COUNTERS: u64 = 1_000_000;

/// How traffic repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Season {
    /// Its length in seconds.
    pub seconds: u64,
    /// Seconds from the start of a season to the beginning of monitoring.
    pub offset: u64,
    /// Seconds from the beginning of monitoring to the time after which all windows are known. 0 if none is left out.
    #[serde(default)]
    pub known_from: u64,
}

/// A season of traffic as a reference, phase by phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Phases {
    /// Length of a phase in seconds.
    pub seconds: u64,
    /// The counts of each phase, from the start of the season.
    pub counts: Vec<FeatureCounts>,
}

// === impl Season ===

impl Season {
    /// How many phases of this length a season has. `None` if they do not divide it evenly, or if there would be too many.
    pub fn phases(&self, length: u64, bins: &Bins) -> Option<u64> {
        if length == 0 || !self.seconds.is_multiple_of(length) {
            return None;
        }
        let many = self.seconds / length;
        // Values by slot, missing values and type errors.
        let counters = bins.features.iter().map(|feature| feature.slots() as u64 + 2);
        let all = counters.sum::<u64>().saturating_mul(many);
        ((2..=MOST_PHASES).contains(&many) && all <= MOST_COUNTERS).then_some(many)
    }

    /// The index of the phase of this length in which a window lies. `None` if it does not start with a phase or is longer.
    pub fn phase(&self, window: &WindowCounts<'_>, length: u64) -> Option<usize> {
        let start = window.from.saturating_add(self.offset) % self.seconds;
        let fits = start.is_multiple_of(length) && window.to - window.from <= length;
        fits.then(|| usize::try_from(start / length).ok()).flatten()
    }
}

// === impl Phases ===

impl Phases {
    /// The phases of a season of traffic. `None` if a window is in no phase, or if there would be too many phases.
    pub fn of_windows(
        bins: &Bins,
        season: &Season,
        length: u64,
        windows: &[WindowCounts<'_>],
    ) -> Option<Result<Self, CountsError>> {
        let many = usize::try_from(season.phases(length, bins)?).ok()?;
        let mut counts = vec![Counts::new(bins).features; many];
        for window in windows {
            let phase = season.phase(window, length)?;
            if let Err(why) = counts[phase].merge(&window.counts.features) {
                return Some(Err(why));
            }
        }
        Some(Ok(Self {
            seconds: length,
            counts,
        }))
    }

    /// The length of the season in seconds.
    pub fn season(&self) -> u64 {
        self.seconds.saturating_mul(self.counts.len() as u64)
    }

    /// Checks that the phases belong to these bins and add up to `all`.
    pub(crate) fn check(&self, bins: &Bins, all: &FeatureCounts) -> Result<(), CountsError> {
        let mut sum = Counts::new(bins).features;
        for phase in &self.counts {
            phase.check(bins, all.bins)?;
            sum.merge(phase)?;
        }
        if sum == *all && self.counts.len() > 1 && self.seconds > 0 {
            Ok(())
        } else {
            Err(CountsError::Shape("the phases".to_owned()))
        }
    }
}
