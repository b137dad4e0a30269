//! `run`: metrics and probes first, then the lease, then the controllers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use kube::{Client, Config as KubeConfig};
use modelward_controllers::{Clock, Context, Health, Metrics, lease::Election, ledger_client};
use modelward_ledger::listen::{self, Limits};
use modelward_service::{Termination, metrics::CONTENT_TYPE};
use tokio::{net::TcpListener, sync::oneshot};

use crate::args::RunArgs;

#[derive(Clone)]
struct Probes {
    health: Health,
    metrics: Metrics,
}

/// Reconciles until the process is asked to end or loses the lease.
pub async fn run(args: RunArgs, termination: Termination) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let probes = Probes {
        health: Health::default(),
        metrics: metrics.clone(),
    };
    let listener = TcpListener::bind(args.metrics_addr)
        .await
        .with_context(|| format!("failed to listen on {}", args.metrics_addr))?;
    // A separate task, so that computations of the controllers cannot delay a probe.
    let serving = tokio::spawn(listen::serve(
        listener,
        router(probes.clone()),
        Limits::PROBES,
        std::future::pending(),
        Duration::ZERO,
    ));
    tokio::select! {
        worked = work(args, metrics, probes.health, termination) => worked,
        _ = serving => bail!("metrics and probes cannot be served any more"),
    }
}

/// Waits for the lease, leads, and releases the lease.
async fn work(
    args: RunArgs,
    metrics: Metrics,
    health: Health,
    termination: Termination,
) -> anyhow::Result<()> {
    let clock: Clock = Arc::new(|| {
        let since = std::time::SystemTime::now();
        since
            .try_into()
            .unwrap_or(modelward_controllers::Timestamp::UNIX_EPOCH)
    });
    let configured = tokio::select! {
        configured = KubeConfig::infer() => configured,
        () = termination.asked() => return Ok(()),
    };
    let mut config = configured.context("failed to load the configuration of the Kubernetes client")?;
    // The client would retry for minutes, but a reconcile has its own deadline and backoff.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let client = Client::try_from(config).context("failed to make a client for the API server")?;
    let ledger = ledger_client(&args.ledger_url, args.ledger_token_file.clone())?;
    let mut election = Election::new(
        client.clone(),
        &args.pod_namespace,
        &args.lease_name,
        &args.pod_name,
        clock.clone(),
    );

    if !election.acquire_until(termination.asked()).await {
        return Ok(());
    }
    tracing::info!(lease.holder = args.pod_name, "{} leads", args.pod_name);
    metrics.leads(true);
    let ctx = Arc::new(Context::new(
        client,
        args.config(),
        ledger,
        metrics.clone(),
        &args.pod_name,
        clock,
    ));
    // A separate task renews the lease, so that computations of the controllers cannot delay a renewal.
    let (worked, working) = oneshot::channel::<()>();
    let mut keeping = tokio::spawn(async move {
        let held = election
            .hold_until(async {
                let _ = working.await;
            })
            .await;
        if held {
            election.release().await;
        }
        held
    });
    let asked = {
        let termination = termination.clone();
        async move { termination.asked().await }
    };
    let held = tokio::select! {
        () = modelward_controllers::run(ctx, health, asked) => {
            drop(worked);
            keeping.await
        }
        held = &mut keeping => held,
    };
    metrics.leads(false);
    if !held.context("the renewal of the lease ended")? {
        // Another process may already lead, so this process must stop all work.
        bail!("the lease was lost");
    }
    tracing::info!(
        lease.holder = args.pod_name,
        "{} has released the lease",
        args.pod_name
    );
    Ok(())
}

fn router(probes: Probes) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

/// A process that stands by is ready, because it can take over.
async fn readyz(State(probes): State<Probes>) -> (StatusCode, String) {
    let problems = probes.health.problems();
    if problems.is_empty() {
        let role = if probes.health.started() {
            "leads"
        } else {
            "stands by"
        };
        return (StatusCode::OK, format!("ok: {role}\n"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    match probes.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
