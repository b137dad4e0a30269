//! When a call may be made and repeated.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modelward_service::chain;
use reqwest::StatusCode;

use crate::{
    error::{Call, Error},
    settings::Retry,
};

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Attempts {
    retry: Retry,
    started: Instant,
    pause: Duration,
}

/// Whether the ledger answered the last call. Shared by all clones of a client.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    away: Mutex<Option<Away>>,
}

/// A ledger that did not answer.
#[derive(Clone, Debug)]
struct Away {
    /// When it may be called again.
    until: Instant,
    /// The error of the last call.
    why: String,
}

// === impl Attempts ===

impl Attempts {
    /// No attempts yet.
    pub fn new(retry: Retry, now: Instant) -> Self {
        let pause = match retry {
            Retry::Within { first, .. } => first,
            Retry::Never | Retry::Breaker { .. } => Duration::ZERO,
        };
        Self {
            retry,
            started: now,
            pause,
        }
    }

    /// Waits until another attempt is due. Returns the error if there is none.
    pub async fn wait_after(&mut self, call: &Call, error: Error) -> Result<(), Error> {
        let Some(pause) = self.next_pause(&error, Instant::now()) else {
            return Err(error);
        };
        tracing::warn!(reason = chain(&error), "ledger call {call} failed, trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The pause before another attempt, if there is one.
    fn next_pause(&mut self, error: &Error, now: Instant) -> Option<Duration> {
        let Retry::Within {
            patience,
            refused,
            longest,
            ..
        } = self.retry
        else {
            return None;
        };
        let patience = match error {
            Error::Unanswered { .. } => patience,
            Error::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused.min(patience),
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => patience,
                status if status.is_server_error() => patience,
                _ => return None,
            },
            _ => return None,
        };
        let pause = self.pause;
        self.pause = (pause * 2).min(longest);
        (now.saturating_duration_since(self.started) < patience).then_some(pause)
    }
}

// === impl Breaker ===

impl Breaker {
    /// Returns the last error while the ledger is considered unavailable. After that time one caller tries again, for at most
    /// `asking`, and the others still get the error until it has an answer.
    pub fn ask_one_at_a_time(&self, now: Instant, asking: Duration) -> Result<(), Error> {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = away.as_mut() else {
            return Ok(());
        };
        if now < last.until {
            return Err(Error::Away {
                why: last.why.clone(),
            });
        }
        last.until = now + asking;
        Ok(())
    }

    /// Records that the ledger answered.
    pub fn note_answer(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Records why the ledger did not answer, and until when it is not called.
    pub fn note_away(&self, why: String, until: Instant) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(Away { until, why });
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);
    const ASKING: Duration = Duration::from_secs(5);

    fn refused(status: u16) -> Error {
        Error::Refused {
            call: Call {
                method: Method::GET,
                what: "statement".to_owned(),
            },
            status: StatusCode::from_u16(status).unwrap(),
            message: String::new(),
        }
    }

    #[test]
    fn one_call_asks_again_when_the_time_is_over_and_an_answer_ends_it() {
        let breaker = Breaker::default();
        let now = Instant::now();
        assert!(breaker.ask_one_at_a_time(now, ASKING).is_ok());
        breaker.note_away("refused".to_owned(), now + PAUSE);
        let error = breaker.ask_one_at_a_time(now, ASKING).unwrap_err();
        assert_eq!(error.to_string(), "the ledger did not answer: refused");
        let over = now + PAUSE;
        assert!(breaker.ask_one_at_a_time(over, ASKING).is_ok(), "one asks");
        assert!(
            breaker.ask_one_at_a_time(over, ASKING).is_err(),
            "and the others wait for what it finds"
        );
        assert!(
            breaker.ask_one_at_a_time(over + ASKING, ASKING).is_ok(),
            "one that was cancelled is replaced"
        );
        breaker.note_answer();
        assert!(breaker.ask_one_at_a_time(over, ASKING).is_ok());
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_patience_for_that_error() {
        let seconds = Duration::from_secs;
        let retry = Retry::Within {
            patience: seconds(60),
            refused: seconds(20),
            first: seconds(1),
            longest: seconds(3),
        };
        let now = Instant::now();
        let mut attempts = Attempts::new(retry, now);
        let mut pause = |status, after| attempts.next_pause(&refused(status), now + seconds(after));
        assert_eq!(pause(503, 0), Some(seconds(1)));
        assert_eq!(pause(429, 1), Some(seconds(2)));
        assert_eq!(pause(500, 3), Some(seconds(3)));
        assert_eq!(pause(408, 19), Some(seconds(3)));
        assert_eq!(pause(403, 19), Some(seconds(3)));
        assert_eq!(pause(401, 20), None, "a token is not given longer");
        assert_eq!(pause(503, 59), Some(seconds(3)));
        assert_eq!(pause(503, 60), None);
        for last in [302, 400, 404, 409, 413, 422] {
            assert_eq!(pause(last, 0), None, "{last} says the same again");
        }
        for never in [Retry::Never, Retry::Breaker { pause: PAUSE }] {
            let mut attempts = Attempts::new(never, now);
            assert_eq!(attempts.next_pause(&refused(503), now), None);
        }
    }
}
