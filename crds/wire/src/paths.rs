//! Paths of the ledger's API, as its callers write them.

use crate::Digest;

/// A file of an artifact, addressed by the digest of its bytes: GET, PUT.
pub fn blob(namespace: &str, digest: &Digest) -> String {
    format!("/v1/artifacts/{namespace}/blobs/{digest}")
}

/// The manifest of an artifact, addressed by its digest: GET, PUT.
pub fn manifest(namespace: &str, digest: &Digest) -> String {
    format!("/v1/artifacts/{namespace}/manifests/{digest}")
}

/// What an artifact states about itself: GET.
pub fn statement(namespace: &str, digest: &Digest) -> String {
    format!("/v1/artifacts/{namespace}/statements/{digest}")
}

/// The result of the Job with this uid: GET, PUT.
pub fn job_result(namespace: &str, job: &str) -> String {
    format!("/v1/jobs/{namespace}/{job}/result")
}

/// The progress of the Job with this uid: GET, PUT.
pub fn job_progress(namespace: &str, job: &str) -> String {
    format!("/v1/jobs/{namespace}/{job}/progress")
}

/// A round, counted from 0, of a search by the Job with this uid: GET, PUT. The digest covers everything that the search depends
/// on.
pub fn search_round(namespace: &str, job: &str, search: &Digest, round: u32) -> String {
    format!("/v1/jobs/{namespace}/{job}/searches/{search}/rounds/{round}")
}

/// All rounds of the searches of Jobs of the same version: DELETE.
pub fn searches(namespace: &str, job: &str) -> String {
    format!("/v1/jobs/{namespace}/{job}/searches")
}

/// The record of the `ModelVersion` with this uid: PUT.
pub fn model_version(namespace: &str, uid: &str) -> String {
    format!("/v1/model-versions/{namespace}/{uid}")
}

/// The publication to MLflow of the `ModelVersion` with this uid: GET.
pub fn publication(namespace: &str, uid: &str) -> String {
    format!("/v1/model-versions/{namespace}/{uid}/publication")
}

/// The counts of the traffic of the model with this name: GET, PUT.
pub fn counts(namespace: &str, model: &str) -> String {
    format!("/v1/counts/{namespace}/{model}")
}

/// Labels for predictions of the model with this name: POST.
pub fn feedback(namespace: &str, model: &str) -> String {
    format!("/v1/feedback/{namespace}/{model}")
}

/// The verdict of the `DriftReport` with this uid: GET, PUT.
pub fn drift_report(namespace: &str, uid: &str) -> String {
    format!("/v1/drift-reports/{namespace}/{uid}")
}
