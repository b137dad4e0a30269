//! Whether a model passed its gates, with a message.

use modelward_crds::{ConditionType, Gate, GateStatus, ModelVersionStatus, TrainingSource, describe_folds};
use modelward_wire::{Decimal, GateBound};

use crate::{conditions::Verdict, reason::Reason};

/// Limit on the outcomes of gates in a status.
pub(super) const GATES: usize = 13;

/// Judges the recorded outcome of every gate; "F1 0.71 (mean of 50 folds) is under the gate 0.75". A gate or a comparison of the
/// spec without an outcome has not passed.
pub(super) fn gates_verdict(
    name: &str,
    training: Option<&TrainingSource>,
    status: &ModelVersionStatus,
) -> Verdict {
    let Some(training) = training else {
        let words = match &status.imported {
            Some(_) => {
                "a version of an imported model has no gates: it has no metrics of rows that it was not trained on"
            }
            None => "a version of a given bundle has no gates of its own",
        };
        return Verdict::holds(ConditionType::GatesPassed, Reason::NoGates, words);
    };
    let reported = |gate: &&Gate| {
        let outcome = |outcome: &&GateStatus| outcome.metric == gate.metric;
        status
            .gates
            .iter()
            .filter(outcome)
            .any(|outcome| !is_comparison(outcome))
    };
    let silent = training.gates.iter().filter(|gate| !reported(gate));
    let silent = silent.map(|gate| format!("the gate on {} has no outcome", gate.metric.as_str()));
    let uncompared = training
        .not_worse_than
        .iter()
        .filter(|_| !status.gates.iter().any(is_comparison))
        .map(|champion| format!("the comparison with {} has no outcome", champion.version));
    let failed: Vec<_> = status
        .gates
        .iter()
        .filter(|gate| !gate.passed)
        .map(|gate| gate_words(name, training, gate))
        .chain(silent)
        .chain(uncompared)
        .collect();
    if failed.is_empty() {
        let held: Vec<_> = status
            .gates
            .iter()
            .map(|gate| format!("{}, {}", value_words(training, gate), gate.bound))
            .collect();
        if held.is_empty() {
            let words = "the spec sets no gates";
            return Verdict::holds(ConditionType::GatesPassed, Reason::NoGates, words);
        }
        return Verdict::holds(
            ConditionType::GatesPassed,
            Reason::AllGatesPassed,
            held.join("; "),
        );
    }
    Verdict::fails(ConditionType::GatesPassed, Reason::GateFailed, failed.join("; "))
}

/// Whether an outcome is a comparison with a champion, whose value is the lower bound of a difference.
fn is_comparison(gate: &GateStatus) -> bool {
    GateBound::from(gate.bound.as_str()).is_comparison()
}

/// The value of a gate, and over what it was taken: gates use the mean of the folds, comparisons all rows together.
fn value_words(training: &TrainingSource, gate: &GateStatus) -> String {
    let (metric, value) = (gate.metric.as_str(), &gate.value);
    if is_comparison(gate) {
        return format!("{metric} {value} (pooled over the folds)");
    }
    let measured = describe_folds(training.measured_folds(), training.custom_trainer.is_some());
    let asked = training.gates.iter().find(|asked| asked.metric == gate.metric);
    let what = asked.map_or_else(
        || format!("mean of {measured}"),
        |asked| asked.describe_value(&measured),
    );
    format!("{metric} {value} ({what})")
}

/// What failed, of the version of this name.
fn gate_words(name: &str, training: &TrainingSource, gate: &GateStatus) -> String {
    let metric = gate.metric.as_str();
    let value = &gate.value;
    let with_value = value_words(training, gate);
    match GateBound::from(gate.bound.as_str()) {
        GateBound::AtLeast(bound) => {
            format!(
                "{with_value} is under the gate {bound}{}",
                gate.metric.note_on_side(true)
            )
        }
        GateBound::AtMost(bound) => {
            format!(
                "{with_value} is over the gate {bound}{}",
                gate.metric.note_on_side(false)
            )
        }
        GateBound::NotWorseThan {
            version,
            margin,
            rows,
        } if !lacks_evidence(value, &margin) => format!(
            "on {}, {name} may be up to {} worse in {metric} (pooled over the folds) than {version}; the margin allows {margin}: add rows, or raise \
             spec.retraining.margin",
            rows.phrase(),
            value.as_str().trim_start_matches('-')
        ),
        GateBound::NotWorseThan { version, .. } => match &training.validation.group_by {
            Some(column) => format!(
                "there are not enough groups by {column} with new rows to compare {name} with {version}, or the two differ in too few of \
                 them: add rows of new groups"
            ),
            None => format!(
                "there are not enough new rows to compare {name} with {version}, or the two differ on too few of them: add new rows"
            ),
        },
        GateBound::Other(bound) => format!("{with_value} is outside the gate {bound}"),
    }
}

/// Whether a failed comparison is within its margin, so that it failed for lack of evidence.
fn lacks_evidence(lower_bound: &Decimal, margin: &Decimal) -> bool {
    let least = format!("-{margin}").parse::<Decimal>();
    least.is_ok_and(|least| *lower_bound >= least)
}
