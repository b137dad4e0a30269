//! `with-servers`: owns the servers that tests of several processes share. See [`given`](crate::given).

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    process::Command,
    signal::unix::{SignalKind, signal},
    sync::OnceCell,
    task::JoinSet,
};

use crate::{
    apiserver::ApiServer,
    chart,
    given::{Server, VARIABLE},
    postgres::{self, Postgres},
};

/// The servers that were requested.
#[derive(Default)]
struct Servers {
    plain: OnceCell<ApiServer>,
    gated: OnceCell<ApiServer>,
    postgres: OnceCell<Postgres>,
}

/// Runs a command with [`VARIABLE`] set, and ends the servers when it has ended. The exit code is the command's, or 128 plus the
/// number of the signal that ended it, as in a shell.
///
/// SIGTERM is passed on to the command; signals from a terminal reach it directly. If this process is killed, the command also
/// receives SIGTERM.
pub async fn run(command: &[OsString]) -> Result<ExitCode> {
    ensure!(!command.is_empty(), "usage: with-servers COMMAND [ARGUMENT…]");
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("servers");
    let listener = UnixListener::bind(&socket)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // The parent-death signal is sent when the thread that forked ends, so the caller blocks the main thread on this future.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .args(command)
        .env(VARIABLE, &socket)
        .spawn()
        .context("cannot run setpriv")?;
    let pid = child.id().context("a running command has a process id")?;
    let servers = Arc::new(Servers::default());
    let mut asked = JoinSet::new();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            accepted = listener.accept() => { asked.spawn(answer(servers.clone(), accepted?.0)); }
            _ = terminate.recv() => postgres::signal(pid, "TERM"),
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    };
    // Each task holds the servers.
    asked.shutdown().await;
    drop(servers);
    Ok(code_of(status))
}

async fn answer(servers: Arc<Servers>, stream: UnixStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut question = String::new();
    stream.read_line(&mut question).await?;
    let place = match serde_json::from_str(&question) {
        Ok(server) => servers.place_of(server).await,
        Err(error) => Err(error.into()),
    };
    let answer = serde_json::to_string(&place.map_err(|error| format!("{error:#}")))?;
    Ok(stream.write_all(format!("{answer}\n").as_bytes()).await?)
}

fn code_of(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

// === impl Servers ===

impl Servers {
    /// The address of the server, once it is ready. If it could not be started, the next request tries again.
    async fn place_of(&self, server: Server) -> Result<Value> {
        let place = match server {
            Server::Plain => {
                serde_json::to_value(self.plain.get_or_try_init(ApiServer::with_crds).await?.place())
            }
            Server::Gated => serde_json::to_value(
                self.gated
                    .get_or_try_init(chart::start_gated_server)
                    .await?
                    .place(),
            ),
            Server::Postgres => {
                serde_json::to_value(self.postgres.get_or_try_init(Postgres::start).await?.place())
            }
        };
        Ok(place?)
    }
}
