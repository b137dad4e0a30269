//! Accepts connections, and ends without losing a request.
//!
//! ```text
//! SIGTERM ─► /readyz 503, answers say `Connection: close`, requests are still accepted ── drain seconds ─►
//!         ─► no new connections, idle ones closed, requests in flight finish ── at most 20 s ─►
//!         ─► the last counts are sent to the ledger ── at most 8 s ─► end
//! ```

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use futures::FutureExt as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    app::App,
    args::Limits,
    counting::flush::Flusher,
    http::{probe_router, router},
    loader::{Loader, VerificationError},
};

/// When the process ends, how long a connection that never had a request may still send one.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Time limit for sending the last counts to the ledger.
const LAST_COUNTS: Duration = Duration::from_secs(8);

/// Maximum bytes of a request header. hyper uses a buffer of this size, also for bodies.
const MAX_HEAD: usize = 16 << 10;

/// Maximum number of connections of the probe port, which only the kubelet and Prometheus use.
const PROBE_CONNECTIONS: usize = 64;

/// Time after which an idle connection of the probe port is closed.
const PROBE_IDLE: Duration = Duration::from_mins(1);

/// Time after which an idle connection is closed if nearly all connections are in use.
const CROWDED_IDLE: Duration = Duration::from_secs(5);

/// How often a connection is checked for time limits.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until `stop` is done and everything in flight is answered.
///
/// Answers probes from the start, and predictions once the bundles are loaded. Sends the counts to the ledger every
/// `flush`. An error means that a bundle must not be served.
pub async fn serve(
    app: Arc<App>,
    loader: Loader,
    listener: TcpListener,
    flush: Duration,
    stop: impl Future<Output = ()>,
) -> Result<(), VerificationError> {
    let server = Server::new(Arc::clone(&app), router(Arc::clone(&app)), &app.limits);
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
    // A process that was never ready has not received requests.
    let drain = if app.serving().is_some() {
        app.limits.drain
    } else {
        Duration::ZERO
    };
    tracing::info!(
        seconds = drain.as_secs(),
        "draining: unready, but still answering for {} s",
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
        // Their rows are counted already, and nothing is answered after the last counts.
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

/// Serves probes and metrics on a separate thread until the process ends, so that they are answered even if all other
/// threads are busy.
pub fn serve_probes(app: Arc<App>, listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let limits = Limits {
        max_connections: PROBE_CONNECTIONS,
        idle: PROBE_IDLE,
        ..app.limits
    };
    let server = Server::new(Arc::clone(&app), probe_router(app), &limits);
    let serve = move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => server.accept(listener).await,
                Err(error) => tracing::error!(%error, "failed to serve probes"),
            }
        });
    };
    std::thread::Builder::new()
        .name("probes".to_owned())
        .spawn(serve)?;
    Ok(())
}

#[derive(Clone)]
struct Server {
    app: Arc<App>,
    router: Router,
    limits: Limits,
    /// One permit for each further connection.
    places: Arc<Semaphore>,
    connections: TaskTracker,
    /// No connection is accepted any more.
    no_more: CancellationToken,
    /// Connections end as soon as they are idle.
    closing: CancellationToken,
    /// Connections end immediately.
    cut: CancellationToken,
}

// === impl Server ===

impl Server {
    fn new(app: Arc<App>, router: Router, limits: &Limits) -> Self {
        Self {
            router,
            app,
            limits: *limits,
            places: Arc::new(Semaphore::new(limits.max_connections)),
            connections: TaskTracker::new(),
            no_more: CancellationToken::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let accept = async {
                // The semaphore is never closed.
                let place = Arc::clone(&self.places).acquire_owned().await.ok();
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
        // Connections that the kernel has already accepted would be reset with the listener.
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
        // Answers are small, and waiting for more data would only delay them. A failure costs time, not correctness.
        let _ = stream.set_nodelay(true);
        let gauge = &self.app.metrics.connections;
        gauge.inc();
        let begun = Arc::new(AtomicBool::new(false));
        let activity = Arc::new(Activity::new());
        let service = service_fn({
            let (begun, router) = (Arc::clone(&begun), self.router.clone());
            let activity = Arc::clone(&activity);
            move |request: hyper::Request<hyper::body::Incoming>| {
                begun.store(true, Ordering::Relaxed);
                activity.enter(Phase::Work);
                let answer = router.clone().oneshot(request.map(Body::new));
                let activity = Arc::clone(&activity);
                async move {
                    let answer = answer.await;
                    activity.enter(Phase::Answer);
                    answer
                }
            }
        });
        let stream = Watched {
            stream,
            activity: Arc::clone(&activity),
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(MAX_HEAD)
            // This timeout also runs while a connection is idle. Headers have a shorter one, see `Activity::is_overdue`.
            .header_read_timeout(self.limits.idle)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break Some(ended),
                () = self.closing.cancelled() => break None,
                _ = look.tick() => {
                    if activity.is_overdue(&self.limits) {
                        // The connection is dropped: a client that is this slow will not read an answer either.
                        gauge.dec();
                        return;
                    }
                    if self.is_crowded() && activity.is_idle_for(CROWDED_IDLE) {
                        if !begun.load(Ordering::Relaxed) {
                            gauge.dec();
                            return;
                        }
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None if begun.load(Ordering::Relaxed) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            // Its first request may be on its way. The answer to it closes the connection.
            None => match timeout(FIRST_REQUEST, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) if begun.load(Ordering::Relaxed) => connection.await,
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = ended {
            // Clients that disconnect or do not send HTTP are not an error of this program.
            tracing::debug!(%error, "a connection ended with an error");
        }
        gauge.dec();
    }
}

impl Server {
    /// Whether nearly all connections are in use.
    fn is_crowded(&self) -> bool {
        self.places.available_permits() < self.limits.max_connections.div_ceil(8)
    }
}

/// What a connection is doing, and since when.
#[derive(Debug)]
struct Activity {
    start: Instant,
    phase: AtomicU8,
    /// Milliseconds after `start`.
    since: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing.
    Idle,
    /// The first bytes of a request have arrived.
    Head,
    /// The request is being received or processed. Both have their own limits.
    Work,
    /// The answer is being written.
    Answer,
}

/// A stream that records what its connection is doing.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

// === impl Activity ===

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(0),
        }
    }

    fn enter(&self, phase: Phase) {
        let since = self.start.elapsed().as_millis() as u64;
        self.since.store(since, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    fn elapsed(&self) -> Duration {
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(since)
    }

    /// Whether the client takes too long to send a header or to read an answer.
    fn is_overdue(&self, limits: &Limits) -> bool {
        self.is_in(Phase::Head) && self.elapsed() > limits.head
            || self.is_in(Phase::Answer) && self.elapsed() > limits.write
    }

    fn is_idle_for(&self, time: Duration) -> bool {
        self.is_in(Phase::Idle) && self.elapsed() > time
    }
}

// === impl Watched ===

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.activity.is_in(Phase::Idle) {
            self.activity.enter(Phase::Head);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes after it has written everything for this stream.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() && self.activity.is_in(Phase::Answer) {
            self.activity.enter(Phase::Idle);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Pauses after an error of the system, such as too many open files. An error of one connection needs no pause.
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
