//! A memory budget for requests, so that no load can make the process run out of memory.
//!
//! ```text
//! body arrives ─► small_bodies (up to 64 KiB) ─► large_bodies (the rest of it) ─► complete
//!              ─► small_work or large_work: upper bound for parsing, rows and the answer ─► scored
//!              ─► the same reservation, reduced to the answer's size ─► written to the socket ─► free
//! ```
//!
//! Every request makes its reservations in this order, so requests cannot deadlock. No request waits for its client
//! while it holds a reservation for work, except for the client to read the answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    bounds::{Bounds, MAX_DETAILS},
    http::problem::Problem,
};

/// Reservations are counted in units of this many bytes.
const UNIT: usize = 1 << 10;

/// Memory of the program, its threads and the bundles.
const BASE: usize = 40 << 20;

/// Maximum memory of a connection without its bodies: the header as read and as parsed, and the state of its tasks.
pub const CONNECTION: usize = 40 << 10;

/// Work up to this size is done on the thread of the connection. More work keeps a core busy and gets its own thread.
const SMALL_WORK: usize = 1 << 20;

/// How long a request waits for its reservation before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of one answered row of `/predict`, without the names of the model and its version.
const ROW_ANSWER: usize = 320;

/// Maximum bytes of one listed error or warning: a name of 200 characters, a quoted value and twenty listed names.
const DETAIL: usize = 4 << 10;

/// Bytes of one listed error of a row that is not an object.
const SHORT_DETAIL: usize = 256;

/// Maximum number of listed errors of a row.
const ROW_DETAILS: usize = 32;

/// The memory budget of all requests together.
#[derive(Debug)]
pub struct Memory {
    small_bodies: Pool,
    large_bodies: Pool,
    small_work: Pool,
    large_work: Pool,
    /// The memory that was divided into the pools.
    total: usize,
}

/// Bytes of the budget that are reserved until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
    /// Whether the work should not run on the threads that serve connections.
    pub heavy: bool,
}

#[derive(Debug)]
struct Pool {
    units: usize,
    patience: Duration,
    free: Arc<Semaphore>,
}

/// What is known about a complete body before it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Its bytes.
    bytes: usize,
    /// Upper bound of its rows.
    rows: usize,
    /// Upper bound of its tensor elements.
    elements: usize,
    /// Whether parsing needs a copy of its text.
    copied: bool,
}

/// An answer and its reservation, which is released when the last byte is written.
struct Held {
    answer: Vec<u8>,
    _reservation: Reservation,
}

// === impl Memory ===

impl Memory {
    /// Divides the memory that a process with `total` bytes has left for requests.
    pub fn new(total: usize, connections: usize) -> Self {
        let fixed = BASE.saturating_add(connections.saturating_mul(CONNECTION));
        // A quarter stays free, because an allocator does not return every byte at once.
        let free = total.saturating_sub(fixed).max(total / 8) / 4 * 3;
        Self {
            small_bodies: Pool::new(free / 12),
            large_bodies: Pool::new(free / 6),
            small_work: Pool::new(free / 8),
            large_work: Pool::new(free / 8 * 5),
            total,
        }
    }

    /// The largest body up to `max` that fits. A compressed body is held twice.
    pub fn largest_body(&self, max: usize) -> usize {
        max.min(self.large_bodies.units * UNIT / 2)
    }

    /// Reserves more bytes for a small body.
    pub async fn small_body(&self, bytes: usize) -> Result<Reservation, Problem> {
        self.small_bodies.take(bytes, false).await
    }

    /// Reserves memory for a whole large body.
    pub async fn large_body(&self, bytes: usize) -> Result<Reservation, Problem> {
        self.large_bodies.take(bytes, true).await
    }

    /// Reserves memory for work and its answer.
    pub async fn work(&self, bytes: usize) -> Result<Reservation, Problem> {
        if bytes <= SMALL_WORK.min(self.small_work.units * UNIT) {
            return self.small_work.take(bytes, false).await;
        }
        if bytes > self.large_work.units * UNIT {
            return Err(Problem::too_large(format!(
                "the request may need {} MiB of memory, this server has {} MiB for all; send fewer rows at a time, or \
                 raise the model's memory limit",
                bytes >> 20,
                self.total >> 20
            )));
        }
        self.large_work.take(bytes, true).await
    }

    /// Reserves memory for optional work. Returns nothing if it is not available at once.
    pub fn spare_work(&self, bytes: usize) -> Option<Reservation> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = Arc::clone(&self.large_work.free)
            .try_acquire_many_owned(units)
            .ok()?;
        Some(Reservation { permit, heavy: true })
    }
}

// === impl Pool ===

impl Pool {
    fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, u32::MAX as usize);
        Self {
            units,
            patience: PATIENCE,
            free: Arc::new(Semaphore::new(units)),
        }
    }

    async fn take(&self, bytes: usize, heavy: bool) -> Result<Reservation, Problem> {
        let units = bytes.div_ceil(UNIT).clamp(1, self.units) as u32;
        // The usual case needs no timer.
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(units) {
            return Ok(Reservation { permit, heavy });
        }
        match timeout(self.patience, Arc::clone(&self.free).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(Reservation { permit, heavy }),
            _ => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests at once for this server's memory; retry later, or send fewer rows at a time",
            )),
        }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Adds another reservation of the same kind.
    pub fn merge(&mut self, other: Self) {
        self.permit.merge(other.permit);
    }

    /// Releases everything above this many bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let units = bytes.div_ceil(UNIT).max(1);
        let extra = self.permit.num_permits().saturating_sub(units);
        drop(self.permit.split(extra));
    }

    /// The answer as a body that holds this reservation until it is written.
    pub fn hold(mut self, mut answer: Vec<u8>) -> Bytes {
        if answer.capacity() > 2 * answer.len() {
            answer.shrink_to_fit();
        }
        self.shrink_to(answer.capacity());
        Bytes::from_owner(Held {
            answer,
            _reservation: self,
        })
    }
}

// === impl Held ===

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

// === impl Weight ===

impl Weight {
    /// Measures a body with rows as objects.
    pub fn of_rows(body: &[u8]) -> Self {
        Self {
            bytes: body.len(),
            rows: count(body, b'{'),
            elements: 0,
            copied: is_copied(body),
        }
    }

    /// Measures a body with tensors, some of them binary if `is_binary`.
    pub fn of_tensors(body: &[u8], is_binary: bool) -> Self {
        let elements = if is_binary {
            body.len()
        } else {
            1 + count(body, b',')
        };
        Self {
            bytes: body.len(),
            rows: elements,
            elements,
            copied: is_copied(body),
        }
    }

    /// Upper bound of its rows.
    pub fn rows(&self, bounds: Bounds) -> usize {
        self.rows.min(bounds.max_rows)
    }

    /// Upper bound of the bytes for reading, scoring and answering. `names` is the length of the names that each row
    /// repeats.
    pub fn work(&self, bounds: Bounds, features: usize, names: usize) -> usize {
        // An element of a tensor, with the smallest allocation for a string that was escaped.
        const ELEMENT: usize = 40;
        let rows = self.rows(bounds);
        let texts = self.bytes + if self.copied { self.bytes / 3 * 4 } else { 0 };
        let elements = self.elements.min(bounds.max_values) * ELEMENT;
        let row = 8 * features + 64 + ROW_ANSWER + names;
        let errors =
            (rows * ROW_DETAILS).min(MAX_DETAILS) * DETAIL + (self.bytes / 2).min(MAX_DETAILS) * SHORT_DETAIL;
        texts + elements + rows * row + errors
    }
}

fn count(body: &[u8], wanted: u8) -> usize {
    body.iter().map(|byte| usize::from(*byte == wanted)).sum()
}

/// Whether parsing may need a copy of the text to replace `NaN` in it.
fn is_copied(body: &[u8]) -> bool {
    body.contains(&b'N')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_rows: 10_000,
        max_fields: 90,
        max_values: 2_000_000,
    };

    #[test]
    fn the_largest_body_and_its_worst_work_fit_into_the_default_budget() {
        let memory = Memory::new(512 << 20, 2048);
        assert_eq!(memory.largest_body(16 << 20), 16 << 20);
        let body = vec![b','; 16 << 20];
        let wide = Bounds {
            max_rows: 2_000,
            ..BOUNDS
        };
        let work = Weight::of_tensors(&body, false).work(wide, 1_000, 100);
        assert!(work <= memory.large_work.units * UNIT, "{work}");
        let body = vec![b'{'; 16 << 20];
        let work = Weight::of_rows(&body).work(wide, 1_000, 100);
        assert!(work <= memory.large_work.units * UNIT, "{work}");
    }

    #[test]
    fn one_row_is_light_and_a_small_body_of_many_rows_is_not() {
        let row = br#"{"age": 63, "sex": 1, "cp": 1, "thal": 2}"#;
        assert!(Weight::of_rows(row).work(BOUNDS, 13, 60) < 160 << 10);
        let rows = format!("[{}{{}}]", "{},".repeat(9_999));
        assert!(Weight::of_rows(rows.as_bytes()).work(BOUNDS, 13, 60) > SMALL_WORK);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_refused_and_an_answer_holds_only_its_own_size() {
        let mut memory = Memory::new(512 << 20, 2048);
        memory.large_work.patience = Duration::from_millis(20);
        let all = memory.large_work.units * UNIT;
        let reservation = memory.work(all).await.unwrap();
        assert!(reservation.heavy);
        let refused = memory.work(2 << 20).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(memory.spare_work(1).is_none());
        // Small requests have a separate budget.
        assert!(!memory.work(1_000).await.unwrap().heavy);
        let answer = reservation.hold(vec![b'x'; 5 << 20]);
        assert_eq!(memory.large_work.free.available_permits() * UNIT, all - (5 << 20));
        drop(answer);
        assert_eq!(memory.large_work.free.available_permits() * UNIT, all);
        assert_eq!(
            memory.work(all + 1).await.unwrap_err().status,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
