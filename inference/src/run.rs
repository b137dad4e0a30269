//! Runs the server with the settings and returns an exit code.

use std::{io, net::SocketAddr, num::NonZeroUsize, path::Path, process::ExitCode, sync::Arc, time::Duration};

use modelward_service::{Termination, chain, start_log};
use tokio::net::TcpListener;

use crate::{
    app::App,
    args::{Args, KeyError},
    ledger::Ledger,
    loader::{Loader, VerificationError},
    routes::{RoutesError, read_routes},
    server::{serve, serve_probes},
};

/// Exit code for a bundle or routes that must not be served. A restart does not help.
const EXIT_VERIFICATION: u8 = 3;

/// Maximum number of threads that serve connections. About as many score large bodies.
const MAX_THREADS: usize = 16;

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Routes(#[from] RoutesError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("failed to create a client for the ledger at {url}")]
    Ledger {
        url: String,
        source: modelward_ledger_client::Error,
    },
    #[error("failed to listen at {addr}; set MODELWARD_ADDR to a free address of this machine")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error("failed to start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Verification(#[from] VerificationError),
}

/// Runs until SIGTERM. The exit code is 3 if a bundle or the routes failed verification and 1 for any other error. The
/// reason is in the log and in the termination message.
pub fn run(args: &Args) -> ExitCode {
    start_log(args.log_format);
    // Each thread has some memory, so the number of threads is limited on a large machine.
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MAX_THREADS))
        .max_blocking_threads(cores.min(MAX_THREADS) + 4)
        .enable_all()
        .build()
        .map_err(RunError::Start)
        .and_then(|runtime| runtime.block_on(run_until_stopped(args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = chain(&error);
            tracing::error!("{reason}");
            write_termination(&args.termination_log, &reason);
            match error {
                RunError::Verification(_) | RunError::Routes(RoutesError::OtherDigest { .. }) => {
                    ExitCode::from(EXIT_VERIFICATION)
                }
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn run_until_stopped(args: &Args) -> Result<(), RunError> {
    let termination = Termination::listen().map_err(RunError::Start)?;
    let (routes, digest) = read_routes(
        &args.routes_file,
        args.model.as_deref(),
        args.routes_digest.as_ref(),
    )?;
    let signer = args.signer()?;
    let ledger = Ledger::new(&args.ledger_url, args.ledger_token_file.as_deref()).map_err(|source| {
        RunError::Ledger {
            url: args.ledger_url.clone(),
            source,
        }
    })?;
    let loader = Loader {
        ledger: ledger.clone(),
        namespace: args.namespace.clone(),
        cache_dir: args.cache_dir.clone(),
        max_backoff: Duration::from_secs(15),
    };
    let listen = |source| RunError::Listen {
        addr: args.addr,
        source,
    };
    let listener = TcpListener::bind(args.addr).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    tracing::info!(
        namespace = args.namespace,
        model = routes.model,
        pod = args.pod_name,
        routes = routes.routes.len(),
        routes_digest = %digest,
        %addr,
        "listening at {addr} for model {}",
        routes.model
    );
    let app = App::new(args.namespace.clone(), routes, signer, args.limits())
        .with_counts_in(&args.cache_dir.join("counts"))
        .with_traffic_key(args.traffic_key_file.clone())
        .with_routes_digest(&digest)
        .with_ledger(ledger);
    let app = Arc::new(app);
    if let Some(addr) = args.probe_addr {
        let listen = |source| RunError::Listen { addr, source };
        let listener = std::net::TcpListener::bind(addr).map_err(listen)?;
        serve_probes(Arc::clone(&app), listener).map_err(listen)?;
        tracing::info!(%addr, "probes and metrics are also served at {addr}");
    }
    let flush = Duration::from_secs(args.flush_seconds.max(1));
    serve(app, loader, listener, flush, termination.asked()).await?;
    Ok(())
}

/// Writes the reason to the termination message for the kubelet. The file exists only in a Pod.
fn write_termination(path: &Path, reason: &str) {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, reason.as_bytes()));
    match written {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "failed to write the termination message {}", path.display());
        }
        _ => {}
    }
}
