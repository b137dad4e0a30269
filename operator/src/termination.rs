//! The one place that listens for the signals that ask the process to end.

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Whether the process was asked to end. Clones see the same: a listener that starts after the signal sees it too.
#[derive(Clone, Debug)]
pub struct Termination {
    asked: watch::Receiver<bool>,
}

// === impl Termination ===

impl Termination {
    /// Starts to listen for SIGTERM and SIGINT. Called first of all: a signal that comes before it ends the process at once.
    pub fn listen() -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: the process ends"),
                _ = interrupt.recv() => tracing::info!("SIGINT: the process ends"),
            }
            // Keeps the sender: receivers of a channel without one would take its end for the signal.
            let _ = ask.send(true);
        });
        Ok(Self { asked })
    }

    /// Ends once the process was asked to end.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
