//! The operator in a separate process, so that its memory and its processor time can be measured, and the parent's handle on it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{Config as KubeConfig, client::ClientBuilder};
use modelward_controllers::{Config, Context, Health, Metrics, ProberConfig, Timestamp, ledger_client, run};
use modelward_core::policy::Policy;
use modelward_kit::calls::{Call, Calls, Recorder};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::report::Phase;

/// The argument that makes this program the operator.
pub const ARGUMENT: &str = "--operator";
/// The operator has settled after this time without a request.
const QUIET: Duration = Duration::from_secs(5);
/// Polling interval while the process works. Each poll removes the recorded requests, so that they do not count as its memory.
const LOOK: Duration = Duration::from_millis(200);
/// Polling interval while the process is idle, because each poll has a small cost.
const GLANCE: Duration = Duration::from_secs(5);
/// Maximum number of names of written objects that are kept.
const NAMES: usize = 5;
/// Clock ticks per second in `/proc`, which are the same on every Linux.
const TICKS: f64 = 100.0;

/// The configuration of the process, which it reads from its standard input.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    /// Address of the API server.
    pub api: String,
    /// The operator's token for it.
    pub token: String,
    /// Address of the ledger.
    pub ledger_url: String,
    /// The file with the operator's token for it.
    pub ledger_token_file: PathBuf,
    /// Base URL for probes of models.
    pub front: String,
}

/// What the process recorded since the last poll.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    /// By verb and resource.
    reads: BTreeMap<String, u64>,
    /// By verb, resource and status.
    writes: BTreeMap<String, u64>,
    /// Verb, resource and name of the first written objects.
    written: Vec<String>,
    /// By verb and resource.
    trials: BTreeMap<String, u64>,
    /// Bytes of responses.
    bytes: u64,
    /// Open watches.
    watches: usize,
}

/// What the process counted since its start.
#[derive(Clone, Debug, Default)]
struct Counted {
    reconciles: BTreeMap<String, u64>,
    failed: u64,
    active: u64,
}

// === the process ===

/// Runs the controllers until the standard input closes, which happens however the parent ends.
pub async fn work() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut first = String::new();
    std::io::stdin().read_line(&mut first)?;
    let orders: Orders = serde_json::from_str(&first)
        .context("this runs as a part of the benchmark and reads its settings from the standard input")?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });

    let calls = Calls::default();
    let metrics = Metrics::new();
    let context = context(orders, &calls, metrics.clone())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()?;
    drop(stdout);
    tokio::select! {
        () = run(Arc::new(context), Health::default(), std::future::pending()) => bail!("the controllers ended"),
        served = serve(listener, calls, metrics) => served,
    }
}

/// The chart's defaults, but with retention limits that keep everything that the benchmark seeded.
fn context(orders: Orders, calls: &Calls, metrics: Metrics) -> Result<Context> {
    let mut kube = KubeConfig::new(orders.api.parse()?);
    kube.accept_invalid_certs = true;
    kube.default_retry = false;
    kube.connect_timeout = Some(Duration::from_secs(5));
    kube.auth_info.token = Some(orders.token.into());
    let client = ClientBuilder::try_from(kube)?
        .with_layer(&Recorder(calls.clone()))
        .build();
    let ledger = ledger_client(&orders.ledger_url, orders.ledger_token_file.clone())?;
    let config = Config {
        trainer_image: "modelward/trainer:bench".into(),
        inference_image: "modelward/inference:bench".into(),
        image_pull_policy: "IfNotPresent".into(),
        image_pull_secrets: Vec::new(),
        ledger_url: orders.ledger_url,
        ledger_token_file: orders.ledger_token_file,
        workload_service_account: "default".into(),
        training_deadline_seconds: 3600,
        max_dataset_mib: 512,
        allowed_trainers: modelward_core::custom_trainer::AllowedTrainers::default(),
        allow_sources: modelward_controllers::Networks::default(),
        deny_sources: modelward_controllers::Networks::default(),
        trainer_resources: ResourceRequirements::default(),
        jobs: modelward_core::queue::Limits::default(),
        policy: Policy {
            reports_kept: i32::MAX,
            actions_kept: i32::MAX,
            alerts_kept: i32::MAX,
            ..Policy::default()
        },
        gate_children: false,
        publishes: false,
        ignore_differences: Vec::new(),
        upgrade_at_once: 1,
        prober: ProberConfig {
            through: Some(orders.front),
            ..ProberConfig::default()
        },
        watch_namespace: None,
    };
    let clock = Arc::new(|| Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH));
    Ok(Context::new(
        client,
        config,
        ledger,
        metrics,
        "modelward-operator-0",
        clock,
    ))
}

async fn serve(listener: TcpListener, calls: Calls, metrics: Metrics) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (calls, metrics) = (calls.clone(), metrics.clone());
        tokio::spawn(async move { answer(stream, &calls, &metrics).await });
    }
}

async fn answer(mut stream: TcpStream, calls: &Calls, metrics: &Metrics) -> Result<()> {
    let mut head = vec![0; 2048];
    let read = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    let (status, body) = match head.split(' ').nth(1) {
        Some("/calls") => ("200 OK", serde_json::to_string(&Noted::of(calls))?),
        Some("/metrics") => ("200 OK", metrics.encode()?),
        _ => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    Ok(stream.write_all(answer.as_bytes()).await?)
}

// === impl Noted ===

impl Noted {
    /// Takes the recorded requests.
    fn of(calls: &Calls) -> Self {
        let mut noted = Self {
            bytes: calls.take_bytes().values().sum(),
            watches: calls.watches(),
            ..Self::default()
        };
        for call in calls.take() {
            noted.add(&call);
        }
        noted
    }

    fn add(&mut self, call: &Call) {
        let what = format!("{} {}", call.verb, call.resource);
        if call.verb == "watch" {
            return;
        }
        if call.dry_run || call.resource.ends_with("reviews") {
            *self.trials.entry(what).or_default() += 1;
        } else if call.writes() {
            let name = call.name.as_deref().unwrap_or_default();
            if self.written.len() < NAMES {
                self.written.push(format!("{what} {name}").trim_end().to_owned());
            }
            *self.writes.entry(format!("{what} {}", call.status)).or_default() += 1;
        } else {
            *self.reads.entry(what).or_default() += 1;
        }
    }

    /// Whether the operator made a request, except probes of the policies, which it makes every few minutes in any case.
    fn is_work(&self) -> bool {
        !self.reads.is_empty() || !self.writes.is_empty()
    }
}

// === impl Counted ===

impl Counted {
    /// Reads the operator's metrics.
    fn of(text: &str) -> Self {
        let mut counted = Self::default();
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let value = value as u64;
            match name {
                "modelward_operator_reconciles_total" => {
                    let controller = labels
                        .split("controller=\"")
                        .nth(1)
                        .and_then(|rest| rest.split('"').next());
                    let controller = controller.unwrap_or_default().to_owned();
                    *counted.reconciles.entry(controller).or_default() += value;
                }
                "modelward_operator_reconcile_errors_total" => counted.failed += value,
                "modelward_operator_active_reconciles" => counted.active += value,
                _ => {}
            }
        }
        counted
    }
}

// === the parent's handle ===

/// The operator's process; it ends when this is dropped.
pub struct Operator {
    child: Child,
    url: String,
    http: reqwest::Client,
    began: Instant,
}

/// One phase of the run that is being measured.
pub struct Measuring<'a> {
    operator: &'a mut Operator,
    phase: Phase,
    begun: Instant,
    /// Time of the last change or the last request.
    last: Instant,
    cpu: f64,
    counted: Counted,
}

// === impl Operator ===

impl Operator {
    /// Starts the process.
    pub fn start(orders: &Orders) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let began = Instant::now();
        let child = Command::new(&program)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut operator = Self {
            child,
            url: String::new(),
            http: reqwest::Client::builder().no_proxy().build()?,
            began,
        };
        let mut stdin = operator.child.stdin.as_ref().context("no standard input")?;
        writeln!(stdin, "{}", serde_json::to_string(orders)?)?;
        let mut address = String::new();
        let stdout = operator.child.stdout.take().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(
            !address.is_empty(),
            "the operator's process ended at once: {}; what it wrote above says why",
            operator.child.wait()?
        );
        operator.url = format!("http://{}", address.trim_end());
        Ok(operator)
    }

    /// Kills the process with SIGKILL, wherever it is.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts a measurement. The first phase of a process starts with the process.
    pub async fn measure(&mut self, name: &str, first: bool) -> Result<Measuring<'_>> {
        let (begun, cpu, counted) = if first {
            (self.began, 0.0, Counted::default())
        } else {
            // Earlier requests do not belong to this phase.
            self.noted().await?;
            (Instant::now(), self.cpu()?, self.counted().await?)
        };
        Ok(Measuring {
            operator: self,
            phase: Phase {
                name: name.to_owned(),
                ..Phase::default()
            },
            begun,
            last: begun,
            cpu,
            counted,
        })
    }

    async fn noted(&mut self) -> Result<Noted> {
        Ok(serde_json::from_str(&self.ask("calls").await?)?)
    }

    async fn counted(&mut self) -> Result<Counted> {
        Ok(Counted::of(&self.ask("metrics").await?))
    }

    async fn ask(&mut self, what: &str) -> Result<String> {
        let answer = self.http.get(format!("{}/{what}", self.url)).send().await;
        match answer {
            Ok(answer) => Ok(answer.text().await?),
            Err(error) => match self.child.try_wait()? {
                Some(status) => bail!("the operator's process ended: {status}; what it wrote above says why"),
                None => Err(error).context("the operator's process does not answer"),
            },
        }
    }

    /// Seconds of processor time since its start.
    fn cpu(&self) -> Result<f64> {
        cpu_seconds(&self.proc("stat")?)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Measuring ===

impl Measuring<'_> {
    /// Records that all changes of this phase were made.
    pub fn changed(&mut self, objects: usize) {
        self.phase.changed = objects;
        self.last = Instant::now();
    }

    /// Waits until the operator makes no more requests.
    pub async fn settles(&mut self, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let (active, last) = self.look().await?;
            if active == 0 && self.last.elapsed() >= QUIET && begun.elapsed() >= QUIET {
                return Ok(());
            }
            if begun.elapsed() > patience {
                bail!(
                    "{}: the operator has not settled within {} s: {active} reconciles are under way, and its last calls were \
                     {last}; BENCH_PATIENCE gives it more time",
                    self.phase.name,
                    patience.as_secs()
                );
            }
        }
    }

    /// Observes the process for this duration.
    pub async fn passes(&mut self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            tokio::time::sleep(left.min(GLANCE)).await;
            self.look().await?;
        }
        Ok(())
    }

    /// Ends the phase. It lasted until the last change or request, or for its fixed duration.
    pub async fn end(mut self, length: Option<Duration>) -> Result<Phase> {
        let counted = self.operator.counted().await?;
        for (controller, now) in counted.reconciles {
            let before = self.counted.reconciles.get(&controller).copied().unwrap_or(0);
            if now > before {
                self.phase.reconciles.insert(controller, now - before);
            }
        }
        self.phase.failed = counted.failed - self.counted.failed;
        self.phase.seconds = match length {
            Some(length) => length.as_secs_f64(),
            None => self.last.duration_since(self.begun).as_secs_f64(),
        };
        self.phase.cpu_seconds = self.operator.cpu()? - self.cpu;
        let status = self.operator.proc("status")?;
        self.phase.rss_mib = mib(&status, "VmRSS:")?;
        self.phase.anonymous_mib = mib(&status, "RssAnon:")?;
        self.phase.peak_mib = mib(&status, "VmHWM:")?;
        Ok(self.phase)
    }

    /// Adds what was recorded since the last poll. Returns the running reconciles and the requests as text.
    async fn look(&mut self) -> Result<(u64, String)> {
        let noted = self.operator.noted().await?;
        let active = self.operator.counted().await?.active;
        if noted.is_work() || active > 0 {
            self.last = Instant::now();
        }
        let words: Vec<String> = (noted.reads.iter().chain(&noted.writes))
            .map(|(what, count)| format!("{count} × {what}"))
            .collect();
        let phase = &mut self.phase;
        phase.read_mib += noted.bytes as f64 / f64::from(1 << 20);
        phase.watches = phase.watches.max(noted.watches);
        for (all, new) in [
            (&mut phase.reads, noted.reads),
            (&mut phase.writes, noted.writes),
            (&mut phase.trials, noted.trials),
        ] {
            for (what, count) in new {
                *all.entry(what).or_default() += count;
            }
        }
        phase.written.extend(noted.written);
        phase.written.truncate(NAMES);
        Ok((active, words.join(", ")))
    }
}

// === small ===

/// Processor time in user and kernel mode, in seconds: the 14th and the 15th field of `/proc/<pid>/stat`.
fn cpu_seconds(stat: &str) -> Result<f64> {
    // The second field is the name in parentheses, which may contain spaces.
    let (_, rest) = stat.rsplit_once(')').context("a stat has a name")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok());
    let both = ticks().zip(ticks()).context("a stat has its times")?;
    Ok((both.0 + both.1) / TICKS)
}

/// A field of `/proc/<pid>/status` in MiB.
fn mib(status: &str, field: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("/proc/<pid>/status has no {field}"))? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_memory_are_read_as_the_kernel_writes_them() {
        let stat = "42 (bench) operator) S 1 42 42 0 -1 4194560 100 0 0 0 1250 250 0 0 20 0 5 0 100 1 2";
        assert_eq!(cpu_seconds(stat).unwrap(), 15.0);
        let status = "VmPeak:\t 9 kB\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n";
        assert_eq!(mib(status, "VmRSS:").unwrap(), 100.0);
        assert_eq!(mib(status, "VmHWM:").unwrap(), 200.0);
        assert!(mib(status, "VmSwap:").is_err());
    }

    #[test]
    fn counters_are_summed_by_controller() {
        let text = "# EOF is no sample\n\
            modelward_operator_reconciles_total{controller=\"model\",result=\"ok\"} 3\n\
            modelward_operator_reconciles_total{controller=\"model\",result=\"error\"} 2\n\
            modelward_operator_reconciles_total{controller=\"action\",result=\"ok\"} 7\n\
            modelward_operator_reconcile_errors_total{controller=\"model\",reason=\"Conflict\"} 2\n\
            modelward_operator_active_reconciles{controller=\"model\"} 1\n\
            # EOF\n";
        let counted = Counted::of(text);
        assert_eq!(
            counted.reconciles,
            [("action".into(), 7), ("model".into(), 5)].into()
        );
        assert_eq!((counted.failed, counted.active), (2, 1));
    }

    #[test]
    fn calls_are_sorted_by_what_they_can_change() {
        let call = |verb: &'static str, resource: &str, status: u16, dry_run: bool| Call {
            verb,
            group: String::new(),
            resource: resource.to_owned(),
            name: Some("heart".to_owned()),
            status,
            dry_run,
        };
        let mut noted = Noted::default();
        for call in [
            call("watch", "models", 200, false),
            call("get", "models", 200, false),
            call("list", "pods", 200, false),
            call("patch", "remediationactions", 422, true),
            call("create", "selfsubjectreviews", 201, false),
        ] {
            noted.add(&call);
        }
        assert_eq!(noted.reads.len(), 2);
        assert_eq!(noted.trials.len(), 2);
        assert!(noted.writes.is_empty() && noted.is_work());
        noted.add(&call("patch", "models/status", 409, false));
        assert_eq!(noted.writes, [("patch models/status 409".into(), 1)].into());
        assert_eq!(noted.written, ["patch models/status heart"]);
    }
}
