//! A real PostgreSQL server for tests.
//!
//! ```text
//! Postgres ──owns──► cluster directory (temporary), one `postgres` process on 127.0.0.1:<free port>
//!    └─ database() ──► a fresh database and its URL, one for each test
//! ```
//!
//! The server is the distribution's own (`/usr/lib/postgresql/*/bin`, or `MODELWARD_POSTGRES_BIN`). It can be stopped, killed and
//! started again, and keeps its port and its data. It ends with the value that owns it. Because tests can be killed, it also ends
//! with the process that created it.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};

use crate::given::{self, given};

/// A running server, stopped and deleted when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Postgres {
    place: Place,
    /// Absent if another process owns it.
    cluster: Option<Arc<Cluster>>,
}

/// What another process needs to connect to a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// On 127.0.0.1.
    port: u16,
    /// Password of the superuser.
    password: String,
}

/// The database of one test.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name, also a valid SQL identifier.
    pub name: String,
    /// URL for the superuser `postgres`, which owns it.
    pub url: String,
}

/// The shared server of this test process, which lives while a test holds it.
static SHARED: tokio::sync::Mutex<Weak<Cluster>> = tokio::sync::Mutex::const_new(Weak::new());

/// Time limit for a start or stop of the server, which takes about 0.2 s on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Cluster {
    bin: PathBuf,
    /// Deleted after the process has ended, because `Drop` of the cluster runs before that of its fields.
    directory: tempfile::TempDir,
    /// The user that the server runs as; `None` is the user that runs the tests.
    user: Option<(u32, u32)>,
    place: Place,
    server: Mutex<Option<Server>>,
    _remover: Remover,
}

/// Removes the directory if this process ends without doing so, for example because it is killed: its pipe closes then.
#[derive(Debug)]
struct Remover(Child);

#[derive(Debug)]
struct Server {
    pid: u32,
    /// Waits for the process. The kernel kills the process when this thread ends, however the test ends.
    keeper: JoinHandle<std::io::Result<ExitStatus>>,
}

// === impl Postgres ===

impl Postgres {
    /// Creates and starts a separate cluster, for tests that stop it.
    pub async fn start() -> Result<Self> {
        let cluster = blocking(|| {
            let cluster = Cluster::create()?;
            cluster.start()?;
            Ok(cluster)
        })
        .await?;
        Ok(Self::of(Arc::new(cluster)))
    }

    fn of(cluster: Arc<Cluster>) -> Self {
        Self {
            place: cluster.place.clone(),
            cluster: Some(cluster),
        }
    }

    /// The shared server, of this process or under `with-servers`, for tests that need a database and do not stop the server.
    pub async fn shared() -> Result<Self> {
        if let Some(place) = given(given::Server::Postgres).await? {
            return Ok(Self { place, cluster: None });
        }
        let mut shared = SHARED.lock().await;
        if let Some(cluster) = shared.upgrade() {
            return Ok(Self::of(cluster));
        }
        let new = Self::start().await?;
        *shared = new.cluster.as_ref().map(Arc::downgrade).unwrap_or_default();
        Ok(new)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn cluster(&self) -> Result<Arc<Cluster>> {
        self.cluster
            .clone()
            .context("this PostgreSQL is shared with other tests: start a separate one with Postgres::start")
    }

    /// A fresh, empty database.
    pub async fn database(&self) -> Result<Database> {
        let name = format!("test_{}", random()?);
        self.execute(&self.url("postgres"), &format!("CREATE DATABASE {name}"))
            .await?;
        let url = self.url(&name);
        Ok(Database { name, url })
    }

    /// The superuser's URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.url_of("postgres", &self.place.password, database)
    }

    /// The URL for a role that a test created.
    pub fn url_of(&self, role: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{role}:{password}@127.0.0.1:{}/{database}",
            self.place.port
        )
    }

    /// Runs SQL statements for the set-up of a test. The text is trusted.
    pub async fn execute(&self, url: &str, sql: &str) -> Result<()> {
        let mut connection = PgConnection::connect(url)
            .await
            .context("cannot connect to the test's PostgreSQL")?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .with_context(|| format!("cannot run {sql:?}"))?;
        connection.close().await?;
        Ok(())
    }

    /// Stops the server and its sessions. It keeps its data and its port.
    pub async fn stop(&self) -> Result<()> {
        let cluster = self.cluster()?;
        blocking(move || cluster.end("INT")).await
    }

    /// Kills the server with SIGKILL. It keeps its data and its port.
    pub async fn kill(&self) -> Result<()> {
        let cluster = self.cluster()?;
        blocking(move || cluster.end("KILL")).await
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill). After a kill, it recovers first.
    pub async fn restart(&self) -> Result<()> {
        let cluster = self.cluster()?;
        blocking(move || cluster.start()).await
    }

    /// Process id of the running server.
    pub fn pid(&self) -> Option<u32> {
        self.cluster.as_ref()?.server().as_ref().map(|server| server.pid)
    }
}

// === impl Cluster ===

impl Cluster {
    fn create() -> Result<Self> {
        let bin = find_bin()?;
        let root = fs::metadata("/proc/self")
            .context("cannot read /proc/self")?
            .uid()
            == 0;
        // initdb does not run as root. The Debian package creates the user `postgres` for this, which must be able to enter the
        // directory.
        let (user, parent) = if root {
            (Some(user_of("postgres")?), PathBuf::from("/tmp"))
        } else {
            (None, std::env::temp_dir())
        };
        let directory = tempfile::Builder::new()
            .prefix("modelward-postgres-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
        let password = random()?;
        let password_file = directory.path().join("password");
        fs::write(&password_file, &password).context("cannot write the password file")?;
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).context("cannot give the directory to postgres")?;
            chown(&password_file, Some(uid), Some(gid))
                .context("cannot give the password file to postgres")?;
        }
        let cluster = Self {
            bin,
            _remover: Remover::spawn(directory.path())?,
            directory,
            user,
            place: Place {
                port: free_port()?,
                password,
            },
            server: Mutex::new(None),
        };
        let output = cluster
            .command("initdb")
            .args([
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                "--username=postgres",
            ])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(cluster.data())
            .output()
            .context("cannot run initdb")?;
        ensure!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(cluster)
    }

    fn start(&self) -> Result<()> {
        let mut server = self.server();
        ensure!(server.is_none(), "PostgreSQL is already running");
        let deadline = Instant::now() + PATIENCE;
        // After a kill, orphaned backends keep the shared memory for a moment, and a new server does not start.
        loop {
            match self.try_start(deadline) {
                Ok(started) => {
                    *server = Some(started);
                    return Ok(());
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn try_start(&self, deadline: Instant) -> Result<Server> {
        let log_path = self.directory.path().join("log");
        let log = fs::File::create(&log_path).context("cannot create the server's log")?;
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
            ])
            .args(["-c", "shared_buffers=32MB", "-c", "timezone=UTC"])
            .args(["-c", &format!("port={}", self.place.port)])
            .args([
                "-c",
                &format!("unix_socket_directories={}", self.directory.path().display()),
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the server's log")?)
            .stderr(log);
        let (sender, receiver) = mpsc::channel();
        // The parent-death signal is sent when the thread that forked ends, so this thread must live as long as the server.
        let keeper = thread::Builder::new()
            .name("postgres-keeper".into())
            .spawn(move || {
                let mut child = command.spawn()?;
                let _ = sender.send(child.id());
                child.wait()
            })
            .context("cannot start a thread")?;
        let Ok(pid) = receiver.recv() else {
            let error = keeper
                .join()
                .map_or_else(|_| "its thread panicked".into(), |end| format!("{end:?}"));
            bail!("cannot run postgres: {error}");
        };
        while Instant::now() < deadline {
            if self.is_ready(pid) {
                return Ok(Server { pid, keeper });
            }
            if keeper.is_finished() {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                bail!("postgres ended at once: {}", log.trim());
            }
            thread::sleep(Duration::from_millis(20));
        }
        signal(pid, "KILL");
        bail!("postgres was not ready after {PATIENCE:?}")
    }

    /// The file that pg_ctl reads: the first line is the process id, the eighth says whether the server accepts connections.
    fn is_ready(&self, pid: u32) -> bool {
        let Ok(text) = fs::read_to_string(self.data().join("postmaster.pid")) else {
            return false;
        };
        let mut lines = text.lines();
        lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|line| line.trim() == "ready")
    }

    fn end(&self, with: &str) -> Result<()> {
        let Some(server) = self.server().take() else {
            bail!("PostgreSQL is not running")
        };
        let deadline = Instant::now() + PATIENCE;
        signal(server.pid, with);
        while !server.keeper.is_finished() {
            if Instant::now() > deadline {
                // Until the keeper has waited for the process, the process id belongs to this server.
                signal(server.pid, "KILL");
                bail!("postgres did not end within {PATIENCE:?} of SIG{with}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// A PostgreSQL program that runs as the right user and is killed with the thread that starts it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if let Some((uid, gid)) = self.user {
            command.args([
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
                "--reset-env".into(),
            ]);
        }
        command
            .arg("--")
            .arg(self.bin.join(program))
            .current_dir(self.directory.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server().is_some() {
            let _ = self.end("QUIT");
        }
    }
}

// === impl Remover ===

impl Remover {
    fn spawn(directory: &Path) -> Result<Self> {
        let child = Command::new("sh")
            // A separate process group: a signal to the group of the test does not end it, but the pipe does.
            .process_group(0)
            .args(["-c", "read -r word || { sleep 1; rm -rf \"$1\"; }", "sh"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run sh")?;
        Ok(Self(child))
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            let _ = pipe.write_all(b"ends\n");
        }
        let _ = self.0.wait();
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("the blocking step of a test panicked")?
}

/// Sends a signal to one process by its id.
pub(crate) fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

fn find_bin() -> Result<PathBuf> {
    if let Some(bin) = std::env::var_os("MODELWARD_POSTGRES_BIN") {
        return Ok(bin.into());
    }
    let root = Path::new("/usr/lib/postgresql");
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .with_context(|| {
            format!(
                "there is no PostgreSQL in {}: install the package postgresql",
                root.display()
            )
        })?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").exists().then_some((version, bin))
        })
        .collect();
    versions.sort();
    let (_, newest) = versions.pop().with_context(|| {
        format!(
            "no initdb in {}/*/bin: install the package postgresql",
            root.display()
        )
    })?;
    Ok(newest)
}

fn user_of(name: &str) -> Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let fields: Vec<&str> = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name) && fields.len() > 3)
        .with_context(|| format!("there is no user {name}: PostgreSQL does not run as root"))?;
    Ok((fields[2].parse()?, fields[3].parse()?))
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on the loopback")?;
    Ok(listener.local_addr()?.port())
}

/// 32 hexadecimal digits that cannot be guessed.
fn random() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn count(url: &str) -> Result<i64> {
        let mut connection = PgConnection::connect(url).await?;
        Ok(sqlx::query_scalar("SELECT count(*) FROM t")
            .fetch_one(&mut connection)
            .await?)
    }

    #[tokio::test]
    async fn a_server_that_was_killed_comes_back_with_its_data() {
        let postgres = Postgres::start().await.unwrap();
        let database = postgres.database().await.unwrap();
        postgres
            .execute(&database.url, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
            .await
            .unwrap();
        let first = postgres.pid().unwrap();
        postgres.kill().await.unwrap();
        assert!(count(&database.url).await.is_err(), "it must be away");
        postgres.restart().await.unwrap();
        assert_ne!(postgres.pid(), Some(first));
        assert_eq!(count(&database.url).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_dropped_server_leaves_no_process_and_no_directory() {
        let postgres = Postgres::start().await.unwrap();
        let (pid, directory) = (
            postgres.pid().unwrap(),
            postgres.cluster().unwrap().directory.path().to_owned(),
        );
        drop(postgres);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!directory.exists());
    }
}
