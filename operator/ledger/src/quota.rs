//! Quotas of namespaces in the ledger.
//!
//! The current amounts are read from PostgreSQL occasionally and estimated in between, so a quota limits growth but is not exact.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    amount::{Amount, Kept},
    database::{Database, DatabaseError},
    error::ApiError,
};

/// The limits of one namespace. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Totals of counts. Each Pod has one for each window and route. They are kept for 90 days.
    pub totals: u64,
    /// Bytes of these totals.
    pub total_bytes: u64,
    /// Labels. They are kept for 400 days.
    pub labels: u64,
    /// Bytes of bundles and snapshots.
    pub artifact_bytes: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            totals: 500_000,
            total_bytes: 1024 * 1024 * 1024,
            labels: 5_000_000,
            artifact_bytes: 20 * 1024 * 1024 * 1024,
        }
    }
}

struct Known {
    amount: Amount,
    at: Instant,
}

/// How long an amount is cached. An amount that exceeds a quota is cached only briefly.
const FRESH: Duration = Duration::from_mins(10);
const FRESH_OVER: Duration = Duration::from_secs(10);
/// Maximum number of cached namespaces.
const REMEMBERED: usize = 4096;

pub(crate) struct Quota {
    quotas: Quotas,
    known: Mutex<HashMap<(String, Kept), Known>>,
}

// === impl Kept ===

impl Kept {
    fn bounds(self, quotas: &Quotas) -> Amount {
        match self {
            Self::Totals => Amount {
                rows: quotas.totals,
                bytes: quotas.total_bytes,
            },
            Self::Labels => Amount {
                rows: quotas.labels,
                bytes: 0,
            },
            Self::Artifacts => Amount {
                rows: 0,
                bytes: quotas.artifact_bytes,
            },
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Totals => (
                "totals of counts",
                "they are deleted 90 days after their window; with a longer spec.monitoring.windowSeconds there are fewer",
            ),
            Self::Labels => ("labels", "they are deleted after 400 days"),
            Self::Artifacts => ("bundles and snapshots", "delete what is not needed any more"),
        }
    }
}

// === impl Quota ===

impl Quota {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            known: Mutex::default(),
        }
    }

    /// Refuses what would exceed the quota of a namespace, and counts what is accepted. If PostgreSQL is unavailable, artifacts
    /// are accepted, because they do not need PostgreSQL.
    pub(crate) async fn take(
        &self,
        database: &Database,
        namespace: &str,
        kept: Kept,
        more: Amount,
    ) -> Result<(), ApiError> {
        let bounds = kept.bounds(&self.quotas);
        if bounds == Amount::default() {
            return Ok(());
        }
        let place = (namespace.to_owned(), kept);
        let mut amount = self.recall(&place, more, bounds);
        if amount.is_none() {
            match database.kept(namespace, kept, bounds.rows).await {
                Ok(asked) => {
                    self.remember(&place, asked);
                    amount = Some(asked);
                }
                Err(DatabaseError::Away(_) | DatabaseError::Slow(_)) if kept == Kept::Artifacts => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let amount = amount.unwrap_or_default();
        if is_over(amount, more, bounds) {
            return Err(refusal(namespace, kept, amount, bounds));
        }
        self.add(&place, more);
        Ok(())
    }

    fn recall(&self, place: &(String, Kept), more: Amount, bounds: Amount) -> Option<Amount> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(place)?;
        let fresh = if is_over(found.amount, more, bounds) {
            FRESH_OVER
        } else {
            FRESH
        };
        (found.at.elapsed() < fresh).then_some(found.amount)
    }

    fn remember(&self, place: &(String, Kept), amount: Amount) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, known| known.at.elapsed() < FRESH_OVER);
        }
        let at = Instant::now();
        known.insert(place.clone(), Known { amount, at });
    }

    fn add(&self, place: &(String, Kept), more: Amount) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get_mut(place) {
            found.amount.rows = found.amount.rows.saturating_add(more.rows);
            found.amount.bytes = found.amount.bytes.saturating_add(more.bytes);
        }
    }
}

fn is_over(amount: Amount, more: Amount, bounds: Amount) -> bool {
    let over = |has: u64, more: u64, bound: u64| bound > 0 && has.saturating_add(more) > bound;
    over(amount.rows, more.rows, bounds.rows) || over(amount.bytes, more.bytes, bounds.bytes)
}

fn refusal(namespace: &str, kept: Kept, amount: Amount, bounds: Amount) -> ApiError {
    let (what, hint) = kept.words();
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let mut has = Vec::new();
    if bounds.rows > 0 {
        has.push(format!("{} of at most {}", amount.rows, bounds.rows));
    }
    if bounds.bytes > 0 {
        has.push(format!(
            "{} MiB of at most {} MiB",
            mib(amount.bytes),
            mib(bounds.bytes)
        ));
    }
    ApiError::QuotaSpent(format!(
        "namespace {namespace} has used up its quota of {what} ({}): {hint}, or raise ledger.quotas of the Helm chart",
        has.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_over_by_rows_or_by_bytes_and_zero_is_no_bound() {
        let amount = |rows, bytes| Amount { rows, bytes };
        assert!(!is_over(amount(9, 90), amount(1, 10), amount(10, 100)));
        assert!(is_over(amount(10, 0), amount(1, 0), amount(10, 100)));
        assert!(is_over(amount(0, 100), amount(0, 1), amount(10, 100)));
        assert!(!is_over(amount(u64::MAX, 0), amount(1, 0), amount(0, 100)));
    }

    #[test]
    fn a_refusal_says_what_is_used_up_and_what_to_do() {
        let amount = |rows, bytes| Amount { rows, bytes };
        let refusal = refusal("eve", Kept::Totals, amount(10, 3 << 20), amount(10, 1 << 30)).to_string();
        for word in [
            "namespace eve",
            "10 of at most 10",
            "3 MiB of at most 1024 MiB",
            "windowSeconds",
            "ledger.quotas",
        ] {
            assert!(refusal.contains(word), "{refusal} lacks {word}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_let_through_is_counted_on() {
        let quota = Quota::new(Quotas::default());
        let place = ("a".to_owned(), Kept::Totals);
        let (none, bounds) = (Amount::default(), Amount { rows: 10, bytes: 0 });
        assert_eq!(quota.recall(&place, none, bounds), None);
        quota.remember(&place, Amount { rows: 4, bytes: 0 });
        quota.add(&place, Amount { rows: 3, bytes: 7 });
        assert_eq!(
            quota.recall(&place, none, bounds),
            Some(Amount { rows: 7, bytes: 7 })
        );
        // An amount that exceeds a quota is read again soon.
        let more = Amount { rows: 9, bytes: 0 };
        tokio::time::advance(FRESH_OVER).await;
        assert_eq!(quota.recall(&place, more, bounds), None);
        assert!(quota.recall(&place, none, bounds).is_some());
    }
}
