//! What every read and write needs.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};
use modelward_ledger_client::Client as LedgerClient;
use tokio::sync::OnceCell;

use crate::{
    Config, Error, Metrics,
    api::{recorder::Recorder, unreadable::Unreadable},
};

/// A call to the API server that takes longer is aborted: the client would otherwise retry for minutes.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The clock. Reconciles do not read the time of the machine.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Clients of the cluster and the ledger, configuration, metrics, the clock.
pub(crate) struct Env {
    /// The cluster.
    pub(crate) client: Client,
    /// The operator's configuration.
    pub(crate) config: Config,
    /// The ledger.
    pub(crate) ledger: LedgerClient,
    /// The operator's metrics.
    pub(crate) metrics: Metrics,
    /// The Events that were sent.
    pub(crate) recorder: Recorder,
    /// The unreadable objects that were reported.
    pub(crate) unreadable: Unreadable,
    me: OnceCell<String>,
    clock: Clock,
}

// === impl Env ===

impl Env {
    /// The environment of one process. `instance` names the process in Events.
    pub(crate) fn new(
        client: Client,
        config: Config,
        ledger: LedgerClient,
        metrics: Metrics,
        instance: &str,
        clock: Clock,
    ) -> Self {
        Self {
            client,
            config,
            ledger,
            metrics,
            recorder: Recorder::new(instance),
            unreadable: Unreadable::default(),
            me: OnceCell::new(),
            clock,
        }
    }

    /// The current time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Makes a call to the API server within the time limit.
    pub(crate) async fn call<T>(
        &self,
        action: impl Into<String>,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(Error::Api {
                action: action.into(),
                source: Box::new(source),
            }),
            Err(_) => Err(Error::Timeout {
                action: action.into(),
                seconds: CALL_TIMEOUT.as_secs(),
            }),
        }
    }

    /// The user name of this operator at the API server, which its proposals name as the proposer.
    pub(crate) async fn whoami(&self) -> Result<&str, Error> {
        let ask = async || {
            let api = Api::<SelfSubjectReview>::all(self.client.clone());
            let (params, question) = (PostParams::default(), SelfSubjectReview::default());
            let answer = self
                .call(
                    "read the operator's own user name",
                    api.create(&params, &question),
                )
                .await?;
            let user = answer.status.and_then(|status| status.user_info);
            user.and_then(|user| user.username).ok_or(Error::Incomplete {
                what: "SelfSubjectReview",
                field: "status.userInfo.username",
            })
        };
        self.me.get_or_try_init(ask).await.map(String::as_str)
    }
}
