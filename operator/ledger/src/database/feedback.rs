//! Labels of predictions.

use modelward_wire::{FeedbackOutcome, FeedbackRecord};

use super::{Database, DatabaseError};

// === impl Database ===

impl Database {
    /// Stores a label. The first one stays. A different one for the same prediction is stored in addition, and from then on
    /// every answer for this prediction is [`FeedbackOutcome::Contradicted`].
    pub(crate) async fn put_feedback(
        &self,
        namespace: &str,
        model: &str,
        record: FeedbackRecord,
    ) -> Result<FeedbackOutcome, DatabaseError> {
        let (namespace, model) = (namespace.to_owned(), model.to_owned());
        let (class, actual) = (i16::from(record.class), i16::from(record.actual));
        let predicted_at = i64::try_from(record.predicted_at_ms).unwrap_or(i64::MAX);
        self.with(move |connection| {
            Box::pin(async move {
                let first: Option<bool> = sqlx::query_scalar(
                    "INSERT INTO feedback AS present (namespace, model, prediction_id, route, predicted_at, score, class, \
                     actual) VALUES ($1, $2, $3, $4, to_timestamp($5::bigint / 1000.0), $6, $7, $8) \
                     ON CONFLICT (namespace, model, prediction_id) DO UPDATE SET contradicted_by = excluded.actual \
                     WHERE present.contradicted_by IS NULL AND present.actual <> excluded.actual \
                     RETURNING contradicted_by IS NULL",
                )
                .bind(&namespace)
                .bind(&model)
                .bind(&record.prediction_id)
                .bind(record.route)
                .bind(predicted_at)
                .bind(record.score)
                .bind(class)
                .bind(actual)
                .fetch_optional(&mut *connection)
                .await?;
                match first {
                    Some(true) => return Ok(FeedbackOutcome::Accepted),
                    Some(false) => return Ok(FeedbackOutcome::Contradicted),
                    // The same label was there, or a contradiction was already known.
                    None => {}
                }
                let contradicted: Option<bool> = sqlx::query_scalar(
                    "SELECT contradicted_by IS NOT NULL FROM feedback \
                     WHERE namespace = $1 AND model = $2 AND prediction_id = $3",
                )
                .bind(namespace)
                .bind(model)
                .bind(record.prediction_id)
                .fetch_optional(connection)
                .await?;
                Ok(if contradicted == Some(true) {
                    FeedbackOutcome::Contradicted
                } else {
                    FeedbackOutcome::Repeated
                })
            })
        })
        .await
    }
}
