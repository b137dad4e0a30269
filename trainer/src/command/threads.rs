//! How many folds are fitted in parallel.
//!
//! A container without a CPU limit sees all processors of its node, and each fit needs its own memory.

use std::{fs, num::NonZero, thread};

use crate::data::dataset::Dataset;

/// Where the memory limit of a control group is, of version 2 and of version 1.
const LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// A limit above this means none: version 1 states a number of pages that no machine has.
const NO_LIMIT: u64 = 1 << 50;

/// What the program takes without data and fits.
const PROGRAM: u64 = 128 << 20;

/// What a fit takes at least: the model and its export.
const FIT: u64 = 48 << 20;

/// Bytes that a fit takes for each value of its rows: bins, encoded columns and histograms of the largest family.
const FIT_PER_VALUE: u64 = 6;

/// Bytes that the data take for each value: the columns, and the rows as they are scored.
const DATA_PER_VALUE: u64 = 8;

/// The number of threads for these data: as many as there are processors, and no more than fit into the memory.
pub(super) fn default_threads(data: &Dataset) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let values = (data.len() * data.columns.len()) as u64;
    let threads = memory_limit().map_or(processors, |limit| threads_within(limit, processors, values));
    if threads < processors {
        tracing::info!(
            threads,
            processors,
            "the memory limit reduces the number of folds that are fitted in parallel"
        );
    }
    threads
}

/// How many processors can fit data with this many values in parallel within this many bytes; at least one.
fn threads_within(limit: u64, processors: usize, values: u64) -> usize {
    let of_fits = limit.saturating_sub(PROGRAM + values * DATA_PER_VALUE);
    let fits = of_fits / (FIT + values * FIT_PER_VALUE);
    usize::try_from(fits).map_or(processors, |fits| fits.clamp(1, processors))
}

/// The memory limit of this process in bytes, if its control group has one.
fn memory_limit() -> Option<u64> {
    LIMITS
        .iter()
        .find_map(|path| parse_limit(&fs::read_to_string(path).ok()?))
}

fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn small_data_use_the_processors_that_the_memory_has_room_for() {
        assert_eq!(threads_within(2 * GIB, 4, 303 * 13), 4);
        assert_eq!(
            threads_within(2 * GIB, 64, 303 * 13),
            39,
            "64 fits do not fit into 2 GiB"
        );
        assert_eq!(threads_within(GIB / 4, 64, 303 * 13), 2);
    }

    #[test]
    fn large_data_are_fitted_fewer_folds_at_once_rather_than_not_at_all() {
        assert_eq!(threads_within(8 * GIB, 16, 10_000_000 * 30), 3);
        assert_eq!(threads_within(2 * GIB, 16, 10_000_000 * 30), 1);
        assert_eq!(threads_within(0, 16, u64::from(u32::MAX)), 1);
    }

    #[test]
    fn a_limit_is_a_number_of_bytes_and_none_where_it_is_the_largest_one() {
        assert_eq!(parse_limit("2147483648\n"), Some(2 * GIB));
        for none in ["max\n", "9223372036854771712\n", "", "-1"] {
            assert_eq!(parse_limit(none), None, "{none:?}");
        }
    }
}
