//! A listener with limits on headers, times, connections, and connections of an address.

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use modelward_service::chain;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::connection::Connection;

/// The limits of one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of connections. Further ones wait in the kernel's queue.
    pub connections: usize,
    /// Maximum number of connections of one address. Further ones are closed.
    pub per_address: usize,
    /// Maximum bytes of a request header. At least 8192, which is the minimum of the HTTP library.
    pub head_bytes: usize,
    /// Time limit for a header, from the end of the previous request.
    pub head_time: Duration,
    /// Time limit for a receiver to make progress.
    pub idle: Duration,
    /// Maximum lifetime of a connection.
    pub lifetime: Option<Duration>,
}

/// The lifetime of connections without a limit.
const ALWAYS: Duration = Duration::from_hours(24 * 365);

// === impl Limits ===

impl Limits {
    /// Limits for probes and metrics, which are short requests.
    pub const PROBES: Self = Self {
        connections: 64,
        per_address: 16,
        head_bytes: 8192,
        head_time: Duration::from_secs(5),
        idle: Duration::from_secs(10),
        lifetime: Some(Duration::from_secs(30)),
    };
    /// Limits for requests with large bodies, which have their own limits.
    pub const API: Self = Self {
        connections: 1024,
        per_address: 128,
        head_bytes: 8192,
        head_time: Duration::from_secs(10),
        idle: Duration::from_mins(1),
        lifetime: None,
    };
}

/// Serves until `shutdown` completes, and then until the requests in flight have ended or `grace` is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) {
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::default();
    let accept = async {
        loop {
            let Ok(permit) = connections.clone().acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // For example, there are no free file descriptors. Trying again at once would loop.
                    tracing::warn!(error = chain(&error), "failed to accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = addresses.take(peer.ip(), limits.per_address) else {
                tracing::debug!("{} has {} connections: closed", peer.ip(), limits.per_address);
                continue;
            };
            let _ = stream.set_nodelay(true);
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_time)
                .max_buf_size(limits.head_bytes)
                .serve_connection(
                    TokioIo::new(Connection::new(stream, limits.idle)),
                    TowerToHyperService::new(router.clone()),
                );
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                match timeout(limits.lifetime.unwrap_or(ALWAYS), connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(error = chain(&error), "a connection ended early"),
                    Err(_) => tracing::debug!("a connection lasted too long and was closed"),
                }
                drop((permit, place));
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    drop(listener);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight after {grace:?}");
    }
}

// === addresses ===

/// The number of connections of each address.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address.
struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn take(&self, address: IpAddr, most: usize) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place {
            addresses: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    async fn listening(limits: Limits) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "ok" }));
        tokio::spawn(serve(
            listener,
            router,
            limits,
            std::future::pending(),
            Duration::ZERO,
        ));
        address
    }

    async fn asked(address: std::net::SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Resident memory of this process in KiB.
    fn resident() -> i64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_head_of_more_than_eight_kib_is_refused() {
        let address = listening(Limits::PROBES).await;
        assert!(asked(address).await.starts_with("HTTP/1.1 200"));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(9000));
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn four_hundred_connections_with_endless_heads_cost_little_memory_and_are_cut() {
        let limits = Limits {
            per_address: 400,
            head_time: Duration::from_secs(2),
            ..Limits::API
        };
        let address = listening(limits).await;
        assert!(asked(address).await.starts_with("HTTP/1.1 200"));
        let before = resident();
        let begun = Instant::now();
        let mut streams = Vec::new();
        for _ in 0..400 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Shorter than the maximum size of a header, but without its end.
            let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(7000));
            stream.write_all(head.as_bytes()).await.unwrap();
            streams.push(stream);
        }
        let piece = vec![b'x'; 400 * 1024];
        for stream in &mut streams[..200] {
            // Longer than the maximum size: the connection is closed in the middle of it.
            let _ = timeout(Duration::from_millis(50), stream.write_all(&piece)).await;
        }
        let grown = resident() - before;
        assert!(grown < 16 * 1024, "400 connections took {grown} KiB");
        for stream in &mut streams {
            let mut rest = Vec::new();
            let cut = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
            assert!(cut.is_ok(), "a connection without an end of its head is open");
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(asked(address).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn one_address_does_not_take_all_connections() {
        let limits = Limits {
            per_address: 3,
            ..Limits::PROBES
        };
        let address = listening(limits).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        sleep(Duration::from_millis(100)).await;
        let mut refused = TcpStream::connect(address).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(2), refused.read_to_end(&mut rest)).await;
        assert!(closed.is_ok() && rest.is_empty());
        drop(held);
        sleep(Duration::from_millis(100)).await;
        assert!(asked(address).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_probe_connection_ends_whatever_it_does() {
        let limits = Limits {
            lifetime: Some(Duration::from_millis(500)),
            ..Limits::PROBES
        };
        let address = listening(limits).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun = Instant::now();
        let mut rest = Vec::new();
        while begun.elapsed() < Duration::from_secs(5) {
            if stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .is_err()
            {
                break;
            }
            let mut piece = [0; 256];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(read) => rest.extend_from_slice(&piece[..read]),
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(3));
        assert!(rest.starts_with(b"HTTP/1.1 200"));
    }
}
