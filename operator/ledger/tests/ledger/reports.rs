//! Verdicts, each given once.

use std::time::Instant;

use anyhow::Result;
use modelward_profile::{Judgement, Reference};
use modelward_wire::{
    Decimal, Digest, DriftAspect, DriftVerdict, ReportRequest, ReportResult, Route, default_rate_tolerance,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    heart::{self, Patient, Random, batch, envelope, patients, route, window},
    support::{Caller, World, digest_of, expect_success, refusal},
};

const UID: &str = "5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11";

/// A model with the patients of Cleveland as reference.
pub struct Heart {
    pub world: World,
    trainer: Caller,
    pub server: Caller,
    operator: Caller,
    pub reference: Reference,
    pub route: Route,
}

impl Heart {
    pub async fn start() -> Result<Self> {
        Self::of(heart::reference()).await
    }

    /// A model with this reference.
    pub async fn of(reference: Reference) -> Result<Self> {
        let world = World::start().await?;
        let trainer = world.trainer("heart-1").await?;
        let bytes = serde_json::to_vec(&reference)?;
        let bundle = world
            .publish_files(&trainer, &[("reference.json", &bytes)])
            .await?;
        Ok(Self {
            server: world.server("heart").await?,
            operator: world.operator().await?,
            trainer,
            reference,
            route: route(bundle),
            world,
        })
    }

    /// Serves a bundle with these files from now on.
    pub async fn publish(&mut self, files: &[(&str, &[u8])]) -> Result<()> {
        self.route.digest = self.world.publish_files(&self.trainer, files).await?;
        Ok(())
    }

    /// Counts these patients in the window this many windows ago, by a process that never closes its windows.
    pub async fn serve(&self, incarnation: u128, ago: i64, patients: &[Patient]) -> Result<()> {
        let counts = heart::counts(&self.reference.bins, patients);
        let total = envelope(&self.route, incarnation, window(ago), 1, counts);
        let path = format!("/v1/counts/{}/heart", self.world.namespace);
        let body = batch(&self.route, vec![total]);
        expect_success(self.world.put_json(&self.server, &path, &body).await?).await?;
        Ok(())
    }

    pub fn request(&self, start: i64, end: i64) -> ReportRequest {
        let tolerance = Decimal::rounded(0.1, 1).unwrap_or_else(|| unreachable!());
        ReportRequest {
            format: 1,
            model: "heart".into(),
            version: "heart-1".into(),
            bundle: self.route.digest,
            start,
            end,
            since: start,
            evidence_from: start,
            minimum_rows: 100,
            window_seconds: None,
            season_seconds: None,
            serving_since: None,
            tolerance,
            rate_tolerance: default_rate_tolerance(),
            tolerances: Vec::new(),
        }
    }

    fn path(&self, uid: &str) -> String {
        format!("/v1/drift-reports/{}/{uid}", self.world.namespace)
    }

    async fn ask(&self, uid: &str, request: &ReportRequest) -> Result<reqwest::Response> {
        self.world
            .put_json(&self.operator, &self.path(uid), request)
            .await
    }

    pub async fn judged(&self, uid: &str, request: &ReportRequest) -> Result<ReportResult> {
        Ok(expect_success(self.ask(uid, request).await?)
            .await?
            .json()
            .await?)
    }
}

fn shuffled(file: &str, seed: u64) -> Vec<Patient> {
    let mut all = patients(file);
    Random(seed).shuffle(&mut all);
    all
}

fn drifted(result: &ReportResult, aspect: DriftAspect) -> Vec<&str> {
    let found = result
        .drifted
        .iter()
        .filter(|comparison| comparison.aspect == aspect);
    found.map(|comparison| comparison.feature.as_str()).collect()
}

#[tokio::test]
async fn hungarian_patients_drift_and_the_verdict_is_given_once() -> Result<()> {
    let heart = Heart::start().await?;
    let hungarian = shuffled("hungarian.csv", 7);
    heart.serve(1, 2, &hungarian[..100]).await?;
    heart.serve(2, 1, &hungarian[100..]).await?;
    // Outside of the requested window.
    heart.serve(3, 3, &patients("cleveland.csv")).await?;
    let (start, end) = (window(2), window(0));
    let mut request = heart.request(start, end);
    request.tolerances = vec![("chol".into(), "0.3".parse()?), ("age".into(), "0.05".parse()?)];

    let first = expect_success(heart.ask(UID, &request).await?)
        .await?
        .bytes()
        .await?;
    let result: ReportResult = serde_json::from_slice(&first)?;
    assert_eq!((result.verdict, result.rows), (DriftVerdict::Drift, 294));
    assert_eq!((result.incarnations, result.unclosed.len()), (2, 2));
    assert_eq!(result.unclosed[0].incarnation, "00000000000000000000000000000001");
    let pod = heart.world.pods().get(&heart.server.pod).await?.metadata.uid;
    assert_eq!(Some(&result.unclosed[0].pod), pod.as_ref());
    for name in ["age", "restecg", "oldpeak"] {
        assert!(
            drifted(&result, DriftAspect::Values).contains(&name),
            "{name}: {result:?}"
        );
    }
    for name in ["ca", "thal", "slope"] {
        assert!(
            drifted(&result, DriftAspect::MissingRate).contains(&name),
            "{name}: {result:?}"
        );
    }
    for name in ["sex", "exang", "chol"] {
        assert!(
            !drifted(&result, DriftAspect::Values).contains(&name),
            "{name}: {result:?}"
        );
    }
    let first_row = &result.drifted[0];
    assert_eq!(
        (
            first_row.feature.as_str(),
            first_row.aspect,
            first_row.effect.as_str()
        ),
        ("ca", DriftAspect::MissingRate, "0.976595")
    );
    assert_eq!((first_row.tolerance.as_str(), first_row.windows), ("0.020000", 1));
    let effects: Vec<_> = result.drifted.iter().map(|row| row.effect.clone()).collect();
    assert!(effects.is_sorted_by(|a, b| a >= b), "{effects:?}");
    assert!(!result.reference.accepted_window);
    assert_eq!(result.reference.rows, 303);
    let reference = digest_of(&serde_json::to_vec(&heart.reference)?);
    assert_eq!(result.reference.digest, reference);

    // The window is in the store and has exactly the counts.
    let blob = heart.world.blob(&result.counts.unwrap());
    let bytes = expect_success(heart.world.get(&heart.trainer, &blob).await?)
        .await?
        .bytes()
        .await?;
    let stored: Reference = serde_json::from_slice(&bytes)?;
    assert_eq!(stored.counts, heart::counts(&heart.reference.bins, &hungarian));
    assert_eq!(digest_of(&bytes), result.counts.unwrap());
    stored.check()?;

    // Late rows, and other spellings and another order in the same request, change nothing.
    heart.serve(4, 1, &patients("cleveland.csv")).await?;
    request.tolerances.reverse();
    request.tolerance = "0.10".parse()?;
    let again = expect_success(heart.ask(UID, &request).await?)
        .await?
        .bytes()
        .await?;
    assert_eq!(again, first);
    let other = heart.request(start, end);
    let sentence = refusal(heart.ask(UID, &other).await?, StatusCode::CONFLICT).await?;
    assert!(sentence.contains("different parameters"), "{sentence}");

    // The whole judgement is stored for callers that may read it.
    let path = heart.path(UID);
    for reader in [&heart.operator, &heart.server, &heart.trainer] {
        let found: Value = expect_success(heart.world.get(reader, &path).await?)
            .await?
            .json()
            .await?;
        assert_eq!(found["result"], serde_json::to_value(&result)?);
        assert_eq!(found["request"]["tolerance"], "0.1");
        let judgement: Judgement = serde_json::from_value(found["judgement"].clone())?;
        assert_eq!(judgement.features.len(), 13);
        assert_eq!(judgement.rule.tolerances["chol"].get().to_string(), "0.3");
    }
    let elsewhere = path.replace(&heart.world.namespace, "elsewhere");
    refusal(
        heart.world.get(&heart.operator, &elsewhere).await?,
        StatusCode::NOT_FOUND,
    )
    .await?;
    refusal(
        heart
            .world
            .put_json(&heart.operator, &elsewhere, &request)
            .await?,
        StatusCode::CONFLICT,
    )
    .await?;
    for (outcome, count) in [("drift", 1.0), ("repeated", 3.0)] {
        let name = format!("modelward_ledger_reports_total{{outcome=\"{outcome}\"}}");
        assert_eq!(heart.world.metric(&name).await?, Some(count), "{outcome}");
    }
    Ok(())
}

#[tokio::test]
async fn a_shift_that_one_window_cannot_show_a_month_after_the_version_began_is_shown_by_two() -> Result<()> {
    let heart = Heart::start().await?;
    let uid = |n: u32| format!("5b2c1f8e-0f6d-4f0e-9a51-{n:012}");
    // The current patients are older. Nothing else is different.
    let mut older = shuffled("cleveland.csv", 3);
    for patient in &mut older {
        patient[0] += 6.0;
    }
    heart.serve(1, 2, &older[..150]).await?;
    heart.serve(2, 1, &older[150..]).await?;
    let asks = |ago: i64, since: i64, back: i64| ReportRequest {
        since,
        evidence_from: window(ago + back),
        ..heart.request(window(ago), window(ago - 1))
    };
    let (month_ago, minutes_ago) = (window(43_200), window(4));
    let (first, second) = (
        heart.judged(&uid(1), &asks(2, month_ago, 1)).await?,
        heart.judged(&uid(2), &asks(1, month_ago, 1)).await?,
    );
    println!("{:?}\n{:?}", first.drifted, second.drifted);
    assert_eq!((first.verdict, first.drifted.len()), (DriftVerdict::NoDrift, 0));
    assert_eq!(drifted(&second, DriftAspect::Values), ["age"]);
    assert_eq!(second.verdict, DriftVerdict::Drift);
    assert!(second.drifted[0].log_evidence >= second.drifted[0].log_threshold);
    assert_eq!(second.drifted[0].windows, 2);
    // Alone it has no more evidence than the first, and soon after the beginning each is enough.
    let alone = heart.judged(&uid(3), &asks(1, month_ago, 0)).await?;
    assert_eq!((alone.verdict, alone.rows), (DriftVerdict::NoDrift, 153));
    let early = heart.judged(&uid(4), &asks(2, minutes_ago, 1)).await?;
    assert_eq!(early.verdict, DriftVerdict::Drift);
    // The rows of a report are those of its window, regardless of the comparison.
    assert_eq!((first.rows, second.rows), (150, 153));
    assert_eq!((second.incarnations, alone.incarnations), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_window_in_another_unit_is_named_as_one_that_cannot_become_a_reference() -> Result<()> {
    let heart = Heart::start().await?;
    let mut millimetres = patients("cleveland.csv");
    for patient in &mut millimetres {
        patient[3] *= 1000.0;
    }
    heart.serve(1, 1, &millimetres).await?;
    let result = heart.judged(UID, &heart.request(window(1), window(0))).await?;
    assert_eq!(result.verdict, DriftVerdict::Drift);
    assert_eq!(result.outside_bins, ["trestbps"]);
    Ok(())
}

#[tokio::test]
async fn rows_that_are_refused_drift_beside_patients_who_do_not() -> Result<()> {
    let heart = Heart::start().await?;
    let mut counts = heart::counts(&heart.reference.bins, &patients("cleveland.csv"));
    counts.refused = 40;
    let total = envelope(&heart.route, 1, window(1), 1, counts);
    let path = format!("/v1/counts/{}/heart", heart.world.namespace);
    let body = batch(&heart.route, vec![total]);
    expect_success(heart.world.put_json(&heart.server, &path, &body).await?).await?;
    let result = heart.judged(UID, &heart.request(window(1), window(0))).await?;
    let found: Vec<_> = result
        .drifted
        .iter()
        .map(|row| (row.feature.as_str(), row.aspect, row.effect.as_str()))
        .collect();
    assert_eq!((result.rows, result.refused), (303, 40));
    assert_eq!(found, [("refused", DriftAspect::Refused, "0.116618")]);
    Ok(())
}

#[tokio::test]
async fn two_who_ask_at_once_get_the_same_answer() -> Result<()> {
    let heart = Heart::start().await?;
    heart.serve(1, 1, &patients("cleveland.csv")).await?;
    let request = heart.request(window(1), window(0));
    let answers = futures::future::try_join_all((0..8).map(|_| async {
        let answer = expect_success(heart.ask(UID, &request).await?).await?;
        Ok::<_, anyhow::Error>(answer.bytes().await?)
    }))
    .await?;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let result: ReportResult = serde_json::from_slice(&answers[0])?;
    assert_eq!((result.verdict, result.rows), (DriftVerdict::NoDrift, 303));
    assert_eq!(result.drifted, []);
    Ok(())
}

#[tokio::test]
async fn a_window_of_a_large_fleet_is_summed_to_the_last_row_and_one_that_is_too_large_is_refused()
-> Result<()> {
    let heart = Heart::start().await?;
    heart.serve(1, 1, &patients("cleveland.csv")).await?;
    let request = heart.request(window(3), window(0));
    let uid = |n: u32| format!("5b2c1f8e-0f6d-4f0e-9a51-{n:012}");
    // The same total from this many other Pods, in two windows.
    let more = async |pods: u32| {
        let windows = [1, 2]
            .map(|ago| format!("to_timestamp({})", window(ago)))
            .join(", ");
        let sql = format!(
            "INSERT INTO counts SELECT namespace, model, gen_random_uuid(), incarnation, route, \
             (ARRAY[{windows}])[1 + n % 2], window_seconds, version, bundle, sequence, closed, rows, synthetic, repeated, \
             over_limit, envelope, received_at, counters FROM (SELECT * FROM counts LIMIT 1) one, generate_series(1, {pods}) n"
        );
        heart
            .world
            .postgres
            .execute(&heart.world.database.url, &sql)
            .await
    };
    more(449).await?;
    let start = Instant::now();
    let result = heart.judged(&uid(1), &request).await?;
    println!("450 totals were judged in {:?}", start.elapsed());
    assert_eq!(
        (result.rows, result.incarnations, result.verdict),
        (450 * 303, 450, DriftVerdict::NoDrift)
    );
    more(20_000 - 450).await?;
    let start = Instant::now();
    let result = heart.judged(&uid(2), &request).await?;
    println!("20,000 totals were judged in {:?}", start.elapsed());
    assert_eq!((result.rows, result.incarnations), (20_000 * 303, 20_000));
    more(1).await?;
    let answer = heart.ask(&uid(3), &request).await?;
    let sentence = refusal(answer, StatusCode::UNPROCESSABLE_ENTITY).await?;
    assert!(sentence.contains("more than 20000 totals"), "{sentence}");
    // If there is too much with the earlier windows, the window is judged without them.
    let newest = ReportRequest {
        since: window(2),
        evidence_from: window(2),
        ..heart.request(window(1), window(0))
    };
    let result = heart.judged(&uid(4), &newest).await?;
    assert_eq!(
        (result.rows, result.incarnations, result.verdict),
        (10_000 * 303, 10_000, DriftVerdict::NoDrift)
    );
    Ok(())
}

#[tokio::test]
async fn too_few_rows_are_never_no_drift() -> Result<()> {
    let heart = Heart::start().await?;
    let cleveland = shuffled("cleveland.csv", 1);
    let mut request = heart.request(window(1), window(0));
    let nothing = heart.judged(UID, &request).await?;
    assert_eq!(
        (nothing.verdict, nothing.rows, nothing.counts),
        (DriftVerdict::InsufficientData, 0, None)
    );
    assert_eq!(nothing.reference.rows, 303);

    heart.serve(1, 1, &cleveland[..150]).await?;
    heart.serve(2, 1, &cleveland[150..]).await?;
    heart.serve(3, 1, &cleveland).await?;
    let uid = |n: u32| format!("5b2c1f8e-0f6d-4f0e-9a51-{n:012}");
    for (n, minimum_rows, verdict) in [
        (1, 607, DriftVerdict::InsufficientData),
        // More rows than the reference has: this applies only to the window.
        (2, 606, DriftVerdict::NoDrift),
        (3, 100, DriftVerdict::NoDrift),
    ] {
        request.minimum_rows = minimum_rows;
        let result = heart.judged(&uid(n), &request).await?;
        assert_eq!((result.verdict, result.rows), (verdict, 606));
        assert!(result.counts.is_some());
    }
    // Another version and another bundle of the model have separate counts.
    request.version = "heart-2".into();
    assert_eq!(heart.judged(&uid(4), &request).await?.rows, 0);
    Ok(())
}

#[tokio::test]
async fn an_accepted_window_is_named_by_the_digest_of_its_counts() -> Result<()> {
    let mut heart = Heart::start().await?;
    let hungarian = shuffled("hungarian.csv", 7);
    heart.serve(1, 2, &hungarian[..147]).await?;
    let found = heart.judged(UID, &heart.request(window(2), window(1))).await?;
    assert_eq!(found.verdict, DriftVerdict::Drift);
    let accepted = found.counts.unwrap();
    let blob = heart.world.blob(&accepted);
    let bytes = heart.world.get(&heart.trainer, &blob).await?.bytes().await?;
    let mut new = bytes.to_vec();
    // If another program wrote the reference, it may have other bytes than its window.
    new.push(b'\n');
    let note = json!({
        "counts": accepted, "rows": 147, "startTime": "2026-11-23T10:00:00Z", "endTime": "2026-11-23T10:01:00Z",
    });
    heart
        .publish(&[
            ("accepted-window.json", note.to_string().as_bytes()),
            ("reference.json", &new),
        ])
        .await?;
    heart.serve(2, 1, &hungarian[147..]).await?;
    let quiet = heart
        .judged(&UID.replace('5', "6"), &heart.request(window(1), window(0)))
        .await?;
    assert_eq!((quiet.verdict, quiet.rows), (DriftVerdict::NoDrift, 147));
    assert!(quiet.reference.accepted_window);
    assert_eq!((quiet.reference.digest, quiet.reference.rows), (accepted, 147));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_with_what_to_do() -> Result<()> {
    let heart = Heart::start().await?;
    let world = &heart.world;
    let good = heart.request(window(2), window(0));
    for stranger in [&heart.server, &heart.trainer] {
        let answer = world.put_json(stranger, &heart.path(UID), &good).await?;
        refusal(answer, StatusCode::FORBIDDEN).await?;
    }
    let with = |change: &dyn Fn(&mut ReportRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let other_file = world.publish(&heart.trainer, b"no reference").await?;
    let broken = world
        .publish_files(&heart.trainer, &[("reference.json", b"{}")])
        .await?;
    let mut torn = heart.reference.clone();
    torn.counts.features.features[0].values.pop();
    let torn = world
        .publish_files(&heart.trainer, &[("reference.json", &serde_json::to_vec(&torn)?)])
        .await?;
    let bad = StatusCode::UNPROCESSABLE_ENTITY;
    let bundle = |digest: Digest| with(&move |request| request.bundle = digest);
    for (request, status, said) in [
        (
            bundle(digest_of(b"nowhere")),
            StatusCode::NOT_FOUND,
            "is not in the store",
        ),
        (bundle(other_file), bad, "has no file reference.json"),
        (bundle(broken), bad, "reference.json of the bundle cannot be read"),
        (bundle(torn), bad, "do not have the number of bins"),
        (with(&|request| request.format = 2), bad, "format 2"),
        (with(&|request| request.model = "A B".into()), bad, "model is"),
        (
            with(&|request| request.version = String::new()),
            bad,
            "version is",
        ),
        (
            with(&|request| request.end = request.start),
            bad,
            "start before end",
        ),
        (with(&|request| request.end = i64::MAX), bad, "start before end"),
        (with(&|request| request.minimum_rows = 0), bad, "minimumRows"),
        (
            with(&|request| request.since += 1),
            bad,
            "; both must be seconds since 1970",
        ),
        (with(&|request| request.evidence_from += 1), bad, "evidenceFrom"),
        (
            with(&|request| request.tolerance = "0".parse().unwrap()),
            bad,
            "tolerance is 0",
        ),
        (
            with(&|request| request.tolerances = vec![("shoe size".into(), "0.2".parse().unwrap())]),
            bad,
            "\"shoe size\", which is not a feature",
        ),
        (
            with(&|request| request.tolerances = vec![("age".into(), "0.2".parse().unwrap()); 2]),
            bad,
            "two tolerances",
        ),
        (
            with(&|request| request.tolerances = vec![("a\0".into(), "0.2".parse().unwrap())]),
            bad,
            "NUL",
        ),
    ] {
        let sentence = refusal(heart.ask(UID, &request).await?, status).await?;
        assert!(sentence.contains(said), "{sentence:?} does not say {said:?}");
    }

    // A Pod that counts in other bins is named, and the verdict uses the others.
    let strange = heart::bins(&patients("hungarian.csv"));
    let total = envelope(
        &heart.route,
        9,
        window(1),
        1,
        heart::counts(&strange, &patients("hungarian.csv")),
    );
    let path = format!("/v1/counts/{}/heart", world.namespace);
    let body = batch(&heart.route, vec![total]);
    expect_success(world.put_json(&heart.server, &path, &body).await?).await?;
    let result = heart.judged(&UID.replace('5', "7"), &good).await?;
    let pod = world.pods().get(&heart.server.pod).await?.metadata.uid.unwrap();
    let [aside] = &result.set_aside[..] else {
        panic!("{:?}", result.set_aside);
    };
    assert_eq!((aside.pod.as_str(), aside.totals), (pod.as_str(), 1));
    assert!(aside.reason.contains("other bins"), "{}", aside.reason);

    // A damaged reference is not used. After it is published again it is.
    let reference = serde_json::to_vec(&heart.reference)?;
    let file = world
        .artifacts
        .join(&world.namespace)
        .join("blobs/sha256")
        .join(digest_of(&reference).hex());
    std::fs::write(&file, reference.to_ascii_uppercase())?;
    let quiet = heart.request(window(4), window(3));
    let sentence = refusal(heart.ask(UID, &quiet).await?, StatusCode::SERVICE_UNAVAILABLE).await?;
    assert!(sentence.contains("damaged"), "{sentence}");
    expect_success(
        world
            .put(&heart.trainer, &world.blob(&digest_of(&reference)), reference)
            .await?,
    )
    .await?;
    assert_eq!(
        heart.judged(UID, &quiet).await?.verdict,
        DriftVerdict::InsufficientData
    );
    Ok(())
}
