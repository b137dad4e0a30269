//! The results as an HTML page. askama escapes what comes from the data.

use askama::Template;
use modelward_crds::TrainingSource;

use crate::{
    data::{
        expectations::{
            frame::Frame,
            given::{columns, expected, plain},
            report::{Origin, Outcome},
        },
        table::Quote,
    },
    spec,
};

/// A page names this many examples of an expectation.
const EXAMPLES: usize = 5;

#[derive(Template)]
#[template(path = "validation.html")]
struct Page<'a> {
    sources: Vec<String>,
    rows: usize,
    evaluated: usize,
    failed: usize,
    quotes: bool,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    success: bool,
    kind: &'static str,
    severity: &'static str,
    columns: String,
    expected: String,
    observed: String,
    examples: String,
    /// The first row that is not as expected: the part's name, if there are several, and the number.
    first: Option<(Option<&'a str>, u64)>,
    implied: bool,
}

/// Those that are not met first.
pub(super) fn html(
    outcomes: &[Outcome],
    frame: &Frame<'_>,
    training: &TrainingSource,
) -> Result<String, askama::Error> {
    let quote = frame.quote();
    let entry = |outcome| entry(outcome, frame);
    let failed = outcomes.iter().filter(|outcome| !outcome.found.success);
    let met = outcomes.iter().filter(|outcome| outcome.found.success);
    let entries: Vec<Entry<'_>> = failed.chain(met).map(entry).collect();
    Page {
        sources: training.datasets().map(spec::source_name).collect(),
        rows: frame.rows(),
        evaluated: outcomes.len(),
        failed: entries.iter().filter(|entry| !entry.success).count(),
        quotes: quote == Quote::Yes,
        entries,
    }
    .render()
}

fn entry<'a>(outcome: &Outcome, frame: &Frame<'a>) -> Entry<'a> {
    let found = &outcome.found;
    let first = found.first.and_then(|row| frame.place(row));
    let examples = found.examples.iter().take(EXAMPLES).map(plain);
    Entry {
        success: found.success,
        kind: outcome.given.r#type.as_str(),
        severity: outcome.given.severity.as_str(),
        columns: columns(&outcome.given),
        expected: expected(&outcome.given),
        observed: outcome.observed(frame.quote()),
        examples: match frame.quote() {
            Quote::Yes if found.unexpected > 0 => examples.collect::<Vec<_>>().join(", "),
            _ => String::new(),
        },
        first: first.map(|(name, number)| (frame.has_several_parts().then_some(name), number)),
        implied: outcome.origin == Origin::Features,
    }
}
