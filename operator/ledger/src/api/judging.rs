//! Uses counts for the verdict of a report, and for a new reference.

use std::collections::BTreeMap;

use bytes::Bytes;
use modelward_profile::{
    ChosenBy, Comparison, Counts, Exact, Judgement, Phases, Reference, Rule, Season, Traffic, WindowCounts,
    judge_with_traffic,
};
use modelward_service::chain;
use modelward_wire::{
    CountedSeason, Decimal, Digest, DriftAspect, DriftVerdict, DriftedComparison, NoSeason, REPORT_FORMAT,
    ReportReference, ReportRequest, ReportResult, SetAside, UnclosedIncarnation,
};
use sha2::{Digest as _, Sha256};

use crate::{
    database::{Joined, NewReport, Summed, SummedWindow, TrafficInterval},
    error::ApiError,
};

/// The reference that a window is compared with.
pub(super) struct Compared {
    pub(super) reference: Reference,
    pub(super) named: ReportReference,
    /// Length in seconds, if the reference is a window of traffic. `None` if it is training data.
    pub(super) seconds: Option<i64>,
}

/// Traffic that can become a reference.
struct Acceptable {
    start: i64,
    counts: Counts,
    phases: Option<Phases>,
}

/// Names of the comparisons that are not of features.
const SCORES: &str = "score";
const TRAFFIC: &str = "traffic";
const REFUSED: &str = "refused";
/// Maximum number of windows that are compared together without a season.
const LONGEST_SPAN: i64 = 24;
/// Maximum number of comparisons of a result, about 250 KiB, which the operator reads into memory.
const MOST_DRIFTED: usize = 1000;
/// Number of windows whose amount of traffic is compared: six weeks of hours.
const TRAFFIC_WINDOWS: i64 = 1008;

/// How the windows before the window of a report are added up.
pub(super) fn joined(request: &ReportRequest, compared: &Compared) -> Option<Joined> {
    let bins = &compared.reference.bins;
    let season = season_of(request, request.since)?;
    let seconds = i64::from(request.season_seconds?);
    let has_phases = season.phases(request.window_seconds?.into(), bins).is_some();
    let by_window = as_compared(request, compared).season_seconds.is_none();
    Some(Joined {
        season: seconds,
        apart: [(has_phases, seconds), (by_window, spans_back(request)?)]
            .into_iter()
            .filter_map(|(needed, seconds)| needed.then_some(seconds))
            .max()
            .unwrap_or(0),
    })
}

/// Seconds before the end of a window within which single windows are compared, without a season.
fn spans_back(request: &ReportRequest) -> Option<i64> {
    Some(LONGEST_SPAN * i64::from(request.window_seconds?))
}

/// The windows for the comparison of the amount of traffic. `None` for an interval that is not a window, which has no such comparison.
pub(super) fn interval_of_traffic(request: &ReportRequest) -> Option<TrafficInterval> {
    let window = i64::from(request.window_seconds?);
    // For a longer season, too few windows of each phase are read.
    let fits = request
        .season_seconds
        .is_none_or(|season| 2 * i64::from(season) < TRAFFIC_WINDOWS * window);
    let is_one = fits && request.end - request.start == window && request.start.rem_euclid(window) == 0;
    is_one.then(|| TrafficInterval {
        model: request.model.clone(),
        from: request.since.max(request.end - TRAFFIC_WINDOWS * window),
        end: request.end,
        window_seconds: request.window_seconds.unwrap_or_default(),
    })
}

/// The request, adapted to the reference. If the reference is a window of traffic that is not a whole season, it does not have the
/// distribution of a season, so each window is compared with it.
fn as_compared(request: &ReportRequest, compared: &Compared) -> ReportRequest {
    let fits = |season: &u32| {
        compared
            .seconds
            .is_none_or(|seconds| seconds >= i64::from(*season))
    };
    ReportRequest {
        season_seconds: request.season_seconds.filter(fits),
        ..request.clone()
    }
}

/// Judges the counts, and returns the bytes of a new [`Reference`]: the window, or, if traffic repeats, the season up to its end. This
/// does not depend on what the window was compared with.
pub(super) fn verdict(
    request: &ReportRequest,
    compared: Compared,
    summed: Summed,
    traffic: &[(i64, u64)],
) -> Result<(NewReport, Option<Bytes>), ApiError> {
    let judged_as = as_compared(request, &compared);
    let Compared { reference, named, .. } = compared;
    let counts = summed.counts(request.start, request.end).map_err(|error| {
        ApiError::Unprocessable(format!(
            "the counts of the window do not add up: {}",
            chain(&error)
        ))
    })?;
    let counted = counts.is_some();
    let counts = counts.unwrap_or_else(|| Counts::new(&reference.bins));
    let season = whole_season(request, &reference, &summed)?;
    let compared = season.as_ref().filter(|_| judged_as.season_seconds.is_some());
    let enough = compared.map_or(&counts, |season| &season.counts).features.rows;
    let rule = rule(&judged_as, enough, known_from(request, &summed))?;
    let cannot = |error| ApiError::Unprocessable(format!("the window cannot be judged: {}", chain(&error)));
    let rows = rows_by_window(request, traffic);
    let period = request.season_seconds.zip(request.window_seconds);
    let traffic = rows.as_ref().map(|rows| Traffic {
        rows,
        period: period.map_or(1, |(season, window)| (season / window.max(1)) as usize),
    });
    let windows = windows(&judged_as, &summed.windows, &counts);
    let judgement = judge_with_traffic(&reference, &windows, traffic.as_ref(), &rule).map_err(cannot)?;
    let (judged, aside, refused) = (counts.features.rows, counts.aside, counts.refused);
    let acceptable = match request.season_seconds {
        None => counted.then_some(Acceptable {
            start: request.start,
            counts,
            phases: None,
        }),
        // It is long, and only few are accepted.
        Some(_) => season.filter(|_| judgement.verdict == DriftVerdict::Drift),
    };
    let outside_bins = acceptable
        .as_ref()
        .map(|season| season.counts.outside(&reference.bins));
    let season = acceptable
        .as_ref()
        .filter(|_| request.season_seconds.is_some())
        .map(|season| CountedSeason {
            start: season.start,
            rows: season.counts.features.rows,
        });
    let window = acceptable
        .map(|season| {
            let accepted = Reference {
                bins: reference.bins,
                counts: season.counts,
                chosen_by: ChosenBy::None,
                phases: season.phases,
            };
            serde_json::to_vec(&accepted).map(Bytes::from)
        })
        .transpose()
        .map_err(|error| ApiError::Internal(Box::new(error)))?;
    let no_season = no_season(&judged_as, &summed);
    let result = ReportResult {
        format: REPORT_FORMAT,
        verdict: judgement.verdict,
        rows: judged,
        synthetic: aside.synthetic,
        repeated: aside.repeated,
        over_limit: aside.over_limit,
        refused,
        set_aside: summed
            .misfits
            .iter()
            .map(|(pod, (totals, why))| SetAside {
                pod: pod.to_string(),
                totals: *totals,
                reason: why.to_string(),
            })
            .collect(),
        incarnations: summed.processes.len() as u64,
        unclosed: summed
            .processes
            .into_iter()
            .filter(|(_, closed)| !closed)
            .map(|((pod, incarnation), _)| UnclosedIncarnation {
                pod: pod.to_string(),
                incarnation: incarnation.into(),
            })
            .collect(),
        counts: window
            .as_ref()
            .map(|window| Digest::from_bytes(Sha256::digest(window).into())),
        outside_bins: outside_bins.unwrap_or_default(),
        season,
        season_seconds: judged_as.season_seconds,
        no_season,
        reference: named,
        drifted: drifted(&judgement)?,
    };
    let report = NewReport {
        request: request.clone(),
        result,
        judgement,
    };
    Ok((report, window))
}

/// The rows of each window that can be compared. `None` for an interval that a user chose.
fn rows_by_window(request: &ReportRequest, traffic: &[(i64, u64)]) -> Option<Vec<u64>> {
    let TrafficInterval { from, end, .. } = interval_of_traffic(request)?;
    let window = i64::from(request.window_seconds?);
    let mut rows = vec![0_u64; usize::try_from((end - from) / window).ok()?];
    // The last window ends with the window of the report.
    for (start, counted) in traffic {
        let before = usize::try_from((end - start) / window).ok()?;
        if let Some(index) = rows.len().checked_sub(before) {
            rows[index] = rows[index].saturating_add(*counted);
        }
    }
    Some(rows)
}

/// The season up to the end of the window. `None` if traffic does not repeat, or if the first season is not over yet.
fn whole_season(
    request: &ReportRequest,
    reference: &Reference,
    summed: &Summed,
) -> Result<Option<Acceptable>, ApiError> {
    let (Some(seconds), Some(length), Some(season)) = (
        request.season_seconds,
        request.window_seconds,
        season_of(request, request.since),
    ) else {
        return Ok(None);
    };
    let start = request.start.min(request.end - i64::from(seconds));
    if start < known_from(request, summed) {
        return Ok(None);
    }
    let too_many = |error| {
        ApiError::Unprocessable(format!(
            "the counts of the season do not add up: {}",
            chain(&error)
        ))
    };
    let Some(counts) = summed.counts(start, request.end).map_err(too_many)? else {
        return Ok(None);
    };
    let mut windows = since(request.since, &summed.windows);
    let after = u64::try_from(start - request.since).unwrap_or_default();
    windows.retain(|window| window.from >= after);
    let is_one = request.end - start == i64::from(seconds);
    let phases = is_one
        .then(|| Phases::of_windows(&reference.bins, &season, length.into(), &windows))
        .flatten();
    Ok(Some(Acceptable {
        start,
        counts,
        phases: phases.transpose().map_err(too_many)?,
    }))
}

/// The time from which all windows of the version are known and it answered all requests: the start of the first window after that.
fn known_from(request: &ReportRequest, summed: &Summed) -> i64 {
    let window = i64::from(request.window_seconds.unwrap_or(1).max(1));
    let served = request.serving_since.unwrap_or(request.since);
    let served = served + (window - served.rem_euclid(window)) % window;
    served
        .max(request.since)
        .max(summed.known_from.unwrap_or(request.since))
}

/// Why no whole season can be compared.
fn no_season(request: &ReportRequest, summed: &Summed) -> Option<NoSeason> {
    let seconds = i64::from(request.season_seconds?);
    let known = known_from(request, summed);
    let start = request.start.min(request.end - seconds);
    if start >= known {
        None
    } else if summed.known_from == Some(known) {
        Some(NoSeason::TooManyTotals)
    } else {
        Some(NoSeason::Open {
            ends: known + seconds,
        })
    }
}

/// The season, relative to the beginning of monitoring. All windows from `known_from` on are known.
fn season_of(request: &ReportRequest, known_from: i64) -> Option<Season> {
    let seconds = request.season_seconds?;
    Some(Season {
        seconds: seconds.into(),
        offset: u64::try_from(request.since.rem_euclid(seconds.into())).unwrap_or_default(),
        known_from: u64::try_from(known_from - request.since).unwrap_or_default(),
    })
}

/// The earlier windows, and the one that is judged, which may be several windows together.
fn windows<'a>(
    request: &ReportRequest,
    summed: &'a BTreeMap<i64, SummedWindow>,
    judged: &'a Counts,
) -> Vec<WindowCounts<'a>> {
    let after = |second: i64| u64::try_from(second - request.since).unwrap_or_default();
    let mut windows = since(request.since, summed);
    // Windows without counts are absent, so this number of windows may go back further.
    let oldest = match (request.season_seconds, spans_back(request)) {
        (None, Some(seconds)) => after(request.end - seconds),
        _ => 0,
    };
    windows.retain(|window| (oldest..after(request.start)).contains(&window.from));
    // A report on an interval that a user chose may begin within a window.
    if let Some(last) = windows.last_mut() {
        last.to = last.to.min(after(request.start));
    }
    windows.push(WindowCounts {
        from: after(request.start),
        to: after(request.end),
        counts: judged,
    });
    windows
}

/// The windows in chronological order, with their time since the beginning. If a window overlaps the next one, it ends there, because
/// their length can be changed while a version serves.
fn since(beginning: i64, windows: &BTreeMap<i64, SummedWindow>) -> Vec<WindowCounts<'_>> {
    let after = |second: i64| u64::try_from(second - beginning).unwrap_or_default();
    let next = windows.keys().skip(1).copied().chain([i64::MAX]);
    windows
        .iter()
        .zip(next)
        .map(|((start, window), next)| WindowCounts {
            from: after(*start),
            to: after(next.min(start + i64::from(window.seconds.max(1)))),
            counts: &window.counts,
        })
        .collect()
}

/// `minimumRows` applies to the window. The reference needs the default number of rows.
fn rule(request: &ReportRequest, rows: u64, known_from: i64) -> Result<Rule, ApiError> {
    let default = Rule::default();
    let exact = |decimal: &Decimal| {
        Exact::new(decimal.to_f64())
            .ok_or_else(|| ApiError::Unprocessable(format!("tolerance {decimal} is not a finite number")))
    };
    let tolerances = request
        .tolerances
        .iter()
        .map(|(feature, tolerance)| Ok((feature.clone(), exact(tolerance)?)))
        .collect::<Result<BTreeMap<_, _>, ApiError>>()?;
    Ok(Rule {
        tolerance: exact(&request.tolerance)?,
        rate_tolerance: exact(&request.rate_tolerance)?,
        tolerances,
        min_rows: if rows >= request.minimum_rows {
            request.minimum_rows.min(default.min_rows)
        } else {
            request.minimum_rows
        },
        season: season_of(request, known_from),
        ..default
    })
}

/// The comparisons that drifted, the largest effect first. The judgement has all of them.
fn drifted(judgement: &Judgement) -> Result<Vec<DriftedComparison>, ApiError> {
    let of_features = judgement.features.iter().flat_map(|feature| {
        let tests = feature.tests.iter();
        tests.map(|judged| {
            (
                feature.name.as_str(),
                judged.aspect,
                Some(judged.test.as_str()),
                &judged.comparison,
            )
        })
    });
    let of_scores = [(SCORES, DriftAspect::Scores, None, &judgement.score)];
    let of_traffic = judgement
        .traffic
        .as_ref()
        .map(|traffic| (TRAFFIC, DriftAspect::Traffic, None, traffic));
    let of_refused = judgement
        .refused
        .as_ref()
        .map(|refused| (REFUSED, DriftAspect::Refused, None, refused));
    let of_model = of_scores.into_iter().chain(of_traffic).chain(of_refused);
    let mut found: Vec<(f64, DriftedComparison)> = Vec::new();
    for (feature, aspect, test, comparison) in of_features.chain(of_model) {
        let Comparison {
            verdict: DriftVerdict::Drift,
            windows,
            tolerance,
            log_evidence: Some(log_evidence),
            log_threshold,
            effect: Some(effect),
            ..
        } = comparison
        else {
            continue;
        };
        let row = DriftedComparison {
            feature: feature.to_owned(),
            aspect,
            test: test.map(str::to_owned),
            effect: decimal(effect.estimate, 6)?,
            lower: decimal(effect.lower, 6)?,
            upper: decimal(effect.upper, 6)?,
            tolerance: decimal(*tolerance, 6)?,
            windows: u32::try_from(*windows).unwrap_or(u32::MAX),
            log_evidence: decimal(*log_evidence, 6)?,
            log_threshold: decimal(*log_threshold, 6)?,
        };
        found.push((effect.estimate.get(), row));
    }
    // The sort is stable: equal effects stay in the order of the features.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(found.into_iter().take(MOST_DRIFTED).map(|(_, row)| row).collect())
}

fn decimal(number: Exact<f64>, places: usize) -> Result<Decimal, ApiError> {
    Decimal::rounded(number.get(), places)
        .ok_or_else(|| ApiError::Internal(format!("{number:?} is not a decimal number").into()))
}

#[cfg(test)]
mod tests {
    use modelward_profile::{Bins, FeatureBins, Observed, ScoreBins, judge};
    use modelward_wire::DriftAspect;

    use super::*;

    #[test]
    fn what_drifted_is_listed_with_its_test_whatever_tests_there_are() {
        let bins = Bins::new(
            vec![FeatureBins::categorical("c", ["a", "b"])],
            ScoreBins::from_out_of_fold(&[0.5]).unwrap(),
        )
        .unwrap();
        let counts = |category| {
            let mut counts = Counts::new(&bins);
            for _ in 0..200 {
                let row = [Observed::Category(category)];
                counts.add_row(&bins, row, 0.5, 0).unwrap();
            }
            counts
        };
        let (before, now) = (counts(0), counts(1));
        let windows = [WindowCounts {
            from: 0,
            to: 3600,
            counts: &now,
        }];
        let reference = Reference {
            bins: bins.clone(),
            counts: before,
            chosen_by: ChosenBy::None,
            phases: None,
        };
        let mut judgement = judge(&reference, &windows, &Rule::default()).unwrap();
        let tests = &mut judgement.features[0].tests;
        tests.truncate(1);
        let mut further = tests[0].clone();
        further.test = "shape".into();
        tests[0].comparison.effect.as_mut().unwrap().estimate = Exact::new(0.4).unwrap();
        tests.push(further);

        let found = drifted(&judgement).unwrap();
        let listed: Vec<_> = found
            .iter()
            .map(|row| (row.feature.as_str(), row.aspect, row.test.as_deref()))
            .collect();
        assert_eq!(
            listed,
            [
                ("c", DriftAspect::Values, Some("shape")),
                ("c", DriftAspect::Values, Some("category")),
            ]
        );
        assert_eq!(
            (found[0].effect.as_str(), found[1].effect.as_str()),
            ("1.000000", "0.400000")
        );
    }
}
