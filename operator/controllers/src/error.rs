//! What can go wrong in a reconcile, in categories that metrics and logs share.

use modelward_wire::words;

/// A reconcile that could not be carried through and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a call or did not answer.
    #[error("failed to {action}")]
    Api {
        /// What was being done: `read Job heart-1-fit-0a1b2c3d`.
        action: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server took longer than a call may.
    #[error("failed to {action} within {seconds} s")]
    Timeout {
        /// What was being done.
        action: String,
        /// The bound.
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
    /// An object lacks what the API server gives every object.
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
        /// The API server says that the operator may not.
        Forbidden,
        /// There is no such object.
        NotFound,
        /// Another writer was faster, or the name is taken.
        Conflict,
        /// The object breaks its schema or a rule.
        Invalid,
        /// The API server asks for patience.
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
        /// An object lacks what the API server gives every object.
        Incomplete,
        /// An object cannot be deserialised.
        Unreadable,
    }
}

// === impl Error ===

impl Error {
    /// The category, for metrics: one of a handful of words, never text of an object.
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

    /// Whether the API server answered that it failed, as it does where a webhook cannot be called.
    pub fn failed(&self) -> bool {
        matches!(self.code(), Some(500..))
    }

    /// Whether the API server understood and said no: asking for the same again gets the same answer.
    pub fn refused(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 413 | 422))
    }

    /// Whether the API server answered that it does not make or change the object now: it refused it, or an admission webhook
    /// failed. It may pass; meanwhile it belongs into the status of what asked for it.
    pub fn hinders(&self) -> bool {
        self.refused() || matches!(self.code(), Some(500..))
    }

    /// The error in words for a status: what was tried and the API server's own message.
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
