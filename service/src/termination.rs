//! The signals that ask a process to end.

use std::io;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Whether the process was asked to end. All clones see the signal, also if they are awaited later.
#[derive(Clone, Debug)]
pub struct Termination {
    asked: watch::Receiver<bool>,
}

// === impl Termination ===

impl Termination {
    /// Starts to listen for SIGTERM and SIGINT, in a tokio runtime. An earlier signal ends the process at once.
    pub fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            // The task keeps the sender until then, because receivers would mistake a dropped sender for the signal.
            let _ = ask.send(true);
            // This is last, because writing to a log without a reader panics.
            tracing::info!("{signal}: the process ends");
        });
        Ok(Self { asked })
    }

    /// Returns when the process is asked to end.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
