//! Servers that a test process receives if `with-servers` runs the tests.
//!
//! ```text
//! with-servers COMMAND ──owns──► the servers, each started when a test asks for it
//!        └─ listens at the path in MODELWARD_TEST_SERVERS ◄── `shared()` of a test's process, which is answered with a place
//! ```
//!
//! nextest runs each test in a separate process. Without this, each of them would start an API server.

use std::{env, path::Path};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

/// The variable with the path of the socket at which [`run`](crate::servers::run) listens.
pub const VARIABLE: &str = "MODELWARD_TEST_SERVERS";

/// A shared server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Server {
    /// A kube-apiserver with Modelward's CRDs.
    Plain,
    /// A kube-apiserver that also has the chart's policies.
    Gated,
    /// A PostgreSQL.
    Postgres,
}

/// The address of the server that this process received; `None` if it must start its own.
pub(crate) async fn given<T: DeserializeOwned>(server: Server) -> Result<Option<T>> {
    let Some(path) = env::var_os(VARIABLE) else {
        return Ok(None);
    };
    let place = ask(Path::new(&path), server).await?;
    Ok(Some(serde_json::from_value(place)?))
}

/// Asks the process that listens at this socket for a server, which it starts if necessary. The result is in the format of the
/// server's module. An error says why there is no server.
pub async fn ask(socket: &Path, server: Server) -> Result<Value> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "{VARIABLE} is {}, where no with-servers listens: unset it, or run the tests under with-servers",
            socket.display()
        )
    })?;
    let mut stream = BufReader::new(stream);
    let question = serde_json::to_string(&server)?;
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    let answer: Result<Value, String> =
        serde_json::from_str(&answer).context("with-servers ended before it answered")?;
    answer.map_err(|error| anyhow!("with-servers has no {server:?} server: {error}"))
}
