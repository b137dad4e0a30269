//! The results as the suite result of Great Expectations, with `result_format` SUMMARY.

use modelward_crds::{Expectation, Severity, TrainingSource};
use modelward_model::files::json as to_bytes;
use serde_json::{Map, Value, json};

use crate::data::{
    expectations::{found::Found, given::plain},
    table::Quote,
};

/// The format of the file.
const FORMAT: u32 = 1;

/// Where an expectation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The list of the spec.
    Spec,
    /// A feature of the spec.
    Features,
}

/// An expectation and what was found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) given: Expectation,
    pub(super) kwargs: Map<String, Value>,
    pub(super) origin: Origin,
    pub(super) found: Found,
    /// Why it could not be evaluated.
    pub(super) raised: Option<String>,
}

// === impl Outcome ===

impl Outcome {
    /// What was found, for messages. Values are named only if they may be quoted.
    pub(super) fn observed(&self, quote: Quote) -> String {
        if let Some(raised) = &self.raised {
            return raised.clone();
        }
        let found = &self.found;
        match quote {
            Quote::No if found.reveals => "what was observed may not be quoted".to_owned(),
            Quote::Yes if found.unexpected > 0 && !found.examples.is_empty() => {
                format!(
                    "{} not as expected, such as {}",
                    found.observed,
                    plain(&found.examples[0])
                )
            }
            _ if found.unexpected > 0 => format!("{} not as expected", found.observed),
            _ => found.observed.clone(),
        }
    }
}

impl Origin {
    const fn word(self) -> &'static str {
        match self {
            Self::Spec => "expectations",
            Self::Features => "features",
        }
    }
}

/// The file: the same outcomes give the same bytes.
pub(super) fn json(outcomes: &[Outcome], training: &TrainingSource) -> serde_json::Result<Vec<u8>> {
    let evaluated = outcomes.len();
    let successful = outcomes.iter().filter(|outcome| outcome.found.success).count();
    let percent = match evaluated {
        0 => Value::Null,
        _ => (successful as f64 / evaluated as f64 * 100.0).into(),
    };
    let results: Vec<Value> = outcomes.iter().map(result).collect();
    to_bytes(&json!({
        "success": successful == evaluated,
        "results": results,
        "suite_name": training.target.column,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": evaluated,
            "successful_expectations": successful,
            "unsuccessful_expectations": evaluated - successful,
            "success_percent": percent,
        },
        "meta": {"format": FORMAT, "result_format": "SUMMARY"},
        "id": null,
    }))
}

fn result(outcome: &Outcome) -> Value {
    let severity = match outcome.given.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
    };
    json!({
        "success": outcome.found.success,
        "expectation_config": {
            "type": outcome.given.r#type.snake_case(),
            "kwargs": outcome.kwargs,
            "meta": {"from": outcome.origin.word()},
            "severity": severity,
        },
        "result": outcome.found.result,
        "meta": {},
        "exception_info": {
            "raised_exception": outcome.raised.is_some(),
            "exception_traceback": null,
            "exception_message": outcome.raised,
        },
    })
}
