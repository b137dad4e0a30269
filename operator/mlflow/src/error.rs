//! Errors of publishing.

use reqwest::StatusCode;

/// Why a version was not published, for the administrators of the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URI of the server, or its credentials, cannot be used.
    #[error("the MLflow server cannot be used: {0}")]
    Settings(String),
    /// The server did not answer.
    #[error("MLflow at {uri} did not answer: {why}")]
    Unreachable {
        /// The server.
        uri: String,
        /// The error of the HTTP client.
        why: String,
    },
    /// The server rejected a request.
    #[error("MLflow at {uri} answered {status} to {request}: {message}")]
    Refused {
        /// The server.
        uri: String,
        /// Method and path.
        request: String,
        /// The status.
        status: StatusCode,
        /// MLflow's code, such as `RESOURCE_DOES_NOT_EXIST`; empty if the response is not from MLflow.
        code: String,
        /// The server's message, and how to fix the problem if that is known.
        message: String,
    },
    /// The response cannot be read.
    #[error("the response of MLflow at {uri} to {request} cannot be read: {why}")]
    Answer {
        /// The server.
        uri: String,
        /// Method and path.
        request: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server stores artifacts where only MLflow's clients can write.
    #[error(
        "MLflow stores the artifacts of run {run} at {address}, where Modelward has no access; start its server with --artifacts-destination, so that the server accepts uploads"
    )]
    ArtifactsElsewhere {
        /// Id of the run.
        run: String,
        /// The location of its artifacts.
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
    /// Whether this error means that the object does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_DOES_NOT_EXIST")
    }

    /// Whether this error means that the object already exists.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "RESOURCE_ALREADY_EXISTS")
    }
}
