//! Windows that close, their verdicts, and what is proposed because of them. Counts go to the real ledger by its own route.

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use modelward_controllers::{Timestamp, ledger_client};
use modelward_core::{names::name_hash, policy::Policy};
use modelward_crds::{
    ActionType, DriftReport, DriftVerdict, Model, ModelVersion, Proposal, RemediationAction, labels,
};
use modelward_kit::{calls::Freeze, fake_controllers::JobEnd};
use modelward_profile::{
    Bins, ChosenBy, Counts, CountsBatch, Envelope, FeatureBins, Incarnation, Observed, Reference, ScoreBins,
    TotalKey, route_digest, totals::ENVELOPE_FORMAT,
};
use modelward_wire::{Digest, LEDGER_AUDIENCE, ManifestKind, REPORT_FORMAT, ReportRequest, Route, RouteMode};
use serde_json::{Value, json};

use crate::support::{TestCluster, locked, stage_of, until, version};

const HOUR: i64 = 3600;

/// Rows of one window.
#[derive(Clone, Copy)]
enum Traffic {
    /// As at training.
    Usual,
    /// All patients are older.
    Older,
    /// Too few to tell.
    Scarce,
}

/// A cluster in which `heart-1` answers since one minute after a whole hour, two days ago: counts of windows that are still to
/// come would be refused by the ledger.
struct Watched {
    cluster: TestCluster,
    /// That hour.
    hour: Timestamp,
}

fn bins() -> Bins {
    let ages: Vec<f32> = (0_u16..303).map(|row| f32::from(30 + row % 48)).collect();
    let scores: Vec<f64> = (0_u16..303).map(|row| f64::from(row) / 303.0).collect();
    Bins::new(
        vec![
            FeatureBins::numeric("age", &ages).unwrap(),
            FeatureBins::categorical("sex", ["0", "1"]),
        ],
        ScoreBins::from_out_of_fold(&scores).unwrap(),
    )
    .unwrap()
}

fn counted(rows: u16, older_by: u16) -> Counts {
    let bins = bins();
    let mut counts = Counts::new(&bins);
    for row in 0..rows {
        let values = [
            Observed::Number(f32::from(30 + row % 48 + older_by)),
            Observed::Category(u32::from(row % 2)),
        ];
        let score = f64::from(row % 100) / 100.0;
        counts
            .add_row(&bins, values, score, u8::from(score > 0.5))
            .unwrap();
    }
    counts
}

impl Watched {
    async fn open(mut version: Value) -> Result<Self> {
        version["spec"]["monitoring"]["windowSeconds"] = HOUR.into();
        version["spec"]["monitoring"]["season"] = "None".into();
        let cluster = TestCluster::with_postgres().await?;
        let now = Timestamp::now().as_second() - 48 * HOUR;
        let hour = Timestamp::from_second(now - now % HOUR)?;
        let watched = Self { cluster, hour };
        watched.set(60);

        let trainer = watched.cluster.store.clone();
        let reference = Reference {
            bins: bins(),
            counts: counted(303, 0),
            chosen_by: ChosenBy::None,
            phases: None,
        };
        let reference = serde_json::to_vec(&reference)?;
        watched.cluster.fakes.jobs(move |job| {
            let mut result = trainer.result(job, "0.8151");
            if stage_of(job) == "fit" {
                let files: [(&str, &[u8]); 2] = [("model.json", b"a model"), ("reference.json", &reference)];
                result.digest = Some(trainer.publish_stating(job, &result, &files));
            }
            JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
        });
        watched.cluster.create::<ModelVersion>(version).await?;
        watched.cluster.wait_live("heart-1").await?;
        // The data of a retraining is read for as long as the test takes: its action stays open.
        watched.cluster.fakes.jobs(|_| JobEnd::Runs);
        watched.looked().await?;
        Ok(watched)
    }

    /// The moment so many seconds after the hour.
    fn at(&self, seconds: i64) -> Timestamp {
        self.hour + SignedDuration::from_secs(seconds)
    }

    fn set(&self, seconds: i64) {
        *locked(&self.cluster.clock) = Some(self.at(seconds));
    }

    /// Makes the schedule be looked at, and waits until it was.
    async fn looked(&self) -> Result<()> {
        let done = || self.cluster.metric("reconciles_total", "\"driftschedule\"");
        let before = done();
        let label = json!({"metadata": {"labels": {"unrelated": format!("{}", rand())}}});
        self.cluster.patch::<Model>("heart", label).await?;
        until("the schedule to have been looked at", async || {
            Ok((done() > before && self.cluster.metric("active_reconciles", "").abs() < 0.5).then_some(()))
        })
        .await
    }

    /// Name of the report on the window of this number, from 0.
    fn name(&self, window: i64) -> String {
        let end = self.at((window + 1) * HOUR);
        format!("heart-1-{}", end.strftime("%Y%m%d-%H%M%S"))
    }

    /// A Pod of the model reports what it counted in this window.
    async fn count(&self, window: i64, traffic: Traffic) -> Result<()> {
        let model = self.cluster.all::<Model>().get("heart").await?;
        let route = &model.status.context("a status")?.routes[0];
        let route = Route {
            version: route.version.clone(),
            digest: route.digest,
            weight: u32::try_from(route.weight)?,
            threshold: route.threshold.clone(),
            mode: RouteMode::Live,
        };
        let counts = match traffic {
            Traffic::Usual => counted(192, 0),
            Traffic::Older => counted(147, 24),
            Traffic::Scarce => counted(40, 0),
        };
        let start = self.at(window * HOUR).as_second();
        let batch = CountsBatch {
            format: ENVELOPE_FORMAT,
            window_seconds: 3600,
            envelopes: vec![Envelope {
                format: ENVELOPE_FORMAT,
                key: TotalKey {
                    route: route_digest(&route),
                    window_start: start,
                    incarnation: Incarnation(u128::try_from(start)?),
                },
                sequence: 1,
                closed: true,
                counts,
            }],
            routes: vec![route],
        };
        let of_model = format!(
            "{}=heart,app.kubernetes.io/name=modelward-inference",
            labels::MODEL
        );
        let pods = self
            .cluster
            .all::<Pod>()
            .list(&ListParams::default().labels(&of_model))
            .await?;
        let pod = pods.items.first().context("a Pod")?;
        let token = self
            .cluster
            .token("default", Some(pod), &[LEDGER_AUDIENCE])
            .await?;
        let url = format!(
            "{}/v1/counts/{}/heart",
            self.cluster.ledger_url, self.cluster.namespace
        );
        let request = reqwest::Client::new().put(url).bearer_auth(token).json(&batch);
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{status}: {text}");
        Ok(())
    }

    /// A window with this traffic closes.
    async fn close(&self, window: i64, traffic: Traffic) -> Result<()> {
        self.count(window, traffic).await?;
        self.set((window + 1) * HOUR + 60);
        self.looked().await
    }

    async fn report(
        &self,
        window: i64,
        what: &str,
        is_so: impl Fn(&DriftReport) -> bool + Send,
    ) -> Result<DriftReport> {
        self.cluster.wait(&self.name(window), what, is_so).await
    }

    /// Waits until a report says this of its proposal.
    async fn came_to(&self, window: i64, reason: &str) -> Result<DriftReport> {
        self.report(window, &format!("closed with {reason}"), |report| {
            let proposal = report.status.as_ref().and_then(|status| status.proposal.as_ref());
            proposal.is_some_and(|proposal| proposal.reason == reason)
        })
        .await
    }

    async fn verdict(&self, window: i64, verdict: DriftVerdict) -> Result<DriftReport> {
        self.report(window, &format!("{verdict:?}"), |report| {
            report.status.as_ref().and_then(|status| status.verdict) == Some(verdict)
        })
        .await
    }

    async fn actions(&self) -> Result<Vec<RemediationAction>> {
        Ok(self.cluster.all().list(&ListParams::default()).await?.items)
    }

    async fn proposals(&self) -> Result<Vec<Proposal>> {
        let model = self.cluster.all::<Model>().get("heart").await?;
        Ok(model.status.unwrap_or_default().proposals)
    }

    /// Takes an action away, as a cluster administrator.
    async fn forget_actions(&self) -> Result<()> {
        for action in self.actions().await? {
            let name = action.name_any();
            self.cluster
                .all::<RemediationAction>()
                .delete(&name, &DeleteParams::default())
                .await?;
            self.cluster.wait_gone::<RemediationAction>(&name).await?;
        }
        Ok(())
    }

    async fn restart(&mut self, policy: Policy) -> Result<()> {
        self.cluster.stop_operator().await?;
        self.cluster.policy = policy;
        self.cluster.start_operator().await?;
        self.looked().await
    }
}

fn rand() -> u128 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos()
}

/// `heart-1`, which may be retrained.
fn retrained() -> Value {
    let mut version = version("heart-1");
    version["spec"]["retraining"] = json!({"datasets": [
        {"name": "hungarian", "dataset": {"configMap": {"name": "heart-disease", "key": "hungarian.csv"}}},
    ]});
    version
}

fn says(report: &DriftReport, status: &str, reason: &str) -> bool {
    let conditions = report
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|found| found.type_ == "Succeeded" && found.status == status && found.reason == reason)
}

fn words(report: &DriftReport) -> String {
    let conditions = report.status.clone().unwrap_or_default().conditions;
    conditions
        .into_iter()
        .find(|found| found.type_ == "Succeeded")
        .map(|found| found.message)
        .unwrap_or_default()
}

#[tokio::test]
async fn a_window_that_drifted_is_judged_once_and_answered_by_one_retraining() -> Result<()> {
    let watched = Watched::open(retrained()).await?;
    let cluster = &watched.cluster;
    watched.count(0, Traffic::Older).await?;
    watched.set(HOUR + 29);
    watched.looked().await?;
    let reports = cluster.all::<DriftReport>();
    ensure!(
        reports.list(&ListParams::default()).await?.items.is_empty(),
        "the window's counts are not complete yet"
    );

    watched.set(HOUR + 60);
    watched.looked().await?;
    let report = watched.came_to(0, "Proposed").await?;
    let status = report.status.clone().context("a status")?;
    assert_eq!(
        (status.verdict, status.rows, status.drifted.as_deref()),
        (Some(DriftVerdict::Drift), Some(147), Some("age"))
    );
    assert_eq!(status.coverage.context("coverage")?.as_str(), "1");
    let window = modelward_core::drift::window_words(watched.at(0), watched.at(HOUR));
    assert_eq!(
        words(&report),
        format!("age differs; age has values that training never saw (147 rows of {window})")
    );
    assert_eq!(
        (report.spec.start_time.0, report.spec.end_time.0),
        (watched.at(0), watched.at(HOUR))
    );
    assert_eq!(
        report.labels().get(labels::VERSION).map(String::as_str),
        Some("heart-1")
    );
    let model = cluster.all::<Model>().get("heart").await?;
    assert_eq!(report.owner_references()[0].uid, model.uid().context("a uid")?);

    let uid = report.uid().context("a uid")?;
    let actions = watched.actions().await?;
    let action = &actions[0];
    let name = format!("retrain-heart-{}", name_hash([uid.as_bytes()]));
    assert_eq!((actions.len(), action.name_any()), (1, name.clone()));
    assert_eq!(
        status.proposal.and_then(|proposal| proposal.action),
        Some(name.clone())
    );
    let accepted = action.spec.accept_window.as_ref().context("a window")?;
    assert_eq!((&accepted.uid, &accepted.name), (&uid, &report.name_any()));
    assert_eq!(action.owner_references()[0].uid, model.uid().context("a uid")?);
    let operator = format!("system:serviceaccount:{}:modelward-operator", cluster.namespace);
    assert_eq!(
        action.annotations().get("modelward.io/proposed-by"),
        Some(&operator)
    );
    let proposals = watched.proposals().await?;
    assert_eq!(
        (&proposals[0].name, proposals[0].action, &proposals[0].cause),
        (&name, ActionType::RetrainModel, &uid)
    );
    cluster.wait_event("DriftFound", "age differs").await?;
    cluster.wait_event("Proposed", &name).await?;
    assert_eq!(cluster.metric("drift_reports_total", "\"Drift\""), 1.0);
    assert_eq!(cluster.metric("drift_proposals_total", "\"RetrainModel\""), 1.0);

    watched.looked().await?;
    let gauge = format!(
        "modelward_drifted_features{{namespace=\"{}\",model=\"heart\"}} 1\n",
        cluster.namespace
    );
    ensure!(cluster.exposed().contains(&gauge), "{}", cluster.exposed());

    // A verdict is written once, by any writer.
    let forged = json!({"status": {"verdict": "NoDrift", "rows": 147}});
    let (params, forged) = (PatchParams::default(), Patch::Merge(forged));
    let patched = reports.patch_status(&report.name_any(), &params, &forged).await;
    let refused = patched.err().context("a verdict was changed")?;
    ensure!(
        refused.to_string().contains("a verdict is written once"),
        "{refused}"
    );
    // Rows that arrive late edit nothing.
    let before = reports.get(&report.name_any()).await?;
    cluster.calls.clear();
    cluster
        .patch::<DriftReport>(
            &report.name_any(),
            json!({"metadata": {"labels": {"unrelated": "x"}}}),
        )
        .await?;
    watched.looked().await?;
    let writes = cluster.calls.writes();
    ensure!(
        !writes
            .iter()
            .any(|call| call.resource.starts_with("driftreports")),
        "at rest nothing is written: {writes:?}"
    );
    assert_eq!(reports.get(&report.name_any()).await?.status, before.status);

    // The retraining waits for a person: the next windows do not pile up others.
    watched.close(1, Traffic::Older).await?;
    watched.came_to(1, "ActionOpen").await?;
    // Without the action, what the model remembers still holds.
    watched.forget_actions().await?;
    watched.count(2, Traffic::Older).await?;
    let mut policy = Policy {
        cool_down_seconds: 48 * HOUR,
        ..Policy::default()
    };
    let mut watched = watched;
    watched.restart(policy.clone()).await?;
    watched.set(3 * HOUR + 60);
    watched.looked().await?;
    watched.came_to(2, "CoolDown").await?;
    policy.cool_down_seconds = 60;
    policy.retrains_a_day = 1;
    watched.restart(policy.clone()).await?;
    watched.close(3, Traffic::Older).await?;
    watched.came_to(3, "BudgetSpent").await?;
    ensure!(watched.actions().await?.is_empty());
    watched
        .cluster
        .patch::<Model>("heart", json!({"spec": {"paused": true}}))
        .await?;
    watched.close(4, Traffic::Older).await?;
    watched.came_to(4, "Paused").await?;
    watched
        .cluster
        .patch::<Model>("heart", json!({"spec": {"paused": false}}))
        .await?;
    policy.storm_models = 1;
    policy.reports_kept = 2;
    watched.restart(policy).await?;
    watched.close(5, Traffic::Older).await?;
    let alerted = watched.came_to(5, "StormBreaker").await?;
    let actions = watched.actions().await?;
    assert_eq!(
        (actions.len(), actions[0].spec.action),
        (1, ActionType::SendAlert)
    );
    let proposal = alerted
        .status
        .context("a status")?
        .proposal
        .context("a proposal")?;
    assert_eq!(proposal.action, Some(actions[0].name_any()));

    // Old reports go, and do not come back.
    watched.looked().await?;
    for window in 0..4 {
        watched
            .cluster
            .wait_gone::<DriftReport>(&watched.name(window))
            .await?;
    }
    watched.looked().await?;
    let left = watched
        .cluster
        .all::<DriftReport>()
        .list(&ListParams::default())
        .await?;
    assert_eq!(left.items.len(), 2);

    // The chart gives the operator these rights and each is used.
    let used = watched.cluster.calls.rights();
    let right =
        |resource: &str, verb: &str| ("modelward.io".to_owned(), resource.to_owned(), verb.to_owned());
    for verb in ["get", "list", "watch", "create", "delete"] {
        ensure!(used.contains(&right("driftreports", verb)), "{verb} driftreports");
    }
    ensure!(used.contains(&right("driftreports/status", "patch")));
    Ok(())
}

#[tokio::test]
async fn quiet_and_scarce_windows_are_distinguished_and_propose_nothing() -> Result<()> {
    let mut watched = Watched::open(version("heart-1")).await?;
    watched.close(0, Traffic::Usual).await?;
    let report = watched.verdict(0, DriftVerdict::NoDrift).await?;
    ensure!(
        words(&report).starts_with("no feature differs (192 rows of "),
        "{}",
        words(&report)
    );
    watched.close(1, Traffic::Scarce).await?;
    let report = watched.verdict(1, DriftVerdict::InsufficientData).await?;
    ensure!(
        words(&report).starts_with("not enough rows: 100 required (40 rows of "),
        "{}",
        words(&report)
    );
    assert_eq!(report.status.context("a status")?.proposal, None);

    given_once(&watched, &watched.cluster.all().get(&watched.name(0)).await?).await?;

    // A person asks for both together, for something that is not over, and for nothing.
    let cluster = &watched.cluster;
    let ask = async |name: &str, version: &str, start: i64, end: i64| {
        let spec = json!({"version": version, "startTime": watched.at(start), "endTime": watched.at(end)});
        cluster
            .create::<DriftReport>(json!({"metadata": {"name": name}, "spec": spec}))
            .await
    };
    ask("both", "heart-1", 0, 2 * HOUR).await?;
    let both = cluster
        .wait("both", "judged", |report: &DriftReport| {
            report
                .status
                .as_ref()
                .is_some_and(|status| status.rows == Some(232))
        })
        .await?;
    ensure!(both.owner_references().is_empty());
    ask("open", "heart-1", 0, 9 * HOUR).await?;
    ask("unknown", "heart-9", 0, HOUR).await?;
    let wait = async |name: &str, status: &str, reason: &str| {
        let what = format!("Succeeded={status}/{reason}");
        cluster
            .wait(name, &what, |report: &DriftReport| says(report, status, reason))
            .await
    };
    wait("open", "Unknown", "WindowOpen").await?;
    wait("unknown", "Unknown", "VersionNotFound").await?;

    // The ledger is unavailable: the report waits and says so; a version without retraining data raises an alert.
    watched.count(2, Traffic::Older).await?;
    watched.cluster.stop_ledger().await?;
    watched.set(3 * HOUR + 60);
    watched.looked().await?;
    let away = watched
        .report(2, "waiting for the ledger", |report| {
            says(report, "Unknown", "LedgerUnavailable")
        })
        .await?;
    ensure!(words(&away).contains("did not answer"), "{}", words(&away));
    watched.cluster.start_ledger().await?;
    let report = watched.came_to(2, "NoRetraining").await?;
    ensure!(says(&report, "True", "DriftFound"));
    let actions = watched.actions().await?;
    assert_eq!(
        (actions.len(), actions[0].spec.action),
        (1, ActionType::SendAlert)
    );
    ensure!(
        actions[0]
            .spec
            .message
            .as_ref()
            .is_some_and(|words| words.contains("set spec.retraining"))
    );
    // What a user asks for proposes nothing.
    watched.set(3 * HOUR + 70);
    ask_again(&watched, "again", 2).await?;
    Ok(())
}

/// What the ledger said of a report it says again, whatever is asked later; what it refuses it says in words.
async fn given_once(watched: &Watched, report: &DriftReport) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let token = watched
        .cluster
        .token("modelward-operator", None, &[LEDGER_AUDIENCE])
        .await?;
    std::fs::write(directory.path().join("token"), token)?;
    let ledger = ledger_client(&watched.cluster.ledger_url, directory.path().join("token"))?
        .within(std::time::Duration::from_secs(30));
    let model = watched.cluster.all::<Model>().get("heart").await?;
    let mut request = ReportRequest {
        format: REPORT_FORMAT,
        model: "heart".into(),
        version: "heart-1".into(),
        bundle: model.status.context("a status")?.routes[0].digest,
        start: report.spec.start_time.0.as_second(),
        end: report.spec.end_time.0.as_second(),
        since: report.spec.start_time.0.as_second(),
        evidence_from: report.spec.start_time.0.as_second(),
        minimum_rows: 100_000,
        window_seconds: None,
        season_seconds: None,
        serving_since: None,
        tolerance: "0.001".parse()?,
        rate_tolerance: modelward_wire::default_rate_tolerance(),
        tolerances: Vec::new(),
    };
    let uid = report.uid().context("a uid")?;
    let given = ledger
        .drift_report(&watched.cluster.namespace, &uid, &request)
        .await?;
    assert_eq!((given.verdict, given.rows), (DriftVerdict::NoDrift, 192));
    request.bundle = watched
        .cluster
        .store
        .publish(ManifestKind::Bundle, "a bundle without a reference");
    let other = "00000000-0000-4000-8000-000000000001";
    let refused = ledger
        .drift_report(&watched.cluster.namespace, other, &request)
        .await;
    let refused = refused.err().context("there is nothing to compare with")?;
    let (status, words) = refused.refusal().context("a refusal")?;
    ensure!(
        status == 422 && words.contains("has no file reference.json"),
        "{status}: {words}"
    );
    request.bundle = Digest::from_bytes([7; 32]);
    let missing = ledger
        .drift_report(&watched.cluster.namespace, other, &request)
        .await;
    let missing = missing.err().context("there is no such bundle")?;
    let (status, words) = missing.refusal().context("a refusal")?;
    ensure!(
        status == 404 && words.starts_with("manifest sha256:07") && words.contains("is not in the store"),
        "{status}: {words}"
    );
    Ok(())
}

/// A user asks for a window again, which drifted.
async fn ask_again(watched: &Watched, name: &str, window: i64) -> Result<()> {
    watched.forget_actions().await?;
    let spec = json!({"version": "heart-1", "startTime": watched.at(window * HOUR), "endTime": watched.at((window + 1) * HOUR)});
    watched
        .cluster
        .create::<DriftReport>(json!({"metadata": {"name": name}, "spec": spec}))
        .await?;
    watched
        .cluster
        .wait(name, "closed with OnRequest", |report: &DriftReport| {
            let proposal = report.status.as_ref().and_then(|status| status.proposal.as_ref());
            proposal.is_some_and(|proposal| proposal.reason == "OnRequest")
        })
        .await?;
    ensure!(watched.actions().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_crash_at_any_write_ends_in_one_verdict_and_one_retraining() -> Result<()> {
    let mut watched = Watched::open(retrained()).await?;
    let policy = Policy {
        cool_down_seconds: 0,
        retrains_a_day: 28,
        ..Policy::default()
    };
    watched.restart(policy).await?;
    let mut window = 0;
    // Report, verdict, memory of the model, action, word of the report.
    for after in 0..5 {
        for sent in [false, true] {
            let tale = format!("write {after}, sent: {sent}");
            watched.count(window, Traffic::Older).await?;
            let freeze = Freeze {
                after,
                sent,
                shut: false,
                stands: false,
            };
            watched.cluster.calls.freeze(Some(freeze));
            watched.set((window + 1) * HOUR + 60);
            let label = json!({"metadata": {"labels": {"unrelated": format!("{}", rand())}}});
            watched.cluster.patch::<Model>("heart", label).await?;
            until(&format!("the operator to stand at {tale}"), async || {
                Ok(watched.cluster.calls.stands().then_some(()))
            })
            .await?;
            watched.cluster.kill_operator().await;
            watched.cluster.calls.freeze(None);
            watched.cluster.start_operator().await?;
            let report = watched.came_to(window, "Proposed").await.context(tale.clone())?;
            let uid = report.uid().context("a uid")?;
            let name = format!("retrain-heart-{}", name_hash([uid.as_bytes()]));
            let names: Vec<_> = watched
                .actions()
                .await?
                .iter()
                .map(kube::ResourceExt::name_any)
                .collect();
            assert_eq!(names, [name.as_str()], "{tale}");
            let proposals = watched.proposals().await?;
            let of_report = proposals.iter().filter(|one| one.cause == uid).count();
            assert_eq!(
                (of_report, proposals.len()),
                (1, usize::try_from(window)? + 1),
                "{tale}"
            );
            let status = report.status.context("a status")?;
            assert_eq!(
                (
                    status.verdict,
                    status.proposal.and_then(|proposal| proposal.action)
                ),
                (Some(DriftVerdict::Drift), Some(name)),
                "{tale}"
            );
            watched.forget_actions().await?;
            window += 1;
        }
    }
    Ok(())
}
