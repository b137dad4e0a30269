//! Verdicts on traffic that repeats: each quarter of a day has patients of a different age.

use anyhow::Result;
use modelward_profile::{ChosenBy, Phases, Reference};
use modelward_wire::{CountedSeason, DriftAspect, DriftVerdict, NoSeason, ReportRequest, ReportResult};

use crate::{
    heart::{self, Patient, Random, batch, envelope, patients},
    reports::Heart,
    support::{digest_of, expect_success},
};

const QUARTER: i64 = 6 * 3600;
const DAY: i64 = 4 * QUARTER;

/// The start of this quarter of a day, counted from the midnight three days ago.
fn quarter(number: i64) -> i64 {
    let today = heart::window(0);
    today - today.rem_euclid(DAY) - 3 * DAY + number * QUARTER
}

/// The patients of Cleveland, the youngest quarter first, each twice, because a window needs 100 rows.
fn by_age() -> Vec<Vec<Patient>> {
    let mut all = patients("cleveland.csv");
    Random(5).shuffle(&mut all);
    all.sort_by(|a, b| a[0].total_cmp(&b[0]));
    all.chunks(76)
        .map(|quarter| [quarter, quarter].concat())
        .collect()
}

fn older(patients: &[Patient], years: f32) -> Vec<Patient> {
    let older = patients.iter().map(|patient| {
        let mut patient = *patient;
        patient[0] += years;
        patient
    });
    older.collect()
}

/// Serves these patients in that quarter.
async fn serve(heart: &Heart, number: i64, patients: &[Patient]) -> Result<()> {
    let counts = heart::counts(&heart.reference.bins, patients);
    let incarnation = u128::try_from(number)? + 1;
    let total = envelope(&heart.route, incarnation, quarter(number), 1, counts);
    let path = format!("/v1/counts/{}/heart", heart.world.namespace);
    let mut body = batch(&heart.route, vec![total]);
    body.window_seconds = u32::try_from(QUARTER)?;
    expect_success(heart.world.put_json(&heart.server, &path, &body).await?).await?;
    Ok(())
}

/// The verdict on this quarter for a version that is monitored from quarter 0 on.
async fn judged(heart: &Heart, number: i64, season: bool) -> Result<ReportResult> {
    let season_seconds = season.then_some(u32::try_from(DAY)?);
    let request = ReportRequest {
        since: quarter(0),
        evidence_from: quarter(0),
        window_seconds: Some(u32::try_from(QUARTER)?),
        season_seconds,
        ..heart.request(quarter(number), quarter(number + 1))
    };
    let uid = format!("5b2c1f8e-0f6d-4f0e-9a51-{:012}", 2 * number + i64::from(season));
    heart.judged(&uid, &request).await
}

#[tokio::test]
async fn a_quarter_of_the_day_drifts_from_training_and_the_whole_day_does_not() -> Result<()> {
    let heart = Heart::of(heart::reference()).await?;
    for (number, patients) in (0..).zip(by_age().iter().cycle().take(6)) {
        serve(&heart, number, patients).await?;
    }
    assert_eq!(judged(&heart, 3, false).await?.verdict, DriftVerdict::Drift);
    let unknown = judged(&heart, 2, true).await?;
    assert_eq!(
        unknown.verdict,
        DriftVerdict::InsufficientData,
        "a day is not over"
    );
    for number in [3, 4, 5] {
        let result = judged(&heart, number, true).await?;
        assert_eq!(
            result.verdict,
            DriftVerdict::NoDrift,
            "{number}: {:?}",
            result.drifted
        );
        assert_eq!((result.counts, result.season), (None, None));
    }
    // Before it served, a version had no traffic or only a part of it.
    let request = ReportRequest {
        since: quarter(0),
        evidence_from: quarter(0),
        window_seconds: Some(u32::try_from(QUARTER)?),
        season_seconds: Some(u32::try_from(DAY)?),
        serving_since: Some(quarter(2) + 60),
        ..heart.request(quarter(5), quarter(6))
    };
    let later = heart
        .judged("5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f12", &request)
        .await?;
    assert_eq!(later.verdict, DriftVerdict::InsufficientData);
    assert_eq!(later.no_season, Some(NoSeason::Open { ends: quarter(7) }));
    Ok(())
}

#[tokio::test]
async fn a_day_that_drifted_can_become_the_reference_phase_by_phase() -> Result<()> {
    let heart = Heart::of(heart::reference()).await?;
    let quarters: Vec<_> = by_age().iter().map(|patients| older(patients, 12.0)).collect();
    for (number, patients) in (0..).zip(quarters.iter().cycle().take(6)) {
        serve(&heart, number, patients).await?;
    }
    let result = judged(&heart, 5, true).await?;
    assert_eq!(result.verdict, DriftVerdict::Drift);
    let aspects: Vec<_> = result
        .drifted
        .iter()
        .map(|found| (found.feature.as_str(), found.aspect))
        .collect();
    assert!(aspects.contains(&("age", DriftAspect::Values)), "{aspects:?}");
    assert_eq!(result.drifted[0].windows, 4);
    let rows = quarters.iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(
        result.season,
        Some(CountedSeason {
            start: quarter(2),
            rows
        })
    );

    let bins = &heart.reference.bins;
    let phases = Phases {
        seconds: u64::try_from(QUARTER)?,
        counts: quarters
            .iter()
            .map(|patients| heart::counts(bins, patients).features)
            .collect(),
    };
    let reference = Reference {
        bins: bins.clone(),
        counts: heart::counts(bins, &quarters.concat()),
        chosen_by: ChosenBy::None,
        phases: Some(phases),
    };
    assert_eq!(result.counts, Some(digest_of(&serde_json::to_vec(&reference)?)));

    // After a season is accepted, the first quarter is judged immediately, by the same quarter.
    let heart = Heart::of(reference).await?;
    serve(&heart, 1, &quarters[1]).await?;
    let result = judged(&heart, 1, true).await?;
    assert_eq!(result.verdict, DriftVerdict::NoDrift, "{:?}", result.drifted);
    serve(&heart, 2, &quarters[1]).await?;
    let result = judged(&heart, 2, true).await?;
    assert_eq!(result.verdict, DriftVerdict::Drift);
    assert_eq!(
        (result.drifted[0].feature.as_str(), result.drifted[0].windows),
        ("age", 1)
    );
    Ok(())
}

#[tokio::test]
async fn against_an_accepted_window_shorter_than_a_day_windows_are_judged_and_a_day_can_be_accepted()
-> Result<()> {
    let mut heart = Heart::start().await?;
    let quarters = by_age();
    let mut accepted = heart.reference.clone();
    accepted.counts = heart::counts(&accepted.bins, &quarters[0]);
    accepted.chosen_by = ChosenBy::None;
    let hour = serde_json::json!({
        "counts": digest_of(b"an hour"), "rows": 152, "startTime": "2026-11-23T10:00:00Z", "endTime": "2026-11-23T11:00:00Z",
    });
    heart
        .publish(&[
            ("accepted-window.json", hour.to_string().as_bytes()),
            ("reference.json", &serde_json::to_vec(&accepted)?),
        ])
        .await?;
    for (number, patients) in (0..).zip(quarters.iter().cycle().take(5)) {
        serve(&heart, number, patients).await?;
    }
    // The first quarter of a day is judged alone, because the day is not over.
    let first = judged(&heart, 0, true).await?;
    assert_eq!(
        (first.verdict, first.season_seconds),
        (DriftVerdict::NoDrift, None)
    );
    assert_eq!((first.counts, first.no_season), (None, None));
    let second = judged(&heart, 1, true).await?;
    assert_eq!((second.verdict, second.counts), (DriftVerdict::Drift, None));
    let rows = quarters.iter().map(Vec::len).sum::<usize>() as u64;
    let fourth = judged(&heart, 3, true).await?;
    assert_eq!(fourth.verdict, DriftVerdict::Drift);
    assert_eq!(
        fourth.season,
        Some(CountedSeason {
            start: quarter(0),
            rows
        })
    );
    assert!(fourth.counts.is_some());
    Ok(())
}

#[tokio::test]
async fn traffic_that_stops_is_drift_of_a_window_without_rows() -> Result<()> {
    let heart = Heart::of(heart::reference()).await?;
    let all = patients("cleveland.csv");
    for ago in 9..=100_i64 {
        let some = usize::try_from(10 + ago % 5)?;
        heart.serve(u128::try_from(ago)?, ago, &all[..some]).await?;
    }
    let request = ReportRequest {
        since: heart::window(100),
        evidence_from: heart::window(24),
        window_seconds: Some(60),
        ..heart.request(heart::window(1), heart::window(0))
    };
    let result = heart
        .judged("5b2c1f8e-0f6d-4f0e-9a51-0d4a4a4c7f11", &request)
        .await?;
    assert_eq!((result.verdict, result.rows), (DriftVerdict::Drift, 0));
    let found: Vec<_> = result
        .drifted
        .iter()
        .map(|found| (found.feature.as_str(), found.aspect))
        .collect();
    assert_eq!(found, [("traffic", DriftAspect::Traffic)]);
    assert_eq!(result.drifted[0].windows, 8);
    Ok(())
}
