//! A memory budget for request bodies.
//!
//! A body of four megabytes takes several times as much while it is parsed and written. Without a limit, a hundred of them
//! at once would kill the process, and with it the ledger of every namespace.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{body::Incoming, error::ApiError};

/// How long a body waits for memory.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time limit to receive a body that is held in memory.
const WHOLE: Duration = Duration::from_secs(30);

/// Memory for bodies, in total and for each namespace.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    /// Maximum bytes of one namespace.
    share: u32,
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A body and its memory reservation, which are released together.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Bytes,
    _permits: [OwnedSemaphorePermit; 2],
}

// === impl Held ===

impl Held {
    /// The bytes, which share the memory of the body.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(bytes: u32) -> Self {
        Self {
            all: Arc::new(Semaphore::new(
                usize::try_from(bytes).unwrap_or(Semaphore::MAX_PERMITS),
            )),
            share: (bytes / 2).max(1),
            namespaces: Mutex::default(),
        }
    }

    /// Reads a whole body after reserving memory for all of it. Bodies that wait hold no memory and are served in order.
    pub(crate) async fn read(&self, namespace: &str, mut body: Incoming) -> Result<Held, ApiError> {
        let what = body.what();
        let bytes = u32::try_from(body.most()).unwrap_or(u32::MAX).min(self.share);
        let share = self.share_of(namespace);
        // The share of the namespace comes first, so that a body that waits for it holds nothing of the others.
        let reserve = async {
            let own = share.acquire_many_owned(bytes).await.ok()?;
            let all = self.all.clone().acquire_many_owned(bytes).await.ok()?;
            Some([own, all])
        };
        let Ok(Some(permits)) = timeout(PATIENCE, reserve).await else {
            return Err(ApiError::Unavailable(format!(
                "too many bodies are being read for namespace {namespace}: send the {what} again later"
            )));
        };
        let reading = async {
            let mut all = BytesMut::new();
            while let Some(piece) = body.next().await? {
                all.extend_from_slice(&piece);
            }
            Ok(Held {
                bytes: all.freeze(),
                _permits: permits,
            })
        };
        timeout(WHOLE, reading).await.unwrap_or_else(|_| {
            Err(ApiError::Timeout(format!(
                "the {what} was not received within {WHOLE:?}"
            )))
        })
    }

    fn share_of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        // Namespaces without bodies are forgotten.
        namespaces.retain(|name, share| name == namespace || Arc::strong_count(share) > 1);
        namespaces
            .entry(namespace.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(usize::try_from(self.share).unwrap_or(1))))
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::Request};

    use super::*;

    fn body(bytes: usize) -> Incoming {
        let body = Body::from(vec![b'x'; bytes]);
        let request = Request::builder()
            .header("content-length", bytes)
            .body(body)
            .unwrap();
        Incoming::new(request, "batch", 1 << 20, Duration::from_secs(1)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_uses_its_share_up_waits_and_the_others_do_not() {
        let budget = Budget::new(1000);
        let first = budget.read("noisy", body(500)).await.unwrap();
        let refused = budget.read("noisy", body(1)).await.unwrap_err();
        assert!(refused.to_string().contains("namespace noisy"), "{refused}");
        let other = budget.read("quiet", body(400)).await.unwrap();
        drop(first);
        assert_eq!(budget.read("noisy", body(500)).await.unwrap().len(), 500);
        assert_eq!(other.len(), 400);
    }

    #[tokio::test(start_paused = true)]
    async fn all_bodies_together_stay_within_the_budget() {
        let budget = Budget::new(1000);
        let _held = [
            budget.read("a", body(500)).await.unwrap(),
            budget.read("b", body(500)).await.unwrap(),
        ];
        assert!(budget.read("c", body(1)).await.is_err());
    }
}
