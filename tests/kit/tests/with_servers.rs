//! What tests under `with-servers` share, and what remains when it ends.

#![expect(clippy::unwrap_used, reason = "a test ends if it cannot get what it needs")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use modelward_kit::{
    given::{Server, VARIABLE, ask},
    wait::until,
};

/// A command that ends with 7 once its standard input has a line.
struct Running {
    wrapper: Child,
    /// Kept separately, because waiting for a child closes its standard input.
    input: ChildStdin,
    /// Process id of the command.
    command: u32,
    socket: PathBuf,
}

// === impl Running ===

impl Running {
    fn begin() -> Self {
        let script = format!("echo $$ \"${VARIABLE}\"; read -r line; exit 7");
        let mut wrapper = Command::new(env!("CARGO_BIN_EXE_with-servers"))
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(wrapper.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let (command, socket) = line.trim().split_once(' ').unwrap();
        Self {
            input: wrapper.stdin.take().unwrap(),
            wrapper,
            command: command.parse().unwrap(),
            socket: socket.into(),
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.wrapper.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    fn code(&mut self) -> Option<i32> {
        self.wrapper.wait().unwrap().code()
    }

    async fn postgres(&self) -> u16 {
        let place = ask(&self.socket, Server::Postgres).await.unwrap();
        place["port"].as_u64().unwrap().try_into().unwrap()
    }

    async fn api_server(&self) -> (u16, PathBuf) {
        let place = ask(&self.socket, Server::Plain).await.unwrap();
        let (_, port) = place["address"].as_str().unwrap().rsplit_once(':').unwrap();
        (port.parse().unwrap(), place["directory"].as_str().unwrap().into())
    }

    async fn until_gone(&self, ports: &[u16]) {
        for port in ports {
            until(&format!("port {port} to be closed"), SOON, async || {
                Ok((!answers(*port)).then_some(()))
            })
            .await
            .unwrap();
        }
        let command = format!("/proc/{}", self.command);
        until("the command to be gone", SOON, async || {
            Ok((!Path::new(&command).exists()).then_some(()))
        })
        .await
        .unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.wrapper.kill();
        let _ = self.wrapper.wait();
    }
}

const SOON: Duration = Duration::from_secs(30);

/// The directory of the PostgreSQL at this port.
fn directory_of(port: u16) -> PathBuf {
    // As root it is in /tmp.
    let parents = [env::temp_dir(), "/tmp".into()];
    let entries = parents.iter().flat_map(|parent| fs::read_dir(parent).unwrap());
    let directories = entries.map(|entry| entry.unwrap().path());
    let mut found = directories.filter(|directory| {
        let file = fs::read_to_string(directory.join("data/postmaster.pid"));
        file.is_ok_and(|file| file.lines().nth(3) == Some(&port.to_string()))
    });
    found.next().unwrap()
}

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[tokio::test]
async fn who_asks_gets_the_same_servers_which_end_with_the_command_whose_code_is_passed_on() {
    let mut running = Running::begin();
    let port = running.postgres().await;
    assert_eq!(running.postgres().await, port);
    let (api, directory) = running.api_server().await;
    assert_eq!(running.api_server().await.0, api);
    assert!(answers(port) && answers(api) && directory.exists());
    running.input.write_all(b"\n").unwrap();
    assert_eq!(running.code(), Some(7));
    assert!(
        !answers(port) && !answers(api),
        "the servers are still running after the command"
    );
    assert!(!directory.exists() && !running.socket.exists());
}

#[tokio::test]
async fn the_end_of_with_servers_is_the_end_of_the_command_and_of_the_servers() {
    let mut running = Running::begin();
    let port = running.postgres().await;
    running.signal("TERM");
    assert_eq!(running.code(), Some(128 + 15));
    assert!(!answers(port), "the server is still running after the command");

    let running = Running::begin();
    let (port, (api, directory)) = (running.postgres().await, running.api_server().await);
    let directories = [directory, directory_of(port)];
    running.signal("KILL");
    running.until_gone(&[port, api]).await;
    until("the directories of the servers to be gone", SOON, async || {
        Ok((!directories.iter().any(|directory| directory.exists())).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn without_with_servers_the_error_says_what_to_do() {
    let error = ask(Path::new("/none/servers"), Server::Gated).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is /none/servers, where no with-servers listens: unset it"),
        "{error}"
    );
}
