//! Why something was not published.

use reqwest::StatusCode;

/// Why a version was not published, in words for the people who run the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URI of the server, or its credentials, cannot be used.
    #[error("the MLflow server cannot be used: {0}")]
    Settings(String),
    /// It did not answer.
    #[error("MLflow at {uri} did not answer: {why}")]
    Unreachable {
        /// The server.
        uri: String,
        /// What the HTTP client says.
        why: String,
    },
    /// It refused a request.
    #[error("MLflow at {uri} answered {status} to {request}: {message}")]
    Refused {
        /// The server.
        uri: String,
        /// Method and path.
        request: String,
        /// The status.
        status: StatusCode,
        /// MLflow's code, such as `RESOURCE_DOES_NOT_EXIST`; empty where the answer is not MLflow's.
        code: String,
        /// What it said, and what to do about it where that is known.
        message: String,
    },
    /// It answered in a form that is not understood.
    #[error("the answer of MLflow at {uri} to {request} cannot be read: {why}")]
    Answer {
        /// The server.
        uri: String,
        /// Method and path.
        request: String,
        /// What is wrong with it.
        why: String,
    },
    /// It keeps artifacts where only its own clients can write.
    #[error(
        "MLflow keeps the artifacts of run {run} at {address}, where Modelward has no access; start its server with --artifacts-destination, so that it takes artifacts itself"
    )]
    ArtifactsElsewhere {
        /// Id of the run.
        run: String,
        /// Where its artifacts are.
        address: String,
    },
    /// The bundle cannot be read.
    #[error("cannot read {file} of the bundle: {why}")]
    Bundle {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
}

// === impl Error ===

impl Error {
    /// Whether MLflow says by this error that there is no such object.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_DOES_NOT_EXIST")
    }

    /// Whether MLflow says by this error that the object exists.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_ALREADY_EXISTS")
    }
}
