//! Paths of the ledger's API, as its callers write them.

use crate::Digest;

/// A file of an artifact, by the digest of its bytes: GET, PUT.
pub fn blob(namespace: &str, digest: &Digest) -> String {
    format!("/v1/artifacts/{namespace}/blobs/{digest}")
}

/// The list of files of an artifact, by the digest of the whole: GET, PUT.
pub fn manifest(namespace: &str, digest: &Digest) -> String {
    format!("/v1/artifacts/{namespace}/manifests/{digest}")
}

/// What an artifact states about itself: GET.
pub fn statement(namespace: &str, digest: &Digest) -> String {
    format!("/v1/artifacts/{namespace}/statements/{digest}")
}

/// The end of the Job of this uid: GET, PUT.
pub fn job_result(namespace: &str, job: &str) -> String {
    format!("/v1/jobs/{namespace}/{job}/result")
}

/// How far the Job of this uid is: GET, PUT.
pub fn job_progress(namespace: &str, job: &str) -> String {
    format!("/v1/jobs/{namespace}/{job}/progress")
}

/// A round of a search, from 0, that the Job of this uid makes: GET, PUT. The digest is of all that the search depends on.
pub fn search_round(namespace: &str, job: &str, search: &Digest, round: u32) -> String {
    format!("/v1/jobs/{namespace}/{job}/searches/{search}/rounds/{round}")
}

/// All rounds of searches that Jobs of the same version made: DELETE.
pub fn searches(namespace: &str, job: &str) -> String {
    format!("/v1/jobs/{namespace}/{job}/searches")
}

/// The record of the `ModelVersion` of this uid: PUT.
pub fn model_version(namespace: &str, uid: &str) -> String {
    format!("/v1/model-versions/{namespace}/{uid}")
}

/// What was published of the `ModelVersion` of this uid to MLflow: GET.
pub fn publication(namespace: &str, uid: &str) -> String {
    format!("/v1/model-versions/{namespace}/{uid}/publication")
}

/// What was counted of the traffic of the model of this name: GET, PUT.
pub fn counts(namespace: &str, model: &str) -> String {
    format!("/v1/counts/{namespace}/{model}")
}

/// Labels of predictions of the model of this name: POST.
pub fn feedback(namespace: &str, model: &str) -> String {
    format!("/v1/feedback/{namespace}/{model}")
}

/// The verdict of the `DriftReport` of this uid: GET, PUT.
pub fn drift_report(namespace: &str, uid: &str) -> String {
    format!("/v1/drift-reports/{namespace}/{uid}")
}
