//! How the operator calls the ledger.

use std::{path::PathBuf, time::Duration};

use modelward_ledger_client::{Client, Error, Retry, Settings, Timeouts, Tls, Token};

/// A call that takes longer is given up: a reconcile must not hang on the ledger.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that takes longer to open is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After a call without an answer, every call gets the same error for so long: one that waits is enough to find out.
const AWAY: Duration = Duration::from_secs(10);
/// A window of many Pods is added up before it is judged.
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
        // The ledger is in the cluster; a proxy for the way out of it knows nothing of that.
        proxy: None,
        tls: Tls::of(url),
    })
}
