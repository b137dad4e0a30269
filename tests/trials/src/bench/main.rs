//! Resource usage of the operator: memory, processor time, reads, writes and watches, with thousands of objects that need no work.
//!
//! ```text
//! parent:  API server, PostgreSQL, ledger, fake controllers ─ seeds ─ changes ─ reads /calls, /metrics and /proc/<pid>
//! child:   the controllers under the rights of the chart ─ every request is noted
//! ```
//!
//! Each phase of the run ends when the operator has made no request for five seconds. Only the child is measured.

mod operator;
mod report;
mod seed;

use std::{
    fmt::Debug,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Namespace},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use modelward_controllers::Timestamp;
use modelward_crds::{ConditionType, DriftReport, Model, ModelVersion, RemediationAction};
use modelward_kit::{
    apiserver::{ApiServer, User},
    chart,
    fake_controllers::FakeControllers,
    front::Front,
    objects::{label, object},
};
use modelward_trials::world::{OPERATOR, RunningLedger, SYSTEM, token};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::{
    operator::{Operator, Orders},
    report::{Report, Sizes},
    seed::{Progress, Seeded, VERSIONS, foreign, namespace, seed},
};

// As in the operator program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Phases of the run without work to do.
const IDLE: [&str; 7] = [
    RESTART,
    REST,
    VERSIONS_TOUCHED,
    MODELS_TOUCHED,
    REPORTS_TOUCHED,
    ACTIONS_TOUCHED,
    FOREIGN,
];
const FIRST: &str = "first start";
const RESTART: &str = "restart";
const REST: &str = "at rest";
const VERSIONS_TOUCHED: &str = "a label on ModelVersions";
const MODELS_TOUCHED: &str = "a label on Models";
const REPORTS_TOUCHED: &str = "a label on DriftReports";
const ACTIONS_TOUCHED: &str = "a label on RemediationActions";
const WIDE: &str = "a status write of the wide Model";
const FOREIGN: &str = "changes of a ConfigMap of another";

/// Measures the resource usage of the operator with thousands of objects that need no work.
#[derive(Parser)]
struct Args {
    /// ModelVersions: four per Model. Determines the other sizes unless they are set.
    #[arg(long, env = "BENCH_VERSIONS", default_value_t = 1000)]
    versions: usize,
    /// RemediationActions that have ended [default: 4.8 per version].
    #[arg(long, env = "BENCH_ACTIONS")]
    actions: Option<usize>,
    /// DriftReports with a verdict [default: 6 per version].
    #[arg(long, env = "BENCH_REPORTS")]
    reports: Option<usize>,
    /// ConfigMaps of other owners [default: 2 per version].
    #[arg(long, env = "BENCH_MAPS")]
    maps: Option<usize>,
    /// Versions of one more Model [default: a tenth of the versions].
    #[arg(long, env = "BENCH_WIDE")]
    wide: Option<usize>,
    /// Namespaces.
    #[arg(long, env = "BENCH_NAMESPACES", default_value_t = 10)]
    namespaces: usize,
    /// Maximum number of objects of each kind that get a label.
    #[arg(long, env = "BENCH_TOUCHED", default_value_t = 250)]
    touched: usize,
    /// Changes of a ConfigMap of another owner.
    #[arg(long, env = "BENCH_CHANGES", default_value_t = 1000)]
    changes: usize,
    /// Seconds for which the idle operator is observed.
    #[arg(long, env = "BENCH_REST", default_value_t = 60)]
    rest: u64,
    /// Timeout in seconds of a phase that does not settle.
    #[arg(long, env = "BENCH_PATIENCE", default_value_t = 900)]
    patience: u64,
    /// File for the report, as JSON.
    #[arg(long)]
    output: PathBuf,
    /// The report of an earlier run, to print a comparison.
    #[arg(long)]
    base: Option<PathBuf>,
}

// === impl Args ===

impl Args {
    fn sizes(&self) -> Result<Sizes> {
        let versions = self.versions;
        ensure!(
            versions >= VERSIONS && versions.is_multiple_of(VERSIONS),
            "BENCH_VERSIONS is {versions}: each Model has {VERSIONS} versions, so it is a multiple of {VERSIONS}"
        );
        let wide = self.wide.unwrap_or((versions / 10).max(VERSIONS));
        ensure!(
            wide > 0,
            "BENCH_WIDE is 0: the wide Model has at least one version"
        );
        ensure!(
            self.namespaces > 0,
            "BENCH_NAMESPACES is 0: the objects are in at least one namespace"
        );
        let maps = self.maps.unwrap_or(versions * 2);
        ensure!(
            maps > 0 || self.changes == 0,
            "BENCH_MAPS is 0 and one of them is to be changed BENCH_CHANGES times: set BENCH_CHANGES=0 too"
        );
        Ok(Sizes {
            namespaces: self.namespaces,
            models: versions / VERSIONS,
            versions,
            wide,
            actions: self.actions.unwrap_or(versions * 24 / 5),
            reports: self.reports.unwrap_or(versions * 6),
            maps,
            rest_seconds: self.rest,
            touched: self.touched,
            changes: self.changes,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // RUST_LOG=warn shows the operator's log.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let ended = if std::env::args().nth(1).as_deref() == Some(operator::ARGUMENT) {
        operator::work().await
    } else {
        Box::pin(measure(Args::parse())).await
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: Args) -> Result<()> {
    let mut report = Report::new(args.sizes()?);
    let base = args.base.as_deref().map(Report::read).transpose()?;
    if let Some(base) = &base {
        report.comparable(base)?;
    }
    let begun = Instant::now();
    let site = Site::build(&report.sizes).await?;
    eprintln!("seeded in {} s", begun.elapsed().as_secs());
    let ended = Box::pin(site.run(&mut report, Duration::from_secs(args.patience))).await;
    // If a phase failed, the earlier ones are still useful.
    report.write(&args.output)?;
    println!("{}", report.table(base.as_ref()));
    println!("{}", args.output.display());
    ended?;
    report.needless_writes(&IDLE)
}

/// Everything except the operator.
struct Site {
    kube: Client,
    seeded: Seeded,
    orders: Orders,
    fakes: Vec<FakeControllers>,
    /// Dropped in this order, because the ledger calls the API server.
    _front: Front,
    _ledger: RunningLedger,
    _api: ApiServer,
}

// === impl Site ===

impl Site {
    async fn build(sizes: &Sizes) -> Result<Self> {
        eprintln!("starting an API server and a ledger");
        let api = ApiServer::start().await?;
        api.install_crds().await?;
        let kube = api.client();
        let system: Namespace = object(json!({"metadata": {"name": SYSTEM}}))?;
        Api::<Namespace>::all(kube.clone())
            .create(&PostParams::default(), &system)
            .await?;
        chart::apply_rights(&api, SYSTEM)?;
        let ledger = RunningLedger::start(&kube).await?;
        let front = Front::remembering(kube.clone()).await?;
        let now = Timestamp::try_from(SystemTime::now())?;
        let seeded = seed(&kube, sizes, now).await?;
        let controllers = api.client_for(User::Controllers)?;
        let fakes = (0..sizes.namespaces)
            .map(|number| FakeControllers::start(controllers.clone(), &namespace(number)))
            .collect();
        Ok(Self {
            orders: Orders {
                api: api.config()?.cluster_url.to_string(),
                token: token(&kube, SYSTEM, OPERATOR, None, &[]).await?,
                ledger_url: ledger.url.clone(),
                ledger_token_file: ledger.token_file.clone(),
                front: front.url.clone(),
            },
            kube,
            seeded,
            fakes,
            _front: front,
            _ledger: ledger,
            _api: api,
        })
    }

    async fn run(mut self, report: &mut Report, patience: Duration) -> Result<()> {
        let sizes = report.sizes.clone();
        say(FIRST);
        let mut operator = Operator::start(&self.orders)?;
        let mut measuring = operator.measure(FIRST, true).await?;
        let begun = Instant::now();
        loop {
            measuring.settles(patience).await?;
            let waiting = self.waiting().await?;
            if waiting.is_empty() {
                break;
            }
            ensure!(
                begun.elapsed() < patience,
                "{FIRST}: {} Models are not Ready after {} s: {}",
                waiting.len(),
                patience.as_secs(),
                waiting[..waiting.len().min(3)].join("; ")
            );
        }
        report.phases.push(measuring.end(None).await?);
        operator.kill()?;
        // All Pods exist, so the fake controllers stop here.
        self.fakes.clear();

        say(RESTART);
        let mut operator = Operator::start(&self.orders)?;
        let mut measuring = operator.measure(RESTART, true).await?;
        measuring.settles(patience).await?;
        report.phases.push(measuring.end(None).await?);

        say(&format!("{REST}, {} s", sizes.rest_seconds));
        let length = Duration::from_secs(sizes.rest_seconds);
        let mut measuring = operator.measure(REST, false).await?;
        measuring.passes(length).await?;
        report.phases.push(measuring.end(Some(length)).await?);

        let most = sizes.touched;
        for name in [VERSIONS_TOUCHED, MODELS_TOUCHED, REPORTS_TOUCHED, ACTIONS_TOUCHED] {
            say(name);
            let mut measuring = operator.measure(name, false).await?;
            let touched = match name {
                VERSIONS_TOUCHED => self.touch::<ModelVersion>(most).await?,
                MODELS_TOUCHED => self.touch::<Model>(most).await?,
                REPORTS_TOUCHED => self.touch::<DriftReport>(most).await?,
                _ => self.touch::<RemediationAction>(most).await?,
            };
            measuring.changed(touched);
            measuring.settles(patience).await?;
            report.phases.push(measuring.end(None).await?);
        }

        say(WIDE);
        let mut measuring = operator.measure(WIDE, false).await?;
        self.write_wide().await?;
        measuring.changed(1);
        measuring.settles(patience).await?;
        report.phases.push(measuring.end(None).await?);

        if sizes.changes > 0 {
            say(FOREIGN);
            let mut measuring = operator.measure(FOREIGN, false).await?;
            self.change_foreign(sizes.changes).await?;
            measuring.changed(sizes.changes);
            measuring.settles(patience).await?;
            report.phases.push(measuring.end(None).await?);
        }
        operator.kill()
    }

    /// The Models that are not Ready, with the reasons: what an idle operator waits for.
    async fn waiting(&self) -> Result<Vec<String>> {
        let models = Api::<Model>::all(self.kube.clone())
            .list(&ListParams::default())
            .await?;
        let waiting = models.iter().filter_map(|model| {
            let conditions = model.status.iter().flat_map(|status| &status.conditions);
            let ready = conditions
                .into_iter()
                .find(|found| found.type_ == ConditionType::Ready.as_str());
            let why = match ready {
                Some(ready) if ready.status == "True" => return None,
                Some(ready) => format!("{}: {}", ready.reason, ready.message),
                None => "it has no condition yet".to_owned(),
            };
            let namespace = model.namespace().unwrap_or_default();
            Some(format!("{namespace}/{}: {why}", model.name_any()))
        });
        Ok(waiting.collect())
    }

    /// Sets an unrelated label on objects of a kind, with a maximum number, evenly spread. Returns how many were labelled.
    async fn touch<K>(&self, most: usize) -> Result<usize>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let all = Api::<K>::all(self.kube.clone());
        let found = all.list_metadata(&ListParams::default()).await?.items;
        let count = found.len().min(most);
        let chosen = (0..count).map(|number| &found[number * found.len() / count]);
        stream::iter(chosen)
            .map(|object| {
                let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
                let api = Api::<K>::namespaced(self.kube.clone(), &namespace);
                async move {
                    let labelled = label(&api, &name, "touched").await;
                    labelled.with_context(|| format!("cannot label {} {namespace}/{name}", K::kind(&())))
                }
            })
            .buffer_unordered(8)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(count)
    }

    /// Writes a field of the wide Model's status that does not affect anything.
    async fn write_wide(&self) -> Result<()> {
        let wide = self.seeded.models.last().context("the wide Model was seeded")?;
        let api = Api::<Model>::namespaced(self.kube.clone(), &wide.namespace);
        let model = api.get(&wide.name).await?;
        let sequence = model.status.and_then(|status| status.plan_sequence).unwrap_or(0);
        let patch = Patch::Merge(json!({"status": {"planSequence": sequence + 1}}));
        api.patch_status(&wide.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Changes one ConfigMap of another owner repeatedly.
    async fn change_foreign(&self, changes: usize) -> Result<()> {
        let api = Api::<ConfigMap>::namespaced(self.kube.clone(), &namespace(0));
        let mut progress = Progress::new(FOREIGN, changes);
        for change in 0..changes {
            let patch = Patch::Merge(json!({"data": {"change": change.to_string()}}));
            api.patch(&foreign(0), &PatchParams::default(), &patch).await?;
            progress.step();
        }
        Ok(())
    }
}

fn say(what: &str) {
    eprintln!("{what}");
}
