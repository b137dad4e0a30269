//! Labels of predictions.

use axum::{
    Extension, Json,
    extract::{Request, State},
};
use modelward_wire::{FeedbackOutcome, FeedbackRecord};
use serde_json::{Value, json};

use super::{
    counts::CLOCK_SECONDS,
    extract::{OfModel, parse, whole},
    state::Shared,
};
use crate::{
    amount::{Amount, Kept},
    auth::Caller,
    error::ApiError,
};

const MAX_FEEDBACK_BYTES: u64 = 4 * 1024;

pub(super) async fn post_feedback(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    OfModel { namespace, model }: OfModel,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    caller.may_count(&namespace, &model)?;
    let body = whole(&app, &namespace, request, "label", MAX_FEEDBACK_BYTES).await?;
    let record: FeedbackRecord = parse(&body, "label")?;
    check(&record, jiff::Timestamp::now().as_millisecond()).map_err(ApiError::Unprocessable)?;
    let more = Amount { rows: 1, bytes: 0 };
    app.quota
        .take(&app.database, &namespace, Kept::Labels, more)
        .await?;
    let outcome = app.database.put_feedback(&namespace, &model, record).await?;
    app.metrics.label(match outcome {
        FeedbackOutcome::Accepted => "accepted",
        FeedbackOutcome::Repeated => "repeated",
        FeedbackOutcome::Contradicted => "contradicted",
    });
    Ok(Json(json!({"outcome": outcome})))
}

/// Refuses what the table would refuse, with a message.
fn check(record: &FeedbackRecord, now_ms: i64) -> Result<(), String> {
    let short = |text: &str| text.chars().take(80).collect::<String>();
    let id = &record.prediction_id;
    let base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if id.len() != 64 || !id.bytes().all(base64url) {
        return Err(format!(
            "predictionId is {:?}, it must be the 64 base64url characters returned with a prediction",
            short(id)
        ));
    }
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if record.route.len() != 16 || !record.route.bytes().all(hex) {
        return Err(format!(
            "route is {:?}, it must be 16 lower-case hexadecimal digits",
            short(&record.route)
        ));
    }
    if i64::try_from(record.predicted_at_ms).map_or(true, |at| at > now_ms + 1000 * CLOCK_SECONDS) {
        return Err(format!(
            "predictedAtMs is {}, which is ahead of the ledger's clock: check the clock of the node",
            record.predicted_at_ms
        ));
    }
    if !(0.0..=1.0).contains(&record.score) {
        return Err(format!("score is {}, it must be 0 to 1", record.score));
    }
    for (name, class) in [("class", record.class), ("actual", record.actual)] {
        if class > 1 {
            return Err(format!("{name} is {class}, it must be 0 or 1"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut FeedbackRecord);

    #[test]
    fn what_no_server_sends_is_refused_and_named() {
        let good = FeedbackRecord {
            prediction_id: "aZ09-_".repeat(11)[..64].into(),
            route: "0123456789abcdef".into(),
            predicted_at_ms: 1_000_000,
            score: 1.0,
            class: 1,
            actual: 0,
        };
        assert_eq!(check(&good, 1_000_000), Ok(()));
        let changes: [(Change, &str); 9] = [
            (|record| record.prediction_id.truncate(63), "predictionId"),
            (
                |record| record.prediction_id.replace_range(..1, "+"),
                "predictionId",
            ),
            (|record| record.route = "0123456789ABCDEF".into(), "route"),
            (|record| record.predicted_at_ms = 2_000_000, "predictedAtMs"),
            (|record| record.predicted_at_ms = u64::MAX, "predictedAtMs"),
            (|record| record.score = f64::NAN, "score"),
            (|record| record.score = 1.5, "score"),
            (|record| record.class = 2, "class"),
            (|record| record.actual = 255, "actual"),
        ];
        for (change, said) in changes {
            let mut record = good.clone();
            change(&mut record);
            let error = check(&record, 1_000_000).unwrap_err();
            assert!(error.starts_with(said), "{error:?} does not name {said:?}");
        }
    }
}
