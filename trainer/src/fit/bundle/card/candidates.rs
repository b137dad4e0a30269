//! What the card says about the candidates, the trials and the gates.

use modelward_crds::{Gate, MetricName};
use modelward_wire::{GateBound, GateResult};

use super::{figure, words::selects};
use crate::fit::{
    candidate::Candidate,
    metrics::{Estimate, four_places},
    plan::Plan,
    search::Trial,
    train::Trained,
};

/// The candidates with every metric.
pub(super) struct CandidatesPart {
    pub(super) names: Vec<CardName>,
    pub(super) metrics: Vec<CardMetric>,
    /// One of each metric.
    pub(super) figures: Vec<String>,
    pub(super) parameters: Vec<CardParameter>,
    pub(super) trials: Vec<CardTrials>,
    pub(super) trials_in_all: usize,
    /// Those of the ensemble, if there is one.
    pub(super) members: Option<String>,
}

pub(super) struct CardName {
    pub(super) family: &'static str,
    pub(super) selected: bool,
}

/// A row of the table: a metric of each candidate.
pub(super) struct CardMetric {
    pub(super) name: &'static str,
    pub(super) better: &'static str,
    pub(super) selects: bool,
    pub(super) cells: Vec<CardCell>,
}

pub(super) struct CardCell {
    pub(super) text: String,
    pub(super) selected: bool,
}

/// A row of the table: a hyper-parameter, which some candidates have.
pub(super) struct CardParameter {
    pub(super) name: &'static str,
    pub(super) cells: Vec<CardCell>,
}

/// The trials of a family.
pub(super) struct CardTrials {
    pub(super) family: &'static str,
    pub(super) count: usize,
    pub(super) not_continued: usize,
    pub(super) failed: usize,
    pub(super) first: String,
    pub(super) best: String,
}

/// A gate with its outcome.
pub(super) struct CardGate {
    pub(super) metric: String,
    pub(super) bound: String,
    pub(super) compared: String,
    pub(super) value: String,
    pub(super) passed: bool,
}

// === impl CandidatesPart ===

impl CandidatesPart {
    pub(super) fn of(trained: &Trained, plan: &Plan) -> Self {
        let (candidates, selected) = (&trained.candidates, trained.selected);
        let names = candidates.iter().enumerate().map(|(at, candidate)| CardName {
            family: candidate.family,
            selected: at == selected && candidates.len() > 1,
        });
        let metrics = MetricName::ALL.iter().enumerate();
        Self {
            names: names.collect(),
            metrics: metrics
                .clone()
                .map(|(place, metric)| CardMetric {
                    selects: selects(*metric, plan, trained),
                    ..CardMetric::of(*metric, place, candidates, selected)
                })
                .collect(),
            figures: metrics
                .map(|(place, metric)| {
                    let estimates: Vec<(&str, Estimate)> = candidates
                        .iter()
                        .map(|candidate| (candidate.family, candidate.estimates[place]))
                        .collect();
                    let heading = format!("{}, {} is better", metric.as_str(), better(*metric));
                    figure::estimates(&format!("metric-{place}"), &heading, &estimates, selected)
                })
                .collect(),
            parameters: parameters(candidates, selected),
            trials: trials(&trained.trials, plan.select_by),
            trials_in_all: trained.trials.len(),
            members: candidates.last().and_then(describe_members),
        }
    }
}

impl CardMetric {
    fn of(metric: MetricName, place: usize, candidates: &[Candidate], selected: usize) -> Self {
        let cells = candidates.iter().enumerate().map(|(at, candidate)| {
            let estimate = candidate.estimates[place];
            CardCell {
                text: format!(
                    "{} ± {}",
                    four_places(estimate.mean),
                    four_places(estimate.standard_error)
                ),
                selected: at == selected,
            }
        });
        Self {
            name: metric.as_str(),
            better: better(metric),
            selects: false,
            cells: cells.collect(),
        }
    }
}

const fn better(metric: MetricName) -> &'static str {
    if metric.higher_is_better() {
        "higher"
    } else {
        "lower"
    }
}

/// The members of an ensemble with their shares of the vote.
fn describe_members(candidate: &Candidate) -> Option<String> {
    let total: u32 = candidate.members.iter().map(|member| member.weight).sum();
    let members = candidate.members.iter();
    let members = members.map(|member| format!("{} ({} of {total})", member.family, member.weight));
    let members: Vec<String> = members.collect();
    let (last, others) = members.split_last()?;
    Some(format!("{} and {last}", others.join(", ")))
}

/// Every hyper-parameter that a candidate has, in the order in which they come.
fn parameters(candidates: &[Candidate], selected: usize) -> Vec<CardParameter> {
    let of: Vec<Vec<(&'static str, String)>> = candidates
        .iter()
        .map(|candidate| candidate.parameters.iter().collect())
        .collect();
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in of.iter().flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let row = |name: &'static str| {
        let cell = |(at, values): (usize, &Vec<(&'static str, String)>)| CardCell {
            text: values
                .iter()
                .find(|(known, _)| *known == name)
                .map_or(String::new(), |(_, value)| shorten_number(value)),
            selected: at == selected,
        };
        CardParameter {
            name,
            cells: of.iter().enumerate().map(cell).collect(),
        }
    };
    names.into_iter().map(row).collect()
}

/// Cuts digits that a reader does not need; metrics.json has all.
fn shorten_number(text: &str) -> String {
    const MOST: usize = 8;
    match text.parse::<f64>() {
        Ok(number) if text.len() > MOST && number.abs() < 1e6 => {
            let places = if number.abs() < 0.1 { 6 } else { 4 };
            format!("{number:.places$}")
        }
        _ => text.to_owned(),
    }
}

fn trials(trials: &[Trial], by: MetricName) -> Vec<CardTrials> {
    let mut families: Vec<&'static str> = Vec::new();
    for trial in trials {
        if !families.contains(&trial.family) {
            families.push(trial.family);
        }
    }
    let of_family = |family: &'static str| {
        let of: Vec<&Trial> = trials.iter().filter(|trial| trial.family == family).collect();
        let count = |is_counted: fn(&Trial) -> bool| of.iter().filter(|trial| is_counted(trial)).count();
        let values = || of.iter().filter_map(|trial| trial.value);
        let best = values().reduce(|best, value| {
            if by.higher_is_better() {
                best.max(value)
            } else {
                best.min(value)
            }
        });
        let show = |value: Option<f64>| value.map_or("none".to_owned(), four_places);
        CardTrials {
            family,
            count: of.len(),
            not_continued: count(|trial| trial.value.is_none() && trial.failure.is_none()),
            failed: count(|trial| trial.failure.is_some()),
            first: show(of.first().and_then(|trial| trial.value)),
            best: show(best),
        }
    };
    families.into_iter().map(of_family).collect()
}

/// Every gate of the spec, then those of the comparison with the champion. `measured` says what the values are means over.
pub(super) fn gates(outcomes: &[GateResult], gates: &[Gate], measured: &str) -> Vec<CardGate> {
    let gate = |(at, outcome): (usize, &GateResult)| CardGate {
        metric: outcome.metric.clone(),
        bound: match &outcome.bound {
            GateBound::AtLeast(bound) => format!("at least {bound}"),
            GateBound::AtMost(bound) => format!("at most {bound}"),
            GateBound::NotWorseThan {
                version,
                margin,
                rows,
            } => {
                format!("not worse than {version} by {margin} on {}", rows.phrase())
            }
            GateBound::Other(text) => text.clone(),
        },
        compared: gates.get(at).map_or_else(
            || "lower bound of the difference".to_owned(),
            |gate| gate.describe_value(measured),
        ),
        value: outcome.value.to_string(),
        passed: outcome.passed,
    };
    outcomes.iter().enumerate().map(gate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_search_are_cut_and_others_stay() {
        let cut = [
            "0.031415926535",
            "123.456789012",
            "300",
            "0.05",
            "binary:logistic",
        ]
        .map(shorten_number);
        assert_eq!(cut, ["0.031416", "123.4568", "300", "0.05", "binary:logistic"]);
    }
}
