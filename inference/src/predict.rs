//! `POST /predict`: a row as the flat JSON object of its named features, or an array of them.

use std::sync::Arc;

use http::StatusCode;
use modelward_model::Row;

use crate::{
    counting::{Answered, Origin},
    json::{Form, RowBody, Text},
    memory::Weight,
    metrics::Metrics,
    problem::Problem,
    serving::{Call, LoadedRoute, MAX_WARNINGS, Notice, Prediction, RowErrors, Serving, Warnings},
};

/// A body's rows, scored.
struct Scored {
    form: Form,
    /// The row, the probability and the class of each.
    rows: Vec<(Row, f64, u8)>,
    warnings: Warnings,
}

/// Answers a body: JSON bytes and the version that answered.
pub fn predict(
    serving: &Serving,
    metrics: &Metrics,
    call: Call,
    origin: &Origin,
    body: &[u8],
) -> Result<(Vec<u8>, Arc<LoadedRoute>), Problem> {
    let route = serving
        .pick(call)
        .ok_or_else(|| Problem::unprocessable("no version takes this request"))?;
    let (model, version) = (serving.model.as_str(), route.route.version.as_str());
    let unwritable = |error| Problem::unprocessable(format!("the answer cannot be written: {error}"));
    // The answer is written row by row, so that no row of it is held twice.
    let mut answer = answer_of(body, route, model).map_err(unwritable)?;
    let head = answer.len();
    let mut failed = None;
    let Scored { form, rows, warnings } = score(
        route,
        body,
        MAX_WARNINGS,
        &mut |class, probability, warnings, warnings_omitted| {
            if answer.len() > head {
                answer.push(b',');
            }
            let prediction = Prediction {
                class,
                probability,
                threshold: route.threshold,
                model,
                version,
                prediction_id: route.prediction_id(&serving.signer, call, class, probability),
                warnings,
                warnings_omitted,
            };
            if let Err(error) = serde_json::to_writer(&mut answer, &prediction) {
                failed = Some(error);
            }
        },
        &|errors| route.count_type_errors(metrics, call, origin, errors),
    )?;
    if let Some(error) = failed {
        return Err(unwritable(error));
    }
    origin.check(rows.len()).map_err(Problem::unprocessable)?;
    let answered = rows.iter().map(|(row, score, class)| Answered {
        row,
        score: *score,
        class: *class,
    });
    route.count_answered(metrics, call, origin, answered);
    count(route, metrics, &rows, &warnings);
    metrics.batch_rows.observe(rows.len() as f64);
    if form == Form::One {
        answer.drain(..head);
    } else {
        answer.extend_from_slice(b"]}");
    }
    Ok((answer, Arc::clone(route)))
}

/// What stands before the rows of an answer to an array, with room for them.
fn answer_of(body: &[u8], route: &LoadedRoute, model: &str) -> Result<Vec<u8>, serde_json::Error> {
    let version = route.route.version.as_str();
    let row = 256 + route.names_length(model);
    let mut answer = Vec::with_capacity(512 + Weight::of_rows(body).rows(route.bounds) * row);
    answer.extend_from_slice(b"{\"model\":");
    serde_json::to_writer(&mut answer, model)?;
    answer.extend_from_slice(b",\"version\":");
    serde_json::to_writer(&mut answer, version)?;
    answer.extend_from_slice(b",\"predictions\":[");
    Ok(answer)
}

/// Scores a body by a version whose answers are not returned; only counts remain.
pub fn shadow(route: &LoadedRoute, metrics: &Metrics, body: &[u8]) {
    // What this version cannot read is no error of the client, whom another version answered.
    if let Ok(scored) = score(route, body, 0, &mut |_, _, _, _| {}, &|_| {}) {
        count(route, metrics, &scored.rows, &scored.warnings);
    }
}

fn count(route: &LoadedRoute, metrics: &Metrics, rows: &[(Row, f64, u8)], warnings: &Warnings) {
    let ones = rows.iter().filter(|(_, _, class)| *class == 1).count() as u64;
    route.count(metrics, [rows.len() as u64 - ones, ones], warnings);
}

/// Scores the rows of a body and hands each to `sink`, with the warnings that are described and the number of those that
/// are not.
fn score(
    route: &LoadedRoute,
    body: &[u8],
    most_warnings: usize,
    sink: &mut dyn FnMut(u8, f64, Vec<Notice>, usize),
    refused: &dyn Fn(&RowErrors),
) -> Result<Scored, Problem> {
    let text = Text::new(body)?;
    let (bounds, schema) = (route.bounds, route.bundle.schema());
    let mut rows = Vec::new();
    let mut warnings = Warnings::new(most_warnings);
    let mut errors = RowErrors::default();
    let form = bounds.read_rows(&text, &mut |index, row| {
        // Whether it is one of an array shows only at the end; the index of a single row is taken away there.
        let at = Some(index);
        let fields = match row {
            RowBody::Other(found) => {
                return errors.push(at, None, || {
                    format!("found {found}, expected an object of named features")
                });
            }
            RowBody::Fields {
                fields,
                repeated,
                too_many,
            } => {
                if let Some(name) = repeated {
                    let short: String = name.chars().take(80).collect();
                    errors.push(at, Some(&name), || {
                        format!("{short:?} is there twice, send each feature once")
                    });
                    return;
                }
                if too_many {
                    return errors.push(at, None, || {
                        let features = schema.features.len();
                        format!(
                            "more than {} names, the model takes {features}",
                            bounds.max_fields
                        )
                    });
                }
                fields
            }
        };
        match schema.read_json(&fields) {
            Err(found) => errors.extend(at, schema, &found),
            // Once a row is bad, the others are read for their errors only.
            Ok(_) if errors.total > 0 => {}
            Ok((row, found)) => {
                let (notices, omitted) = warnings.add(route, &found);
                let (class, probability) = route.score(&row);
                sink(class, probability, notices, omitted);
                rows.push((row, probability, class));
            }
        }
    })?;
    match form {
        Form::Other(found) => {
            return Err(Problem::unprocessable(format!(
                "the body is {found}; send one object of named features, or an array of them"
            )));
        }
        Form::Many(0) => return Err(Problem::unprocessable("the array has no rows; send at least one")),
        Form::Many(rows) if rows > bounds.max_rows => {
            return Err(Problem::too_large(format!(
                "the array has {rows} rows; send at most {} in one request",
                bounds.max_rows
            )));
        }
        Form::One | Form::Many(_) => {}
    }
    if errors.total > 0 {
        refused(&errors);
        if form == Form::One {
            for detail in &mut errors.details {
                detail.row = None;
            }
        }
        return Err(Problem::rows(
            StatusCode::UNPROCESSABLE_ENTITY,
            errors.details,
            errors.total,
        ));
    }
    Ok(Scored { form, rows, warnings })
}
