//! The entities that were counted in a window: a bounded set that threads add to concurrently.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Slots of a set: half a mebibyte.
const SLOTS: usize = 1 << 16;

/// Slots that are probed for one entity. A set is more than nine tenths full before an entity finds no free slot.
const PROBES: usize = 128;

/// A set of 64-bit hashes. It allocates memory for its first entity.
#[derive(Debug, Default)]
pub struct Entities {
    slots: OnceLock<Box<[AtomicU64]>>,
}

/// The result of adding an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was added.
    First,
    /// It was already there.
    Before,
    /// It was not there, and there is no room for it.
    NoRoom,
}

// === impl Entities ===

impl Entities {
    /// Adds an entity by its hash. If several threads add the same entity, exactly one gets [`Seen::First`].
    pub fn add(&self, hash: u64) -> Seen {
        // Zero marks an empty slot.
        let hash = hash.max(1);
        let slots = self
            .slots
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        // Each hash has its own step, an odd number of slots, so that neighbours do not cluster.
        let step = (hash >> 32) as usize | 1;
        for probe in 0..PROBES {
            let slot = &slots[(hash as usize).wrapping_add(probe.wrapping_mul(step)) % SLOTS];
            let mut found = slot.load(Relaxed);
            if found == 0 {
                // Relaxed is enough: only the slot itself is shared, and nothing else is read through it.
                match slot.compare_exchange(0, hash, Relaxed, Relaxed) {
                    Ok(_) => return Seen::First,
                    Err(other) => found = other,
                }
            }
            if found == hash {
                return Seen::Before;
            }
        }
        Seen::NoRoom
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Spread like the keyed hashes of real entities.
    fn spread(index: u64) -> u64 {
        let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn each_entity_is_the_first_for_one_of_all_threads() {
        let entities = Entities::default();
        let first: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..5_000)
                            .filter(|i| entities.add(spread(*i)) == Seen::First)
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(first, 5_000);
        assert_eq!((entities.add(0), entities.add(1)), (Seen::First, Seen::Before));
    }

    #[test]
    fn a_set_takes_nine_tenths_of_its_places_and_never_more_than_it_has() {
        let entities = Entities::default();
        let room = (0..SLOTS as u64 * 9 / 10).all(|i| entities.add(spread(i)) == Seen::First);
        assert!(room);
        let more = (0..SLOTS as u64)
            .filter(|i| entities.add(spread(1 << 40 | i)) == Seen::First)
            .count();
        assert!(more <= SLOTS / 10 + 1, "{more}");
        assert_eq!(entities.add(spread(7)), Seen::Before);
    }
}
