//! The signals that ask a process to end.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Whether the process was asked to end. Clones see the same, and one that is awaited after the signal sees it too.
#[derive(Clone, Debug)]
pub struct Termination {
    asked: watch::Receiver<bool>,
}

// === impl Termination ===

impl Termination {
    /// Starts to listen for SIGTERM and SIGINT, in a tokio runtime. A signal that comes before ends the process at once.
    pub fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            // The task keeps the sender until then, because receivers would take its end for the signal.
            let _ = ask.send(true);
            // Last: a log whose reader is gone panics.
            tracing::info!("{signal}: the process ends");
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
