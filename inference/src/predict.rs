//! `POST /predict`: a row as the flat JSON object of its named features, or an array of them.

use std::{collections::HashMap, sync::Arc};

use http::StatusCode;
use modelward_model::Row;
use serde::Serialize;

use crate::{
    counting::{Answered, Origin},
    json::{Form, RowBody, Text},
    metrics::Metrics,
    problem::Problem,
    serving::{Call, LoadedRoute, Notice, Prediction, RowErrors, Serving},
};

/// The answer to an array.
#[derive(Debug, Serialize)]
struct Batch<'a> {
    model: &'a str,
    version: &'a str,
    predictions: &'a [Prediction<'a>],
}

/// A body's rows, scored.
struct Scored<'a> {
    form: Form,
    predictions: Vec<Prediction<'a>>,
    /// The row of each.
    rows: Vec<Row>,
    warnings: HashMap<(String, &'static str), u64>,
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
    let seal = |class, probability| route.prediction_id(&serving.signer, call, class, probability);
    let Scored {
        form,
        predictions,
        rows,
        warnings,
    } = score(route, &serving.model, body, &seal, &|errors| {
        route.count_type_errors(metrics, call, origin, errors);
    })?;
    origin.check(rows.len()).map_err(Problem::unprocessable)?;
    let answered = rows.iter().zip(&predictions).map(|(row, prediction)| Answered {
        row,
        score: prediction.probability,
        class: prediction.class,
    });
    route.count_answered(metrics, call, origin, answered);
    count(route, metrics, &predictions, &warnings);
    metrics.batch_rows.observe(predictions.len() as f64);
    let bytes = if let (Form::One, [one]) = (form, predictions.as_slice()) {
        serde_json::to_vec(one)
    } else {
        let (model, version) = (serving.model.as_str(), route.route.version.as_str());
        serde_json::to_vec(&Batch {
            model,
            version,
            predictions: &predictions,
        })
    };
    let bytes =
        bytes.map_err(|error| Problem::unprocessable(format!("the answer cannot be written: {error}")))?;
    Ok((bytes, Arc::clone(route)))
}

/// Scores a body by a version whose answers nobody sees; only counts remain.
pub fn shadow(route: &LoadedRoute, metrics: &Metrics, body: &[u8]) {
    // What this version cannot read is no error of the client, whom another version answered.
    if let Ok(scored) = score(route, "", body, &|_, _| String::new(), &|_| {}) {
        count(route, metrics, &scored.predictions, &scored.warnings);
    }
}

fn count(
    route: &LoadedRoute,
    metrics: &Metrics,
    predictions: &[Prediction<'_>],
    warnings: &HashMap<(String, &'static str), u64>,
) {
    let ones = predictions
        .iter()
        .filter(|prediction| prediction.class == 1)
        .count() as u64;
    route.count(metrics, [predictions.len() as u64 - ones, ones], warnings);
}

fn score<'a>(
    route: &'a LoadedRoute,
    model: &'a str,
    body: &[u8],
    seal: &dyn Fn(u8, f64) -> String,
    refused: &dyn Fn(&RowErrors),
) -> Result<Scored<'a>, Problem> {
    let text = Text::new(body)?;
    let (bounds, schema) = (route.bounds, route.bundle.schema());
    let (mut predictions, mut rows) = (Vec::new(), Vec::new());
    let mut warnings = HashMap::new();
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
            Err(found) => errors.extend(at, &found),
            // Once a row is bad, the others are read for their errors only.
            Ok(_) if errors.total > 0 => {}
            Ok((row, found)) => {
                let notices: Vec<Notice> = found.iter().map(Notice::from).collect();
                for notice in &notices {
                    *warnings.entry((notice.feature.clone(), notice.kind)).or_default() += 1;
                }
                let (class, probability) = route.score(&row);
                predictions.push(Prediction {
                    class,
                    probability,
                    threshold: route.threshold,
                    model,
                    version: &route.route.version,
                    prediction_id: seal(class, probability),
                    warnings: notices,
                });
                rows.push(row);
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
    Ok(Scored {
        form,
        predictions,
        rows,
        warnings,
    })
}
