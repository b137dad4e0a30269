//! How the operator calls the ledger.

use std::{path::PathBuf, time::Duration};

use modelward_ledger_client::{Client, Error, Retry, Settings, Timeouts, Tls, Token};

/// Calls that take longer are aborted, so that a reconcile does not hang on the ledger.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Connection attempts that take longer are aborted.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After a call without an answer, all calls get the same error for this long, so that only one of them waits.
const AWAY: Duration = Duration::from_secs(10);
/// Time limit of a verdict: the counts of many Pods are added up first.
pub(crate) const JUDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The operator's client of the ledger at this address, with the token in this file.
pub fn ledger_client(url: &str, token_file: PathBuf) -> Result<Client, Error> {
    Client::new(Settings {
        url: url.to_owned(),
        program: concat!("modelward-operator/", env!("CARGO_PKG_VERSION")),
        token: Token::File(token_file),
        timeouts: Timeouts {
            connect: CONNECT_TIMEOUT,
            // The whole call has a deadline; the longest one may be silent for all of it.
            read: JUDGE_TIMEOUT,
            call: Some(TIMEOUT),
        },
        retry: Retry::Breaker { pause: AWAY },
        // The ledger is in the cluster, which an egress proxy cannot reach.
        proxy: None,
        tls: Tls::of(url),
    })
}
