//! Errors of reconciles, in categories that metrics and logs share.

use modelward_core::{action, attempt::RequesterKind, drift, model};
use modelward_wire::words;

/// A reconcile that failed and is retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a call or did not answer.
    #[error("failed to {action}")]
    Api {
        /// The attempted operation: `read Job heart-1-fit-0a1b2c3d`.
        action: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// A call to the API server exceeded the time limit.
    #[error("failed to {action} within {seconds} s")]
    Timeout {
        /// The attempted operation.
        action: String,
        /// The time limit.
        seconds: u64,
    },
    /// An object could not be built from a decision.
    #[error("failed to build {what}")]
    Build {
        /// Kind and name.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An object lacks a field that the API server sets on every object.
    #[error("{what} has no {field}")]
    Incomplete {
        /// Kind of the object.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
    /// An object's spec cannot be read by this version of the operator.
    #[error("{what} cannot be read: {problem}")]
    Unreadable {
        /// Kind and name.
        what: String,
        /// Why.
        problem: String,
    },
}

words! {
    /// Categories of errors.
    pub enum Category {
        /// The operator lacks the permission.
        Forbidden,
        /// There is no such object.
        NotFound,
        /// A conflict with another client, or the name is taken.
        Conflict,
        /// The object violates its schema or a rule.
        Invalid,
        /// The API server throttles requests.
        Throttled,
        /// The API server or a webhook failed.
        ServerError,
        /// Any other answer that is not a success.
        Refused,
        /// No answer came.
        Unreachable,
        /// An answer or a reconcile took too long.
        Timeout,
        /// An object could not be built.
        Build,
        /// An object lacks a field that the API server sets on every object.
        Incomplete,
        /// An object cannot be deserialized.
        Unreadable,
    }
}

// === impl Error ===

impl From<model::Invalid> for Error {
    fn from(why: model::Invalid) -> Self {
        match why {
            model::Invalid::NoUid => Self::no_uid("Model"),
        }
    }
}

impl From<action::Invalid> for Error {
    fn from(why: action::Invalid) -> Self {
        match why {
            action::Invalid::NoUid => Self::no_uid(RequesterKind::Action.as_str()),
        }
    }
}

impl From<drift::Invalid> for Error {
    fn from(why: drift::Invalid) -> Self {
        match why {
            drift::Invalid::NoUid => Self::no_uid("DriftReport"),
        }
    }
}

impl Error {
    /// The error about an object without a uid.
    pub(crate) const fn no_uid(what: &'static str) -> Self {
        Self::Incomplete {
            what,
            field: "metadata.uid",
        }
    }

    /// The category, for metrics: one of a fixed set of words, never text of an object.
    pub fn category(&self) -> Category {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => match status.code {
                    403 => Category::Forbidden,
                    404 => Category::NotFound,
                    409 => Category::Conflict,
                    422 => Category::Invalid,
                    429 => Category::Throttled,
                    500.. => Category::ServerError,
                    _ => Category::Refused,
                },
                _ => Category::Unreachable,
            },
            Self::Timeout { .. } => Category::Timeout,
            Self::Build { .. } => Category::Build,
            Self::Incomplete { .. } => Category::Incomplete,
            Self::Unreadable { .. } => Category::Unreadable,
        }
    }

    /// Whether the API server answered with a server error, as it does if a webhook cannot be called.
    pub fn failed(&self) -> bool {
        matches!(self.code(), Some(500..))
    }

    /// Whether the API server rejected the request, so that repeating it gets the same answer.
    pub fn refused(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 413 | 422))
    }

    /// Whether the API server does not create or change the object now: it rejected it, or an admission webhook failed. This may be
    /// temporary; until then it is reported in the status of the owner.
    pub fn hinders(&self) -> bool {
        self.refused() || matches!(self.code(), Some(500..))
    }

    /// The error as text for a status: the attempted operation and the API server's message.
    pub fn words(&self) -> String {
        let message = match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.message.as_str()),
                _ => None,
            },
            _ => None,
        };
        match message {
            Some(message) => format!("{self}: {message}"),
            None => modelward_service::chain(self),
        }
    }

    /// The HTTP status that the API server answered with.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}
