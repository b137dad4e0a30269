//! The counts that Pods send to the ledger. They are cumulative, so repeated and reordered messages do no harm.
//!
//! ```text
//! Pod A (incarnation a) ── seq 1: 40 rows ── seq 2: 95 rows ── seq 2 again ─┐   kept: a → seq 2, 95 rows
//! Pod A, restarted (b)  ── seq 1: 12 rows ──────────────────────────────────┼─►       b → seq 1, 12 rows
//! Pod B (incarnation c) ── seq 3: 60 rows ── seq 1: 20 rows (late) ─────────┘         c → seq 3, 60 rows
//!                                                                               sum: 167 rows
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    num::NonZeroU32,
};

use modelward_wire::{Digest, Route};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::counts::{Counts, CountsError};

/// The format that this code writes and reads.
pub const ENVELOPE_FORMAT: u32 = 1;

/// Maximum number of counters that the ledger accepts in one total and that a server sends in one request. The limit of training, 4,096
/// features with 256 categories, needs 1,060,864 and those of the scores.
pub const MAX_COUNTERS: usize = 1_100_000;

/// 128 random bits that identify one run of a process, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(pub u128);

/// Identifies a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TotalKey {
    /// The digest of the route: version, bundle, threshold, weight, mode.
    pub route: Digest,
    /// Start of the window of event time, in seconds since 1970-01-01T00:00:00Z.
    pub window_start: i64,
    /// The process that counted.
    pub incarnation: Incarnation,
}

/// Everything that one process has counted of one route in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// [`ENVELOPE_FORMAT`].
    pub format: u32,
    /// Its key.
    pub key: TotalKey,
    /// Increases with each envelope of a key. The highest includes everything in the others.
    pub sequence: u64,
    /// Whether the process states that it will add nothing more.
    pub closed: bool,
    /// The counts.
    pub counts: Counts,
}

/// What one Pod reports to the ledger in one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountsBatch {
    /// [`ENVELOPE_FORMAT`].
    pub format: u32,
    /// Length of the windows, in seconds.
    pub window_seconds: u32,
    /// The routes of the envelopes: each `key.route` is the [`route_digest`] of one of them.
    pub routes: Vec<Route>,
    /// The totals.
    pub envelopes: Vec<Envelope>,
}

/// The latest total of each key. The same envelopes in any order, each any number of times, give the same totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CumulativeTotals {
    latest: BTreeMap<TotalKey, Envelope>,
}

/// What happened to an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// It is now the latest of its key.
    Kept,
    /// It was already there.
    Repeated,
    /// A later one was already there.
    Late,
}

/// The sum over all processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Their counts.
    pub counts: Counts,
    /// How many processes counted.
    pub incarnations: u64,
    /// Processes that did not send a closed total. Each may have lost what it counted after its last envelope.
    pub unclosed: Vec<Incarnation>,
}

/// Why an envelope or a sum cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TotalsError {
    /// The envelope has a format that this program does not know.
    #[error("envelope has format {0}, this program reads format {ENVELOPE_FORMAT}")]
    Format(u32),
    /// Two envelopes with the same sequence number have different contents.
    #[error(
        "envelope {sequence} of incarnation {} differs from the stored one; use each sequence number only once",
        String::from(*incarnation)
    )]
    Conflict {
        /// The sender.
        incarnation: Incarnation,
        /// The number.
        sequence: u64,
    },
    /// A string is not an incarnation.
    #[error("{0:?} is not an incarnation; it must be 32 lower-case hexadecimal digits")]
    Incarnation(String),
    /// The counts do not add up.
    #[error("totals of different processes do not add up")]
    Counts(#[from] CountsError),
}

/// The digest of a route: version, bundle, threshold, weight and mode. It is the same on every Pod, and changes with any
/// of these.
pub fn route_digest(route: &Route) -> Digest {
    let Route {
        version,
        digest,
        weight,
        threshold,
        mode,
    } = route;
    // One field per line. No field can have a line break, so different routes have different texts.
    let text = format!("modelward/route/1\n{version}\n{digest}\n{threshold}\n{weight}\n{mode}\n");
    Digest::from_bytes(Sha256::digest(text).into())
}

/// The start of the window of a moment, both in seconds since 1970-01-01T00:00:00Z. `length` is in seconds.
///
/// A window includes its start but not its end. Windows cover all time, before and after 1970, without gaps.
pub fn window_start(at: i64, length: NonZeroU32) -> i64 {
    at.saturating_sub(at.rem_euclid(i64::from(length.get())))
}

// === impl CumulativeTotals ===

impl CumulativeTotals {
    /// Adds an envelope. For each key the one with the highest sequence number is kept.
    pub fn absorb(&mut self, envelope: Envelope) -> Result<Absorbed, TotalsError> {
        if envelope.format != ENVELOPE_FORMAT {
            return Err(TotalsError::Format(envelope.format));
        }
        match self.latest.entry(envelope.key) {
            Entry::Vacant(entry) => {
                entry.insert(envelope);
                Ok(Absorbed::Kept)
            }
            Entry::Occupied(mut entry) => {
                let kept = entry.get_mut();
                if envelope.sequence > kept.sequence {
                    *kept = envelope;
                    return Ok(Absorbed::Kept);
                }
                if envelope.sequence < kept.sequence {
                    return Ok(Absorbed::Late);
                }
                if *kept == envelope {
                    return Ok(Absorbed::Repeated);
                }
                Err(TotalsError::Conflict {
                    incarnation: envelope.key.incarnation,
                    sequence: envelope.sequence,
                })
            }
        }
    }

    /// The latest envelopes, by key.
    pub fn latest(&self) -> impl Iterator<Item = &Envelope> {
        self.latest.values()
    }

    /// The sum of one route over all processes and over the windows that start in `from..until`. `None` if there are no
    /// envelopes.
    pub fn sum(&self, route: Digest, from: i64, until: i64) -> Result<Option<Sum>, TotalsError> {
        let inside = |key: &TotalKey| key.route == route && (from..until).contains(&key.window_start);
        sum(self.latest.values().filter(|envelope| inside(&envelope.key)))
    }
}

/// Adds envelopes with distinct keys, such as the rows of a table that keeps the latest.
pub fn sum<'a>(envelopes: impl IntoIterator<Item = &'a Envelope>) -> Result<Option<Sum>, TotalsError> {
    let mut total: Option<Counts> = None;
    // A process that counted in several windows is closed if all of its windows are closed.
    let mut closed: BTreeMap<Incarnation, bool> = BTreeMap::new();
    for envelope in envelopes {
        match &mut total {
            None => total = Some(envelope.counts.clone()),
            Some(total) => total.merge(&envelope.counts)?,
        }
        *closed.entry(envelope.key.incarnation).or_insert(true) &= envelope.closed;
    }
    Ok(total.map(|counts| Sum {
        counts,
        incarnations: closed.len() as u64,
        unclosed: closed
            .into_iter()
            .filter_map(|(who, closed)| (!closed).then_some(who))
            .collect(),
    }))
}

// === impl Incarnation ===

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        format!("{:032x}", incarnation.0)
    }
}

impl TryFrom<String> for Incarnation {
    type Error = TotalsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = text.len() == 32
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match u128::from_str_radix(&text, 16) {
            Ok(bits) if plain => Ok(Self(bits)),
            _ => Err(TotalsError::Incarnation(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelward_wire::RouteMode;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        bins::Observed,
        counts::tests::{Row, count, rows},
    };

    const ROUTE: Digest = Digest::from_bytes([7; 32]);

    fn envelope(incarnation: u128, window_start: i64, sequence: u64, rows: &[Row]) -> Envelope {
        Envelope {
            format: ENVELOPE_FORMAT,
            key: TotalKey {
                route: ROUTE,
                window_start,
                incarnation: Incarnation(incarnation),
            },
            sequence,
            closed: false,
            counts: count(rows),
        }
    }

    #[test]
    fn windows_tile_time_before_1970_too() {
        let hour = NonZeroU32::new(3600).unwrap();
        let starts = [0, 3599, 3600, -1, -3600, i64::MIN].map(|at| window_start(at, hour));
        assert_eq!(starts, [0, 0, 3600, -3600, -3600, i64::MIN]);
    }

    #[test]
    fn a_route_that_differs_in_anything_has_another_digest() {
        let route = Route {
            version: "heart-1".into(),
            digest: Digest::from_bytes([1; 32]),
            weight: 100,
            threshold: "0.5".parse().unwrap(),
            mode: RouteMode::Live,
        };
        let others = [
            Route {
                version: "heart-2".into(),
                ..route.clone()
            },
            Route {
                digest: Digest::from_bytes([2; 32]),
                ..route.clone()
            },
            Route {
                weight: 99,
                ..route.clone()
            },
            Route {
                threshold: "0.6".parse().unwrap(),
                ..route.clone()
            },
            Route {
                mode: RouteMode::Shadow,
                ..route.clone()
            },
        ];
        for other in others {
            assert_ne!(route_digest(&route), route_digest(&other));
        }
    }

    #[test]
    fn one_sequence_number_with_two_contents_is_an_error() {
        let row = ([Observed::Missing, Observed::Missing], 0.5, 1);
        let mut totals = CumulativeTotals::default();
        assert_eq!(totals.absorb(envelope(1, 0, 1, &[row])), Ok(Absorbed::Kept));
        assert_eq!(totals.absorb(envelope(1, 0, 1, &[row])), Ok(Absorbed::Repeated));
        let conflict = TotalsError::Conflict {
            incarnation: Incarnation(1),
            sequence: 1,
        };
        assert_eq!(totals.absorb(envelope(1, 0, 1, &[row, row])), Err(conflict));
        assert_eq!(totals.absorb(envelope(1, 0, 0, &[])), Ok(Absorbed::Late));
        assert_eq!(totals.sum(ROUTE, 0, 1).unwrap().unwrap().counts.features.rows, 1);
    }

    #[test]
    fn processes_that_never_closed_are_named() {
        let mut totals = CumulativeTotals::default();
        let closed = Envelope {
            closed: true,
            ..envelope(1, 0, 3, &[])
        };
        totals.absorb(closed).unwrap();
        totals.absorb(envelope(2, 0, 1, &[])).unwrap();
        let sum = totals.sum(ROUTE, 0, 1).unwrap().unwrap();
        assert_eq!((sum.incarnations, sum.unclosed), (2, vec![Incarnation(2)]));
        assert_eq!(totals.sum(ROUTE, 1, 2), Ok(None));
        assert_eq!(totals.sum(Digest::from_bytes([8; 32]), 0, 1), Ok(None));
    }

    #[test]
    fn an_envelope_survives_its_bytes_and_a_bad_incarnation_is_refused() {
        let one = envelope(0xabc, -3600, u64::MAX, &[]);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Envelope>(&text).unwrap(), one);
        for bad in [
            "abc",
            "+0000000000000000000000000000abc",
            "00000000000000000000000000000ABC",
        ] {
            let changed = text.replace(&String::from(Incarnation(0xabc)), bad);
            assert!(serde_json::from_str::<Envelope>(&changed).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn repeats_and_reordering_do_no_harm(
            (pods, sent) in prop::collection::vec(rows(0..40), 1..5).prop_flat_map(|pods| {
                // Every Pod sends up to six envelopes with growing prefixes of its rows. The last has all rows.
                let all: Vec<(usize, u64)> =
                    (0..pods.len()).flat_map(|pod| (1..=6).map(move |sequence| (pod, sequence))).collect();
                let last: Vec<(usize, u64)> = (0..pods.len()).map(|pod| (pod, 6)).collect();
                // Each arrives any number of times, the last one at least once, in any order.
                let sent = prop::collection::vec(prop::sample::select(all), 0..40)
                    .prop_map(move |some| [some, last.clone()].concat())
                    .prop_shuffle();
                (Just(pods), sent)
            }),
        ) {
            let mut totals = CumulativeTotals::default();
            for (pod, sequence) in sent {
                let rows = &pods[pod];
                let part = &rows[..rows.len() * sequence as usize / 6];
                totals.absorb(envelope(pod as u128, 0, sequence, part)).unwrap();
            }
            let sum = totals.sum(ROUTE, 0, 1).unwrap().unwrap();
            prop_assert_eq!(serde_json::to_vec(&sum.counts).unwrap(), serde_json::to_vec(&count(&pods.concat())).unwrap());
            prop_assert_eq!(sum.incarnations, pods.len() as u64);
        }

        #[test]
        fn a_window_holds_its_moment(at: i32, length in 1..100_000_u32) {
            let length = NonZeroU32::new(length).unwrap();
            let start = window_start(i64::from(at), length);
            prop_assert!(start <= i64::from(at) && i64::from(at) < start + i64::from(length.get()));
            prop_assert_eq!(start.rem_euclid(i64::from(length.get())), 0);
        }
    }
}
