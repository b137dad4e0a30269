//! Connections: accepting them, and ending without losing a request.
//!
//! ```text
//! SIGTERM ─► /readyz 503, answers say `Connection: close`, everything is still taken ── drain seconds ─►
//!         ─► no new connections, idle ones closed, requests in flight finish ── at most 20 s ─►
//!         ─► the last counts to the ledger ── at most 8 s ─► end
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use futures::FutureExt as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    app::App,
    counting::flush::Flusher,
    http::router,
    loader::{Loader, VerificationError},
};

/// How long a connection that never had a request may still bring one when the process ends.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// The ledger has this long to take the last counts.
const LAST_COUNTS: Duration = Duration::from_secs(8);

/// Serves until `stop` is done and everything in flight is answered.
///
/// Answers from the start; predictions once the bundles are loaded. Tells the ledger what was counted each `flush`. An error is a bundle that must not be served.
pub async fn serve(
    app: Arc<App>,
    loader: Loader,
    listener: TcpListener,
    flush: Duration,
    stop: impl Future<Output = ()>,
) -> Result<(), VerificationError> {
    let server = Server::new(Arc::clone(&app));
    let accepting = tokio::spawn(server.clone().accept(listener));
    let stop_flushing = CancellationToken::new();
    let flushing = app.ledger.clone().map(|ledger| {
        let flusher = Flusher::new(Arc::clone(&app), ledger, flush);
        tokio::spawn(flusher.run(stop_flushing.clone()))
    });
    let load = async {
        app.load(&loader).await?;
        std::future::pending::<Result<(), VerificationError>>().await
    };
    tokio::select! {
        () = stop => {}
        failed = load => return failed,
    }
    app.drain();
    // Nobody was ever sent here before it was ready.
    let drain = if app.serving().is_some() {
        app.limits.drain
    } else {
        Duration::ZERO
    };
    tracing::info!(
        seconds = drain.as_secs(),
        "draining: unready, and still answering for {} s",
        drain.as_secs()
    );
    sleep(drain).await;
    server.no_more.cancel();
    if let Err(error) = accepting.await {
        tracing::error!(%error, "failed to end the listener");
    }
    server.closing.cancel();
    server.connections.close();
    if timeout(app.limits.grace, server.connections.wait())
        .await
        .is_err()
    {
        let left = server.connections.len();
        tracing::warn!(
            left,
            "{left} connections were cut after {} s",
            app.limits.grace.as_secs()
        );
        // What they would still be answered is counted already; nothing is answered after the last counts.
        server.cut.cancel();
        server.connections.wait().await;
    }
    stop_flushing.cancel();
    if let Some(flushing) = flushing {
        match flushing.await {
            Ok(flusher) => flusher.finish(LAST_COUNTS).await,
            Err(error) => tracing::error!(%error, "failed to send the last counts"),
        }
    }
    tracing::info!("ended");
    Ok(())
}

#[derive(Clone)]
struct Server {
    app: Arc<App>,
    router: Router,
    connections: TaskTracker,
    /// No connection is accepted any more.
    no_more: CancellationToken,
    /// Connections end as soon as they are idle.
    closing: CancellationToken,
    /// Connections end as they are.
    cut: CancellationToken,
}

// === impl Server ===

impl Server {
    fn new(app: Arc<App>) -> Self {
        Self {
            router: router(Arc::clone(&app)),
            app,
            connections: TaskTracker::new(),
            no_more: CancellationToken::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(self.app.limits.max_connections));
        loop {
            let accept = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                accepted = accept => accepted,
                () = self.no_more.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let server = self.clone();
                    self.connections.spawn(async move {
                        server.until_cut(stream).await;
                        drop(place);
                    });
                }
                Err(error) => pause_after(&error).await,
            }
        }
        // What the kernel has accepted already would be reset with the listener.
        while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
            let server = self.clone();
            self.connections
                .spawn(async move { server.until_cut(stream).await });
        }
    }

    async fn until_cut(self, stream: TcpStream) {
        let cut = self.cut.clone();
        tokio::select! {
            () = self.connection(stream) => {}
            () = cut.cancelled() => {}
        }
    }

    async fn connection(self, stream: TcpStream) {
        // Answers are small: waiting for more to send would only delay them. A failure costs time, not correctness.
        let _ = stream.set_nodelay(true);
        let gauge = &self.app.metrics.connections;
        gauge.inc();
        let begun = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (begun, router) = (Arc::clone(&begun), self.router.clone());
            move |request: hyper::Request<hyper::body::Incoming>| {
                begun.store(true, Ordering::Relaxed);
                router.clone().oneshot(request.map(Body::new))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // It runs while a connection is idle too.
            .header_read_timeout(self.app.limits.idle)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.closing.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None if begun.load(Ordering::Relaxed) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            // Its first request may be on the way; the answer to it closes the connection.
            None => match timeout(FIRST_REQUEST, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) if begun.load(Ordering::Relaxed) => connection.await,
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = ended {
            // Clients that go away or send what is no HTTP are not this program's concern.
            tracing::debug!(%error, "a connection ended with an error");
        }
        gauge.dec();
    }
}

/// A failure of one connection is over; one of the system (no more files) needs a moment.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::warn!(%error, "failed to accept a connection");
        sleep(Duration::from_millis(100)).await;
    }
}
