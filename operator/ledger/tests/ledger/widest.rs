//! The widest model that training supports: 4,096 features with 256 categories.

use std::time::Instant;

use anyhow::{Context as _, Result};
use modelward_profile::{Bins, ChosenBy, Counts, FeatureBins, Observed, Reference, ScoreBins};
use modelward_wire::{DriftAspect, DriftVerdict, ReportRequest};
use sqlx::Connection as _;

use crate::{
    heart::{WINDOW, batch, envelope, window},
    reports::Heart,
    support::expect_success,
};

const FEATURES: usize = 4096;
const CATEGORIES: u32 = 256;
/// The feature that is different in the newest window.
const CHANGED: usize = 7;

fn reference() -> Result<Reference> {
    let words: Vec<String> = (0..CATEGORIES).map(|word| format!("w{word}")).collect();
    let features = (0..FEATURES).map(|index| FeatureBins::categorical(&format!("f{index}"), words.clone()));
    let bins = Bins::new(features.collect(), ScoreBins::from_out_of_fold(&[0.5])?)?;
    let counts = counts(&bins, 3000, CATEGORIES)?;
    Ok(Reference {
        bins,
        counts,
        chosen_by: ChosenBy::None,
        phases: None,
    })
}

/// Rows with equally frequent categories, and this many categories of the feature that may change.
fn counts(bins: &Bins, rows: u32, of_changed: u32) -> Result<Counts> {
    let mut counts = Counts::new(bins);
    for row in 0..rows {
        let values: Vec<Observed> = (0..FEATURES)
            .map(|feature| match feature {
                CHANGED => Observed::Category(row % of_changed),
                _ => Observed::Category((row + u32::try_from(feature).unwrap_or(0)) % CATEGORIES),
            })
            .collect();
        counts.add_row(bins, values, 0.5, 1)?;
    }
    Ok(counts)
}

/// The peak memory of this process in MiB.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmHWM")?.parse::<u64>()? / 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_the_widest_model_is_counted_and_judged_within_the_memory_of_a_ledger() -> Result<()> {
    let heart = Heart::of(reference()?).await?;
    let bins = &heart.reference.bins;
    let path = format!("/v1/counts/{}/heart", heart.world.namespace);
    for (ago, categories) in [(2, CATEGORIES), (1, 8)] {
        let total = envelope(&heart.route, 1, window(ago), 1, counts(bins, 1024, categories)?);
        let body = batch(&heart.route, vec![total]);
        let start = Instant::now();
        expect_success(heart.world.put_json(&heart.server, &path, &body).await?).await?;
        println!("one total was taken in {:?}", start.elapsed());
    }
    // The older window again, in the 22 windows before it.
    let sql = format!(
        "INSERT INTO counts SELECT namespace, model, pod_uid, incarnation, route, window_start - make_interval(secs => n * {WINDOW}), \
         window_seconds, version, bundle, sequence, closed, rows, synthetic, repeated, over_limit, envelope, received_at, \
         counters FROM (SELECT * FROM counts ORDER BY window_start LIMIT 1) one, generate_series(1, 22) n"
    );
    heart
        .world
        .postgres
        .execute(&heart.world.database.url, &sql)
        .await?;
    let mut role = sqlx::PgConnection::connect(&heart.world.database.url).await?;
    let stored: i64 = sqlx::query_scalar("SELECT sum(pg_column_size(envelope))::bigint FROM counts")
        .fetch_one(&mut role)
        .await?;
    println!("24 totals take {} KiB in PostgreSQL", stored / 1024);
    let request = ReportRequest {
        since: window(24),
        evidence_from: window(24),
        window_seconds: Some(60),
        ..heart.request(window(1), window(0))
    };
    let (start, before) = (Instant::now(), peak()?);
    let result = heart
        .judged("5b2c1f8e-0f6d-4f0e-9a51-000000000001", &request)
        .await?;
    let grown = peak()?.saturating_sub(before);
    println!("24 windows were judged in {:?}, {grown} MiB", start.elapsed());
    assert!(grown < 450, "{grown} MiB");
    assert_eq!((result.verdict, result.rows), (DriftVerdict::Drift, 1024));
    for found in &result.drifted {
        assert_eq!(
            (found.feature.as_str(), found.aspect),
            ("f7", DriftAspect::Values)
        );
    }
    Ok(())
}
