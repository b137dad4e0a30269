//! The rounds of a Job's search, kept in the ledger until its bundle is published.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use modelward_model::{sha256, sha256_file};
use modelward_service::chain;
use modelward_wire::{Digest, MAX_SEARCH_ROUNDS, SearchRound};
use tokio::runtime::Handle;

use crate::{
    fit::kept::RoundStore,
    ledger::{Ledger, LedgerError},
};

/// The rounds of one search in the ledger. After the first failure it is not used any more: a training never fails because of it.
#[derive(Debug)]
pub(super) struct LedgerRounds {
    ledger: Ledger,
    /// Digest of everything that the search depends on.
    search: Digest,
    runtime: Handle,
    failed: AtomicBool,
}

// === impl LedgerRounds ===

impl LedgerRounds {
    /// The rounds of this training on this snapshot by this program. Must be called in a runtime.
    pub(super) fn new(ledger: Ledger, training: &Digest, snapshot: &Digest) -> io::Result<Self> {
        // Another build may fit in another way.
        let (program, _) = sha256_file(&std::env::current_exe()?)?;
        let depends_on = format!("search\n{training}\n{snapshot}\n{program}\n");
        Ok(Self {
            ledger,
            search: sha256(depends_on.as_bytes()),
            runtime: Handle::current(),
            failed: AtomicBool::new(false),
        })
    }

    /// The answer of a call that is made while a thread trains; `None` after a failure.
    fn ask<T>(&self, call: impl Future<Output = Result<T, LedgerError>>) -> Option<T> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        self.note(self.runtime.block_on(call))
    }

    fn note<T>(&self, answer: Result<T, LedgerError>) -> Option<T> {
        answer
            .inspect_err(|error| {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = chain(error),
                        "rounds of the search are no longer kept: if this Job is interrupted, the next one repeats them"
                    );
                }
            })
            .ok()
    }

    /// Deletes the rounds of a search whose bundle is published.
    pub(super) async fn delete(&self) {
        if !self.failed.load(Ordering::Relaxed) {
            self.note(self.ledger.forget_searches().await);
        }
    }
}

impl RoundStore for LedgerRounds {
    fn load(&self) -> Vec<SearchRound> {
        let mut rounds = Vec::new();
        for number in 0..MAX_SEARCH_ROUNDS {
            match self.ask(self.ledger.search_round(&self.search, number)) {
                Some(Some(round)) => rounds.push(round),
                Some(None) | None => break,
            }
        }
        rounds
    }

    fn keep(&self, number: u32, round: &SearchRound) {
        self.ask(self.ledger.put_search_round(&self.search, number, round));
    }

    fn forget(&self) {
        self.ask(self.ledger.forget_searches());
    }
}
